#include "quant/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// Magnitude of the largest value over d * kMaxSubScale, or over d for kQ8, in the search: below 1
// the largest is cut off for the good of the rest.
constexpr float kFractions[] = {1.04f, 1.0f,  0.96f, 0.92f, 0.88f, 0.84f,
                                0.8f,  0.76f, 0.72f, 0.68f, 0.64f, 0.6f};

// Nearest value of a code book by table: all midpoints are multiples of one half.
template <size_t kCodes>
class CodeBook {
 public:
  constexpr explicit CodeBook(const int8_t (&values)[kCodes]) {
    for (size_t i = 0; i < kCodes; ++i) values_[i] = values[i];
    for (int half = -kReach; half <= kReach; ++half) {  // v in [half / 2, half / 2 + 1/2)
      size_t code = 0;
      while (code + 1 < kCodes && values[code] + values[code + 1] <= half) ++code;
      nearest_[half + kReach] = static_cast<uint8_t>(code);
    }
  }
  uint8_t nearest(float v) const {
    // Truncation is floor here: what is cut off is positive.
    const float at = std::clamp(2 * v + kReach, 0.0f, float{2 * kReach});
    return nearest_[static_cast<unsigned>(static_cast<int>(at))];
  }
  float value(uint8_t code) const { return values_[code]; }
  float lowest() const { return values_[0]; }

 private:
  static constexpr int kReach = 24;
  std::array<float, kCodes> values_{};
  std::array<uint8_t, 2 * kReach + 1> nearest_{};
};
constexpr CodeBook<16> kQ4Book{kQ4Values};
constexpr CodeBook<8> kQ3Book{kQ3Values};

// One block of a row: its columns and their weight in the error.
struct BlockInput {
  const float* x;
  const float* weight;
  size_t cols;  // a multiple of kGroupCols; padding is zero
};
struct BlockCodes {
  float d = 0;
  uint8_t scales[kBlockCols / 16] = {};  // of each sub-block
  uint8_t codes[kBlockCols] = {};
};

template <size_t kCodes, size_t kSub, bool kUneven>
class BlockSearch {
 public:
  BlockSearch(const CodeBook<kCodes>& book, const BlockInput& in) : book_(book), in_(in) {}

  BlockCodes best() {
    float largest = 0;
    for (size_t i = 0; i < in_.cols; ++i) largest = std::max(largest, std::fabs(in_.x[i]));
    BlockCodes best;
    float best_error = INFINITY;
    const float unit = largest / (-book_.lowest() * kMaxSubScale);
    for (float fraction : kFractions) {
      // The lowest value reaches further than the highest in an uneven book: try both signs.
      keep_better(unit * fraction, best, best_error);
      if (kUneven) keep_better(-unit * fraction, best, best_error);
    }
    return best;
  }

 private:
  void keep_better(float d, BlockCodes& best, float& best_error) {
    BlockCodes candidate;
    candidate.d = d;
    choose(candidate);
    const float error = fit_scale(candidate);
    if (error < best_error) {
      best = candidate;
      best_error = error;
    }
  }

  // Fills scales and codes for the given d.
  void choose(BlockCodes& block) const {
    for (size_t sub = 0; sub < in_.cols / kSub; ++sub) {
      const float* x = in_.x + sub * kSub;
      float largest = 0;
      for (size_t i = 0; i < kSub; ++i) largest = std::max(largest, std::fabs(x[i]));
      const float reach = std::fabs(block.d) * -book_.lowest();
      const int near = reach > 0 ? static_cast<int>(std::min(largest / reach, 100.0f)) : 0;
      float best = INFINITY;
      uint8_t codes[kSub];
      const int last = std::min(near + 3, kMaxSubScale);
      for (int s = std::max(0, std::min(near - 1, kMaxSubScale - 3)); s <= last; ++s) {
        const float error = round_codes(sub, block.d * static_cast<float>(s), codes);
        if (error < best) {
          best = error;
          block.scales[sub] = static_cast<uint8_t>(s);
          std::copy_n(codes, kSub, block.codes + sub * kSub);
        }
      }
    }
  }

  float round_codes(size_t sub, float step, uint8_t* codes) const {
    const float* x = in_.x + sub * kSub;
    const float* weight = in_.weight + sub * kSub;
    const float inverse = step != 0 ? 1 / step : 0;
    float error = 0;
    for (size_t i = 0; i < kSub; ++i) {
      codes[i] = book_.nearest(x[i] * inverse);
      const float miss = x[i] - step * book_.value(codes[i]);
      error += weight[i] * miss * miss;
    }
    return error;
  }

  // Moves d to where it fits the codes best; returns the weighted squared error.
  float fit_scale(BlockCodes& block) const {
    double xx = 0, xq = 0, qq = 0;
    for (size_t i = 0; i < in_.cols; ++i) {
      const double q = block.scales[i / kSub] * book_.value(block.codes[i]);
      const double weight = in_.weight[i], x = in_.x[i];
      xx += weight * x * x;
      xq += weight * x * q;
      qq += weight * q * q;
    }
    if (qq > 0) block.d = bf16_to_f32(f32_to_bf16(static_cast<float>(xq / qq)));
    return static_cast<float>(xx - 2 * block.d * xq + double{block.d} * block.d * qq);
  }

  const CodeBook<kCodes>& book_;
  const BlockInput& in_;
};

// kQ8: codes are the stored bytes.
BlockCodes eight_bits(const BlockInput& in) {
  float largest = 0;
  for (size_t i = 0; i < in.cols; ++i) largest = std::max(largest, std::fabs(in.x[i]));
  BlockCodes best;
  float best_error = INFINITY;
  for (float reach : {127.0f, 124.0f, 130.0f, 134.0f}) {
    BlockCodes block;
    block.d = bf16_to_f32(f32_to_bf16(largest / reach));
    const float inverse = block.d != 0 ? 1 / block.d : 0;
    float error = 0;
    for (size_t i = 0; i < in.cols; ++i) {
      const float q = std::nearbyint(std::clamp(in.x[i] * inverse, -127.0f, 127.0f));
      const float miss = in.x[i] - block.d * q;
      error += in.weight[i] * miss * miss;
      block.codes[i] = static_cast<uint8_t>(static_cast<int>(q) + 128);
    }
    if (error < best_error) {
      best = block;
      best_error = error;
    }
  }
  return best;
}

BlockCodes quantize_block(DType dtype, const BlockInput& in) {
  switch (dtype) {
    case DType::kQ8:
      return eight_bits(in);
    case DType::kQ4:
      return BlockSearch<16, 16, false>(kQ4Book, in).best();
    default:
      AXK1_CHECK(dtype == DType::kQ3);
      return BlockSearch<8, 32, true>(kQ3Book, in).best();
  }
}

// Row `r` of one block at `to`; the bytes start as zero.
void pack_block(DType dtype, const BlockCodes& block, size_t groups, size_t r, uint8_t* to) {
  for (size_t c = 0; c < groups * kGroupCols; ++c) {
    const size_t g = c / kGroupCols, quad = c % kGroupCols / 4, byte = 4 * r + c % 4;
    const unsigned code = block.codes[c];
    uint8_t* codes = to + groups * (group_bytes(dtype) == 512 ? 0 : dtype == DType::kQ4 ? 16 : 8);
    if (dtype == DType::kQ8) {
      codes[g * 512 + quad * 64 + byte] = static_cast<uint8_t>(code);
    } else if (dtype == DType::kQ4) {
      codes[g * 256 + quad / 2 * 64 + byte] |= static_cast<uint8_t>(code << (quad % 2 * 4));
    } else {
      codes += g * 192;
      codes[quad / 4 * 64 + byte] |= static_cast<uint8_t>((code & 3) << (2 * (quad % 4)));
      codes[128 + quad * 8 + byte / 8] |= static_cast<uint8_t>((code >> 2) << (byte % 8));
    }
  }
  for (size_t g = 0; g < groups; ++g) {
    if (dtype == DType::kQ4) {
      to[g * 16 + r] = static_cast<uint8_t>(block.scales[2 * g] | block.scales[2 * g + 1] << 4);
    } else if (dtype == DType::kQ3) {
      to[g * 8 + r % 8] |= static_cast<uint8_t>(block.scales[g] << (r < 8 ? 0 : 4));
    }
  }
}

}  // namespace

void quantize_panel(DType dtype, const float* x, size_t num_rows, size_t cols,
                    std::span<const float> importance, void* dst) {
  AXK1_CHECK(is_quantized(dtype) && num_rows <= kPanelRows);
  AXK1_CHECK(importance.empty() || importance.size() == cols);
  std::memset(dst, 0, panel_bytes(dtype, cols));
  auto* panel = static_cast<uint8_t*>(dst);
  uint8_t* block_at = panel + panel_header_bytes(cols);
  for (size_t b = 0; b < num_blocks(cols); ++b) {
    const size_t first = b * kBlockCols, groups = num_groups(cols, b);
    const size_t count = std::min(kBlockCols, cols - first);
    std::array<float, kBlockCols> values, weights;
    // Columns nobody has seen still count a little, or their weights would be anything.
    float floor = 1;
    if (!importance.empty()) {
      double sum = 0;
      for (size_t i = 0; i < count; ++i) sum += importance[first + i];
      floor = static_cast<float>(1e-3 * sum / static_cast<double>(count));
      if (!(floor > 0)) floor = 1;
    }
    for (size_t i = 0; i < kBlockCols; ++i) {
      weights[i] =
          i < count && !importance.empty() ? std::max(importance[first + i], floor) : floor;
    }
    for (size_t r = 0; r < kPanelRows; ++r) {
      if (r < num_rows) {
        std::copy_n(x + r * cols + first, count, values.data());
        std::fill(values.begin() + static_cast<ptrdiff_t>(count), values.end(), 0.0f);
      } else {
        values.fill(0.0f);
      }
      const BlockCodes block =
          quantize_block(dtype, {values.data(), weights.data(), groups * kGroupCols});
      const uint16_t d = f32_to_bf16(block.d);
      std::memcpy(panel + (b * kPanelRows + r) * sizeof d, &d, sizeof d);
      pack_block(dtype, block, groups, r, block_at);
    }
    block_at += groups * group_bytes(dtype);
  }
}

}  // namespace axk1
