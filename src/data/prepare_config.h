// The file that says what data to prepare. docs/data.md, "Preparing data".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/document_reader.h"
#include "io/json.h"

namespace axk1 {

struct PrepareSource {
  std::string name;  // letters, digits, '-' and '_'
  std::vector<std::string> files;
  double weight = 1;                // above 0; for the trainer
  bool chat = false;                // conversations: rendered, and trained on answers alone
  std::vector<std::string> fields;  // of JSON lines, joined by line ends; none: text
  TextUnit unit = TextUnit::kFile;  // "file", "paragraph" or "line", of text files
  uint64_t min_chars = 1, max_chars = UINT64_MAX;
  std::vector<std::string> languages;  // none: any
  double min_hangul = 0, max_hangul = 1;
};

struct PrepareConfig {
  std::string tokenizer;                    // a model, whose chat template is used too
  std::string end_token = "<|endoftext|>";  // behind every text
  double held_out = 0.01;                   // share of the documents
  uint64_t shard_tokens = uint64_t{1} << 26;
  bool drop_duplicates = true;
  double near_duplicate_similarity = 0.8;  // 0: near duplicates stay
  std::vector<PrepareSource> sources;      // at least one, names differ
};

// Paths are as given when absolute, else relative to `folder`. Throws Error naming the field, also
// for fields that there are not.
PrepareConfig read_prepare_config(const json::value& config, const std::string& source,
                                  const std::string& folder);

}  // namespace axk1
