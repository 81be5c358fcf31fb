// The documents of a run's files: texts and conversations are tokenised here, shards are read where
// they lie.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "chat/template.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"
#include "train/documents.h"

namespace axk1 {

// Refers to what it names. Constant: any thread.
struct TextEncoding {
  const Tokenizer& tokenizer;
  const ChatTemplate* chat_template = nullptr;  // null: conversations are refused
  TokenId document_end;                         // follows every text
  uint64_t tokenizer_hash = 0;                  // that shards must have been made with
  size_t vocab_size = 0;                        // of the model
};

// What a file says it holds: a token shard by its first bytes; FILE.jsonl a document a line, an
// object with `messages` or with a string `text_field`; anything else one text, which is one
// document. FILE.zst is what FILE would be. Texts are held in memory, as tokens: a large corpus
// belongs into shards. Throws Error naming the file, and the line.
std::unique_ptr<Documents> load_documents(std::span<const std::string> files,
                                          const std::string& text_field,
                                          const TextEncoding& encoding);

// A conversation as documents: for each answer of the assistant, what the model is given before it
// answers (the template with add_generation_prompt), which is not trained, and the answer up to its
// end token, which is. A message may have `reasoning_content`, which it then answers first, in
// think mode; `row` may have `tools`. Encoded apart, as when the model answers. Throws Error.
void add_conversation(const json::object& row, const TextEncoding& encoding,
                      MemoryDocuments& documents);

}  // namespace axk1
