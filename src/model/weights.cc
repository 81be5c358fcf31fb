#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "base/bf16.h"
#include "base/error.h"
#include "formats/safetensors_dir.h"
#include "model/checkpoint.h"
#include "model/tensor_table.h"
#include "model/widen.h"

namespace axk1 {
namespace {

uint64_t u(int64_t size) {
  return static_cast<uint64_t>(size);
}

bool is_aligned(std::span<const std::byte> bytes, DType dtype) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(dtype) == 0;
}

// What makes a layer past the last a multi-token-prediction layer, and not a sign of a wrong
// num_hidden_layers.
constexpr const char* kMtpMark = "eh_proj.weight";

// What a matrix may be stored as, and whether it is converted to the compute type.
enum class Storage { kAny, kPlain, kPlainKept };

// Passes over one description of the model: the first checks every tensor and converts nothing, so
// that a damaged checkpoint costs no conversion; the second makes the views, or lists the tensors.
class Loader {
 public:
  Loader(const ModelConfig& config, TensorTable& table, ModelWeights& out)
      : c_(config), table_(table), out_(out) {}

  void check() { walk(); }
  void make_views() {
    make_views_ = true;
    walk();
  }
  void list(std::vector<CheckpointTensor>& tensors) {
    list_ = &tensors;
    walk();
  }

 private:
  void walk() {
    const uint64_t vocab = u(c_.vocab_size), hidden = u(c_.hidden_size);
    out_.layers.assign(static_cast<size_t>(c_.num_hidden_layers), {});
    out_.embed_tokens = matrix("model.embed_tokens.weight", vocab, hidden);
    out_.norm = vector("model.norm.weight", hidden);
    for (size_t i = 0; i < out_.layers.size(); ++i) {
      layer_ = static_cast<int64_t>(i);
      layer(cat("model.layers.", i, "."), c_.is_moe_layer[i], out_.layers[i]);
    }
    layer_ = c_.num_hidden_layers;
    mtp(cat("model.layers.", layer_, "."));
    layer_ = -1;
    lm_head(vocab, hidden);
  }

  void mtp(const std::string& prefix) {
    const bool there = table_.has_everything() ? c_.num_nextn_predict_layers > 0
                                               : table_.contains(prefix + kMtpMark);
    if (!there) return;
    const uint64_t hidden = u(c_.hidden_size);
    MtpWeights& w = out_.mtp.emplace();
    w.enorm = vector(prefix + "enorm.weight", hidden);
    w.hnorm = vector(prefix + "hnorm.weight", hidden);
    w.eh_proj = matrix(prefix + kMtpMark, hidden, 2 * hidden);
    layer(prefix, c_.mtp_layer_is_moe(), w.layer);
    w.norm = vector(prefix + "shared_head.norm.weight", hidden);
  }

  MatrixView matrix(const std::string& name, uint64_t rows, uint64_t cols,
                    Storage storage = Storage::kAny) {
    const uint64_t shape[] = {rows, cols};
    const StoredTensor* tensor = table_.take(name, shape);
    if (!tensor) return {};
    if (storage != Storage::kAny && is_quantized(tensor->dtype)) {
      table_.problem(cat(*tensor->file, ": tensor \"", name, "\" has type ",
                         dtype_name(tensor->dtype), ", expected F32, BF16 or F16"));
    }
    note(name, *tensor, {rows, cols}, tensor->bytes);
    return view(*tensor, rows, cols, storage);
  }

  void note(const std::string& name, const StoredTensor& tensor, std::vector<uint64_t> shape,
            std::span<const std::byte> bytes) {
    if (!list_) return;
    list_->push_back({name, tensor.dtype, std::move(shape), bytes, *tensor.file, layer_, expert_});
  }

  // Of a tensor seen as [rows, cols]: the mapped bytes, or a copy when the compute type differs or
  // the file misaligns the elements.
  MatrixView view(const StoredTensor& tensor, uint64_t rows, uint64_t cols, Storage storage) {
    if (!make_views_) return {};
    const DType stored = tensor.dtype;
    const std::span<const std::byte> bytes = tensor.bytes;
    MatrixView m{bytes.data(), stored, rows, cols, cols};
    if (is_quantized(stored)) return m;
    if (out_.compute_dtype == DType::kBF16 && stored != DType::kBF16 &&
        storage != Storage::kPlainKept) {
      Buffer& copy = out_.buffers.emplace_back(2 * rows * cols);
      uint16_t* to = copy.as<uint16_t>();
      std::vector<float> row(cols);
      for (uint64_t r = 0; r < rows; ++r) {
        widen_rows(stored, bytes.data() + r * cols * dtype_bytes(stored), 1, cols, row.data());
        for (uint64_t i = 0; i < cols; ++i) to[r * cols + i] = f32_to_bf16(row[i]);
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
    const StoredTensor* tensor = table_.take(name, {&size, 1});
    if (!tensor) return {};
    note(name, *tensor, {size}, tensor->bytes);
    if (!make_views_) return {};
    std::vector<float> values(size);
    widen_rows(tensor->dtype, tensor->bytes.data(), 1, size, values.data());
    return values;
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
    // Its absorbed form is read by columns, which panels of rows do not give.
    w.kv_b_proj = matrix(prefix + "kv_b_proj.weight",
                         heads * u(c_.qk_nope_head_dim + c_.v_head_dim), kv_rank, Storage::kPlain);
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
    w.router = matrix(prefix + "gate.weight", num_experts, hidden, Storage::kPlainKept);
    router_bias(prefix + "gate.e_score_correction_bias", num_experts, w);
    if (table_.contains(prefix + "experts.gate_up_proj") ||
        table_.contains(prefix + "experts.down_proj")) {
      fused_experts(prefix + "experts.", w);
    } else {
      w.experts.resize(num_experts);
      for (uint64_t e = 0; e < num_experts; ++e) {
        expert_ = static_cast<int64_t>(e);
        w.experts[e] = mlp(cat(prefix, "experts.", e, "."), u(c_.moe_intermediate_size));
      }
      expert_ = -1;
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
    const uint64_t gate_up_shape[] = {num_experts, 2 * intermediate, hidden};
    const uint64_t down_shape[] = {num_experts, hidden, intermediate};
    const StoredTensor* gate_up = table_.take(prefix + "gate_up_proj", gate_up_shape);
    const StoredTensor* down = table_.take(prefix + "down_proj", down_shape);
    if (!gate_up || !down) return;
    for (uint64_t e = 0; list_ && e < num_experts; ++e) {
      expert_ = static_cast<int64_t>(e);
      const std::string name = cat(prefix, e, ".");
      const size_t size = gate_up->bytes.size() / num_experts / 2;
      const auto gate = gate_up->bytes.subspan(2 * e * size, size);
      const auto up = gate_up->bytes.subspan((2 * e + 1) * size, size);
      note(name + "gate_proj.weight", *gate_up, {intermediate, hidden}, gate);
      note(name + "up_proj.weight", *gate_up, {intermediate, hidden}, up);
      note(name + "down_proj.weight", *down, {hidden, intermediate},
           down->bytes.subspan(e * (down->bytes.size() / num_experts),
                               down->bytes.size() / num_experts));
    }
    expert_ = -1;
    if (!make_views_) return;
    const MatrixView gate_up_rows =
        view(*gate_up, num_experts * 2 * intermediate, hidden, Storage::kAny);
    const MatrixView down_rows = view(*down, num_experts * hidden, intermediate, Storage::kAny);
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
    const uint64_t shape[] = {vocab, hidden};
    const StoredTensor* head = table_.take(name, shape);
    const StoredTensor* embed = table_.take("model.embed_tokens.weight", shape);
    if (make_views_ || list_ || !head || !embed) return;
    if (head->dtype != embed->dtype ||
        std::memcmp(head->bytes.data(), embed->bytes.data(), head->bytes.size()) != 0) {
      table_.problem(cat(*head->file, ": tensor \"", name,
                         "\" differs from \"model.embed_tokens.weight\", but the config has "
                         "tie_word_embeddings true"));
    }
  }

  const ModelConfig& c_;
  TensorTable& table_;
  ModelWeights& out_;
  bool make_views_ = false;
  std::vector<CheckpointTensor>* list_ = nullptr;
  int64_t layer_ = -1, expert_ = -1;  // of what is being listed
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

// What the graph did not ask for is either known (see num_unused_tensors) or a problem.
void account_for_the_rest(const ModelConfig& config, TensorTable& table,
                          CheckpointSummary& summary) {
  const uint64_t mtp_layer = u(config.num_hidden_layers);
  const auto is_unused_kind = [&](const std::string& name) {
    if (name.ends_with("rotary_emb.inv_freq")) return true;
    const auto layer = layer_number(name);
    if (!layer || *layer < mtp_layer ||
        !table.contains(cat("model.layers.", *layer, ".", kMtpMark)))
      return false;
    return *layer > mtp_layer || name.ends_with(".embed_tokens.weight") ||
           name.ends_with(".shared_head.head.weight");
  };
  std::vector<std::string> surplus;
  for (const auto& [key, tensor] : table.all()) {
    const std::string name(key);
    ++summary.num_tensors;
    if (tensor.taken) {
      const bool is_state = name.ends_with(".e_score_correction_bias");
      const bool is_second_copy = config.tie_word_embeddings && name == "lm_head.weight";
      const bool is_mtp = layer_number(name) == mtp_layer;
      uint64_t& parameters = is_mtp ? summary.mtp_parameters : summary.parameters;
      if (!is_state && !is_second_copy) parameters += tensor.num_elements();
      (is_mtp ? summary.mtp_bytes : summary.weight_bytes) += tensor.bytes.size();
      summary.num_mtp_tensors += is_mtp;
    } else if (is_unused_kind(name)) {
      ++summary.num_unused_tensors;
    } else {
      surplus.push_back(name);
    }
  }
  std::sort(surplus.begin(), surplus.end());
  for (const std::string& name : surplus) {
    const StoredTensor& tensor = table.all().at(name);
    table.problem(cat(*tensor.file, ": tensor \"", printable(name), "\" ", shape_text(tensor.shape),
                      " is not one of a ", config.model_type, " model with this config"));
  }
}

// Opens the files into the vectors that will own them.
TensorTable open_tensors(const std::string& path, const LoadOptions& options,
                         std::vector<SafetensorsFile>& safetensors,
                         std::vector<K1PackFile>& packs) {
  TensorTable table(path);
  if (is_k1pack(path)) {
    table.add(packs.emplace_back(path, options.load, options.progress));
    return table;
  }
  if (options.load == K1PackLoad::kRead) {
    fail(ErrorCode::kUnsupported, path,
         ": only k1pack files are read into memory at once; axk1 convert makes one");
  }
  safetensors = open_safetensors_dir(path);
  for (const SafetensorsFile& file : safetensors) table.add(file);
  return table;
}

// Throws when anything does not fit the config.
void check_tensors(const ModelConfig& config, TensorTable& table, Loader& loader,
                   CheckpointSummary& summary) {
  loader.check();
  account_for_the_rest(config, table, summary);
  table.check();
}

void count_files(const std::vector<SafetensorsFile>& safetensors,
                 const std::vector<K1PackFile>& packs, CheckpointSummary& summary) {
  summary.num_files = safetensors.size() + packs.size();
  for (const K1PackFile& pack : packs) summary.num_records += pack.records().size();
}

DType compute_dtype_for(DType embedding) {
  return embedding == DType::kF32 || embedding == DType::kF16 ? DType::kF32 : DType::kBF16;
}

}  // namespace

DType Checkpoint::compute_dtype() const {
  return compute_dtype_for(tensors.front().dtype);
}

bool ModelWeights::any_quantized() const {
  const auto in = [](const ExpertWeights& w) {
    return is_quantized(w.gate.dtype) || is_quantized(w.up.dtype) || is_quantized(w.down.dtype);
  };
  const auto in_layer = [&](const LayerWeights& w) {
    return is_quantized(w.q_proj.dtype) || is_quantized(w.q_a_proj.dtype) ||
           is_quantized(w.q_b_proj.dtype) || is_quantized(w.kv_a_proj_with_mqa.dtype) ||
           is_quantized(w.o_proj.dtype) || in(w.mlp) || in(w.shared_experts) ||
           (!w.experts.empty() && in(w.experts[0]));
  };
  return is_quantized(embed_tokens.dtype) || is_quantized(lm_head.dtype) ||
         std::any_of(layers.begin(), layers.end(), in_layer) ||
         (mtp && (is_quantized(mtp->eh_proj.dtype) || in_layer(mtp->layer)));
}

void check_experts_alike(const ModelWeights& weights, const std::string& path) {
  const size_t num_layers = weights.layers.size();
  for (size_t layer = 0; layer < num_layers + weights.mtp.has_value(); ++layer) {
    const std::vector<ExpertWeights>& experts =
        layer < num_layers ? weights.layers[layer].experts : weights.mtp->layer.experts;
    for (size_t e = 1; e < experts.size(); ++e) {
      const std::array<const MatrixView*, 3> own{&experts[e].gate, &experts[e].up,
                                                 &experts[e].down};
      const std::array<const MatrixView*, 3> first{&experts[0].gate, &experts[0].up,
                                                   &experts[0].down};
      for (size_t i = 0; i < own.size(); ++i) {
        if (is_quantized(own[i]->dtype) == is_quantized(first[i]->dtype)) continue;
        fail(ErrorCode::kUnsupported, path, ": layer ", layer, ": expert ", e,
             " has a matrix of type ", dtype_name(own[i]->dtype), " where expert 0 has ",
             dtype_name(first[i]->dtype), ", expected all experts of a layer quantised or none");
      }
    }
  }
}

ModelWeights load_weights(const std::string& path, const ModelConfig& config,
                          const LoadOptions& options) {
  if (options.dtype == DType::kF16) {
    fail(ErrorCode::kUnsupported, path, ": cannot compute in f16, expected f32 or bf16");
  }
  ModelWeights weights;
  TensorTable table = open_tensors(path, options, weights.files, weights.packs);
  Loader loader(config, table, weights);
  check_tensors(config, table, loader, weights.summary);
  count_files(weights.files, weights.packs, weights.summary);
  weights.compute_dtype =
      options.dtype.value_or(compute_dtype_for(table.all().at("model.embed_tokens.weight").dtype));
  loader.make_views();
  check_experts_alike(weights, path);
  return weights;
}

std::vector<CheckpointTensor> expected_tensors(const ModelConfig& config) {
  std::vector<CheckpointTensor> tensors;
  TensorTable table = TensorTable::of_everything(config.dtype);
  ModelWeights unused;
  Loader(config, table, unused).list(tensors);
  for (CheckpointTensor& tensor : tensors) tensor.file = {};  // there is none
  return tensors;
}

Checkpoint open_checkpoint(const std::string& path) {
  Checkpoint out{.path = path, .files = open_model_files(path)};
  out.config = load_model_config(out.files);
  TensorTable table = open_tensors(path, {}, out.safetensors, out.packs);
  ModelWeights unused;
  Loader loader(out.config, table, unused);
  check_tensors(out.config, table, loader, unused.summary);
  count_files(out.safetensors, out.packs, unused.summary);
  out.summary = unused.summary;
  loader.list(out.tensors);
  return out;
}

}  // namespace axk1
