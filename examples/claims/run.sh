#!/bin/sh
# What distillation, experts and balancing are worth at a small size: docs/teacher.md. From the top of
# a checkout that is built; some minutes for each of SEEDS. Goes on where it was stopped.
set -eu
axk1=build/release/axk1
out=$(pwd)/build/claims
tokenizer=$(pwd)/examples/small-talk/tokenizer
seeds=${SEEDS:-1 2 3}
steps=${STEPS:-150}
kinds=add,weekday_after,count_letter,count_words,count_items,sort,won_read
mkdir -p "$out"
$axk1 data tasks --kinds $kinds --count 30000 --seed 1 --mode both --out "$out/tasks.jsonl" 2>/dev/null
$axk1 data tasks --kinds $kinds --count 300 --seed 1 --mode both --held-out \
  --out "$out/held-out.jsonl" 2>/dev/null

common='"model_type": "axk1", "num_attention_heads": 4, "num_key_value_heads": 4,
  "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "n_group": 1, "topk_group": 1,
  "norm_topk_prob": true, "routed_scaling_factor": 1.5, "max_position_embeddings": 512,
  "tie_word_embeddings": true, "hidden_act": "silu", "rms_norm_eps": 1e-6,
  "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}'
# model NAME: a config of that name.
model() {
  case $1 in
    teacher) sizes='"hidden_size": 192, "intermediate_size": 512, "moe_intermediate_size": 96,
      "num_hidden_layers": 4, "first_k_dense_replace": 1, "q_lora_rank": 96, "kv_lora_rank": 64,
      "n_routed_experts": 12, "num_experts_per_tok": 2, "n_shared_experts": 1' ;;
    # As many parameters for a token as `dense`, and more in all.
    moe) sizes='"hidden_size": 128, "intermediate_size": 384, "moe_intermediate_size": 128,
      "num_hidden_layers": 4, "first_k_dense_replace": 1, "q_lora_rank": 64, "kv_lora_rank": 48,
      "n_routed_experts": 12, "num_experts_per_tok": 2, "n_shared_experts": 1' ;;
    dense) sizes='"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
      "first_k_dense_replace": 4, "n_routed_experts": null, "q_lora_rank": 64, "kv_lora_rank": 48' ;;
    student) sizes='"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3,
      "first_k_dense_replace": 3, "n_routed_experts": null, "q_lora_rank": 48, "kv_lora_rank": 32' ;;
  esac
  echo "{$common, $sizes}"
}
# run NAME SEED MODEL STEPS FIELDS: trains, or distils where FIELDS have `distil`, and prints a line.
run() {
  dir=$out/$1-$2
  cat >"$dir.json" <<END
{"model": $(model "$3"), "tokenizer": "$tokenizer", "seed": $2, "micro_batch": 8, "dtype": "bf16",
 "data": [{"name": "tasks", "files": "tasks.jsonl"}], "held_out": {"files": "held-out.jsonl"},
 "stages": [{"steps": $4, "sequence_length": 256, "batch_tokens": 2048,
   "schedule": {"kind": "wsd", "peak": 0.004, "min": 0.0002, "warmup_steps": 20, "decay": "sqrt"}}],
 "checkpoint": {"every": 50}, "eval": {"every": 0}$5}
END
  command=train
  case $5 in *distil*) command=distil ;; esac
  $axk1 $command "$dir.json" --out "$dir" --resume >/dev/null 2>&1
  field() { sed -n "s/.*\"$1\":\([-+0-9.E]*\).*/\1/p" "$dir/metrics.jsonl" | tail -"${2:-1}"; }
  mean() { field "$1" 50 | awk '{ sum += $1 } END { printf "%.4g", sum / NR }'; }
  awk -v name="$1" -v seed="$2" -v loss="$(field held_out_loss)" -v tokens="$(field tokens)" \
    -v rate="$(mean tokens_per_second)" -v flops="$(mean flops_per_second)" \
    -v vio="$(mean max_vio)" -v dead="$(field dead_experts)" 'BEGIN {
      printf "%-16s seed %d  held-out %.4f  %.2f M tokens  %.2f TFLOP  %.0f tok/s", name, seed,
        loss, tokens / 1e6, flops / rate * tokens / 1e12, rate
      if (vio != "" && vio != "nan" && vio + 0 > 0) printf "  MaxVio %.2f  dead experts %d", vio, dead
      printf "\n" }'
}

run teacher 1 teacher $((3 * steps)) ""
teacher='"teacher": "teacher-1/model"'
for seed in $seeds; do
  run alone "$seed" student "$steps" ""
  run taught "$seed" student "$steps" ", \"distil\": {$teacher}"
  for kind in draws top; do
    cache=$out/$kind-$seed.cache
    [ -f "$cache" ] ||
      $axk1 distil "$out/taught-$seed.json" --write-cache "$cache" "--$kind" 12 >/dev/null 2>&1
    run $kind "$seed" student "$steps" ", \"distil\": {\"cache\": \"$kind-$seed.cache\"}"
  done
  run cut "$seed" student "$steps" \
    ", \"distil\": {$teacher}, \"cut_from\": {\"model\": \"teacher-1/model\"}"
  run dense "$seed" dense "$steps" ""
  run moe "$seed" moe "$steps" ', "balance": 0.005'
  run moe-unbalanced "$seed" moe "$steps" ', "balance": 0'
done
