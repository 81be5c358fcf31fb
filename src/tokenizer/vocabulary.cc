#include "tokenizer/vocabulary.h"

#include <array>

#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

uint64_t hash_text(std::string_view text) {  // FNV-1a, then mixed so that the low bits are good
  uint64_t h = 0xcbf29ce484222325u;
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3u;
  return h ^ h >> 32;
}

struct ByteChars {
  std::array<char32_t, 256> to_char;
  std::array<int16_t, 0x144> to_byte;  // -1: none. The last character in use is U+0143

  constexpr ByteChars() : to_char(), to_byte() {
    for (auto& byte : to_byte) byte = -1;
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool shown = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      to_char[b] = shown ? static_cast<char32_t>(b) : next++;
      to_byte[to_char[b]] = static_cast<int16_t>(b);
    }
  }
};
constexpr ByteChars kByteChars;

}  // namespace

size_t Vocabulary::slot_of(std::string_view text) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash_text(text) & mask;
  while (slots_[slot] >= 0 && this->text(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow_table() {
  slots_.assign(slots_.empty() ? 1024 : slots_.size() * 2, -1);
  for (size_t id = 0; id < entries_.size(); ++id) {
    const auto token = static_cast<TokenId>(id);
    if (entries_[id].present) slots_[slot_of(text(token))] = token;
  }
}

void Vocabulary::add(std::string_view text, int64_t id, const std::string& source) {
  if (id < 0 || id > kMaxTokenId) {
    fail(ErrorCode::kInvalidInput, source, ": token \"", printable(text), "\" has id ", id,
         ", expected 0 to ", kMaxTokenId);
  }
  const auto token = static_cast<TokenId>(id);
  if (has(token)) {
    fail(ErrorCode::kInvalidInput, source, ": tokens \"", printable(this->text(token)), "\" and \"",
         printable(text), "\" have the same id ", id);
  }
  if (num_entries_ * 2 >= slots_.size()) grow_table();
  const size_t slot = slot_of(text);
  if (slots_[slot] >= 0) {
    fail(ErrorCode::kInvalidInput, source, ": token \"", printable(text), "\" occurs twice, as id ",
         slots_[slot], " and ", id);
  }
  if (entries_.size() <= static_cast<size_t>(id)) entries_.resize(static_cast<size_t>(id) + 1);
  entries_[id] = {texts_.size(), static_cast<uint32_t>(text.size()), true};
  texts_.append(text);
  slots_[slot] = token;
  ++num_entries_;
  max_text_bytes_ = std::max(max_text_bytes_, text.size());
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  if (slots_.empty() || text.size() > max_text_bytes_) return std::nullopt;
  const TokenId id = slots_[slot_of(text)];
  return id >= 0 ? std::optional(id) : std::nullopt;
}

char32_t byte_to_char(unsigned char byte) {
  return kByteChars.to_char[byte];
}

std::optional<unsigned char> char_to_byte(char32_t c) {
  if (c >= kByteChars.to_byte.size() || kByteChars.to_byte[c] < 0) return std::nullopt;
  return static_cast<unsigned char>(kByteChars.to_byte[c]);
}

std::string bytes_to_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) append_utf8(text, byte_to_char(byte));
  return text;
}

std::optional<std::string> text_to_bytes(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    const auto byte = c.valid ? char_to_byte(c.code_point) : std::nullopt;
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    text.remove_prefix(c.length);
  }
  return bytes;
}

}  // namespace axk1
