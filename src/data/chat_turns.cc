#include "data/chat_turns.h"

#include "base/error.h"

namespace axk1 {
namespace {

// Stands in for an answer, and tells where the template puts it: U+E000, of no meaning to anybody.
constexpr std::string_view kMark = "\xee\x80\x80";

const json::array& messages_of(const json::object& row) {
  const json::value* messages = row.if_contains("messages");
  if (!messages || !messages->is_array()) {
    fail(ErrorCode::kInvalidInput, "messages: found ",
         messages ? json::kind_name(*messages) : "nothing", ", expected an array");
  }
  return messages->get_array();
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : json::to_text(value);
}

}  // namespace

std::vector<ChatTurn> chat_turns(const json::object& row, const ChatRenderer& render) {
  json::object base;
  if (const json::value* more = row.if_contains("chat_template_kwargs")) {
    if (more->is_object()) base = more->get_object();
  }
  if (const json::value* tools = row.if_contains("tools")) base["tools"] = *tools;
  const auto text = [&](const json::array& messages, bool prompt, bool thinking) {
    json::object variables = base;
    variables["messages"] = messages;
    variables["add_generation_prompt"] = prompt;
    if (thinking) variables["enable_thinking"] = true;
    return render(variables);
  };
  std::vector<ChatTurn> turns;
  json::array before;
  for (const json::value& message : messages_of(row)) {
    const json::ObjectReader fields(message, "messages");
    if (fields.get_string("role") == "assistant") {
      json::array with = before;
      with.push_back(json::object{{"role", "assistant"}, {"content", kMark}});
      const std::string marked = text(with, false, false);
      with.back() = message;
      const std::string full = text(with, false, false);
      const size_t start = marked.rfind(kMark);
      if (start == std::string::npos || full.compare(0, start, marked, 0, start) != 0) {
        fail(ErrorCode::kUnsupported,
             "the chat template does not put an answer behind what it puts for the messages "
             "before it");
      }
      std::string answer = full.substr(start);
      answer.erase(answer.find_last_not_of(" \n") + 1);  // what follows the end token
      const std::string reasoning = fields.string_or("reasoning_content", "");
      if (!reasoning.empty()) answer.insert(0, reasoning + "\n</think>\n\n");
      turns.push_back({text(before, true, !reasoning.empty()), std::move(answer)});
    }
    before.push_back(message);
  }
  return turns;
}

std::string chat_text(const json::object& row) {
  std::string text;
  for (const json::value& message : messages_of(row)) {
    const json::ObjectReader fields(message, "messages");
    for (const char* name : {"reasoning_content", "content", "tool_calls"}) {
      if (const json::value* value = fields.find(name)) text += text_of(*value) + "\n";
    }
  }
  return text;
}

}  // namespace axk1
