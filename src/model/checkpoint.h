// A model as it lies on disk, tensor by tensor: for converting it, not for computing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/named_files.h"
#include "model/config.h"
#include "model/weights.h"

namespace axk1 {

// One vector or matrix that the architecture has. Of fused experts each is a slice.
struct CheckpointTensor {
  std::string name;  // as in a checkpoint with one tensor per expert
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;       // [size] or [rows, cols]
  std::span<const std::byte> bytes;  // need not be aligned for the type
  std::string_view file;             // path
  int64_t layer = -1;                // -1: none; num_hidden_layers: the MTP layer
  int64_t expert = -1;               // of a routed expert
};

// Owns what the tensors point into; movable, spans stay valid. Any thread may read.
struct Checkpoint {
  std::string path;
  NamedFiles files;  // config.json, tokenizer.json, ...
  ModelConfig config;
  std::vector<CheckpointTensor> tensors;  // embedding, layers in order, MTP layer, head
  CheckpointSummary summary;

  // What load_weights would compute in by itself.
  DType compute_dtype() const;

  std::vector<SafetensorsFile> safetensors;  // owners
  std::vector<K1PackFile> packs;
};

// What a checkpoint of this config holds, in the order of Checkpoint::tensors: one tensor per
// expert, of the config's type, with a router bias, and with an MTP layer if it names any, without
// bytes.
std::vector<CheckpointTensor> expected_tensors(const ModelConfig& config);

// A Hugging Face directory or a k1pack file, checked as load_weights does; nothing is converted.
Checkpoint open_checkpoint(const std::string& path);

}  // namespace axk1
