// deps: io
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "io/json.h"

// What parses is written and parsed again to the same text; what does not is an Error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const axk1::json::value value = axk1::json::parse(text, "fuzz");
    const std::string written = axk1::json::to_text(value);
    AXK1_CHECK(axk1::is_valid_utf8(written));
    AXK1_CHECK(axk1::json::to_text(axk1::json::parse(written, "written")) == written);
    if (value.is_object()) {
      axk1::json::ObjectReader reader(value, "fuzz");
      reader.int_or("a", 1, -5, 5);
      reader.string_or("b", "");
      reader.number_or("c", 0);
      reader.bool_or("d", false);
    }
  } catch (const axk1::Error& error) {
    AXK1_CHECK(axk1::is_valid_utf8(error.what()));
  }
  return 0;
}
