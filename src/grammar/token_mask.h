// Which tokens may come at a place of a grammar.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "grammar/json_cursor.h"
#include "grammar/mask_cache.h"
#include "grammar/vocabulary_tables.h"

namespace axk1 {

// For one thread at a time; keeps room between calls.
//
// Most places allow few tokens, and a walk over the trie that stops at the first wrong byte finds
// them. Inside a string nearly all tokens are allowed, whatever is around the string, so those sets
// are kept with the vocabulary: for strings without a pattern by the number of characters left,
// else by the state of the pattern's automaton. Only tokens with a closing quote are walked then;
// in a string that takes everything, by what is behind the quote alone.
class TokenMask {
 public:
  explicit TokenMask(const GrammarVocabulary::Impl& vocabulary) : vocabulary_(&vocabulary) {}

  // Adds the tokens that stand for text and may come at `cursor`. No marks and no end tokens. Not
  // for free text (Mode::kFree).
  void add(const JsonCursor& cursor, const TextBuffer& text, const Grammar& grammar,
           std::span<uint32_t> words);

 private:
  enum class Until { kEnd, kNoNames };
  void walk(const TokenTrie& trie, const JsonCursor& cursor, const TextBuffer& text, Until until,
            std::span<uint32_t> words);
  void add_in_string(const JsonCursor& cursor, const Grammar& grammar, std::span<uint32_t> words);
  void add_in_key(const JsonCursor& cursor, const TextBuffer& text, const Grammar& grammar,
                  std::span<uint32_t> words);
  void add_up_to(size_t length, std::span<uint32_t> words) const;
  void add_scarce_keys(const JsonCursor& cursor, const JsonCursor::Scalar& scalar,
                       std::string_view text, const TextDfa& others,
                       std::span<uint32_t> words) const;
  DfaMasks& masks_of(const std::shared_ptr<const TextDfa>& dfa);

  const GrammarVocabulary::Impl* vocabulary_;
  std::vector<JsonCursor> path_;
  TextBuffer text_;
  std::map<const TextDfa*, std::shared_ptr<DfaMasks>> masks_;
};

}  // namespace axk1
