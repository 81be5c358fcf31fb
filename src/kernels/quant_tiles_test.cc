// The tile program of cpu/amx for quantised weights over the model of the tile unit, on any machine
// with AVX-512; where there is a unit, QuantMatmul runs the same program on it.
#include <cstdio>

#include "kernels/cpu/tile_model.h"
#include "kernels/quant_test_util.h"

#if defined(__x86_64__)

// g++ 12's own avx512 header reads an undefined vector on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace axk1 {
namespace {

// For the kernels alone: an inline function of a header, compiled for AVX-512, could end up as the
// body that the whole program calls.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma")
#include "kernels/cpu/simd/panel.inl"
// Needs the above.
#include "kernels/cpu/simd/quant_vnni.inl"

#include "kernels/cpu/amx/tile_config.inl"
// Needs the above.
#include "kernels/cpu/amx/expand_vbmi.inl"
// Needs the above.
#include "kernels/cpu/amx/quant_tiles.inl"

template <class Type>
void run_on_model(const QuantMatmulArgs& a) {
  TileModel unit;
  TileProduct<Type, TileModel>(unit, a).run();
}
#pragma GCC pop_options

using testing::kQuantTypes;
using testing::QuantProduct;

constexpr QuantMatmulKernel kOnModel[kNumQuantTypes] = {run_on_model<Q8>, run_on_model<Q4>,
                                                        run_on_model<Q3>};

TEST(QuantTiles, ProgramGivesTheBitsOfRef) {
  const uint32_t missing = (kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Vbmi) & ~cpu_features();
  if (missing) GTEST_SKIP() << "skipped: no " << cpu_feature_names(missing);
  std::mt19937 rng(21);
  size_t cases = 0;
  for (size_t type = 0; type < kNumQuantTypes; ++type) {
    const auto check = [&](size_t m, size_t n, size_t k) {
      const QuantProduct product(rng, kQuantTypes[type], m, n, k);
      product.expect_bits_of_ref(product.run(kOnModel[type]));
      ++cases;
    };
    for (size_t m = 1; m <= 70; ++m) check(m, 40, 96);
    for (size_t n : {1u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 80u}) {
      for (size_t m : {5u, 16u, 37u}) check(m, n, 320);
    }
    for (size_t k :
         {1u, 16u, 31u, 32u, 33u, 63u, 64u, 65u, 96u, 255u, 256u, 257u, 288u, 300u, 321u, 576u}) {
      for (size_t m : {3u, 16u, 33u, 50u}) check(m, 33, k);
    }
    // One and more of what a part and a chunk hold.
    for (size_t m : {512u, 513u, 1030u}) check(m, 33, 32);
    for (size_t k : {2048u, 2049u, 5000u}) check(530, 17, k);
    for (size_t k : {8192u, 8193u}) check(40, 20, k);
  }
  std::printf("[ cases ] QuantTiles.ProgramGivesTheBitsOfRef: %zu\n", cases);
}

}  // namespace
}  // namespace axk1

#pragma GCC diagnostic pop
#endif
