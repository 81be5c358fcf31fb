// How much each input column of each matrix matters: the mean of its squared inputs over a
// calibration text. Weights are then rounded so as to keep the outputs, not the weights, close
// (docs/formats.md, "Importance files").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/safetensors.h"

namespace axk1 {

// A file of `axk1 calibrate`. Movable; spans stay valid while the object lives. Any thread may
// read.
class Importance {
 public:
  // Throws Error naming the file and the tensor.
  static Importance load(const std::string& path);

  // Mean squared input of every column of a matrix, [in_features], finite and not negative; empty
  // for a matrix that the file does not know or that saw no row. `tensor_name` is the name in a
  // checkpoint with one tensor per expert, "model.layers.3.mlp.experts.17.down_proj.weight" also
  // for a checkpoint whose experts are fused.
  //
  // A routed expert that saw no row gets the mean over all rows that the other experts of its layer
  // saw in the same projection. up_proj gets what gate_proj has, since both multiply the same rows;
  // the embedding gets what lm_head has when the two are one matrix.
  std::span<const float> find(std::string_view tensor_name) const;

  // Rows that the matrix multiplied in calibration; 0 also for a matrix that the file does not
  // know.
  uint64_t num_rows(std::string_view tensor_name) const;

  // `model`, `tokens`, `text_digest`, ...
  const std::map<std::string, std::string>& metadata() const { return file_.header().metadata; }

 private:
  // One matrix, or one projection of all routed experts of a layer.
  struct Entry {
    std::span<const float> values;  // [experts, in_features]
    std::vector<float> copy;        // owns `values` where the file misaligns them
    std::vector<uint64_t> rows;     // [experts]
    std::vector<float> mean;        // [in_features] over the rows of all experts
    bool is_experts = false;
    size_t num_columns() const { return mean.size(); }
  };
  struct Place {
    const Entry* entry = nullptr;  // null: not in the file
    size_t expert_idx = 0;
  };

  explicit Importance(const std::string& path);
  void read_entry(const TensorInfo& values, const std::string& name);
  Place place_of(std::string_view tensor_name) const;

  SafetensorsFile file_;
  std::unordered_map<std::string, Entry> entries_;
  bool tied_ = false;
};

// "model.layers.3.mlp.experts.17.down_proj.weight" -> the same without "17.", and 17. Nothing for a
// name that is not of a routed expert.
struct ExpertName {
  std::string group;
  size_t expert_idx = 0;
};
std::optional<ExpertName> parse_expert_name(std::string_view tensor_name);

// What names in the file end with, behind the name of the matrix.
inline constexpr std::string_view kImportanceSuffix = ".importance";
inline constexpr std::string_view kImportanceRowsSuffix = ".rows";
inline constexpr std::string_view kImportanceFormat = "axk1-importance-1";  // metadata "format"

}  // namespace axk1
