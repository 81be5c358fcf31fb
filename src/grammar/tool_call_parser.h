// An answer's text taken apart into content and tool calls, while it comes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace axk1 {

struct ToolCallEvent {
  enum class Kind {
    kContent,    // text: of the answer
    kBegin,      // text: the name of the function
    kArguments,  // text: the next part of the arguments, JSON as the model wrote it
    kEnd,
  };
  Kind kind = Kind::kContent;
  size_t call_idx = 0;   // 0, 1, ... of the call
  std::string text;      // whole characters
  bool complete = true;  // of kEnd: the arguments are one JSON object
};

struct ToolCallParserOptions {
  std::string open = "<tool_call>";
  std::string close = "</tool_call>";
  // The answer is constrained (make_tool_constraint), so that a call can be given out while it
  // comes. Otherwise one is held back until it has proven to be well-formed.
  bool streamed = false;
};

// One per answer, for one thread at a time. Texts of events, concatenated by kind and call, are the
// same for every split of the same bytes.
//
// A call is `open`, a JSON object with the keys "name" (a string) and "arguments" (an object; {}
// when it is missing; other keys are passed over), in any order, and `close`, which may be missing
// at the end of the answer. White space around calls is dropped: in front of them and between them,
// and before the content that follows. What turns out to be no call is content, with its marks and
// white space; with `streamed`, from the wrong byte on where the call has begun, which then ends
// incomplete. A call cut short by the end of the answer likewise.
class ToolCallParser {
 public:
  explicit ToolCallParser(ToolCallParserOptions options = {});
  ~ToolCallParser();
  ToolCallParser(ToolCallParser&&) noexcept;
  ToolCallParser& operator=(ToolCallParser&&) noexcept;

  std::vector<ToolCallEvent> push(std::string_view bytes);
  // The answer has ended. The parser is used up.
  std::vector<ToolCallEvent> finish();

  size_t num_calls() const;  // that have been given out, at least in part

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
