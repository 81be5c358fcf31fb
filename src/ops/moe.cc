#include "ops/moe.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace axk1 {

Moe::Moe(const MoeShape& shape, DType activation_dtype, bool quantized, size_t max_tokens)
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
  if (quantized) {
    gathered_q_ = Buffer(rows * activation_row_bytes(shape.hidden_size));
    hidden_q_ = Buffer(rows * activation_row_bytes(shape.moe_intermediate_size) +
                       max_tokens * activation_row_bytes(shape.max_shared_intermediate));
  }
  down_ = Buffer(rows * shape.hidden_size * sizeof(float));
  shared_down_ = Buffer(max_tokens * shape.hidden_size * sizeof(float));
}

size_t Moe::scratch_bytes() const {
  size_t bytes = 0;
  for (const Buffer* buffer :
       {&gathered_, &gathered_q_, &gate_, &up_, &hidden16_, &hidden_q_, &down_, &shared_down_}) {
    bytes += buffer->size_bytes();
  }
  return bytes;
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

// Rows of x in the order of experts, in every form there is.
void Moe::gather(const OpContext& ctx) {
  const ActivationView& x = input_.x;
  const size_t plain_bytes = x.cols * dtype_bytes(dtype_);
  const size_t quantized_bytes = activation_row_bytes(x.cols);
  ctx.pool.parallel_for(input_.indices.size(), 1, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      const ActivationView from = x.from_row(token_of_[r]);
      if (x.plain) std::memcpy(gathered_.as<char>() + r * plain_bytes, from.plain, plain_bytes);
      if (x.quantized) {
        std::memcpy(gathered_q_.as<char>() + r * quantized_bytes, from.quantized, quantized_bytes);
      }
    }
  });
}

// hidden = silu(gate) * up of every row, in the form that its down projection takes.
void Moe::gate(const OpContext& ctx, size_t rows, size_t inner, size_t shared_inner) {
  const bool routed_q = rows && is_quantized(input_.experts[0].down.dtype);
  const bool shared_q = input_.shared && is_quantized(input_.shared->down.dtype);
  const size_t tokens = input_.shared ? input_.num_tokens : 0;
  ctx.pool.parallel_for(rows + tokens, 1, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      const bool routed = r < rows;
      const size_t width = routed ? inner : shared_inner;
      const size_t at = routed ? r * inner : rows * inner + (r - rows) * shared_inner;
      float* hidden = gate_.as<float>() + at;
      ctx.kernels.silu_mul(hidden, up_.as<float>() + at, hidden, width);
      if (routed ? routed_q : shared_q) {
        const size_t row_at = routed ? r * activation_row_bytes(inner)
                                     : rows * activation_row_bytes(inner) +
                                           (r - rows) * activation_row_bytes(shared_inner);
        ctx.kernels.quantize_row(hidden, hidden_q_.as<char>() + row_at, width);
      } else if (dtype_ == DType::kBF16) {
        ctx.kernels.f32_to_bf16(hidden, hidden16_.as<uint16_t>() + at, width);
      }
    }
  });
}

void Moe::run(const OpContext& ctx, const Input& input) {
  input_ = input;
  const size_t tokens = input.num_tokens;
  AXK1_CHECK(tokens <= max_tokens_);
  AXK1_CHECK(input.indices.size() == (input.experts.empty() ? 0 : tokens * shape_.top_k));
  AXK1_CHECK(input.weights.size() == input.indices.size());
  AXK1_CHECK(input.x.cols == shape_.hidden_size);
  const size_t hidden = shape_.hidden_size;
  const size_t inner = input.experts.empty() ? 0 : shape_.moe_intermediate_size;
  const size_t rows = input.indices.size();
  const size_t shared_inner = input.shared ? input.shared->gate.rows : 0;
  AXK1_CHECK(shared_inner <= shape_.max_shared_intermediate + (rows ? 0 : shape_.top_k * inner));

  if (rows) group_by_expert(input);
  // With one token every expert reads the token's own row.
  ActivationView gathered = input.x;
  if (rows && tokens > 1) {
    gather(ctx);
    if (input.x.plain) gathered.plain = gathered_.data();
    if (input.x.quantized) gathered.quantized = gathered_q_.data();
  }
  const auto each_expert = [&](auto&& body) {
    for (size_t e = 0; e < input.experts.size(); ++e) {
      const size_t first = expert_start_[e], count = expert_start_[e + 1] - first;
      if (count) body(input.experts[e], first, count);
    }
  };

  tasks_.clear();
  const auto gate_and_up = [&](const ExpertWeights& w, const ActivationView& x, size_t m,
                               size_t at) {
    tasks_.push_back(matmul_task(x, w.gate, m, gate_.as<float>() + at, w.gate.rows));
    tasks_.push_back(matmul_task(x, w.up, m, up_.as<float>() + at, w.up.rows));
  };
  if (input.shared) gate_and_up(*input.shared, input.x, tokens, rows * inner);
  each_expert([&](const ExpertWeights& w, size_t first, size_t count) {
    gate_and_up(w, tokens > 1 ? gathered.from_row(first) : input.x, count, first * inner);
  });
  matmul(ctx, tasks_);

  gate(ctx, rows, inner, shared_inner);

  const char* plain = dtype_ == DType::kBF16 ? hidden16_.as<char>() : gate_.as<char>();
  const ActivationView routed_hidden{plain, dtype_, hidden_q_.data(), inner};
  const ActivationView shared_hidden{
      plain + rows * inner * dtype_bytes(dtype_), dtype_,
      hidden_q_.size_bytes() ? hidden_q_.as<char>() + rows * activation_row_bytes(inner) : nullptr,
      shared_inner};
  tasks_.clear();
  if (input.shared) {
    tasks_.push_back(
        matmul_task(shared_hidden, input.shared->down, tokens, shared_down_.as<float>(), hidden));
  }
  each_expert([&](const ExpertWeights& w, size_t first, size_t count) {
    tasks_.push_back(matmul_task(routed_hidden.from_row(first), w.down, count,
                                 down_.as<float>() + first * hidden, hidden));
  });
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
