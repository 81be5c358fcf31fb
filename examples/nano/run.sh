#!/bin/sh
# Trains the nano-v1 family as README.md beside this file says. From the top of a checkout that is built; CORPUS is a
# folder with the texts. Goes on where it was stopped.
set -eu
axk1=$(pwd)/build/release/axk1
here=$(pwd)/examples/nano
mkdir -p build/nano
ln -sfn "$(cd "${CORPUS:?a folder with the texts, see README.md}" && pwd)" build/nano/corpus
ln -sfn "$(pwd)/models/nano-v1" build/nano/tokenizer
cp "$here"/*.json "$here/talk.jsonl.zst" build/nano
cd build/nano
$axk1 data tasks --count 60000 --seed 11 --kinds units,dates,money,counting,strings --out tasks.jsonl
$axk1 data tasks --count 60000 --seed 12 --kinds arithmetic --out arithmetic.jsonl
$axk1 data tasks --count 6000 --seed 13 --kinds tools --out tools.jsonl
for part in texts tasks talk; do
  [ -f $part/dataset.json ] || $axk1 data prepare prepare-$part.json --out $part
done
$axk1 train base.json --out base --resume
$axk1 train anneal.json --out anneal --resume
$axk1 distil dense.json --out dense --resume
$axk1 distil moe.json --out moe --resume
$axk1 data tasks --count 420 --seed 5 --held-out --out held-out.jsonl
for model in anneal dense moe; do
  $axk1 eval $model/model --tasks held-out.jsonl --max-tokens 400
done
