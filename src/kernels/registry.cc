#include "kernels/registry.h"

#include "base/error.h"

namespace axk1 {

extern const KernelTable kRefKernels;

namespace {
constexpr const KernelTable* kTables[] = {&kRefKernels};
}  // namespace

uint32_t cpu_features() { return 0; }
std::string cpu_feature_names(uint32_t) { return ""; }
std::span<const KernelTable* const> all_kernel_tables() { return kTables; }

std::vector<std::string_view> available_kernel_names(uint32_t features) {
  std::vector<std::string_view> names;
  for (const KernelTable* table : kTables) {
    if ((table->needs & ~features) == 0) names.push_back(table->name);
  }
  return names;
}

KernelTable select_kernels(std::string_view name, uint32_t) {
  if (name != "" && name != "auto" && name != "ref") {
    fail(ErrorCode::kUsage, "--kernels=", name, ": unknown");
  }
  return kRefKernels;
}

}  // namespace axk1
