// From a JSON schema to what texts it accepts. docs/structured-output.md lists the keywords.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "io/json.h"

namespace axk1 {

// A compiled schema. Immutable; any thread, any number of answers at once. Holds caches of its own,
// which are locked.
class Grammar;

// What a schema asks for that is not computed: never dropped, always named.
class UnsupportedSchema : public Error {
 public:
  UnsupportedSchema(std::string keyword, const std::string& message)
      : Error(ErrorCode::kUnsupported, message), keyword_(std::move(keyword)) {}
  const std::string& keyword() const { return keyword_; }

 private:
  std::string keyword_;
};

// A schema that no value satisfies.
class EmptySchema : public Error {
 public:
  explicit EmptySchema(const std::string& message) : Error(ErrorCode::kInvalidInput, message) {}
};

// Any schema: an object or a boolean. Throws UnsupportedSchema for a keyword, or a use of one, that
// is not computed exactly, EmptySchema, and Error(kInvalidInput) for what is no schema or is too
// large.
std::shared_ptr<const Grammar> compile_json_schema(const json::value& schema);

// Any JSON object: response_format json_object.
std::shared_ptr<const Grammar> compile_any_json_object();

struct ToolSchema {
  std::string name;
  json::value parameters;  // a schema, of an object; references in it start at its own root
};

// {"name": NAME, "arguments": ARGUMENTS}, in this order, where the arguments are an object that the
// schema of the tool with that name accepts. Throws as compile_json_schema, naming the tool.
std::shared_ptr<const Grammar> compile_tool_calls(std::span<const ToolSchema> tools);

}  // namespace axk1
