#include "data/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

// left << 32 | right: in the order in which ties are broken.
using PairKey = uint64_t;
constexpr size_t kProgressEvery = 64;  // merges

PairKey key_of(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}
TokenId left_of(PairKey key) {
  return static_cast<TokenId>(key >> 32);
}
TokenId right_of(PairKey key) {
  return static_cast<TokenId>(key & UINT32_MAX);
}

struct PairState {
  PairKey key = 0;
  uint64_t count = 0;
  uint32_t count_at_round = 0;  // the round in which it was last counted up
  std::vector<uint32_t> words;  // pieces that may hold it; some twice
};

// Pairs by key, never removed.
class PairTable {
 public:
  PairTable() : slots_(1 << 16) {}

  PairState& operator[](PairKey key) {
    size_t slot = find(key);
    if (slots_[slot] == 0) {
      if (pairs_.size() * 2 >= slots_.size()) {
        grow();
        slot = find(key);
      }
      pairs_.emplace_back().key = key;
      slots_[slot] = static_cast<uint32_t>(pairs_.size());
    }
    return pairs_[slots_[slot] - 1];
  }
  std::vector<PairState>& pairs() { return pairs_; }

 private:
  size_t find(PairKey key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = key * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
    hash ^= hash >> 32;
    size_t slot = hash & mask;
    while (slots_[slot] != 0 && pairs_[slots_[slot] - 1].key != key) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (size_t i = 0; i < pairs_.size(); ++i) {
      slots_[find(pairs_[i].key)] = static_cast<uint32_t>(i + 1);
    }
  }

  std::vector<uint32_t> slots_;  // open addressing; index + 1, 0: empty
  std::vector<PairState> pairs_;
};

class Trainer {
 public:
  Trainer(const PieceCounts& pieces, const BpeTrainOptions& options) : options_(options) {
    std::array<TokenId, 256> id_of_byte{};
    std::vector<std::pair<char32_t, unsigned char>> order;
    for (int byte = 0; byte < 256; ++byte) {
      const auto b = static_cast<unsigned char>(byte);
      order.emplace_back(byte_to_char(b), b);
    }
    std::ranges::sort(order);
    for (size_t id = 0; id < order.size(); ++id) {
      id_of_byte[order[id].second] = static_cast<TokenId>(id);
      out_.tokens.emplace_back(1, static_cast<char>(order[id].second));
    }
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string_view piece = pieces.piece(i);
      if (piece.size() < 2) continue;
      const auto word = static_cast<uint32_t>(words_.size());
      words_.push_back({symbols_.size(), pieces.count(i), static_cast<uint32_t>(piece.size())});
      for (char c : piece) symbols_.push_back(id_of_byte[static_cast<unsigned char>(c)]);
      const TokenId* ids = symbols_.data() + words_.back().begin;
      for (size_t k = 0; k + 1 < piece.size(); ++k) {
        add_pair(key_of(ids[k], ids[k + 1]), word, pieces.count(i));
      }
    }
    push_increased();
  }

  TrainedBpe run(const std::function<bool(size_t tokens)>& progress) {
    size_t rounds = 0;
    while (out_.tokens.size() < options_.vocab_size && !queue_.empty()) {
      if (rounds++ % kProgressEvery == 0 && !progress(out_.tokens.size())) {
        fail(ErrorCode::kInvalidInput, "interrupted");
      }
      const Candidate best = queue_.top();
      queue_.pop();
      PairState& pair = table_[best.key];
      if (pair.count != best.count) {  // it has become rarer since, or is in the queue twice
        if (pair.count < best.count) push(pair);
        continue;
      }
      merge(best.key, pair);
    }
    return std::move(out_);
  }

 private:
  struct Word {
    uint64_t begin;  // in symbols_
    uint64_t count;
    uint32_t length;
  };
  struct Candidate {
    uint64_t count;
    PairKey key;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  void add_pair(PairKey key, uint32_t word, uint64_t count) {
    PairState& pair = table_[key];
    if (pair.count_at_round != round_) {
      pair.count_at_round = round_;
      increased_.push_back(key);
    }
    pair.count += count;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  }
  void remove_pair(PairKey key, uint64_t count) {
    PairState& pair = table_[key];
    AXK1_CHECK(pair.count >= count);
    pair.count -= count;
  }

  void push(const PairState& pair) {
    if (pair.count < std::max<uint64_t>(options_.min_count, 1)) return;
    if (options_.max_token_bytes > 0) {
      const auto bytes = [&](TokenId id) { return out_.tokens[static_cast<size_t>(id)].size(); };
      if (bytes(left_of(pair.key)) + bytes(right_of(pair.key)) > options_.max_token_bytes) return;
    }
    queue_.push({pair.count, pair.key});
  }
  void push_increased() {
    for (PairKey key : increased_) push(table_[key]);
    increased_.clear();
    ++round_;
  }

  void merge(PairKey key, PairState& pair) {
    const TokenId left = left_of(key), right = right_of(key);
    const auto result = static_cast<TokenId>(out_.tokens.size());
    out_.tokens.push_back(out_.tokens[static_cast<size_t>(left)] +
                          out_.tokens[static_cast<size_t>(right)]);
    out_.merges.push_back({left, right, result, pair.count});
    const std::vector<uint32_t> words = std::move(pair.words);
    pair.words = {};  // `pair` is not valid beyond the first new pair
    for (uint32_t word : words) merge_in(word, left, right, result);
    AXK1_CHECK(table_[key].count == 0);
    push_increased();
  }

  void merge_in(uint32_t word_idx, TokenId left, TokenId right, TokenId result) {
    Word& word = words_[word_idx];
    TokenId* ids = symbols_.data() + word.begin;
    const size_t length = word.length;
    size_t to = 0;
    for (size_t from = 0; from < length;) {
      if (from + 1 == length || ids[from] != left || ids[from + 1] != right) {
        ids[to++] = ids[from++];
        continue;
      }
      // The counts follow the piece from one state to the next, so places that overlap come out
      // right.
      remove_pair(key_of(left, right), word.count);
      if (to > 0) {
        remove_pair(key_of(ids[to - 1], left), word.count);
        add_pair(key_of(ids[to - 1], result), word_idx, word.count);
      }
      if (from + 2 < length) {
        remove_pair(key_of(right, ids[from + 2]), word.count);
        add_pair(key_of(result, ids[from + 2]), word_idx, word.count);
      }
      ids[to++] = result;
      from += 2;
    }
    word.length = static_cast<uint32_t>(to);
  }

  BpeTrainOptions options_;
  TrainedBpe out_;
  std::vector<Word> words_;
  std::vector<TokenId> symbols_;
  PairTable table_;
  std::priority_queue<Candidate> queue_;  // every pair that may be joined, with a count not below
                                          // its own
  uint32_t round_ = 1;
  std::vector<PairKey> increased_;  // pairs whose count grew in this round
};

}  // namespace

TrainedBpe train_bpe(const PieceCounts& pieces, const BpeTrainOptions& options,
                     const std::function<bool(size_t tokens)>& progress) {
  AXK1_CHECK(options.vocab_size >= 256);
  return Trainer(pieces, options).run(progress);
}

}  // namespace axk1
