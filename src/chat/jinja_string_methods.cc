// The methods of Python's str.
#include <algorithm>

#include "base/utf8.h"
#include "chat/jinja_format.h"
#include "chat/jinja_methods.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

constexpr size_t npos = std::string::npos;

Value text_value(Runtime& rt, std::string_view text) {
  return rt.str(text);
}

Value list_of(Runtime& rt, const std::vector<std::string_view>& parts) {
  Values items;
  items.reserve(parts.size());
  for (std::string_view part : parts) items.push_back(text_value(rt, part));
  return rt.list(std::move(items));
}

template <std::string (*kMap)(std::string_view)>
Value mapped(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "str method", {});
  rt.spend(text_of(self).size() / 16);
  return rt.str(kMap(text_of(self)));
}

template <Side kSide>
Value stripped(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "strip", {"chars"});
  return text_value(rt, strip(text_of(self), p.optional_text(0), kSide));
}

template <bool kFromRight>
Value split_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, kFromRight ? "rsplit" : "split", {"sep", "maxsplit"});
  const std::optional<std::string_view> separator = p.optional_text(0);
  if (separator && separator->empty()) eval_fail("empty separator");
  rt.spend(text_of(self).size() / 32);
  const int64_t most = p.integer(1, -1);
  return list_of(rt, kFromRight ? rsplit(text_of(self), separator, most)
                                : split(text_of(self), separator, most));
}

template <bool kFromRight>
Value partition(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, kFromRight ? "rpartition" : "partition", {"sep"}, 1);
  const std::string& text = text_of(self);
  const std::string& separator = p.text(0);
  if (separator.empty()) eval_fail("empty separator");
  const size_t at = kFromRight ? rfind_part(text, separator) : find_part(text, separator);
  if (at == npos) {
    const Value empty = rt.str("");
    return kFromRight ? rt.tuple({empty, empty, self}) : rt.tuple({self, empty, empty});
  }
  return rt.tuple(
      {rt.str(text.substr(0, at)), rt.str(separator), rt.str(text.substr(at + separator.size()))});
}

Value splitlines_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "splitlines", {"keepends"});
  return list_of(rt, splitlines(text_of(self), p.flag(0, false)));
}

// The part of self that the optional start and end arguments (indices 1 and 2) select, and where it
// begins in code points.
std::string_view window(Runtime& rt, const Value& self, const Params& p, int64_t& start) {
  const Str& s = self.as<Str>();
  const int64_t n = static_cast<int64_t>(s.length);
  start = 0;
  if (!p.has(1) && !p.has(2)) return s.text;
  rt.spend(s.text.size() / 32);
  auto clamp = [&](int64_t i) { return std::max<int64_t>(i < 0 ? i + n : i, 0); };
  start = clamp(p.integer(1, 0));
  const int64_t end = std::min(clamp(p.integer(2, n)), n);
  if (start > end) {
    start = -1;  // not even the empty string is found there
    return {};
  }
  const size_t begin = byte_offset(s.text, static_cast<size_t>(start));
  const std::string_view rest = std::string_view(s.text).substr(begin);
  return rest.substr(0, byte_offset(rest, static_cast<size_t>(end - start)));
}

template <bool kAtEnd>
Value affix(Runtime& rt, const Value& self, const Args& args) {
  const char* name = kAtEnd ? "endswith" : "startswith";
  const Params p(args, name, {"prefix", "start", "end"}, 1);
  int64_t start = 0;
  const std::string_view text = window(rt, self, p, start);
  auto matches = [&](const Value& v) {
    require_defined(v);
    if (!v.is_string()) {
      eval_fail(name, " first arg must be str or a tuple of str, not ", type_name(v));
    }
    if (start < 0) return false;
    return kAtEnd ? text.ends_with(text_of(v)) : text.starts_with(text_of(v));
  };
  if (!p[0].is(Type::kTuple)) return Value::boolean(matches(p[0]));
  for (const Value& v : p[0].as<List>().items) {
    if (matches(v)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <bool kFromRight, bool kMustFind>
Value find_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "find", {"sub", "start", "end"}, 1);
  int64_t start = 0;
  const std::string_view text = window(rt, self, p, start);
  rt.spend(text.size() / 32);
  const size_t at = start < 0    ? npos
                    : kFromRight ? rfind_part(text, p.text(0))
                                 : find_part(text, p.text(0));
  if (at == npos) {
    if (kMustFind) eval_fail("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(start + static_cast<int64_t>(count_code_points(text.substr(0, at))));
}

Value count_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "count", {"sub", "start", "end"}, 1);
  int64_t start = 0;
  const std::string_view text = window(rt, self, p, start);
  rt.spend(text.size() / 32);
  const std::string& part = p.text(0);
  if (start < 0) return Value::integer(0);
  if (part.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t count = 0;
  for (size_t at = find_part(text, part); at != npos; at = find_part(text, part, at + part.size()))
    ++count;
  return Value::integer(count);
}

Value replace_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "replace", {"old", "new", "count"}, 2);
  return replace_text(rt, text_of(self), p.text(0), p.text(1), p.integer(2, -1));
}

Value join_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "join", {"iterable"}, 1);
  std::string out;
  size_t index = 0;
  Value item;
  for (Cursor cursor(rt, p[0]); cursor.next(item); ++index) {
    if (!item.is_string()) {
      eval_fail("sequence item ", index, ": expected str instance, ", type_name(item), " found");
    }
    if (index) out += text_of(self);
    out += text_of(item);
    if (out.size() > Budget::kMaxStringBytes) eval_fail("a joined text is too long");
  }
  return rt.str(std::move(out));
}

enum class Fill { kCenter, kLeft, kRight };
template <Fill kHow>
Value justified(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "center", {"width", "fillchar"}, 1);
  const std::string fill = p.has(1) ? p.text(1) : " ";
  if (count_code_points(fill) != 1) {
    eval_fail("The fill character must be exactly one character long");
  }
  return pad_text(rt, self, p.integer(0, 0), fill,
                  kHow == Fill::kCenter ? '^'
                  : kHow == Fill::kLeft ? '<'
                                        : '>');
}

Value zfill(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "zfill", {"width"}, 1);
  const Str& s = self.as<Str>();
  const int64_t missing = p.integer(0, 0) - static_cast<int64_t>(s.length);
  if (missing <= 0) return rt.str(s.text);
  if (missing > static_cast<int64_t>(Budget::kMaxStringBytes)) eval_fail("zfill: too wide");
  const size_t sign = !s.text.empty() && (s.text[0] == '+' || s.text[0] == '-') ? 1 : 0;
  return rt.str(s.text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') +
                s.text.substr(sign));
}

Value expandtabs(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "expandtabs", {"tabsize"});
  const int64_t size = p.integer(0, 8);
  if (size > 1000) eval_fail("expandtabs: the tab size is too large");
  std::string out;
  int64_t column = 0;
  const std::string& text = text_of(self);
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      if (out.size() > Budget::kMaxStringBytes) eval_fail("expandtabs: too long");
    } else {
      out.append(text, start, at - start);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return rt.str(std::move(out));
}

template <bool kAtEnd>
Value remove_affix(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, kAtEnd ? "removesuffix" : "removeprefix", {"affix"}, 1);
  std::string_view text = text_of(self);
  const std::string& part = p.text(0);
  if (kAtEnd && text.ends_with(part)) text.remove_suffix(part.size());
  if (!kAtEnd && text.starts_with(part)) text.remove_prefix(part.size());
  return text_value(rt, text);
}

template <bool (*kTest)(char32_t)>
Value all_are(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "str test", {});
  const std::string& text = text_of(self);
  rt.spend(text.size() / 16);
  for (size_t at = 0; at < text.size();) {
    if (!kTest(next_code_point(text, at))) return Value::boolean(false);
  }
  return Value::boolean(!text.empty() || kTest == &is_printable);
}

// islower and isupper: at least one cased character, and none of the other case.
template <bool (*kWanted)(char32_t), bool (*kOther)(char32_t)>
Value all_cased(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "str test", {});
  const std::string& text = text_of(self);
  rt.spend(text.size() / 16);
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (kOther(c) || is_title(c)) return Value::boolean(false);
    any = any || kWanted(c);
  }
  return Value::boolean(any);
}

Value istitle(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "istitle", {});
  const std::string& text = text_of(self);
  rt.spend(text.size() / 16);
  bool in_word = false, any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_upper(c) || is_title(c)) {
      if (in_word) return Value::boolean(false);
      in_word = any = true;
    } else if (is_lower(c)) {
      if (!in_word) return Value::boolean(false);
    } else {
      in_word = false;
    }
  }
  return Value::boolean(any);
}

Value isascii(Runtime&, const Value& self, const Args& args) {
  Params(args, "isascii", {});
  return Value::boolean(self.as<Str>().is_ascii());
}
Value isidentifier(Runtime&, const Value& self, const Args& args) {
  Params(args, "isidentifier", {});
  return Value::boolean(is_identifier(text_of(self)));
}

Value format_method(Runtime& rt, const Value& self, const Args& args) {
  return format_braces(rt, self, args);
}

Value format_map_method(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "format_map", {"mapping"}, 1);
  if (!p[0].is(Type::kDict)) eval_fail("format_map() wants a mapping");
  Args named;
  for (const auto& [key, value] : p[0].as<Dict>().items()) {
    named.named.emplace_back(to_str(rt, key), value);
  }
  return format_braces(rt, self, named);
}

constexpr Method kMethods[] = {
    {"capitalize", mapped<capitalize>},
    {"casefold", mapped<casefold>},
    {"center", justified<Fill::kCenter>},
    {"count", count_method},
    {"endswith", affix<true>},
    {"expandtabs", expandtabs},
    {"find", find_method<false, false>},
    {"format", format_method},
    {"format_map", format_map_method},
    {"index", find_method<false, true>},
    {"isalnum", all_are<is_alnum>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", isidentifier},
    {"islower", all_cased<is_lower, is_upper>},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", all_are<is_printable>},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", all_cased<is_upper, is_lower>},
    {"join", join_method},
    {"ljust", justified<Fill::kLeft>},
    {"lower", mapped<lower>},
    {"lstrip", stripped<Side::kLeft>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_method},
    {"rfind", find_method<true, false>},
    {"rindex", find_method<true, true>},
    {"rjust", justified<Fill::kRight>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", stripped<Side::kRight>},
    {"split", split_method<false>},
    {"splitlines", splitlines_method},
    {"startswith", affix<false>},
    {"strip", stripped<Side::kBoth>},
    {"swapcase", mapped<swapcase>},
    {"title", mapped<title>},
    {"upper", mapped<upper>},
    {"zfill", zfill},
};

}  // namespace

std::span<const Method> string_methods() {
  return kMethods;
}

Value replace_text(Runtime& rt, std::string_view text, std::string_view old, std::string_view with,
                   int64_t count) {
  rt.spend(text.size() / 32);
  std::string out;
  auto more = [&] { return count < 0 || count-- > 0; };
  auto append = [&](std::string_view part) {
    out += part;
    if (out.size() > Budget::kMaxStringBytes) eval_fail("replace: the result is too long");
  };
  if (old.empty()) {  // before every character, and at the end
    size_t at = 0;
    while (more()) {
      append(with);
      if (at >= text.size()) return rt.str(std::move(out));
      const size_t start = at;
      next_code_point(text, at);
      append(text.substr(start, at - start));
    }
    append(text.substr(at));
    return rt.str(std::move(out));
  }
  size_t from = 0;
  for (size_t at; more() && (at = find_part(text, old, from)) != npos; from = at + old.size()) {
    append(text.substr(from, at - from));
    append(with);
  }
  append(text.substr(from));
  return rt.str(std::move(out));
}

Value pad_text(Runtime& rt, const Value& text, int64_t width, std::string_view fill, char align) {
  const Str& s = text.as<Str>();
  const int64_t missing = width - static_cast<int64_t>(s.length);
  if (missing <= 0) return rt.str(s.text);
  if (missing > static_cast<int64_t>(Budget::kMaxStringBytes / 4))
    eval_fail("the width is too large");
  // str.center puts the odd space on the left when the width is odd.
  const int64_t left = align == '^'   ? missing / 2 + (missing & width & 1)
                       : align == '>' ? missing
                                      : 0;
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += s.text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return rt.str(std::move(out));
}

}  // namespace axk1::jinja
