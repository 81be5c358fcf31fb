// Numbers as text and back, by the rules of Python (the last part of jinja_text.h).
#include <charconv>
#include <cmath>

#include "chat/jinja_text.h"
#include "chat/jinja_value.h"

namespace axk1::jinja {

std::string float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  // Shortest digits that read back the same, in Python's choice of notation: an exponent below
  // 1e-4 and from 1e16 on.
  char buffer[40];
  const char* end =
      std::to_chars(buffer, buffer + sizeof(buffer), d, std::chars_format::scientific).ptr;
  const std::string_view scientific(buffer, static_cast<size_t>(end - buffer));
  const size_t e = scientific.find('e');
  int exponent = 0;
  const size_t digits_at = scientific[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(scientific.data() + digits_at, scientific.data() + scientific.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  char fixed[400];
  end = std::to_chars(fixed, fixed + sizeof(fixed), d, std::chars_format::fixed).ptr;
  std::string out(fixed, static_cast<size_t>(end - fixed));
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

namespace {

// Digits with single underscores between them, the underscores removed; nothing when misplaced.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() &&
                         std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                         std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return std::nullopt;
  }
  return out;
}

// Decimal digits of any script as ASCII ones (utf8proc knows no digit values, but the digits of a
// script are ten consecutive code points that start at a multiple in nearly every block).
std::string ascii_digits(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c < 0x80 || !is_decimal(c)) {
      out.append(text.substr(start, at - start));
      continue;
    }
    char32_t zero = c;
    while (c - zero < 9 && is_decimal(zero - 1)) --zero;
    out += static_cast<char>('0' + (c - zero));
  }
  return out;
}

}  // namespace

std::optional<int64_t> parse_int(std::string_view text, int base) {
  const std::string ascii = ascii_digits(strip(text, {}, Side::kBoth));
  std::string_view rest = ascii;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest.size() > 2 && rest[0] == '0') {
    const char mark = static_cast<char>(std::tolower(static_cast<unsigned char>(rest[1])));
    const int named = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (named && (base == named || base == 0)) {
      base = named;
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] == '_') rest.remove_prefix(1);
    }
  }
  if (base == 0) {
    if (rest.size() > 1 && rest[0] == '0' &&
        rest.find_first_not_of("0_") != std::string_view::npos) {
      return std::nullopt;
    }
    base = 10;
  }
  const std::optional<std::string> digits = without_underscores(rest);
  if (!digits || digits->empty()) return std::nullopt;
  uint64_t magnitude = 0;
  const char* end = digits->data() + digits->size();
  const auto [at, error] = std::from_chars(digits->data(), end, magnitude, base);
  if (at != end || error == std::errc::invalid_argument) return std::nullopt;
  const uint64_t limit = uint64_t{1} << 63;
  if (error == std::errc::result_out_of_range || magnitude > limit ||
      (!negative && magnitude == limit)) {
    eval_fail("the integer ", rest.substr(0, 40), " does not fit in 64 bits");
  }
  return negative ? static_cast<int64_t>(0 - magnitude) : static_cast<int64_t>(magnitude);
}

std::optional<double> parse_float(std::string_view text) {
  const std::string ascii = ascii_digits(strip(text, {}, Side::kBoth));
  const std::optional<std::string> plain = without_underscores(ascii);
  if (!plain) return std::nullopt;
  std::string_view rest = *plain;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  double value = 0;
  const std::string word = lower(rest);
  if (word == "inf" || word == "infinity") {
    value = INFINITY;
  } else if (word == "nan") {
    value = NAN;
  } else {
    if (!std::isdigit(static_cast<unsigned char>(rest[0])) && rest[0] != '.') return std::nullopt;
    const auto [at, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (at != rest.data() + rest.size() || error == std::errc::invalid_argument)
      return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // Too large or too small for a double: the sign of the exponent tells.
      value = word.find("e-") != std::string::npos ? 0 : INFINITY;
    }
  }
  return negative ? -value : value;
}

}  // namespace axk1::jinja
