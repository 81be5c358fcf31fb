// An answer as it streams in, with the reasoning told apart from what is meant for the reader.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace axk1 {

// kTerminal: the reasoning dim, control characters left out. kPlain: the reasoning between lines
// "<think>" and "</think>".
enum class AnswerStyle { kPlain, kTerminal };

// Blank space before and after the reasoning and before the answer is not printed, so that the two
// have the same distance whatever the model writes between them.
class AnswerPrinter {
 public:
  using Sink = std::function<void(std::string_view)>;

  AnswerPrinter(AnswerStyle style, Sink sink);

  // Pieces in order; all reasoning comes before the content.
  void reasoning(std::string_view text);
  void content(std::string_view text);

  bool began() const { return had_reasoning_ || had_content_; }

  // Ends the last line, whatever has been printed, and takes back colours.
  void finish();

 private:
  void open_reasoning();
  void close_reasoning();
  void put(std::string_view text);

  AnswerStyle style_;
  Sink sink_;
  std::string held_;  // blank space that is printed only when more text follows
  bool in_reasoning_ = false;
  bool had_reasoning_ = false;
  bool had_content_ = false;
  bool line_open_ = false;
};

}  // namespace axk1
