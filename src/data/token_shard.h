// Documents as token ids in one file, as training reads them. docs/formats.md, "Token shards".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/file.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

struct TokenShardOptions {
  uint64_t vocab_size = 0;      // 1 to kMaxTokenId + 1; every id is below it
  uint64_t tokenizer_hash = 0;  // data/tokenizer_hash.h; 0: not known
  // Every token says whether it counts in the loss as a target. Without: all do.
  bool loss_mask = false;
};

// Writes a shard document by document; it appears under its name with finish(). In memory: a buffer
// of 1 MiB, 8 bytes for each document and, with a mask, one bit for each token. One thread at a
// time. Throws Error(kIo, kNotFound) naming the file, kInvalidInput for ids that are out of range.
class TokenShardWriter {
 public:
  TokenShardWriter(const std::string& path, const TokenShardOptions& options);

  // `ids` is not empty. `loss`: as long as ids, 1 where the token counts as a target, else 0; empty
  // without a mask. What throws adds nothing.
  void add(std::span<const TokenId> ids, std::span<const uint8_t> loss = {});
  void finish();  // once; nothing may be added afterwards

  uint64_t num_tokens() const { return num_tokens_; }
  uint64_t num_documents() const { return ends_.size(); }

 private:
  void flush();

  AtomicFile file_;
  TokenShardOptions options_;
  size_t id_bytes_;
  uint64_t num_tokens_ = 0;
  std::vector<std::byte> buffer_;  // ids not yet written
  uint64_t written_ = 0;           // bytes of ids in the file
  Checksum64 ids_checksum_;
  std::vector<uint64_t> ends_;
  std::vector<uint8_t> mask_;
};

// A shard, mapped. Opening checks the header and the documents' ends; reading ids checks each
// against vocab_size, so that no damage gives an id out of range; verify() compares the checksums
// of the rest. Errors are Error(kInvalidInput) naming the file, what was found and what was
// expected. Immutable; any thread may read.
class TokenShard {
 public:
  // Throws also Error(kIo, kNotFound).
  static TokenShard open(const std::string& path);
  // A file's bytes, which must outlive the shard; `source` is named in messages.
  TokenShard(std::span<const std::byte> bytes, std::string source);

  uint64_t num_documents() const { return num_documents_; }
  uint64_t num_tokens() const { return num_tokens_; }
  uint64_t vocab_size() const { return vocab_size_; }
  uint64_t tokenizer_hash() const { return tokenizer_hash_; }
  bool has_loss_mask() const { return !mask_.empty(); }
  const std::string& source() const { return source_; }

  // Tokens [document_begin(i), document_end(i)) are document i; never empty.
  uint64_t document_begin(uint64_t i) const { return i == 0 ? 0 : document_end(i - 1); }
  uint64_t document_end(uint64_t i) const;
  // Fills `out` with the ids of the tokens from `begin`, which may be of several documents; all of
  // them must be in the shard.
  void copy_ids(uint64_t begin, std::span<TokenId> out) const;
  // The same of the mask: 1 where the token counts as a target. All 1 without a mask.
  void copy_loss(uint64_t begin, std::span<uint8_t> out) const;
  std::vector<TokenId> document(uint64_t i) const;

  void verify() const;

 private:
  std::optional<MappedFile> file_;
  std::string source_;
  std::span<const std::byte> ids_, ends_, mask_;
  size_t id_bytes_ = 0;
  uint64_t num_tokens_ = 0, num_documents_ = 0, vocab_size_ = 0, tokenizer_hash_ = 0;
  uint64_t ids_checksum_ = 0, mask_checksum_ = 0;
};

}  // namespace axk1
