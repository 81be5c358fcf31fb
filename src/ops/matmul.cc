#include "ops/matmul.h"

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {
namespace {

// Rows of w are handed out in multiples of this, so that kernels see whole register tiles, which
// may be of two panels.
constexpr size_t kRowGrain = 2 * kPanelRows;

// Threads share the end of products that are larger than this, at least so much of them at a time:
// smaller ones may stay in the caches of those who read them last.
constexpr size_t kSharedBytes = size_t{4} << 20;
constexpr size_t kChunkBytes = size_t{256} << 10;

// Time of one row of w in arbitrary units: its bytes from memory, or its multiply-adds, whichever
// takes longer. A core reads about 8 bytes in the time of 32 multiply-adds, 64 of 8 bits.
double row_cost(const MatmulTask& task) {
  const double products = static_cast<double>(task.w.cols) * static_cast<double>(task.m);
  const auto bytes = static_cast<double>(matrix_bytes(task.w.dtype, kPanelRows, task.w.cols)) /
                     static_cast<double>(kPanelRows);
  return std::max(bytes, products / (is_quantized(task.w.dtype) ? 7 : 4));
}

QuantType quant_type(DType w) {
  switch (w) {
    case DType::kQ8:
      return QuantType::kQ8;
    case DType::kQ4:
      return QuantType::kQ4;
    default:
      AXK1_CHECK(w == DType::kQ3);
      return QuantType::kQ3;
  }
}

void run_rows(const OpContext& ctx, const MatmulTask& task, size_t first, size_t count) {
  const MatrixView w = task.w.slice_rows(first, count);
  if (is_quantized(w.dtype)) {
    ctx.kernels.matmul_q[static_cast<size_t>(quant_type(w.dtype))]({.x = task.x,
                                                                    .x_stride = task.x_stride,
                                                                    .w = w.data,
                                                                    .y = task.y + first,
                                                                    .y_stride = task.y_stride,
                                                                    .m = task.m,
                                                                    .n = count,
                                                                    .k = w.cols});
    return;
  }
  const MatmulKernel kernel =
      ctx.kernels.matmul_nt[static_cast<size_t>(matmul_types(task.x_dtype, w.dtype))];
  kernel({.x = task.x,
          .x_stride = task.x_stride,
          .w = w.data,
          .w_stride = w.stride,
          .y = task.y + first,
          .y_stride = task.y_stride,
          .m = task.m,
          .n = count,
          .k = w.cols});
}

}  // namespace

MatmulTypes matmul_types(DType x, DType w) {
  if (x == DType::kBF16) {
    AXK1_CHECK(w == DType::kBF16);
    return MatmulTypes::kBF16BF16;
  }
  AXK1_CHECK(x == DType::kF32);
  switch (w) {
    case DType::kF32:
      return MatmulTypes::kF32F32;
    case DType::kBF16:
      return MatmulTypes::kF32BF16;
    case DType::kF16:
      return MatmulTypes::kF32F16;
    default:
      break;
  }
  AXK1_CHECK(false);
}

ActivationView ActivationView::from_row(size_t row) const {
  ActivationView rest = *this;
  if (plain) rest.plain = static_cast<const char*>(plain) + row * cols * dtype_bytes(dtype);
  if (quantized) {
    rest.quantized = static_cast<const char*>(quantized) + row * activation_row_bytes(cols);
  }
  return rest;
}

MatmulTask matmul_task(const ActivationView& x, const MatrixView& w, size_t m, float* y,
                       size_t y_stride) {
  AXK1_CHECK(x.cols == w.cols);
  MatmulTask task{.w = w, .y = y, .y_stride = y_stride, .m = m};
  if (is_quantized(w.dtype)) {
    task.x = x.quantized;
    task.x_dtype = DType::kQ8;
    task.x_stride = activation_row_bytes(x.cols);
  } else {
    task.x = x.plain;
    task.x_dtype = x.dtype;
    task.x_stride = x.cols;
  }
  return task;
}

void matmul(const OpContext& ctx, std::span<const MatmulTask> tasks) {
  double total = 0;
  size_t bytes = 0;
  for (const MatmulTask& task : tasks) {
    AXK1_CHECK(task.m == 0 || (task.x && task.y && task.x_stride >= task.w.cols));
    AXK1_CHECK(is_quantized(task.w.dtype) == (task.x_dtype == DType::kQ8));
    total += row_cost(task) * static_cast<double>(task.w.rows);
    bytes += matrix_bytes(task.w.dtype, task.w.rows, task.w.cols);
    if (ctx.observer && task.m) {
      ctx.observer->rows(task.w, task.x, task.x_dtype, task.x_stride, task.m);
    }
  }
  const int num_threads = ctx.pool.num_threads();
  if (num_threads == 1) {
    for (const MatmulTask& task : tasks) {
      if (task.m) run_rows(ctx, task, 0, task.w.rows);
    }
    return;
  }
  constexpr size_t kParts = ThreadPool::kPartsPerThread;
  const size_t parts = static_cast<size_t>(num_threads) * kParts;
  const size_t chunk = bytes < kSharedBytes ? 0 : ceil_div(kChunkBytes * parts, bytes);
  ctx.pool.parallel_parts(chunk, [&](size_t first_part, size_t last_part) {
    const double begin = total * static_cast<double>(first_part) / static_cast<double>(parts);
    const double end = total * static_cast<double>(last_part) / static_cast<double>(parts);
    double at = 0;  // cost of the tasks before this one
    for (const MatmulTask& task : tasks) {
      const double cost = row_cost(task);
      const size_t rows = task.w.rows;
      // The row at which a cut falls, by the same arithmetic on both sides of the cut.
      const auto row_at = [&](double cut) {
        const double row = (cut - at) / cost;
        if (row <= 0) return size_t{0};
        if (row >= static_cast<double>(rows)) return rows;
        return std::min(rows, round_up(static_cast<size_t>(row), kRowGrain));
      };
      const size_t first = first_part == 0 ? 0 : row_at(begin);
      const size_t last = last_part == parts ? rows : row_at(end);
      if (first < last && task.m) run_rows(ctx, task, first, last - first);
      at += cost * static_cast<double>(rows);
      if (last_part != parts && at >= end) break;
    }
  });
}

}  // namespace axk1
