// The compressed cache of one sequence: for every layer and position the normed latent and the
// rotated shared key, kv_lora_rank + qk_rope_head_dim numbers (ops/latent_cache.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"
#include "ops/mla.h"
#include "tensor/buffer.h"

namespace axk1 {

// Memory comes in blocks of kLatentBlockTokens positions (all layers): taken by reserve() and kept,
// or lent by a caller who may lend the same block to several caches that begin alike. A block is
// only written at positions from length() on. Movable. Not for use by two threads at once.
class KvCache {
 public:
  // num_mtp_layers: layers besides, for multi-token prediction; the first is layer
  // num_hidden_layers. Its row of position i belongs to the token at i and the one that follows.
  KvCache(const ModelConfig& config, CacheDType dtype, size_t num_mtp_layers = 0);

  size_t length() const { return length_; }  // positions that hold a token
  size_t capacity() const { return block_of_.size() * kLatentBlockTokens; }
  CacheDType dtype() const { return dtype_; }

  // Makes capacity() at least num_tokens. Throws Error(kOutOfMemory). Not for lent blocks.
  void reserve(size_t num_tokens);

  // Forgets the positions from num_tokens on; num_tokens <= length().
  void truncate(size_t num_tokens);

  // Counts the positions that the forward pass has just written.
  void advance(size_t num_tokens);

  // Makes the blocks from `first` on these, each block_bytes() that the caller keeps alive and
  // aligned for f32; there are no blocks of the cache's own. length() <= capacity() must hold
  // after.
  void lend(size_t first, std::span<void* const> blocks);
  // Takes memory now for what lend() notes of so many blocks.
  void reserve_lent(size_t num_blocks);
  size_t lent_table_bytes(size_t num_blocks) const {  // of what reserve_lent() takes
    return num_blocks * (1 + num_layers_) * sizeof(void*);
  }
  size_t block_bytes() const { return num_layers_ * layer_bytes(); }
  size_t num_layers() const { return num_layers_; }

  // The row of a position that was reserved.
  void* row(size_t layer, size_t position);

  // The blocks of a layer: [capacity / kLatentBlockTokens], each kLatentBlockTokens rows.
  const void* const* blocks(size_t layer) const { return blocks_[layer].data(); }

 private:
  size_t layer_bytes() const { return kLatentBlockTokens * row_bytes_; }

  size_t num_layers_;
  size_t row_bytes_;
  CacheDType dtype_;
  size_t length_ = 0;
  std::vector<Buffer> buffers_;                   // each some blocks: [blocks, layers, tokens] rows
  std::vector<char*> block_of_;                   // [blocks] the memory of its layers
  std::vector<std::vector<const void*>> blocks_;  // [layers][blocks]
};

}  // namespace axk1
