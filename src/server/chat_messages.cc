#include "server/chat_messages.h"

#include <algorithm>

#include "base/error.h"

namespace axk1 {

json::value plain_content(const json::value& content, const std::string& source,
                          std::initializer_list<std::string_view> text_types) {
  if (!content.is_array()) return content;
  std::string text;
  bool first = true;
  for (const json::value& entry : content.get_array()) {
    const json::ObjectReader part(entry, cat(source, ".content"));
    const std::string type = part.get_string("type");
    if (std::find(text_types.begin(), text_types.end(), type) == text_types.end()) {
      part.refuse("messages",
                  cat("found a part of type \"", printable(type), "\", only \"",
                      *text_types.begin(), "\" is read"),
                  ErrorCode::kUnsupported);
    }
    if (!first) text += '\n';
    first = false;
    text += part.get_string("text");
  }
  return json::value(text);
}

json::object read_chat_variables(const json::ObjectReader& reader) {
  const json::value& messages = reader.get("messages");
  if (!messages.is_array() || messages.get_array().empty()) {
    reader.wrong("messages", messages, "an array of at least one message");
  }
  json::object variables;
  variables["add_generation_prompt"] = true;
  if (const json::value* more = reader.find("chat_template_kwargs")) {
    if (!more->is_object()) reader.wrong("chat_template_kwargs", *more, "an object");
    for (const auto& entry : more->get_object()) variables[entry.key()] = entry.value();
  }
  json::array list;
  for (const json::value& entry : messages.get_array()) {
    const json::ObjectReader message(entry, cat(reader.source(), ": messages[", list.size(), "]"));
    message.get_string("role");
    json::object copy = message.fields();
    if (const json::value* content = message.find("content")) {
      if (!content->is_string() && !content->is_array()) {
        message.wrong("content", *content, "a string or an array of text parts");
      }
      copy["content"] = plain_content(*content, message.source(), {"text"});
    }
    list.push_back(std::move(copy));
  }
  variables["messages"] = std::move(list);
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    variables["tools"] = *tools;
  }
  if (reader.find("enable_thinking")) {
    variables["enable_thinking"] = reader.bool_or("enable_thinking", false);
  }
  return variables;
}

namespace {

void normalise_call(json::value& call, const std::string& source) {
  if (!call.is_object()) {
    fail(ErrorCode::kInvalidInput, source, ": found ", json::kind_name(call),
         " in tool_calls, expected an object");
  }
  json::value* function = call.get_object().if_contains("function");
  if (!function || !function->is_object()) return;
  json::value* arguments = function->get_object().if_contains("arguments");
  if (!arguments || !arguments->is_string()) return;
  try {
    json::value parsed = json::parse(arguments->get_string(), source);
    if (parsed.is_object()) *arguments = std::move(parsed);
  } catch (const Error&) {
    // What a model wrote need not be JSON: the template gets it as the text it is.
  }
}

}  // namespace

void normalise_messages(json::object& variables) {
  size_t index = 0;
  for (json::value& entry : variables.at("messages").as_array()) {
    json::object& message = entry.as_object();
    if (message.at("role") == "developer") message["role"] = "system";
    json::value* calls = message.if_contains("tool_calls");
    const std::string source = cat("messages[", index++, "]");
    if (!calls || calls->is_null()) continue;
    if (!calls->is_array()) {
      throw json::FieldError(
          ErrorCode::kInvalidInput, "messages",
          cat(source, ".tool_calls: found ", json::kind_name(*calls), ", expected an array"));
    }
    for (json::value& call : calls->get_array()) normalise_call(call, source);
  }
}

}  // namespace axk1
