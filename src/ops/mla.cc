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
static constexpr size_t kTileRows = kMaxLatentRows;

MlaForm cheaper_mla_form(const KernelTable& kernels, const MlaShape& s, CacheDType cache_dtype,
                         size_t num_rows) {
  // In f32 multiply-adds per cached position and head. Absorbed: 2 * lora + rope for each row.
  // Expanded: nope + rope + v for each row, and once the expansion lora * (nope + v).
  double cost = 1;
  if (cache_dtype == CacheDType::kBF16) {
    cost = kernels.latent[static_cast<size_t>(LatentTypes::kBF16)].relative_cost;
  }
  if (cache_dtype == CacheDType::kI8) {
    cost = kernels.latent[static_cast<size_t>(LatentTypes::kI8)].relative_cost;
  }
  const double absorbed = cost * static_cast<double>(num_rows * (s.kv_lora_rank + s.latent_dim()));
  const double expanded = static_cast<double>(num_rows * (s.qk_head_dim() + s.v_head_dim) +
                                              s.kv_lora_rank * s.kv_head_dim());
  return expanded < absorbed ? MlaForm::kExpanded : MlaForm::kAbsorbed;
}

Mla::Mla(const MlaShape& shape, float softmax_scale, CacheDType cache_dtype, size_t max_rows,
         int num_threads)
    : shape_(shape),
      softmax_scale_(softmax_scale),
      cache_dtype_(cache_dtype),
      row_bytes_(latent_row_bytes(cache_dtype, shape.latent())),
      max_rows_(max_rows) {
  const size_t states = std::max(kTileRows, max_rows);
  // Words of 4 bytes for each thread, in the order of Scratch.
  const std::array sizes = {
      kTileRows * shape.latent_dim(),
      kTileRows * kLatentSpan,
      latent_acc_floats(kTileRows, shape.kv_lora_rank),
      kTileRows * shape.latent_dim(),
      kLatentBlockTokens * shape.kv_head_dim(),
      kLatentBlockTokens * shape.qk_head_dim(),
      states,
      states,
      latent_q_words(kTileRows, shape.kv_lora_rank, shape.qk_rope_head_dim),
      kLatentSpan / 2 * kTileRows,
      kLatentValueWords,
      kTileRows,
  };
  static_assert(kTileRows >= kLatentBlockTokens);  // `latents` holds either
  size_t per_thread = 0;
  for (size_t size : sizes) per_thread += round_up(size, 16);
  memory_ = Buffer(per_thread * sizeof(float) * static_cast<size_t>(num_threads));
  char* at = memory_.as<char>();
  const auto take = [&, i = size_t{0}]<class T>(T*& part) mutable {
    part = reinterpret_cast<T*>(at);
    at += round_up(sizes[i++], 16) * sizeof(float);
  };
  scratch_.resize(static_cast<size_t>(num_threads));
  for (Scratch& s : scratch_) {
    auto next = take;
    next(s.q);
    next(s.scores);
    next(s.acc);
    next(s.latents);
    next(s.kv);
    next(s.keys);
    next(s.max);
    next(s.sum);
    next(s.q_words);
    next(s.probs);
    next(s.values);
    next(s.visible);
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
    MlaForm chosen = rows.form == MlaForm::kAutomatic ? form : rows.form;
    if (chosen == MlaForm::kAutomatic) {
      chosen = cheaper_mla_form(ctx.kernels, shape_, cache_dtype_,
                                std::max(rows.num_rows, rows.num_step_rows));
    }
    if (chosen == MlaForm::kExpanded) {
      for (size_t h = 0; h < heads; ++h) {
        items_.push_back({&rows, chosen, 0, rows.num_rows, h, 1});
      }
      continue;
    }
    // All rows of few heads in a tile, since rows share the weights of their head; as many heads as
    // then fit, since they share the cache rows. But enough tiles for every thread.
    const size_t tiles = std::max(size_t{1}, ceil_div(threads, sequences.size()));
    const size_t row_tiles = std::max(size_t{1}, ceil_div(rows.num_rows, kTileRows));
    const size_t tile_rows = std::max(size_t{1}, ceil_div(rows.num_rows, row_tiles));
    const size_t group = std::min(kTileRows / tile_rows, ceil_div(heads, tiles));
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
  const size_t n_rows = item.num_rows;
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
  if (cache_dtype_ == CacheDType::kF32) {
    attend_in_f32(ctx, item, s);
  } else {
    attend_in_cache_dtype(ctx, item, s);
  }
  const size_t out_stride = shape_.num_heads * v_dim;
  for (size_t h = 0; h < item.num_heads; ++h) {
    const size_t head = item.first_head + h;
    const MatrixView w = kv_b.slice_rows(head * shape_.kv_head_dim() + nope, v_dim);
    kernels.matmul_nt[types]({s.latents + h * n_rows * lora, lora, w.data, w.stride,
                              rows.out + item.first_row * out_stride + head * v_dim, out_stride,
                              n_rows, v_dim, lora});
  }
}

// s.latents [heads * rows, lora] = attention of the absorbed queries s.q over the latents.
void Mla::attend_in_f32(const OpContext& ctx, const Item& item, Scratch& s) {
  const KernelTable& kernels = ctx.kernels;
  const size_t lora = shape_.kv_lora_rank, latent = shape_.latent_dim();
  const size_t n_rows = item.num_rows, tile = item.num_heads * n_rows;
  float* acc = s.latents;
  std::fill_n(acc, tile * lora, 0.0f);
  std::fill_n(s.max, tile, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, tile, 0.0f);

  const size_t first = item.rows->first_position + item.first_row;
  const size_t end = first + n_rows;  // positions that the last row sees
  constexpr auto kF32F32 = static_cast<size_t>(MatmulTypes::kF32F32);
  for (size_t start = 0; start < end; start += kLatentBlockTokens) {
    const void* block = item.rows->blocks[start / kLatentBlockTokens];
    const size_t n = std::min(kLatentBlockTokens, end - start);
    kernels.matmul_nt[kF32F32](
        {s.q, latent, block, latent, s.scores, kLatentBlockTokens, tile, n, latent});
    for (size_t i = 0; i < tile; ++i) {
      const size_t position = first + i % n_rows;
      const float correction =
          softmax_row(kernels, s.scores + i * kLatentBlockTokens, visible(position, start, n), n,
                      softmax_scale_, s.max + i, s.sum + i);
      if (start && correction != 1) kernels.scale(correction, acc + i * lora, lora);
    }
    kernels.matmul_nn[kF32F32](
        {s.scores, kLatentBlockTokens, block, latent, acc, lora, tile, lora, n});
  }
  for (size_t i = 0; i < tile; ++i) kernels.scale(1 / s.sum[i], acc + i * lora, lora);
}

void Mla::attend_in_cache_dtype(const OpContext& ctx, const Item& item, Scratch& s) {
  const LatentKernels& kernels = ctx.kernels.latent[static_cast<size_t>(
      cache_dtype_ == CacheDType::kI8 ? LatentTypes::kI8 : LatentTypes::kBF16)];
  const size_t n_rows = item.num_rows, rows = item.num_heads * n_rows;
  const LatentTile tile{.rows = round_up(rows, kLatentRowGrain),
                        .lora = shape_.kv_lora_rank,
                        .rope = shape_.qk_rope_head_dim,
                        .row_bytes = row_bytes_,
                        .scale = softmax_scale_,
                        .q = s.q_words,
                        .max = s.max,
                        .sum = s.sum,
                        .acc = s.acc,
                        .scores = s.scores,
                        .probs = s.probs,
                        .values = s.values};
  kernels.load(tile, s.q, shape_.latent_dim(), rows);
  const size_t first = item.rows->first_position + item.first_row;
  const size_t end = first + n_rows;  // positions that the last row sees
  for (size_t start = 0; start < end; start += kLatentSpan) {
    LatentSpan span{.blocks = item.rows->blocks + start / kLatentBlockTokens,
                    .num_positions = std::min(kLatentSpan, end - start)};
    if (n_rows > 1 && start + kLatentSpan > first + 1) {  // the first row sees only a part
      for (size_t i = 0; i < tile.rows; ++i) {
        const size_t position = first + (i < rows ? i % n_rows : 0);
        s.visible[i] = static_cast<int32_t>(visible(position, start, span.num_positions));
      }
      span.visible = s.visible;
    }
    if (start + kLatentSpan < end) {
      span.next_blocks = span.blocks + kLatentSpan / kLatentBlockTokens;
      span.next_positions = std::min(kLatentSpan, end - start - kLatentSpan);
    }
    kernels.attend(tile, span);
  }
  kernels.store(tile, s.latents, tile.lora, rows);
}

void Mla::expanded(const OpContext& ctx, const Item& item, const MatrixView& kv_b, Scratch& s) {
  const KernelTable& kernels = ctx.kernels;
  const MlaRows& rows = *item.rows;
  const size_t lora = shape_.kv_lora_rank, nope = shape_.qk_nope_head_dim;
  const size_t rope = shape_.qk_rope_head_dim, qk = shape_.qk_head_dim();
  const size_t latent = shape_.latent_dim(), v_dim = shape_.v_head_dim;
  const size_t kv_dim = shape_.kv_head_dim(), head = item.first_head;
  const size_t q_stride = shape_.num_heads * qk, out_stride = shape_.num_heads * v_dim;
  constexpr auto kF32F32 = static_cast<size_t>(MatmulTypes::kF32F32);
  // The expansion reads the cache as it is where there is a product of its type and that of kv_b.
  const bool as_is = cache_dtype_ == CacheDType::kF32 ||
                     (cache_dtype_ == CacheDType::kBF16 && kv_b.dtype == DType::kBF16);
  const DType x_dtype = as_is && cache_dtype_ == CacheDType::kBF16 ? DType::kBF16 : DType::kF32;
  const size_t x_stride = as_is ? row_bytes_ / dtype_bytes(x_dtype) : latent;
  const auto expand = static_cast<size_t>(matmul_types(x_dtype, kv_b.dtype));
  const MatrixView w = kv_b.slice_rows(head * kv_dim, kv_dim);

  float* out = rows.out + head * v_dim;
  for (size_t r = 0; r < item.num_rows; ++r) std::fill_n(out + r * out_stride, v_dim, 0.0f);
  std::fill_n(s.max, item.num_rows, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, item.num_rows, 0.0f);

  const size_t end = rows.first_position + item.num_rows;
  for (size_t start = 0; start < end; start += kLatentBlockTokens) {
    const size_t n = std::min(kLatentBlockTokens, end - start);
    const void* block = rows.blocks[start / kLatentBlockTokens];
    if (!as_is) {
      for (size_t t = 0; t < n; ++t) {
        read_latent_row(kernels, cache_dtype_, shape_.latent(),
                        static_cast<const char*>(block) + t * row_bytes_, s.latents + t * latent);
      }
    }
    kernels.matmul_nt[expand](
        {as_is ? block : s.latents, x_stride, w.data, w.stride, s.kv, kv_dim, n, kv_dim, lora});
    for (size_t t = 0; t < n; ++t) {
      float* key = s.keys + t * qk;
      std::copy_n(s.kv + t * kv_dim, nope, key);
      if (x_dtype == DType::kBF16) {
        kernels.bf16_to_f32(static_cast<const uint16_t*>(block) + t * x_stride + lora, key + nope,
                            rope);
      } else {
        const float* x = as_is ? static_cast<const float*>(block) : s.latents;
        std::copy_n(x + t * latent + lora, rope, key + nope);
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
