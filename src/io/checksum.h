// The checksum of our own files: XXH3 with 64 bits (libxxhash). It finds damage; it is no defence
// against someone who forges a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace axk1 {

uint64_t checksum64(std::span<const std::byte> bytes);
inline uint64_t checksum64(std::string_view text) {
  return checksum64(std::as_bytes(std::span(text)));
}

// The same of bytes that come in pieces. One thread at a time.
class Checksum64 {
 public:
  Checksum64();
  ~Checksum64();
  Checksum64(const Checksum64&) = delete;
  Checksum64& operator=(const Checksum64&) = delete;

  void reset();
  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 16 lower-case hexadecimal digits, and back; nothing for any other text.
std::string checksum_text(uint64_t checksum);
std::optional<uint64_t> parse_checksum(std::string_view text);

}  // namespace axk1
