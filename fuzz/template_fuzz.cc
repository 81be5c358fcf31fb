// deps: chat io
// Compiles any bytes as a chat template and renders it with a small conversation.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "chat/template.h"
#include "io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const axk1::json::object variables =
      axk1::json::parse(
          R"({"messages": [{"role": "system", "content": "be brief"},
                           {"role": "user", "content": "<안녕> 😀"},
                           {"role": "assistant", "content": null, "tool_calls": [
                             {"function": {"name": "f", "arguments": {"x": 1, "y": [1.5, true]}}}]},
                           {"role": "tool", "content": "3"}],
              "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
              "add_generation_prompt": true, "n": 5, "s": "a b c"})",
          "fuzz")
          .get_object();
  try {
    std::string source(reinterpret_cast<const char*>(data), size);
    (void)axk1::ChatTemplate::from_source(std::move(source), "fuzz").render(variables);
  } catch (const axk1::Error&) {
  }
  return 0;
}
