// Values as text: str(), repr(), json.dumps() and pprint.pformat() of Python.
#pragma once

#include "chat/jinja_runtime.h"

namespace axk1::jinja {

// str(v); appends, so that printing a string costs one copy.
void append_str(Runtime& runtime, std::string& out, const Value& v);
std::string to_str(Runtime& runtime, const Value& v);
std::string repr(Runtime& runtime, const Value& v);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // the text of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
std::string to_json(Runtime& runtime, const Value& v, const JsonStyle& style);

// pprint.pformat with its width of 80; long strings are not broken up.
std::string pretty(Runtime& runtime, const Value& v);

}  // namespace axk1::jinja
