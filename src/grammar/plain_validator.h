// A validator of JSON schemas on parsed values, for tests: written from the specification and
// sharing nothing with the automata it checks. Keywords: all that are supported but `format`, which
// is left out.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "base/utf8.h"
#include "io/json.h"
#include "tokenizer/regex.h"

namespace axk1::testing {

// Whether PCRE2 finds an ECMA-262 pattern (with the u flag) in the text.
inline bool found_by_pcre2(std::string_view pattern, std::string_view text) {
  constexpr std::string_view kSpaces =
      "\\x09-\\x0d\\x20\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
      "\\x{3000}\\x{feff}";
  std::string out;
  bool in_class = false;
  const auto set = [&](std::string_view chars) {
    out += in_class ? std::string(chars) : cat("[", chars, "]");
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        set(kSpaces);
      } else if (escaped == 'd') {
        set("0-9");
      } else if (escaped == 'w') {
        set("A-Za-z0-9_");
      } else if (escaped == 'u') {
        out += cat("\\x{", pattern.substr(i + 1, 4), "}");
        i += 4;
      } else {
        out += {'\\', escaped};
      }
    } else if (c == '$' && !in_class) {
      out += "\\z";
    } else if (c == '.' && !in_class) {
      out += "[^\\n\\r\\x{2028}\\x{2029}]";
    } else {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
    }
  }
  const Regex regex = Regex::pcre2(out);
  RegexScratch scratch;
  scratch.begin(text.size());
  return RegexScan(regex, text, scratch).next().has_value();
}

class PlainValidator {
 public:
  explicit PlainValidator(const json::value& root) : root_(root) {
    const json::value* uri = root.is_object() ? root.get_object().if_contains("$schema") : nullptr;
    const std::string name = uri ? std::string(uri->as_string()) : "";
    for (const char* draft : {"draft-04", "draft-06", "draft-07"}) {
      ref_alone_ |= name.find(draft) != std::string::npos;
    }
  }

  bool valid(const json::value& v) const { return valid(root_, v); }

 private:
  static double number(const json::value& v) { return v.to_number<double>(); }

  static std::wstring wide(std::string_view text) {
    std::wstring out;
    while (!text.empty()) {
      const Utf8Char c = decode_utf8(text);
      text.remove_prefix(c.length);
      out += static_cast<wchar_t>(c.code_point);
    }
    return out;
  }

  static bool matches(std::string_view pattern, std::string_view text) {
    return found_by_pcre2(pattern, text);
  }

  static std::string replaced(std::string text, std::string_view what, std::string_view with) {
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
      text.replace(at, what.size(), with);
    }
    return text;
  }

  static bool equal(const json::value& a, const json::value& b) {
    if (a.is_number() && b.is_number()) return number(a) == number(b);
    if (a.is_array() && b.is_array()) {
      return std::equal(a.get_array().begin(), a.get_array().end(), b.get_array().begin(),
                        b.get_array().end(), equal);
    }
    if (a.is_object() && b.is_object()) {
      if (a.get_object().size() != b.get_object().size()) return false;
      return std::all_of(a.get_object().begin(), a.get_object().end(), [&](const auto& member) {
        const json::value* other = b.get_object().if_contains(member.key());
        return other && equal(member.value(), *other);
      });
    }
    return a == b;
  }

  static bool has_type(std::string_view type, const json::value& v) {
    if (type == "null") return v.is_null();
    if (type == "boolean") return v.is_bool();
    if (type == "string") return v.is_string();
    if (type == "array") return v.is_array();
    if (type == "object") return v.is_object();
    if (type == "number") return v.is_number();
    return type == "integer" && v.is_number() && std::trunc(number(v)) == number(v);
  }

  const json::value& referred(std::string_view reference) const {
    const json::value* at = &root_;
    std::string path(reference.substr(1));
    if (!path.empty() && path[0] != '/') return anchor(root_, path);
    path = replaced(path, "%25", "%");
    for (size_t start = 1; start <= path.size();) {
      const size_t end = std::min(path.find('/', start), path.size());
      std::string token = path.substr(start, end - start);
      token = replaced(token, "~1", "/");
      token = replaced(token, "~0", "~");
      at = at->is_array() ? &at->get_array().at(std::stoul(token)) : &at->as_object().at(token);
      start = end + 1;
    }
    return *at;
  }

  static const json::value& anchor(const json::value& v, const std::string& name) {
    const json::value* found = find_anchor(v, name);
    if (!found) throw Error(ErrorCode::kInvalidInput, "no such anchor");
    return *found;
  }
  static const json::value* find_anchor(const json::value& v, const std::string& name) {
    if (!v.is_object()) return nullptr;
    const json::value* own = v.get_object().if_contains("$anchor");
    if (own && own->is_string() && own->get_string() == name) return &v;
    for (const auto& member : v.get_object()) {
      if (const json::value* found = find_anchor(member.value(), name)) return found;
    }
    return nullptr;
  }

  bool valid(const json::value& schema, const json::value& v) const {
    if (schema.is_bool()) return schema.get_bool();
    const json::object& s = schema.as_object();
    const auto key = [&](const char* name) { return s.if_contains(name); };
    const auto size = [&](const char* name) { return number(*key(name)); };
    if (key("$ref")) {
      if (!valid(referred(key("$ref")->as_string()), v)) return false;
      if (ref_alone_) return true;
    }
    if (const json::value* type = key("type")) {
      const auto is = [&](const json::value& t) { return has_type(t.as_string(), v); };
      const bool fits = type->is_string()
                            ? is(*type)
                            : std::any_of(type->as_array().begin(), type->as_array().end(), is);
      if (!fits) return false;
    }
    if (key("const") && !equal(*key("const"), v)) return false;
    if (key("enum")) {
      const auto is = [&](const json::value& one) { return equal(one, v); };
      const json::array& all = key("enum")->as_array();
      if (std::none_of(all.begin(), all.end(), is)) return false;
    }
    const auto count = [&](const char* name) {
      const json::array& all = key(name)->as_array();
      return std::count_if(all.begin(), all.end(),
                           [&](const json::value& one) { return valid(one, v); });
    };
    if (key("allOf") && count("allOf") < std::ssize(key("allOf")->as_array())) return false;
    if (key("anyOf") && count("anyOf") < 1) return false;
    if (key("oneOf") && count("oneOf") != 1) return false;
    if (key("not") && valid(*key("not"), v)) return false;
    if (key("if")) {
      const json::value* branch = valid(*key("if"), v) ? key("then") : key("else");
      if (branch && !valid(*branch, v)) return false;
    }
    if (v.is_number()) return valid_number(s, number(v));
    if (v.is_string()) {
      const auto length = static_cast<double>(wide(v.get_string()).size());
      if (key("minLength") && length < size("minLength")) return false;
      if (key("maxLength") && length > size("maxLength")) return false;
      return !key("pattern") || matches(key("pattern")->as_string(), v.get_string());
    }
    if (v.is_array()) return valid_array(s, v.get_array());
    return !v.is_object() || valid_object(s, v.get_object());
  }

  // Bounds with room for the rounding of long decimals: that they are exact is tested elsewhere.
  static bool valid_number(const json::object& s, double v) {
    const double room = 1e-9 * std::max(1.0, std::abs(v));
    const auto bound = [&](const char* name) -> std::optional<double> {
      const json::value* b = s.if_contains(name);
      return b && b->is_number() ? std::optional(number(*b)) : std::nullopt;
    };
    if (const auto b = bound("minimum"); b && v < *b - room) return false;
    if (const auto b = bound("maximum"); b && v > *b + room) return false;
    if (const auto b = bound("exclusiveMinimum"); b && v < *b - room) return false;
    if (const auto b = bound("exclusiveMaximum"); b && v > *b + room) return false;
    if (const auto b = bound("multipleOf"); b && std::abs(v / *b) < 1e12) {
      return std::abs(v / *b - std::round(v / *b)) < 1e-4;
    }
    return true;
  }

  bool valid_array(const json::object& s, const json::array& items) const {
    const auto key = [&](const char* name) { return s.if_contains(name); };
    const auto n = static_cast<double>(items.size());
    if (key("minItems") && n < number(*key("minItems"))) return false;
    if (key("maxItems") && n > number(*key("maxItems"))) return false;
    const json::value* rest = key("items");
    const json::value* prefix = key("prefixItems");
    if (rest && rest->is_array()) {
      prefix = rest;
      rest = key("additionalItems");
    }
    for (size_t i = 0; i < items.size(); ++i) {
      const bool in_prefix = prefix && i < prefix->as_array().size();
      const json::value* schema = in_prefix ? &prefix->as_array()[i] : rest;
      if (schema && !valid(*schema, items[i])) return false;
      for (size_t j = 0; j < i && key("uniqueItems") && key("uniqueItems")->as_bool(); ++j) {
        if (equal(items[i], items[j])) return false;
      }
    }
    return true;
  }

  bool valid_object(const json::object& s, const json::object& v) const {
    const auto key = [&](const char* name) { return s.if_contains(name); };
    const auto n = static_cast<double>(v.size());
    if (key("minProperties") && n < number(*key("minProperties"))) return false;
    if (key("maxProperties") && n > number(*key("maxProperties"))) return false;
    if (key("required")) {
      for (const json::value& name : key("required")->as_array()) {
        if (!v.if_contains(name.as_string())) return false;
      }
    }
    for (const auto& member : v) {
      bool known = false;
      if (key("properties")) {
        const json::value* schema = key("properties")->as_object().if_contains(member.key());
        if (schema && !valid(*schema, member.value())) return false;
        known |= schema != nullptr;
      }
      if (key("patternProperties")) {
        for (const auto& pattern : key("patternProperties")->as_object()) {
          if (!matches(pattern.key(), member.key())) continue;
          if (!valid(pattern.value(), member.value())) return false;
          known = true;
        }
      }
      if (!known && key("additionalProperties") &&
          !valid(*key("additionalProperties"), member.value())) {
        return false;
      }
      if (key("propertyNames") &&
          !valid(*key("propertyNames"), json::value(boost::json::string(member.key())))) {
        return false;
      }
    }
    for (const char* word : {"dependentRequired", "dependentSchemas", "dependencies"}) {
      if (!key(word)) continue;
      for (const auto& dependency : key(word)->as_object()) {
        if (!v.if_contains(dependency.key())) continue;
        if (!dependency.value().is_array()) {
          if (!valid(dependency.value(), json::value(v))) return false;
          continue;
        }
        for (const json::value& name : dependency.value().get_array()) {
          if (!v.if_contains(name.as_string())) return false;
        }
      }
    }
    return true;
  }

  const json::value& root_;
  bool ref_alone_ = false;
};

}  // namespace axk1::testing
