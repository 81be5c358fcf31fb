// The teacher of a run: docs/training.md, "Distillation".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/kernel_table.h"
#include "model/config.h"
#include "parallel/thread_pool.h"
#include "train/run_config.h"
#include "train/run_data.h"
#include "train/teacher.h"
#include "train/teacher_cache.h"

namespace axk1 {

// The run's cache if it names one, else its teacher. kernels and pool must outlive it. Throws
// Error: a teacher of another vocabulary, a cache of another run, tokenizer, teacher or
// temperature, or one whose draws the loss cannot use.
std::unique_ptr<Teacher> make_teacher(const RunConfig& run, const RunData& data,
                                      const DataOrder& order, const ModelConfig& student,
                                      const KernelTable& kernels, ThreadPool& pool);

// A teacher that can be asked about anything: the run's model, or its server. max_tokens: of a
// batch. Otherwise as above.
std::unique_ptr<Teacher> make_live_teacher(const RunDistil& distil, uint64_t tokenizer_hash,
                                           size_t max_tokens, const ModelConfig& student,
                                           const KernelTable& kernels, ThreadPool& pool);

struct WriteCacheOptions {
  TeacherCacheKind kind = TeacherCacheKind::kDraws;
  uint32_t count = 12;
  int num_threads = 0;  // 0: every usable processor
  std::string kernels;  // name of a kernel table; empty: the best of the machine
  // Positions done and in all; false ends it, and nothing is written.
  std::function<bool(uint64_t, uint64_t)> progress;
};

// What the run's teacher says at every position of the run. The same file for any number of
// threads. False when `progress` ended it. Throws Error.
bool write_teacher_cache(const RunConfig& run, const std::string& path,
                         const WriteCacheOptions& options);

}  // namespace axk1
