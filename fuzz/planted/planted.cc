// A parser with a planted bug, by which the seeded loop is tested: a record is a length byte and so
// many bytes; the length is trusted when it is exactly one more than what is there.
#include <cstddef>
#include <cstdint>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  AXK1_CHECK(data[0] != size);
  return 0;
}
