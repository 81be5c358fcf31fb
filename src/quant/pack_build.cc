#include "quant/pack_build.h"

#include <algorithm>

#include "base/bits.h"
#include "io/file.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

constexpr size_t kPieceBytes = size_t{16} << 20;

// Rows of one piece: whole panels.
size_t rows_of_piece(const PackTensor& tensor) {
  const size_t panel = matrix_bytes(tensor.dtype, kPanelRows, tensor.cols());
  return kPanelRows * std::max<size_t>(1, kPieceBytes / std::max<size_t>(1, panel));
}

std::span<const std::byte> source_rows(const PackTensor& tensor, size_t first, size_t count) {
  if (tensor.source->bytes.empty()) return {};  // synthetic
  const DType stored = tensor.source->dtype;
  return tensor.source->bytes.subspan(matrix_bytes(stored, first, tensor.cols()),
                                      matrix_bytes(stored, count, tensor.cols()));
}

}  // namespace

PackPlan plan_pack(std::span<const CheckpointTensor> tensors, const Recipe& recipe) {
  PackPlan plan;
  const auto add = [&](const CheckpointTensor& tensor, K1PackRecordSpec& record) {
    const TensorClass tensor_class = tensor_class_of(tensor.name, tensor.shape);
    const DType dtype = recipe.type_for(tensor_class, tensor.shape, tensor.dtype);
    record.tensors.push_back({tensor.name, dtype, tensor.shape});
    plan.tensors.push_back({&tensor, tensor_class, dtype});
  };
  for (const size_t rank : {1u, 2u}) {
    for (const CheckpointTensor& tensor : tensors) {
      if (tensor.expert >= 0 || tensor.shape.size() != rank) continue;
      add(tensor, plan.contents.trunk.emplace_back(K1PackRecordSpec{tensor.name, {}}));
    }
  }
  std::pair<int64_t, int64_t> last{-1, -1};
  for (const CheckpointTensor& tensor : tensors) {
    if (tensor.expert < 0) continue;
    const std::pair<int64_t, int64_t> expert{tensor.layer, tensor.expert};
    if (expert != last) {
      plan.contents.streamed.push_back(
          {cat("model.layers.", tensor.layer, ".mlp.experts.", tensor.expert), {}});
      last = expert;
    }
    add(tensor, plan.contents.streamed.back());
  }
  return plan;
}

PackResult write_pack(const std::string& path, const PackPlan& plan, const std::string& origin,
                      const FillRows& fill, ThreadPool& pool, const PackProgress& progress) {
  K1PackWriter writer(path, plan.contents, origin, progress.checking);
  PackResult result{.num_records = writer.records().size(),
                    .num_resumed_records = writer.num_done(),
                    .started_anew = writer.started_anew()};
  size_t first_tensor = 0;
  uint64_t total = 0, done = 0;
  for (size_t i = 0; i < writer.records().size(); ++i) {
    const K1PackRecord& record = writer.records()[i];
    if (i < writer.num_done()) first_tensor += record.tensors.size();
    for (const K1PackTensor& tensor : record.tensors) {
      if (i >= writer.num_done()) total += tensor.size_bytes;
    }
  }
  Buffer piece;
  for (size_t t = first_tensor; t < plan.tensors.size(); ++t) {
    const PackTensor& tensor = plan.tensors[t];
    const size_t rows = tensor.rows(), cols = tensor.cols(), step = rows_of_piece(tensor);
    for (size_t first = 0; first < rows; first += step) {
      const size_t count = std::min(step, rows - first);
      const size_t bytes = matrix_bytes(tensor.dtype, count, cols);
      if (bytes == 0) continue;
      if (piece.size_bytes() < bytes) piece = Buffer::untouched(bytes);
      // The disk fetches what comes next while this piece is computed.
      if (first + count < rows) {
        prefetch_mapped(source_rows(tensor, first + count, std::min(step, rows - first - count)));
      } else if (t + 1 < plan.tensors.size()) {
        const PackTensor& next = plan.tensors[t + 1];
        prefetch_mapped(source_rows(next, 0, std::min(rows_of_piece(next), next.rows())));
      }
      pool.parallel_tasks(ceil_div(count, kPanelRows), [&](size_t panel, int thread_idx) {
        const size_t row = panel * kPanelRows;
        fill(t, first + row, std::min(kPanelRows, count - row),
             piece.as<std::byte>() + matrix_bytes(tensor.dtype, row, cols), thread_idx);
      });
      writer.append({piece.as<std::byte>(), bytes});
      release_mapped(source_rows(tensor, first, count));
      done += bytes;
      if (progress.writing) progress.writing(done, total);
    }
  }
  writer.finish();
  return result;
}

}  // namespace axk1
