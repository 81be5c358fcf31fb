#include "train/source_documents.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data/chat_turns.h"
#include "data/document_reader.h"
#include "data/token_shard.h"
#include "io/checksum.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr std::string_view kShardMagic = "AXK1TOKS";

class ShardDocuments final : public Documents {
 public:
  ShardDocuments(const std::string& path, const TextEncoding& encoding)
      : shard_(TokenShard::open(path)) {
    if (shard_.vocab_size() > encoding.vocab_size) {
      fail(ErrorCode::kInvalidInput, path, ": is of a vocabulary of ", shard_.vocab_size(),
           " tokens, expected at most the model's ", encoding.vocab_size);
    }
    if (shard_.tokenizer_hash() != 0 && shard_.tokenizer_hash() != encoding.tokenizer_hash) {
      fail(ErrorCode::kInvalidInput, path, ": was made with another tokenizer (hash ",
           checksum_text(shard_.tokenizer_hash()), ", expected ",
           checksum_text(encoding.tokenizer_hash), ")");
    }
    // The header has the checksums of all that follows.
    constexpr size_t kHeaderBytes = 128;
    fingerprint_ = checksum64(read_file_start(path, kHeaderBytes));
  }

  size_t size() const override { return shard_.num_documents(); }
  size_t length(size_t i) const override {
    return shard_.document_end(i) - shard_.document_begin(i);
  }
  void read(size_t i, size_t begin, std::span<int32_t> ids,
            std::span<uint8_t> counts) const override {
    shard_.copy_ids(shard_.document_begin(i) + begin, ids);
    shard_.copy_loss(shard_.document_begin(i) + begin, counts);
  }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  TokenShard shard_;
  uint64_t fingerprint_ = 0;
};

// The documents of several parts, one after the other.
class JoinedDocuments final : public Documents {
 public:
  explicit JoinedDocuments(std::vector<std::unique_ptr<Documents>> parts)
      : parts_(std::move(parts)) {
    size_t end = 0;
    for (const auto& part : parts_) ends_.push_back(end += part->size());
  }

  size_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  size_t length(size_t i) const override {
    const auto [part, within] = locate(i);
    return parts_[part]->length(within);
  }
  void read(size_t i, size_t begin, std::span<int32_t> ids,
            std::span<uint8_t> counts) const override {
    const auto [part, within] = locate(i);
    parts_[part]->read(within, begin, ids, counts);
  }
  uint64_t fingerprint() const override {
    std::vector<uint64_t> all;
    for (const auto& part : parts_) all.push_back(part->fingerprint());
    return checksum64(std::as_bytes(std::span(all)));
  }

 private:
  std::pair<size_t, size_t> locate(size_t i) const {
    const auto part = static_cast<size_t>(std::ranges::upper_bound(ends_, i) - ends_.begin());
    return {part, part ? i - ends_[part - 1] : i};
  }

  std::vector<std::unique_ptr<Documents>> parts_;
  std::vector<size_t> ends_;
};

void add_text(std::string_view text, const TextEncoding& encoding, MemoryDocuments& documents) {
  if (text.empty()) return;
  std::vector<TokenId> ids =
      encoding.tokenizer.encode(text, {.parse_special = false, .add_special = false});
  ids.push_back(encoding.document_end);
  documents.add(ids);
}

void add_json(const RawDocument& document, const std::string& place, const std::string& text_field,
              const TextEncoding& encoding, MemoryDocuments& documents) {
  const json::value row = json::parse(document.bytes, place);
  const json::ObjectReader reader(row, place);
  if (!reader.find("messages")) {
    add_text(reader.get_string(text_field), encoding, documents);
    return;
  }
  try {
    add_conversation(row.get_object(), encoding, documents);
  } catch (const Error& error) {
    fail(error.code(), place, ": ", error.what());
  }
}

}  // namespace

void add_conversation(const json::object& row, const TextEncoding& encoding,
                      MemoryDocuments& documents) {
  if (!encoding.chat_template) {
    fail(ErrorCode::kNotFound, "has messages, but the tokenizer's folder has no chat template");
  }
  const auto render = [&](const json::object& variables) {
    return encoding.chat_template->render(variables);
  };
  for (const ChatTurn& turn : chat_turns(row, render)) {
    std::vector<TokenId> ids = encoding.tokenizer.encode(turn.prompt);
    std::vector<uint8_t> counts(ids.size(), 0);
    const std::vector<TokenId> answer = encoding.tokenizer.encode(turn.answer);
    ids.insert(ids.end(), answer.begin(), answer.end());
    counts.resize(ids.size(), 1);
    documents.add(ids, counts);
  }
}

std::unique_ptr<Documents> load_documents(std::span<const std::string> files,
                                          const std::string& text_field,
                                          const TextEncoding& encoding) {
  std::vector<std::unique_ptr<Documents>> parts;
  for (const std::string& path : files) {
    if (read_file_start(path, kShardMagic.size()) == kShardMagic) {
      parts.push_back(std::make_unique<ShardDocuments>(path, encoding));
      continue;
    }
    auto documents = std::make_unique<MemoryDocuments>();
    DocumentReader reader({path}, TextUnit::kFile);
    for (RawDocument document; reader.next(document);) {
      if (document.is_json) {
        add_json(document, reader.place(document), text_field, encoding, *documents);
      } else {
        add_text(document.bytes, encoding, *documents);
      }
    }
    parts.push_back(std::move(documents));
  }
  if (parts.size() == 1) return std::move(parts[0]);
  return std::make_unique<JoinedDocuments>(std::move(parts));
}

}  // namespace axk1
