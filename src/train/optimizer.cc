#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {
namespace {

constexpr size_t kNormBlock = size_t{1} << 16;  // summed by one thread, in order

}  // namespace

AdamW::AdamW(const ParamLayout& layout, const AdamWOptions& options)
    : Optimizer(layout), options_(options) {}

void AdamW::step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients,
                 double lr) {
  AXK1_CHECK(gradients.size() == size_ && params.layout().num_elements() == size_);
  ++num_steps_;
  float* p = params.mutable_values().data();
  for (const Param& param : params.layout().params()) {
    adamw_update(pool, param, options_, num_steps_, lr, gradients.data(), p, m_.as<float>(),
                 v_.as<float>());
  }
}

void adamw_update(ThreadPool& pool, const Param& param, const AdamWOptions& options, uint64_t t,
                  double lr, const float* gradients, float* params, float* m, float* v) {
  const auto steps = static_cast<double>(t);
  const auto beta1 = static_cast<float>(options.beta1);
  const auto beta2 = static_cast<float>(options.beta2);
  const auto rest1 = static_cast<float>(1 - options.beta1);
  const auto rest2 = static_cast<float>(1 - options.beta2);
  const auto eps = static_cast<float>(options.eps);
  const auto step_size = static_cast<float>(lr / (1 - std::pow(options.beta1, steps)));
  const auto root_correction = static_cast<float>(std::sqrt(1 - std::pow(options.beta2, steps)));
  const auto keep = static_cast<float>(param.decays() ? 1 - lr * options.weight_decay : 1.0);
  pool.parallel_for(param.size, 1024, [&](size_t begin, size_t end) {
    for (size_t i = param.offset + begin; i < param.offset + end; ++i) {
      const float g = gradients[i];
      m[i] = beta1 * m[i] + rest1 * g;
      v[i] = beta2 * v[i] + rest2 * g * g;
      const float denominator = std::sqrt(v[i]) / root_correction + eps;
      params[i] = params[i] * keep - step_size * (m[i] / denominator);
    }
  });
}

double gradient_norm(ThreadPool& pool, std::span<const float> gradients) {
  const size_t blocks = ceil_div(gradients.size(), kNormBlock);
  std::vector<double> sums(blocks);
  pool.parallel_for(blocks, 1, [&](size_t begin, size_t end) {
    for (size_t b = begin; b < end; ++b) {
      const size_t last = std::min(gradients.size(), (b + 1) * kNormBlock);
      double sum[4] = {};
      size_t i = b * kNormBlock;
      for (; i + 4 <= last; i += 4) {
        for (size_t j = 0; j < 4; ++j) sum[j] += double{gradients[i + j]} * gradients[i + j];
      }
      for (; i < last; ++i) sum[0] += double{gradients[i]} * gradients[i];
      sums[b] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return std::sqrt(total);
}

double clip_gradients(ThreadPool& pool, std::span<float> gradients, double max_norm) {
  const double norm = gradient_norm(pool, gradients);
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm <= 0 || !(factor < 1)) return norm;
  const auto f = static_cast<float>(factor);
  pool.parallel_for(gradients.size(), 1024, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) gradients[i] *= f;
  });
  return norm;
}

}  // namespace axk1
