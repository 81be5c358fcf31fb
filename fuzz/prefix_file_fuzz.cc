// deps: engine
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/prefix_file.h"
#include "io/checksum.h"

namespace {

constexpr size_t kTokens = 2, kBytes = 4, kBlocks = 5;

void read(const std::string& bytes) {
  axk1::BlockManager blocks(kBlocks, kTokens);
  std::vector<std::byte> memory(kBlocks * kBytes);
  const axk1::LoadedPrefixes loaded = axk1::read_prefixes(
      std::as_bytes(std::span(bytes)), "x", blocks, {.fingerprint = 1, .block_bytes = kBytes},
      [&](axk1::BlockId id) { return memory.data() + id * kBytes; });
  blocks.check_invariants();
  if (blocks.counts().cached != loaded.blocks) std::abort();
}

}  // namespace

// As a whole file; and as records, the first byte counting them, behind a header that fits and with
// checksums that fit: mutations hardly ever get past a checksum.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read({reinterpret_cast<const char*>(data), size});
  if (size == 0) return 0;
  const uint64_t head[4] = {1, kTokens, kBytes, data[0]};
  std::string file("AXK1KVC\1", 8);
  file.append(reinterpret_cast<const char*>(head), sizeof head);
  const auto append_sum = [&](size_t from) {
    const uint64_t sum = axk1::checksum64(std::string_view(file).substr(from));
    file.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  };
  append_sum(0);
  for (size_t at = 1; at + 8 <= size;) {
    uint32_t tenant_bytes;
    std::memcpy(&tenant_bytes, data + at + 4, sizeof tenant_bytes);
    const size_t record = size_t{8} + tenant_bytes + kTokens * 4 + kBytes;
    const size_t start = file.size();
    if (record > size - at) {
      file.append(reinterpret_cast<const char*>(data + at), size - at);
      break;
    }
    file.append(reinterpret_cast<const char*>(data + at), record);
    append_sum(start);
    at += record;
  }
  read(file);
  return 0;
}
