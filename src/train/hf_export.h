// A model that was trained here, as a Hugging Face directory.
#pragma once

#include <string>

#include "train/param_store.h"

namespace axk1 {

struct ExportOptions {
  DType dtype = DType::kBF16;  // or kF32; the router's bias is always f32
  // The layout that transformers saves, or one tensor per expert.
  bool fused_experts = true;
};

// Writes config.json and model.safetensors to `dir`, which is made if need be; other files there
// stay. Each file appears whole or not at all. The dense layers of an A.X K1 model get the
// post_mlp_layernorm that released checkpoints carry there and nobody applies, filled with 1.
// Throws Error(kIo), or kUsage for another dtype.
void export_huggingface(const ParamStore& params, const std::string& dir,
                        const ExportOptions& options = {});

}  // namespace axk1
