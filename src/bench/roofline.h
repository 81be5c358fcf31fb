// What this machine can do at most: the roofs that measured kernels are compared with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/peak_kernels.h"
#include "kernels/registry.h"
#include "parallel/thread_pool.h"

namespace axk1 {

struct RoofOptions {
  uint32_t features = cpu_features();
  size_t read_bytes = size_t{1} << 30;  // at most; no more than a quarter of the free memory
  size_t l3_bytes_per_thread = size_t{4} << 20;
  size_t l2_bytes_per_thread = size_t{512} << 10;
  double seconds_per_roof = 0.3;
};

// Of all threads of the pool together; 0 where the machine lacks it. GB are 10^9 bytes; a
// multiply-add counts as two operations.
struct Roofs {
  double read_gb_per_s = 0;  // memory, huge pages
  double read_l3_gb_per_s = 0;
  double read_l2_gb_per_s = 0;
  double fma_f32_gflops = 0;
  double dot_bf16_gflops = 0;
  double dot_int8_gops = 0;
  double amx_bf16_gflops = 0;
  double amx_int8_gops = 0;
  double handover_ns = 0;  // a cache line from one thread to another, one way; 0 with one thread

  // Of the best instruction for the type.
  double best_bf16_gflops() const {
    return std::max({fma_f32_gflops, dot_bf16_gflops, amx_bf16_gflops});
  }
  double best_int8_gops() const { return std::max({fma_f32_gflops, dot_int8_gops, amx_int8_gops}); }
};

// Takes about seconds_per_roof for each roof: the best of several runs, since a roof is what
// nothing exceeds. The pool must be idle. Throws Error(kOutOfMemory).
Roofs measure_roofs(ThreadPool& pool, const RoofOptions& options);

// 10^9 operations per second of that kind, all threads together; 0 where the machine lacks it.
// Takes about `seconds`.
double probe_arithmetic_gops(ThreadPool& pool, Peak peak, double seconds);

// One read of `region`, each thread its own contiguous part. Some 10 ms for 512 MiB.
double probe_read_gb_per_s(ThreadPool& pool, std::span<const std::byte> region);

// Median of several batches of hand-overs between threads 0 and 1; 0 with one thread. About 1 ms.
double probe_handover_ns(ThreadPool& pool);

// Whether so many bytes fit the last-level cache; false where its size is not known.
bool fits_l3(double bytes);

// A virtual machine may be moved between cores with one or two memory paths every few seconds:
// taken before and after a sample, this tells which figures may be compared.
struct MachineState {
  double handover_ns = 0;
  double read_gb_per_s = 0;
};
MachineState probe_state(ThreadPool& pool, std::span<const std::byte> region);

}  // namespace axk1
