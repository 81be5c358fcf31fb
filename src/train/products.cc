#include "train/products.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {
namespace {

// Tiles of results: their operands, some 100 KiB at a time, stay in the L2 cache.
constexpr size_t kRowStep = 96, kColStep = 256;
// Of dw in f32: rows of the matrix (columns of dy, transposed into scratch), and tokens at a time.
constexpr size_t kWeightRows = 32, kTokenStep = 256;
// Pairs of a sum at a time: a panel of so many is 32 KiB.
constexpr size_t kPairStep = 128;
// Columns of a tile whose rows of x are packed together.
constexpr size_t kPackedCols = 16 * kPairPanel;
constexpr size_t kScratchBytes =
    std::max(kWeightRows * kTokenStep * sizeof(float), kRowStep* kPairStep * sizeof(uint32_t));

constexpr auto kF32 = static_cast<size_t>(MatmulTypes::kF32F32);

}  // namespace

Products::Products(const ParamStore& params, const KernelTable& kernels,
                   const TrainKernels& train_kernels, ThreadPool& pool, DType compute)
    : params_(params),
      kernels_(kernels),
      train_kernels_(train_kernels),
      pool_(pool),
      bf16_(compute == DType::kBF16) {
  for (int i = 0; i < pool.num_threads(); ++i) scratch_.emplace_back(kScratchBytes);
  if (bf16_) plan_packing();
}

void Products::plan_packing() {
  const ParamLayout& layout = params_.layout();
  packed_idx_.resize(layout.num_matrices());
  size_t words = 0;
  const auto add = [&](const MatrixParam& w) {
    if (w.rows == 0) return;
    packed_idx_[w.idx] = matrices_.size();
    Packed& p = matrices_.emplace_back(Packed{w, words, 0});
    words += round_up(w.rows, kPairPanel) * ceil_div(w.cols, 2);
    p.backward = words;
    words += round_up(w.cols, kPairPanel) * ceil_div(w.rows, 2);
  };
  const auto add_mlp = [&](const MlpParams& mlp) {
    add(mlp.gate_up);
    add(mlp.down);
  };
  for (const LayerParams& layer : layout.layers) {
    for (const MatrixParam& w : {layer.in_proj, layer.q_b, layer.kv_b, layer.o}) add(w);
    add_mlp(layer.mlp);
    for (const MlpParams& expert : layer.experts) add_mlp(expert);
    add_mlp(layer.shared);
  }
  if (layout.mtp) add(layout.mtp->eh_proj);
  add(layout.head);
  packed_ = Buffer(words * sizeof(uint32_t));  // zeros, which is what pads panels
}

void Products::refresh() {
  if (!bf16_ || packed_version_ == params_.version()) return;
  packed_version_ = params_.version();
  pool_.parallel_tasks(matrices_.size(), [&](size_t i, int) { pack(matrices_[i]); });
}

void Products::pack(const Packed& matrix) {
  const MatrixParam& w = matrix.w;
  const float* values = params_.values().data() + w.offset;
  const size_t col_pairs = ceil_div(w.cols, 2), row_pairs = ceil_div(w.rows, 2);
  std::vector<uint32_t> row(col_pairs);
  for (size_t r = 0; r < w.rows; ++r) {
    kernels_.f32_to_bf16(values + r * w.cols, reinterpret_cast<uint16_t*>(row.data()), w.cols);
    uint32_t* to = packed_.as<uint32_t>() + matrix.forward +
                   r / kPairPanel * col_pairs * kPairPanel + r % kPairPanel;
    for (size_t p = 0; p < col_pairs; ++p) to[p * kPairPanel] = row[p];
  }
  for (size_t c = 0; c < w.cols; c += kPairPanel) {
    uint32_t* to = packed_.as<uint32_t>() + matrix.backward + c * row_pairs;
    for (size_t p = 0; p < row_pairs; ++p) {
      const float* even = values + 2 * p * w.cols + c;
      train_kernels_.pack_pairs(even, 2 * p + 1 < w.rows ? even + w.cols : nullptr,
                                to + p * kPairPanel, std::min(kPairPanel, w.cols - c));
    }
  }
}

void Products::add_tasks(const RowGroup& group, size_t rows, size_t cols, size_t row_step,
                         size_t col_step, size_t first_pair) {
  for (size_t r = 0; r < rows; r += row_step) {
    for (size_t c = 0; c < cols; c += col_step) {
      tasks_.push_back(
          {&group, r, std::min(row_step, rows - r), c, std::min(col_step, cols - c), first_pair});
    }
  }
}

void Products::linear(std::span<const RowGroup> groups, const float* x, float* y) {
  if (bf16_) return multiply_packed(groups, true, x, y, false);
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
  if (bf16_) return multiply_packed(groups, false, dy, dx, accumulate);
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

void Products::multiply_packed(std::span<const RowGroup> groups, bool forward, const float* x,
                               float* y, bool accumulate) {
  AXK1_CHECK(packed_version_ == params_.version());
  tasks_.clear();
  for (const RowGroup& g : groups) {
    add_tasks(g, g.num_rows, forward ? g.w.rows : g.w.cols, kRowStep, kPackedCols);
  }
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int thread) {
    const Task& task = tasks_[i];
    const MatrixParam& w = task.group->w;
    const Packed& packed = matrices_[packed_idx_[w.idx]];
    const size_t inner = forward ? w.cols : w.rows, out = forward ? w.rows : w.cols;
    const size_t pairs = ceil_div(inner, 2);
    const size_t row = task.group->first_row + task.first_row;
    const uint32_t* panels = packed_.as<uint32_t>() + (forward ? packed.forward : packed.backward);
    uint32_t* words = scratch_[static_cast<size_t>(thread)].as<uint32_t>();
    for (size_t p = 0; p < pairs; p += kPairStep) {
      const size_t count = std::min(kPairStep, pairs - p);
      const size_t width = std::min(2 * count, inner - 2 * p);
      for (size_t r = 0; r < task.num_rows; ++r) {
        auto* to = reinterpret_cast<uint16_t*>(words + r * kPairStep);
        kernels_.f32_to_bf16(x + (row + r) * inner + 2 * p, to, width);
        if (width % 2) to[width] = 0;
      }
      for (size_t c = task.first_col; c < task.first_col + task.num_cols; c += kPairPanel) {
        train_kernels_.pair_product({.a = words,
                                     .a_row_stride = kPairStep,
                                     .a_step_stride = 1,
                                     .b = panels + c * pairs + p * kPairPanel,
                                     .y = y + row * out + c,
                                     .y_stride = out,
                                     .m = task.num_rows,
                                     .n = std::min(kPairPanel, out - c),
                                     .k = count,
                                     .accumulate = accumulate || p > 0});
      }
    }
  });
}

void Products::linear_dw(std::span<const RowGroup> groups, const float* dy, const float* x,
                         float* dw) {
  return bf16_ ? dw_bf16(groups, dy, x, dw) : dw_f32(groups, dy, x, dw);
}

void Products::dw_f32(std::span<const RowGroup> groups, const float* dy, const float* x,
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

void Products::pack_rows(std::span<const RowGroup> groups, size_t num_pairs, const float* x,
                         size_t width, Buffer& panels) {
  const size_t bytes = round_up(width, kPairPanel) * num_pairs * sizeof(uint32_t);
  if (panels.size_bytes() < bytes) panels = Buffer::untouched(bytes);
  constexpr size_t kRowsAtOnce = 64;
  tasks_.clear();
  size_t first_pair = 0;
  for (const RowGroup& g : groups) {
    add_tasks(g, g.num_rows, width, kRowsAtOnce, width, first_pair);
    first_pair += ceil_div(g.num_rows, 2);
  }
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int) {
    const Task& task = tasks_[i];
    for (size_t r = task.first_row; r < task.first_row + task.num_rows; r += 2) {
      const float* even = x + (task.group->first_row + r) * width;
      const bool both = r + 1 < task.group->num_rows;
      uint32_t* to = panels.as<uint32_t>() + (task.first_pair + r / 2) * kPairPanel;
      for (size_t c = 0; c < width; c += kPairPanel) {
        train_kernels_.pack_pairs(even + c, both ? even + width + c : nullptr, to + c * num_pairs,
                                  std::min(kPairPanel, width - c));
      }
    }
  });
}

void Products::dw_bf16(std::span<const RowGroup> groups, const float* dy, const float* x,
                       float* dw) {
  if (groups.empty()) return;
  size_t num_pairs = 0;
  for (const RowGroup& g : groups) num_pairs += ceil_div(g.num_rows, 2);
  pack_rows(groups, num_pairs, dy, groups[0].w.rows, dy_panels_);
  pack_rows(groups, num_pairs, x, groups[0].w.cols, x_panels_);
  tasks_.clear();
  size_t first_pair = 0;
  for (const RowGroup& g : groups) {
    add_tasks(g, g.w.rows, g.w.cols, kPairPanel, kColStep, first_pair);
    first_pair += ceil_div(g.num_rows, 2);
  }
  pool_.parallel_tasks(tasks_.size(), [&](size_t i, int) {
    const Task& task = tasks_[i];
    const MatrixParam& w = task.group->w;
    const size_t pairs = ceil_div(task.group->num_rows, 2);
    for (size_t p = 0; p < pairs; p += kPairStep) {
      const size_t at = (task.first_pair + p) * kPairPanel;
      for (size_t c = task.first_col; c < task.first_col + task.num_cols; c += kPairPanel) {
        train_kernels_.pair_product(
            {.a = dy_panels_.as<uint32_t>() + task.first_row * num_pairs + at,
             .a_row_stride = 1,
             .a_step_stride = kPairPanel,
             .b = x_panels_.as<uint32_t>() + c * num_pairs + at,
             .y = dw + w.offset + task.first_row * w.cols + c,
             .y_stride = w.cols,
             .m = task.num_rows,
             .n = std::min(kPairPanel, w.cols - c),
             .k = std::min(kPairStep, pairs - p),
             .accumulate = true});
      }
    }
  });
}

}  // namespace axk1
