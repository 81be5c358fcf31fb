#include "train/muon.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace axk1 {
namespace {

constexpr auto kF32 = static_cast<size_t>(MatmulTypes::kF32F32);
constexpr int kIterations = 5;
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

}  // namespace

Muon::Muon(const ParamLayout& layout, const MuonOptions& options, const KernelTable& kernels,
           int num_threads)
    : Optimizer(layout),
      options_(options),
      kernels_(kernels),
      scratch_(static_cast<size_t>(num_threads)) {
  for (const Param& p : layout.params()) {
    if (p.kind == ParamKind::kMatrix) {
      matrices_.push_back({p.offset, p.shape[0], p.shape[1]});
    } else if (p.kind == ParamKind::kExperts) {
      const size_t parts = p.name.ends_with("gate_up_proj") ? 2 : 1;
      const size_t rows = p.shape[1] / parts, cols = p.shape[2];
      for (size_t i = 0; i < p.shape[0] * parts; ++i) {
        matrices_.push_back({p.offset + i * rows * cols, rows, cols});
      }
    } else {
      others_.push_back(p);
    }
  }
}

void Muon::step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients, double lr) {
  AXK1_CHECK(gradients.size() == size_ && params.layout().num_elements() == size_);
  AXK1_CHECK(static_cast<size_t>(pool.num_threads()) <= scratch_.size());
  ++num_steps_;
  float* p = params.mutable_values().data();
  pool.parallel_tasks(matrices_.size(), [&](size_t i, int thread) {
    update_matrix(matrices_[i], gradients.data(), p, lr, scratch_[static_cast<size_t>(thread)]);
  });
  for (const Param& param : others_) {
    adamw_update(pool, param, options_.adamw, num_steps_, lr, gradients.data(), p, m_.as<float>(),
                 v_.as<float>());
  }
}

// X stands with its smaller side as rows, so that A is small.
void Muon::update_matrix(const Matrix& matrix, const float* gradients, float* params, double lr,
                         Scratch& s) {
  const size_t size = matrix.rows * matrix.cols;
  const bool turned = matrix.rows > matrix.cols;
  const size_t rows = std::min(matrix.rows, matrix.cols);
  const size_t cols = std::max(matrix.rows, matrix.cols);
  s.x.resize(size);
  s.next.resize(size);
  s.gram.resize(rows * rows);
  s.polynomial.resize(rows * rows);
  // Where element i of the matrix stands in X.
  const auto place = [&](size_t i) {
    return turned ? i % matrix.cols * cols + i / matrix.cols : i;
  };
  const float* g = gradients + matrix.offset;
  float* m = m_.as<float>() + matrix.offset;
  const auto momentum = static_cast<float>(options_.momentum);
  double squares = 0;
  for (size_t i = 0; i < size; ++i) {
    m[i] = momentum * m[i] + g[i];
    const float u = g[i] + momentum * m[i];
    s.x[place(i)] = u;
    squares += double{u} * double{u};
  }
  const auto inverse = static_cast<float>(1 / (std::sqrt(squares) + 1e-7));
  for (float& x : s.x) x *= inverse;

  for (int i = 0; i < kIterations; ++i) {
    const auto gram_of = [&](const float* x, size_t inner, float* out) {
      kernels_.matmul_nt[kF32]({.x = x,
                                .x_stride = inner,
                                .w = x,
                                .w_stride = inner,
                                .y = out,
                                .y_stride = rows,
                                .m = rows,
                                .n = rows,
                                .k = inner});
    };
    gram_of(s.x.data(), cols, s.gram.data());
    gram_of(s.gram.data(), rows, s.polynomial.data());  // A is symmetric: A Aᵀ = A²
    for (size_t j = 0; j < s.gram.size(); ++j) {
      s.polynomial[j] = kB * s.gram[j] + kC * s.polynomial[j];
    }
    for (size_t j = 0; j < size; ++j) s.next[j] = kA * s.x[j];
    kernels_.matmul_nn[kF32]({.x = s.polynomial.data(),
                              .x_stride = rows,
                              .w = s.x.data(),
                              .w_stride = cols,
                              .y = s.next.data(),
                              .y_stride = cols,
                              .m = rows,
                              .n = cols,
                              .k = rows});
    std::swap(s.x, s.next);
  }
  const auto keep = static_cast<float>(1 - lr * options_.weight_decay);
  const auto step = static_cast<float>(lr * 0.2 * std::sqrt(static_cast<double>(cols)));
  float* p = params + matrix.offset;
  for (size_t i = 0; i < size; ++i) p[i] = p[i] * keep - step * s.x[place(i)];
}

}  // namespace axk1
