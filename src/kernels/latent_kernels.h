// Kernels of attention over the compressed cache in 16 or 8 bits (multi-head latent attention,
// absorbed form): a tile of query rows against spans of cached latents, an online softmax between
// the two products. Like every kernel: single-threaded, no allocation, arguments trusted.
//
// A cache row is one position: the normed latent (lora numbers), then the rotated key (rope).
//   bf16  the numbers, then zeros up to a multiple of 4 bytes
//   int8  an Int8LatentHeader, lora bytes, rope bytes, each part zero-padded to a multiple of 4
//
// What is computed, for query row q (the key half of kv_b already multiplied in), with l_p the
// cache row of position p and v_p its latent part:
//   bf16  s_p = sum bf16(q) l_p, e_p = exp(scale s_p - running max), sum += e_p,
//         acc = acc * correction + sum over p of bf16(e_p) v_p
//   int8  q is quantised like a cache row (one scale for each part), so that s_p is two exact
//         integer sums times their scales; sum += e_p as above; the value weights w_p = e_p *
//         scale of v_p are quantised to 0..255 with 255 for the largest of the span:
//         acc = acc * correction + (max w / 255) * sum over p of round(255 w_p / max w) v_p
// Sums are f32 (int8: exact integers within a span). So bf16 loses at most 2^-8 of each factor,
// int8 at most half a step of each: amax/254 for a latent or q, max w / 510 for a weight.
//
// Row invariance: a row's result, to the last bit, depends on its query and on the positions it
// sees, not on the other rows of the tile, on num_positions, or on where it stands. Spans must
// start at multiples of kLatentSpan.
#pragma once

#include <cstddef>
#include <cstdint>

namespace axk1 {

// What a cache row is made of.
enum class CacheDType : uint8_t { kF32, kBF16, kI8 };

inline constexpr size_t kLatentBlockTokens = 64;  // positions in one piece of cache memory
inline constexpr size_t kLatentSpan = 256;        // positions of one step of the softmax
inline constexpr size_t kLatentRowGrain = 16;     // rows of a tile are a multiple of this
inline constexpr size_t kMaxLatentRows = 64;

// Before the bytes of an int8 row. value = scale * byte, bytes within [-127, 127].
struct Int8LatentHeader {
  float lora_scale, rope_scale;
  int32_t lora_sum, rope_sum;  // of the bytes of each part
};

// A tile of rows and the memory that carries it from span to span. `q`, `acc`, `probs` and
// `values` are in an order that only the kernels of one group know.
struct LatentTile {
  size_t rows;  // padded; those beyond load()'s num_rows compute something finite
  size_t lora, rope;
  size_t row_bytes;  // from one cache row to the next
  float scale;       // of the scores before the softmax, positive
  uint32_t* q;       // [latent_q_words]
  float* max;        // [rows] running maximum
  float* sum;        // [rows] running sum
  float* acc;        // [latent_acc_floats]
  float* scores;     // [kLatentSpan, rows]
  uint32_t* probs;   // [kLatentSpan / 2, rows]
  uint32_t* values;  // [kLatentValueWords]
};
// Two scales, and each part of the query rounded up to 16 words.
constexpr size_t latent_q_words(size_t rows, size_t lora, size_t rope) {
  return rows * ((lora + rope) / 2 + 34);
}
constexpr size_t latent_acc_floats(size_t rows, size_t lora) {
  return rows * ((lora + 63) / 64 * 64);
}
inline constexpr size_t kLatentValueWords = kLatentSpan * 16;

// Positions of one step. Blocks are whole: rows of the last one beyond num_positions are read, and
// what they hold does not matter.
struct LatentSpan {
  const void* const* blocks;  // each [kLatentBlockTokens] rows
  size_t num_positions;       // 1 .. kLatentSpan
  const int32_t* visible;     // [rows] how many of them each row sees; null: all
  // The blocks that come next, num_positions of them filled, which the kernel may ask for early.
  const void* const* next_blocks = nullptr;
  size_t next_positions = 0;
};

struct LatentKernels {
  // Time of one product of a number of q or probs with one of the cache, as a share of that of an
  // f32 multiply-add in matmul_nt: what a caller weighs against another way to the same sums.
  float relative_cost;
  // Starts a tile: q [num_rows, lora + rope], rows q_stride apart; num_rows <= tile.rows.
  void (*load)(const LatentTile& tile, const float* q, size_t q_stride, size_t num_rows);
  void (*attend)(const LatentTile& tile, const LatentSpan& span);
  // out [num_rows, lora], rows out_stride apart: acc / sum.
  void (*store)(const LatentTile& tile, float* out, size_t out_stride, size_t num_rows);

  explicit operator bool() const { return attend != nullptr; }
};

}  // namespace axk1
