#include "engine/prefix_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "io/checksum.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

constexpr size_t kTokens = 4, kBytes = 24, kBlocks = 6;
constexpr PrefixFileLayout kLayout{.fingerprint = 0x1234, .block_bytes = kBytes};

// Some blocks and their memory, filled with what each stands for.
struct Cache {
  explicit Cache(size_t num_blocks = kBlocks)
      : blocks(num_blocks, kTokens), memory(num_blocks * kBytes) {}

  BlockMemory at() {
    return [this](BlockId id) { return memory.data() + id * kBytes; };
  }
  // A line of blocks; the bytes of each are its last token.
  void add(const std::string& tenant, const std::vector<TokenId>& firsts) {
    std::vector<BlockId> line;
    for (TokenId first : firsts) {
      const std::vector<TokenId> tokens(kTokens, first);
      const BlockId block = *blocks.allocate();
      std::memset(at()(block), first, kBytes);
      line.push_back(blocks.publish(tenant, line.empty() ? kNoBlock : line.back(), tokens, block));
    }
    blocks.release(line);
  }
  // Blocks that are found for such a line, with the right bytes in each.
  size_t found(const std::string& tenant, const std::vector<TokenId>& firsts) {
    std::vector<TokenId> tokens;
    for (TokenId first : firsts) tokens.insert(tokens.end(), kTokens, first);
    std::vector<BlockId> line;
    blocks.match(tenant, tokens, line);
    for (size_t i = 0; i < line.size(); ++i) {
      EXPECT_EQ(*at()(line[i]), static_cast<std::byte>(firsts[i]));
      EXPECT_EQ(*(at()(line[i]) + kBytes - 1), static_cast<std::byte>(firsts[i]));
    }
    blocks.release(line);
    return line.size();
  }

  BlockManager blocks;
  std::vector<std::byte> memory;
};

class PrefixFile : public ::testing::Test {
 protected:
  PrefixFile() : path_(dir_.path() + "/prefixes.kv") {
    Cache cache;
    cache.add("old", {1, 2});
    cache.add("new", {3, 4, 5});
    EXPECT_EQ(save_prefix_file(path_, cache.blocks, kLayout, cache.at()), 5u);
    bytes_ = read_file(path_);
  }

  // What is said of these bytes; nothing must have been taken.
  std::string refusal(const std::string& bytes, const PrefixFileLayout& layout = kLayout) {
    dir_.write("prefixes.kv", bytes);
    Cache cache;
    const LoadedPrefixes loaded = load_prefix_file(path_, cache.blocks, layout, cache.at());
    EXPECT_EQ(loaded.blocks, 0u);
    EXPECT_EQ(cache.blocks.counts().free, kBlocks);
    EXPECT_THAT(loaded.message, HasSubstr(path_));
    return loaded.message;
  }
  static void fix_header(std::string& bytes) {
    const uint64_t sum = checksum64(std::string_view(bytes).substr(0, 40));
    std::memcpy(bytes.data() + 40, &sum, sizeof sum);
  }

  testing::TempDir dir_;
  std::string path_, bytes_;
};

TEST_F(PrefixFile, ComesBackAsItWas) {
  Cache cache;
  const LoadedPrefixes loaded = load_prefix_file(path_, cache.blocks, kLayout, cache.at());
  EXPECT_EQ(loaded.blocks, 5u);
  EXPECT_EQ(loaded.message, "");
  cache.blocks.check_invariants();
  EXPECT_EQ(cache.found("old", {1, 2, 9}), 2u);
  EXPECT_EQ(cache.found("new", {3, 4, 5}), 3u);
  EXPECT_EQ(cache.found("new", {1}), 0u);
}

TEST_F(PrefixFile, OrderOfUseIsKept) {
  Cache cache;
  load_prefix_file(path_, cache.blocks, kLayout, cache.at());
  for (int i = 0; i < 3; ++i) cache.blocks.allocate();  // one free one, then two evicted
  EXPECT_EQ(cache.found("old", {1, 2}), 0u);
  EXPECT_EQ(cache.found("new", {3, 4, 5}), 3u);
}

TEST_F(PrefixFile, WhatDoesNotFitIsTheLeastRecentlyUsed) {
  Cache cache(4);
  const LoadedPrefixes loaded = load_prefix_file(path_, cache.blocks, kLayout, cache.at());
  EXPECT_EQ(loaded.blocks, 4u);
  EXPECT_THAT(loaded.message, HasSubstr("4 of 5 blocks fit"));
  cache.blocks.check_invariants();
  EXPECT_EQ(cache.found("new", {3, 4, 5}), 3u);
  EXPECT_EQ(cache.found("old", {1, 2}), 1u);
}

TEST_F(PrefixFile, LoadingTwiceTakesNothingTwice) {
  Cache cache;
  load_prefix_file(path_, cache.blocks, kLayout, cache.at());
  EXPECT_EQ(load_prefix_file(path_, cache.blocks, kLayout, cache.at()).blocks, 0u);
  cache.blocks.check_invariants();
  EXPECT_EQ(cache.blocks.counts().cached, 5u);
}

TEST_F(PrefixFile, AbsentFile) {
  Cache cache;
  EXPECT_THAT(load_prefix_file(dir_.path() + "/none", cache.blocks, kLayout, cache.at()).message,
              HasSubstr("is not there"));
}

TEST_F(PrefixFile, EveryTruncationIsRefused) {
  for (size_t n = 0; n < bytes_.size(); ++n) {
    EXPECT_THAT(refusal(bytes_.substr(0, n)), HasSubstr("ends within")) << n;
  }
}

TEST_F(PrefixFile, EveryFlippedBitIsRefused) {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    std::string damaged = bytes_;
    damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
    EXPECT_NE(refusal(damaged), "") << "byte " << i;
  }
}

TEST_F(PrefixFile, BytesBehindTheEnd) {
  EXPECT_THAT(refusal(bytes_ + "x"), HasSubstr("1 bytes follow"));
}

TEST_F(PrefixFile, AnotherModelOrCacheType) {
  EXPECT_THAT(refusal(bytes_, {.fingerprint = 0x1235, .block_bytes = kBytes}),
              HasSubstr("another model"));
  EXPECT_THAT(refusal(bytes_, {.fingerprint = 0x1234, .block_bytes = kBytes + 8}),
              HasSubstr("blocks of 4 tokens and 24 bytes"));
}

TEST_F(PrefixFile, AnotherFormat) {
  EXPECT_THAT(refusal(std::string(200, 'x')), HasSubstr("not a prefix cache file"));
}

// Lengths that lie, with checksums that fit.
TEST_F(PrefixFile, LyingCounts) {
  std::string more = bytes_;
  const uint64_t huge = uint64_t{1} << 60;
  std::memcpy(more.data() + 32, &huge, sizeof huge);
  fix_header(more);
  EXPECT_THAT(refusal(more), HasSubstr("ends within record 5"));
  std::string fewer = bytes_;
  const uint64_t four = 4;
  std::memcpy(fewer.data() + 32, &four, sizeof four);
  fix_header(fewer);
  EXPECT_THAT(refusal(fewer), HasSubstr("bytes follow the last record"));
  for (const auto& [at, value] : {std::pair{48, 0u}, std::pair{48, 7u}, std::pair{52, 1u << 30}}) {
    std::string bad = bytes_;  // the first record: its own parent, a later one, a huge name
    std::memcpy(bad.data() + at, &value, sizeof value);
    EXPECT_THAT(refusal(bad), HasSubstr("record 0 is damaged"));
  }
}

TEST_F(PrefixFile, PlacesThatCannotBeWritten) {
  Cache cache;
  EXPECT_THROW(save_prefix_file(dir_.path(), cache.blocks, kLayout, cache.at()), Error);
  EXPECT_THROW(save_prefix_file(dir_.path() + "/no/such/place", cache.blocks, kLayout, cache.at()),
               Error);
}

}  // namespace
}  // namespace axk1
