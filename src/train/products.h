// The matrix products of training, split over the threads of a pool.
#pragma once

#include <span>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/train_kernels.h"
#include "parallel/thread_pool.h"
#include "tensor/buffer.h"
#include "train/graph_ops.h"
#include "train/param_store.h"

namespace axk1 {

// In f32; or, with compute kBF16, of operands rounded to bf16 and summed in f32: weights are packed
// once for every version of the parameters, in both directions; activations and gradients on the
// way in.
//
// References are kept. One thread at a time, which owns the pool. Every element of a result is
// summed in an order of its own, so nothing depends on the number of threads.
class Products {
 public:
  Products(const ParamStore& params, const KernelTable& kernels, const TrainKernels& train_kernels,
           ThreadPool& pool, DType compute);

  // As in train/graph_ops.h: y = x wᵀ; dx = dy w; dw += dyᵀ x, with dw an arena of the layout.
  void linear(std::span<const RowGroup> groups, const float* x, float* y);
  void linear_dx(std::span<const RowGroup> groups, const float* dy, float* dx, bool accumulate);
  void linear_dw(std::span<const RowGroup> groups, const float* dy, const float* x, float* dw);

  // To be called before the products of a step: packs weights that have changed.
  void refresh();

 private:
  // A piece of a result: rows of the activation, or for dw of the matrix, by columns.
  struct Task {
    const RowGroup* group;
    size_t first_row, num_rows;
    size_t first_col, num_cols;
    size_t first_pair;  // of the group, for dw in bf16
  };
  // A matrix as operand b of pair products: panels of 64 of its rows, pairs of columns (for y); and
  // panels of 64 columns, pairs of rows (for dx).
  struct Packed {
    MatrixParam w;
    size_t forward, backward;  // words from the start of packed_
  };

  // Cuts rows x cols of a group's result.
  void add_tasks(const RowGroup& group, size_t rows, size_t cols, size_t row_step, size_t col_step,
                 size_t first_pair = 0);
  void plan_packing();
  void pack(const Packed& matrix);
  // y [rows, out] (+)= x [rows, inner] times the panels of each group.
  void multiply_packed(std::span<const RowGroup> groups, bool forward, const float* x, float* y,
                       bool accumulate);
  // Rows of x [.., width] as pairs of neighbours in panels, each group from a pair of its own.
  void pack_rows(std::span<const RowGroup> groups, size_t num_pairs, const float* x, size_t width,
                 Buffer& panels);
  void dw_f32(std::span<const RowGroup> groups, const float* dy, const float* x, float* dw);
  void dw_bf16(std::span<const RowGroup> groups, const float* dy, const float* x, float* dw);

  const ParamStore& params_;
  const KernelTable& kernels_;
  const TrainKernels& train_kernels_;
  ThreadPool& pool_;
  const bool bf16_;
  std::vector<Task> tasks_;
  std::vector<Buffer> scratch_;  // [threads]

  std::vector<Packed> matrices_;
  std::vector<size_t> packed_idx_;  // [num_matrices] index into matrices_
  Buffer packed_;
  uint64_t packed_version_ = 0;
  Buffer dy_panels_, x_panels_;  // of linear_dw
};

}  // namespace axk1
