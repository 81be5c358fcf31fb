#include "chat/think.h"

#include <algorithm>

namespace axk1 {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

size_t skip_space(std::string_view text) {
  return std::min(text.find_first_not_of(kSpace), text.size());
}

// Whether text is a proper beginning of tag, so that more text could complete it.
bool begins(std::string_view text, std::string_view tag) {
  return text.size() < tag.size() && tag.starts_with(text);
}

// How many bytes at the end of text may be the beginning of tag.
size_t tag_tail(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (tag.starts_with(text.substr(text.size() - n))) return n;
  }
  return 0;
}

}  // namespace

ThinkSplitter::ThinkSplitter(bool starts_in_reasoning, ThinkTags tags)
    : tags_(std::move(tags)),
      state_(starts_in_reasoning ? State::kReasoningStart : State::kAnswerStart) {}

bool ThinkSplitter::in_reasoning() const {
  return state_ == State::kReasoningStart || state_ == State::kReasoning;
}

ThinkSplitter::Piece ThinkSplitter::push(std::string_view text) {
  Piece out;
  held_ += text;
  run(out, false);
  return out;
}

ThinkSplitter::Piece ThinkSplitter::finish() {
  Piece out;
  run(out, true);
  return out;
}

// Each step decides on a part of what is held and says whether there may be more to decide.
void ThinkSplitter::run(Piece& out, bool at_end) {
  bool more = true;
  while (more) {
    switch (state_) {
      case State::kReasoningStart:
        more = start_of_reasoning(at_end);
        break;
      case State::kReasoning:
        more = reasoning(out, at_end);
        break;
      case State::kAnswerStart:
        more = start_of_answer(at_end);
        break;
      case State::kAfterTag:
        held_.erase(0, std::min(held_.find_first_not_of('\n'), held_.size()));
        more = !held_.empty();
        if (more) state_ = State::kAnswer;
        break;
      case State::kAnswer:
        out.content += held_;
        held_.clear();
        more = false;
        break;
    }
  }
}

bool ThinkSplitter::start_of_reasoning(bool at_end) {
  const size_t space = skip_space(held_);
  const std::string_view rest = std::string_view(held_).substr(space);
  if (!at_end && (rest.empty() || begins(rest, tags_.open))) return false;
  if (rest.starts_with(tags_.open)) held_.erase(0, space + tags_.open.size());
  state_ = State::kReasoning;
  return true;
}

bool ThinkSplitter::reasoning(Piece& out, bool at_end) {
  const size_t close = held_.find(tags_.close);
  const bool closed = close != std::string::npos;
  size_t certain = closed ? close : held_.size() - (at_end ? 0 : tag_tail(held_, tags_.close));
  std::string text = held_.substr(0, certain);
  if (!any_reasoning_) text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
  if (!text.empty()) {
    any_reasoning_ = true;
    const size_t last = text.find_last_not_of('\n');
    const size_t end = last == std::string::npos ? 0 : last + 1;
    if (end > 0) {
      out.reasoning += newlines_;
      newlines_.clear();
      out.reasoning.append(text, 0, end);
    }
    newlines_.append(text, end);
  }
  held_.erase(0, certain);
  if (!closed) return false;
  held_.erase(0, tags_.close.size());
  state_ = State::kAfterTag;
  return true;
}

bool ThinkSplitter::start_of_answer(bool at_end) {
  const size_t space = skip_space(held_);
  const std::string_view rest = std::string_view(held_).substr(space);
  if (!at_end && (rest.empty() || begins(rest, tags_.open) || begins(rest, tags_.close))) {
    return false;
  }
  if (rest.starts_with(tags_.open)) {
    held_.erase(0, space + tags_.open.size());
    state_ = State::kReasoning;
  } else if (rest.starts_with(tags_.close)) {
    held_.erase(0, space + tags_.close.size());
    state_ = State::kAfterTag;
  } else {
    state_ = State::kAnswer;
  }
  return true;
}

bool prompt_opens_thinking(std::string_view prompt, const ThinkTags& tags) {
  const size_t open = prompt.rfind(tags.open);
  if (open == std::string_view::npos) return false;
  return prompt.find_first_not_of(kSpace, open + tags.open.size()) == std::string_view::npos;
}

}  // namespace axk1
