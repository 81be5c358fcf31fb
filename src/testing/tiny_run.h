// A run that takes a moment: a model of some ten thousand parameters on bytes.
#pragma once

#include <string>

#include "io/file.h"
#include "testing/byte_tokenizer.h"
#include "testing/shared_data.h"

namespace axk1::testing {

// The files of a run in a folder of their own.
class TinyRun {
 public:
  TinyRun() {
    dir_.write("tokenizer.json", byte_tokenizer_json());
    dir_.write("tokenizer_config.json", "{\"eos_token\": \"<|im_end|>\"}");
    dir_.write("chat_template.jinja", read_file(testdata("../models/nano-v0/chat_template.jinja")));
    std::string lines;
    for (int i = 0; i < 60; ++i) {
      lines += cat("{\"text\": \"The fox number ", i, " saw the grapes and said: the grapes are ",
                   i % 2 ? "sour" : "sweet", ".\"}\n");
    }
    dir_.write("text.jsonl", lines);
    dir_.write("chat.jsonl",
               "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, "
               "{\"role\": \"assistant\", \"content\": \"Hello.\"}]}\n");
  }

  const std::string& path() const { return dir_.path(); }

  // Path of a run file with `changes` (fields of the top level) made, and `model_changes` to fields
  // of the model.
  std::string write_run(const std::string& changes = "{}", const std::string& name = "run.json",
                        const std::string& model_changes = "{}") const {
    json::value run = json::parse(R"({
      "model": {"model_type": "axk1", "hidden_size": 24,
        "intermediate_size": 32, "moe_intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "n_shared_experts": 1,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "routed_scaling_factor": 1.5,
        "kv_lora_rank": 12, "q_lora_rank": 10, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
        "v_head_dim": 8, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
        "first_k_dense_replace": 1, "hidden_act": "silu", "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6},
      "tokenizer": ".",
      "data": [{"name": "text", "files": "text.jsonl", "weight": 3},
               {"name": "chat", "files": "chat.jsonl"}],
      "held_out": {"fraction": 0.1},
      "stages": [{"steps": 16, "sequence_length": 32, "batch_tokens": 128,
                  "schedule": {"peak": 0.01, "warmup_steps": 2}},
                 {"steps": 8, "sequence_length": 64, "batch_tokens": 128,
                  "schedule": {"kind": "cosine", "peak": 0.005}}],
      "micro_batch": 2, "checkpoint": {"every": 5, "keep": 2}, "eval": {"every": 10}})",
                                  "run");
    const json::value changed = json::parse(changes, "changes");
    for (const auto& [key, value] : changed.as_object()) {
      run.as_object()[key] = value;
    }
    const json::value model_changed = json::parse(model_changes, "model changes");
    for (const auto& [key, value] : model_changed.as_object()) {
      run.at("model").as_object()[key] = value;
    }
    return dir_.write(name, json::to_text(run));
  }

 private:
  TempDir dir_;
};

}  // namespace axk1::testing
