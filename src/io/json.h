// JSON in and out: Boost.JSON behind one strict reader. Objects keep the order of their keys, and
// integers and floating-point numbers stay apart (both matter to chat templates).
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace axk1::json {

using boost::json::array;
using boost::json::object;
using boost::json::value;

// Parses text whole. Refuses, with an Error that begins with `source` (a file name or the like) and
// names line and column: anything but one JSON value, a key that occurs twice in an object, nesting
// deeper than 256.
value parse(std::string_view text, std::string_view source);

// Thrown by ObjectReader: names the field apart, for protocols whose errors carry it.
class FieldError : public Error {
 public:
  FieldError(ErrorCode code, std::string_view field, const std::string& message)
      : Error(code, message), field_(field) {}
  const std::string& field() const { return field_; }

 private:
  std::string field_;
};

// Compact JSON text on one line; non-ASCII characters stay as they are.
std::string to_text(const value& v);

// "object", "string", ...: for messages.
const char* kind_name(const value& v);

// Typed access to the fields of one object, with errors that name source, field, what was found and
// what was expected. `get_*` throw when the field is missing or of another kind; `*_or` take the
// given value when it is missing or null.
class ObjectReader {
 public:
  // Throws when v is not an object. `v` must outlive the reader.
  ObjectReader(const value& v, std::string source);

  const value* find(std::string_view field) const;  // nullptr when missing or null
  const value& get(std::string_view field) const;   // throws when missing
  int64_t get_int(std::string_view field, int64_t min, int64_t max) const;
  int64_t int_or(std::string_view field, int64_t absent, int64_t min, int64_t max) const;
  double number_or(std::string_view field, double absent) const;
  bool bool_or(std::string_view field, bool absent) const;
  std::string get_string(std::string_view field) const;
  std::string string_or(std::string_view field, std::string_view absent) const;

  const object& fields() const { return *object_; }
  const std::string& source() const { return source_; }
  [[noreturn]] void wrong(std::string_view field, const value& found,
                          std::string_view expected) const;
  [[noreturn]] void refuse(std::string_view field, std::string_view why,
                           ErrorCode code = ErrorCode::kInvalidInput) const;

 private:
  const object* object_;
  std::string source_;
};

}  // namespace axk1::json
