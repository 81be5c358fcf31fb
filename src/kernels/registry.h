// Which kernels this machine runs.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"

namespace axk1 {

// The CpuFeature bits that the processor has and the operating system lets us use. Asks the kernel
// for AMX tile state on the first call; later calls return the same value. Any thread.
uint32_t cpu_features();

// "avx2 avx512 avx512_bf16 ...", for reports.
std::string cpu_feature_names(uint32_t features);

// Every table of this build, best first; `ref` is the last.
std::span<const KernelTable* const> all_kernel_tables();

// The names that select_kernels takes on a machine with these features, best first.
std::vector<std::string_view> available_kernel_names(uint32_t features);

// The table to compute with: the entries of the best table whose needs `features` meets, holes
// filled from the ones after it. `name` forces one table to be the first ("" or "auto": the best).
// Throws Error(kUsage) for an unknown name or one that this machine cannot run, naming what there
// is. The result has no null entry but matmul_nn[kBF16BF16].
KernelTable select_kernels(std::string_view name, uint32_t features);

// Why an entry of select_kernels is what it is.
struct KernelChoice {
  struct PassedOver {
    const KernelTable* table = nullptr;
    std::string reason;  // "only by name", "this machine lacks avx512", "has no such kernel", ...
  };
  std::string entry;                    // "matmul_nt f32 bf16", "rms_norm"
  const KernelTable* table = nullptr;   // whose kernel it is
  std::vector<PassedOver> passed_over;  // the tables before it, best first
};

// For every entry of the tables that any table has, in the order of KernelTable. Throws as
// select_kernels.
std::vector<KernelChoice> explain_kernels(std::string_view name, uint32_t features);

}  // namespace axk1
