#include "apps/answer_printer.h"

#include <utility>

#include "apps/terminal.h"

namespace axk1 {
namespace {
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kNormal = "\x1b[0m";
constexpr std::string_view kBlank = " \t\r\n";
}  // namespace

AnswerPrinter::AnswerPrinter(AnswerStyle style, Sink sink)
    : style_(style), sink_(std::move(sink)) {}

void AnswerPrinter::put(std::string_view text) {
  if (text.empty()) return;
  line_open_ = text.back() != '\n';
  sink_(style_ == AnswerStyle::kTerminal ? without_control_characters(text) : std::string(text));
}

void AnswerPrinter::open_reasoning() {
  sink_(style_ == AnswerStyle::kTerminal ? kDim : "<think>\n");
  in_reasoning_ = had_reasoning_ = true;
}

void AnswerPrinter::close_reasoning() {
  held_.clear();
  in_reasoning_ = false;
  if (line_open_) sink_("\n");
  line_open_ = false;
  sink_(style_ == AnswerStyle::kTerminal ? kNormal : "</think>\n");
}

void AnswerPrinter::reasoning(std::string_view text) {
  if (!in_reasoning_) {
    const size_t first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return;
    text.remove_prefix(first);
    open_reasoning();
  }
  const size_t last = text.find_last_not_of(kBlank);
  if (last == std::string_view::npos) {
    held_ += text;
    return;
  }
  put(std::exchange(held_, {}) + std::string(text.substr(0, last + 1)));
  held_ = text.substr(last + 1);
}

void AnswerPrinter::content(std::string_view text) {
  if (text.empty()) return;
  if (in_reasoning_) close_reasoning();
  if (!had_content_) {
    const size_t first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return;
    text.remove_prefix(first);
    had_content_ = true;
    if (had_reasoning_) sink_("\n");
  }
  put(text);
}

void AnswerPrinter::finish() {
  if (in_reasoning_) close_reasoning();
  if (line_open_ || (!had_content_ && !had_reasoning_)) sink_("\n");
  line_open_ = false;
}

}  // namespace axk1
