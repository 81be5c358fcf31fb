// Where a $ref leads, within its document.
#include <charconv>

#include "base/error.h"
#include "grammar/json_schema.h"
#include "grammar/schema_reader.h"

namespace axk1 {
namespace {

[[noreturn]] void unsupported(std::string_view reference, std::string_view why) {
  throw UnsupportedSchema("$ref", cat("schema: $ref \"", printable(reference, 80), "\": ", why));
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* from = text.data() + i + 1;
      if (std::from_chars(from, from + 2, value, 16).ptr == from + 2) {
        out += static_cast<char>(value);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

std::string pointer_token(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1')) {
      out += token[++i] == '0' ? '~' : '/';
    } else {
      out += token[i];
    }
  }
  return out;
}

// A schema with a URI of its own, from which references in it would start.
bool has_own_uri(const json::value& v, std::string_view keyword) {
  if (!v.is_object()) return false;
  const json::value* id = v.get_object().if_contains(keyword);
  return id && id->is_string() && !id->get_string().starts_with('#');
}

// Whether one of the values inside has a URI of its own. Values of enum and const are no schemas,
// and an object below `properties` may have a property of that name.
bool any_inside(const json::value& v, std::string_view keyword) {
  if (v.is_array()) {
    for (const json::value& item : v.get_array()) {
      if (has_own_uri(item, keyword) || any_inside(item, keyword)) return true;
    }
  } else if (v.is_object()) {
    for (const auto& [key, item] : v.get_object()) {
      if (key == "enum" || key == "const" || key == "default" || key == "examples") continue;
      if (has_own_uri(item, keyword) || any_inside(item, keyword)) return true;
    }
  }
  return false;
}

void find_anchors(const json::value& v, std::string_view name,
                  std::vector<const json::value*>& found) {
  if (v.is_array()) {
    for (const json::value& item : v.get_array()) find_anchors(item, name, found);
  } else if (v.is_object()) {
    for (const char* keyword : {"$anchor", "$dynamicAnchor", "$id", "id"}) {
      const json::value* anchor = v.get_object().if_contains(keyword);
      if (!anchor || !anchor->is_string()) continue;
      std::string_view text = anchor->get_string();
      const bool is_id = std::string_view(keyword).ends_with("id");
      if (is_id && !text.starts_with('#')) continue;
      if (is_id) text.remove_prefix(1);
      if (text == name) found.push_back(&v);
    }
    for (const auto& [key, item] : v.get_object()) {
      if (key != "enum" && key != "const") find_anchors(item, name, found);
    }
  }
}

}  // namespace

const json::value& SchemaReader::resolve(std::string_view reference) {
  const std::string_view uri = reference.substr(0, reference.find('#'));
  if (!uri.empty() && uri != base_) unsupported(reference, "leads out of the schema");
  if (!checked_uris_) {
    has_own_uris_ = any_inside(*document_, draft_ == Draft::k4 ? "id" : "$id");
    checked_uris_ = true;
  }
  if (has_own_uris_) {
    unsupported(reference, "is not supported where schemas inside the schema have an $id");
  }
  std::string_view fragment = reference.substr(std::min(reference.size(), uri.size() + 1));
  const std::string path = percent_decoded(fragment);
  if (path.empty()) return *document_;
  if (path[0] != '/') return resolve_anchor(path, reference);
  const json::value* at = document_;
  for (size_t start = 1; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string token = pointer_token(std::string_view(path).substr(start, end - start));
    start = end + 1;
    const json::value* next = nullptr;
    if (at->is_object()) {
      next = at->get_object().if_contains(token);
    } else if (at->is_array()) {
      size_t index = 0;
      const auto result = std::from_chars(token.data(), token.data() + token.size(), index);
      const bool whole =
          !token.empty() && result.ec == std::errc() && result.ptr == token.data() + token.size();
      if (whole && index < at->get_array().size()) next = &at->get_array()[index];
    }
    if (!next) {
      fail(ErrorCode::kInvalidInput, "schema: $ref \"", printable(reference, 80),
           "\": there is nothing at that place");
    }
    at = next;
  }
  return *at;
}

const json::value& SchemaReader::resolve_anchor(std::string_view name, std::string_view reference) {
  std::vector<const json::value*> found;
  find_anchors(*document_, name, found);
  if (found.size() != 1) {
    fail(ErrorCode::kInvalidInput, "schema: $ref \"", printable(reference, 80),
         "\": ", found.empty() ? "no schema has that name" : "several schemas have that name");
  }
  return *found[0];
}

}  // namespace axk1
