#include "engine/block_manager.h"

#include <algorithm>

#include "base/check.h"
#include "io/checksum.h"

namespace axk1 {

BlockManager::BlockManager(size_t num_blocks, size_t block_tokens, uint64_t hash_mask)
    : block_tokens_(block_tokens),
      hash_mask_(hash_mask),
      blocks_(num_blocks),
      tokens_(num_blocks * block_tokens) {
  AXK1_CHECK(block_tokens > 0 && num_blocks < kNoBlock);
  free_.reserve(num_blocks);
  for (size_t i = num_blocks; i-- > 0;) free_.push_back(static_cast<BlockId>(i));
  index_.reserve(num_blocks);
}

BlockManager::Counts BlockManager::counts() const {
  return {.free = free_.size(),
          .held = blocks_.size() - free_.size() - num_cached_,
          .cached = num_cached_,
          .queried_tokens = queried_tokens_,
          .found_tokens = found_tokens_,
          .evicted_blocks = evicted_blocks_};
}

uint64_t BlockManager::hash_of(std::string_view tenant, BlockId parent,
                               std::span<const TokenId> tokens) const {
  // A parent stands for all that precedes: its own hash goes into the child's.
  const uint64_t before =
      parent == kNoBlock ? checksum64(tenant) : blocks_[parent].hash ^ 0x9e3779b97f4a7c15u;
  const uint64_t own = checksum64(std::as_bytes(tokens));
  return (before * 0xff51afd7ed558ccdu + own) & hash_mask_;
}

BlockId BlockManager::find(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
                           uint64_t hash) const {
  const auto [first, last] = index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Block& block = blocks_[it->second];
    if (block.parent != parent || (parent == kNoBlock && block.tenant != tenant)) continue;
    const auto known = tokens_of(it->second);
    if (std::equal(known.begin(), known.end(), tokens.begin())) return it->second;
  }
  return kNoBlock;
}

void BlockManager::match(std::string_view tenant, std::span<const TokenId> tokens,
                         std::vector<BlockId>& blocks) {
  queried_tokens_ += tokens.size();
  BlockId parent = kNoBlock;
  for (size_t at = 0; at + block_tokens_ <= tokens.size(); at += block_tokens_) {
    const auto part = tokens.subspan(at, block_tokens_);
    const BlockId id = find(tenant, parent, part, hash_of(tenant, parent, part));
    if (id == kNoBlock) break;
    hold(id);
    blocks.push_back(id);
    found_tokens_ += block_tokens_;
    parent = id;
  }
}

void BlockManager::hold(BlockId id) {
  if (blocks_[id].references++ == 0) unlink(id);
}

std::optional<BlockId> BlockManager::allocate() {
  BlockId id;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (oldest_ != kNoBlock) {
    id = oldest_;
    unlink(id);
    unpublish(id);
    ++evicted_blocks_;
  } else {
    return std::nullopt;
  }
  blocks_[id].references = 1;
  return id;
}

void BlockManager::release(std::span<const BlockId> blocks) {
  for (size_t i = blocks.size(); i-- > 0;) {
    Block& block = blocks_[blocks[i]];
    AXK1_CHECK(block.references > 0);
    if (--block.references > 0) continue;
    if (block.is_published) {
      link_newest(blocks[i]);
    } else {
      free_.push_back(blocks[i]);
    }
  }
}

void BlockManager::enter(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
                         uint64_t hash, BlockId id) {
  Block& block = blocks_[id];
  block.is_published = true;
  block.parent = parent;
  block.depth = parent == kNoBlock ? 0 : blocks_[parent].depth + 1;
  block.hash = hash;
  if (parent == kNoBlock) {
    block.tenant = tenant;
  } else {
    ++blocks_[parent].num_children;
  }
  std::copy(tokens.begin(), tokens.end(),
            tokens_.begin() + static_cast<std::ptrdiff_t>(id * block_tokens_));
  index_.emplace(hash, id);
}

void BlockManager::unpublish(BlockId id) {
  Block& block = blocks_[id];
  AXK1_CHECK(block.num_children == 0);
  const auto [first, last] = index_.equal_range(block.hash);
  const auto it = std::find_if(first, last, [&](const auto& entry) { return entry.second == id; });
  AXK1_CHECK(it != last);
  index_.erase(it);
  if (block.parent != kNoBlock) --blocks_[block.parent].num_children;
  block = Block();
}

BlockId BlockManager::publish(std::string_view tenant, BlockId parent,
                              std::span<const TokenId> tokens, BlockId block) {
  AXK1_CHECK(tokens.size() == block_tokens_ && blocks_[block].references == 1);
  AXK1_CHECK(!blocks_[block].is_published);
  AXK1_CHECK(parent == kNoBlock ||
             (blocks_[parent].is_published && blocks_[parent].references > 0));
  const uint64_t hash = hash_of(tenant, parent, tokens);
  if (const BlockId known = find(tenant, parent, tokens, hash); known != kNoBlock) {
    hold(known);
    release({&block, 1});
    return known;
  }
  enter(tenant, parent, tokens, hash, block);
  return block;
}

bool BlockManager::restore(std::string_view tenant, BlockId parent, std::span<const TokenId> tokens,
                           BlockId& block) {
  AXK1_CHECK(tokens.size() == block_tokens_);
  AXK1_CHECK(parent == kNoBlock || blocks_[parent].is_published);
  const uint64_t hash = hash_of(tenant, parent, tokens);
  block = find(tenant, parent, tokens, hash);
  if (block != kNoBlock || free_.empty()) return false;
  block = free_.back();
  free_.pop_back();
  enter(tenant, parent, tokens, hash, block);
  link_oldest(block);
  return true;
}

void BlockManager::clear_cached() {
  while (oldest_ != kNoBlock) {
    const BlockId id = oldest_;
    unlink(id);
    unpublish(id);
    free_.push_back(id);
  }
}

std::vector<BlockManager::Published> BlockManager::published() const {
  std::vector<BlockId> order;
  for (BlockId id = 0; id < blocks_.size(); ++id) {
    if (blocks_[id].is_published && blocks_[id].references) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](BlockId a, BlockId b) { return blocks_[a].depth < blocks_[b].depth; });
  for (BlockId id = newest_; id != kNoBlock; id = blocks_[id].older) order.push_back(id);
  std::vector<Published> all;
  all.reserve(order.size());
  for (BlockId id : order) {
    all.push_back({id, blocks_[id].parent, blocks_[id].tenant, tokens_of(id)});
  }
  return all;
}

void BlockManager::link_newest(BlockId id) {
  Block& block = blocks_[id];
  block.older = newest_;
  block.newer = kNoBlock;
  (newest_ == kNoBlock ? oldest_ : blocks_[newest_].newer) = id;
  newest_ = id;
  ++num_cached_;
}

void BlockManager::link_oldest(BlockId id) {
  Block& block = blocks_[id];
  block.newer = oldest_;
  block.older = kNoBlock;
  (oldest_ == kNoBlock ? newest_ : blocks_[oldest_].older) = id;
  oldest_ = id;
  ++num_cached_;
}

void BlockManager::unlink(BlockId id) {
  Block& block = blocks_[id];
  if (!block.is_published) return;
  (block.older == kNoBlock ? oldest_ : blocks_[block.older].newer) = block.newer;
  (block.newer == kNoBlock ? newest_ : blocks_[block.newer].older) = block.older;
  block.older = block.newer = kNoBlock;
  --num_cached_;
}

void BlockManager::check_invariants() const {
  std::vector<size_t> seen(blocks_.size());
  for (BlockId id : free_) {
    ++seen[id];
    AXK1_CHECK(!blocks_[id].is_published && blocks_[id].references == 0);
  }
  size_t cached = 0;
  std::vector<size_t> age(blocks_.size());  // 0: held, else 1 for the newest cached one, ..
  for (BlockId id = newest_; id != kNoBlock; id = blocks_[id].older) {
    ++seen[id];
    age[id] = ++cached;
    AXK1_CHECK(blocks_[id].is_published && blocks_[id].references == 0);
  }
  AXK1_CHECK(cached == num_cached_);
  size_t published = 0;
  std::vector<size_t> children(blocks_.size());
  for (BlockId id = 0; id < blocks_.size(); ++id) {
    const Block& block = blocks_[id];
    AXK1_CHECK(seen[id] == (block.references == 0 ? 1u : 0u));
    if (!block.is_published) continue;
    ++published;
    AXK1_CHECK(find(block.tenant, block.parent, tokens_of(id), block.hash) == id);
    if (block.parent == kNoBlock) continue;
    ++children[block.parent];
    const Block& parent = blocks_[block.parent];
    AXK1_CHECK(parent.is_published && parent.depth + 1 == block.depth);
    AXK1_CHECK(block.references == 0 || parent.references > 0);
    AXK1_CHECK(age[block.parent] <= age[id]);
  }
  AXK1_CHECK(published == index_.size());
  for (BlockId id = 0; id < blocks_.size(); ++id) {
    AXK1_CHECK(children[id] == blocks_[id].num_children);
  }
}

}  // namespace axk1
