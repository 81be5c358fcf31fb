// A conversation in the OpenAI API's form as the variables of a chat template.
#pragma once

#include "io/json.h"

namespace axk1 {

// Reads `messages` (at least one; content is a string, null or an array of text parts, which become
// one text), `tools`, `enable_thinking` and `chat_template_kwargs` (any other template variable).
// add_generation_prompt is true. Throws json::FieldError or Error naming the message.
json::object read_chat_variables(const json::ObjectReader& reader);

// Content that is a string, null, or an array of parts of which each is {"type": `text_type`,
// "text"}, as one string (null stays null); parts are joined by newlines, as servers with text-only
// templates do. `source` is the message's.
json::value plain_content(const json::value& content, const std::string& source,
                          std::initializer_list<std::string_view> text_types);

// In messages of chat variables: arguments of tool calls that are JSON objects written as strings
// (OpenAI's form) become objects, which is what most templates expect; "developer" becomes
// "system".
void normalise_messages(json::object& variables);

}  // namespace axk1
