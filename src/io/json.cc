#include "io/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <charconv>
#include <cmath>
#include <unordered_set>
#include <utility>
#include <vector>

namespace axk1::json {
namespace {

namespace bj = boost::json;

constexpr size_t kMaxDepth = 256;

// Builds the value as boost's own parser does, and refuses duplicate keys on the way.
struct Handler {
  static constexpr size_t max_object_size = bj::object::max_size();
  static constexpr size_t max_array_size = bj::array::max_size();
  static constexpr size_t max_key_size = bj::string::max_size();
  static constexpr size_t max_string_size = bj::string::max_size();

  bj::value_stack stack;
  std::vector<std::unordered_set<std::string>> keys;
  std::string key;
  bool duplicate = false;  // `key` was there already

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) {
    keys.emplace_back();
    return true;
  }
  bool on_object_end(size_t n, bj::error_code&) {
    keys.pop_back();
    stack.push_object(n);
    return true;
  }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_array_end(size_t n, bj::error_code&) {
    stack.push_array(n);
    return true;
  }
  bool on_key_part(bj::string_view s, size_t, bj::error_code&) {
    key.append(s.data(), s.size());
    stack.push_chars(s);
    return true;
  }
  bool on_key(bj::string_view s, size_t, bj::error_code& ec) {
    key.append(s.data(), s.size());
    if (!keys.back().insert(key).second) {
      duplicate = true;
      ec = bj::make_error_code(bj::error::syntax);
      return false;
    }
    key.clear();
    stack.push_key(s);
    return true;
  }
  bool on_string_part(bj::string_view s, size_t, bj::error_code&) {
    stack.push_chars(s);
    return true;
  }
  bool on_string(bj::string_view s, size_t, bj::error_code&) {
    stack.push_string(s);
    return true;
  }
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(int64_t i, bj::string_view, bj::error_code&) {
    stack.push_int64(i);
    return true;
  }
  bool on_uint64(uint64_t u, bj::string_view, bj::error_code&) {
    stack.push_uint64(u);
    return true;
  }
  // Boost.JSON 1.81 computes doubles to within some units in the last place; from_chars rounds
  // correctly. `s` is the whole number, since the text is parsed in one piece.
  bool on_double(double d, bj::string_view s, bj::error_code& ec) {
    const std::from_chars_result result = std::from_chars(s.data(), s.data() + s.size(), d);
    if (result.ec == std::errc::result_out_of_range) {
      if (std::abs(d) > 1) {  // Boost's value, which is infinite or nearly so
        ec = bj::make_error_code(bj::error::exponent_overflow);
        return false;
      }
      d = std::copysign(0.0, d);
    }
    stack.push_double(d);
    return true;
  }
  bool on_bool(bool b, bj::error_code&) {
    stack.push_bool(b);
    return true;
  }
  bool on_null(bj::error_code&) {
    stack.push_null();
    return true;
  }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }
};

std::string position(std::string_view text, size_t at) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < at && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
      ++column;
    }
  }
  return cat("line ", line, ", column ", column);
}

}  // namespace

value parse(std::string_view text, std::string_view source) {
  bj::parse_options options;
  options.max_depth = kMaxDepth;
  bj::basic_parser<Handler> parser(options);
  Handler& handler = parser.handler();
  handler.stack.reset();
  bj::error_code ec;
  const size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (handler.duplicate) {
    fail(ErrorCode::kInvalidInput, source, ": ", position(text, used), ": key \"",
         printable(handler.key), "\" occurs twice in one object");
  }
  if (ec && ec != bj::error::incomplete) {
    fail(ErrorCode::kInvalidInput, source, ": ", position(text, used),
         ": not valid JSON: ", ec.message());
  }
  if (!parser.done()) {
    fail(ErrorCode::kInvalidInput, source, ": ", position(text, text.size()),
         ": not valid JSON: the text ends before the value does");
  }
  if (used < text.size()) {
    const size_t rest = text.find_first_not_of(" \t\r\n", used);
    if (rest != std::string_view::npos) {
      fail(ErrorCode::kInvalidInput, source, ": ", position(text, rest),
           ": not valid JSON: something follows the value");
    }
  }
  return handler.stack.release();
}

std::string to_text(const value& v) {
  return bj::serialize(v);
}

const char* kind_name(const value& v) {
  switch (v.kind()) {
    case bj::kind::null:
      return "null";
    case bj::kind::bool_:
      return "boolean";
    case bj::kind::int64:
    case bj::kind::uint64:
      return "integer";
    case bj::kind::double_:
      return "number";
    case bj::kind::string:
      return "string";
    case bj::kind::array:
      return "array";
    case bj::kind::object:
      return "object";
  }
  return "unknown";
}

ObjectReader::ObjectReader(const value& v, std::string source) : source_(std::move(source)) {
  if (!v.is_object()) {
    fail(ErrorCode::kInvalidInput, source_, ": found ", kind_name(v), ", expected an object");
  }
  object_ = &v.get_object();
}

const value* ObjectReader::find(std::string_view field) const {
  const value* found = object_->if_contains(field);
  return found && !found->is_null() ? found : nullptr;
}

const value& ObjectReader::get(std::string_view field) const {
  const value* found = object_->if_contains(field);
  if (!found) {
    throw FieldError(ErrorCode::kInvalidInput, field,
                     cat(source_, ": field \"", field, "\" is missing"));
  }
  return *found;
}

void ObjectReader::wrong(std::string_view field, const value& found,
                         std::string_view expected) const {
  const std::string shown = to_text(found);
  throw FieldError(ErrorCode::kInvalidInput, field,
                   cat(source_, ": field \"", field, "\": found ", printable(shown, 60),
                       ", expected ", expected));
}

void ObjectReader::refuse(std::string_view field, std::string_view why, ErrorCode code) const {
  throw FieldError(code, field, cat(source_, ": ", field, ": ", why));
}

static int64_t integer_in(const ObjectReader& reader, std::string_view field, const value& found,
                          int64_t min, int64_t max) {
  const std::string expected = cat("an integer from ", min, " to ", max);
  int64_t number;
  if (found.is_int64()) {
    number = found.get_int64();
  } else if (found.is_double() && std::abs(found.get_double()) < 9e15 &&
             std::trunc(found.get_double()) == found.get_double()) {
    number = static_cast<int64_t>(found.get_double());  // 10000.0, as some writers put it
  } else {
    reader.wrong(field, found, expected);
  }
  if (number < min || number > max) reader.wrong(field, found, expected);
  return number;
}

int64_t ObjectReader::get_int(std::string_view field, int64_t min, int64_t max) const {
  return integer_in(*this, field, get(field), min, max);
}

int64_t ObjectReader::int_or(std::string_view field, int64_t absent, int64_t min,
                             int64_t max) const {
  const value* found = find(field);
  return found ? integer_in(*this, field, *found, min, max) : absent;
}

double ObjectReader::number_or(std::string_view field, double absent) const {
  const value* found = find(field);
  if (!found) return absent;
  if (!found->is_number()) wrong(field, *found, "a number");
  return found->to_number<double>();
}

bool ObjectReader::bool_or(std::string_view field, bool absent) const {
  const value* found = find(field);
  if (!found) return absent;
  if (!found->is_bool()) wrong(field, *found, "true or false");
  return found->get_bool();
}

std::string ObjectReader::get_string(std::string_view field) const {
  const value& found = get(field);
  if (!found.is_string()) wrong(field, found, "a string");
  return std::string(found.get_string());
}

std::string ObjectReader::string_or(std::string_view field, std::string_view absent) const {
  const value* found = find(field);
  if (!found) return std::string(absent);
  if (!found->is_string()) wrong(field, *found, "a string");
  return std::string(found->get_string());
}

}  // namespace axk1::json
