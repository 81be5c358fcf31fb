// deps: model
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/config.h"
#include "model/plan.h"

// Whatever config is accepted must give finite scales and sizes that do not overflow.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto json = axk1::json::parse({reinterpret_cast<const char*>(data), size}, "x");
    const axk1::ModelConfig config = axk1::parse_model_config(json, "x");
    if (!std::isfinite(config.softmax_scale()) || !std::isfinite(config.rope_attention_scaling())) {
      std::abort();
    }
    for (float frequency : config.rope_inv_freq()) {
      if (!std::isfinite(frequency)) std::abort();
    }
    const axk1::ParameterCounts counts = axk1::count_parameters(config);
    if (counts.total() > uint64_t{1} << 48 || counts.active() > counts.total()) std::abort();
    axk1::PlanOptions options;
    options.context_tokens = static_cast<uint64_t>(config.max_position_embeddings);
    const axk1::MemoryPlan plan = axk1::plan_memory(config, options);
    if (plan.total() < plan.kv_cache) std::abort();
  } catch (const axk1::Error&) {
  }
  return 0;
}
