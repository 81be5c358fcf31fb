// deps: base
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "base/utf8.h"

// Any bytes decode; what decodes as valid encodes to the same bytes; lossy text is valid; a tail
// that is called incomplete is the start of a character that ends there.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  bool valid = true;
  size_t at = 0;
  while (at < size) {
    const axk1::Utf8Char c = axk1::decode_utf8(text.substr(at));
    AXK1_CHECK(c.length >= 1 && c.length <= 4 && at + c.length <= size);
    AXK1_CHECK(!(c.valid && c.truncated));
    AXK1_CHECK(!c.truncated || at + c.length == size);
    std::string again;
    axk1::append_utf8(again, c.code_point);
    AXK1_CHECK(!c.valid || again == text.substr(at, c.length));
    valid = valid && c.valid;
    at += c.length;
  }
  AXK1_CHECK(axk1::is_valid_utf8(text) == valid);
  const std::string lossy = axk1::utf8_lossy(text);
  AXK1_CHECK(axk1::is_valid_utf8(lossy));
  AXK1_CHECK(!valid || lossy == text);
  const size_t tail = axk1::incomplete_utf8_tail(text);
  AXK1_CHECK(tail <= 3 && tail <= size);
  if (tail > 0) AXK1_CHECK(axk1::decode_utf8(text.substr(size - tail)).truncated);
  AXK1_CHECK(axk1::is_valid_utf8(axk1::printable(text)));
  return 0;
}
