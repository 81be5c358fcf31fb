// Tells steps whose gradient is out of line with the steps before, so that they can be skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace axk1 {

struct SpikeGuardOptions {
  double factor = 0;   // 0: only what is not finite is a spike
  size_t window = 64;  // steps that the median is over
};

// A gradient is a spike when its norm is above factor times the median of the norms of the last
// `window` steps that were taken, once half a window of them is known; and whenever its norm or the
// loss is not finite. One thread at a time.
class SpikeGuard {
 public:
  explicit SpikeGuard(const SpikeGuardOptions& options) : options_(options) {}

  // Whether to skip this step; remembers the norm when not.
  bool is_spike(double loss, double gradient_norm);

  double median() const;  // 0 before the first step
  uint64_t skipped() const { return skipped_; }
  uint64_t skipped_in_a_row() const { return in_a_row_; }

  // What a checkpoint keeps: norms, oldest first, and the counters.
  struct State {
    std::vector<double> norms;
    uint64_t skipped = 0, in_a_row = 0;
  };
  State state() const { return {norms_, skipped_, in_a_row_}; }
  void restore(State state);

 private:
  SpikeGuardOptions options_;
  std::vector<double> norms_;  // oldest first, at most `window`
  uint64_t skipped_ = 0, in_a_row_ = 0;
};

}  // namespace axk1
