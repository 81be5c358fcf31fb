// deps: tokenizer io
// A tokenizer.json, a zero byte, and a text to encode with it and decode again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  const std::string_view text = end == input.npos ? std::string_view() : input.substr(end + 1);
  try {
    const axk1::Tokenizer tokenizer(axk1::read_tokenizer_json(input.substr(0, end), "fuzz"));
    for (const bool special : {false, true}) {
      const auto ids = tokenizer.encode(text, {special, special});
      AXK1_CHECK(axk1::is_valid_utf8(tokenizer.decode(ids, special)));
      axk1::StreamDecoder stream(tokenizer, special);
      for (const axk1::TokenId id : ids) AXK1_CHECK(axk1::is_valid_utf8(stream.push(id)));
      AXK1_CHECK(axk1::is_valid_utf8(stream.flush()));
    }
  } catch (const axk1::Error&) {
  }
  return 0;
}
