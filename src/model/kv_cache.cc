#include "model/kv_cache.h"

#include "base/check.h"

namespace axk1 {

KvCache::KvCache(const ModelConfig& config, DType dtype)
    : num_layers_(static_cast<size_t>(config.num_hidden_layers)),
      row_bytes_(static_cast<size_t>(config.kv_lora_rank + config.qk_rope_head_dim) *
                 dtype_bytes(dtype)),
      dtype_(dtype),
      blocks_(num_layers_) {}

void KvCache::reserve(size_t num_tokens) {
  const size_t layer_bytes = kLatentBlockTokens * row_bytes_;
  while (capacity() < num_tokens) {
    buffers_.emplace_back(num_layers_ * layer_bytes);
    const char* block = buffers_.back().as<char>();
    for (size_t layer = 0; layer < num_layers_; ++layer) {
      blocks_[layer].push_back(block + layer * layer_bytes);
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
  char* buffer = buffers_[position / kLatentBlockTokens].as<char>();
  const size_t row_idx = layer * kLatentBlockTokens + position % kLatentBlockTokens;
  return buffer + row_idx * row_bytes_;
}

}  // namespace axk1
