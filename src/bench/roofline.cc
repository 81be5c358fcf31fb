#include "bench/roofline.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "kernels/peak_kernels.h"
#include "tensor/buffer.h"

namespace axk1 {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Bytes of memory that new allocations can have, from /proc/meminfo; SIZE_MAX if unknown.
size_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (size_t kib; file >> key >> kib; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib << 10;
  }
  return SIZE_MAX;
}

// Reads every byte but a remainder below 128 once, into eight sums that do not wait for each other.
uint64_t sum_words(const std::byte* data, size_t bytes) {
  using Words = uint64_t __attribute__((vector_size(16), may_alias, aligned(8)));
  constexpr size_t kSums = 8;
  Words sums[kSums];
#pragma GCC unroll 8
  for (Words& sum : sums) sum = Words{};
  const auto* words = reinterpret_cast<const Words*>(data);
  for (size_t i = 0; i + kSums <= bytes / sizeof(Words); i += kSums) {
#pragma GCC unroll 8
    for (size_t s = 0; s < kSums; ++s) sums[s] += words[i + s];
  }
  Words all{};
#pragma GCC unroll 8
  for (const Words& sum : sums) all += sum;
  return all[0] + all[1];
}

void keep(uint64_t value) {
  __asm__ volatile("" : : "r"(value));
}

// Waits in a tight loop, the quickest answer there is, but lets others run when the one that is
// waited for seems to have lost its processor.
template <class Done>
void spin_until(Done&& done) {
  constexpr int kPolls = 20000;
  for (int polls = 0; !done(); ++polls) {
    if (polls >= kPolls) std::this_thread::yield();
  }
}

// Seconds for body(thread_idx) on all threads of the pool. The threads are woken first, and wait
// for each other before the clock starts.
template <class Body>
double timed_run(ThreadPool& pool, Body&& body) {
  std::atomic<int> arrived{0};
  double start = 0;
  pool.run([&](int thread_idx) {
    arrived.fetch_add(1, std::memory_order_acq_rel);
    spin_until([&] { return arrived.load(std::memory_order_acquire) >= pool.num_threads(); });
    if (thread_idx == 0) start = seconds_now();
    body(thread_idx);
  });
  return seconds_now() - start;
}

// The best rate of runs that together take about `seconds`, at least three.
template <class Run>
double best_rate(double seconds, double work, Run&& run) {
  double best = 0;
  const double end = seconds_now() + seconds;
  for (int i = 0; i < 3 || seconds_now() < end; ++i) best = std::max(best, work / run());
  return best;
}

double peak_rate(ThreadPool& pool, const RoofOptions& options, Peak peak) {
  for (const PeakKernel* kernel : all_peak_kernels()) {
    if (kernel->peak != peak || (kernel->needs & ~options.features)) continue;
    constexpr int kCalls = 100;
    const double work = kernel->ops_per_call * kCalls * pool.num_threads();
    return 1e-9 * best_rate(options.seconds_per_roof, work, [&] {
             return timed_run(pool, [&](int) {
               for (int i = 0; i < kCalls; ++i) kernel->run();
             });
           });
  }
  return 0;
}

// Every thread reads its own part of a cache-sized region, often enough to fill a millisecond.
double cache_rate(ThreadPool& pool, const RoofOptions& options, const Buffer& memory,
                  size_t bytes_per_thread) {
  const size_t bytes = std::min(bytes_per_thread, memory.size_bytes() / pool.num_threads());
  const int passes = static_cast<int>((size_t{128} << 20) / bytes) + 1;
  const double work = 1.0 * static_cast<double>(bytes) * passes * pool.num_threads();
  return 1e-9 * best_rate(options.seconds_per_roof, work, [&] {
           return timed_run(pool, [&](int thread_idx) {
             const std::byte* part = memory.as<std::byte>() + bytes * thread_idx;
             for (int i = 0; i < passes; ++i) keep(sum_words(part, bytes));
           });
         });
}

}  // namespace

double probe_arithmetic_gops(ThreadPool& pool, Peak peak, double seconds) {
  return peak_rate(pool, {.seconds_per_roof = seconds}, peak);
}

double probe_read_gb_per_s(ThreadPool& pool, std::span<const std::byte> region) {
  const size_t part = region.size() / pool.num_threads();
  const double seconds = timed_run(
      pool, [&](int thread_idx) { keep(sum_words(region.data() + part * thread_idx, part)); });
  return 1e-9 * static_cast<double>(part * pool.num_threads()) / seconds;
}

double probe_handover_ns(ThreadPool& pool) {
  if (pool.num_threads() < 2) return 0;
  constexpr int kBatches = 5;
  constexpr uint32_t kTurns = 100;
  struct alignas(64) {
    std::atomic<uint32_t> turn{0};
  } line;
  std::vector<double> batches(kBatches);
  pool.run([&](int thread_idx) {
    if (thread_idx > 1) return;
    const uint32_t parity = static_cast<uint32_t>(thread_idx);
    uint32_t turn = parity;
    for (double& batch : batches) {
      const double start = seconds_now();
      for (uint32_t i = 0; i < kTurns; ++i, turn += 2) {
        spin_until([&] { return line.turn.load(std::memory_order_acquire) == turn; });
        line.turn.store(turn + 1, std::memory_order_release);
      }
      if (thread_idx == 0) batch = (seconds_now() - start) * 1e9 / (2 * kTurns);
    }
  });
  std::nth_element(batches.begin(), batches.begin() + kBatches / 2, batches.end());
  return batches[kBatches / 2];
}

bool fits_l3(double bytes) {
  const long l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return l3 > 0 && bytes < static_cast<double>(l3);
}

MachineState probe_state(ThreadPool& pool, std::span<const std::byte> region) {
  return {probe_handover_ns(pool), probe_read_gb_per_s(pool, region)};
}

Roofs measure_roofs(ThreadPool& pool, const RoofOptions& options) {
  const Buffer memory(std::min(options.read_bytes, available_bytes() / 4));
  const std::span region(memory.as<std::byte>(), memory.size_bytes());
  Roofs roofs;
  roofs.handover_ns = probe_handover_ns(pool);
  const double end = seconds_now() + options.seconds_per_roof;
  for (int i = 0; i < 3 || seconds_now() < end; ++i) {
    roofs.read_gb_per_s = std::max(roofs.read_gb_per_s, probe_read_gb_per_s(pool, region));
  }
  roofs.read_l3_gb_per_s = cache_rate(pool, options, memory, options.l3_bytes_per_thread);
  roofs.read_l2_gb_per_s = cache_rate(pool, options, memory, options.l2_bytes_per_thread);
  roofs.fma_f32_gflops = peak_rate(pool, options, Peak::kFmaF32);
  roofs.dot_bf16_gflops = peak_rate(pool, options, Peak::kDotBF16);
  roofs.dot_int8_gops = peak_rate(pool, options, Peak::kDotInt8);
  roofs.amx_bf16_gflops = peak_rate(pool, options, Peak::kAmxBF16);
  roofs.amx_int8_gops = peak_rate(pool, options, Peak::kAmxInt8);
  return roofs;
}

}  // namespace axk1
