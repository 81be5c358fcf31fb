// How the tensors of a model become the records of a k1pack file, and the loop that writes them.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "formats/k1pack_writer.h"
#include "model/checkpoint.h"
#include "parallel/thread_pool.h"
#include "quant/recipe.h"

namespace axk1 {

struct PackTensor {
  const CheckpointTensor* source = nullptr;
  TensorClass tensor_class = TensorClass::kVector;
  DType dtype = DType::kF32;  // that it gets

  // A vector counts as one row.
  size_t rows() const { return source->shape.size() == 2 ? source->shape[0] : 1; }
  size_t cols() const { return source->shape.back(); }
};

struct PackPlan {
  std::vector<PackTensor> tensors;  // in the order of the file
  K1PackContents contents;          // records for them; members and metadata are empty
};

// Vectors first, so that loading reads them in one go, then the other tensors of the trunk as they
// come, then a record for each routed expert. `tensors` must outlive the plan.
PackPlan plan_pack(std::span<const CheckpointTensor> tensors, const Recipe& recipe);

// Writes rows [first_row, first_row + num_rows) of plan.tensors[tensor_idx] to dst, in the type
// that the tensor gets: at most kPanelRows of them, from a multiple of kPanelRows on. Called by the
// threads of the pool.
using FillRows = std::function<void(size_t tensor_idx, size_t first_row, size_t num_rows,
                                    std::byte* dst, int thread_idx)>;

struct PackResult {
  size_t num_records = 0;
  size_t num_resumed_records = 0;  // that an interrupted run had left
  bool started_anew = false;       // what an interrupted run had left did not belong to this one
};

struct PackProgress {
  ByteProgress checking;  // what an interrupted run has left
  ByteProgress writing;   // bytes of tensors, this run's
};

// The whole file, in pieces of bounded size: memory does not depend on the model. Mapped bytes of
// the sources are given back as they are used up. See K1PackWriter for `origin`, interruptions and
// errors.
PackResult write_pack(const std::string& path, const PackPlan& plan, const std::string& origin,
                      const FillRows& fill, ThreadPool& pool, const PackProgress& progress = {});

}  // namespace axk1
