#include "kernels/registry.h"

#include <algorithm>
#include <ranges>

#include "base/error.h"
#include "kernels/kernel_list.h"

namespace axk1 {
namespace {

bool runs(const KernelTable& table, uint32_t features) {
  return (table.needs & ~features) == 0;
}

std::string joined(std::span<const std::string_view> names) {
  std::string out;
  for (std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

template <class Pointer>
void fill(Pointer& entry, Pointer fallback) {
  if (!entry) entry = fallback;
}

void fill_holes(KernelTable& table, const KernelTable& next) {
  for (size_t i = 0; i < kNumMatmulTypes; ++i) {
    fill(table.matmul_nt[i], next.matmul_nt[i]);
    fill(table.matmul_nn[i], next.matmul_nn[i]);
  }
  for (size_t i = 0; i < kNumQuantTypes; ++i) fill(table.matmul_q[i], next.matmul_q[i]);
  fill(table.quantize_row, next.quantize_row);
  fill(table.rms_norm, next.rms_norm);
  fill(table.silu_mul, next.silu_mul);
  fill(table.softmax_block, next.softmax_block);
  fill(table.add, next.add);
  fill(table.axpy, next.axpy);
  fill(table.scale, next.scale);
  fill(table.f32_to_bf16, next.f32_to_bf16);
  fill(table.bf16_to_f32, next.bf16_to_f32);
  fill(table.f16_to_f32, next.f16_to_f32);
}

// The first table called `name` that runs here.
auto find_table(std::string_view name, uint32_t features) {
  const bool any = name.empty() || name == "auto";
  const auto found = std::ranges::find_if(kKernelTables, [&](const KernelTable* table) {
    return (any ? !table->by_name_only : table->name == name) && runs(*table, features);
  });
  if (found != kKernelTables.end()) return found;

  const std::string available = joined(available_kernel_names(features));
  for (const KernelTable* table : std::views::reverse(kKernelTables)) {  // extensions come first
    if (table->name != name) continue;
    fail(ErrorCode::kUsage, "--kernels=", name, ": this machine lacks ",
         cpu_feature_names(table->needs & ~features), "; it can run ", available);
  }
  fail(ErrorCode::kUsage, "--kernels=", printable(name), ": unknown; expected auto or one of ",
       available);
}

}  // namespace

std::span<const KernelTable* const> all_kernel_tables() {
  return kKernelTables;
}

std::vector<std::string_view> available_kernel_names(uint32_t features) {
  std::vector<std::string_view> names;
  for (const KernelTable* table : kKernelTables) {
    if (!runs(*table, features)) continue;
    if (std::ranges::find(names, table->name) == names.end()) names.push_back(table->name);
  }
  return names;
}

KernelTable select_kernels(std::string_view name, uint32_t features) {
  const auto first = find_table(name, features);
  KernelTable selected = **first;
  for (auto next = first + 1; next != kKernelTables.end(); ++next) {
    if (runs(**next, features)) fill_holes(selected, **next);
  }
  return selected;
}

}  // namespace axk1
