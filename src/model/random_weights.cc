#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

#include "base/bf16.h"
#include "base/rng.h"
#include "model/weights.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// Normal values of the initializer_range that the family trains from, in a pool that matrices are
// copied out of: drawing every value would take minutes at several GB. The length is prime, so that
// the rows of a matrix start at different places of the pool.
constexpr size_t kPoolValues = 1'048'573;
constexpr float kStandardDeviation = 0.02f;

class RandomFiller {
 public:
  // Of a quantised type only what a kernel looks at is made: codes are random bytes.
  RandomFiller(DType dtype, uint64_t seed, std::vector<Buffer>& buffers)
      : dtype_(is_quantized(dtype) ? DType::kBF16 : dtype),
        quantized_(is_quantized(dtype) ? std::optional(dtype) : std::nullopt),
        random_(seed),
        pool_(kPoolValues * dtype_bytes(dtype_)),
        buffers_(buffers) {
    std::normal_distribution<float> normal(0.0f, kStandardDeviation);
    for (size_t i = 0; i < kPoolValues; ++i) {
      const float value = normal(random_);
      if (dtype_ == DType::kF32) {
        pool_.as<float>()[i] = value;
      } else {
        pool_.as<uint16_t>()[i] = dtype_ == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
      }
    }
  }

  MatrixView matrix(int64_t rows, int64_t cols) {
    return quantized_ ? quantized_matrix(rows, cols) : plain_matrix(rows, cols);
  }

  MatrixView plain_matrix(int64_t rows, int64_t cols) {
    const size_t size = static_cast<size_t>(rows) * static_cast<size_t>(cols);
    Buffer& buffer = buffers_.emplace_back(size * dtype_bytes(dtype_));
    size_t from = random_() % kPoolValues;
    for (size_t done = 0; done < size;) {
      const size_t n = std::min(size - done, kPoolValues - from);
      std::memcpy(buffer.as<char>() + done * dtype_bytes(dtype_),
                  pool_.as<char>() + from * dtype_bytes(dtype_), n * dtype_bytes(dtype_));
      done += n;
      from = 0;
    }
    return {buffer.data(), dtype_, static_cast<size_t>(rows), static_cast<size_t>(cols),
            static_cast<size_t>(cols)};
  }

  MatrixView quantized_matrix(int64_t num_rows, int64_t num_cols) {
    const size_t rows = static_cast<size_t>(num_rows), cols = static_cast<size_t>(num_cols);
    const size_t bytes = panel_bytes(*quantized_, cols);
    const uint8_t scale = 0x44;  // sub-scales of 4: s * code has a deviation of about 20
    const uint16_t d = f32_to_bf16(kStandardDeviation / (*quantized_ == DType::kQ8 ? 74 : 20));
    Buffer& buffer = buffers_.emplace_back(matrix_bytes(*quantized_, rows, cols));
    Rng codes(random_());
    for (size_t i = 0; i < buffer.size_bytes() / sizeof(uint64_t); ++i) {
      buffer.as<uint64_t>()[i] = codes.next();
    }
    for (size_t at = 0; at < buffer.size_bytes(); at += bytes) {
      auto* panel = buffer.as<uint8_t>() + at;
      std::fill_n(reinterpret_cast<uint16_t*>(panel), num_blocks(cols) * kPanelRows, d);
      uint8_t* block = panel + panel_header_bytes(cols);
      for (size_t b = 0; b < num_blocks(cols); ++b) {
        const size_t groups = num_groups(cols, b);
        std::memset(block, scale, groups * sub_scale_bytes(*quantized_));
        block += groups * group_bytes(*quantized_);
      }
    }
    return {buffer.data(), *quantized_, rows, cols, cols};
  }

  // Values around `middle`.
  std::vector<float> vector(int64_t size, float middle, float deviation) {
    std::normal_distribution<float> normal(middle, deviation);
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = normal(random_);
    return values;
  }

  ExpertWeights mlp(int64_t hidden, int64_t intermediate) {
    ExpertWeights w;
    w.gate = matrix(intermediate, hidden);
    w.up = matrix(intermediate, hidden);
    w.down = matrix(hidden, intermediate);
    return w;
  }

 private:
  DType dtype_;  // of plain matrices
  std::optional<DType> quantized_;
  std::mt19937_64 random_;
  Buffer pool_;
  std::vector<Buffer>& buffers_;
};

LayerWeights random_layer(const ModelConfig& c, bool is_moe, RandomFiller& fill) {
  constexpr float kNormDeviation = 0.1f, kBiasDeviation = 0.01f;
  const auto norm = [&](int64_t size) { return fill.vector(size, 1.0f, kNormDeviation); };
  LayerWeights w;
  w.is_moe = is_moe;
  w.input_layernorm = norm(c.hidden_size);
  w.post_attention_layernorm = norm(c.hidden_size);
  w.kv_a_layernorm = norm(c.kv_lora_rank);
  const int64_t query_rows = c.num_attention_heads * c.qk_head_dim();
  if (c.q_lora_rank == 0) {
    w.q_proj = fill.matrix(query_rows, c.hidden_size);
  } else {
    w.q_a_proj = fill.matrix(c.q_lora_rank, c.hidden_size);
    w.q_a_layernorm = norm(c.q_lora_rank);
    w.q_b_proj = fill.matrix(query_rows, c.q_lora_rank);
  }
  w.kv_a_proj_with_mqa = fill.matrix(c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size);
  w.kv_b_proj = fill.plain_matrix(c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim),
                                  c.kv_lora_rank);
  w.o_proj = fill.matrix(c.hidden_size, c.num_attention_heads * c.v_head_dim);
  if (!is_moe) {
    w.mlp = fill.mlp(c.hidden_size, c.intermediate_size);
    return w;
  }
  if (c.has_post_mlp_norm) w.post_mlp_layernorm = norm(c.hidden_size);
  w.router = fill.plain_matrix(c.n_routed_experts, c.hidden_size);
  w.e_score_correction_bias = fill.vector(c.n_routed_experts, 0.0f, kBiasDeviation);
  w.experts.reserve(static_cast<size_t>(c.n_routed_experts));
  for (int64_t e = 0; e < c.n_routed_experts; ++e) {
    w.experts.push_back(fill.mlp(c.hidden_size, c.moe_intermediate_size));
  }
  if (c.n_shared_experts > 0) {
    w.shared_experts = fill.mlp(c.hidden_size, c.n_shared_experts * c.moe_intermediate_size);
  }
  return w;
}

}  // namespace

ModelWeights random_weights(const ModelConfig& config, DType dtype, uint64_t seed) {
  ModelWeights weights;
  weights.compute_dtype = dtype == DType::kBF16 || is_quantized(dtype) ? DType::kBF16 : DType::kF32;
  RandomFiller fill(dtype, seed, weights.buffers);
  weights.embed_tokens = fill.matrix(config.vocab_size, config.hidden_size);
  weights.lm_head = config.tie_word_embeddings ? weights.embed_tokens
                                               : fill.matrix(config.vocab_size, config.hidden_size);
  weights.norm = fill.vector(config.hidden_size, 1.0f, 0.1f);
  for (bool is_moe : config.is_moe_layer) {
    weights.layers.push_back(random_layer(config, is_moe, fill));
  }
  if (config.num_nextn_predict_layers > 0) {
    MtpWeights& mtp = weights.mtp.emplace();
    mtp.enorm = fill.vector(config.hidden_size, 1.0f, 0.1f);
    mtp.hnorm = fill.vector(config.hidden_size, 1.0f, 0.1f);
    mtp.eh_proj = fill.matrix(config.hidden_size, 2 * config.hidden_size);
    mtp.layer = random_layer(config, config.mtp_layer_is_moe(), fill);
    mtp.norm = fill.vector(config.hidden_size, 1.0f, 0.1f);
  }
  return weights;
}

}  // namespace axk1
