#include "data/token_shard.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr char kMagic[8] = {'A', 'X', 'K', '1', 'T', 'O', 'K', 'S'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kLossMask = 1;  // flags
constexpr uint64_t kMaxVocab = uint64_t{kMaxTokenId} + 1;
constexpr size_t kBufferBytes = 1 << 20;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t id_bytes;  // 2 or 4
  uint64_t flags;
  uint64_t vocab_size;
  uint64_t tokenizer_hash;
  uint64_t num_tokens;
  uint64_t num_documents;
  uint64_t ids_checksum;
  uint64_t ends_checksum;
  uint64_t mask_checksum;
  uint64_t reserved[5];  // zero
  uint64_t checksum;     // of the bytes before
};
static_assert(sizeof(Header) == 128);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

uint64_t header_checksum(const Header& header) {
  return checksum64(bytes_of(header).first(offsetof(Header, checksum)));
}

size_t id_bytes_for(uint64_t vocab_size) {
  return vocab_size <= 0x10000 ? 2 : 4;
}

// Sections begin at multiples of 8 bytes.
struct Layout {
  uint64_t ids_bytes, ends_begin, ends_bytes, mask_begin, mask_bytes, file_bytes;
};

// Nothing on overflow.
std::optional<Layout> layout_of(uint64_t num_tokens, uint64_t id_bytes, uint64_t num_documents,
                                bool mask) {
  constexpr uint64_t kLimit = uint64_t{1} << 60;
  const auto ids_bytes = checked_mul(num_tokens, id_bytes);
  const auto ends_bytes = checked_mul(num_documents, 8);
  if (!ids_bytes || !ends_bytes || *ids_bytes > kLimit || *ends_bytes > kLimit) return std::nullopt;
  Layout layout{.ids_bytes = *ids_bytes, .ends_bytes = *ends_bytes};
  layout.ends_begin = sizeof(Header) + round_up(layout.ids_bytes, 8);
  layout.mask_begin = layout.ends_begin + layout.ends_bytes;
  layout.mask_bytes = mask ? ceil_div(num_tokens, 8) : 0;
  layout.file_bytes = layout.mask_begin + layout.mask_bytes;
  return layout;
}

void check_sum(const std::string& source, const char* part, uint64_t found, uint64_t expected) {
  if (found == expected) return;
  fail(ErrorCode::kInvalidInput, source, ": ", part, " is damaged: found checksum ",
       checksum_text(found), ", expected ", checksum_text(expected));
}

}  // namespace

TokenShardWriter::TokenShardWriter(const std::string& path, const TokenShardOptions& options)
    : file_(path), options_(options), id_bytes_(id_bytes_for(options.vocab_size)) {
  if (options.vocab_size < 1 || options.vocab_size > kMaxVocab) {
    fail(ErrorCode::kInvalidInput, path, ": a vocabulary of ", options.vocab_size,
         " tokens, expected 1 to ", kMaxVocab);
  }
  buffer_.reserve(kBufferBytes);
}

void TokenShardWriter::add(std::span<const TokenId> ids, std::span<const uint8_t> loss) {
  AXK1_CHECK(!ids.empty());
  AXK1_CHECK(loss.size() == (options_.loss_mask ? ids.size() : 0));
  for (TokenId id : ids) {
    if (id < 0 || static_cast<uint64_t>(id) >= options_.vocab_size) {
      fail(ErrorCode::kInvalidInput, file_.path(), ": found token id ", id, ", expected 0 to ",
           options_.vocab_size - 1);
    }
  }
  for (TokenId id : ids) {
    if (buffer_.size() + sizeof id > kBufferBytes) flush();
    const auto* bytes = reinterpret_cast<const std::byte*>(&id);
    buffer_.insert(buffer_.end(), bytes, bytes + id_bytes_);  // little-endian
  }
  mask_.resize(ceil_div(num_tokens_ + loss.size(), 8) * options_.loss_mask);
  for (size_t i = 0; i < loss.size(); ++i) {
    const uint64_t at = num_tokens_ + i;
    if (loss[i]) mask_[at / 8] = static_cast<uint8_t>(mask_[at / 8] | 1u << at % 8);
  }
  num_tokens_ += ids.size();
  ends_.push_back(num_tokens_);
}

void TokenShardWriter::flush() {
  file_.write_at(sizeof(Header) + written_, buffer_);
  ids_checksum_.update(buffer_);
  written_ += buffer_.size();
  buffer_.clear();
}

void TokenShardWriter::finish() {
  const Layout layout = layout_of(num_tokens_, id_bytes_, ends_.size(), options_.loss_mask).value();
  buffer_.resize(buffer_.size() + (layout.ends_begin - sizeof(Header) - layout.ids_bytes));
  flush();
  const auto ends = std::as_bytes(std::span(ends_)), mask = std::as_bytes(std::span(mask_));
  file_.write_at(layout.ends_begin, ends);
  file_.write_at(layout.mask_begin, mask);
  Header header{.version = kVersion,
                .id_bytes = static_cast<uint32_t>(id_bytes_),
                .flags = options_.loss_mask ? kLossMask : 0,
                .vocab_size = options_.vocab_size,
                .tokenizer_hash = options_.tokenizer_hash,
                .num_tokens = num_tokens_,
                .num_documents = ends_.size(),
                .ids_checksum = ids_checksum_.digest(),
                .ends_checksum = checksum64(ends),
                .mask_checksum = checksum64(mask)};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.checksum = header_checksum(header);
  file_.write_at(0, bytes_of(header));
  file_.commit();
}

TokenShard TokenShard::open(const std::string& path) {
  MappedFile file(path);
  TokenShard shard(file.bytes(), path);
  shard.file_ = std::move(file);  // the bytes stay where they are
  return shard;
}

TokenShard::TokenShard(std::span<const std::byte> bytes, std::string source)
    : source_(std::move(source)) {
  const auto refuse = [&](const auto&... parts) {
    fail(ErrorCode::kInvalidInput, source_, ": ", parts...);
  };
  Header header;
  if (bytes.size() < sizeof header) {
    refuse("found ", bytes.size(), " bytes, expected a token shard of at least ", sizeof header);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    refuse("is no token shard: begins with \"",
           printable({reinterpret_cast<const char*>(bytes.data()), sizeof kMagic}),
           "\", expected \"AXK1TOKS\"");
  }
  if (header.version != kVersion) {
    fail(ErrorCode::kUnsupported, source_, ": token shard of version ", header.version,
         ", expected ", kVersion);
  }
  check_sum(source_, "the header", header_checksum(header), header.checksum);
  if (header.vocab_size < 1 || header.vocab_size > kMaxVocab) {
    refuse("a vocabulary of ", header.vocab_size, " tokens, expected 1 to ", kMaxVocab);
  }
  if (header.id_bytes != id_bytes_for(header.vocab_size)) {
    refuse("ids of ", header.id_bytes, " bytes, expected ", id_bytes_for(header.vocab_size),
           " with a vocabulary of ", header.vocab_size);
  }
  if (header.flags > kLossMask ||
      std::ranges::any_of(header.reserved, [](uint64_t word) { return word != 0; })) {
    refuse("found flags or fields that version ", kVersion, " does not have");
  }
  const bool mask = header.flags & kLossMask;
  const auto layout = layout_of(header.num_tokens, header.id_bytes, header.num_documents, mask);
  if (!layout || layout->file_bytes != bytes.size()) {
    refuse("found ", bytes.size(), " bytes, expected ",
           layout ? cat(layout->file_bytes) : std::string("more than a file can have"), " with ",
           header.num_tokens, " tokens in ", header.num_documents, " documents");
  }
  ids_ = bytes.subspan(sizeof header, layout->ends_begin - sizeof header);
  ends_ = bytes.subspan(layout->ends_begin, layout->ends_bytes);
  mask_ = bytes.subspan(layout->mask_begin, layout->mask_bytes);
  check_sum(source_, "the list of documents", checksum64(ends_), header.ends_checksum);
  id_bytes_ = header.id_bytes;
  num_tokens_ = header.num_tokens;
  num_documents_ = header.num_documents;
  vocab_size_ = header.vocab_size;
  tokenizer_hash_ = header.tokenizer_hash;
  ids_checksum_ = header.ids_checksum;
  mask_checksum_ = header.mask_checksum;
  uint64_t end = 0;
  for (uint64_t i = 0; i < num_documents_; ++i) {
    const uint64_t begin = std::exchange(end, document_end(i));
    if (end <= begin || end > num_tokens_) {
      refuse("document ", i, " is tokens ", begin, " to ", end, " of ", num_tokens_,
             ", expected at least one");
    }
  }
  if (end != num_tokens_) refuse("documents end at token ", end, ", expected ", num_tokens_);
}

uint64_t TokenShard::document_end(uint64_t i) const {
  AXK1_CHECK(i < num_documents_);
  uint64_t end;
  std::memcpy(&end, ends_.data() + i * sizeof end, sizeof end);
  return end;
}

void TokenShard::copy_ids(uint64_t begin, std::span<TokenId> out) const {
  AXK1_CHECK(begin <= num_tokens_ && out.size() <= num_tokens_ - begin);
  const std::byte* from = ids_.data() + begin * id_bytes_;
  uint32_t highest = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    uint32_t id = 0;
    if (id_bytes_ == 2) {
      uint16_t narrow;
      std::memcpy(&narrow, from + i * 2, 2);
      id = narrow;
    } else {
      std::memcpy(&id, from + i * 4, 4);
    }
    highest = std::max(highest, id);
    out[i] = static_cast<TokenId>(id);
  }
  if (highest >= vocab_size_) {
    fail(ErrorCode::kInvalidInput, source_, ": found token id ", highest, " among tokens ", begin,
         " to ", begin + out.size(), ", expected 0 to ", vocab_size_ - 1);
  }
}

void TokenShard::copy_loss(uint64_t begin, std::span<uint8_t> out) const {
  AXK1_CHECK(begin <= num_tokens_ && out.size() <= num_tokens_ - begin);
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t at = begin + i;
    out[i] = mask_.empty() || (std::to_integer<unsigned>(mask_[at / 8]) >> at % 8 & 1);
  }
}

std::vector<TokenId> TokenShard::document(uint64_t i) const {
  const uint64_t begin = document_begin(i);
  std::vector<TokenId> ids(document_end(i) - begin);
  copy_ids(begin, ids);
  return ids;
}

void TokenShard::verify() const {
  check_sum(source_, "the list of ids", checksum64(ids_), ids_checksum_);
  check_sum(source_, "the loss mask", checksum64(mask_), mask_checksum_);
  std::vector<TokenId> ids;
  constexpr uint64_t kTokensAtOnce = 1 << 16;
  for (uint64_t at = 0; at < num_tokens_; at += ids.size()) {
    ids.resize(std::min(kTokensAtOnce, num_tokens_ - at));
    copy_ids(at, ids);
  }
}

}  // namespace axk1
