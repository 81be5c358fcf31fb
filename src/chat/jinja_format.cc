#include "chat/jinja_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxPrecision = 1000;

bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}

int64_t read_number(std::string_view text, size_t& at, int64_t limit, const char* what) {
  int64_t n = 0;
  while (at < text.size() && is_ascii_digit(text[at])) {
    n = n * 10 + (text[at++] - '0');
    if (n > limit) eval_fail("format: the ", what, " is too large (at most ", limit, ")");
  }
  return n;
}

std::string digits_in_base(uint64_t magnitude, int base, bool capital) {
  if (magnitude == 0) return "0";
  const char* digits = capital ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  for (; magnitude > 0; magnitude /= static_cast<unsigned>(base)) {
    out += digits[magnitude % static_cast<unsigned>(base)];
  }
  std::reverse(out.begin(), out.end());
  return out;
}

uint64_t magnitude_of(int64_t i) {
  return i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
}

struct Padding {
  std::string fill = " ";
  char align = '<';  // '<', '>', '^', or '=' for padding after the sign
  int64_t width = 0;
};

std::string pad(const std::string& sign, const std::string& body, const Padding& padding) {
  const int64_t length = static_cast<int64_t>(count_code_points(sign) + count_code_points(body));
  const int64_t missing = std::max<int64_t>(0, padding.width - length);
  const int64_t left = padding.align == '>'   ? missing
                       : padding.align == '^' ? missing / 2
                       : padding.align == '=' ? missing
                                              : 0;
  std::string out;
  auto fill = [&](int64_t n) {
    for (int64_t i = 0; i < n; ++i) out += padding.fill;
  };
  if (padding.align == '=') {
    out += sign;
    fill(missing);
    return out + body;
  }
  fill(left);
  out += sign + body;
  fill(missing - left);
  return out;
}

// Separators between groups of digits of the integer part.
std::string grouped(const std::string& body, char separator, size_t group) {
  size_t end = 0;
  while (end < body.size() && std::isxdigit(static_cast<unsigned char>(body[end]))) ++end;
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % group == 0) out += separator;
    out += body[i];
  }
  return out + body.substr(end);
}

struct Spec {
  Padding padding;
  bool has_align = false;
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  char separator = 0;
  int64_t precision = -1;
  char type = 0;
};

Spec parse_spec(std::string_view text) {
  Spec spec;
  auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t at = 0;
  if (!text.empty()) {
    size_t after = 0;
    next_code_point(text, after);
    if (after < text.size() && is_align(text[after])) {
      spec.padding.fill = std::string(text.substr(0, after));
      spec.padding.align = text[after];
      spec.has_align = true;
      at = after + 1;
    } else if (is_align(text[0])) {
      spec.padding.align = text[0];
      spec.has_align = true;
      at = 1;
    }
  }
  auto take = [&](char c) {
    if (at < text.size() && text[at] == c) {
      ++at;
      return true;
    }
    return false;
  };
  if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) {
    spec.sign = text[at++];
  }
  spec.alternate = take('#');
  if (take('0')) {
    spec.zero = true;
    if (!spec.has_align) {
      spec.padding.fill = '0';
      spec.padding.align = '=';
      spec.has_align = true;
    }
  }
  spec.padding.width = read_number(text, at, kMaxWidth, "width");
  if (take(',')) spec.separator = ',';
  if (take('_')) spec.separator = '_';
  if (take('.')) {
    if (at >= text.size() || !is_ascii_digit(text[at])) {
      eval_fail("Format specifier missing precision");
    }
    spec.precision = read_number(text, at, kMaxPrecision, "precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) eval_fail("Invalid format specifier");
  return spec;
}

[[noreturn]] void unknown_type(const Spec& spec, const Value& v) {
  eval_fail("Unknown format code '", spec.type, "' for object of type '", type_name(v), "'");
}

std::string sign_text(bool negative, char wanted) {
  if (negative) return "-";
  return wanted == '+' ? "+" : wanted == ' ' ? " " : "";
}

// repr-like digits of a float when no type is asked for: at least one digit after the point.
std::string general_text(double d, int64_t precision) {
  if (precision < 0) return float_text(d);
  std::string out = fixed_text(d, 'g', static_cast<int>(precision), false);
  if (std::isfinite(d) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string format_float(const Spec& spec, const Value& v) {
  const double d = std::fabs(v.as_float());
  const bool negative = std::signbit(v.as_float()) && !std::isnan(v.as_float());
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  std::string body;
  switch (spec.type) {
    case 0:
      body = general_text(d, spec.precision);
      break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      body = fixed_text(d, spec.type, precision, spec.alternate);
      break;
    case 'n':
      body = fixed_text(d, 'g', precision, spec.alternate);
      break;
    case '%':
      body = fixed_text(d * 100, 'f', precision, spec.alternate) + "%";
      break;
    default:
      unknown_type(spec, v);
  }
  if (spec.separator && std::isfinite(d)) body = grouped(body, spec.separator, 3);
  Padding padding = spec.padding;
  if (!spec.has_align) padding.align = '>';
  return pad(sign_text(negative, spec.sign), body, padding);
}

std::string format_int(const Spec& spec, const Value& v) {
  const int64_t i = v.as_int();
  if (spec.precision >= 0) eval_fail("Precision not allowed in integer format specifier");
  std::string prefix, body;
  size_t group = 3;
  switch (spec.type) {
    case 0:
    case 'd':
    case 'n':
      body = digits_in_base(magnitude_of(i), 10, false);
      break;
    case 'x':
    case 'X':
      body = digits_in_base(magnitude_of(i), 16, spec.type == 'X');
      prefix = spec.type == 'X' ? "0X" : "0x";
      group = 4;
      break;
    case 'o':
      body = digits_in_base(magnitude_of(i), 8, false);
      prefix = "0o";
      group = 4;
      break;
    case 'b':
      body = digits_in_base(magnitude_of(i), 2, false);
      prefix = "0b";
      group = 4;
      break;
    case 'c':
      if (i < 0 || i > 0x10ffff) eval_fail("%c arg not in range(0x110000)");
      append_utf8(body, static_cast<char32_t>(i));
      break;
    default:
      unknown_type(spec, v);
  }
  if (spec.separator) body = grouped(body, spec.separator, group);
  Padding padding = spec.padding;
  if (!spec.has_align) padding.align = '>';
  return pad(sign_text(i < 0, spec.sign) + (spec.alternate ? prefix : ""), body, padding);
}

std::string format_text(const Spec& spec, const Value& v, std::string text) {
  if (spec.type != 0 && spec.type != 's') unknown_type(spec, v);
  if (spec.has_align && spec.padding.align == '=' && !spec.zero) {
    eval_fail("'=' alignment not allowed in string format specifier");
  }
  if (spec.precision >= 0) {
    text.resize(byte_offset(text, static_cast<size_t>(spec.precision)));
  }
  Padding padding = spec.padding;
  if (padding.align == '=') padding.align = '<';
  return pad("", text, padding);
}

// "{0.name[key]!r:spec}" and friends.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Args& args) : runtime_(runtime), args_(args) {}

  std::string run(std::string_view format, int depth) {
    if (depth > 2) eval_fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < format.size();) {
      const char c = format[at];
      if (c != '{' && c != '}') {
        out += format[at++];
        continue;
      }
      if (at + 1 < format.size() && format[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      if (c == '}') eval_fail("Single '}' encountered in format string");
      size_t end = at + 1;
      for (int open = 1; open > 0; ++end) {
        if (end >= format.size()) eval_fail("expected '}' before end of string");
        open += format[end] == '{' ? 1 : format[end] == '}' ? -1 : 0;
      }
      out += field(format.substr(at + 1, end - at - 2), depth);
      if (out.size() > Budget::kMaxStringBytes) eval_fail("a formatted text is too long");
      at = end;
    }
    return out;
  }

 private:
  std::string field(std::string_view text, int depth) {
    runtime_.spend(1 + text.size());
    const size_t name_end = std::min(text.find_first_of("!:"), text.size());
    Value v = lookup(text.substr(0, name_end));
    std::string_view rest = text.substr(name_end);
    if (!rest.empty() && rest[0] == '!') {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        eval_fail("expected ':' after conversion specifier");
      }
      if (rest[1] == 'r' || rest[1] == 'a') {
        v = runtime_.str(repr(runtime_, v));
      } else if (rest[1] == 's') {
        v = runtime_.str(to_str(runtime_, v));
      } else {
        eval_fail("Unknown conversion specifier '", rest[1], "'");
      }
      rest.remove_prefix(2);
    }
    const std::string spec = rest.empty() ? std::string() : run(rest.substr(1), depth + 1);
    return format_value(runtime_, v, spec);
  }

  Value lookup(std::string_view path) {
    const size_t first_end = std::min(path.find_first_of(".["), path.size());
    Value v = first(path.substr(0, first_end));
    for (size_t at = first_end; at < path.size();) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        if (end == at + 1) eval_fail("Empty attribute in format string");
        v = get_attribute(runtime_, v, path.substr(at + 1, end - at - 1));
        at = end;
      } else if (path[at] == '[') {
        const size_t end = path.find(']', at);
        if (end == std::string_view::npos) eval_fail("Missing ']' in format string");
        const std::string_view key = path.substr(at + 1, end - at - 1);
        const bool number = !key.empty() && std::all_of(key.begin(), key.end(), is_ascii_digit);
        const std::optional<int64_t> index = number ? parse_int(key, 10) : std::nullopt;
        v = get_item(runtime_, v, index ? Value::integer(*index) : runtime_.str(key));
        at = end + 1;
      } else {
        eval_fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return v;
  }

  Value first(std::string_view name) {
    size_t index = 0;
    if (name.empty()) {
      index = next_++;
    } else if (std::all_of(name.begin(), name.end(), is_ascii_digit)) {
      size_t at = 0;
      index = static_cast<size_t>(read_number(name, at, 1'000'000, "field number"));
    } else {
      for (const auto& [key, value] : args_.named) {
        if (key == name) return value;
      }
      eval_fail("'", name, "'");
    }
    if (index >= args_.positional.size()) {
      eval_fail("Replacement index ", index, " out of range for positional args tuple");
    }
    return args_.positional[index];
  }

  Runtime& runtime_;
  const Args& args_;
  size_t next_ = 0;
};

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, std::string_view format, const Value& values)
      : runtime_(runtime), format_(format), values_(values) {}

  std::string run() {
    std::string out;
    for (size_t at = 0; at < format_.size();) {
      if (format_[at] != '%') {
        out += format_[at++];
        continue;
      }
      ++at;
      out += conversion(at);
      if (out.size() > Budget::kMaxStringBytes) eval_fail("a formatted text is too long");
    }
    const bool all_used =
        values_.is(Type::kDict) || values_.is(Type::kList) ||
        (values_.is(Type::kTuple) ? used_ == values_.as<List>().items.size() : used_ == 1);
    if (!all_used && !mapping_) {
      eval_fail("not all arguments converted during string formatting");
    }
    return out;
  }

 private:
  Value next() {
    if (values_.is(Type::kTuple)) {
      const Values& items = values_.as<List>().items;
      if (used_ >= items.size()) eval_fail("not enough arguments for format string");
      return items[used_++];
    }
    if (used_++ > 0) eval_fail("not enough arguments for format string");
    return values_;
  }

  int64_t number_or_star(size_t& at, int64_t limit, const char* what) {
    if (at < format_.size() && format_[at] == '*') {
      ++at;
      const Value v = next();
      if (!v.is_int()) eval_fail("* wants int");
      if (v.as_int() > limit || v.as_int() < -limit)
        eval_fail("format: the ", what, " is too large");
      return v.as_int();
    }
    return read_number(format_, at, limit, what);
  }

  std::string conversion(size_t& at) {
    runtime_.spend(1);
    Value v;
    if (at < format_.size() && format_[at] == '(') {
      const size_t end = format_.find(')', at);
      if (end == std::string_view::npos) eval_fail("incomplete format key");
      if (!values_.is(Type::kDict)) eval_fail("format requires a mapping");
      mapping_ = true;
      const std::string_view key = format_.substr(at + 1, end - at - 1);
      const Value* found = values_.as<Dict>().find(key);
      if (!found) eval_fail(quoted(key));
      v = *found;
      at = end + 1;
    }
    bool left = false, plus = false, space = false, zero = false, alternate = false;
    for (; at < format_.size(); ++at) {
      const char c = format_[at];
      if (c == '-')
        left = true;
      else if (c == '+')
        plus = true;
      else if (c == ' ')
        space = true;
      else if (c == '0')
        zero = true;
      else if (c == '#')
        alternate = true;
      else
        break;
    }
    int64_t width = number_or_star(at, kMaxWidth, "width");
    if (width < 0) {
      left = true;
      width = -width;
    }
    int64_t precision = -1;
    if (at < format_.size() && format_[at] == '.') {
      ++at;
      precision = std::max<int64_t>(0, number_or_star(at, kMaxPrecision, "precision"));
    }
    while (at < format_.size() &&
           (format_[at] == 'l' || format_[at] == 'h' || format_[at] == 'L')) {
      ++at;
    }
    if (at >= format_.size()) eval_fail("incomplete format");
    const char type = format_[at++];
    if (type == '%') return "%";
    if (v.is_missing()) v = next();

    std::string sign, body;
    bool numeric = true;
    switch (type) {
      case 's':
      case 'r':
      case 'a':
        body = type == 's' ? to_str(runtime_, v) : repr(runtime_, v);
        if (precision >= 0) body.resize(byte_offset(body, static_cast<size_t>(precision)));
        numeric = false;
        break;
      case 'c':
        numeric = false;
        if (v.is_string() && v.as<Str>().length == 1) {
          body = text_of(v);
        } else if (v.is_int() && v.as_int() >= 0 && v.as_int() <= 0x10ffff) {
          append_utf8(body, static_cast<char32_t>(v.as_int()));
        } else {
          eval_fail("%c requires int or char");
        }
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        integer_body(v, type, precision, alternate, sign, body);
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        require_defined(v);
        if (!v.is_number()) eval_fail("must be real number, not ", type_name(v));
        const double d = v.as_float();
        if (std::signbit(d) && !std::isnan(d)) sign = '-';
        body = fixed_text(std::fabs(d), type, precision < 0 ? 6 : static_cast<int>(precision),
                          alternate);
        break;
      }
      default: {
        std::string shown;
        size_t back = at - 1;
        append_utf8(shown, next_code_point(format_, back));
        eval_fail("unsupported format character '", shown, "' at index ", at - 1);
      }
    }
    if (numeric && sign.empty() && (plus || space)) sign = plus ? '+' : ' ';
    Padding padding;
    padding.width = width;
    padding.align = left ? '<' : numeric && zero ? '=' : '>';
    if (padding.align == '=') padding.fill = '0';
    return pad(sign, body, padding);
  }

  void integer_body(const Value& v, char type, int64_t precision, bool alternate, std::string& sign,
                    std::string& body) {
    require_defined(v);
    int64_t i = v.as_int();
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (v.is(Type::kFloat) && decimal) {
      if (!(std::fabs(v.as_float()) < 9.2e18)) eval_fail("a float is too large for %", type);
      i = static_cast<int64_t>(v.as_float());
    } else if (!v.is_int()) {
      eval_fail("%", type, " format: ", decimal ? "a real number" : "an integer",
                " is required, not ", type_name(v));
    }
    const int base = decimal ? 10 : type == 'o' ? 8 : 16;
    body = digits_in_base(magnitude_of(i), base, type == 'X');
    while (static_cast<int64_t>(body.size()) < precision) body.insert(body.begin(), '0');
    if (i < 0) sign = '-';
    if (alternate && !decimal) sign += type == 'o' ? "0o" : type == 'X' ? "0X" : "0x";
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& values_;
  size_t used_ = 0;
  bool mapping_ = false;
};

}  // namespace

std::string fixed_text(double d, char conversion, int precision, bool alternate) {
  if (!std::isfinite(d)) {
    std::string out = float_text(d);
    return std::isupper(static_cast<unsigned char>(conversion)) ? upper(out) : out;
  }
  // std::to_chars, unlike printf, does not follow the locale.
  const char lower_case = static_cast<char>(std::tolower(static_cast<unsigned char>(conversion)));
  const std::chars_format style = lower_case == 'f'   ? std::chars_format::fixed
                                  : lower_case == 'e' ? std::chars_format::scientific
                                                      : std::chars_format::general;
  std::string out(static_cast<size_t>(precision) + 350, '\0');
  const auto result = std::to_chars(out.data(), out.data() + out.size(), d, style, precision);
  out.resize(static_cast<size_t>(result.ptr - out.data()));
  if (alternate && out.find('.') == std::string::npos) {
    out.insert(std::min(out.find('e'), out.size()), 1, '.');
  }
  return conversion == lower_case ? out : upper(out);
}

std::string format_value(Runtime& runtime, const Value& v, std::string_view spec_text) {
  if (spec_text.empty()) return to_str(runtime, v);
  const Spec spec = parse_spec(spec_text);
  if (v.is(Type::kFloat)) return format_float(spec, v);
  if (v.is_int()) {
    if (v.is(Type::kBool) && spec.type == 0) return format_text(spec, v, to_str(runtime, v));
    const bool as_float =
        spec.type && std::string_view("eEfFgG%").find(spec.type) != std::string::npos;
    return as_float ? format_float(spec, Value::number(v.as_float())) : format_int(spec, v);
  }
  if (v.is_string() || v.is_undefined()) return format_text(spec, v, to_str(runtime, v));
  eval_fail("unsupported format string passed to ", type_name(v), ".__format__");
}

Value format_percent(Runtime& runtime, const Value& format, const Value& values) {
  return runtime.str(PercentFormatter(runtime, text_of(format), values).run());
}

Value format_braces(Runtime& runtime, const Value& format, const Args& args) {
  return runtime.str(BraceFormatter(runtime, args).run(text_of(format), 0));
}

}  // namespace axk1::jinja
