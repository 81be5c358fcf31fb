// Filters that make text.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "chat/jinja_builtins.h"
#include "chat/jinja_format.h"
#include "chat/jinja_methods.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"
#include "chat/jinja_wrap.h"

namespace axk1::jinja {
namespace {

// soft_str: a string stays what it is, anything else is converted.
Value soft(Runtime& rt, const Value& v) {
  return v.is_string() ? v : rt.str(to_str(rt, v));
}

// The value as a string, for filters that want one; Python would raise an AttributeError.
const Value& want_text(const Value& v, const char* filter) {
  require_defined(v);
  if (!v.is_string()) eval_fail(filter, ": found ", type_name(v), ", expected a string");
  return v;
}

template <std::string (*kMap)(std::string_view)>
Value mapped(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "filter", {});
  const Value text = soft(rt, value);
  rt.spend(text_of(text).size() / 16);
  return rt.str(kMap(text_of(text)), text.as<Str>().markup);
}

// |title: unlike str.title it starts words only after white space, hyphens and opening brackets.
Value title_filter(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "title", {});
  const Value s = soft(rt, value);
  const std::string& text = text_of(s);
  auto separates = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
  };
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t next = at;
    const bool separator = separates(next_code_point(text, next));
    const size_t first = next;
    while (next < text.size()) {
      size_t after = next;
      if (separates(next_code_point(text, after)) != separator) break;
      next = after;
    }
    out += upper(std::string_view(text).substr(at, first - at));
    out += lower(std::string_view(text).substr(first, next - first));
    at = next;
  }
  return rt.str(std::move(out));
}

Value trim(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "trim", {"chars"});
  const Value s = soft(rt, value);
  return rt.str(strip(text_of(s), p.optional_text(0), Side::kBoth));
}

Value replace(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "replace", {"old", "new", "count"}, 2);
  return replace_text(rt, to_str(rt, value), to_str(rt, p[0]), to_str(rt, p[1]), p.integer(2, -1));
}

Value format(Runtime& rt, const Value& value, const Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    eval_fail("can't handle positional and keyword arguments at the same time");
  }
  if (args.named.empty()) return format_percent(rt, soft(rt, value), rt.tuple(args.positional));
  std::vector<Dict::Item> items;
  for (const auto& [name, v] : args.named) items.emplace_back(rt.str(name), v);
  return format_percent(rt, soft(rt, value), rt.dict(std::move(items)));
}

Value indent(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "indent", {"width", "first", "blank"});
  const std::string& text = text_of(want_text(value, "indent"));
  std::string indention;
  if (p.has(0) && p[0].is_string()) {
    indention = text_of(p[0]);
  } else {
    const int64_t width = p.integer(0, 4);
    if (width > 100'000) eval_fail("indent: the width is too large");
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = p.flag(2, false);
  rt.spend(text.size() / 16);
  std::string out = p.flag(1, false) ? indention : "";
  bool first = true;
  const std::string with_newline = text + "\n";
  for (std::string_view line : splitlines(with_newline, false)) {
    if (!first) {
      out += '\n';
      if (blank || !line.empty()) out += indention;
    }
    first = false;
    out += line;
    if (out.size() > Budget::kMaxStringBytes) eval_fail("indent: the result is too long");
  }
  return rt.str(std::move(out), value.as<Str>().markup);
}

Value truncate(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "truncate", {"length", "killwords", "end", "leeway"});
  const std::string end = p.has(2) ? p.text(2) : "...";
  const int64_t end_length = static_cast<int64_t>(count_code_points(end));
  const int64_t length = p.integer(0, 255);
  const int64_t leeway = p.integer(3, 5);
  if (length < end_length) eval_fail("expected length >= ", end_length, ", got ", length);
  if (leeway < 0) eval_fail("expected leeway >= 0, got ", leeway);
  const int64_t size = static_cast<int64_t>(length_of(rt, value));
  if (size - leeway <= length) return value;
  const Str& s = want_text(value, "truncate").as<Str>();
  std::string cut = s.text.substr(0, byte_offset(s.text, static_cast<size_t>(length - end_length)));
  if (!p.flag(1, false)) cut = std::string(rsplit(cut, " ", 1)[0]);
  return rt.str(cut + end);
}

Value wordcount(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "wordcount", {});
  const Value s = soft(rt, value);
  const std::string& text = text_of(s);
  int64_t count = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const bool word = is_word(next_code_point(text, at));
    count += word && !in_word;
    in_word = word;
  }
  return Value::integer(count);
}

Value wordwrap(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "wordwrap", {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  const std::string& text = text_of(want_text(value, "wordwrap"));
  const int64_t width = p.integer(0, 79);
  if (width <= 0) eval_fail("invalid width ", width, " (must be > 0)");
  const std::string separator(p.optional_text(2).value_or("\n"));
  WrapStyle style;
  style.width = static_cast<size_t>(width);
  style.break_long_words = p.flag(1, true);
  style.break_on_hyphens = p.flag(3, true);
  rt.spend(text.size() / 2);
  std::string out;
  bool first = true;
  for (std::string_view paragraph : splitlines(text, false)) {
    if (!first) out += separator;
    first = false;
    bool first_line = true;
    for (const std::string& line : wrap(paragraph, style)) {
      if (!first_line) out += separator;
      first_line = false;
      out += line;
      if (out.size() > Budget::kMaxStringBytes) eval_fail("wordwrap: the result is too long");
    }
  }
  return rt.str(std::move(out));
}

Value center(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "center", {"width"});
  return pad_text(rt, soft(rt, value), p.integer(0, 80), " ", '^');
}

Value escape(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "escape", {});
  if (value.is_string() && value.as<Str>().markup) return value;
  return rt.str(html_escape(to_str(rt, value)), true);
}
Value force_escape(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "forceescape", {});
  return rt.str(html_escape(to_str(rt, value)), true);
}
Value safe(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "safe", {});
  return rt.str(to_str(rt, value), true);
}
Value string(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "string", {});
  return soft(rt, value);
}

// Markup.striptags: comments and tags go, white space is collapsed, the common references resolved.
Value striptags(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "striptags", {});
  std::string text = to_str(rt, value);
  rt.spend(text.size() / 8);
  auto without = [](const std::string& from, std::string_view open, std::string_view close) {
    std::string out;
    size_t at = 0;
    while (true) {
      const size_t start = find_part(from, open, at);
      const size_t end =
          start == std::string::npos ? start : find_part(from, close, start + open.size());
      if (end == std::string::npos) return out + from.substr(at);
      out.append(from, at, start - at);
      at = end + close.size();
    }
  };
  text = without(without(text, "<!--", "-->"), "<", ">");
  std::string collapsed;
  for (std::string_view word : split(text, {}, -1)) {
    if (!collapsed.empty()) collapsed += ' ';
    collapsed += word;
  }
  static constexpr std::pair<std::string_view, std::string_view> kReferences[] = {
      {"&lt;", "<"},  {"&gt;", ">"},   {"&quot;", "\""},       {"&#34;", "\""},
      {"&#39;", "'"}, {"&apos;", "'"}, {"&nbsp;", "\xc2\xa0"}, {"&amp;", "&"}};
  std::string out;
  for (size_t at = 0; at < collapsed.size();) {
    bool replaced = false;
    if (collapsed[at] == '&') {
      for (const auto& [reference, character] : kReferences) {
        if (collapsed.compare(at, reference.size(), reference) != 0) continue;
        out += character;
        at += reference.size();
        replaced = true;
        break;
      }
    }
    if (!replaced) out += collapsed[at++];
  }
  return rt.str(std::move(out));
}

std::string url_quoted(std::string_view text, bool query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte)) || c == '_' || c == '.' || c == '-' || c == '~' ||
        (c == '/' && !query)) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

Value urlencode(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "urlencode", {});
  const bool pairs = value.is(Type::kDict) || value.is_sequence() || value.is(Type::kDictView) ||
                     value.is(Type::kIterator) || value.is_undefined();
  if (!pairs) return rt.str(url_quoted(to_str(rt, value), false));
  std::string out;
  auto append = [&](const Value& key, const Value& v) {
    if (!out.empty()) out += '&';
    out += url_quoted(to_str(rt, key), true) + "=" + url_quoted(to_str(rt, v), true);
  };
  if (value.is(Type::kDict)) {
    for (const auto& [key, v] : value.as<Dict>().items()) append(key, v);
    return rt.str(std::move(out));
  }
  for (const Value& item : to_vector(rt, value)) {
    const Values pair = to_vector(rt, item);
    if (pair.size() != 2) eval_fail("urlencode: expected pairs of key and value");
    append(pair[0], pair[1]);
  }
  return rt.str(std::move(out));
}

Value xmlattr(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "xmlattr", {"autospace"});
  require_defined(value);
  if (!value.is(Type::kDict)) eval_fail("xmlattr: found ", type_name(value), ", expected a dict");
  std::string out;
  for (const auto& [key, v] : value.as<Dict>().items()) {
    if (v.is_none() || v.is_undefined()) continue;
    const std::string name = text_of(want_text(key, "xmlattr"));
    if (name.find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      eval_fail("Invalid character in attribute name: ", quoted(name));
    }
    if (!out.empty()) out += ' ';
    const bool safe_value = v.is_string() && v.as<Str>().markup;
    const std::string text = to_str(rt, v);
    out += html_escape(name) + "=\"" + (safe_value ? text : html_escape(text)) + "\"";
  }
  if (p.flag(0, true) && !out.empty()) out.insert(out.begin(), ' ');
  return rt.str(std::move(out));
}

Value filesizeformat(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "filesizeformat", {"binary"});
  const bool binary = p.flag(0, false);
  double bytes = 0;
  if (value.is_number()) {
    bytes = value.as_float();
  } else {
    const std::optional<double> parsed = parse_float(text_of(want_text(value, "filesizeformat")));
    if (!parsed) eval_fail("could not convert string to float: ", repr(rt, value));
    bytes = *parsed;
  }
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return rt.str("1 Byte");
  if (!std::isfinite(bytes)) eval_fail("filesizeformat: the size is not finite");
  if (bytes < base)
    return rt.str(float_text(std::trunc(bytes)).substr(0, float_text(std::trunc(bytes)).find('.')) +
                  " Bytes");
  static constexpr char kUnits[] = "kMGTPEZY";
  double unit = base;
  for (size_t i = 0; i < 8; ++i) {
    unit *= base;
    if (bytes < unit || i == 7) {
      const char letter = binary && i == 0 ? 'K' : kUnits[i];
      return rt.str(fixed_text(base * bytes / unit, 'f', 1, false) + " " + letter +
                    (binary ? "iB" : "B"));
    }
  }
  return {};
}

Value tojson(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = p.flag(0, false);
  if (p.has(1) && !p[1].is_none()) {
    if (p[1].is_string()) {
      style.indent = text_of(p[1]);
    } else {
      const int64_t width = p.integer(1, 0);
      if (width > 1000) eval_fail("tojson: the indent is too large");
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
    style.item_separator = ',';
  }
  if (p.has(2) && !p[2].is_none()) {
    const Values separators = to_vector(rt, p[2]);
    if (separators.size() != 2) eval_fail("tojson: separators must be a pair of strings");
    style.item_separator = text_of(want_text(separators[0], "tojson"));
    style.key_separator = text_of(want_text(separators[1], "tojson"));
  }
  style.sort_keys = p.flag(3, false);
  return rt.str(to_json(rt, value, style));
}

Value pprint(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "pprint", {});
  return rt.str(pretty(rt, value));
}

constexpr Filter kFilters[] = {
    {"capitalize", mapped<capitalize>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"filesizeformat", filesizeformat},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"lower", mapped<lower>},
    {"pprint", pprint},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"striptags", striptags},
    {"title", title_filter},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", mapped<upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
    {"wordwrap", wordwrap},
    {"xmlattr", xmlattr},
};

}  // namespace

std::span<const Filter> text_filters() {
  return kFilters;
}

}  // namespace axk1::jinja
