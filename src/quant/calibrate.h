// Measures what every matrix of a model multiplies while it reads text (quant/importance.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "formats/safetensors_writer.h"
#include "model/forward.h"

namespace axk1 {

// Sums the squares of the inputs, in double: give it to Forward::run. Memory: 8 bytes for each
// input column of each matrix (A.X K1: 0.9 GB). Config, weights and pool outlive it; one thread at
// a time, which owns the pool. Throws Error(kUnsupported) for quantised weights.
class ImportanceCollector : public ForwardObserver, private MatmulObserver {
 public:
  ImportanceCollector(const ModelConfig& config, const ModelWeights& weights, ThreadPool& pool);

  void hidden(size_t idx, std::span<const float> x) override;
  MatmulObserver* products() override { return this; }

  // What a file of it holds, and that content. docs/formats.md, "Importance files".
  std::vector<TensorSpec> tensor_specs() const;
  void append_to(SafetensorsWriter& file) const;

  // Routed experts, and how many of them have seen no row so far.
  size_t num_experts() const;
  size_t num_unseen_experts() const;

 private:
  // One matrix, or one projection of all routed experts of a layer.
  struct Entry {
    std::string name;
    size_t num_columns = 0;
    std::vector<double> sums;    // [experts, in_features]
    std::vector<uint64_t> rows;  // [experts]
    bool is_experts = false;
  };
  // Where the rows of a matrix count; entry_idx kNotCounted where another matrix multiplies the
  // same rows.
  struct Place {
    size_t entry_idx = 0;
    size_t expert_idx = 0;
  };
  static constexpr size_t kNotCounted = SIZE_MAX;

  void rows(const MatrixView& w, const void* x, DType x_dtype, size_t x_stride,
            size_t num_rows) override;
  void add(const std::string& name, const MatrixView& w);
  void add_mlp(const std::string& prefix, const ExpertWeights& w);
  void add_experts(const std::string& prefix, std::span<const ExpertWeights> experts);
  template <class Element>
  void add_rows(const Place& place, const Element* x, size_t x_stride, size_t num_rows);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  ThreadPool& pool_;
  std::vector<Entry> entries_;
  std::unordered_map<const void*, Place> places_;  // by the data of the matrix
  size_t head_idx_ = 0;
  std::vector<float> head_rows_;
};

// Reads the ids in windows of `context` tokens that do not overlap. False when `progress` returned
// false, which stops.
bool calibrate(Engine& engine, std::span<const TokenId> ids, size_t context,
               ImportanceCollector& collector,
               const std::function<bool(size_t done, size_t total)>& progress = {});

// What the file says of its making: format, model, sizes of the model, tokens, digest of the text.
std::map<std::string, std::string> importance_metadata(const Engine& engine, std::string_view text,
                                                       size_t num_tokens, size_t context);

}  // namespace axk1
