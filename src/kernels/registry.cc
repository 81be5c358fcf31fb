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

// Calls visit(name, entry) for every entry of a table; entry(table) is that of a table.
template <class Visit>
void each_entry(Visit&& visit) {
  constexpr const char* kMatmulNames[kNumMatmulTypes] = {"f32 f32", "f32 bf16", "f32 f16",
                                                         "bf16 bf16"};
  constexpr const char* kQuantNames[kNumQuantTypes] = {"q8", "q4", "q3"};
  for (size_t i = 0; i < kNumMatmulTypes; ++i) {
    visit(
        cat("matmul_nt ", kMatmulNames[i]), [i](auto& t) -> auto& { return t.matmul_nt[i]; });
  }
  for (size_t i = 0; i < kNumMatmulTypes; ++i) {
    visit(
        cat("matmul_nn ", kMatmulNames[i]), [i](auto& t) -> auto& { return t.matmul_nn[i]; });
  }
  for (size_t i = 0; i < kNumQuantTypes; ++i) {
    visit(
        cat("matmul_q ", kQuantNames[i]), [i](auto& t) -> auto& { return t.matmul_q[i]; });
  }
  visit(
      "quantize_row", [](auto& t) -> auto& { return t.quantize_row; });
  visit(
      "latent bf16", [](auto& t) -> auto& { return t.latent[0]; });
  visit(
      "latent int8", [](auto& t) -> auto& { return t.latent[1]; });
  visit(
      "rms_norm", [](auto& t) -> auto& { return t.rms_norm; });
  visit(
      "silu_mul", [](auto& t) -> auto& { return t.silu_mul; });
  visit(
      "softmax_block", [](auto& t) -> auto& { return t.softmax_block; });
  visit(
      "add", [](auto& t) -> auto& { return t.add; });
  visit(
      "axpy", [](auto& t) -> auto& { return t.axpy; });
  visit(
      "scale", [](auto& t) -> auto& { return t.scale; });
  visit(
      "f32_to_bf16", [](auto& t) -> auto& { return t.f32_to_bf16; });
  visit(
      "bf16_to_f32", [](auto& t) -> auto& { return t.bf16_to_f32; });
  visit(
      "f16_to_f32", [](auto& t) -> auto& { return t.f16_to_f32; });
}

void fill_holes(KernelTable& table, const KernelTable& next) {
  each_entry([&](const std::string&, auto entry) {
    if (!entry(table)) entry(table) = entry(next);
  });
}

// The first table called `name` that runs here.
auto find_table(std::string_view name, uint32_t features) {
  const bool any = name.empty() || name == "auto";
  const auto found = std::ranges::find_if(kKernelTables, [&](const KernelTable* table) {
    return (any || table->name == name) && runs(*table, features);
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

std::vector<KernelChoice> explain_kernels(std::string_view name, uint32_t features) {
  const auto first = find_table(name, features);
  std::vector<KernelChoice> choices;
  each_entry([&](const std::string& entry_name, auto entry) {
    KernelChoice choice{.entry = entry_name};
    for (auto at = kKernelTables.begin(); at != kKernelTables.end() && !choice.table; ++at) {
      const KernelTable& table = **at;
      std::string reason;
      if (!runs(table, features)) {
        reason = cat("this machine lacks ", cpu_feature_names(table.needs & ~features));
      } else if (at < first) {
        reason = cat("--kernels=", name, " was asked for");
      } else if (!entry(table)) {
        reason = "has no such kernel";
      } else {
        choice.table = &table;
        continue;
      }
      choice.passed_over.push_back({&table, std::move(reason)});
    }
    if (choice.table) choices.push_back(std::move(choice));
  });
  return choices;
}

}  // namespace axk1
