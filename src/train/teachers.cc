#include "train/teachers.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/named_files.h"

namespace axk1 {

ModelTeacher::ModelTeacher(const std::string& model, const KernelTable& kernels, ThreadPool& pool,
                           size_t max_tokens, double temperature)
    : kernels_(kernels),
      pool_(pool),
      temperature_(temperature),
      config_(load_model_config(open_model_files(model))),
      weights_(load_weights(model, config_, {})),
      forward_(std::make_unique<Forward>(config_, weights_, kernels, pool,
                                         ForwardOptions{.max_batch_tokens = max_tokens})) {}

ModelTeacher::~ModelTeacher() = default;

void ModelTeacher::read(const TrainBatch& batch, uint64_t) {
  const size_t tokens = batch.inputs.size();
  AXK1_CHECK(tokens <= forward_->options().max_batch_tokens);
  targets_ = batch.targets;
  std::vector<size_t> begins;  // of documents
  for (size_t i = 0; i < tokens; ++i) {
    if (i % batch.row_length == 0 || batch.positions[i] == 0) begins.push_back(i);
  }
  while (caches_.size() < begins.size()) caches_.emplace_back(config_, forward_->cache_dtype());
  sequences_.clear();
  for (size_t d = 0; d < begins.size(); ++d) {
    const size_t end = d + 1 < begins.size() ? begins[d + 1] : tokens;
    caches_[d].truncate(0);
    caches_[d].reserve(end - begins[d]);
    sequences_.push_back({.tokens = std::span(batch.inputs).subspan(begins[d], end - begins[d]),
                          .cache = &caches_[d],
                          .all_logits = true,
                          .mla_form = MlaForm::kAutomatic});
  }
  forward_->run(sequences_);
}

std::span<const TeacherRow> ModelTeacher::rows(size_t first, size_t count) {
  AXK1_CHECK(first + count <= targets_.size());
  const size_t vocab = vocab_size();
  const std::span<const float> logits = forward_->logits(first, count);
  probabilities_.assign(logits.begin(), logits.end());
  rows_.assign(count, {});
  const auto scale = static_cast<float>(1 / temperature_);
  pool_.parallel_for(count, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (targets_[first + i] < 0) continue;
      float* row = probabilities_.data() + i * vocab;
      float max = -std::numeric_limits<float>::infinity(), sum = 0;
      kernels_.softmax_block(row, vocab, scale, &max, &sum);
      kernels_.scale(1 / sum, row, vocab);
      const auto scores = logits.subspan(i * vocab, vocab);
      const std::span<const float> p(row, vocab);
      const double log_sum = double{max} + std::log(double{sum});
      rows_[i] = {.kind = TeacherRow::Kind::kAll,
                  .probabilities = p,
                  .entropy = log_sum - double{scale} * sum_of_products(p, scores)};
    }
  });
  return rows_;
}

void CacheTeacher::read(const TrainBatch& batch, uint64_t first_position) {
  const uint64_t end = first_position + batch.inputs.size();
  if (end > cache_.info().num_positions) {
    fail(ErrorCode::kInvalidInput, "teacher cache: has ", cache_.info().num_positions,
         " positions, expected at least ", end);
  }
  first_position_ = first_position;
  targets_ = batch.targets;
}

std::span<const TeacherRow> CacheTeacher::rows(size_t first, size_t count) {
  AXK1_CHECK(first + count <= targets_.size());
  if (memory_.size() < count) memory_.resize(count);
  rows_.assign(count, {});
  for (size_t i = 0; i < count; ++i) {
    if (targets_[first + i] >= 0) rows_[i] = cache_.row(first_position_ + first + i, memory_[i]);
  }
  return rows_;
}

uint64_t teacher_hash(const std::string& model) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  if (is_directory(model)) {
    for (const auto& entry : fs::directory_iterator(model)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".safetensors" || entry.path().filename() == "config.json") {
        paths.push_back(entry.path().string());
      }
    }
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(model);
  }
  if (paths.empty()) fail(ErrorCode::kNotFound, model, ": has neither config.json nor weights");
  constexpr size_t kEnd = 1 << 20;
  Checksum64 sum;
  for (const std::string& path : paths) {
    const MappedFile file(path);
    const uint64_t size = file.bytes().size();
    sum.update(std::as_bytes(std::span(&size, 1)));
    sum.update(file.bytes().first(std::min<size_t>(size, kEnd)));
    sum.update(file.bytes().last(std::min<size_t>(size, kEnd)));
  }
  return sum.digest();
}

}  // namespace axk1
