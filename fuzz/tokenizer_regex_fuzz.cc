// deps: tokenizer base
// A pattern, a zero byte, and a text to search: matches in order and inside, or an Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/regex.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  if (end == input.npos) return 0;
  const std::string_view text = input.substr(end + 1);
  if (!axk1::is_valid_utf8(text)) return 0;
  for (const auto dialect : {axk1::RegexDialect::kOniguruma, axk1::RegexDialect::kRust}) {
    try {
      const axk1::Regex regex(input.substr(0, end), dialect);
      axk1::RegexScratch scratch;
      scratch.begin(text.size());
      axk1::RegexScan scan(regex, text, scratch);
      size_t last = 0;
      while (const auto match = scan.next()) {
        AXK1_CHECK(match->begin >= last && match->end >= match->begin);
        AXK1_CHECK(axk1::is_valid_utf8(text.substr(match->begin, match->end - match->begin)));
        last = match->end;
      }
    } catch (const axk1::Error&) {
    }
  }
  return 0;
}
