// The two tables of a BPE model as files give them: entries with their ids, and pairs to merge.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

// {"text": id, ...}. Throws Error that begins with source.
void read_json_vocabulary(const json::value& table, const std::string& source,
                          Vocabulary& vocabulary);

// Turns pairs of texts into merges, ranked in the order they come.
class MergeBuilder {
 public:
  // `prefix_bytes`: length of what the right text begins with when it continues a word, and the
  // merged text does not repeat.
  MergeBuilder(const Vocabulary& vocabulary, std::string source, size_t prefix_bytes = 0)
      : vocabulary_(vocabulary), source_(std::move(source)), prefix_bytes_(prefix_bytes) {}

  // Throws Error(kInvalidInput) when a text or the merged text is no entry.
  void add(std::string_view left, std::string_view right);
  // "left right", with one blank; the first blank at or behind `from` counts.
  void add(std::string_view line, size_t from);

  std::vector<BpeMerge> take() { return std::move(merges_); }

 private:
  TokenId need(std::string_view text) const;

  const Vocabulary& vocabulary_;
  std::string source_;
  size_t prefix_bytes_;
  std::vector<BpeMerge> merges_;
};

}  // namespace axk1
