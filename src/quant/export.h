// A k1pack file, or any other checkpoint, to a Hugging Face directory.
#pragma once

#include <cstdint>
#include <string>

#include "formats/k1pack.h"
#include "model/checkpoint.h"
#include "parallel/thread_pool.h"

namespace axk1 {

struct ExportOptions {
  uint64_t max_shard_bytes = 5'000'000'000;  // as transformers cuts
  ByteProgress progress;
};

struct ExportResult {
  size_t num_files = 0;
  uint64_t tensor_bytes = 0;
};

// Writes `dir`: safetensors files with one tensor per expert, and the model's small files.
// Quantised matrices become bf16, others keep their type; vectors become bf16 where that changes no
// value, and stay f32 otherwise, as the router's bias always does. config.json announces the type
// of the embedding. The directory appears under its name when it is complete (DIR.part until then);
// one that is there already is refused. Memory does not depend on the model.
ExportResult export_safetensors(const Checkpoint& source, const std::string& dir,
                                const ExportOptions& options, ThreadPool& pool);

}  // namespace axk1
