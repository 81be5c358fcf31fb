#include "ops/rope.h"

#include <array>
#include <cmath>

#include "base/check.h"

namespace axk1 {

void rope_angles(size_t position, std::span<const float> inv_freq, float scaling, float* cos,
                 float* sin) {
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq[i];
    cos[i] = std::cos(angle) * scaling;
    sin[i] = std::sin(angle) * scaling;
  }
}

void rope(float* x, size_t half, const float* cos, const float* sin, bool interleave) {
  constexpr size_t kMaxHalf = 512;
  AXK1_CHECK(half <= kMaxHalf);
  if (interleave) {
    std::array<float, 2 * kMaxHalf> pairs;
    for (size_t i = 0; i < half; ++i) {
      pairs[i] = x[2 * i];
      pairs[half + i] = x[2 * i + 1];
    }
    for (size_t i = 0; i < 2 * half; ++i) x[i] = pairs[i];
  }
  for (size_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    x[i] = a * cos[i] - b * sin[i];
    x[half + i] = b * cos[i] + a * sin[i];
  }
}

}  // namespace axk1
