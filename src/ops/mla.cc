#include "ops/mla.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/bits.h"
#include "base/check.h"
#include "ops/matmul.h"

namespace axk1 {

// (heads x query rows) in one absorbed tile, query rows in one expanded tile.
static constexpr size_t kTileRows = 64;

MlaForm cheaper_mla_form(const MlaShape& s, size_t num_rows) {
  // Per cached position and head: absorbed 2 * lora + rope for each row; expanded nope + rope + v
  // for each row, and once the expansion lora * (nope + v).
  const size_t absorbed = num_rows * (s.kv_lora_rank + s.latent_dim());
  const size_t expanded =
      num_rows * (s.qk_head_dim() + s.v_head_dim) + s.kv_lora_rank * s.kv_head_dim();
  return expanded < absorbed ? MlaForm::kExpanded : MlaForm::kAbsorbed;
}

Mla::Mla(const MlaShape& shape, float softmax_scale, DType cache_dtype, size_t max_rows,
         int num_threads)
    : shape_(shape), softmax_scale_(softmax_scale), cache_dtype_(cache_dtype), max_rows_(max_rows) {
  AXK1_CHECK(cache_dtype == DType::kF32 || cache_dtype == DType::kBF16);
  const size_t states = std::max(kTileRows, max_rows);
  // Floats for each thread, in the order of Scratch.
  const std::array sizes = {
      kTileRows * shape.latent_dim(),
      kTileRows * kLatentBlockTokens,
      kTileRows * shape.kv_lora_rank,
      kLatentBlockTokens * shape.kv_head_dim(),
      kLatentBlockTokens * shape.qk_head_dim(),
      states,
      states,
  };
  size_t per_thread = 0;
  for (size_t size : sizes) per_thread += round_up(size, 16);
  memory_ = Buffer(per_thread * sizeof(float) * static_cast<size_t>(num_threads));
  float* at = memory_.as<float>();
  for (int t = 0; t < num_threads; ++t) {
    std::array<float*, sizes.size()> part;
    for (size_t i = 0; i < sizes.size(); ++i) {
      part[i] = at;
      at += round_up(sizes[i], 16);
    }
    scratch_.push_back({.q = part[0],
                        .scores = part[1],
                        .acc = part[2],
                        .kv = part[3],
                        .keys = part[4],
                        .max = part[5],
                        .sum = part[6]});
  }
}

void Mla::run(const OpContext& ctx, std::span<const MlaRows> sequences, const MatrixView& kv_b,
              MlaForm form) {
  AXK1_CHECK(kv_b.rows == shape_.num_heads * shape_.kv_head_dim());
  AXK1_CHECK(kv_b.cols == shape_.kv_lora_rank);
  AXK1_CHECK(static_cast<size_t>(ctx.pool.num_threads()) <= scratch_.size());
  const size_t heads = shape_.num_heads;
  const size_t threads = static_cast<size_t>(ctx.pool.num_threads());
  items_.clear();
  for (const MlaRows& rows : sequences) {
    AXK1_CHECK(rows.num_rows <= max_rows_);
    const MlaForm chosen =
        form == MlaForm::kAutomatic ? cheaper_mla_form(shape_, rows.num_rows) : form;
    if (chosen == MlaForm::kExpanded) {
      for (size_t h = 0; h < heads; ++h) {
        items_.push_back({&rows, chosen, 0, rows.num_rows, h, 1});
      }
      continue;
    }
    // Enough tiles for every thread, as many heads in each as then fit: they share the cache rows.
    const size_t tiles = std::max(size_t{1}, ceil_div(threads, sequences.size()));
    const size_t group = std::min(kTileRows, ceil_div(heads, tiles));
    const size_t tile_rows = std::max(size_t{1}, kTileRows / group);
    for (size_t r = 0; r < rows.num_rows; r += tile_rows) {
      for (size_t h = 0; h < heads; h += group) {
        items_.push_back({&rows, chosen, r, std::min(tile_rows, rows.num_rows - r), h,
                          std::min(group, heads - h)});
      }
    }
  }
  ctx.pool.parallel_tasks(items_.size(), [&](size_t i, int thread_idx) {
    Scratch& scratch = scratch_[static_cast<size_t>(thread_idx)];
    if (items_[i].form == MlaForm::kExpanded) {
      expanded(ctx, items_[i], kv_b, scratch);
    } else {
      absorbed(ctx, items_[i], kv_b, scratch);
    }
  });
}

namespace {

// How many positions of the block that starts at `block_start` the row at `position` sees.
size_t visible(size_t position, size_t block_start, size_t block_size) {
  return position < block_start ? 0 : std::min(block_size, position + 1 - block_start);
}

// scores [n] of one row become probabilities relative to the running maximum, 0 where not visible.
// Returns the factor for what was accumulated before.
float softmax_row(const KernelTable& kernels, float* scores, size_t num_visible, size_t n,
                  float scale, float* max, float* sum) {
  float correction = 1;
  if (num_visible) correction = kernels.softmax_block(scores, num_visible, scale, max, sum);
  std::fill(scores + num_visible, scores + n, 0.0f);
  return correction;
}

}  // namespace

void Mla::absorbed(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& s) {
  const KernelTable& kernels = ctx.kernels;
  const MlaRows& rows = *item.rows;
  const size_t lora = shape_.kv_lora_rank, nope = shape_.qk_nope_head_dim;
  const size_t latent = shape_.latent_dim(), v_dim = shape_.v_head_dim;
  const size_t q_stride = shape_.num_heads * shape_.qk_head_dim();
  const size_t n_rows = item.num_rows, tile = item.num_heads * n_rows;
  const auto types = static_cast<size_t>(matmul_types(DType::kF32, kv_b.dtype));

  // Row (head, row) of the tile: the query's nope part times the head's key weights, then its rope.
  for (size_t h = 0; h < item.num_heads; ++h) {
    const size_t head = item.first_head + h;
    const float* q = rows.q + item.first_row * q_stride + head * shape_.qk_head_dim();
    float* out = s.q + h * n_rows * latent;
    for (size_t r = 0; r < n_rows; ++r) {
      std::fill_n(out + r * latent, lora, 0.0f);
      std::copy_n(q + r * q_stride + nope, shape_.qk_rope_head_dim, out + r * latent + lora);
    }
    const MatrixView w = kv_b.slice_rows(head * shape_.kv_head_dim(), nope);
    kernels.matmul_nn[types]({q, q_stride, w.data, w.stride, out, latent, n_rows, lora, nope});
  }
  std::fill_n(s.acc, tile * lora, 0.0f);
  std::fill_n(s.max, tile, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, tile, 0.0f);

  const size_t first = rows.first_position + item.first_row;
  const size_t end = first + n_rows;  // positions that the last row sees
  const auto cache = static_cast<size_t>(matmul_types(DType::kF32, cache_dtype_));
  for (size_t start = 0; start < end; start += kLatentBlockTokens) {
    const void* block = rows.blocks[start / kLatentBlockTokens];
    const size_t n = std::min(kLatentBlockTokens, end - start);
    kernels.matmul_nt[cache](
        {s.q, latent, block, latent, s.scores, kLatentBlockTokens, tile, n, latent});
    for (size_t i = 0; i < tile; ++i) {
      const size_t position = first + i % n_rows;
      const float correction =
          softmax_row(kernels, s.scores + i * kLatentBlockTokens, visible(position, start, n), n,
                      softmax_scale_, s.max + i, s.sum + i);
      if (start && correction != 1) kernels.scale(correction, s.acc + i * lora, lora);
    }
    kernels.matmul_nn[cache](
        {s.scores, kLatentBlockTokens, block, latent, s.acc, lora, tile, lora, n});
  }

  for (size_t i = 0; i < tile; ++i) kernels.scale(1 / s.sum[i], s.acc + i * lora, lora);
  const size_t out_stride = shape_.num_heads * v_dim;
  for (size_t h = 0; h < item.num_heads; ++h) {
    const size_t head = item.first_head + h;
    const MatrixView w = kv_b.slice_rows(head * shape_.kv_head_dim() + nope, v_dim);
    kernels.matmul_nt[types]({s.acc + h * n_rows * lora, lora, w.data, w.stride,
                              rows.out + item.first_row * out_stride + head * v_dim, out_stride,
                              n_rows, v_dim, lora});
  }
}

void Mla::expanded(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& s) {
  const KernelTable& kernels = ctx.kernels;
  const MlaRows& rows = *item.rows;
  const size_t lora = shape_.kv_lora_rank, nope = shape_.qk_nope_head_dim;
  const size_t rope = shape_.qk_rope_head_dim, qk = shape_.qk_head_dim();
  const size_t latent = shape_.latent_dim(), v_dim = shape_.v_head_dim;
  const size_t kv_dim = shape_.kv_head_dim(), head = item.first_head;
  const size_t q_stride = shape_.num_heads * qk, out_stride = shape_.num_heads * v_dim;
  const bool bf16 = cache_dtype_ == DType::kBF16;
  const auto expand = static_cast<size_t>(matmul_types(cache_dtype_, kv_b.dtype));
  constexpr auto kF32F32 = static_cast<size_t>(MatmulTypes::kF32F32);
  const MatrixView w = kv_b.slice_rows(head * kv_dim, kv_dim);

  float* out = rows.out + head * v_dim;
  for (size_t r = 0; r < item.num_rows; ++r) std::fill_n(out + r * out_stride, v_dim, 0.0f);
  std::fill_n(s.max, item.num_rows, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, item.num_rows, 0.0f);

  const size_t end = rows.first_position + item.num_rows;
  for (size_t start = 0; start < end; start += kLatentBlockTokens) {
    const size_t n = std::min(kLatentBlockTokens, end - start);
    const void* block = rows.blocks[start / kLatentBlockTokens];
    kernels.matmul_nt[expand]({block, latent, w.data, w.stride, s.kv, kv_dim, n, kv_dim, lora});
    for (size_t t = 0; t < n; ++t) {
      float* key = s.keys + t * qk;
      std::copy_n(s.kv + t * kv_dim, nope, key);
      if (bf16) {
        kernels.bf16_to_f32(static_cast<const uint16_t*>(block) + t * latent + lora, key + nope,
                            rope);
      } else {
        std::copy_n(static_cast<const float*>(block) + t * latent + lora, rope, key + nope);
      }
    }

    // Rows before this block see nothing of it.
    const size_t first =
        start > rows.first_position ? (start - rows.first_position) / kTileRows * kTileRows : 0;
    for (size_t r = first; r < item.num_rows; r += kTileRows) {
      const size_t count = std::min(kTileRows, item.num_rows - r);
      const float* q = rows.q + r * q_stride + head * qk;
      kernels.matmul_nt[kF32F32](
          {q, q_stride, s.keys, qk, s.scores, kLatentBlockTokens, count, n, qk});
      for (size_t i = 0; i < count; ++i) {
        const size_t row = r + i;
        const float correction = softmax_row(kernels, s.scores + i * kLatentBlockTokens,
                                             visible(rows.first_position + row, start, n), n,
                                             softmax_scale_, s.max + row, s.sum + row);
        if (start && correction != 1) kernels.scale(correction, out + row * out_stride, v_dim);
      }
      kernels.matmul_nn[kF32F32]({s.scores, kLatentBlockTokens, s.kv + nope, kv_dim,
                                  out + r * out_stride, out_stride, count, v_dim, n});
    }
  }
  for (size_t r = 0; r < item.num_rows; ++r) {
    kernels.scale(1 / s.sum[r], out + r * out_stride, v_dim);
  }
}

}  // namespace axk1
