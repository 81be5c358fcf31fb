#include "train/products.h"

#include <algorithm>
#include <cstring>

namespace axk1 {
namespace {

// Tiles of results: their operands, some 100 KiB at a time, stay in the L2 cache.
constexpr size_t kRowStep = 96, kColStep = 256;
// Of dw: rows of the matrix (columns of dy, transposed into scratch), and tokens at a time.
constexpr size_t kWeightRows = 32, kTokenStep = 256;

constexpr auto kF32 = static_cast<size_t>(MatmulTypes::kF32F32);

}  // namespace

Products::Products(const ParamStore& params, const KernelTable& kernels, ThreadPool& pool)
    : params_(params), kernels_(kernels), pool_(pool) {
  for (int i = 0; i < pool.num_threads(); ++i) {
    scratch_.emplace_back(kWeightRows * kTokenStep * sizeof(float));
  }
}

void Products::add_tasks(const RowGroup& group, size_t rows, size_t cols, size_t row_step,
                         size_t col_step) {
  for (size_t r = 0; r < rows; r += row_step) {
    for (size_t c = 0; c < cols; c += col_step) {
      tasks_.push_back({&group, r, std::min(row_step, rows - r), c, std::min(col_step, cols - c)});
    }
  }
}

void Products::linear(std::span<const RowGroup> groups, const float* x, float* y) {
  tasks_.clear();
  for (const RowGroup& g : groups) add_tasks(g, g.num_rows, g.w.rows, kRowStep, kColStep);
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int) {
    const Task& task = tasks_[i];
    const MatrixParam& w = task.group->w;
    const size_t row = task.group->first_row + task.first_row;
    kernels_.matmul_nt[kF32]({.x = x + row * w.cols,
                              .x_stride = w.cols,
                              .w = params_.values().data() + w.offset + task.first_col * w.cols,
                              .w_stride = w.cols,
                              .y = y + row * w.rows + task.first_col,
                              .y_stride = w.rows,
                              .m = task.num_rows,
                              .n = task.num_cols,
                              .k = w.cols});
  });
}

void Products::linear_dx(std::span<const RowGroup> groups, const float* dy, float* dx,
                         bool accumulate) {
  tasks_.clear();
  for (const RowGroup& g : groups) add_tasks(g, g.num_rows, g.w.cols, kRowStep, kColStep);
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int) {
    const Task& task = tasks_[i];
    const MatrixParam& w = task.group->w;
    const size_t row = task.group->first_row + task.first_row;
    float* to = dx + row * w.cols + task.first_col;
    for (size_t r = 0; r < task.num_rows && !accumulate; ++r) {
      std::memset(to + r * w.cols, 0, task.num_cols * sizeof(float));
    }
    kernels_.matmul_nn[kF32]({.x = dy + row * w.rows,
                              .x_stride = w.rows,
                              .w = params_.values().data() + w.offset + task.first_col,
                              .w_stride = w.cols,
                              .y = to,
                              .y_stride = w.cols,
                              .m = task.num_rows,
                              .n = task.num_cols,
                              .k = w.rows});
  });
}

void Products::linear_dw(std::span<const RowGroup> groups, const float* dy, const float* x,
                         float* dw) {
  tasks_.clear();
  for (const RowGroup& g : groups) add_tasks(g, g.w.rows, g.w.cols, kWeightRows, g.w.cols);
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int thread) {
    const Task& task = tasks_[i];
    const MatrixParam& w = task.group->w;
    float* transposed = scratch_[static_cast<size_t>(thread)].as<float>();
    for (size_t t = 0; t < task.group->num_rows; t += kTokenStep) {
      const size_t tokens = std::min(kTokenStep, task.group->num_rows - t);
      const size_t row = task.group->first_row + t;
      for (size_t s = 0; s < tokens; ++s) {
        const float* from = dy + (row + s) * w.rows + task.first_row;
        for (size_t r = 0; r < task.num_rows; ++r) transposed[r * kTokenStep + s] = from[r];
      }
      kernels_.matmul_nn[kF32]({.x = transposed,
                                .x_stride = kTokenStep,
                                .w = x + row * w.cols,
                                .w_stride = w.cols,
                                .y = dw + w.offset + task.first_row * w.cols,
                                .y_stride = w.cols,
                                .m = task.num_rows,
                                .n = w.cols,
                                .k = tokens});
    }
  });
}

}  // namespace axk1
