#include "kernels/peak_kernels.h"

#include "kernels/kernel_list.h"

namespace axk1 {

std::span<const PeakKernel* const> all_peak_kernels() {
  return kPeakKernels;
}

}  // namespace axk1
