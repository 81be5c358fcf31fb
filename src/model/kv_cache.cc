#include "model/kv_cache.h"

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {
namespace {

// Of one buffer, where the cache is that large already: enough for huge pages, which attention,
// reading a few bytes of every row at a time, needs more than the weights do.
constexpr size_t kGrowthBytes = size_t{4} << 20;

}  // namespace

KvCache::KvCache(const ModelConfig& config, CacheDType dtype, size_t num_mtp_layers)
    : num_layers_(static_cast<size_t>(config.num_hidden_layers) + num_mtp_layers),
      row_bytes_(latent_row_bytes(dtype, {.lora = static_cast<size_t>(config.kv_lora_rank),
                                          .rope = static_cast<size_t>(config.qk_rope_head_dim)})),
      dtype_(dtype),
      blocks_(num_layers_) {}

void KvCache::reserve(size_t num_tokens) {
  if (num_tokens <= capacity()) return;
  AXK1_CHECK(!buffers_.empty() || block_of_.empty());
  const size_t needed = ceil_div(num_tokens, kLatentBlockTokens) - block_of_.size();
  const size_t count =
      std::max(needed, std::min(block_of_.size() / 2, ceil_div(kGrowthBytes, block_bytes())));
  buffers_.emplace_back(count * block_bytes());
  char* memory = buffers_.back().as<char>();
  for (size_t i = 0; i < count; ++i) {
    char* block = memory + i * block_bytes();
    block_of_.push_back(block);
    for (size_t layer = 0; layer < num_layers_; ++layer) {
      blocks_[layer].push_back(block + layer * layer_bytes());
    }
  }
}

void KvCache::reserve_lent(size_t num_blocks) {
  block_of_.reserve(num_blocks);
  for (auto& blocks : blocks_) blocks.reserve(num_blocks);
}

void KvCache::lend(size_t first, std::span<void* const> blocks) {
  AXK1_CHECK(buffers_.empty() && first <= block_of_.size());
  block_of_.resize(first);
  for (void* block : blocks) block_of_.push_back(static_cast<char*>(block));
  AXK1_CHECK(length_ <= capacity());
  for (size_t layer = 0; layer < num_layers_; ++layer) {
    blocks_[layer].resize(first);
    for (void* block : blocks) {
      blocks_[layer].push_back(static_cast<char*>(block) + layer * layer_bytes());
    }
  }
}

void KvCache::truncate(size_t num_tokens) {
  AXK1_CHECK(num_tokens <= length_);
  length_ = num_tokens;
}

void KvCache::advance(size_t num_tokens) {
  length_ += num_tokens;
  AXK1_CHECK(length_ <= capacity());
}

void* KvCache::row(size_t layer, size_t position) {
  AXK1_CHECK(position < capacity());
  return block_of_[position / kLatentBlockTokens] + layer * layer_bytes() +
         position % kLatentBlockTokens * row_bytes_;
}

}  // namespace axk1
