// Multi-head latent attention (DeepSeek-V2 report, section 2.1) over a cache of compressed latents.
//
// Two forms of the same sum. `absorbed` moves the key half of kv_b into the query and the value
// half behind the softmax, so that it works on the latents alone: best for few query rows.
// `expanded` makes keys and values of each block of the cache and attends to those: best for many.
// Both run an online softmax over blocks of kLatentBlockTokens positions, so memory does not grow
// with the square of the context, and blocks start at multiples of that, so with one form a row's
// result does not depend on how its prompt was cut into chunks.
#pragma once

#include <span>
#include <vector>

#include "ops/op_context.h"
#include "tensor/buffer.h"
#include "tensor/tensor_view.h"

namespace axk1 {

inline constexpr size_t kLatentBlockTokens = 64;

struct MlaShape {
  size_t num_heads = 0;
  size_t qk_nope_head_dim = 0;
  size_t qk_rope_head_dim = 0;
  size_t v_head_dim = 0;
  size_t kv_lora_rank = 0;

  size_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  size_t kv_head_dim() const { return qk_nope_head_dim + v_head_dim; }
  size_t latent_dim() const { return kv_lora_rank + qk_rope_head_dim; }  // one cache row
};

// The rows of one sequence that attend, and what they attend to.
struct MlaRows {
  const float* q = nullptr;  // [rows, heads * qk_head_dim], rope applied; per head nope, then rope
  float* out = nullptr;      // [rows, heads * v_head_dim]
  size_t num_rows = 0;
  size_t first_position = 0;            // of the first row; row r sees positions 0 .. first + r
  const void* const* blocks = nullptr;  // [..] each [kLatentBlockTokens, latent_dim]: latent, rope
};

enum class MlaForm { kAutomatic, kAbsorbed, kExpanded };

// The form that needs fewer multiply-adds for this many query rows of a sequence.
MlaForm cheaper_mla_form(const MlaShape& shape, size_t num_rows);

// Owns the scratch memory of one attention op at a time; reserved at construction.
class Mla {
 public:
  // `cache_dtype`: type of the blocks, f32 or bf16. Rows of one sequence are at most max_rows in a
  // call.
  Mla(const MlaShape& shape, float softmax_scale, DType cache_dtype, size_t max_rows,
      int num_threads);

  // Attention of every sequence. kv_b [heads * (nope + v), kv_lora_rank], per head k rows, then v.
  void run(const OpContext& ctx, std::span<const MlaRows> sequences, const MatrixView& kv_b,
           MlaForm form);

 private:
  // A piece of work for one thread.
  struct Item {
    const MlaRows* rows;
    MlaForm form;
    size_t first_row, num_rows;
    size_t first_head, num_heads;
  };
  // Memory of one thread, views into memory_.
  struct Scratch {
    float* q;       // [kTileRows, latent_dim]
    float* scores;  // [kTileRows, kLatentBlockTokens]
    float* acc;     // [kTileRows, kv_lora_rank]
    float* kv;      // [kLatentBlockTokens, kv_head_dim]
    float* keys;    // [kLatentBlockTokens, qk_head_dim]
    float* max;     // [max(kTileRows, max_rows)] running maximum of each row
    float* sum;     // likewise, running sum
  };
  void absorbed(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& scratch);
  void expanded(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& scratch);

  MlaShape shape_;
  float softmax_scale_;
  DType cache_dtype_;
  size_t max_rows_;
  Buffer memory_;
  std::vector<Scratch> scratch_;  // [threads]
  std::vector<Item> items_;       // work list of a call; grows to its largest size once
};

}  // namespace axk1
