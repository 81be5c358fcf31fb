// AdamW over flat arenas, and clipping of gradients. Muon: train/muon.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "parallel/thread_pool.h"
#include "tensor/buffer.h"
#include "train/param_store.h"

namespace axk1 {

// One thread at a time, which owns the pool during a step. What a step makes of parameters does not
// depend on the number of threads.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Moves the parameters by their gradients, an arena of the layout.
  virtual void step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients,
                    double lr) = 0;

  // What a checkpoint must keep: the number of steps taken and two arenas of the layout.
  uint64_t num_steps() const { return num_steps_; }
  std::span<float> first_moment() { return {m_.as<float>(), size_}; }
  std::span<float> second_moment() { return {v_.as<float>(), size_}; }
  void set_num_steps(uint64_t steps) { num_steps_ = steps; }

 protected:
  explicit Optimizer(const ParamLayout& layout)
      : size_(layout.num_elements()), m_(size_ * sizeof(float)), v_(size_ * sizeof(float)) {}

  size_t size_;
  uint64_t num_steps_ = 0;
  Buffer m_, v_;
};

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  // on parameters of two or more dimensions
};

// Decoupled weight decay (Loshchilov and Hutter, 2019), computed as torch.optim.AdamW does:
//   p *= 1 - lr decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g²
//   p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
class AdamW : public Optimizer {
 public:
  AdamW(const ParamLayout& layout, const AdamWOptions& options);

  void step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients,
            double lr) override;

 private:
  AdamWOptions options_;
};

// One parameter by the formula above; t counts steps from 1. Arenas of the layout.
void adamw_update(ThreadPool& pool, const Param& param, const AdamWOptions& options, uint64_t t,
                  double lr, const float* gradients, float* params, float* m, float* v);

// The norm of all gradients as one vector. Summed in double in a fixed order.
double gradient_norm(ThreadPool& pool, std::span<const float> gradients);

// Scales the gradients by max_norm / (norm + 1e-6) where that is below 1 (torch's
// clip_grad_norm_). Returns the norm before. max_norm 0: only measures.
double clip_gradients(ThreadPool& pool, std::span<float> gradients, double max_norm);

}  // namespace axk1
