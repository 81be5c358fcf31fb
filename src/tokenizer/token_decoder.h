// From ids back to text: the decoders of Hugging Face's tokenizers, worked out once per token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

// Takes up to `start` and `stop` times the character off the ends of a text.
struct StripRule {
  char32_t content = ' ';
  size_t start = 0, stop = 0;
};

struct DecoderStep {
  std::optional<Regex> pattern;  // replaced by `text`; without it: `strip`
  std::string text;
  StripRule strip;
};

struct DecoderRules {
  std::vector<DecoderStep> per_token;
  bool bytes = false;           // ByteLevel: characters of byte_to_char become bytes
  bool byte_fallback = false;   // ByteFallback: <0x..> becomes that byte
  bool spaces_between = false;  // no decoder at all: tokens joined with spaces
  StripRule whole;              // Strip behind Fuse: done once, on the joined text
};

// The bytes that every id stands for, and how they are put together. Immutable; any thread.
class TokenDecoder {
 public:
  explicit TokenDecoder(DecoderRules rules) : rules_(std::move(rules)) {}

  // Ids in rising order. `text` is the entry; `literally` takes it as it is.
  void add(TokenId id, std::string_view text, bool literally);

  std::string_view bytes(TokenId id) const {  // empty when there is no such id
    return has(id) ? std::string_view(bytes_).substr(entries_[id].start, entries_[id].length)
                   : std::string_view();
  }
  bool has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < entries_.size() && entries_[id].present;
  }
  bool is_fallback_byte(TokenId id) const { return has(id) && entries_[id].fallback_byte; }
  const DecoderRules& rules() const { return rules_; }

 private:
  struct Entry {
    uint64_t start = 0;
    uint32_t length = 0;
    bool present = false;
    bool fallback_byte = false;
  };
  DecoderRules rules_;
  std::string bytes_;
  std::vector<Entry> entries_;
  RegexScratch scratch_;  // used by add only
};

// The text without what the rule takes off.
std::string_view strip_ends(std::string_view valid_utf8, const StripRule& rule);

}  // namespace axk1
