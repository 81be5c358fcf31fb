// The texts of a vocabulary and their ids, and the reversible map between bytes and printable
// characters in which byte-level vocabularies are written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace axk1 {

using TokenId = int32_t;

// Ids are below this, so that a damaged file cannot ask for a table of gigabytes. The largest
// vocabularies of today have 2^18 entries.
inline constexpr TokenId kMaxTokenId = (1 << 22) - 1;

// Entries by id and by text; ids may leave gaps. Filled once, then read by any thread.
class Vocabulary {
 public:
  // Throws Error(kInvalidInput), beginning with source, when id is out of range or taken, or the
  // text is there already.
  void add(std::string_view text, int64_t id, const std::string& source);

  std::optional<TokenId> find(std::string_view text) const;
  bool has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < entries_.size() && entries_[id].present;
  }
  // Empty when there is no such id. Valid as long as the vocabulary is unchanged.
  std::string_view text(TokenId id) const {
    return has(id) ? std::string_view(texts_).substr(entries_[id].start, entries_[id].length)
                   : std::string_view();
  }
  size_t size() const { return entries_.size(); }  // highest id + 1
  size_t num_entries() const { return num_entries_; }
  size_t max_text_bytes() const { return max_text_bytes_; }

 private:
  struct Entry {
    uint64_t start = 0;  // in texts_
    uint32_t length = 0;
    bool present = false;
  };
  void grow_table();
  size_t slot_of(std::string_view text) const;

  std::string texts_;
  std::vector<Entry> entries_;
  std::vector<TokenId> slots_;  // open addressing, a power of two, -1 empty
  size_t num_entries_ = 0;
  size_t max_text_bytes_ = 0;
};

// The character of GPT-2's bytes_to_unicode() for a byte: the byte itself where Latin-1 shows it,
// else U+0100 and up in byte order.
char32_t byte_to_char(unsigned char byte);
// The byte of such a character, or nothing.
std::optional<unsigned char> char_to_byte(char32_t c);

// Every byte of `bytes` as its character, in UTF-8.
std::string bytes_to_text(std::string_view bytes);
// The bytes of a text made of such characters only, or nothing.
std::optional<std::string> text_to_bytes(std::string_view text);

}  // namespace axk1
