// The matrix products of training, split over the threads of a pool.
#pragma once

#include <span>
#include <vector>

#include "kernels/kernel_table.h"
#include "parallel/thread_pool.h"
#include "tensor/buffer.h"
#include "train/graph_ops.h"
#include "train/param_store.h"

namespace axk1 {

// References are kept. One thread at a time, which owns the pool. Every element of a result is
// summed in an order of its own, so nothing depends on the number of threads.
class Products {
 public:
  Products(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool);

  // As in train/graph_ops.h: y = x wᵀ; dx = dy w; dw += dyᵀ x, with dw an arena of the layout.
  void linear(std::span<const RowGroup> groups, const float* x, float* y);
  void linear_dx(std::span<const RowGroup> groups, const float* dy, float* dx, bool accumulate);
  void linear_dw(std::span<const RowGroup> groups, const float* dy, const float* x, float* dw);

 private:
  // A piece of a result: rows of the activation, or for dw of the matrix, by columns.
  struct Task {
    const RowGroup* group;
    size_t first_row, num_rows;
    size_t first_col, num_cols;
  };
  // Cuts rows x cols of a group's result.
  void add_tasks(const RowGroup& group, size_t rows, size_t cols, size_t row_step, size_t col_step);

  const ParamStore& params_;
  const KernelTable& kernels_;
  ThreadPool& pool_;
  std::vector<Task> tasks_;
  std::vector<Buffer> scratch_;  // [threads]
};

}  // namespace axk1
