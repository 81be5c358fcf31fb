// deps: data
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "data/token_shard.h"
#include "io/checksum.h"

namespace {

// What is accepted has documents that fill it, of ids in range.
void read(const std::string& bytes) {
  try {
    const axk1::TokenShard shard(std::as_bytes(std::span(bytes)), "x");
    uint64_t tokens = 0;
    for (uint64_t i = 0; i < shard.num_documents(); ++i) {
      for (axk1::TokenId id : shard.document(i)) {
        if (id < 0 || static_cast<uint64_t>(id) >= shard.vocab_size()) std::abort();
        ++tokens;
      }
    }
    if (tokens != shard.num_tokens()) std::abort();
    std::vector<uint8_t> loss(tokens);
    shard.copy_loss(0, loss);
    shard.verify();
  } catch (const axk1::Error&) {
  }
}

}  // namespace

// As a whole file; and with checksums that fit, which mutations hardly ever have.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  if (size < 128) return 0;
  const auto put = [&](size_t at, uint64_t value) { std::memcpy(&bytes[at], &value, 8); };
  const auto get = [&](size_t at) {
    uint64_t value;
    std::memcpy(&value, &bytes[at], 8);
    return value;
  };
  // The list of documents, where the counts let it lie in the file.
  const uint64_t id_bytes = get(8) >> 32, tokens = get(40), documents = get(48);
  if (id_bytes <= 4 && tokens <= size && documents <= size) {
    const size_t begin = 128 + (tokens * id_bytes + 7) / 8 * 8;
    if (begin + documents * 8 <= size) {
      put(64, axk1::checksum64(std::string_view(bytes).substr(begin, documents * 8)));
    }
  }
  put(120, axk1::checksum64(std::string_view(bytes).substr(0, 120)));
  read(bytes);
  return 0;
}
