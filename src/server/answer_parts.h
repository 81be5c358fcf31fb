// A chat answer taken apart while it grows: reasoning, content, tool calls.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/think.h"
#include "grammar/tool_call_parser.h"

namespace axk1 {

struct AnswerPart {
  enum class Kind {
    kReasoning,
    kContent,
    kToolCall,       // a call begins: `name`, no text
    kToolArguments,  // `text` goes on with the arguments of call `call_idx`
  };
  Kind kind = Kind::kContent;
  std::string text;
  size_t call_idx = 0;
  std::string name;
};

struct AnswerForm {
  bool opens_thinking = false;  // the prompt ended inside the reasoning
  bool tools = false;           // <tool_call> blocks are calls, and a constraint keeps them so
  bool calls_or_json = false;   // no calls behind content: JSON may have the mark in a string
};

// One per answer. What comes out does not depend on how the text was cut.
class AnswerSplitter {
 public:
  explicit AnswerSplitter(const AnswerForm& form);

  std::vector<AnswerPart> push(std::string_view text);
  std::vector<AnswerPart> finish();

  bool in_reasoning() const { return think_.in_reasoning(); }
  bool called() const { return calls_ && calls_->num_calls() > 0; }  // a tool call began

 private:
  void decide(std::string_view content, std::vector<AnswerPart>& out);
  void add(ThinkSplitter::Piece&& piece, std::vector<AnswerPart>& out);
  static void add(std::vector<ToolCallEvent>&& events, std::vector<AnswerPart>& out);

  ThinkSplitter think_;
  std::optional<ToolCallParser> calls_;
  bool undecided_;  // between calls and JSON: nothing but white space has come
};

}  // namespace axk1
