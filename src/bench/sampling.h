// How figures are sampled: in turn, each for a while, with memory probed beside it.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "bench/roofline.h"
#include "tensor/buffer.h"

namespace axk1 {

// Calls `body` once and until `least_seconds` have passed. Seconds of a call, on average.
template <class Body>
double seconds_each(double least_seconds, Body&& body) {
  using Clock = std::chrono::steady_clock;
  size_t calls = 0;
  double seconds = 0;
  const auto start = Clock::now();
  do {
    body();
    ++calls;
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } while (seconds < least_seconds);
  return seconds / static_cast<double>(calls);
}

// Takes num_samples samples of every case, interleaved, so that a drift of the machine meets all of
// them alike. measure(case) takes one and returns what is then called with the GB/s that memory was
// read at, the mean of a probe before and one after, to keep it. The probes empty the caches.
// `step` is called after each sample with (samples done, samples in all).
template <class Case, class Measure>
void sample_in_turn(ThreadPool& pool, std::vector<Case>& cases, size_t num_samples,
                    const std::function<void(size_t, size_t)>& step, Measure&& measure) {
  Buffer region(size_t{256} << 20);
  const std::span<const std::byte> probed(region.as<std::byte>(), region.size_bytes());
  size_t done = 0;
  for (size_t sample = 0; sample < num_samples; ++sample) {
    for (Case& c : cases) {
      const MachineState before = probe_state(pool, probed);
      const auto keep = measure(c);
      const MachineState after = probe_state(pool, probed);
      keep((before.read_gb_per_s + after.read_gb_per_s) / 2);
      if (step) step(++done, cases.size() * num_samples);
    }
  }
}

}  // namespace axk1
