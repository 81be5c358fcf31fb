// Speed of single kernels, and why each is the one that runs.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "bench/bench_row.h"
#include "bench/roofline.h"
#include "kernels/registry.h"
#include "parallel/thread_pool.h"

namespace axk1 {

struct KernelBenchOptions {
  size_t num_samples = 7;
  double seconds_per_sample = 0.02;
  // Weights of a thread that reads them for one row: more than its share of the last-level cache.
  size_t stream_bytes = size_t{64} << 20;
};

// A row for every entry of the kernel tables, a second one for products: "1 row" reads weights that
// no cache holds, against memory bandwidth; "128 rows" multiplies what the cache holds, against the
// best arithmetic for the types that the machine has. The others work on what the L2 cache holds;
// their bytes are those read and written, against its read bandwidth. Every thread runs the kernel
// on data of its own; figures are of all threads together. `kernel` is the table's name,
// `passed_over` why no better one was taken. An entry that is not measured has no samples.
//
// Samples of all rows are interleaved; `step` gets (samples done, samples in all). The pool must be
// idle. Throws Error(kUsage) as select_kernels, and kOutOfMemory.
std::vector<BenchRow> bench_kernels(std::string_view kernels, uint32_t features, ThreadPool& pool,
                                    const Roofs& roofs, const KernelBenchOptions& options,
                                    const std::function<void(size_t, size_t)>& step = {});

}  // namespace axk1
