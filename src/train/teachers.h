// Teachers: a model beside the student, or a file of answers.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "model/forward.h"
#include "parallel/thread_pool.h"
#include "train/teacher.h"
#include "train/teacher_cache.h"

namespace axk1 {

// Any checkpoint that the inference engine runs, quantised or not; every document of a batch is a
// sequence of its own.
class ModelTeacher final : public Teacher {
 public:
  // Reads the model. max_tokens: the largest batch. kernels and pool must outlive this; read() and
  // rows() run on the pool. Throws Error as the loading of models does.
  ModelTeacher(const std::string& model, const KernelTable& kernels, ThreadPool& pool,
               size_t max_tokens, double temperature);
  ~ModelTeacher() override;

  void read(const TrainBatch& batch, uint64_t first_position) override;
  std::span<const TeacherRow> rows(size_t first, size_t count) override;
  uint64_t vocab_size() const override { return static_cast<uint64_t>(config_.vocab_size); }

 private:
  const KernelTable& kernels_;
  ThreadPool& pool_;
  double temperature_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<Forward> forward_;
  std::vector<KvCache> caches_;  // grow to the most documents of a batch, and stay
  std::vector<SequenceInput> sequences_;
  std::vector<int32_t> targets_;  // of the batch
  std::vector<float> probabilities_;
  std::vector<TeacherRow> rows_;
};

// The answers of a cache. Throws Error(kInvalidInput) when the run has more tokens than the cache.
class CacheTeacher final : public Teacher {
 public:
  explicit CacheTeacher(TeacherCache cache) : cache_(std::move(cache)) {}

  void read(const TrainBatch& batch, uint64_t first_position) override;
  std::span<const TeacherRow> rows(size_t first, size_t count) override;
  uint64_t vocab_size() const override { return cache_.info().vocab_size; }
  const TeacherCache& cache() const { return cache_; }

 private:
  TeacherCache cache_;
  uint64_t first_position_ = 0;
  std::vector<int32_t> targets_;
  std::vector<TeacherCache::Memory> memory_;
  std::vector<TeacherRow> rows_;
};

// Of a model directory or k1pack file: its config, and of every file of weights the size and the
// bytes at both ends, where headers and checksums stand. Throws Error(kNotFound, kIo).
uint64_t teacher_hash(const std::string& model);

}  // namespace axk1
