// Telling the reasoning of a model from its answer.
#pragma once

#include <string>
#include <string_view>

namespace axk1 {

struct ThinkTags {
  std::string open = "<think>";
  std::string close = "</think>";
};

// Splits streamed text into reasoning and answer, whatever the pieces it arrives in: the
// concatenation of all pieces is the same for every split of the same bytes (UTF-8 characters are
// not cut by the splitter, but the caller's cuts are passed on). One per answer, one thread.
//
// The rules, which are those of the usual R1-style reasoning parsers on a whole text:
// - In reasoning: everything up to the first close tag is reasoning, the rest is the answer. An
//   open tag at its very start (after white space), which models repeat at times, is dropped.
// - In the answer: an open tag that comes before anything but white space starts the reasoning.
//   Later open and close tags are text of the answer: only the first block is reasoning.
// - A close tag without an open one, first thing in the answer (after white space), is dropped:
//   models in non-think mode repeat the prompt's.
// - Newlines (\n only) are trimmed at both ends of the reasoning, and at the start of an answer
//   that follows a tag. An answer without tags is passed on untouched, leading white space
//   included.
// - Text that ends inside the reasoning is all reasoning.
class ThinkSplitter {
 public:
  struct Piece {
    std::string reasoning;
    std::string content;
  };

  // starts_in_reasoning: the prompt ended with an open tag (see prompt_opens_thinking).
  explicit ThinkSplitter(bool starts_in_reasoning, ThinkTags tags = {});

  // What has become certain with this text.
  Piece push(std::string_view text);
  // What was held back. The splitter is used up after it.
  Piece finish();

  // Whether the text so far ends in the reasoning.
  bool in_reasoning() const;

 private:
  enum class State {
    kReasoningStart,  // nothing but white space of the reasoning seen
    kReasoning,
    kAnswerStart,  // nothing but white space of the answer seen
    kAfterTag,     // newlines in front of the answer are dropped
    kAnswer,
  };

  void run(Piece& out, bool at_end);
  bool start_of_reasoning(bool at_end);
  bool reasoning(Piece& out, bool at_end);
  bool start_of_answer(bool at_end);

  ThinkTags tags_;
  State state_;
  std::string held_;      // not yet decided
  std::string newlines_;  // of the reasoning, to be written when more follows
  bool any_reasoning_ = false;
};

// Whether the rendered prompt ends inside the reasoning: an open tag that no close tag follows,
// with nothing but white space behind it.
bool prompt_opens_thinking(std::string_view prompt, const ThinkTags& tags = {});

}  // namespace axk1
