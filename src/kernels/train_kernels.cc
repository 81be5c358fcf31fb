#include "kernels/train_kernels.h"

#include "kernels/kernel_list.h"

namespace axk1 {

std::span<const TrainKernels* const> all_train_kernels() {
  return kTrainKernels;
}

const TrainKernels& select_train_kernels(uint32_t features) {
  for (const TrainKernels* table : kTrainKernels) {
    if ((table->needs & ~features) == 0) return *table;
  }
  return *kTrainKernels.back();
}

}  // namespace axk1
