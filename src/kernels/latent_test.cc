// Attention over latents: every table against ref and against sums in double, and against itself
// for row invariance. Where there is AVX-512 also the tile program over the model of the tile unit.
#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "kernels/cpu/tile_model.h"
#include "kernels/kernel_test_util.h"

#if defined(__x86_64__)
// g++ 12's own avx512 header reads an undefined vector on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wpsabi"
#include <immintrin.h>

namespace axk1 {
namespace {
namespace tiles {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
#include "kernels/cpu/avx512/vec.inl"
#include "kernels/cpu/avx512/words.inl"

constexpr size_t kMaxTileVecs = 4;

#include "kernels/cpu/simd/exp.inl"
// Needs the above.
#include "kernels/cpu/simd/latent.inl"
// Needs the above.
#include "kernels/cpu/simd/latent_bf16.inl"
#include "kernels/cpu/simd/latent_int8.inl"

#include "kernels/cpu/amx/tile_config.inl"
#include "kernels/cpu/amx/transpose.inl"
// Needs the above.
#include "kernels/cpu/amx_mla/latent_tiles.inl"
#pragma GCC pop_options

}  // namespace tiles

constinit const KernelTable kLatentTilesOnModel = {
    .name = "amx-model",
    .needs = kCpuAvx2 | kCpuAvx512,
    .latent = {{1, tiles::latent_load_bf16_tiles, tiles::latent_attend_bf16_tiles<TileModel>,
                tiles::latent_store_bf16_tiles},
               {1, tiles::latent_load_int8_tiles, tiles::latent_attend_int8_tiles<TileModel>,
                tiles::latent_store_int8_tiles}},
};

}  // namespace
}  // namespace axk1

#pragma GCC diagnostic pop
#endif

namespace axk1 {
namespace {

using testing::kNan;
using testing::kUnitRoundoff;

struct Shape {
  size_t lora, rope;
  size_t dim() const { return lora + rope; }
};

size_t padded(size_t n) {
  return (n + 3) / 4 * 4;
}

constexpr std::string_view kModelName = "amx-model";

// A cache in one of the two types, in whole blocks, and what its numbers mean.
class Cache {
 public:
  Cache(LatentTypes type, const Shape& shape, size_t positions, const std::vector<float>& numbers)
      : type_(type),
        shape_(shape),
        row_bytes_(type == LatentTypes::kBF16
                       ? padded(2 * shape.dim())
                       : sizeof(Int8LatentHeader) + padded(shape.lora) + padded(shape.rope)),
        bytes_((positions + kLatentBlockTokens - 1) / kLatentBlockTokens * kLatentBlockTokens *
               row_bytes_),
        values_(numbers),
        scales_(positions) {
    // What lies beyond the last position must not matter: NaN in bf16, and in an int8 header.
    std::fill(bytes_.begin(), bytes_.end(), static_cast<char>(0xff));
    for (size_t p = 0; p < positions; ++p) write(p);
    for (size_t at = 0; at < bytes_.size(); at += kLatentBlockTokens * row_bytes_) {
      blocks_.push_back(bytes_.data() + at);
    }
  }

  size_t row_bytes() const { return row_bytes_; }
  const void* const* blocks() const { return blocks_.data(); }
  float value(size_t position, size_t dim) const { return values_[position * shape_.dim() + dim]; }
  float scale(size_t position) const { return scales_[position]; }  // of the latent, int8 only

 private:
  void write(size_t p) {
    char* row = bytes_.data() + p * row_bytes_;
    std::fill_n(row, row_bytes_, 0);
    float* x = values_.data() + p * shape_.dim();
    if (type_ == LatentTypes::kBF16) {
      for (size_t i = 0; i < shape_.dim(); ++i) {
        const uint16_t bits = f32_to_bf16(x[i]);
        std::memcpy(row + 2 * i, &bits, 2);
        x[i] = bf16_to_f32(bits);
      }
      return;
    }
    Int8LatentHeader header;
    char* bytes = row + sizeof(header);
    header.lora_scale = quantise(x, shape_.lora, bytes, &header.lora_sum);
    header.rope_scale =
        quantise(x + shape_.lora, shape_.rope, bytes + padded(shape_.lora), &header.rope_sum);
    std::memcpy(row, &header, sizeof(header));
    scales_[p] = header.lora_scale;
  }
  static float quantise(float* x, size_t n, char* bytes, int32_t* sum) {
    float amax = 0;
    for (size_t i = 0; i < n; ++i) amax = std::max(amax, std::abs(x[i]));
    const float scale = amax / 127;
    *sum = 0;
    for (size_t i = 0; i < n; ++i) {
      const int step = scale > 0 ? static_cast<int>(std::nearbyint(x[i] / scale)) : 0;
      bytes[i] = static_cast<char>(step);
      *sum += step;
      if (std::isfinite(x[i])) x[i] = scale * static_cast<float>(step);
    }
    return scale;
  }

  LatentTypes type_;
  Shape shape_;
  size_t row_bytes_;
  std::vector<char> bytes_;
  std::vector<float> values_;
  std::vector<float> scales_;
  std::vector<const void*> blocks_;
};

constexpr float kScale = 0.125f;

// Attention of rows [first, first + count) of q, each of which sees visible[row] positions.
std::vector<float> attend(const LatentKernels& kernels, const Shape& shape, const Cache& cache,
                          const std::vector<float>& q, const std::vector<size_t>& visible,
                          size_t first, size_t count) {
  const size_t rows = (count + kLatentRowGrain - 1) / kLatentRowGrain * kLatentRowGrain;
  std::vector<uint32_t> q_words(latent_q_words(rows, shape.lora, shape.rope), 0xffffffffu);
  std::vector<float> max(rows), sum(rows), acc(latent_acc_floats(rows, shape.lora), kNan);
  std::vector<float> scores(kLatentSpan * rows, kNan);
  std::vector<uint32_t> probs(kLatentSpan / 2 * rows, 0xffffffffu);
  std::vector<uint32_t> values(kLatentValueWords, 0xffffffffu);
  const LatentTile tile{.rows = rows,
                        .lora = shape.lora,
                        .rope = shape.rope,
                        .row_bytes = cache.row_bytes(),
                        .scale = kScale,
                        .q = q_words.data(),
                        .max = max.data(),
                        .sum = sum.data(),
                        .acc = acc.data(),
                        .scores = scores.data(),
                        .probs = probs.data(),
                        .values = values.data()};
  // Exactly the memory of these rows, so that sanitizers see any read past it.
  const std::vector<float> own(
      q.begin() + static_cast<std::ptrdiff_t>(first * shape.dim()),
      q.begin() + static_cast<std::ptrdiff_t>((first + count) * shape.dim()));
  kernels.load(tile, own.data(), shape.dim(), count);
  const auto last = visible.begin() + static_cast<std::ptrdiff_t>(first + count);
  const size_t end = *std::max_element(last - static_cast<std::ptrdiff_t>(count), last);
  for (size_t start = 0; start < end; start += kLatentSpan) {
    const size_t n = std::min(kLatentSpan, end - start);
    std::vector<int32_t> seen(rows, static_cast<int32_t>(n));
    bool all = true;
    for (size_t r = 0; r < count; ++r) {
      const size_t v = visible[first + r];
      seen[r] = static_cast<int32_t>(v < start ? 0 : std::min(n, v - start));
      all = all && static_cast<size_t>(seen[r]) == n;
    }
    LatentSpan span{.blocks = cache.blocks() + start / kLatentBlockTokens,
                    .num_positions = n,
                    .visible = all ? nullptr : seen.data()};
    if (start + kLatentSpan < end) {
      span.next_blocks = span.blocks + kLatentSpan / kLatentBlockTokens;
      span.next_positions = std::min(kLatentSpan, end - start - kLatentSpan);
    }
    kernels.attend(tile, span);
  }
  std::vector<float> out(count * shape.lora, kNan);
  kernels.store(tile, out.data(), shape.lora, count);
  return out;
}

// A query as the kernels see it: rounded to bf16, or each part to 127 steps.
std::vector<float> rounded_query(LatentTypes type, const Shape& shape, const float* q) {
  std::vector<float> out(q, q + shape.dim());
  if (type == LatentTypes::kBF16) {
    for (float& x : out) x = bf16_to_f32(f32_to_bf16(x));
    return out;
  }
  const auto part = [&](size_t begin, size_t n) {
    float amax = 0;
    for (size_t i = begin; i < begin + n; ++i) amax = std::max(amax, std::abs(out[i]));
    const float scale = amax * (1.0f / 127);
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (size_t i = begin; i < begin + n; ++i) out[i] = scale * std::nearbyint(out[i] * inverse);
  };
  part(0, shape.lora);
  part(shape.lora, shape.rope);
  return out;
}

// One row in double, and how far a kernel may be from it.
struct Expected {
  std::vector<double> out, bound;
};

// Roundings: u = 2^-24 for each of the sums' steps; a score that is off by d makes its weight off
// by d (and the sum of weights, which divides). A weight is rounded to bf16 (2^-8 of it), or to the
// steps of its span (half of max / 255).
Expected exact(LatentTypes type, const Shape& shape, const Cache& cache, const float* query,
               size_t n) {
  const std::vector<float> q = rounded_query(type, shape, query);
  std::vector<double> scores(n);
  double score_error = 0, max = -INFINITY;
  for (size_t p = 0; p < n; ++p) {
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < shape.dim(); ++i) {
      sum += double{q[i]} * cache.value(p, i);
      magnitude += std::abs(double{q[i]} * cache.value(p, i));
    }
    scores[p] = kScale * sum;
    max = std::max(max, scores[p]);
    // int8 sums are exact; the values of the test are rounded products of scale and step.
    const double steps = type == LatentTypes::kBF16 ? static_cast<double>(shape.dim()) + 4 : 8;
    score_error = std::max(score_error, steps * kUnitRoundoff * kScale * magnitude);
  }
  double total = 0;
  std::vector<double> weights(n);
  for (size_t p = 0; p < n; ++p) total += weights[p] = std::exp(scores[p] - max);
  for (double& w : weights) w /= total;

  const double roundings = static_cast<double>(2 * n + 40) * kUnitRoundoff + 2 * score_error +
                           (type == LatentTypes::kBF16 ? 0x1p-8 : 0);
  Expected e{std::vector<double>(shape.lora), std::vector<double>(shape.lora, 1e-30)};
  for (size_t start = 0; start < n; start += kLatentSpan) {
    const size_t end = std::min(n, start + kLatentSpan);
    double largest = 0;
    for (size_t p = start; p < end; ++p) {
      largest = std::max(largest, weights[p] * cache.scale(p));
    }
    for (size_t i = 0; i < shape.lora; ++i) {
      for (size_t p = start; p < end; ++p) {
        const double v = cache.value(p, i);
        e.out[i] += weights[p] * v;
        e.bound[i] += 1.001 * roundings * weights[p] * std::abs(v);
        if (type == LatentTypes::kI8 && v != 0) {
          e.bound[i] += 1.001 * largest / 510 * std::abs(v) / cache.scale(p);
        }
      }
    }
  }
  return e;
}

class LatentTest : public testing::KernelTest {
 protected:
  template <class Body>
  void for_types(Body&& body) {
    for (LatentTypes type : {LatentTypes::kBF16, LatentTypes::kI8}) {
      const LatentKernels& kernels = table().latent[static_cast<size_t>(type)];
      if (kernels.attend) body(type, kernels);
    }
  }
  // Slower by far than any kernel: fewer cases.
  bool on_model() const { return table().name == kModelName; }
  std::vector<float> random(size_t n, float limit) {
    return testing::random_row(rng_, n, -limit, limit);
  }
  std::mt19937 rng_{1};
};

std::string describe(LatentTypes type, const Shape& shape, size_t rows, size_t positions) {
  return cat(type == LatentTypes::kBF16 ? "bf16" : "int8", " lora ", shape.lora, " rope ",
             shape.rope, " rows ", rows, " positions ", positions);
}

TEST_P(LatentTest, IsWithinItsBoundOfTheExactSum) {
  const bool slow = std::string_view(table().name) == "ref" || on_model();
  for_types([&](LatentTypes type, const LatentKernels& kernels) {
    double worst = 0;
    for (const Shape& shape : {Shape{512, 64}, {96, 32}, {64, 16}, {65, 2}, {33, 6}, {7, 3}}) {
      for (size_t positions : {1, 2, 3, 5, 63, 64, 65, 129, 255, 256, 257, 700}) {
        if (slow && positions > 65 && shape.lora > 96) continue;
        if (on_model() && positions % 64 > 1) continue;
        for (size_t rows : {1, 15, 16, 17, 33, 64}) {
          if (rows != 17 && (positions % 64 > 1 || slow)) continue;
          const Cache cache(type, shape, positions, random(positions * shape.dim(), 2));
          // Queries from flat to so peaked that one position takes all.
          std::vector<float> q = random(rows * shape.dim(), 1);
          for (size_t r = 0; r < rows; ++r) {
            const float size = std::ldexp(1.0f, static_cast<int>(r % 8) - 5);
            for (size_t i = 0; i < shape.dim(); ++i) q[r * shape.dim() + i] *= size;
          }
          const std::vector<size_t> visible(rows, positions);
          const std::vector<float> out = attend(kernels, shape, cache, q, visible, 0, rows);
          const size_t step = rows <= 17 ? 1 : 5;  // queries of every size
          for (size_t r = 0; r < rows; r += step) {
            const Expected e = exact(type, shape, cache, q.data() + r * shape.dim(), positions);
            for (size_t i = 0; i < shape.lora; ++i) {
              const double error = std::abs(double{out[r * shape.lora + i]} - e.out[i]);
              ASSERT_LE(error, e.bound[i])
                  << describe(type, shape, rows, positions) << ": row " << r << " dim " << i
                  << " is " << out[r * shape.lora + i] << ", expected " << e.out[i];
              worst = std::max(worst, error / e.bound[i]);
            }
          }
          count_case();
        }
      }
    }
    EXPECT_GT(worst, 0.02) << "the bound says nothing";
    std::printf("[ bound ] %s: worst share %.3f\n", type == LatentTypes::kBF16 ? "bf16" : "int8",
                worst);
  });
}

// Equal weights of small integers sum without rounding (in int8 but for the step's size).
TEST_P(LatentTest, EqualWeightsGiveTheMean) {
  std::uniform_int_distribution<int> small(-8, 8);
  for_types([&](LatentTypes type, const LatentKernels& kernels) {
    for (size_t positions : {2, 64, 256, 512}) {
      const Shape shape{96, 32};
      std::vector<float> numbers = random(positions * shape.dim(), 0);
      for (float& x : numbers) x = static_cast<float>(small(rng_));
      for (size_t p = 0; p < positions; ++p) numbers[p * shape.dim()] = 127;  // the int8 scale is 1
      const Cache cache(type, shape, positions, numbers);
      const std::vector<float> q(16 * shape.dim(), 0);
      const std::vector<float> out =
          attend(kernels, shape, cache, q, std::vector<size_t>(16, positions), 0, 16);
      for (size_t i = 0; i < shape.lora; ++i) {
        float mean = 0;
        for (size_t p = 0; p < positions; ++p) mean += numbers[p * shape.dim() + i];
        mean /= static_cast<float>(positions);
        if (type == LatentTypes::kBF16) {
          ASSERT_EQ(out[i], mean) << describe(type, shape, 16, positions) << " dim " << i;
        } else {
          ASSERT_NEAR(out[i], mean, 8 * kUnitRoundoff * std::max(1.0f, std::abs(mean)));
        }
      }
      count_case();
    }
  });
}

TEST_P(LatentTest, RowsDoNotDependOnTheTile) {
  for_types([&](LatentTypes type, const LatentKernels& kernels) {
    for (const Shape& shape : {Shape{96, 32}, {65, 2}}) {
      constexpr size_t kPositions = 600, kRows = 61;
      const Cache cache(type, shape, kPositions, random(kPositions * shape.dim(), 2));
      const std::vector<float> q = random(kRows * shape.dim(), 1);
      std::vector<size_t> visible(kRows);
      for (size_t r = 0; r < kRows; ++r) visible[r] = 1 + (r * 149 + 5) % kPositions;
      const std::vector<float> whole = attend(kernels, shape, cache, q, visible, 0, kRows);
      const auto expect_same = [&](size_t first, size_t count) {
        const std::vector<float> part = attend(kernels, shape, cache, q, visible, first, count);
        ASSERT_EQ(std::memcmp(part.data(), &whole[first * shape.lora],
                              count * shape.lora * sizeof(float)),
                  0)
            << describe(type, shape, count, kPositions) << ": rows from " << first;
        count_case();
      };
      for (size_t r = 0; r < kRows; r += on_model() ? 20 : 1) expect_same(r, 1);
      for (size_t count : {17, 40}) expect_same(5, count);
      if (on_model()) continue;
      for (size_t count : {2, 16, 31, 32, 48}) expect_same(5, count);
    }
  });
}

TEST_P(LatentTest, NanStaysInItsRow) {
  for_types([&](LatentTypes type, const LatentKernels& kernels) {
    const Shape shape{64, 16};
    constexpr size_t kPositions = 300, kRows = 20;
    const Cache cache(type, shape, kPositions, random(kPositions * shape.dim(), 2));
    std::vector<float> q = random(kRows * shape.dim(), 1);
    q[3 * shape.dim() + 7] = kNan;
    q[9 * shape.dim() + shape.lora + 1] = testing::kInf;
    const std::vector<float> out =
        attend(kernels, shape, cache, q, std::vector<size_t>(kRows, kPositions), 0, kRows);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t i = 0; i < shape.lora; ++i) {
        ASSERT_EQ(std::isnan(out[r * shape.lora + i]), r == 3 || r == 9) << "row " << r;
      }
    }
    count_case();
  });
}

INSTANTIATE_TEST_SUITE_P(All, LatentTest,
                         ::testing::ValuesIn(testing::tables_with([](const KernelTable& table) {
                           return table.latent[0].attend || table.latent[1].attend;
                         })),
                         testing::kernel_test_name);

#if defined(__x86_64__)
INSTANTIATE_TEST_SUITE_P(OnTheModel, LatentTest, ::testing::Values(&kLatentTilesOnModel),
                         testing::kernel_test_name);
#endif

}  // namespace
}  // namespace axk1
