#include "quant/convert.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "base/bf16.h"
#include "base/check.h"
#include "base/error.h"
#include "model/widen.h"
#include "quant/quantize.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxMemberBytes = uint64_t{1} << 29;
constexpr const char* kMembers[] = {"config.json",
                                    "generation_config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "encoder.json",
                                    "vocab.bpe",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "additional_chat_templates/tool_use.jinja"};

// Text that changes when the source does: what an interrupted run may go on with.
std::string origin_of(const Checkpoint& source, const ConvertOptions& options) {
  // Raised when the same input would give other bytes.
  constexpr int kConverterVersion = 1;
  std::string origin = cat("axk1 convert ", kConverterVersion, "\n", options.importance_digest);
  std::set<std::string> files;
  for (const CheckpointTensor& tensor : source.tensors) files.emplace(tensor.file);
  for (const std::string& file : files) {
    struct stat status {};
    ::stat(file.c_str(), &status);
    origin += cat("\n", file, " ", static_cast<int64_t>(status.st_size), " ",
                  static_cast<int64_t>(status.st_mtim.tv_sec), " ",
                  static_cast<int64_t>(status.st_mtim.tv_nsec));
  }
  return origin;
}

void check_finite(const CheckpointTensor& tensor, size_t first_row, std::span<const float> x) {
  uint32_t all =
      0;  // the sum of what is not finite is not finite, and loops like this one are fast
  for (float value : x) {
    const uint32_t exponent = std::bit_cast<uint32_t>(value) & 0x7f800000u;
    all |= exponent == 0x7f800000u ? 1u : 0u;
  }
  if (!all) return;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i])) continue;
    const size_t cols = tensor.shape.back();
    fail(ErrorCode::kInvalidInput, tensor.file, ": tensor \"", tensor.name, "\" has ",
         static_cast<double>(x[i]), " in row ", first_row + i / cols, ", column ", i % cols,
         ", expected finite numbers");
  }
}

class Converter {
 public:
  Converter(const PackPlan& plan, const ConvertOptions& options, int num_threads)
      : plan_(plan), scratch_(static_cast<size_t>(num_threads)), importance_(plan.tensors.size()) {
    if (!options.importance) return;
    for (size_t i = 0; i < plan.tensors.size(); ++i) {
      const PackTensor& tensor = plan.tensors[i];
      if (!is_quantized(tensor.dtype)) continue;
      importance_[i] = options.importance(tensor.source->name);
      const size_t found = importance_[i].size();
      if (found != 0 && found != tensor.cols()) {
        fail(ErrorCode::kInvalidInput, "the importance of tensor \"", tensor.source->name,
             "\" has ", found, " columns, expected ", tensor.cols());
      }
    }
  }

  void fill(size_t tensor_idx, size_t first_row, size_t num_rows, std::byte* dst, int thread_idx) {
    const PackTensor& tensor = plan_.tensors[tensor_idx];
    const CheckpointTensor& source = *tensor.source;
    const size_t cols = tensor.cols(), count = num_rows * cols;
    const std::byte* from = source.bytes.data() + matrix_bytes(source.dtype, first_row, cols);
    if (source.dtype == tensor.dtype) {
      std::memcpy(dst, from, matrix_bytes(tensor.dtype, num_rows, cols));
      return;
    }
    std::vector<float>& x = scratch_[static_cast<size_t>(thread_idx)];
    x.resize(std::max(x.size(), count));
    widen_rows(source.dtype, from, num_rows, cols, x.data());
    check_finite(source, first_row, {x.data(), count});
    if (is_quantized(tensor.dtype)) {
      quantize_panel(tensor.dtype, x.data(), num_rows, cols, importance_[tensor_idx], dst);
    } else if (tensor.dtype == DType::kF32) {
      std::memcpy(dst, x.data(), count * sizeof(float));
    } else {
      AXK1_CHECK(tensor.dtype == DType::kBF16);
      for (size_t i = 0; i < count; ++i) {
        const uint16_t bits = f32_to_bf16(x[i]);
        std::memcpy(dst + 2 * i, &bits, sizeof bits);
      }
    }
  }

 private:
  const PackPlan& plan_;
  std::vector<std::vector<float>> scratch_;         // [threads]
  std::vector<std::span<const float>> importance_;  // [tensors]
};

}  // namespace

std::map<std::string, std::string> members_of(const NamedFiles& files) {
  std::map<std::string, std::string> members;
  for (const char* name : kMembers) {
    if (files.contains(name)) members[name] = files.read(name, kMaxMemberBytes);
  }
  return members;
}

PackResult convert_to_k1pack(const Checkpoint& source, const std::string& path,
                             const ConvertOptions& options, ThreadPool& pool) {
  PackPlan plan = plan_pack(source.tensors, options.recipe);
  plan.contents.members = members_of(source.files);
  plan.contents.metadata = {{"writer", "axk1 convert"},
                            {"recipe", recipe_json(options.recipe)},
                            {"importance", options.importance_digest}};
  Converter converter(plan, options, pool.num_threads());
  return write_pack(
      path, plan, origin_of(source, options),
      [&](size_t tensor_idx, size_t first_row, size_t num_rows, std::byte* dst, int thread_idx) {
        converter.fill(tensor_idx, first_row, num_rows, dst, thread_idx);
      },
      pool, options.progress);
}

}  // namespace axk1
