// Muon: momentum whose matrices are made orthogonal before each step.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"
#include "train/optimizer.h"

namespace axk1 {

struct MuonOptions {
  double momentum = 0.95;
  double weight_decay = 0.1;
  // For what is no hidden matrix: embedding, head, norms and routers.
  AdamWOptions adamw;
};

// Of each hidden matrix (projections, and gate, up and down of every MLP and expert, each by
// itself), as Jordan et al. 2024 ("Muon: an optimizer for hidden layers") with the scale of Liu et
// al. 2025 (arXiv 2502.16982, section 2.2), by which learning rates of AdamW fit:
//   m = momentum m + g;  u = g + momentum m;  X = u / |u|
//   five times  A = X Xᵀ,  X = a X + (b A + c A²) X  with (a, b, c) = (3.4445, -4.7750, 2.0315)
//   p = p (1 - lr decay) - lr 0.2 sqrt(max(rows, cols)) X
// Everything else by AdamW. The first moment holds m of both; the second is AdamW's. Keeps a
// reference to the kernels.
class Muon : public Optimizer {
 public:
  Muon(const ParamLayout& layout, const MuonOptions& options, const KernelTable& kernels,
       int num_threads);

  void step(ThreadPool& pool, ParamStore& params, std::span<const float> gradients,
            double lr) override;

 private:
  struct Matrix {
    size_t offset, rows, cols;
  };
  // Of one thread; [max elements] or [max smaller side, squared].
  struct Scratch {
    std::vector<float> x, next, gram, polynomial;
  };
  void update_matrix(const Matrix& matrix, const float* gradients, float* params, double lr,
                     Scratch& s);

  MuonOptions options_;
  const KernelTable& kernels_;
  std::vector<Matrix> matrices_;
  std::vector<Param> others_;
  std::vector<Scratch> scratch_;  // [threads]
};

}  // namespace axk1
