// Byte-level byte-pair encoding, trained (Sennrich et al. 2016): beginning with the 256 bytes, the
// pair of neighbours that occurs most often becomes a token, again and again.
//
// Of pairs that occur equally often the one with the lower left id is taken, then with the lower
// right id (so does Hugging Face's BpeTrainer). A pair is counted at every place where its two
// tokens are neighbours, and joined from left to right. A token comes about in one way only: what
// happens between two borders that last does not depend on what lies beyond them, so the same bytes
// are always joined by the same pairs, and a pair never returns once it was joined.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/piece_counts.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

struct BpeTrainOptions {
  size_t vocab_size = 0;       // at least 256
  uint64_t min_count = 2;      // pairs that occur less often are not joined
  size_t max_token_bytes = 0;  // pairs that would be longer are not joined; 0: no limit
};

struct TrainedMerge {
  TokenId left = 0, right = 0, result = 0;
  uint64_t count = 0;  // how often the pair occurred
};

struct TrainedBpe {
  // By id: first the bytes, in the order of their characters (byte_to_char), so that ids are those
  // that other byte-level trainers give; then the merges' results. Fewer than vocab_size when the
  // text has no more pairs that may be joined.
  std::vector<std::string> tokens;
  std::vector<TrainedMerge> merges;
};

// `progress` is called with the number of tokens so far, and stops the work with false:
// Error(kInvalidInput, "interrupted"). Memory: 16 bytes or so for each byte of the pieces, each
// different piece counted once. The result depends on the counts alone, not on their order.
TrainedBpe train_bpe(const PieceCounts& pieces, const BpeTrainOptions& options,
                     const std::function<bool(size_t tokens)>& progress);

}  // namespace axk1
