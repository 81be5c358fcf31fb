// Which blocks of the cache are free, held, or kept because another request may begin alike. Pure
// bookkeeping: the memory itself is somebody else's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace axk1 {

using BlockId = uint32_t;
inline constexpr BlockId kNoBlock = UINT32_MAX;

// Every block is in one of three states: free; held by references; or cached, which is published
// and held by nobody, to be reused until it is the least recently used one when memory is wanted.
//
// Published blocks form a forest: a root is the first block_tokens tokens of some tenant's
// requests, a child goes on where its parent ends. A holder of a block holds its parents too, and
// lets go of children first, so that a parent is always used more recently than its children and
// the least recently used block has none.
//
// Nothing is allocated after construction but the names of tenants. One thread at a time.
class BlockManager {
 public:
  struct Counts {
    size_t free = 0, held = 0, cached = 0;
    uint64_t queried_tokens = 0, found_tokens = 0, evicted_blocks = 0;
  };
  struct Published {
    BlockId block;
    BlockId parent;  // kNoBlock: a root
    std::string_view tenant;
    std::span<const TokenId> tokens;  // [block_tokens]
  };

  // hash_mask thins out hashes, so that tests see what equal ones do.
  BlockManager(size_t num_blocks, size_t block_tokens, uint64_t hash_mask = UINT64_MAX);

  // Memory of the bookkeeping, about.
  static size_t bytes_per_block(size_t block_tokens) {
    return sizeof(Block) + block_tokens * sizeof(TokenId) + 48;  // an entry of the index
  }

  size_t num_blocks() const { return blocks_.size(); }
  size_t block_tokens() const { return block_tokens_; }
  size_t available() const { return free_.size() + num_cached_; }  // for allocate()
  Counts counts() const;

  // Appends the published blocks that this tenant's `tokens` begin with, as many as there are, and
  // takes a reference to each.
  void match(std::string_view tenant, std::span<const TokenId> tokens,
             std::vector<BlockId>& blocks);

  // A block with one reference; the least recently used cached one when none is free. Nothing when
  // every block is held.
  std::optional<BlockId> allocate();

  // Gives back one reference of each: a sequence's blocks from its first on, or from some block on.
  void release(std::span<const BlockId> blocks);

  // The held block now has these tokens [block_tokens] and follows `parent` (kNoBlock: is the
  // first), which is published and held. When another block says the same already, the reference
  // moves to that one. Returns the block that is held now.
  BlockId publish(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
                  BlockId block);

  // Every published block, parents before children, else the most recently used first.
  std::vector<Published> published() const;

  // Makes a free block a cached one, the least recently used of all; its parent is published. False
  // when no block is free or one says the same already; `block` is then the latter, or kNoBlock.
  bool restore(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
               BlockId& block);
  // Frees every cached block.
  void clear_cached();

  // Fails a check when anything contradicts anything else; slow, for tests.
  void check_invariants() const;

 private:
  struct Block {
    uint32_t references = 0;
    uint32_t depth = 0;         // parents above
    uint32_t num_children = 0;  // published ones
    bool is_published = false;
    BlockId parent = kNoBlock;
    BlockId older = kNoBlock, newer = kNoBlock;  // neighbours among the cached
    uint64_t hash = 0;
    std::string tenant;  // of a root
  };
  uint64_t hash_of(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens) const;
  BlockId find(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
               uint64_t hash) const;
  void hold(BlockId id);
  void enter(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
             uint64_t hash, BlockId id);
  void unpublish(BlockId id);
  void link_newest(BlockId id);
  void link_oldest(BlockId id);
  void unlink(BlockId id);
  std::span<const TokenId> tokens_of(BlockId id) const {
    return std::span(tokens_).subspan(id * block_tokens_, block_tokens_);
  }

  size_t block_tokens_;
  uint64_t hash_mask_;
  std::vector<Block> blocks_;
  std::vector<TokenId> tokens_;  // [blocks, block_tokens] of published ones
  std::vector<BlockId> free_;
  std::unordered_multimap<uint64_t, BlockId> index_;  // by hash; equality is decided by tokens
  BlockId oldest_ = kNoBlock, newest_ = kNoBlock;
  size_t num_cached_ = 0;
  uint64_t queried_tokens_ = 0, found_tokens_ = 0, evicted_blocks_ = 0;
};

}  // namespace axk1
