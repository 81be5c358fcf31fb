// deps: grammar io
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "base/utf8.h"
#include "grammar/tool_call_parser.h"
#include "io/json.h"

namespace {

using axk1::ToolCallEvent;

// What the events say, independent of the pieces in which they came.
std::string told(std::string_view text, bool streamed, size_t piece) {
  axk1::ToolCallParserOptions options;
  options.streamed = streamed;
  axk1::ToolCallParser parser(options);
  std::string out, arguments;
  char last = ' ';
  const auto tell = [&](const std::vector<ToolCallEvent>& events) {
    for (const ToolCallEvent& event : events) {
      AXK1_CHECK(axk1::is_valid_utf8(event.text));
      const char kind = "cbae"[static_cast<size_t>(event.kind)];
      if (kind != last) out += axk1::cat("\n", std::string_view(&kind, 1), event.call_idx, " ");
      last = kind == 'e' ? ' ' : kind;
      out += event.text;
      if (kind == 'b') arguments.clear();
      if (kind == 'a') arguments += event.text;
      if (kind == 'e' && event.complete) {
        AXK1_CHECK(axk1::json::parse(arguments, "arguments").is_object());
      }
    }
  };
  for (size_t at = 0; at < text.size(); at += piece) tell(parser.push(text.substr(at, piece)));
  tell(parser.finish());
  return out;
}

}  // namespace

// Every split of the bytes tells the same; complete arguments are JSON objects.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (bool streamed : {false, true}) {
    const std::string whole = told(text, streamed, size + 1);
    AXK1_CHECK(told(text, streamed, 1) == whole);
    AXK1_CHECK(told(text, streamed, 7) == whole);
  }
  return 0;
}
