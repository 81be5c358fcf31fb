// Decimal numbers held exactly, and what a schema asks of numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "io/json.h"

namespace axk1 {

using Int128 = __int128;

// mantissa * 10^exponent. Mantissas stay below 10^36.
struct Decimal {
  Int128 mantissa = 0;
  int32_t exponent = 0;

  Decimal operator-() const { return {-mantissa, exponent}; }
};

// <0, 0, >0
int compare(const Decimal& a, const Decimal& b);

// The number of a schema, exactly as it was written. Throws Error(kInvalidInput), naming `keyword`,
// for one with more digits than survive reading (15, or 19 for integers).
Decimal decimal_of(const json::value& number, std::string_view keyword);

// A JSON number as it is being written.
struct NumberText {
  enum Part : uint8_t {
    kStart,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kE,
    kExponentSign,
    kExponent
  };
  Part part = kStart;
  bool negative = false;
  bool exponent_negative = false;
  bool too_long = false;          // digits were left out of the mantissa
  bool fraction_nonzero = false;  // a digit behind the point is not 0
  uint8_t num_digits = 0;         // of the mantissa, without leading zeros
  uint16_t num_fraction = 0;      // of them (or zeros in front of them), behind the point
  uint32_t num_left_out = 0;      // digits before the point that are not in the mantissa
  int32_t exponent = 0;           // as written, without its sign; at most kMaxExponent
  Int128 mantissa = 0;            // digits read, without sign and point

  static constexpr int32_t kMaxExponent = 99999;
  static constexpr int kMaxDigits = 34;

  // False, and nothing changes, when a number cannot go on so.
  bool push(char c);
  bool complete() const {
    return part == kZero || part == kInteger || part == kFraction || part == kExponent;
  }
};

// Which numbers: all, or those of an interval and a step. Compared as values: 1.0 is 1 is 1e0.
struct NumberRule {
  std::optional<Decimal> lo, hi;
  bool lo_open = false, hi_open = false;
  // Multiples of step only. Nothing: any number.
  std::optional<Decimal> step;
  bool no_integers = false;  // not with step
  bool plain = false;        // with step 1: written without fraction and exponent (draft 4)

  bool any() const { return !lo && !hi && !step && !no_integers; }
  bool empty() const;
  // Whether the text so far can still become a number of the rule. An exponent is an end, not a way
  // out: a mantissa must be able to go on to such a number without one, so that nobody is led to
  // write 120e-1 where 12 was meant.
  bool possible(const NumberText& text) const;
  bool accepts(const NumberText& text) const;  // text is complete
};

// Throws Error(kInvalidInput) when steps have no common multiple that a Decimal holds; nothing when
// the intersection cannot be written as one rule.
std::optional<NumberRule> intersect(const NumberRule& a, const NumberRule& b);

}  // namespace axk1
