// deps: tokenizer io
// The first byte chooses a pattern; the rest is a .tiktoken file, to which the single bytes are
// added that a file must have, so that damage behind them is reached.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace {

std::string single_bytes() {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (unsigned byte = 0; byte < 256; ++byte) {
    text += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '=', ' '};
    text += std::to_string(byte) + '\n';
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const std::string kBytes = single_bytes();
  const char* const patterns[] = {"gpt2", "cl100k", "o200k", "deepseek-llm"};
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string text = (data[0] & 4 ? std::string() : kBytes) + std::string(rest);
  try {
    const axk1::Tokenizer tokenizer(axk1::read_tiktoken(text, "fuzz", patterns[data[0] & 3]));
    std::string back;
    for (const axk1::TokenId id : tokenizer.encode(rest)) back += tokenizer.token_bytes(id);
    AXK1_CHECK(back == rest);
  } catch (const axk1::Error&) {
  }
  return 0;
}
