// Loops that do nothing but the best arithmetic instruction of an instruction set, to measure what
// the machine can do at most. Same rules as kernel tables: data, one object per instruction set.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernel_table.h"

namespace axk1 {

enum class Peak : uint8_t { kFmaF32, kDotBF16, kDotInt8, kAmxBF16, kAmxInt8 };

struct PeakKernel {
  const char* name;  // the instruction
  uint32_t needs;    // CpuFeature bits
  Peak peak;
  double ops_per_call;  // multiplications and additions, each counted as one
  void (*run)();        // on the calling thread, some 10 to 100 us
};

// Every one of this build, the best for each Peak first.
std::span<const PeakKernel* const> all_peak_kernels();

}  // namespace axk1
