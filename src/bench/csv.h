// Measurements as comma-separated values (RFC 4180, with plain newlines).
#pragma once

#include <span>
#include <string>

#include "bench/bench_row.h"

namespace axk1 {

// A header line, then a line for each row: suite, name, value, unit, bytes, flops, roof_name, roof,
// roof_unit, achieved, share_of_roof, kernel, samples, passed_over. Samples are separated by
// blanks, what was passed over by "; "; numbers are written so that they read back the same.
std::string bench_csv(std::span<const BenchRow> rows);

}  // namespace axk1
