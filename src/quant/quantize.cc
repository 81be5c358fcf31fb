#include "quant/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/bf16.h"
#include "base/check.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// Magnitude of the largest value over d * kMaxSubScale, or over d for kQ8, in the search: below 1
// the largest is cut off for the good of the rest.
constexpr float kFractions[] = {1.04f, 1.0f,  0.96f, 0.92f, 0.88f, 0.84f,
                                0.8f,  0.76f, 0.72f, 0.68f, 0.64f, 0.6f};

// Rows side by side in a vector of the baseline: every row gets the bits that it would get alone.
// (Vector types of g++ and clang; the compilers do not find these loops by themselves.)
constexpr size_t kLanes = 4;
constexpr size_t kVectors = kPanelRows / kLanes;  // of a panel
using Floats = float __attribute__((vector_size(16)));
using Ints = int32_t __attribute__((vector_size(16)));
using Doubles = double __attribute__((vector_size(16)));
struct DoublePair {
  Doubles low{}, high{};  // lanes 0 and 1, 2 and 3
};

Floats splat(float x) {
  return Floats{x, x, x, x};
}
Floats absolute(Floats x) {
  return x < 0.0f ? -x : x;
}
// As std::max and std::min.
Floats larger(Floats a, Floats b) {
  return a < b ? b : a;
}
Floats smaller(Floats a, Floats b) {
  return b < a ? b : a;
}
Floats to_floats(Ints x) {
  return __builtin_convertvector(x, Floats);
}
DoublePair to_doubles(Floats x) {
  return {Doubles{x[0], x[1]}, Doubles{x[2], x[3]}};
}

// One block of a panel. Columns count alike in all rows.
struct BlockInput {
  size_t cols = 0;                       // a multiple of kGroupCols; padding is zero
  Floats x[kVectors][kBlockCols];        // [.., cols] of four rows each
  std::array<float, kBlockCols> weight;  // of a column in the error
};
// Of the rows of one vector.
struct BlockCodes {
  Floats d{};
  Ints scales[kBlockCols / 16] = {};  // of each sub-block
  Ints values[kBlockCols] = {};       // of the book; for kQ8 the integers
};

// The books: `nearest` takes half steps, n = floor(2 v), from kLowest to kHighest: midpoints
// between values lie on whole n. A tie goes up.
struct Q4Book {
  static constexpr size_t kSub = 16;
  static constexpr bool kUneven = false;
  static constexpr float kReach = 10;
  static constexpr float kLowest = -22, kHighest = 21;  // beyond, the nearest is the same
  // -10 -8 -6 -5 ... 4 6 8 10: all whole numbers in the middle, even ones outside.
  static Ints nearest(Ints n) {
    const Ints ones = (n + 1) >> 1, twos = ((n + 2) >> 2) << 1;
    return ((n >= 8) | (n <= -12)) ? twos : ones;
  }
};
struct Q3Book {
  static constexpr size_t kSub = 32;
  static constexpr bool kUneven = true;
  static constexpr float kReach = 10;
  static constexpr float kLowest = -20, kHighest = 19;
  // A step up from one value to the next at each midpoint.
  static Ints nearest(Ints n) {
    Ints value = Ints{} + kQ3Values[0];
    for (size_t i = 0; i + 1 < std::size(kQ3Values); ++i) {
      const int32_t step = kQ3Values[i + 1] - kQ3Values[i];
      value += (n >= kQ3Values[i] + kQ3Values[i + 1]) & step;
    }
    return value;
  }
};

// Of four rows of one block.
template <class Book>
class BlockSearch {
 public:
  BlockSearch(const Floats* x, const BlockInput& in)
      : x_(x), weight_(in.weight.data()), num_subs_(in.cols / Book::kSub) {
    for (size_t sub = 0; sub < num_subs_; ++sub) {
      largest_[sub] = Floats{};
      for (size_t i = sub * Book::kSub; i < (sub + 1) * Book::kSub; ++i) {
        largest_[sub] = larger(largest_[sub], absolute(x_[i]));
      }
    }
    for (size_t i = 0; i < in.cols; ++i) {
      const DoublePair value = to_doubles(x_[i]);
      const double weight = weight_[i];
      xx_.low += weight * value.low * value.low;
      xx_.high += weight * value.high * value.high;
    }
  }

  BlockCodes best() {
    Floats unit{};
    for (size_t sub = 0; sub < num_subs_; ++sub) unit = larger(unit, largest_[sub]);
    unit /= Book::kReach * kMaxSubScale;
    best_error_ = splat(INFINITY);
    for (float fraction : kFractions) {
      // The lowest value reaches further than the highest in an uneven book: try both signs.
      keep_better(unit * fraction);
      if (Book::kUneven) keep_better(unit * -fraction);
    }
    // Only the best scales were kept; the values follow from them.
    BlockCodes codes;
    codes.d = best_d_;
    for (size_t sub = 0; sub < num_subs_; ++sub) {
      const Ints s = best_scales_[sub];
      const Floats inverse = inverse_of(searched_d_ * to_floats(s));
      codes.scales[sub] = s < 0 ? Ints{} : s;
      for (size_t i = sub * Book::kSub; i < (sub + 1) * Book::kSub; ++i) {
        codes.values[i] =
            s < 0 ? Ints{} - static_cast<int32_t>(Book::kReach) : nearest(x_[i] * inverse);
      }
    }
    return codes;
  }

 private:
  void keep_better(Floats d) {
    Ints scales[kBlockCols / Book::kSub];
    xq_ = qq_ = {};
    for (size_t sub = 0; sub < num_subs_; ++sub) scales[sub] = choose(sub, d);
    // Moves d to where it fits the codes best.
    Floats fitted = d, error{};
    for (size_t r = 0; r < kLanes; ++r) {
      const auto lane = [&](const DoublePair& sum) { return r < 2 ? sum.low[r] : sum.high[r - 2]; };
      const double xq = lane(xq_), qq = lane(qq_);
      if (qq > 0) fitted[r] = bf16_to_f32(f32_to_bf16(static_cast<float>(xq / qq)));
      error[r] =
          static_cast<float>(lane(xx_) - 2 * fitted[r] * xq + double{fitted[r]} * fitted[r] * qq);
    }
    const Ints better = error < best_error_;
    best_error_ = better ? error : best_error_;
    best_d_ = better ? fitted : best_d_;
    searched_d_ = better ? d : searched_d_;
    for (size_t sub = 0; sub < num_subs_; ++sub) {
      best_scales_[sub] = better ? scales[sub] : best_scales_[sub];
    }
  }

  // The best s of a sub-block for d, -1 where none has a finite error; adds to the sums.
  Ints choose(size_t sub, Floats d) {
    const Floats reach = absolute(d) * Book::kReach;
    Ints s{}, last{};
    for (size_t r = 0; r < kLanes; ++r) {
      const int near =
          reach[r] > 0 ? static_cast<int>(std::min(largest_[sub][r] / reach[r], 100.0f)) : 0;
      s[r] = std::max(0, std::min(near - 1, kMaxSubScale - 3));
      last[r] = std::min(near + 3, kMaxSubScale);
    }
    Floats best = splat(INFINITY);
    Ints chosen = Ints{} - 1;
    Floats error[kTries];
    rounding_errors(sub, d, s, error);
    for (const Floats& found : error) {
      const Ints better = (s <= last) & (found < best);
      best = better ? found : best;
      chosen = better ? s : chosen;
      s += 1;
    }
    const Floats inverse = inverse_of(d * to_floats(chosen));
    const Floats scale = to_floats(chosen < 0 ? Ints{} : chosen);
    for (size_t i = sub * Book::kSub; i < (sub + 1) * Book::kSub; ++i) {
      // Small whole numbers: their product is exact in f32.
      const DoublePair q = to_doubles(scale * to_floats(nearest(x_[i] * inverse)));
      const DoublePair value = to_doubles(x_[i]);
      const double weight = weight_[i];
      xq_.low += weight * value.low * q.low;
      xq_.high += weight * value.high * q.high;
      qq_.low += weight * q.low * q.low;
      qq_.high += weight * q.high * q.high;
    }
    return chosen;
  }

  static constexpr size_t kTries = 5;  // of s for each d

  static Floats inverse_of(Floats step) {
    const Ints zero = step == 0.0f;
    return zero ? Floats{} : 1.0f / (zero ? splat(1) : step);
  }

  static Ints nearest(Floats v) {
    // Truncation is floor here: what is cut off is positive.
    constexpr float kShift = 24;
    const Floats at = smaller(larger(2.0f * v + kShift, splat(Book::kLowest + kShift)),
                              splat(Book::kHighest + kShift));
    return Book::nearest(__builtin_convertvector(at, Ints) - static_cast<int32_t>(kShift));
  }

  // Of s, s + 1, ...: side by side, because each sum waits for its last addition.
  void rounding_errors(size_t sub, Floats d, Ints s, Floats (&error)[kTries]) const {
    Floats step[kTries], inverse[kTries];
    for (size_t t = 0; t < kTries; ++t) {
      step[t] = d * to_floats(s + static_cast<int32_t>(t));
      inverse[t] = inverse_of(step[t]);
      error[t] = Floats{};
    }
    for (size_t i = sub * Book::kSub; i < (sub + 1) * Book::kSub; ++i) {
      const Floats x = x_[i];
      const float weight = weight_[i];
      for (size_t t = 0; t < kTries; ++t) {
        const Floats miss = x - step[t] * to_floats(nearest(x * inverse[t]));
        error[t] += weight * miss * miss;
      }
    }
  }

  const Floats* x_;      // [cols] of four rows
  const float* weight_;  // [cols]
  size_t num_subs_;
  Floats largest_[kBlockCols / Book::kSub];  // of each sub-block
  DoublePair xx_, xq_, qq_;                  // weighted sums over the block
  Floats best_error_{}, best_d_{}, searched_d_{};
  Ints best_scales_[kBlockCols / Book::kSub] = {};
};

BlockCodes eight_bits(const Floats* x, const BlockInput& in) {
  Floats largest{};
  for (size_t i = 0; i < in.cols; ++i) largest = larger(largest, absolute(x[i]));
  BlockCodes best;
  Floats best_error = splat(INFINITY);
  for (float reach : {127.0f, 124.0f, 130.0f, 134.0f}) {
    BlockCodes block;
    Floats inverse{}, error{};
    for (size_t r = 0; r < kLanes; ++r) {
      block.d[r] = bf16_to_f32(f32_to_bf16(largest[r] / reach));
      inverse[r] = block.d[r] != 0 ? 1 / block.d[r] : 0;
    }
    for (size_t i = 0; i < in.cols; ++i) {
      constexpr float kRound = 0x1.8p23f;  // leaves no room for a fraction: to nearest, ties even
      const Floats q = (smaller(larger(x[i] * inverse, splat(-127)), splat(127)) + kRound) - kRound;
      const Floats miss = x[i] - block.d * q;
      error += in.weight[i] * miss * miss;
      block.values[i] = __builtin_convertvector(q, Ints);
    }
    const Ints better = error < best_error;
    best_error = better ? error : best_error;
    best.d = better ? block.d : best.d;
    for (size_t i = 0; i < in.cols; ++i) {
      best.values[i] = better ? block.values[i] : best.values[i];
    }
  }
  return best;
}

BlockCodes quantize_block(DType dtype, const Floats* x, const BlockInput& in) {
  switch (dtype) {
    case DType::kQ8:
      return eight_bits(x, in);
    case DType::kQ4:
      return BlockSearch<Q4Book>(x, in).best();
    default:
      AXK1_CHECK(dtype == DType::kQ3);
      return BlockSearch<Q3Book>(x, in).best();
  }
}

// What is stored for a value.
unsigned code_of(DType dtype, int32_t value) {
  if (dtype == DType::kQ8) return static_cast<unsigned>(value + 128);
  static constexpr auto kInverse = [](const auto& values) {
    std::array<uint8_t, 2 * kValueOffset + 1> codes{};
    for (size_t i = 0; i < std::size(values); ++i) {
      codes[static_cast<size_t>(values[i] + kValueOffset)] = static_cast<uint8_t>(i);
    }
    return codes;
  };
  static constexpr auto kQ4Codes = kInverse(kQ4Values), kQ3Codes = kInverse(kQ3Values);
  const auto at = static_cast<size_t>(value + kValueOffset);
  return dtype == DType::kQ4 ? kQ4Codes[at] : kQ3Codes[at];
}

// Row `r` of one block at `to`; the bytes start as zero.
void pack_block(DType dtype, const BlockCodes& block, size_t groups, size_t r, uint8_t* to) {
  const size_t lane = r % kLanes;
  for (size_t c = 0; c < groups * kGroupCols; ++c) {
    const size_t g = c / kGroupCols, quad = c % kGroupCols / 4, byte = 4 * r + c % 4;
    const unsigned code = code_of(dtype, block.values[c][lane]);
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
      to[g * 16 + r] =
          static_cast<uint8_t>(block.scales[2 * g][lane] | block.scales[2 * g + 1][lane] << 4);
    } else if (dtype == DType::kQ3) {
      to[g * 8 + r % 8] |= static_cast<uint8_t>(block.scales[g][lane] << (r < 8 ? 0 : 4));
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
  BlockInput in;
  for (size_t b = 0; b < num_blocks(cols); ++b) {
    const size_t first = b * kBlockCols, groups = num_groups(cols, b);
    const size_t count = std::min(kBlockCols, cols - first);
    in.cols = groups * kGroupCols;
    // Columns nobody has seen still count a little, or their weights would be anything.
    float floor = 1;
    if (!importance.empty()) {
      double sum = 0;
      for (size_t i = 0; i < count; ++i) sum += importance[first + i];
      floor = static_cast<float>(1e-3 * sum / static_cast<double>(count));
      if (!(floor > 0)) floor = 1;
    }
    for (size_t i = 0; i < kBlockCols; ++i) {
      in.weight[i] =
          i < count && !importance.empty() ? std::max(importance[first + i], floor) : floor;
    }
    for (size_t v = 0; v < kVectors; ++v) {
      Floats* const to = in.x[v];
      for (size_t i = 0; i < in.cols; ++i) to[i] = Floats{};
      for (size_t r = v * kLanes; r < std::min(num_rows, (v + 1) * kLanes); ++r) {
        for (size_t i = 0; i < count; ++i) to[i][r % kLanes] = x[r * cols + first + i];
      }
      const BlockCodes codes = quantize_block(dtype, to, in);
      for (size_t r = v * kLanes; r < (v + 1) * kLanes; ++r) {
        const uint16_t d = f32_to_bf16(codes.d[r % kLanes]);
        std::memcpy(panel + (b * kPanelRows + r) * sizeof d, &d, sizeof d);
        pack_block(dtype, codes, groups, r, block_at);
      }
    }
    block_at += groups * group_bytes(dtype);
  }
}

}  // namespace axk1
