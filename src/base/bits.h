// Integer arithmetic on sizes that may come from untrusted bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace axk1 {

// a * b and a + b, or nothing on overflow.
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline constexpr size_t ceil_div(size_t a, size_t b) {
  return (a + b - 1) / b;
}
inline constexpr size_t round_up(size_t a, size_t multiple) {
  return ceil_div(a, multiple) * multiple;
}

}  // namespace axk1
