// How often each piece of text occurs: all that training a tokenizer keeps of a corpus.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document_reader.h"
#include "parallel/thread_pool.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {

// Pieces and their counts. About 32 bytes and the text for each. One thread at a time.
class PieceCounts {
 public:
  void add(std::string_view piece, uint64_t count);
  size_t size() const { return entries_.size(); }
  std::string_view piece(size_t i) const {
    return {texts_.data() + entries_[i].begin, entries_[i].length};
  }
  uint64_t count(size_t i) const { return entries_[i].count; }

 private:
  friend PieceCounts join_counts(std::vector<PieceCounts>&& parts, ThreadPool& pool);
  struct Entry {
    uint64_t hash, begin, count;
    uint32_t length;
  };
  void add_hashed(std::string_view piece, uint64_t hash, uint64_t count);
  void grow();

  std::string texts_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // open addressing, a power of two; index + 1, 0: empty
};

// What is counted, and what happened to be left out.
struct CountedText {
  PieceCounts pieces;
  uint64_t documents = 0;
  uint64_t bytes = 0;          // of text
  uint64_t invalid_bytes = 0;  // not UTF-8, left out
};

// Longer pieces are counted in parts of this length.
inline constexpr size_t kMaxPieceBytes = 1024;

// Called now and then, on any thread but one at a time, with reader.bytes_done() and the bytes of
// text so far; false stops the work.
using CountProgress = std::function<bool(uint64_t bytes_done, uint64_t text_bytes)>;

// Cuts every text (texts_of with `fields`) as the tokenizer does before it merges: normalised, then
// into pieces. The counts depend on neither the number of threads nor the order of the texts.
// `spec` is read only. Throws what the reader and texts_of throw; when progress says false,
// Error(kInvalidInput, "interrupted").
CountedText count_pieces(DocumentReader& reader, const std::vector<std::string>& fields,
                         const TokenizerSpec& spec, ThreadPool& pool,
                         const CountProgress& progress);

}  // namespace axk1
