#include "engine/block_manager.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace axk1 {
namespace {

constexpr size_t kTokens = 4;  // of a block

std::vector<TokenId> tokens_of(std::initializer_list<int> blocks) {
  std::vector<TokenId> tokens;
  for (int b : blocks) tokens.insert(tokens.end(), kTokens, b);
  return tokens;
}

// Holds the blocks of a line: what is known, then new ones, published.
std::vector<BlockId> hold(BlockManager& blocks, const std::string& tenant,
                          const std::vector<TokenId>& tokens) {
  std::vector<BlockId> line;
  blocks.match(tenant, tokens, line);
  for (size_t i = line.size(); (i + 1) * kTokens <= tokens.size(); ++i) {
    const auto block = blocks.allocate();
    if (!block) break;
    line.push_back(blocks.publish(tenant, i ? line[i - 1] : kNoBlock,
                                  std::span(tokens).subspan(i * kTokens, kTokens), *block));
  }
  return line;
}

TEST(BlockManager, LinesThatBeginAlikeShareBlocks) {
  BlockManager blocks(8, kTokens);
  const auto first = hold(blocks, "t", tokens_of({1, 2, 3}));
  const auto second = hold(blocks, "t", tokens_of({1, 2, 4}));
  EXPECT_EQ(first[0], second[0]);
  EXPECT_EQ(first[1], second[1]);
  EXPECT_NE(first[2], second[2]);
  EXPECT_EQ(blocks.counts().held, 4u);
  // Of another tenant, or behind other tokens, the same tokens are something else.
  const auto other = hold(blocks, "u", tokens_of({1}));
  EXPECT_NE(other[0], first[0]);
  const auto behind = hold(blocks, "t", tokens_of({2}));
  EXPECT_NE(behind[0], first[1]);
  blocks.check_invariants();
}

TEST(BlockManager, TwoThatComputeTheSameEndUpWithOneBlock) {
  BlockManager blocks(4, kTokens);
  const auto tokens = tokens_of({1});
  const BlockId a = *blocks.allocate(), b = *blocks.allocate();
  EXPECT_EQ(blocks.publish("t", kNoBlock, tokens, a), a);
  EXPECT_EQ(blocks.publish("t", kNoBlock, tokens, b), a);
  EXPECT_EQ(blocks.counts().free, 3u);
  blocks.release({&a, 1});
  EXPECT_EQ(blocks.counts().held, 1u);
  blocks.release({&a, 1});
  EXPECT_EQ(blocks.counts().cached, 1u);
  blocks.check_invariants();
}

TEST(BlockManager, TheLeastRecentlyUsedGoesFirstAndChildrenBeforeParents) {
  BlockManager blocks(4, kTokens);
  const auto old_line = hold(blocks, "t", tokens_of({1, 2}));
  blocks.release(old_line);
  const auto new_line = hold(blocks, "t", tokens_of({3, 4}));
  blocks.release(new_line);
  EXPECT_EQ(blocks.allocate(), old_line[1]);
  EXPECT_EQ(blocks.allocate(), old_line[0]);
  std::vector<BlockId> found;
  blocks.match("t", tokens_of({3, 4}), found);
  EXPECT_EQ(found, new_line);
  EXPECT_EQ(blocks.allocate(), std::nullopt);
  EXPECT_EQ(blocks.counts().evicted_blocks, 2u);
  blocks.check_invariants();
}

TEST(BlockManager, EqualHashesAreToldApartByTokens) {
  BlockManager blocks(64, kTokens, 1);  // two hashes for everything
  std::vector<std::vector<BlockId>> lines;
  for (int i = 0; i < 20; ++i) lines.push_back(hold(blocks, "t", tokens_of({i, 100 + i})));
  EXPECT_EQ(blocks.counts().held, 40u);
  for (int i = 0; i < 20; ++i) {
    std::vector<BlockId> found;
    blocks.match("t", tokens_of({i, 100 + i, 7}), found);
    EXPECT_EQ(found, lines[static_cast<size_t>(i)]);
    found.clear();
    blocks.match("u", tokens_of({i}), found);
    EXPECT_TRUE(found.empty());
  }
}

// Random holders of lines over a small alphabet, against a plain record of what each block means.
TEST(BlockManager, RandomOperations) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Rng rng(seed);
    const size_t num_blocks = 5 + rng.next() % 30;
    BlockManager blocks(num_blocks, kTokens, seed % 2 ? 1 : UINT64_MAX);
    std::map<BlockId, std::pair<std::string, std::vector<TokenId>>> meaning;  // whole line to there
    struct Holder {
      std::string tenant;
      std::vector<TokenId> tokens;
      std::vector<BlockId> blocks;
    };
    std::vector<Holder> holders;
    for (int op = 0; op < 3000; ++op) {
      if (rng.next() % 2 || holders.empty()) {
        Holder h{.tenant = std::string(1, static_cast<char>('a' + rng.next() % 2))};
        for (size_t i = 1 + rng.next() % 6; i > 0; --i) {
          h.tokens.insert(h.tokens.end(), kTokens, static_cast<TokenId>(rng.next() % 3));
        }
        blocks.match(h.tenant, h.tokens, h.blocks);
        for (size_t i = 0; i < h.blocks.size(); ++i) {
          const std::vector<TokenId> line(
              h.tokens.begin(), h.tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * kTokens));
          ASSERT_EQ(meaning[h.blocks[i]], std::pair(h.tenant, line)) << "found a wrong block";
        }
        while (h.blocks.size() * kTokens < h.tokens.size()) {
          const size_t available = blocks.available(), i = h.blocks.size();
          const auto block = blocks.allocate();
          ASSERT_EQ(block.has_value(), available > 0);
          if (!block) break;
          h.blocks.push_back(blocks.publish(h.tenant, i ? h.blocks[i - 1] : kNoBlock,
                                            std::span(h.tokens).subspan(i * kTokens, kTokens),
                                            *block));
          meaning[h.blocks.back()] = {
              h.tenant,
              {h.tokens.begin(),
               h.tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * kTokens)}};
        }
        holders.push_back(std::move(h));
      } else {
        const size_t i = rng.next() % holders.size();
        blocks.release(holders[i].blocks);
        holders.erase(holders.begin() + static_cast<std::ptrdiff_t>(i));
      }
      blocks.check_invariants();
    }
    for (const Holder& h : holders) blocks.release(h.blocks);
    blocks.check_invariants();
    EXPECT_EQ(blocks.counts().held, 0u);
    blocks.clear_cached();
    blocks.check_invariants();
    EXPECT_EQ(blocks.counts().free, num_blocks);
  }
}

}  // namespace
}  // namespace axk1
