#include "bench/bench_row.h"

#include <algorithm>

#include "bench/median.h"

namespace axk1 {

void MeteredRow::add_sample(double value, double seconds, double memory_gb_per_s) {
  const double read_gb_per_s = l3_gb_per_s > 0 ? l3_gb_per_s : memory_gb_per_s;
  const double read_seconds = row.bytes / (read_gb_per_s * 1e9);
  const bool compute_bound = compute_seconds > read_seconds;
  row.samples.push_back(value);
  row.roof_name = compute_bound ? "arithmetic" : l3_gb_per_s > 0 ? "L3 read" : "memory read";
  row.roof_unit = compute_bound ? "GFLOP/s" : "GB/s";
  shares_.push_back(std::max(compute_seconds, read_seconds) / seconds);
  roofs_.push_back(compute_bound ? row.flops / compute_seconds / 1e9 : read_gb_per_s);
  achieved_.push_back((compute_bound ? row.flops : row.bytes) / seconds / 1e9);
}

BenchRow MeteredRow::finish() {
  row.value = median(row.samples);
  row.share_of_roof = median(shares_);
  row.achieved = median(achieved_);
  row.roof = median(roofs_);
  return std::move(row);
}

}  // namespace axk1
