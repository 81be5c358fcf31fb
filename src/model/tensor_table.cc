#include "model/tensor_table.h"

#include <algorithm>

#include "base/error.h"

namespace axk1 {
namespace {

constexpr size_t kMaxProblemsNamed = 5;

}  // namespace

uint64_t StoredTensor::num_elements() const {
  uint64_t count = 1;
  for (uint64_t extent : shape) count *= extent;  // containers have refused what overflows
  return count;
}

TensorTable TensorTable::of_everything(DType dtype) {
  TensorTable table("every tensor");
  table.everything_ = dtype;
  return table;
}

bool TensorTable::contains(const std::string& name) const {
  return everything_ ? name.ends_with(".e_score_correction_bias") : tensors_.contains(name);
}

void TensorTable::add(const SafetensorsFile& file) {
  for (const TensorInfo& info : file.tensors()) {
    tensors_[info.name] = {&file.path(), info.dtype, info.shape, file.bytes(info)};
  }
}

void TensorTable::add(const K1PackFile& file) {
  for (const K1PackRecord& record : file.records()) {
    for (const K1PackTensor& tensor : record.tensors) {
      tensors_[tensor.name] = {&file.path(), tensor.dtype, tensor.shape, file.bytes(tensor)};
    }
  }
}

const StoredTensor* TensorTable::take(const std::string& name, std::span<const uint64_t> shape) {
  if (everything_) {
    made_up_ = {&path_, *everything_, shape};
    return &made_up_;
  }
  const auto at = tensors_.find(name);
  if (at == tensors_.end()) {
    problem(cat(path_, ": tensor \"", name, "\" is missing, expected shape ", shape_text(shape)));
    return nullptr;
  }
  StoredTensor& tensor = at->second;
  tensor.taken = true;
  if (!std::ranges::equal(tensor.shape, shape)) {
    problem(cat(*tensor.file, ": tensor \"", name, "\" has shape ", shape_text(tensor.shape),
                ", expected ", shape_text(shape)));
    return nullptr;
  }
  if (tensor.dtype == DType::kI32) {
    problem(cat(*tensor.file, ": tensor \"", name, "\" has type I32, expected F32, BF16 or F16"));
    return nullptr;
  }
  return &tensor;
}

void TensorTable::problem(std::string text) {
  if (problems_.size() < kMaxProblemsNamed) problems_.push_back(std::move(text));
  ++num_problems_;
}

void TensorTable::check() const {
  if (num_problems_ == 0) return;
  std::string message =
      num_problems_ == 1 ? "" : cat(path_, ": ", num_problems_, " tensors do not fit the config:");
  for (const std::string& text : problems_) {
    message += cat(num_problems_ == 1 ? "" : "\n  ", text);
  }
  if (num_problems_ > problems_.size()) {
    message += cat("\n  and ", num_problems_ - problems_.size(), " more");
  }
  throw Error(ErrorCode::kInvalidInput, message);
}

}  // namespace axk1
