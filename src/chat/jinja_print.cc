#include "chat/jinja_print.h"

#include <algorithm>
#include <cmath>

#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

void check_size(const std::string& out) {
  if (out.size() > Budget::kMaxStringBytes) {
    eval_fail("a text of more than ", Budget::kMaxStringBytes, " bytes was asked for");
  }
}

void append_repr(Runtime& runtime, std::string& out, const Value& v);

void append_items(Runtime& runtime, std::string& out, const Values& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) out += ", ";
    append_repr(runtime, out, items[i]);
  }
}

void append_repr(Runtime& runtime, std::string& out, const Value& v) {
  runtime.spend(1);
  check_size(out);
  switch (v.type()) {
    case Type::kMissing:
      out += "missing";
      return;
    case Type::kUndefined:
      out += "Undefined";
      return;
    case Type::kNone:
      out += "None";
      return;
    case Type::kBool:
      out += v.as_bool() ? "True" : "False";
      return;
    case Type::kInt:
      out += std::to_string(v.as_int());
      return;
    case Type::kFloat:
      out += float_text(v.as_float());
      return;
    case Type::kString:
      runtime.spend(text_of(v).size() / 16);
      out += v.as<Str>().markup ? "Markup(" + quoted(text_of(v)) + ")" : quoted(text_of(v));
      return;
    case Type::kList:
      out += '[';
      append_items(runtime, out, v.as<List>().items);
      out += ']';
      return;
    case Type::kTuple:
      out += '(';
      append_items(runtime, out, v.as<List>().items);
      out += v.as<List>().items.size() == 1 ? ",)" : ")";
      return;
    case Type::kDict: {
      out += '{';
      bool first = true;
      for (const auto& [key, value] : v.as<Dict>().items()) {
        if (!first) out += ", ";
        first = false;
        append_repr(runtime, out, key);
        out += ": ";
        append_repr(runtime, out, value);
      }
      out += '}';
      return;
    }
    case Type::kDictView:
      out += type_name(v);
      out += "([";
      append_items(runtime, out, to_vector(runtime, v));
      out += "])";
      return;
    case Type::kRange: {
      const Range& range = v.as<Range>();
      out += cat("range(", range.start, ", ", range.stop);
      if (range.step != 1) out += cat(", ", range.step);
      out += ')';
      return;
    }
    case Type::kNamespace:
      out += "<Namespace>";
      return;
    case Type::kLoop:
    case Type::kMacro:
      out += runtime.describe(v);
      return;
    case Type::kFunction:
      out += cat("<built-in ", v.as<Function>().name, ">");
      return;
    default:
      out += cat("<", type_name(v), " object>");
      return;
  }
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& v, size_t level) {
    runtime_.spend(1);
    check_size(out);
    switch (v.type()) {
      case Type::kNone:
        out += "null";
        return;
      case Type::kBool:
        out += v.as_bool() ? "true" : "false";
        return;
      case Type::kInt:
        out += std::to_string(v.as_int());
        return;
      case Type::kFloat:
        out += number(v.as_float());
        return;
      case Type::kString:
        write_string(text_of(v));
        return;
      case Type::kList:
      case Type::kTuple:
        write_list(v.as<List>().items, level);
        return;
      case Type::kDict:
        write_dict(v.as<Dict>(), level);
        return;
      default:
        eval_fail("Object of type ", type_name(v), " is not JSON serializable");
    }
  }

  std::string out;

 private:
  static std::string number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return float_text(d);
  }

  void write_list(const Values& items, size_t level) {
    if (items.empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i) out += style_.item_separator;
      new_line(level + 1);
      write(items[i], level + 1);
    }
    new_line(level);
    out += ']';
  }

  void write_dict(const Dict& dict, size_t level) {
    if (dict.items().empty()) {
      out += "{}";
      return;
    }
    std::vector<const Dict::Item*> items;
    for (const Dict::Item& item : dict.items()) items.push_back(&item);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [](const Dict::Item* a, const Dict::Item* b) {
        return less(a->first, b->first);
      });
    }
    out += '{';
    bool first = true;
    for (const Dict::Item* item : items) {
      if (!first) out += style_.item_separator;
      first = false;
      new_line(level + 1);
      write_key(item->first);
      out += style_.key_separator;
      write(item->second, level + 1);
    }
    new_line(level);
    out += '}';
  }

  void write_key(const Value& key) {
    switch (key.type()) {
      case Type::kString:
        write_string(text_of(key));
        return;
      case Type::kNone:
      case Type::kBool:
      case Type::kInt:
      case Type::kFloat:
        out += '"';
        write(key, 0);
        out += '"';
        return;
      default:
        eval_fail("keys must be str, int, float, bool or None, not ", type_name(key));
    }
  }

  void write_string(std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    runtime_.spend(text.size() / 32);
    auto unit = [&](uint32_t u) {
      out += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) out += kHex[u >> shift & 15];
    };
    out += '"';
    for (size_t at = 0; at < text.size();) {
      const unsigned char c = static_cast<unsigned char>(text[at]);
      if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x7f || !style_.ensure_ascii)) {
        out += text[at++];
        continue;
      }
      const char32_t point = next_code_point(text, at);
      switch (point) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\f':
          out += "\\f";
          break;
        case '\b':
          out += "\\b";
          break;
        default:
          if (point < 0x10000) {
            unit(point);
          } else {
            unit(0xd800 + ((point - 0x10000) >> 10));
            unit(0xdc00 + ((point - 0x10000) & 0x3ff));
          }
      }
    }
    out += '"';
  }

  void new_line(size_t level) {
    if (!style_.indent) return;
    out += '\n';
    if (style_.indent->size() * level > Budget::kMaxStringBytes) check_size(std::string(1, ' '));
    for (size_t i = 0; i < level; ++i) {
      out += *style_.indent;
      check_size(out);
    }
  }

  Runtime& runtime_;
  const JsonStyle& style_;
};

// A dict with its keys in order, as pprint shows it; unsortable keys keep their order.
std::vector<Dict::Item> sorted_items(const Dict& dict) {
  std::vector<Dict::Item> items = dict.items();
  const bool sortable = std::all_of(items.begin(), items.end(), [&](const Dict::Item& item) {
    return (item.first.is_string() && items[0].first.is_string()) ||
           (item.first.is_number() && items[0].first.is_number());
  });
  if (sortable) {
    std::stable_sort(items.begin(), items.end(), [](const Dict::Item& a, const Dict::Item& b) {
      return less(a.first, b.first);
    });
  }
  return items;
}

Value with_sorted_dicts(Runtime& runtime, const Value& v) {
  if (v.is_sequence()) {
    Values items;
    for (const Value& item : v.as<List>().items) items.push_back(with_sorted_dicts(runtime, item));
    return runtime.sequence(v.type(), std::move(items));
  }
  if (v.is(Type::kDict)) {
    std::vector<Dict::Item> items = sorted_items(v.as<Dict>());
    for (auto& [key, value] : items) value = with_sorted_dicts(runtime, value);
    return runtime.dict(std::move(items));
  }
  return v;
}

// One value at column `indent`, with `allowance` characters to follow it on its last line.
void append_pretty(Runtime& runtime, std::string& out, const Value& v, size_t indent,
                   size_t allowance) {
  constexpr size_t kWidth = 80;
  const std::string flat = repr(runtime, v);
  const bool splits = (v.is_sequence() && !v.as<List>().items.empty()) ||
                      (v.is(Type::kDict) && !v.as<Dict>().items().empty());
  if (!splits || count_code_points(flat) + indent + allowance <= kWidth) {
    out += flat;
    return;
  }
  check_size(out);
  auto next_line = [&] { out += ",\n" + std::string(indent + 1, ' '); };
  if (v.is_sequence()) {
    const Values& items = v.as<List>().items;
    out += v.is(Type::kList) ? '[' : '(';
    const std::string_view close = v.is(Type::kList) ? "]" : items.size() == 1 ? ",)" : ")";
    for (size_t i = 0; i < items.size(); ++i) {
      if (i) next_line();
      const bool last = i + 1 == items.size();
      append_pretty(runtime, out, items[i], indent + 1, last ? allowance + close.size() : 1);
    }
    out += close;
    return;
  }
  out += '{';
  const auto& items = v.as<Dict>().items();
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) next_line();
    const std::string key = repr(runtime, items[i].first) + ": ";
    out += key;
    append_pretty(runtime, out, items[i].second, indent + 1 + count_code_points(key),
                  i + 1 == items.size() ? allowance + 1 : 1);
  }
  out += '}';
}

}  // namespace

void append_str(Runtime& runtime, std::string& out, const Value& v) {
  if (v.is_string()) {
    out += text_of(v);
  } else if (!v.is_undefined()) {
    append_repr(runtime, out, v);
  }
  check_size(out);
}

std::string to_str(Runtime& runtime, const Value& v) {
  std::string out;
  append_str(runtime, out, v);
  return out;
}

std::string repr(Runtime& runtime, const Value& v) {
  std::string out;
  append_repr(runtime, out, v);
  check_size(out);
  return out;
}

std::string to_json(Runtime& runtime, const Value& v, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(v, 0);
  check_size(writer.out);
  return std::move(writer.out);
}

std::string pretty(Runtime& runtime, const Value& v) {
  std::string out;
  append_pretty(runtime, out, with_sorted_dicts(runtime, v), 0, 0);
  return out;
}

}  // namespace axk1::jinja
