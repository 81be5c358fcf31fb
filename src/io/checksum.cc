#include "io/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace axk1 {

uint64_t checksum64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

struct Checksum64::State {
  XXH3_state_t xxh3;
};

Checksum64::Checksum64() : state_(std::make_unique<State>()) {
  reset();
}

Checksum64::~Checksum64() = default;

void Checksum64::reset() {
  XXH3_64bits_reset(&state_->xxh3);
}

void Checksum64::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(&state_->xxh3, bytes.data(), bytes.size());
}

uint64_t Checksum64::digest() const {
  return XXH3_64bits_digest(&state_->xxh3);
}

std::string checksum_text(uint64_t checksum) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; checksum >>= 4) text[i] = "0123456789abcdef"[checksum & 15];
  return text;
}

std::optional<uint64_t> parse_checksum(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  uint64_t checksum = 0;
  for (char c : text) {
    const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
    if (!digit && !letter) return std::nullopt;
    checksum = checksum << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return checksum;
}

}  // namespace axk1
