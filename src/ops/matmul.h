// Products of activations with weights, split over the threads of the pool.
#pragma once

#include <span>

#include "ops/op_context.h"
#include "tensor/tensor_view.h"

namespace axk1 {

// The kernel types of x [.., k] times w [n, k]. x is f32 with any plain w, or bf16 with bf16 w.
MatmulTypes matmul_types(DType x, DType w);

// Activations [.., cols] in the forms that products take. A form may be absent if no product of
// these activations needs it.
struct ActivationView {
  const void* plain = nullptr;      // row-major, cols apart
  DType dtype = DType::kF32;        // of plain: f32 or bf16
  const void* quantized = nullptr;  // rows that quantize_row wrote, for quantised weights
  size_t cols = 0;

  ActivationView from_row(size_t row) const;
};

// One product y = x wᵀ: x [m, k], w [n, k], y [m, n] f32.
struct MatmulTask {
  const void* x = nullptr;
  DType x_dtype = DType::kF32;  // or kQ8: rows that quantize_row wrote
  size_t x_stride = 0;          // elements; bytes for kQ8
  MatrixView w;
  float* y = nullptr;
  size_t y_stride = 0;
  size_t m = 0;
};

// The product with the form of x that w takes.
MatmulTask matmul_task(const ActivationView& x, const MatrixView& w, size_t m, float* y,
                       size_t y_stride);

// All of them in one parallel region. The rows of all weights, laid end to end, are cut into one
// run for each thread, equal in estimated time: a thread reads its weights as one sequential
// stream, and uneven tasks (experts) stay balanced. Nothing is allocated.
void matmul(const OpContext& ctx, std::span<const MatmulTask> tasks);

inline void matmul(const OpContext& ctx, const MatmulTask& task) {
  matmul(ctx, std::span<const MatmulTask>(&task, 1));
}

}  // namespace axk1
