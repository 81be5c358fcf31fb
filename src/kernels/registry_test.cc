#include "kernels/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kAllFeatures = ~0u;

std::string usage_error(std::string_view name, uint32_t features) {
  try {
    select_kernels(name, features);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.what();
  }
  return "";
}

void expect_whole(const KernelTable& table) {
  for (size_t i = 0; i < kNumMatmulTypes; ++i) EXPECT_TRUE(table.matmul_nt[i]);
  for (size_t i = 0; i + 1 < kNumMatmulTypes; ++i) EXPECT_TRUE(table.matmul_nn[i]);
  for (const LatentKernels& latent : table.latent) {
    EXPECT_TRUE(latent.load && latent.attend && latent.store);
  }
  EXPECT_TRUE(table.rms_norm && table.silu_mul && table.softmax_block && table.add && table.axpy &&
              table.scale && table.f32_to_bf16 && table.bf16_to_f32 && table.f16_to_f32);
}

TEST(Registry, RefIsLastAndWhole) {
  const KernelTable& ref = *all_kernel_tables().back();
  EXPECT_STREQ(ref.name, "ref");
  EXPECT_EQ(ref.needs, 0u);
  expect_whole(ref);
}

TEST(Registry, EverySelectionIsWhole) {
  size_t cases = 0;
  for (uint32_t features = 0; features < 128; ++features) {
    for (std::string_view name : available_kernel_names(features)) {
      const KernelTable table = select_kernels(name, features);
      EXPECT_EQ(table.name, name);
      EXPECT_EQ(table.needs & ~features, 0u);
      expect_whole(table);
      ++cases;
    }
    EXPECT_EQ(available_kernel_names(features).back(), "ref");
  }
  std::printf("[ cases ] Registry.EverySelectionIsWhole: %zu\n", cases);
}

// What only adds to an instruction set may leave entries out, never a part of the plain kernels.
TEST(Registry, TablesHaveAllOrNoneOfTheKernelsAlongARow) {
  for (const KernelTable* t : all_kernel_tables()) {
    const bool any = t->rms_norm || t->silu_mul || t->softmax_block || t->add || t->axpy ||
                     t->scale || t->f32_to_bf16 || t->bf16_to_f32 || t->f16_to_f32;
    const bool all = t->rms_norm && t->silu_mul && t->softmax_block && t->add && t->axpy &&
                     t->scale && t->f32_to_bf16 && t->bf16_to_f32 && t->f16_to_f32;
    EXPECT_EQ(any, all) << t->name;
  }
}

TEST(Registry, AutoIsTheBestAvailable) {
  for (uint32_t features = 0; features < 128; ++features) {
    const std::vector<std::string_view> names = available_kernel_names(features);
    EXPECT_EQ(select_kernels("", features).name, names.front());
    EXPECT_EQ(select_kernels("auto", features).name, names.front());
  }
}

#if defined(__x86_64__)
TEST(Registry, NamesOnX86) {
  EXPECT_THAT(available_kernel_names(0), ::testing::ElementsAre("ref"));
  EXPECT_THAT(available_kernel_names(kCpuAvx2), ::testing::ElementsAre("avx2", "ref"));
  EXPECT_THAT(available_kernel_names(kCpuAvx2 | kCpuAvx512 | kCpuAvx512Bf16),
              ::testing::ElementsAre("avx512", "avx2", "ref"));
}

TEST(Registry, Avx512TakesTheBf16DotWhereThereIsOne) {
  constexpr size_t kBF16 = static_cast<size_t>(MatmulTypes::kBF16BF16);
  constexpr uint32_t kPlain = kCpuAvx2 | kCpuAvx512;
  const KernelTable plain = select_kernels("avx512", kPlain);
  const KernelTable with_dot = select_kernels("avx512", kPlain | kCpuAvx512Bf16);
  EXPECT_NE(plain.matmul_nt[kBF16], with_dot.matmul_nt[kBF16]);
  EXPECT_EQ(plain.matmul_nt[0], with_dot.matmul_nt[0]);
  EXPECT_EQ(plain.rms_norm, with_dot.rms_norm);
}

TEST(Registry, ForcedLowerTableUsesNothingAbove) {
  const KernelTable avx2 = select_kernels("avx2", kAllFeatures);
  const KernelTable avx512 = select_kernels("avx512", kAllFeatures);
  const KernelTable ref = select_kernels("ref", kAllFeatures);
  EXPECT_NE(avx2.matmul_nt[0], avx512.matmul_nt[0]);
  EXPECT_NE(avx2.matmul_nt[0], ref.matmul_nt[0]);
  EXPECT_EQ(ref.rms_norm, all_kernel_tables().back()->rms_norm);
}

TEST(Registry, RefusalNamesWhatIsMissingAndWhatThereIs) {
  const std::string message = usage_error("avx512", kCpuAvx2);
  EXPECT_THAT(message, HasSubstr("--kernels=avx512: this machine lacks avx512;"));
  EXPECT_THAT(message, HasSubstr("avx2, ref"));
}
#endif

// What is explained is what is selected, and every table before it has a reason that holds.
TEST(Registry, ChoicesAreExplained) {
  size_t cases = 0;
  for (uint32_t features = 0; features < 128; ++features) {
    for (std::string_view name : available_kernel_names(features)) {
      const KernelTable selected = select_kernels(name, features);
      const std::vector<KernelChoice> choices = explain_kernels(name, features);
      EXPECT_EQ(choices.size(), 2 * kNumMatmulTypes - 1 + kNumQuantTypes + kNumLatentTypes + 10);
      for (const KernelChoice& choice : choices) {
        const KernelTable& table = *choice.table;
        if (choice.entry == "rms_norm") {
          EXPECT_EQ(table.rms_norm, selected.rms_norm);
        }
        if (choice.entry == "matmul_nt bf16 bf16") {
          EXPECT_EQ(table.matmul_nt[3], selected.matmul_nt[3]);
        }
        if (choice.entry == "matmul_q q4") {
          EXPECT_EQ(table.matmul_q[1], selected.matmul_q[1]);
        }
        size_t idx = 0;
        for (const auto& [passed, reason] : choice.passed_over) {
          EXPECT_EQ(passed, all_kernel_tables()[idx++]);
          const bool lacks = (passed->needs & ~features) != 0;
          EXPECT_EQ(reason.starts_with("this machine lacks "), lacks);
        }
        EXPECT_EQ(choice.table, all_kernel_tables()[idx]);
        ++cases;
      }
    }
  }
  std::printf("[ cases ] Registry.ChoicesAreExplained: %zu\n", cases);
  EXPECT_THROW(explain_kernels("sse9", kAllFeatures), Error);
}

#if defined(__x86_64__)
TEST(Registry, ReasonsForTheBf16Dot) {
  const auto reason_of = [](std::string_view name, uint32_t features, std::string_view entry) {
    for (const KernelChoice& choice : explain_kernels(name, features)) {
      if (choice.entry != entry) continue;
      std::string text = choice.table->name;
      for (const auto& [table, reason] : choice.passed_over) text += "; " + reason;
      return text;
    }
    return std::string();
  };
  EXPECT_THAT(reason_of("", kCpuAvx2 | kCpuAvx512, "matmul_nt bf16 bf16"),
              HasSubstr("avx512; this machine lacks avx512_vnni avx512_vbmi amx_bf16 amx_int8"));
  EXPECT_THAT(reason_of("", kAllFeatures, "rms_norm"), HasSubstr("avx512; has no such kernel"));
  EXPECT_THAT(reason_of("ref", kAllFeatures, "add"), HasSubstr("--kernels=ref was asked for"));
}
#endif

TEST(Registry, UnknownNameIsRefused) {
  const std::string message = usage_error("sse9", kAllFeatures);
  EXPECT_THAT(message, HasSubstr("--kernels=sse9: unknown"));
  EXPECT_THAT(message, HasSubstr("ref"));
  EXPECT_THAT(usage_error("AVX2", kAllFeatures), HasSubstr("unknown"));
}

TEST(Registry, FeaturesAreStableAndNamed) {
  EXPECT_EQ(cpu_features(), cpu_features());
  std::printf("features of this machine: %s\n", cpu_feature_names(cpu_features()).c_str());
  EXPECT_EQ(cpu_feature_names(0), "");
  EXPECT_EQ(cpu_feature_names(kCpuAvx2 | kCpuAmxInt8), "avx2 amx_int8");
}

}  // namespace
}  // namespace axk1
