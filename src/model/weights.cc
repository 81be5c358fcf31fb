#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <unordered_map>

#include "base/bf16.h"
#include "formats/safetensors_dir.h"

namespace axk1 {
namespace {

constexpr size_t kMaxProblemsNamed = 5;

struct StoredTensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
  bool taken = false;
};

// Finds tensors by name, checks their shapes, and collects everything that is wrong, so that one
// error tells it all.
class TensorTable {
 public:
  explicit TensorTable(const std::vector<SafetensorsFile>& files, const std::string& dir)
      : dir_(dir) {
    for (const SafetensorsFile& file : files) {
      for (const TensorInfo& info : file.tensors()) tensors_[info.name] = {&file, &info, false};
    }
  }

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const std::unordered_map<std::string_view, StoredTensor>& all() const { return tensors_; }

  // nullptr, and a problem noted, when it is missing or of another shape.
  const StoredTensor* take(const std::string& name, const std::vector<uint64_t>& shape) {
    const auto at = tensors_.find(name);
    if (at == tensors_.end()) {
      problem(cat(dir_, ": tensor \"", name, "\" is missing, expected shape ", shape_text(shape)));
      return nullptr;
    }
    StoredTensor& tensor = at->second;
    tensor.taken = true;
    if (tensor.info->shape != shape) {
      problem(cat(tensor.file->path(), ": tensor \"", name, "\" has shape ",
                  shape_text(tensor.info->shape), ", expected ", shape_text(shape)));
      return nullptr;
    }
    if (tensor.info->dtype == DType::kI32) {
      problem(cat(tensor.file->path(), ": tensor \"", name,
                  "\" has type I32, expected F32, BF16 or F16"));
      return nullptr;
    }
    return &tensor;
  }

  void problem(std::string text) {
    if (problems_.size() < kMaxProblemsNamed) problems_.push_back(std::move(text));
    ++num_problems_;
  }

  // Throws when anything was wrong.
  void check() const {
    if (num_problems_ == 0) return;
    std::string message =
        num_problems_ == 1 ? "" : cat(dir_, ": ", num_problems_, " tensors do not fit the config:");
    for (const std::string& text : problems_)
      message += cat(num_problems_ == 1 ? "" : "\n  ", text);
    if (num_problems_ > problems_.size()) {
      message += cat("\n  and ", num_problems_ - problems_.size(), " more");
    }
    throw Error(ErrorCode::kInvalidInput, message);
  }

 private:
  std::string dir_;
  std::unordered_map<std::string_view, StoredTensor> tensors_;
  std::vector<std::string> problems_;
  uint64_t num_problems_ = 0;
};

uint64_t u(int64_t size) {
  return static_cast<uint64_t>(size);
}

bool is_aligned(std::span<const std::byte> bytes, DType dtype) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(dtype) == 0;
}

float widened(const std::byte* from, DType dtype) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

// Two passes over the same description of the model: the first checks every tensor and converts
// nothing, the second makes the views. So a damaged checkpoint costs no conversion.
class Loader {
 public:
  Loader(const ModelConfig& config, TensorTable& table, ModelWeights& out)
      : c_(config), table_(table), out_(out) {}

  void run(bool make_views) {
    make_views_ = make_views;
    const uint64_t vocab = u(c_.vocab_size), hidden = u(c_.hidden_size);
    out_.layers.assign(static_cast<size_t>(c_.num_hidden_layers), {});
    out_.embed_tokens = matrix("model.embed_tokens.weight", vocab, hidden);
    out_.norm = vector("model.norm.weight", hidden);
    for (size_t i = 0; i < out_.layers.size(); ++i) {
      layer(cat("model.layers.", i, "."), c_.is_moe_layer[i], out_.layers[i]);
    }
    lm_head(vocab, hidden);
  }

 private:
  MatrixView matrix(const std::string& name, uint64_t rows, uint64_t cols, bool keep_type = false) {
    const StoredTensor* tensor = table_.take(name, {rows, cols});
    return tensor ? view(*tensor, rows, cols, keep_type) : MatrixView{};
  }

  // Of a tensor seen as [rows, cols]: the mapped bytes, or a copy when the compute type differs or
  // the file misaligns the elements.
  MatrixView view(const StoredTensor& tensor, uint64_t rows, uint64_t cols, bool keep_type) {
    if (!make_views_) return {};
    const DType stored = tensor.info->dtype;
    const std::span<const std::byte> bytes = tensor.file->bytes(*tensor.info);
    MatrixView m{bytes.data(), stored, rows, cols, cols};
    if (out_.compute_dtype == DType::kBF16 && stored != DType::kBF16 && !keep_type) {
      Buffer& copy = out_.buffers.emplace_back(2 * rows * cols);
      uint16_t* to = copy.as<uint16_t>();
      const size_t step = dtype_bytes(stored);
      for (uint64_t i = 0; i < rows * cols; ++i) {
        to[i] = f32_to_bf16(widened(bytes.data() + i * step, stored));
      }
      m.data = to;
      m.dtype = DType::kBF16;
    } else if (!is_aligned(bytes, stored)) {
      Buffer& copy = out_.buffers.emplace_back(bytes.size());
      std::memcpy(copy.data(), bytes.data(), bytes.size());
      m.data = copy.data();
    }
    return m;
  }

  std::vector<float> vector(const std::string& name, uint64_t size) {
    const StoredTensor* tensor = table_.take(name, {size});
    if (!tensor || !make_views_) return {};
    return tensor->file->read_f32(*tensor->info);
  }

  void layer(const std::string& prefix, bool is_moe, LayerWeights& w) {
    const uint64_t hidden = u(c_.hidden_size);
    w.is_moe = is_moe;
    w.input_layernorm = vector(prefix + "input_layernorm.weight", hidden);
    w.post_attention_layernorm = vector(prefix + "post_attention_layernorm.weight", hidden);
    attention(prefix + "self_attn.", w);
    if (c_.has_post_mlp_norm) post_mlp_norm(prefix, is_moe, w);
    if (is_moe) {
      moe(prefix + "mlp.", w);
    } else {
      w.mlp = mlp(prefix + "mlp.", u(c_.intermediate_size));
    }
  }

  void attention(const std::string& prefix, LayerWeights& w) {
    const uint64_t hidden = u(c_.hidden_size), heads = u(c_.num_attention_heads);
    const uint64_t query_rows = heads * u(c_.qk_head_dim());
    if (c_.q_lora_rank == 0) {
      w.q_proj = matrix(prefix + "q_proj.weight", query_rows, hidden);
    } else {
      const uint64_t rank = u(c_.q_lora_rank);
      w.q_a_proj = matrix(prefix + "q_a_proj.weight", rank, hidden);
      w.q_a_layernorm = vector(prefix + "q_a_layernorm.weight", rank);
      w.q_b_proj = matrix(prefix + "q_b_proj.weight", query_rows, rank);
    }
    const uint64_t kv_rank = u(c_.kv_lora_rank);
    w.kv_a_proj_with_mqa =
        matrix(prefix + "kv_a_proj_with_mqa.weight", kv_rank + u(c_.qk_rope_head_dim), hidden);
    w.kv_a_layernorm = vector(prefix + "kv_a_layernorm.weight", kv_rank);
    w.kv_b_proj = matrix(prefix + "kv_b_proj.weight",
                         heads * u(c_.qk_nope_head_dim + c_.v_head_dim), kv_rank);
    w.o_proj = matrix(prefix + "o_proj.weight", hidden, heads * u(c_.v_head_dim));
  }

  // transformers keeps the norm inside the MoE block when it saves, the releases in the layer. On a
  // dense layer it may be there and is not applied.
  void post_mlp_norm(const std::string& prefix, bool is_moe, LayerWeights& w) {
    const std::string released = prefix + "post_mlp_layernorm.weight";
    const std::string renamed = prefix + "mlp.post_mlp_layernorm.weight";
    const std::string& name =
        table_.contains(renamed) && !table_.contains(released) ? renamed : released;
    if (!is_moe && !table_.contains(name)) return;
    std::vector<float> norm = vector(name, u(c_.hidden_size));
    if (is_moe) w.post_mlp_layernorm = std::move(norm);
  }

  ExpertWeights mlp(const std::string& prefix, uint64_t intermediate) {
    const uint64_t hidden = u(c_.hidden_size);
    ExpertWeights w;
    w.gate = matrix(prefix + "gate_proj.weight", intermediate, hidden);
    w.up = matrix(prefix + "up_proj.weight", intermediate, hidden);
    w.down = matrix(prefix + "down_proj.weight", hidden, intermediate);
    return w;
  }

  void moe(const std::string& prefix, LayerWeights& w) {
    const uint64_t num_experts = u(c_.n_routed_experts), hidden = u(c_.hidden_size);
    w.router = matrix(prefix + "gate.weight", num_experts, hidden, /*keep_type=*/true);
    router_bias(prefix + "gate.e_score_correction_bias", num_experts, w);
    if (table_.contains(prefix + "experts.gate_up_proj") ||
        table_.contains(prefix + "experts.down_proj")) {
      fused_experts(prefix + "experts.", w);
    } else {
      w.experts.resize(num_experts);
      for (uint64_t e = 0; e < num_experts; ++e) {
        w.experts[e] = mlp(cat(prefix, "experts.", e, "."), u(c_.moe_intermediate_size));
      }
    }
    if (c_.n_shared_experts > 0) {
      w.shared_experts =
          mlp(prefix + "shared_experts.", u(c_.n_shared_experts * c_.moe_intermediate_size));
    }
  }

  void router_bias(const std::string& name, uint64_t num_experts, LayerWeights& w) {
    if (!has_router_bias_) has_router_bias_ = table_.contains(name);  // of the first MoE layer
    if (*has_router_bias_) {
      w.e_score_correction_bias = vector(name, num_experts);
      out_.summary.has_router_bias = true;
    } else {
      w.e_score_correction_bias.assign(num_experts, 0.0f);
    }
  }

  // gate_up_proj [experts, 2 * intermediate, hidden], the gate rows first; down_proj
  // [experts, hidden, intermediate].
  void fused_experts(const std::string& prefix, LayerWeights& w) {
    const uint64_t num_experts = u(c_.n_routed_experts), hidden = u(c_.hidden_size);
    const uint64_t intermediate = u(c_.moe_intermediate_size);
    out_.summary.fused_experts = true;
    const StoredTensor* gate_up =
        table_.take(prefix + "gate_up_proj", {num_experts, 2 * intermediate, hidden});
    const StoredTensor* down =
        table_.take(prefix + "down_proj", {num_experts, hidden, intermediate});
    if (!make_views_ || !gate_up || !down) return;
    const MatrixView gate_up_rows = view(*gate_up, num_experts * 2 * intermediate, hidden, false);
    const MatrixView down_rows = view(*down, num_experts * hidden, intermediate, false);
    w.experts.resize(num_experts);
    for (uint64_t e = 0; e < num_experts; ++e) {
      w.experts[e].gate = gate_up_rows.slice_rows(2 * e * intermediate, intermediate);
      w.experts[e].up = gate_up_rows.slice_rows((2 * e + 1) * intermediate, intermediate);
      w.experts[e].down = down_rows.slice_rows(e * hidden, hidden);
    }
  }

  void lm_head(uint64_t vocab, uint64_t hidden) {
    const std::string name = "lm_head.weight";
    if (!c_.tie_word_embeddings) {
      out_.lm_head = matrix(name, vocab, hidden);
      return;
    }
    out_.lm_head = out_.embed_tokens;
    if (!table_.contains(name)) return;
    // Some writers store the tied matrix twice. Two different ones would contradict the config.
    const StoredTensor* head = table_.take(name, {vocab, hidden});
    const StoredTensor* embed = table_.take("model.embed_tokens.weight", {vocab, hidden});
    if (make_views_ || !head || !embed) return;
    const auto a = head->file->bytes(*head->info), b = embed->file->bytes(*embed->info);
    if (head->info->dtype != embed->info->dtype || std::memcmp(a.data(), b.data(), a.size()) != 0) {
      table_.problem(cat(head->file->path(), ": tensor \"", name,
                         "\" differs from \"model.embed_tokens.weight\", but the config has "
                         "tie_word_embeddings true"));
    }
  }

  const ModelConfig& c_;
  TensorTable& table_;
  ModelWeights& out_;
  bool make_views_ = false;
  std::optional<bool> has_router_bias_;
};

// "model.layers.61.eh_proj.weight" -> 61.
std::optional<uint64_t> layer_number(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const size_t digits = name.find('.');
  if (digits == 0 || digits > 9) return std::nullopt;  // npos is larger too
  uint64_t number = 0;
  for (char c : name.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = 10 * number + static_cast<uint64_t>(c - '0');
  }
  return number;
}

// What the graph did not ask for is either known (MTP layers, rotary buffers) or a problem.
void account_for_the_rest(const ModelConfig& config, TensorTable& table,
                          CheckpointSummary& summary) {
  const auto unused_kind = [&](const std::string& name) {
    if (name.ends_with("rotary_emb.inv_freq")) return true;
    const auto layer = layer_number(name);
    return layer && *layer >= u(config.num_hidden_layers) &&
           // What makes a layer past the last a multi-token-prediction layer (DeepSeek-V3 technical
           // report, section 2.2) and not a sign of a wrong num_hidden_layers.
           table.contains(cat("model.layers.", *layer, ".eh_proj.weight"));
  };
  std::vector<std::string> surplus;
  for (const auto& [key, tensor] : table.all()) {
    const std::string name(key);
    ++summary.num_tensors;
    if (tensor.taken) {
      const bool is_state = name.ends_with(".e_score_correction_bias");
      const bool is_second_copy = config.tie_word_embeddings && name == "lm_head.weight";
      if (!is_state && !is_second_copy) {
        summary.parameters += tensor.info->num_elements();
      }
      summary.weight_bytes += tensor.info->size_bytes;
    } else if (!unused_kind(name)) {
      surplus.push_back(name);
    } else if (name.ends_with("rotary_emb.inv_freq")) {
      ++summary.num_unused_tensors;
    } else {
      ++summary.num_mtp_tensors;
      summary.mtp_parameters += tensor.info->num_elements();
    }
  }
  std::sort(surplus.begin(), surplus.end());
  for (const std::string& name : surplus) {
    const StoredTensor& tensor = table.all().at(name);
    table.problem(cat(tensor.file->path(), ": tensor \"", printable(name), "\" ",
                      shape_text(tensor.info->shape), " is not one of a ", config.model_type,
                      " model with this config"));
  }
}

}  // namespace

bool ModelWeights::any_quantized() const {
  const auto in = [](const ExpertWeights& w) {
    return is_quantized(w.gate.dtype) || is_quantized(w.up.dtype) || is_quantized(w.down.dtype);
  };
  return is_quantized(embed_tokens.dtype) || is_quantized(lm_head.dtype) ||
         std::any_of(layers.begin(), layers.end(), [&](const LayerWeights& w) {
           return is_quantized(w.q_proj.dtype) || is_quantized(w.q_a_proj.dtype) ||
                  is_quantized(w.q_b_proj.dtype) || is_quantized(w.kv_a_proj_with_mqa.dtype) ||
                  is_quantized(w.o_proj.dtype) || in(w.mlp) || in(w.shared_experts) ||
                  (!w.experts.empty() && in(w.experts[0]));
         });
}

ModelWeights load_weights(const std::string& dir, const ModelConfig& config,
                          const LoadOptions& options) {
  if (options.dtype == DType::kF16) {
    fail(ErrorCode::kUnsupported, dir, ": cannot compute in f16, expected f32 or bf16");
  }
  ModelWeights weights;
  weights.files = open_safetensors_dir(dir);
  TensorTable table(weights.files, dir);
  Loader loader(config, table, weights);
  loader.run(/*make_views=*/false);
  account_for_the_rest(config, table, weights.summary);
  table.check();

  weights.summary.num_files = weights.files.size();
  const DType stored = table.all().at("model.embed_tokens.weight").info->dtype;
  weights.compute_dtype =
      options.dtype.value_or(stored == DType::kBF16 ? DType::kBF16 : DType::kF32);
  loader.run(/*make_views=*/true);
  return weights;
}

}  // namespace axk1
