// The tensors of a checkpoint by name, whichever container they come from, and everything that is
// wrong with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/k1pack.h"
#include "formats/safetensors.h"

namespace axk1 {

struct StoredTensor {
  const std::string* file = nullptr;  // path
  DType dtype = DType::kF32;
  std::span<const uint64_t> shape;
  std::span<const std::byte> bytes;  // need not be aligned for the type
  bool taken = false;

  uint64_t num_elements() const;
};

// Finds tensors by name, checks their shapes, and collects everything that is wrong, so that one
// error tells it all. Refers to the files. One thread at a time.
class TensorTable {
 public:
  explicit TensorTable(std::string path) : path_(std::move(path)) {}
  // One that has every tensor it is asked for, of that type and without bytes, but no other layout
  // of the experts nor other names of the norms.
  static TensorTable of_everything(DType dtype);
  void add(const SafetensorsFile& file);
  void add(const K1PackFile& file);

  bool has_everything() const { return everything_.has_value(); }
  bool contains(const std::string& name) const;
  const std::unordered_map<std::string_view, StoredTensor>& all() const { return tensors_; }

  // nullptr, and a problem noted, when it is missing, of another shape, or kI32.
  const StoredTensor* take(const std::string& name, std::span<const uint64_t> shape);

  void problem(std::string text);
  // Throws Error(kInvalidInput) when anything was wrong: the first few problems and the count.
  void check() const;

 private:
  std::string path_;  // of the model
  std::unordered_map<std::string_view, StoredTensor> tensors_;
  std::vector<std::string> problems_;
  uint64_t num_problems_ = 0;

  std::optional<DType> everything_;  // of of_everything()
  StoredTensor made_up_;             // the last one that such a table has given
};

}  // namespace axk1
