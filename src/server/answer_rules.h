// What a request demands of the form of its answer: JSON, tool calls, how much thinking.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/completion_service.h"
#include "io/json.h"
#include "server/served_model.h"

namespace axk1 {

enum class ToolChoice { kNone, kAuto, kRequired, kNamed };

struct AnswerRules {
  enum class Format { kText, kJsonObject, kJsonSchema };
  Format format = Format::kText;
  json::value schema;  // with kJsonSchema

  json::array tools;  // OpenAI's form: {"type": "function", "function": {...}}; may be empty
  ToolChoice tool_choice = ToolChoice::kNone;
  std::string tool_name;  // with kNamed
  bool parallel_calls = true;

  std::optional<bool> thinking;           // empty: what the template does by itself
  std::optional<size_t> thinking_budget;  // tokens of reasoning

  bool calls_possible() const { return tool_choice != ToolChoice::kNone && !tools.empty(); }
  bool calls_required() const {
    return tool_choice == ToolChoice::kRequired || tool_choice == ToolChoice::kNamed;
  }
  // The answer is calls and nothing else, or JSON and no call.
  bool calls_or_json() const {
    return calls_possible() && !calls_required() && format != Format::kText;
  }
};

// The chat fields response_format, tools, tool_choice, parallel_tool_calls, reasoning_effort,
// enable_thinking (also in chat_template_kwargs), thinking_budget. Throws json::FieldError.
AnswerRules read_chat_rules(const json::ObjectReader& reader);

// reasoning_effort: "none" turns thinking off, any other level on; "minimal", "low" and "medium"
// bound it to 256, 1024 and 4096 tokens. Sets what is still empty.
void apply_effort(const json::ObjectReader& reader, const std::string& effort, AnswerRules& rules);

// Puts the rules' share into the variables of the template: tools, enable_thinking.
void apply_rules(const AnswerRules& rules, json::object& variables);

// What the answer to a prompt may consist of; null when that is anything.
std::unique_ptr<TokenConstraint> make_constraint(const ServedModel& model, const AnswerRules& rules,
                                                 bool opens_thinking);

}  // namespace axk1
