// A conversation as texts to train on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/json.h"

namespace axk1 {

// One answer of the assistant.
struct ChatTurn {
  std::string prompt;  // what the model is given: the template with add_generation_prompt
  std::string answer;  // what it is to say, up to its end token
};

// Renders the variables of a chat template (messages, tools, ...). Throws Error.
using ChatRenderer = std::function<std::string(const json::object& variables)>;

// For each message of the assistant in row["messages"] its turn; row["tools"] and
// row["chat_template_kwargs"] (other template variables) reach the template too. A message with
// `reasoning_content` is answered in think mode (enable_thinking), reasoning first. Throws
// Error(kInvalidInput) for messages that are no messages, kUnsupported for a template that does not
// put an answer behind what it puts for the messages before it.
std::vector<ChatTurn> chat_turns(const json::object& row, const ChatRenderer& render);

// What the messages say, a line each, to compare and measure conversations by.
std::string chat_text(const json::object& row);

}  // namespace axk1
