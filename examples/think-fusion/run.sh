#!/bin/sh
# Two tracks, merged, and trained on in both modes: README.md beside this file. From the top of a
# checkout that is built.
set -eu
axk1=build/release/axk1
out=build/think-fusion
here=examples/think-fusion
kinds=weekday_after,count_letter,count_words,count_items
mkdir -p "$out"
$axk1 data tasks --kinds $kinds --count 8000 --seed 1 --mode think --out $out/think.jsonl
$axk1 data tasks --kinds $kinds --count 8000 --seed 1 --mode no_think --out $out/no-think.jsonl
$axk1 data tasks --kinds $kinds --count 4000 --seed 2 --mode both --out $out/both.jsonl
$axk1 data tasks --kinds $kinds --count 120 --mode both --held-out --out $out/held-out.jsonl
# For rl.json.
rl="--kinds count_words,count_items --mode no_think"
$axk1 data tasks $rl --count 4000 --seed 3 --out $out/rl.jsonl
$axk1 data tasks $rl --count 200 --seed 3 --held-out --out $out/rl-held-out.jsonl
$axk1 train $here/think.json --out $out/think
$axk1 train $here/no-think.json --out $out/no-think
$axk1 merge $out/think/model $out/no-think/model $out/merged
$axk1 train $here/fusion.json --out $out/fusion
for model in think/model no-think/model merged fusion/model; do
  echo "$model"
  $axk1 eval $out/$model --tasks $out/held-out.jsonl --max-tokens 160
done
