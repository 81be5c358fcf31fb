#include "quant/synthetic.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/bf16.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/rng.h"
#include "model/config_json.h"
#include "quant/quantize.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

// The initializer_range that the family trains from, and what norms and biases are spread by.
constexpr double kStandardDeviation = 0.02, kNormDeviation = 0.1, kBiasDeviation = 0.01;
constexpr size_t kPoolPanels = 16;

// Panels [kPanelRows, cols] of one type, one after the other.
using Pools = std::map<std::pair<DType, size_t>, Buffer>;

void store(DType dtype, const std::vector<float>& x, size_t cols, std::byte* dst) {
  if (is_quantized(dtype)) {
    quantize_panel(dtype, x.data(), kPanelRows, cols, {}, dst);
    return;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(dst + 4 * i, &x[i], sizeof x[i]);
    } else {
      const uint16_t bits = dtype == DType::kBF16 ? f32_to_bf16(x[i]) : f32_to_f16(x[i]);
      std::memcpy(dst + 2 * i, &bits, sizeof bits);
    }
  }
}

Pools make_pools(const PackPlan& plan, uint64_t seed, ThreadPool& pool) {
  Pools pools;
  for (const PackTensor& tensor : plan.tensors) {
    if (tensor.tensor_class == TensorClass::kVector) continue;
    const size_t panel = matrix_bytes(tensor.dtype, kPanelRows, tensor.cols());
    Buffer& buffer = pools[{tensor.dtype, tensor.cols()}];
    if (buffer.size_bytes() == 0) buffer = Buffer(kPoolPanels * panel);
  }
  std::vector<Pools::iterator> order;
  for (auto at = pools.begin(); at != pools.end(); ++at) order.push_back(at);
  pool.parallel_tasks(kPoolPanels * order.size(), [&](size_t i, int) {
    const auto [dtype, cols] = order[i / kPoolPanels]->first;
    Rng random(seed + i);
    std::vector<float> x(kPanelRows * cols);
    for (float& value : x) value = static_cast<float>(kStandardDeviation * random.normal());
    store(dtype, x, cols,
          order[i / kPoolPanels]->second.as<std::byte>() +
              i % kPoolPanels * matrix_bytes(dtype, kPanelRows, cols));
  });
  return pools;
}

std::vector<float> random_vector(const PackTensor& tensor, Rng& random) {
  const bool is_bias = tensor.source->name.ends_with(".e_score_correction_bias");
  std::vector<float> values(tensor.cols());
  for (float& value : values) {
    value = static_cast<float>(is_bias ? kBiasDeviation * random.normal()
                                       : 1 + kNormDeviation * random.normal());
  }
  return values;
}

}  // namespace

PackResult write_synthetic_k1pack(const ModelConfig& config, const std::string& path,
                                  const SyntheticOptions& options, ThreadPool& pool) {
  const std::vector<CheckpointTensor> tensors = expected_tensors(config);
  PackPlan plan = plan_pack(tensors, options.recipe);
  plan.contents.members["config.json"] = json::to_text(model_config_json(config)) + "\n";
  plan.contents.metadata = {{"writer", "axk1 convert --shape"},
                            {"recipe", recipe_json(options.recipe)},
                            {"seed", options.seed}};
  const Pools pools = make_pools(plan, options.seed, pool);
  const auto fill = [&](size_t tensor_idx, size_t first_row, size_t num_rows, std::byte* dst, int) {
    const PackTensor& tensor = plan.tensors[tensor_idx];
    Rng random(options.seed ^ (uint64_t{tensor_idx} << 32) ^ first_row);
    if (tensor.tensor_class == TensorClass::kVector) {
      const std::vector<float> values = random_vector(tensor, random);
      std::memcpy(dst, values.data(), values.size() * sizeof(float));
      return;
    }
    const size_t cols = tensor.cols(), panel = matrix_bytes(tensor.dtype, kPanelRows, cols);
    const std::byte* from = pools.at({tensor.dtype, cols}).as<std::byte>();
    std::memcpy(dst, from + random.next() % kPoolPanels * panel,
                matrix_bytes(tensor.dtype, num_rows, cols));
  };
  return write_pack(path, plan, cat("axk1 convert --shape 1 ", options.seed), fill, pool,
                    options.progress);
}

}  // namespace axk1
