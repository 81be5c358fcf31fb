#include "grammar/decimal.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace axk1 {
namespace {

constexpr int kMaxPower = 37;
constexpr int kMaxFraction = 600;
constexpr Int128 kMaxStep = 1'000'000'000'000'000'000;  // squares fit

Int128 power_of_ten(int n) {  // 0 <= n <= 38
  Int128 p = 1;
  while (n-- > 0) p *= 10;
  return p;
}

int num_digits(Int128 v) {
  if (v < 0) v = -v;
  int n = 0;
  for (; v > 0; v /= 10) ++n;
  return n;
}

Decimal stripped(Decimal d) {
  if (d.mantissa == 0) return {};
  while (d.mantissa % 10 == 0) {
    d.mantissa /= 10;
    ++d.exponent;
  }
  return d;
}

// Place of the first digit: 1 for 1 to 9.99. Not of zero.
int place(const Decimal& d) {
  return num_digits(d.mantissa) + d.exponent;
}

Int128 floor_div(Int128 a, Int128 b) {  // b > 0
  return a / b - (a % b < 0);
}

constexpr bool kOpen = true, kClosed = false;

// floor(v / step), held within +-10^37. The step's mantissa is from 1 to kMaxStep.
Int128 floor_quotient(const Decimal& v, const Decimal& step) {
  const Int128 most = power_of_ten(kMaxPower);
  if (v.mantissa == 0) return 0;
  const int t = v.exponent - step.exponent;
  if (t >= 0) {
    if (num_digits(v.mantissa) + t > kMaxPower) return v.mantissa > 0 ? most : -most;
    return floor_div(v.mantissa * power_of_ten(t), step.mantissa);
  }
  if (-t > kMaxPower) return v.mantissa > 0 ? 0 : -1;
  return floor_div(floor_div(v.mantissa, power_of_ten(-t)), step.mantissa);
}

bool is_multiple(const Decimal& v, const Decimal& step) {
  if (v.mantissa == 0) return true;
  const int t = v.exponent - step.exponent;
  if (t < 0) {
    if (-t > kMaxPower || v.mantissa % power_of_ten(-t) != 0) return false;
    return v.mantissa / power_of_ten(-t) % step.mantissa == 0;
  }
  Int128 rest = v.mantissa % step.mantissa;
  if (rest < 0) rest = -rest;
  // A step has at most 60 factors of 2 or 5: more zeros change nothing.
  for (int i = 0; i < std::min(t, 64) && rest != 0; ++i) rest = rest * 10 % step.mantissa;
  return rest == 0;
}

const Decimal kZeroValue{0, 0}, kOneValue{1, 0};

// An interval; without an end where there is none.
struct Span {
  std::optional<Decimal> lo, hi;
  bool lo_open = false, hi_open = false;

  void raise(const Decimal& v, bool open) {
    const int c = lo ? compare(v, *lo) : 1;
    if (c > 0) {
      lo = v;
      lo_open = open;
    } else if (c == 0) {
      lo_open |= open;
    }
  }
  void lower(const Decimal& v, bool open) {
    const int c = hi ? compare(v, *hi) : -1;
    if (c < 0) {
      hi = v;
      hi_open = open;
    } else if (c == 0) {
      hi_open |= open;
    }
  }
  bool empty() const {
    if (!lo || !hi) return false;
    const int c = compare(*lo, *hi);
    return c > 0 || (c == 0 && (lo_open || hi_open));
  }
  bool contains(const Decimal& v) const {
    if (lo) {
      const int c = compare(v, *lo);
      if (c < 0 || (c == 0 && lo_open)) return false;
    }
    if (hi) {
      const int c = compare(v, *hi);
      if (c > 0 || (c == 0 && hi_open)) return false;
    }
    return true;
  }
};

Span span_of(const NumberRule& rule) {
  return {rule.lo, rule.hi, rule.lo_open, rule.hi_open};
}

Span mirrored(const Span& span) {
  Span out;
  if (span.hi) out.lo = -*span.hi;
  if (span.lo) out.hi = -*span.lo;
  out.lo_open = span.hi_open;
  out.hi_open = span.lo_open;
  return out;
}

// Whether a number of the rule's kind lies in the span.
bool has_number(const Span& span, const NumberRule& rule) {
  if (span.empty()) return false;
  if (!span.lo || !span.hi) return true;
  if (rule.no_integers) {
    return compare(*span.lo, *span.hi) != 0 || !is_multiple(*span.lo, kOneValue);
  }
  if (!rule.step) return true;
  Int128 first = -floor_quotient(-*span.lo, *rule.step);
  if (span.lo_open && is_multiple(*span.lo, *rule.step)) ++first;
  Int128 last = floor_quotient(*span.hi, *rule.step);
  if (span.hi_open && is_multiple(*span.hi, *rule.step)) --last;
  return first <= last;
}

// Exponents from lo to hi.
struct Exponents {
  int64_t lo = -NumberText::kMaxExponent, hi = NumberText::kMaxExponent;
};

// Those with which the mantissa as it stands makes a number of the rule. `span` is for the absolute
// value.
Exponents exponents(const NumberText& text, const Span& span, const NumberRule& rule) {
  const Exponents none{1, 0};
  Exponents out;
  if (text.mantissa == 0) {
    return span.contains(kZeroValue) && !rule.no_integers ? out : none;
  }
  const int f = text.num_fraction;
  const Decimal mantissa = stripped({text.mantissa, -f});
  const auto at = [&](int64_t e) {
    return Decimal{mantissa.mantissa, static_cast<int32_t>(mantissa.exponent + e)};
  };
  Span below = span, above = span;
  below.lo.reset();
  above.hi.reset();
  if (span.hi && compare(*span.hi, kZeroValue) <= 0) return none;
  if (span.lo && compare(*span.lo, kZeroValue) > 0) {
    const int64_t e = place(*span.lo) - place(mantissa);
    out.lo = std::max(out.lo, above.contains(at(e)) ? e : e + 1);
  }
  if (span.hi) {
    const int64_t e = place(*span.hi) - place(mantissa);
    out.hi = std::min(out.hi, below.contains(at(e)) ? e : e - 1);
  }
  if (rule.no_integers) out.hi = std::min<int64_t>(out.hi, -mantissa.exponent - 1);
  if (rule.step) {
    // Once a multiple, a multiple with every larger exponent. A step below 10^18 has at most 60
    // factors of 2 or 5.
    int64_t e = rule.step->exponent - mantissa.exponent - kMaxPower;
    const int64_t last = e + 2 * kMaxPower + 64;
    while (e <= last && !is_multiple(at(e), *rule.step)) ++e;
    if (e > last) return none;
    out.lo = std::max(out.lo, e);
  }
  return out;
}

bool any_with_prefix(const NumberText& text, Exponents within) {
  if (text.part == NumberText::kE) return within.lo <= within.hi;
  if (text.exponent_negative) within = {-within.hi, -within.lo};
  int64_t lo = text.exponent, hi = text.exponent;
  if (text.part == NumberText::kExponentSign) hi = NumberText::kMaxExponent;
  while (lo <= NumberText::kMaxExponent) {
    const int64_t most = std::min<int64_t>(hi, NumberText::kMaxExponent);
    if (std::max(lo, within.lo) <= std::min(most, within.hi)) return true;
    if (hi >= NumberText::kMaxExponent) break;
    lo *= 10;
    hi = hi * 10 + 9;
  }
  return false;
}

}  // namespace

int compare(const Decimal& a, const Decimal& b) {
  const auto sign = [](Int128 v) { return (v > 0) - (v < 0); };
  if (sign(a.mantissa) != sign(b.mantissa)) return sign(a.mantissa) < sign(b.mantissa) ? -1 : 1;
  if (a.mantissa == 0) return 0;
  const int s = sign(a.mantissa);
  const int place_a = place(a), place_b = place(b);
  if (place_a != place_b) return place_a < place_b ? -s : s;
  // Now the one with the larger exponent has so many digits less.
  Int128 x = a.mantissa, y = b.mantissa;
  if (a.exponent > b.exponent) x *= power_of_ten(a.exponent - b.exponent);
  if (b.exponent > a.exponent) y *= power_of_ten(b.exponent - a.exponent);
  return (x > y) - (x < y);
}

Decimal decimal_of(const json::value& number, std::string_view keyword) {
  if (number.is_int64()) return stripped({number.get_int64(), 0});
  if (number.is_uint64()) return stripped({static_cast<Int128>(number.get_uint64()), 0});
  if (!number.is_double()) {
    fail(ErrorCode::kInvalidInput, "schema: ", keyword, ": found ", json::kind_name(number),
         ", expected a number");
  }
  char text[64];
  const double v = number.get_double();
  const auto end = std::to_chars(text, text + sizeof(text), v, std::chars_format::scientific).ptr;
  NumberText read;
  for (const char* c = text; c != end; ++c) read.push(*c);
  Decimal d = stripped({read.negative ? -read.mantissa : read.mantissa,
                        (read.exponent_negative ? -read.exponent : read.exponent) -
                            static_cast<int32_t>(read.num_fraction)});
  const bool exact_integer = std::trunc(v) == v && std::abs(v) <= 9007199254740992.0;
  if (num_digits(d.mantissa) > 15 && !exact_integer) {
    fail(ErrorCode::kInvalidInput, "schema: ", keyword, ": found ", json::to_text(number),
         ", expected a number of at most 15 digits");
  }
  return d;
}

bool NumberText::push(char c) {
  const bool digit = c >= '0' && c <= '9';
  const auto to = [&](Part next) {
    part = next;
    return true;
  };
  const auto add_digit = [&](bool in_fraction) {
    if (in_fraction && c != '0') fraction_nonzero = true;
    if (num_digits >= kMaxDigits || num_fraction >= kMaxFraction) {
      too_long = true;
      if (!in_fraction) ++num_left_out;
      return;
    }
    mantissa = mantissa * 10 + (c - '0');
    if (mantissa != 0) ++num_digits;
    if (in_fraction) ++num_fraction;
  };
  switch (part) {
    case kStart:
      if (c == '-') {
        negative = true;
        return to(kMinus);
      }
      [[fallthrough]];
    case kMinus:
      if (!digit) return false;
      if (c == '0') return to(kZero);
      add_digit(false);
      return to(kInteger);
    case kInteger:
      if (digit) {
        add_digit(false);
        return true;
      }
      [[fallthrough]];
    case kZero:
      if (c == '.') return to(kPoint);
      break;
    case kPoint:
    case kFraction:
      if (digit) {
        add_digit(true);
        return to(kFraction);
      }
      if (part == kPoint) return false;
      break;
    case kE:
      if (c == '+' || c == '-') {
        exponent_negative = c == '-';
        return to(kExponentSign);
      }
      [[fallthrough]];
    case kExponentSign:
    case kExponent:
      if (!digit || exponent * 10 + (c - '0') > kMaxExponent) return false;
      exponent = exponent * 10 + (c - '0');
      return to(kExponent);
  }
  return (c == 'e' || c == 'E') && to(kE);
}

bool NumberRule::empty() const {
  return !has_number(span_of(*this), *this);
}

bool NumberRule::accepts(const NumberText& text) const {
  if (any()) return true;
  if (plain && text.part > NumberText::kInteger) return false;
  const int32_t exponent = (text.exponent_negative ? -text.exponent : text.exponent) -
                           text.num_fraction + static_cast<int32_t>(text.num_left_out);
  const Span span = text.negative ? mirrored(span_of(*this)) : span_of(*this);
  const Decimal value{text.mantissa, exponent};
  if (text.too_long) {
    // The value is between this one and the next mantissa's.
    if (!span.contains(value) || !span.contains({text.mantissa + 1, exponent})) return false;
    const bool surely_integer =
        !text.fraction_nonzero && !text.exponent_negative && text.num_fraction == 0;
    return !no_integers && (!step || (compare(*step, kOneValue) == 0 && surely_integer));
  }
  if (!span.contains(value)) return false;
  if (no_integers) return !is_multiple(value, kOneValue);
  return !step || is_multiple(value, *step);
}

bool NumberRule::possible(const NumberText& text) const {
  constexpr int kRoomyDigits = 30;  // beyond, a number must be right as it stands
  if (any()) return true;
  if (plain && text.part > NumberText::kInteger) return false;
  Span span = text.negative ? mirrored(span_of(*this)) : span_of(*this);
  span.raise(kZeroValue, kClosed);
  const bool full = text.num_digits > kRoomyDigits || text.num_fraction >= kMaxFraction - 10;
  const auto hits = [&](const Decimal& from, const Decimal& below) {
    Span part = span;
    part.raise(from, kClosed);
    part.lower(below, kOpen);
    return has_number(part, *this);
  };
  if (text.part == NumberText::kStart) return !empty();
  if (text.part == NumberText::kMinus) return has_number(span, *this);
  if (text.part >= NumberText::kE) {
    if (text.too_long) return text.part == NumberText::kExponent && accepts(text);
    return any_with_prefix(text, exponents(text, span, *this));
  }
  if (text.too_long || full) {
    return accepts(text);
  }
  const int32_t f = text.num_fraction;
  const Int128 m = text.mantissa;
  if (text.part == NumberText::kInteger) {
    if (!span.hi) return true;
    int32_t zeros = 0;
    if (span.lo->mantissa != 0) {
      zeros = std::max(0, place(*span.lo) - num_digits(m) - 1);
    }
    for (; compare({m, zeros}, *span.hi) <= 0 && zeros + num_digits(m) <= kRoomyDigits; ++zeros) {
      if (hits({m, zeros}, {m + 1, zeros})) return true;
    }
    return false;
  }
  return hits({m, -f}, {m + 1, -f});
}

std::optional<NumberRule> intersect(const NumberRule& a, const NumberRule& b) {
  NumberRule out = a;
  Span span = span_of(a);
  if (b.lo) span.raise(*b.lo, b.lo_open);
  if (b.hi) span.lower(*b.hi, b.hi_open);
  out.lo = span.lo;
  out.hi = span.hi;
  out.lo_open = span.lo && span.lo_open;
  out.hi_open = span.hi && span.hi_open;
  out.no_integers = a.no_integers || b.no_integers;
  out.plain = a.plain || b.plain;
  if (b.step && !a.step) out.step = b.step;
  if (a.step && b.step) {
    const int32_t exponent = std::min(a.step->exponent, b.step->exponent);
    const auto scaled = [&](const Decimal& step) -> Int128 {
      const int t = step.exponent - exponent;
      return num_digits(step.mantissa) + t > 18 ? 0 : step.mantissa * power_of_ten(t);
    };
    const Int128 x = scaled(*a.step), y = scaled(*b.step);
    if (x == 0 || y == 0) return std::nullopt;
    Int128 gcd = x, rest = y;
    while (rest != 0) gcd = std::exchange(rest, gcd % rest);
    out.step = stripped({x / gcd * y, exponent});
  }
  if (out.step && (out.step->mantissa > kMaxStep)) return std::nullopt;
  if (out.step && out.no_integers) {
    if (!is_multiple(*out.step, kOneValue)) return std::nullopt;
    out.no_integers = false;  // nothing is left: an empty interval
    out.lo = Decimal{1, 0};
    out.hi = Decimal{0, 0};
  }
  return out;
}

}  // namespace axk1
