// deps: train
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/error.h"
#include "io/checksum.h"
#include "train/run_checkpoint.h"

namespace {

void read(const std::string& bytes) {
  try {
    const axk1::RunCheckpoint checkpoint(std::as_bytes(std::span(bytes)), "x");
    checkpoint.state();
    if (checkpoint.contains("weights")) checkpoint.section("weights", 8);
  } catch (const axk1::Error&) {
  }
}

}  // namespace

// The bytes as they are, and with right checksums of header and table, so that more than those are
// looked at.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  constexpr size_t kTableBytesAt = 8, kTableChecksumAt = 16, kChecksumAt = 24, kHeader = 32;
  if (bytes.size() < kHeader) return 0;
  uint64_t table_bytes;
  std::memcpy(&table_bytes, bytes.data() + kTableBytesAt, sizeof table_bytes);
  const std::string_view table =
      std::string_view(bytes).substr(kHeader, std::min<uint64_t>(table_bytes, bytes.size()));
  const uint64_t table_sum = axk1::checksum64(table);
  std::memcpy(bytes.data() + kTableChecksumAt, &table_sum, sizeof table_sum);
  const uint64_t sum = axk1::checksum64(std::string_view(bytes).substr(0, kChecksumAt));
  std::memcpy(bytes.data() + kChecksumAt, &sum, sizeof sum);
  read(bytes);
  return 0;
}
