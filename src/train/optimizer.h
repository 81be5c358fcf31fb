// AdamW over flat arenas, and clipping of gradients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "parallel/thread_pool.h"
#include "tensor/buffer.h"
#include "train/param_store.h"

namespace axk1 {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  // on parameters of two or more dimensions
};

// Decoupled weight decay (Loshchilov and Hutter, 2019), computed as torch.optim.AdamW does:
//   p *= 1 - lr decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g²
//   p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// The result does not depend on the number of threads. One thread at a time, which owns the pool.
class AdamW {
 public:
  AdamW(const ParamLayout& layout, const AdamWOptions& options);

  void step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients, double lr);

  // What a checkpoint must keep: the number of steps taken and two arenas of the layout.
  uint64_t num_steps() const { return num_steps_; }
  std::span<float> first_moment() { return {m_.as<float>(), size_}; }
  std::span<float> second_moment() { return {v_.as<float>(), size_}; }
  void set_num_steps(uint64_t steps) { num_steps_ = steps; }

 private:
  AdamWOptions options_;
  size_t size_;
  uint64_t num_steps_ = 0;
  Buffer m_, v_;
};

// The norm of all gradients as one vector. Summed in double in a fixed order.
double gradient_norm(ThreadPool& pool, std::span<const float> gradients);

// Scales the gradients by max_norm / (norm + 1e-6) where that is below 1 (torch's
// clip_grad_norm_). Returns the norm before. max_norm 0: only measures.
double clip_gradients(ThreadPool& pool, std::span<float> gradients, double max_norm);

}  // namespace axk1
