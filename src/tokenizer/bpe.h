// Byte-pair encoding of one piece of text, as the BPE model of Hugging Face's tokenizers does it:
// the pair of neighbours with the lowest rank is joined, leftmost first, until no pair has a rank
// (Sennrich et al. 2016). Linear-logarithmic in the length of the piece.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace axk1 {

// A part of a text.
struct Piece {
  size_t begin = 0, end = 0;
};

struct BpeOptions {
  bool ignore_merges = false;  // a piece that is an entry itself is not built from merges
  bool byte_fallback =
      false;              // a character without an entry becomes the entries <0x..> of its bytes
  bool fuse_unk = false;  // neighbouring unknown characters become one unknown token
  std::optional<TokenId> unk;  // for characters without an entry; nothing: they are dropped
  std::string prefix;          // continuing_subword_prefix
  std::string suffix;          // end_of_word_suffix
  bool bytes = false;          // entries are written in the characters of byte_to_char
};

struct BpeMerge {
  TokenId left = 0, right = 0, result = 0;
  uint32_t rank = 0;
};

// Buffers and a cache of short pieces. One per thread and Bpe.
class BpeScratch {
 public:
  BpeScratch();

 private:
  friend class Bpe;

  struct Symbol {
    TokenId id;
    uint32_t previous, next;  // kNone at the ends
    bool gone;
  };
  struct Candidate {
    uint32_t rank, position;
    TokenId result;
  };
  // One cache line: a piece of up to kMaxKey bytes and its ids.
  static constexpr size_t kMaxKey = 31, kMaxIds = 7;
  struct Key {
    std::array<uint64_t, 4> words{};  // the bytes, zeros, and in the last byte their number
    bool operator==(const Key&) const = default;
  };
  struct alignas(64) CacheLine {
    Key key;  // all zero: empty
    uint32_t num_ids = 0;
    TokenId ids[kMaxIds] = {};
  };

  std::vector<CacheLine> cache_;
  std::vector<TokenId> ids_;
  std::vector<uint64_t> pairs_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

// Immutable; any thread may encode, each with its own scratch.
class Bpe {
 public:
  // `vocabulary` must outlive the Bpe. Merges for the same pair: the last one counts.
  Bpe(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges, BpeOptions options);

  // Appends the ids of the pieces of text, one after the other, to out. The pieces are of any
  // bytes; those that are not valid UTF-8 have no entries unless options.bytes or byte_fallback.
  void encode(std::string_view text, std::span<const Piece> pieces, BpeScratch& scratch,
              std::vector<TokenId>& out) const;

 private:
  struct Pair {
    uint64_t key;     // left << 32 | right
    uint64_t merged;  // rank << 32 | result
  };
  uint64_t find_pair(TokenId left, TokenId right) const;  // kNoPair when there is none
  void encode_cached(std::string_view piece, const BpeScratch::Key& key,
                     BpeScratch::CacheLine& line, BpeScratch& scratch,
                     std::vector<TokenId>& out) const;
  void encode_uncached(std::string_view piece, BpeScratch& scratch,
                       std::vector<TokenId>& out) const;
  void append_symbols(std::string_view text, std::vector<TokenId>& ids) const;
  void merge_short(BpeScratch& scratch, std::vector<TokenId>& out) const;
  void merge_long(BpeScratch& scratch, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  BpeOptions options_;
  std::vector<Pair> pairs_;  // open addressing, a power of two
  int pair_shift_ = 0;
  std::array<TokenId, 256> byte_ids_{};      // of bytes as characters; -1: no entry
  std::array<TokenId, 256> fallback_ids_{};  // of <0x..>; -1: no entry
  bool all_bytes_ = false;                   // symbols can be looked up in byte_ids_ alone
};

}  // namespace axk1
