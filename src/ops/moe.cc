#include "ops/moe.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace axk1 {

Moe::Moe(const MoeShape& shape, DType activation_dtype, size_t max_tokens)
    : shape_(shape), dtype_(activation_dtype), max_tokens_(max_tokens) {
  const size_t rows = max_tokens * shape.top_k;
  // A layer is either routed with its shared expert or dense: room for the larger of the two.
  const size_t inner =
      rows * shape.moe_intermediate_size + max_tokens * shape.max_shared_intermediate;
  expert_start_.resize(shape.num_experts + 1);
  row_of_.resize(rows);
  token_of_.resize(rows);
  tasks_.reserve(2 * (std::min(rows, shape.num_experts) + 1));
  gathered_ = Buffer(rows * shape.hidden_size * dtype_bytes(activation_dtype));
  gate_ = Buffer(inner * sizeof(float));
  up_ = Buffer(inner * sizeof(float));
  if (activation_dtype == DType::kBF16) hidden16_ = Buffer(inner * sizeof(uint16_t));
  down_ = Buffer(rows * shape.hidden_size * sizeof(float));
  shared_down_ = Buffer(max_tokens * shape.hidden_size * sizeof(float));
}

void Moe::group_by_expert(const Input& input) {
  std::fill(expert_start_.begin(), expert_start_.end(), 0);
  for (int32_t e : input.indices) {
    AXK1_CHECK(e >= 0 && static_cast<size_t>(e) < shape_.num_experts);
    ++expert_start_[static_cast<size_t>(e) + 1];
  }
  for (size_t e = 0; e < shape_.num_experts; ++e) expert_start_[e + 1] += expert_start_[e];
  // Filling moves each start to its expert's end, which is the next start: shift back afterwards.
  for (size_t i = 0; i < input.indices.size(); ++i) {
    const uint32_t row = expert_start_[static_cast<size_t>(input.indices[i])]++;
    row_of_[i] = row;
    token_of_[row] = static_cast<uint32_t>(i / shape_.top_k);
  }
  std::copy_backward(expert_start_.begin(), expert_start_.end() - 1, expert_start_.end());
  expert_start_[0] = 0;
}

void Moe::run(const OpContext& ctx, const Input& input) {
  input_ = input;
  const size_t tokens = input.num_tokens;
  AXK1_CHECK(tokens <= max_tokens_);
  AXK1_CHECK(input.indices.size() == (input.experts.empty() ? 0 : tokens * shape_.top_k));
  AXK1_CHECK(input.weights.size() == input.indices.size());
  const size_t hidden = shape_.hidden_size;
  const size_t inner = input.experts.empty() ? 0 : shape_.moe_intermediate_size;
  const size_t rows = input.indices.size();
  const size_t shared_inner = input.shared ? input.shared->gate.rows : 0;
  AXK1_CHECK(shared_inner <= shape_.max_shared_intermediate + (rows ? 0 : shape_.top_k * inner));
  const size_t row_bytes = hidden * dtype_bytes(dtype_);
  const auto* x = static_cast<const char*>(input.x);
  float* gate = gate_.as<float>();
  float* up = up_.as<float>();
  float* shared_gate = gate + rows * inner;
  float* shared_up = up + rows * inner;

  if (rows) group_by_expert(input);
  // With one token every expert reads the token's own row.
  if (rows && tokens > 1) {
    auto* gathered = gathered_.as<char>();
    ctx.pool.parallel_for(rows, 1, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r) {
        std::memcpy(gathered + r * row_bytes, x + token_of_[r] * row_bytes, row_bytes);
      }
    });
  }

  tasks_.clear();
  const auto gate_and_up = [&](const ExpertWeights& w, const void* from, size_t m, float* gate_y,
                               float* up_y) {
    MatmulTask task{.x = from,
                    .x_dtype = dtype_,
                    .x_stride = hidden,
                    .w = w.gate,
                    .y = gate_y,
                    .y_stride = w.gate.rows,
                    .m = m};
    tasks_.push_back(task);
    task.w = w.up;
    task.y = up_y;
    tasks_.push_back(task);
  };
  if (input.shared) gate_and_up(*input.shared, x, tokens, shared_gate, shared_up);
  for (size_t e = 0; e < input.experts.size(); ++e) {
    const size_t first = expert_start_[e], count = expert_start_[e + 1] - first;
    if (!count) continue;
    const void* from = tokens > 1 ? gathered_.as<char>() + first * row_bytes : x;
    gate_and_up(input.experts[e], from, count, gate + first * inner, up + first * inner);
  }
  matmul(ctx, tasks_);

  const bool bf16 = dtype_ == DType::kBF16;
  const size_t num_inner = rows * inner + tokens * shared_inner;
  constexpr size_t kGrain = 256;
  ctx.pool.parallel_for(num_inner, kGrain, [&](size_t begin, size_t end) {
    ctx.kernels.silu_mul(gate + begin, up + begin, gate + begin, end - begin);
    if (bf16) {
      ctx.kernels.f32_to_bf16(gate + begin, hidden16_.as<uint16_t>() + begin, end - begin);
    }
  });

  const char* h = bf16 ? hidden16_.as<char>() : gate_.as<char>();
  const size_t h_bytes = dtype_bytes(dtype_);
  tasks_.clear();
  if (input.shared) {
    tasks_.push_back({.x = h + rows * inner * h_bytes,
                      .x_dtype = dtype_,
                      .x_stride = shared_inner,
                      .w = input.shared->down,
                      .y = shared_down_.as<float>(),
                      .y_stride = hidden,
                      .m = tokens});
  }
  for (size_t e = 0; e < input.experts.size(); ++e) {
    const size_t first = expert_start_[e], count = expert_start_[e + 1] - first;
    if (!count) continue;
    tasks_.push_back({.x = h + first * inner * h_bytes,
                      .x_dtype = dtype_,
                      .x_stride = inner,
                      .w = input.experts[e].down,
                      .y = down_.as<float>() + first * hidden,
                      .y_stride = hidden,
                      .m = count});
  }
  matmul(ctx, tasks_);
}

void Moe::combine(const KernelTable& kernels, size_t token, float* y) const {
  const size_t hidden = shape_.hidden_size;
  std::fill_n(y, hidden, 0.0f);
  if (!input_.experts.empty()) {
    for (size_t k = 0; k < shape_.top_k; ++k) {
      const size_t i = token * shape_.top_k + k;
      kernels.axpy(input_.weights[i], down_.as<float>() + row_of_[i] * hidden, y, hidden);
    }
  }
  if (input_.shared) kernels.add(shared_down_.as<float>() + token * hidden, y, hidden);
}

}  // namespace axk1
