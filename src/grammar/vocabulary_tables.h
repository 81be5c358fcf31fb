// What GrammarVocabulary holds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar_vocabulary.h"
#include "grammar/mask_cache.h"
#include "grammar/token_trie.h"

namespace axk1 {

inline void set_token(std::span<uint32_t> words, TokenId id) {
  words[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
}
inline bool has_token(std::span<const uint32_t> words, TokenId id) {
  return words[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
}

inline bool is_json_blank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

enum class TokenKind : uint8_t {
  kNone,    // never comes
  kText,    // stands for its bytes
  kMark,    // its bytes are one of the marks around reasoning and calls; no part of JSON
  kHidden,  // special: no part of the answer's text
};

struct GrammarVocabulary::Impl {
  struct Token {
    std::string bytes;
    TokenKind kind = TokenKind::kNone;
  };

  Impl(std::vector<Token> tokens_in, std::vector<TokenId> end_ids_in);

  std::vector<Token> tokens;
  std::vector<TokenId> end_ids;
  TokenTrie all;                        // kText, by bytes
  MaskWords blank_first;                // kText that begin with white space of JSON
  MaskWords unicode_escape;             // kText with \u in them
  std::vector<TokenId> backslash_last;  // kText that end with a backslash
  MaskWords u_first;                    // kText that begin with u
  // Between two characters of a string:
  CharTrie interior;                      // tokens that stay inside it
  MaskWords interior_all;                 // the same as a set
  std::vector<MaskWords> interior_up_to;  // those of at most so many characters
  std::vector<TokenId> interior_long;     // those with more than these sets tell apart
  TokenTrie closing;                      // tokens with a closing quote, whole
  TokenTrie after_closing;  // the same, by what is behind the quote; not those that end with it
  std::vector<TokenId> closing_last;  // those that end with it
  std::vector<TokenId> sorted;        // kText and kMark by bytes
  std::vector<TokenId> marks;         // kMark
  DfaMaskCache dfa_masks;             // tokens inside strings that an automaton must accept

  // Tokens that contain the text. Kept for the few texts that are asked for.
  const std::vector<TokenId>& containing(std::string_view text) const;
  // Tokens that begin with the text.
  std::span<const TokenId> beginning_with(std::string_view text) const;
  // Tokens that may complete the mark when `match` bytes of it have come.
  std::vector<TokenId> completing(std::string_view mark, size_t match) const;

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<TokenId>, std::less<>> containing_;
};

// Between two characters of a string: the tokens inside it that lead from `state` of the automaton
// to a state from which it goes on. possible(state, n) says the same of a state that n more
// characters lead to, where their number matters; without it every state goes on.
MaskWords interior_set(const GrammarVocabulary::Impl& vocabulary, const TextDfa& dfa,
                       uint32_t state, const std::function<bool(uint32_t, uint32_t)>& possible);

}  // namespace axk1
