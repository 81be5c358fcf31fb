// Multi-head latent attention (DeepSeek-V2 report, section 2.1) over a cache of compressed latents.
//
// Two forms of the same sum. `absorbed` moves the key half of kv_b into the query and the value
// half behind the softmax, so that it works on the latents alone: best for few query rows.
// `expanded` makes keys and values of each block of the cache and attends to those: best for many.
// Both run an online softmax over fixed spans of positions, so memory does not grow with the square
// of the context, and with one form a row's result does not depend on how its prompt was cut into
// chunks, on its batch, or on the number of threads.
//
// A cache of f32 is attended to in f32. On one of bf16 or int8 the absorbed form multiplies numbers
// of that type (kernels/latent_kernels.h says what is rounded), the expanded form widened ones.
#pragma once

#include <span>
#include <vector>

#include "ops/latent_cache.h"
#include "ops/op_context.h"
#include "tensor/buffer.h"
#include "tensor/tensor_view.h"

namespace axk1 {

struct MlaShape {
  size_t num_heads = 0;
  size_t qk_nope_head_dim = 0;
  size_t qk_rope_head_dim = 0;
  size_t v_head_dim = 0;
  size_t kv_lora_rank = 0;

  size_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  size_t kv_head_dim() const { return qk_nope_head_dim + v_head_dim; }
  LatentShape latent() const { return {kv_lora_rank, qk_rope_head_dim}; }
  size_t latent_dim() const { return kv_lora_rank + qk_rope_head_dim; }  // of one cache row
};

enum class MlaForm { kAutomatic, kAbsorbed, kExpanded };

// The rows of one sequence that attend, and what they attend to.
struct MlaRows {
  const float* q = nullptr;  // [rows, heads * qk_head_dim], rope applied; per head nope, then rope
  float* out = nullptr;      // [rows, heads * v_head_dim]
  size_t num_rows = 0;
  size_t first_position = 0;            // of the first row; row r sees positions 0 .. first + r
  const void* const* blocks = nullptr;  // [..] each kLatentBlockTokens cache rows
  // Rows of the step that these belong to, by which the form is chosen; 0: num_rows. So a row comes
  // out the same whether or not its neighbours are computed too.
  size_t num_step_rows = 0;
  MlaForm form = MlaForm::kAutomatic;  // not kAutomatic: this one, whatever run() is told
};

// The form that takes less time for this many query rows of a sequence.
MlaForm cheaper_mla_form(const KernelTable& kernels, const MlaShape& shape, CacheDType cache_dtype,
                         size_t num_rows);

// Owns the scratch memory of one attention op at a time; reserved at construction.
class Mla {
 public:
  // Rows of one sequence are at most max_rows in a call.
  Mla(const MlaShape& shape, float softmax_scale, CacheDType cache_dtype, size_t max_rows,
      int num_threads);

  // Attention of every sequence. kv_b [heads * (nope + v), kv_lora_rank], per head k rows, then v.
  void run(const OpContext& ctx, std::span<const MlaRows> sequences, const MatrixView& kv_b,
           MlaForm form);

  size_t scratch_bytes() const { return memory_.size_bytes(); }

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
    float* q;           // [kTileRows, latent_dim]
    float* scores;      // [kTileRows, kLatentSpan]
    float* acc;         // [kTileRows, kv_lora_rank], in the kernels' own order
    float* latents;     // [kTileRows, kv_lora_rank] attended; or a widened block of the cache
    float* kv;          // [kLatentBlockTokens, kv_head_dim]
    float* keys;        // [kLatentBlockTokens, qk_head_dim]
    float* max;         // [max(kTileRows, max_rows)] running maximum of each row
    float* sum;         // likewise, running sum
    uint32_t* q_words;  // packed for the kernels: [latent_q_words]
    uint32_t* probs;    // [kLatentSpan / 2, kTileRows]
    uint32_t* values;   // [kLatentValueWords]
    int32_t* visible;   // [kTileRows]
  };
  void absorbed(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& scratch);
  void attend_in_f32(const OpContext& ctx, const Item& item, Scratch& scratch);
  void attend_in_cache_dtype(const OpContext& ctx, const Item& item, Scratch& scratch);
  void expanded(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& scratch);

  MlaShape shape_;
  float softmax_scale_;
  CacheDType cache_dtype_;
  size_t row_bytes_;  // of the cache
  size_t max_rows_;
  Buffer memory_;
  std::vector<Scratch> scratch_;  // [threads]
  std::vector<Item> items_;       // work list of a call; grows to its largest size once
};

}  // namespace axk1
