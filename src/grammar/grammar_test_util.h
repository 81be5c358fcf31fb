// What the tests of this folder share.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/constraints.h"

namespace axk1 {

// Every byte is a token, id = byte; then the texts of `more`; then the end token, the last id.
inline std::shared_ptr<const GrammarVocabulary> byte_vocabulary(
    const std::vector<std::string>& more = {}) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.insert(tokens.end(), more.begin(), more.end());
  tokens.emplace_back();
  const auto end = static_cast<TokenId>(tokens.size() - 1);
  return std::make_shared<const GrammarVocabulary>(std::move(tokens), std::vector<TokenId>{end});
}

inline bool allows(TokenConstraint& constraint, const GrammarVocabulary& vocabulary, TokenId id) {
  std::vector<uint32_t> words(token_mask_words(vocabulary.vocab_size()));
  constraint.allowed(words);
  return words[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
}

// Takes the tokens; stops and says how many were allowed. Checks that masks and push agree.
inline size_t num_taken(TokenConstraint& constraint, const GrammarVocabulary& vocabulary,
                        const std::vector<TokenId>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool allowed = allows(constraint, vocabulary, ids[i]);
    if (constraint.push(ids[i]) != allowed) throw std::logic_error("mask and push disagree");
    if (!allowed) return i;
  }
  return ids.size();
}

inline std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

// Whether every byte of the text was allowed, and the end then.
inline bool accepts(const std::shared_ptr<const GrammarVocabulary>& vocabulary,
                    const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  const std::unique_ptr<TokenConstraint> constraint = make_json_constraint(vocabulary, grammar);
  std::vector<TokenId> ids = byte_ids(text);
  ids.push_back(vocabulary->end_ids()[0]);
  return num_taken(*constraint, *vocabulary, ids) == ids.size();
}

}  // namespace axk1
