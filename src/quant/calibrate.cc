#include "quant/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bf16.h"
#include "base/check.h"
#include "base/error.h"
#include "quant/importance.h"

namespace axk1 {
namespace {

constexpr size_t kColumnGrain = 64;

float widened(float x) {
  return x;
}
float widened(uint16_t x) {
  return bf16_to_f32(x);
}

void check_not_quantized(const std::string& name, const MatrixView& w) {
  if (!is_quantized(w.dtype)) return;
  fail(ErrorCode::kUnsupported, "calibration needs a model that is not quantised: ", name, " is ",
       dtype_name(w.dtype));
}

// FNV-1a, 64 bits (Fowler, Noll, Vo): tells texts apart, protects nothing.
std::string fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::string out = "fnv1a64:";
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[hash >> shift & 15];
  return out;
}

}  // namespace

ImportanceCollector::ImportanceCollector(const ModelConfig& config, const ModelWeights& weights,
                                         ThreadPool& pool)
    : config_(config), weights_(weights), pool_(pool) {
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const LayerWeights& w = weights.layers[layer];
    const std::string prefix = cat("model.layers.", layer, ".");
    add(prefix + "self_attn.q_proj.weight", w.q_proj);
    add(prefix + "self_attn.q_a_proj.weight", w.q_a_proj);
    add(prefix + "self_attn.q_b_proj.weight", w.q_b_proj);
    add(prefix + "self_attn.kv_a_proj_with_mqa.weight", w.kv_a_proj_with_mqa);
    add(prefix + "self_attn.kv_b_proj.weight", w.kv_b_proj);
    add(prefix + "self_attn.o_proj.weight", w.o_proj);
    if (!w.is_moe) {
      add_mlp(prefix + "mlp.", w.mlp);
      continue;
    }
    add(prefix + "mlp.gate.weight", w.router);
    add_experts(prefix + "mlp.experts.", w.experts);
    if (w.shared_experts.gate) add_mlp(prefix + "mlp.shared_experts.", w.shared_experts);
  }
  head_idx_ = entries_.size();
  add("lm_head.weight", weights.lm_head);
}

void ImportanceCollector::add(const std::string& name, const MatrixView& w) {
  if (!w) return;
  check_not_quantized(name, w);
  places_[w.data] = {entries_.size(), 0};
  entries_.push_back({name, w.cols, std::vector<double>(w.cols), {0}});
}

void ImportanceCollector::add_mlp(const std::string& prefix, const ExpertWeights& w) {
  add(prefix + "gate_proj.weight", w.gate);
  places_.try_emplace(w.up.data, Place{kNotCounted, 0});
  add(prefix + "down_proj.weight", w.down);
}

void ImportanceCollector::add_experts(const std::string& prefix,
                                      std::span<const ExpertWeights> experts) {
  const size_t gate = entries_.size(), down = gate + 1;
  for (const char* name : {"gate_proj.weight", "down_proj.weight"}) {
    const size_t columns = entries_.size() == gate ? experts[0].gate.cols : experts[0].down.cols;
    entries_.push_back({.name = prefix + name,
                        .num_columns = columns,
                        .sums = std::vector<double>(experts.size() * columns),
                        .rows = std::vector<uint64_t>(experts.size()),
                        .is_experts = true});
  }
  for (size_t e = 0; e < experts.size(); ++e) {
    check_not_quantized(prefix, experts[e].gate);
    check_not_quantized(prefix, experts[e].down);
    places_[experts[e].gate.data] = {gate, e};
    places_.try_emplace(experts[e].up.data, Place{kNotCounted, e});
    places_[experts[e].down.data] = {down, e};
  }
}

template <class Element>
void ImportanceCollector::add_rows(const Place& place, const Element* x, size_t x_stride,
                                   size_t num_rows) {
  Entry& entry = entries_[place.entry_idx];
  entry.rows[place.expert_idx] += num_rows;
  double* sums = entry.sums.data() + place.expert_idx * entry.num_columns;
  pool_.parallel_for(entry.num_columns, kColumnGrain, [&](size_t begin, size_t end) {
    for (size_t r = 0; r < num_rows; ++r) {
      const Element* row = x + r * x_stride;
      for (size_t c = begin; c < end; ++c) {
        const double value = widened(row[c]);
        sums[c] += value * value;
      }
    }
  });
}

void ImportanceCollector::rows(const MatrixView& w, const void* x, DType x_dtype, size_t x_stride,
                               size_t num_rows) {
  const auto at = places_.find(w.data);
  AXK1_CHECK(at != places_.end());
  if (at->second.entry_idx == kNotCounted) return;
  if (x_dtype == DType::kBF16) {
    add_rows(at->second, static_cast<const uint16_t*>(x), x_stride, num_rows);
  } else {
    AXK1_CHECK(x_dtype == DType::kF32);
    add_rows(at->second, static_cast<const float*>(x), x_stride, num_rows);
  }
}

// The head multiplies the normed output of the last layer, of every token in training and of the
// last one in use: all count, and the product itself is not needed.
void ImportanceCollector::hidden(size_t idx, std::span<const float> x) {
  if (idx != weights_.layers.size()) return;
  const size_t hidden = weights_.norm.size();
  head_rows_.resize(x.size());
  pool_.parallel_for(x.size() / hidden, 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      const std::span<const float> row = x.subspan(t * hidden, hidden);
      double squares = 0;
      for (const float value : row) squares += double{value} * value;
      const double scale =
          1 / std::sqrt(squares / static_cast<double>(hidden) + config_.rms_norm_eps);
      for (size_t c = 0; c < hidden; ++c) {
        head_rows_[t * hidden + c] = static_cast<float>(row[c] * scale * weights_.norm[c]);
      }
    }
  });
  add_rows({head_idx_, 0}, head_rows_.data(), hidden, x.size() / hidden);
}

std::vector<TensorSpec> ImportanceCollector::tensor_specs() const {
  std::vector<TensorSpec> specs;
  const auto take = [&](const Entry& entry) {
    const uint64_t count = entry.rows.size();
    std::vector<uint64_t> shape = {entry.num_columns};
    if (entry.is_experts) shape.insert(shape.begin(), count);
    specs.push_back({entry.name + std::string(kImportanceSuffix), DType::kF32, shape});
    specs.push_back({entry.name + std::string(kImportanceRowsSuffix), DType::kI32, {count}});
  };
  for (const Entry& entry : entries_) take(entry);
  return specs;
}

void ImportanceCollector::append_to(SafetensorsWriter& file) const {
  std::vector<float> means;
  std::vector<int32_t> counts;
  const auto take = [&](const Entry& entry) {
    means.assign(entry.sums.size(), 0.0f);
    counts.clear();
    for (size_t e = 0; e < entry.rows.size(); ++e) {
      constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
      counts.push_back(static_cast<int32_t>(std::min(entry.rows[e], kMost)));
      for (size_t i = e * entry.num_columns; entry.rows[e] && i < (e + 1) * entry.num_columns;
           ++i) {
        means[i] = static_cast<float>(entry.sums[i] / static_cast<double>(entry.rows[e]));
      }
    }
    file.append_f32(entry.name + std::string(kImportanceSuffix), means);
    file.append(entry.name + std::string(kImportanceRowsSuffix), std::as_bytes(std::span(counts)));
  };
  for (const Entry& entry : entries_) take(entry);
}

size_t ImportanceCollector::num_experts() const {
  size_t count = 0;
  for (const Entry& entry : entries_) {
    if (entry.is_experts) count += entry.rows.size();
  }
  return count / 2;  // an entry for gate, one for down
}

size_t ImportanceCollector::num_unseen_experts() const {
  size_t count = 0;
  for (const Entry& entry : entries_) {
    if (entry.is_experts) count += static_cast<size_t>(std::ranges::count(entry.rows, 0u));
  }
  return count / 2;
}

bool calibrate(Engine& engine, std::span<const TokenId> ids, size_t context,
               ImportanceCollector& collector,
               const std::function<bool(size_t done, size_t total)>& progress) {
  AXK1_CHECK(context >= 1 && context <= engine.context_length());
  Forward& forward = engine.forward();
  KvCache cache(engine.config(), forward.cache_dtype());
  cache.reserve(std::min(context, ids.size()));
  for (size_t done = 0; done < ids.size();) {
    if (done % context == 0) cache.truncate(0);
    const size_t room = std::min(context - cache.length(), forward.options().max_batch_tokens);
    const SequenceInput input{.tokens = ids.subspan(done, std::min(room, ids.size() - done)),
                              .cache = &cache};
    forward.run({&input, 1}, &collector);
    done += input.tokens.size();
    if (progress && !progress(done, ids.size())) return false;
  }
  return true;
}

std::map<std::string, std::string> importance_metadata(const Engine& engine, std::string_view text,
                                                       size_t num_tokens, size_t context) {
  const ModelConfig& c = engine.config();
  return {{"format", std::string(kImportanceFormat)},
          {"model", engine.name()},
          {"model_sizes",
           cat(c.model_type, " vocab ", c.vocab_size, " hidden ", c.hidden_size, " layers ",
               c.num_hidden_layers, " dense ", c.num_hidden_layers - c.num_moe_layers(), " heads ",
               c.num_attention_heads, " experts ", c.n_routed_experts, " intermediate ",
               c.intermediate_size, " ", c.moe_intermediate_size)},
          {"tied", c.tie_word_embeddings ? "true" : "false"},
          {"dtype", dtype_name(engine.weights().compute_dtype)},
          {"tokens", cat(num_tokens)},
          {"context", cat(context)},
          {"text_bytes", cat(text.size())},
          {"text_digest", fnv1a(text)}};
}

}  // namespace axk1
