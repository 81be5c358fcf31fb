#include "server/answer_parts.h"

namespace axk1 {

AnswerSplitter::AnswerSplitter(const AnswerForm& form)
    : think_(form.opens_thinking), undecided_(form.calls_or_json) {
  if (form.tools) calls_.emplace(ToolCallParserOptions{.streamed = true});
}

void AnswerSplitter::add(std::vector<ToolCallEvent>&& events, std::vector<AnswerPart>& out) {
  using Kind = ToolCallEvent::Kind;
  for (ToolCallEvent& event : events) {
    switch (event.kind) {
      case Kind::kContent:
        out.push_back({.kind = AnswerPart::Kind::kContent, .text = std::move(event.text)});
        break;
      case Kind::kBegin:
        out.push_back({.kind = AnswerPart::Kind::kToolCall,
                       .call_idx = event.call_idx,
                       .name = std::move(event.text)});
        break;
      case Kind::kArguments:
        out.push_back({.kind = AnswerPart::Kind::kToolArguments,
                       .text = std::move(event.text),
                       .call_idx = event.call_idx});
        break;
      case Kind::kEnd:
        break;
    }
  }
}

// JSON does not begin as a call does.
void AnswerSplitter::decide(std::string_view content, std::vector<AnswerPart>& out) {
  const size_t first = content.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return;
  undecided_ = false;
  if (content[first] == '<') return;
  add(calls_->finish(), out);  // the white space so far
  calls_.reset();
}

void AnswerSplitter::add(ThinkSplitter::Piece&& piece, std::vector<AnswerPart>& out) {
  if (!piece.reasoning.empty()) {
    out.push_back({.kind = AnswerPart::Kind::kReasoning, .text = std::move(piece.reasoning)});
  }
  if (piece.content.empty()) return;
  if (undecided_) decide(piece.content, out);
  if (calls_) {
    add(calls_->push(piece.content), out);
  } else {
    out.push_back({.kind = AnswerPart::Kind::kContent, .text = std::move(piece.content)});
  }
}

std::vector<AnswerPart> AnswerSplitter::push(std::string_view text) {
  std::vector<AnswerPart> out;
  add(think_.push(text), out);
  return out;
}

std::vector<AnswerPart> AnswerSplitter::finish() {
  std::vector<AnswerPart> out;
  add(think_.finish(), out);
  if (calls_) add(calls_->finish(), out);
  return out;
}

}  // namespace axk1
