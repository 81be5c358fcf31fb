// A vocabulary arranged for asking which of its tokens may come next.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace axk1 {

class Tokenizer;

// Built once per model (some tens of milliseconds), then shared. Immutable but for locked caches;
// any thread. Does not refer to the tokenizer afterwards.
class GrammarVocabulary {
 public:
  // `end_ids` end an answer. Special tokens, and `excluded`, never stand for their text inside
  // JSON. vocab_size: that of the model's logits; 0 takes the tokenizer's.
  GrammarVocabulary(const Tokenizer& tokenizer, std::vector<TokenId> end_ids,
                    size_t vocab_size = 0);

  // bytes[id]: what the token stands for; empty for a token that never may come.
  GrammarVocabulary(std::vector<std::string> bytes, std::vector<TokenId> end_ids);
  ~GrammarVocabulary();

  size_t vocab_size() const;
  const std::vector<TokenId>& end_ids() const;

  struct Impl;  // vocabulary_tables.h
  const Impl& tables() const { return *impl_; }

 private:
  std::unique_ptr<const Impl> impl_;
};

}  // namespace axk1
