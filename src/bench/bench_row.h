// Figures beside the roof that each was measured against.
#pragma once

#include <string>
#include <vector>

namespace axk1 {

// One figure. `share_of_roof` is the median over samples of (roof time / measured time), each
// against the roof probed beside it.
struct BenchRow {
  std::string suite;  // prefill, decode, ...
  std::string name;
  double value = 0;  // median
  std::string unit;  // tok/s
  double bytes = 0;  // of weights and cache read by one step
  double flops = 0;  // of one step
  std::string roof_name;
  double roof = 0;  // in roof_unit
  std::string roof_unit;
  double achieved = 0;  // in roof_unit
  double share_of_roof = 0;
  std::vector<double> samples;  // in `unit`, in the order taken
  std::string kernel;

  std::string kernel_needs;  // of single kernels: features that tell tables of one name apart
  // Of single kernels: better tables that were not taken, and why (kernels/registry.h).
  struct PassedOver {
    std::string kernel, reason;
  };
  std::vector<PassedOver> passed_over;
};

// A figure that is being measured. Its roof is what its bytes are read at or arithmetic, whichever
// takes longer for one step.
class MeteredRow {
 public:
  BenchRow row;                // suite, name, unit, bytes and flops of a step, kernel
  double compute_seconds = 0;  // the least time for the arithmetic of a step
  // Not 0: what steps read stays in the L3 cache, and this is its bandwidth.
  double l3_gb_per_s = 0;

  // `value`, in row.unit, of a step that took `seconds` while memory was read at
  // `memory_gb_per_s`.
  void add_sample(double value, double seconds, double memory_gb_per_s);

  // The row with the medians of its samples.
  BenchRow finish();

 private:
  std::vector<double> shares_, achieved_, roofs_;
};

}  // namespace axk1
