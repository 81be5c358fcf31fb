#include "server/answer_parts.h"

namespace axk1 {

AnswerSplitter::AnswerSplitter(const AnswerForm& form)
    : think_(form.opens_thinking), tools_(form.tools) {}

void AnswerSplitter::content(std::string&& text, bool, std::vector<AnswerPart>& out) {
  if (!text.empty()) out.push_back({.kind = AnswerPart::Kind::kContent, .text = std::move(text)});
}

std::vector<AnswerPart> AnswerSplitter::push(std::string_view text) {
  std::vector<AnswerPart> out;
  ThinkSplitter::Piece piece = think_.push(text);
  if (!piece.reasoning.empty()) {
    out.push_back({.kind = AnswerPart::Kind::kReasoning, .text = std::move(piece.reasoning)});
  }
  content(std::move(piece.content), false, out);
  return out;
}

std::vector<AnswerPart> AnswerSplitter::finish() {
  std::vector<AnswerPart> out;
  ThinkSplitter::Piece piece = think_.finish();
  if (!piece.reasoning.empty()) {
    out.push_back({.kind = AnswerPart::Kind::kReasoning, .text = std::move(piece.reasoning)});
  }
  content(std::move(piece.content), true, out);
  return out;
}

}  // namespace axk1
