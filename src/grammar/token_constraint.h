// What may come next in an answer, decided token by token while it grows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "tokenizer/vocabulary.h"

namespace axk1 {

// A set of token ids: id is in it when bit id % 32 of words[id / 32] is set.
constexpr size_t token_mask_words(size_t vocab_size) {
  return (vocab_size + 31) / 32;
}

// One answer's state. For one thread at a time; clones are independent.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Whether every token may come next: allowed() need not be asked then.
  virtual bool allows_all() const { return false; }

  // Writes the set of tokens that may come next, words [token_mask_words(vocab_size)]. Never empty:
  // where the answer must end, it holds the end tokens, and it holds them too where it may.
  virtual void allowed(std::span<uint32_t> words) = 0;

  // Takes the token that was chosen. False, and nothing changes, when it is not allowed.
  virtual bool push(TokenId id) = 0;

  // The same state again, to try drafts on.
  virtual std::unique_ptr<TokenConstraint> clone() const = 0;
};

}  // namespace axk1
