// What every op computes with. Ops check shapes, own the parallel loop, and call the kernel table.
#pragma once

#include "kernels/kernel_table.h"
#include "parallel/thread_pool.h"
#include "tensor/tensor_view.h"

namespace axk1 {

// Sees what matrices multiply, before they do, on the thread that calls the op: for calibration.
class MatmulObserver {
 public:
  virtual ~MatmulObserver() = default;
  // w [n, k] multiplies x [num_rows, k] of type f32 or bf16, rows x_stride elements apart.
  virtual void rows(const MatrixView& w, const void* x, DType x_dtype, size_t x_stride,
                    size_t num_rows) = 0;
};

// All outlive the context. One op at a time may run on a pool. An op that takes a matrix through
// its own kernels instead of matmul() shows its rows to the observer itself.
struct OpContext {
  const KernelTable& kernels;
  ThreadPool& pool;
  MatmulObserver* observer = nullptr;  // or null
};

}  // namespace axk1
