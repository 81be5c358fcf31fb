// deps: train
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "io/checksum.h"
#include "train/teacher_cache.h"

namespace {

// What is accepted has rows of ids in range.
void read(const std::string& bytes) {
  try {
    const axk1::TeacherCache cache(std::as_bytes(std::span(bytes)), "x");
    axk1::TeacherCache::Memory memory;
    for (uint64_t i = 0; i < std::min<uint64_t>(cache.info().num_positions, 1000); ++i) {
      for (int32_t id : cache.row(i, memory).ids) {
        if (id < 0 || static_cast<uint64_t>(id) >= cache.info().vocab_size) std::abort();
      }
    }
    cache.verify();
  } catch (const axk1::Error&) {
  }
}

}  // namespace

// The bytes as they are, and with a header whose checksum is right, so that more than it is looked
// at.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  constexpr size_t kHeader = 128, kChecksumAt = 120;
  if (bytes.size() < kHeader) return 0;
  const uint64_t sum = axk1::checksum64(std::string_view(bytes).substr(0, kChecksumAt));
  std::memcpy(bytes.data() + kChecksumAt, &sum, sizeof sum);
  read(bytes);
  return 0;
}
