#include "bench/roofline.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/peak_kernels.h"
#include "tensor/buffer.h"

namespace axk1 {
namespace {

TEST(Roofline, MeasuresWhatTheMachineHas) {
  ThreadPool pool(2);
  RoofOptions options;
  options.read_bytes = size_t{64} << 20;
  options.seconds_per_roof = 0.01;
  const Roofs roofs = measure_roofs(pool, options);
  std::printf(
      "read %.1f (L3 %.1f, L2 %.1f) GB/s, f32 %.1f bf16 %.1f GFLOP/s, int8 %.1f GOP/s, "
      "AMX %.1f GFLOP/s %.1f GOP/s, hand-over %.0f ns\n",
      roofs.read_gb_per_s, roofs.read_l3_gb_per_s, roofs.read_l2_gb_per_s, roofs.fma_f32_gflops,
      roofs.dot_bf16_gflops, roofs.dot_int8_gops, roofs.amx_bf16_gflops, roofs.amx_int8_gops,
      roofs.handover_ns);
  EXPECT_GT(roofs.read_gb_per_s, 0);
  EXPECT_GT(roofs.read_l2_gb_per_s, 0);
  EXPECT_GT(roofs.handover_ns, 0);
  const uint32_t features = cpu_features();
  EXPECT_EQ(roofs.fma_f32_gflops > 0, (features & kCpuAvx2) != 0);
  EXPECT_EQ(roofs.dot_bf16_gflops > 0, (features & kCpuAvx512Bf16) != 0);
  EXPECT_EQ(roofs.dot_int8_gops > 0, (features & kCpuAvx512Vnni) != 0);
  EXPECT_EQ(roofs.amx_bf16_gflops > 0, (features & kCpuAmxBf16) != 0);
  EXPECT_EQ(roofs.amx_int8_gops > 0, (features & kCpuAmxInt8) != 0);
}

TEST(Roofline, ForbiddenFeaturesGiveNoRoof) {
  ThreadPool pool(1);
  RoofOptions options;
  options.features = 0;
  options.read_bytes = size_t{1} << 20;
  options.seconds_per_roof = 0.001;
  const Roofs roofs = measure_roofs(pool, options);
  EXPECT_GT(roofs.read_gb_per_s, 0);
  EXPECT_EQ(roofs.fma_f32_gflops, 0);
  EXPECT_EQ(roofs.amx_bf16_gflops, 0);
  EXPECT_EQ(roofs.handover_ns, 0);  // one thread
}

TEST(Roofline, StateProbe) {
  ThreadPool pool(2);
  const Buffer memory(size_t{32} << 20);
  const MachineState state = probe_state(pool, {memory.as<std::byte>(), memory.size_bytes()});
  EXPECT_GT(state.handover_ns, 0);
  EXPECT_GT(state.read_gb_per_s, 0);
}

}  // namespace
}  // namespace axk1
