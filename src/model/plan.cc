#include "model/plan.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "io/file.h"

namespace axk1 {
namespace {

// The one formula, in the number type of the caller.
template <class Number>
BasicParameterCounts<Number> parts_of(const ModelConfig& c) {
  const auto n = [](int64_t value) { return static_cast<Number>(value); };
  const Number hidden = n(c.hidden_size), layers = n(c.num_hidden_layers);
  const Number heads = n(c.num_attention_heads), qk = n(c.qk_head_dim());
  const Number moe_layers = n(c.num_moe_layers()), dense_layers = layers - moe_layers;
  const Number expert = 3 * hidden * n(c.moe_intermediate_size);

  Number queries = hidden * heads * qk;
  if (c.q_lora_rank > 0) {
    const Number rank = n(c.q_lora_rank);
    queries = hidden * rank + rank + rank * heads * qk;
  }
  const Number kv_rank = n(c.kv_lora_rank);
  const Number kv = hidden * (kv_rank + n(c.qk_rope_head_dim)) + kv_rank +
                    kv_rank * heads * n(c.qk_nope_head_dim + c.v_head_dim);
  const Number output = heads * n(c.v_head_dim) * hidden;

  BasicParameterCounts<Number> parts;
  parts.embedding = c.tie_word_embeddings ? 0 : n(c.vocab_size) * hidden;
  parts.attention = layers * (queries + kv + output);
  parts.norms = layers * hidden * (c.has_post_mlp_norm ? 3 : 2) + hidden;
  parts.dense_mlp = dense_layers * 3 * hidden * n(c.intermediate_size);
  parts.router = moe_layers * n(c.n_routed_experts) * hidden;
  parts.shared_experts = moe_layers * n(c.n_shared_experts) * expert;
  parts.routed_experts = moe_layers * n(c.n_routed_experts) * expert;
  parts.lm_head = n(c.vocab_size) * hidden;
  parts.unapplied_norms = c.has_post_mlp_norm ? dense_layers * hidden : 0;
  parts.active_routed_experts = moe_layers * n(c.num_experts_per_tok) * expert;
  return parts;
}

// The number in a file of the kernel's; 0 when there is none ("max" means no limit).
uint64_t number_in_file(const std::string& path) {
  try {
    const std::string text = read_file(path, 4096);
    uint64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

ParameterCounts count_parameters(const ModelConfig& config) {
  return parts_of<uint64_t>(config);
}

uint64_t count_mtp_parameters(const ModelConfig& config) {
  ModelConfig layer = config;
  layer.num_hidden_layers = 1;
  layer.is_moe_layer = {config.mtp_layer_is_moe()};
  const ParameterCounts counts = count_parameters(layer);
  const auto hidden = static_cast<uint64_t>(config.hidden_size);
  // The final norm that is counted stands for shared_head.norm.
  return counts.total() - counts.embedding - counts.lm_head + 2 * hidden + 2 * hidden * hidden;
}

double approximate_parameters(const ModelConfig& config) {
  return parts_of<double>(config).total();
}

uint64_t kv_bytes_per_token(const ModelConfig& config, CacheDType cache_dtype) {
  const LatentShape row{.lora = static_cast<size_t>(config.kv_lora_rank),
                        .rope = static_cast<size_t>(config.qk_rope_head_dim)};
  return static_cast<uint64_t>(config.num_hidden_layers) * latent_row_bytes(cache_dtype, row);
}

MemoryPlan plan_memory(const ModelConfig& config, const PlanOptions& options) {
  MemoryPlan plan;
  plan.weights = options.weight_bytes;
  plan.kv_cache = options.context_tokens * kv_bytes_per_token(config, options.cache_dtype);

  // Values that live at once for a token: residual, normed input and output of a block; in
  // attention the queries, their absorbed form and the attended latents; in an MLP gate and up.
  const ModelConfig& c = config;
  const int64_t attention =
      c.q_lora_rank + c.num_attention_heads * (c.qk_head_dim() + c.v_head_dim + 2 * c.kv_lora_rank);
  const int64_t moe =
      c.num_moe_layers() == 0
          ? 0
          : 2 * c.moe_intermediate_size * (c.num_experts_per_tok + c.n_shared_experts) +
                c.n_routed_experts + c.hidden_size * c.num_experts_per_tok;
  const int64_t dense = 2 * c.intermediate_size;
  const int64_t per_token = 3 * c.hidden_size + std::max({attention, moe, dense});
  plan.scratch = sizeof(float) * (options.chunk_tokens * static_cast<uint64_t>(per_token) +
                                  static_cast<uint64_t>(c.vocab_size));
  return plan;
}

uint64_t machine_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page_bytes = ::sysconf(_SC_PAGESIZE);
  uint64_t bytes = pages > 0 && page_bytes > 0
                       ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes)
                       : 0;
  const uint64_t limit = control_group_memory_bytes();
  return limit > 0 && (bytes == 0 || limit < bytes) ? limit : bytes;
}

uint64_t control_group_memory_bytes(const std::string& groups, const std::string& process) {
  uint64_t lowest = 0;
  // Inside a container the process may name a group of the host that is not to be seen; the root
  // is then its own group.
  const auto look = [&](const std::string& root, const char* file, std::string group) {
    for (;;) {
      const uint64_t limit = number_in_file(cat(root, group, "/", file));
      if (limit > 0 && (lowest == 0 || limit < lowest)) lowest = limit;
      if (group.empty()) return;
      group.resize(group.rfind('/'));
    }
  };
  std::string text;
  try {
    text = read_file(process, 65536);
  } catch (const Error&) {
  }
  std::string unified, memory;  // paths, "" for the root
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || second + 1 >= line.size() || line[second + 1] != '/')
      continue;
    const std::string controllers = cat(",", line.substr(first + 1, second - first - 1), ",");
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers == ",,") unified = group;
    if (controllers.find(",memory,") != std::string::npos) memory = group;
  }
  look(groups, "memory.max", unified);
  look(groups + "/memory", "memory.limit_in_bytes", memory);
  return lowest;
}

uint64_t peak_memory_bytes() {
  rusage usage;
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace axk1
