#include "engine/prefix_file.h"

#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr char kMagic[8] = {'A', 'X', 'K', '1', 'K', 'V', 'C', 1};
constexpr uint32_t kNoParent = UINT32_MAX;
constexpr size_t kMaxTenantBytes = 4096;

struct Header {
  char magic[8];
  uint64_t fingerprint;
  uint64_t block_tokens;
  uint64_t block_bytes;
  uint64_t num_records;
  uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(Header) == 48);

struct RecordHead {
  uint32_t parent;        // index of an earlier record, or kNoParent
  uint32_t tenant_bytes;  // 0 with a parent
};

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

uint64_t header_checksum(const Header& header) {
  return checksum64(bytes_of(header).first(offsetof(Header, checksum)));
}

struct Record {
  uint32_t parent;
  std::string_view tenant;
  std::span<const TokenId> tokens;
  std::span<const std::byte> data;
};

// Reads records one after the other; throws Error(kInvalidInput) at the first that is wrong.
class Reader {
 public:
  Reader(const std::string& path, std::span<const std::byte> bytes, const PrefixFileLayout& layout,
         size_t block_tokens)
      : path_(path), bytes_(bytes), block_bytes_(layout.block_bytes), tokens_(block_tokens) {
    Header header;
    std::memcpy(&header, take(sizeof header, "the header").data(), sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
      fail(ErrorCode::kInvalidInput, path, ": is not a prefix cache file of this version");
    }
    if (header.checksum != header_checksum(header)) {
      fail(ErrorCode::kInvalidInput, path, ": the header's checksum is wrong");
    }
    if (header.fingerprint != layout.fingerprint) {
      fail(ErrorCode::kInvalidInput, path,
           ": is of another model, cache type or kernel table (fingerprint ",
           checksum_text(header.fingerprint), ", expected ", checksum_text(layout.fingerprint),
           ")");
    }
    if (header.block_tokens != block_tokens || header.block_bytes != layout.block_bytes) {
      fail(ErrorCode::kInvalidInput, path, ": blocks of ", header.block_tokens, " tokens and ",
           header.block_bytes, " bytes, expected ", block_tokens, " and ", layout.block_bytes);
    }
    num_records_ = header.num_records;
  }

  std::optional<Record> next() {
    if (index_ == num_records_) {
      if (at_ != bytes_.size()) {
        fail(ErrorCode::kInvalidInput, path_, ": ", bytes_.size() - at_,
             " bytes follow the last record");
      }
      return std::nullopt;
    }
    const size_t start = at_;
    const std::string name = cat("record ", index_);
    RecordHead head;
    std::memcpy(&head, take(sizeof head, name).data(), sizeof head);
    const bool root = head.parent == kNoParent;
    if (head.tenant_bytes > (root ? kMaxTenantBytes : 0) || (!root && head.parent >= index_)) {
      fail(ErrorCode::kInvalidInput, path_, ": ", name, " is damaged: parent ", head.parent,
           ", tenant of ", head.tenant_bytes, " bytes");
    }
    const auto tenant = take(head.tenant_bytes, name);
    const auto tokens = take(tokens_.size() * sizeof(TokenId), name);
    std::memcpy(tokens_.data(), tokens.data(), tokens.size());
    const auto data = take(block_bytes_, name);
    const uint64_t found = checksum64(bytes_.subspan(start, at_ - start));
    uint64_t expected;
    std::memcpy(&expected, take(sizeof expected, name).data(), sizeof expected);
    if (found != expected) {
      fail(ErrorCode::kInvalidInput, path_, ": the checksum of ", name, " is wrong");
    }
    ++index_;
    return Record{.parent = head.parent,
                  .tenant = {reinterpret_cast<const char*>(tenant.data()), tenant.size()},
                  .tokens = tokens_,
                  .data = data};
  }

  uint64_t num_records() const { return num_records_; }

 private:
  std::span<const std::byte> take(size_t count, const std::string& what) {
    if (count > bytes_.size() - at_) {
      fail(ErrorCode::kInvalidInput, path_, ": ends within ", what);
    }
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }

  const std::string& path_;
  std::span<const std::byte> bytes_;
  size_t block_bytes_;
  std::vector<TokenId> tokens_;  // of the record read last
  uint64_t num_records_ = 0, index_ = 0;
  size_t at_ = 0;
};

}  // namespace

size_t save_prefix_file(const std::string& path, const BlockManager& blocks,
                        const PrefixFileLayout& layout, const BlockMemory& memory) {
  const std::vector<BlockManager::Published> published = blocks.published();
  AtomicFile file(path);
  uint64_t at = 0;
  Checksum64 sum;
  const auto put = [&](std::span<const std::byte> bytes) {
    file.write_at(at, bytes);
    sum.update(bytes);
    at += bytes.size();
  };
  Header header{.fingerprint = layout.fingerprint,
                .block_tokens = blocks.block_tokens(),
                .block_bytes = layout.block_bytes,
                .num_records = published.size()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.checksum = header_checksum(header);
  put(bytes_of(header));

  std::vector<uint32_t> record_of(blocks.num_blocks());
  for (size_t i = 0; i < published.size(); ++i) {
    const BlockManager::Published& block = published[i];
    record_of[block.block] = static_cast<uint32_t>(i);
    sum.reset();
    put(bytes_of(
        RecordHead{.parent = block.parent == kNoBlock ? kNoParent : record_of[block.parent],
                   .tenant_bytes = static_cast<uint32_t>(block.tenant.size())}));
    put(std::as_bytes(std::span(block.tenant)));
    put(std::as_bytes(block.tokens));
    put({memory(block.block), layout.block_bytes});
    put(bytes_of(sum.digest()));
  }
  file.commit();
  return published.size();
}

LoadedPrefixes read_prefixes(std::span<const std::byte> bytes, const std::string& source,
                             BlockManager& blocks, const PrefixFileLayout& layout,
                             const BlockMemory& memory) {
  LoadedPrefixes loaded;
  try {
    Reader check(source, bytes, layout, blocks.block_tokens());
    while (check.next()) continue;

    Reader reader(source, bytes, layout, blocks.block_tokens());
    std::vector<BlockId> block_of;
    while (const auto record = reader.next()) {
      const BlockId parent = record->parent == kNoParent ? kNoBlock : block_of[record->parent];
      BlockId block;
      if (blocks.restore(record->tenant, parent, record->tokens, block)) {
        std::memcpy(memory(block), record->data.data(), record->data.size());
        ++loaded.blocks;
      } else if (block == kNoBlock) {
        loaded.message = cat(source, ": ", loaded.blocks, " of ", reader.num_records(),
                             " blocks fit, the most recently used ones");
        break;
      }
      block_of.push_back(block);
    }
  } catch (const Error& error) {
    loaded.message = cat(error.what(), "; the prefix cache starts without it");
  }
  return loaded;
}

LoadedPrefixes load_prefix_file(const std::string& path, BlockManager& blocks,
                                const PrefixFileLayout& layout, const BlockMemory& memory) {
  if (!file_exists(path)) {
    return {.message = cat(path, ": is not there; the prefix cache starts empty")};
  }
  try {
    const MappedFile file(path);
    return read_prefixes(file.bytes(), path, blocks, layout, memory);
  } catch (const Error& error) {
    return {.message = cat(error.what(), "; the prefix cache starts without it")};
  }
}

}  // namespace axk1
