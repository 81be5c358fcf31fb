#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "formats/k1pack.h"
#include "io/file.h"
#include "model/plan.h"

namespace axk1 {
namespace {

// Far above any model, and small enough that what is derived from them cannot overflow.
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxWidth = 1 << 22;  // hidden, intermediate
constexpr int64_t kMaxRank = 1 << 17;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxHeadDim = 1 << 14;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMostExperts = kMaxExperts;  // what the router takes
constexpr int64_t kMaxExpertsOverLayers = 1 << 20;
constexpr int64_t kMaxPositions = int64_t{1} << 30;
constexpr double kMaxTheta = 1e15;
constexpr double kMaxRopeFactor = 1e6;
constexpr double kMaxRoutedScale = 1e6;
constexpr double kMaxParameters = 281'474'976'710'656;  // 2^48

constexpr uint64_t kMaxConfigBytes = 16 << 20;

// What a field means when config.json omits it: the class defaults of transformers
// (configuration_axk1.py, configuration_deepseek_v3.py). Defaults that both share stand at the
// place of reading.
struct ClassDefaults {
  int64_t vocab_size;
  int64_t num_attention_heads;
  int64_t n_routed_experts;
  int64_t first_k_dense_replace;
  int64_t max_position_embeddings;
};
constexpr ClassDefaults kAxk1Defaults = {163'840, 64, 192, 1, 32'768};
constexpr ClassDefaults kDeepseekV3Defaults = {129'280, 128, 256, 3, 4'096};

// Fields that change what a model computes, here or in models of the family, with the value at
// which they change nothing. Anything else is refused.
struct NeutralField {
  std::string_view name;
  double neutral;  // besides null, false, 0, "" and empty
};
constexpr NeutralField kNeutralFields[] = {
    {"attention_bias", 0},
    {"mlp_bias", 0},
    {"quantization_config", 0},
    {"compression_config", 0},
    {"sliding_window", 0},
    {"use_sliding_window", 0},
    {"index_topk", 0},
    {"index_n_heads", 0},
    {"index_head_dim", 0},
    {"use_qk_norm", 0},
    {"qk_layernorm", 0},
    {"final_logit_softcapping", 0},
    {"attn_logit_softcapping", 0},
    {"router_logit_softcapping", 0},
    {"partial_rotary_factor", 1},
    {"embedding_multiplier", 1},
    {"residual_multiplier", 1},
    {"logits_scaling", 1},
};

[[noreturn]] void unsupported(const json::ObjectReader& reader, std::string_view field,
                              const std::string& found, std::string_view expected) {
  fail(ErrorCode::kUnsupported, reader.source(), ": field \"", field, "\": ", printable(found, 80),
       " is not computed here, expected ", expected);
}

bool changes_nothing(const json::value& v, double neutral) {
  switch (v.kind()) {
    case boost::json::kind::null:
      return true;
    case boost::json::kind::bool_:
      return !v.get_bool();
    case boost::json::kind::string:
      return v.get_string().empty();
    case boost::json::kind::array:
      return v.get_array().empty();
    case boost::json::kind::object:
      return v.get_object().empty();
    default: {
      const double number = v.to_number<double>();
      return number == 0 || number == neutral;
    }
  }
}

void refuse_other_computations(const json::ObjectReader& reader) {
  for (const NeutralField& field : kNeutralFields) {
    const json::value* found = reader.find(field.name);
    if (found && !changes_nothing(*found, field.neutral)) {
      unsupported(reader, field.name, json::to_text(*found), "the field to be absent");
    }
  }
  const auto must_be = [&](std::string_view field, std::string_view value) {
    const std::string found = reader.string_or(field, value);
    if (found != value) unsupported(reader, field, found, value);
  };
  must_be("hidden_act", "silu");
  must_be("scoring_func", "sigmoid");
  must_be("topk_method", "noaux_tc");
  if (const json::value* types = reader.find("layer_types")) {
    if (!types->is_array()) reader.wrong("layer_types", *types, "an array");
    for (const json::value& type : types->get_array()) {
      if (!type.is_string() || type.get_string() != "full_attention") {
        unsupported(reader, "layer_types", json::to_text(type), "\"full_attention\"");
      }
    }
  }
}

double number_in(const json::ObjectReader& reader, std::string_view field, double absent,
                 double min, double max) {
  const double number = reader.number_or(field, absent);
  if (!(number >= min && number <= max)) {
    fail(ErrorCode::kInvalidInput, reader.source(), ": field \"", field, "\": found ", number,
         ", expected a number from ", min, " to ", max);
  }
  return number;
}

// For fields that some configs set to null to say "none": absent -> `absent`, null -> 0.
int64_t nullable_int(const json::ObjectReader& reader, std::string_view field, int64_t absent,
                     int64_t min, int64_t max) {
  if (!reader.fields().contains(field)) return absent;
  return reader.int_or(field, 0, min, max);
}

DType read_dtype(const json::ObjectReader& reader) {
  const std::string_view field = reader.find("dtype") ? "dtype" : "torch_dtype";
  std::string name = reader.string_or(field, "bfloat16");
  if (name.starts_with("torch.")) name.erase(0, 6);
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  if (name == "float32") return DType::kF32;
  unsupported(reader, field, name, "bfloat16, float16 or float32");
}

std::optional<int32_t> read_token_id(const json::ObjectReader& reader, std::string_view field,
                                     int64_t vocab_size) {
  const int64_t id = reader.int_or(field, -1, -1, vocab_size - 1);  // -1: "none" in some files
  return id < 0 ? std::nullopt : std::optional(static_cast<int32_t>(id));
}

std::vector<int32_t> read_eos_ids(const json::ObjectReader& reader, int64_t vocab_size) {
  const json::value* found = reader.find("eos_token_id");
  if (!found) return {};
  if (!found->is_array()) return {*read_token_id(reader, "eos_token_id", vocab_size)};
  std::vector<int32_t> ids;
  for (const json::value& item : found->get_array()) {
    if (!item.is_int64() || item.get_int64() < 0 || item.get_int64() >= vocab_size) {
      reader.wrong("eos_token_id", *found, cat("ids from 0 to ", vocab_size - 1));
    }
    ids.push_back(static_cast<int32_t>(item.get_int64()));
  }
  return ids;
}

// rope_parameters, or rope_scaling with rope_theta beside it. As in transformers
// (modeling_rope_utils.py, convert_rope_params_to_dict), a non-empty rope_scaling wins.
RopeParameters read_rope(const json::ObjectReader& reader, int64_t max_position_embeddings) {
  RopeParameters rope;
  rope.rope_theta = number_in(reader, "rope_theta", rope.rope_theta, 0, kMaxTheta);
  const auto non_empty = [&](std::string_view field) -> const json::value* {
    const json::value* found = reader.find(field);
    return found && found->is_object() && found->get_object().empty() ? nullptr : found;
  };
  const char* field = "rope_scaling";
  const json::value* found = non_empty(field);
  if (!found) found = non_empty(field = "rope_parameters");
  if (found) {
    const json::ObjectReader inner(*found, cat(reader.source(), ": ", field));
    rope.rope_type = inner.string_or("rope_type", inner.string_or("type", "default"));
    if (rope.rope_type != "default" && rope.rope_type != "yarn") {
      unsupported(inner, "rope_type", rope.rope_type, "default or yarn");
    }
    for (const auto& [key, item] : found->get_object()) {
      if (item.is_object()) unsupported(inner, key, "one rope for each layer type", "one for all");
    }
    if (number_in(inner, "partial_rotary_factor", 1, 0, 1) != 1) {
      unsupported(inner, "partial_rotary_factor", json::to_text(inner.get("partial_rotary_factor")),
                  "1");
    }
    rope.rope_theta = number_in(inner, "rope_theta", rope.rope_theta, 0, kMaxTheta);
    if (rope.rope_type == "yarn") {
      rope.original_max_position_embeddings =
          inner.int_or("original_max_position_embeddings",
                       reader.int_or("original_max_position_embeddings", max_position_embeddings, 1,
                                     kMaxPositions),
                       1, kMaxPositions);
      // Whoever leaves the factor out means the ratio of the two contexts.
      const double ratio = static_cast<double>(max_position_embeddings) /
                           static_cast<double>(rope.original_max_position_embeddings);
      rope.factor = number_in(inner, "factor", std::max(ratio, 1.0), 1, kMaxRopeFactor);
      // 0 stands for the default here, as it does in transformers.
      const auto beta = [&](std::string_view name, double absent) {
        const double value = number_in(inner, name, absent, 0, kMaxRopeFactor);
        return value == 0 ? absent : value;
      };
      rope.beta_fast = beta("beta_fast", rope.beta_fast);
      rope.beta_slow = beta("beta_slow", rope.beta_slow);
      if (rope.beta_fast < rope.beta_slow) {
        fail(ErrorCode::kInvalidInput, inner.source(), ": found beta_fast ", rope.beta_fast,
             " below beta_slow ", rope.beta_slow, ", expected at least as much");
      }
      rope.mscale = number_in(inner, "mscale", 0, 0, kMaxRopeFactor);
      rope.mscale_all_dim = number_in(inner, "mscale_all_dim", 0, 0, kMaxRopeFactor);
      if (inner.find("attention_factor")) {
        rope.attention_factor = number_in(inner, "attention_factor", 1, 0, kMaxRopeFactor);
      }
      rope.truncate = inner.bool_or("truncate", true);
    }
  }
  if (rope.rope_theta <= 1) {
    fail(ErrorCode::kInvalidInput, reader.source(), ": field \"rope_theta\": found ",
         rope.rope_theta, ", expected more than 1");
  }
  return rope;
}

// mlp_layer_types, or the rule of DeepSeek's modeling_deepseek.py (DeepseekV3DecoderLayer): MoE
// from layer first_k_dense_replace on, where the layer number is a multiple of moe_layer_freq.
std::vector<bool> read_layer_kinds(const json::ObjectReader& reader, const ModelConfig& config,
                                   int64_t first_k_dense_replace) {
  const int64_t first_moe = reader.int_or("first_k_dense_replace", first_k_dense_replace, 0,
                                          std::numeric_limits<int32_t>::max());
  const int64_t freq = reader.int_or("moe_layer_freq", 1, 1, kMaxLayers);
  std::vector<bool> by_rule(static_cast<size_t>(config.num_hidden_layers));
  for (size_t i = 0; i < by_rule.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i);
    by_rule[i] = config.n_routed_experts > 0 && layer >= first_moe && layer % freq == 0;
  }
  const json::value* types = reader.find("mlp_layer_types");
  if (!types) return by_rule;

  if (!types->is_array()) reader.wrong("mlp_layer_types", *types, "an array");
  if (types->get_array().size() != by_rule.size()) {
    fail(ErrorCode::kInvalidInput, reader.source(), ": field \"mlp_layer_types\": found ",
         types->get_array().size(), " entries, expected num_hidden_layers = ", by_rule.size());
  }
  std::vector<bool> is_moe;
  for (const json::value& type : types->get_array()) {
    if (!type.is_string() || (type.get_string() != "dense" && type.get_string() != "sparse")) {
      reader.wrong("mlp_layer_types", type, "\"dense\" or \"sparse\"");
    }
    is_moe.push_back(type.get_string() == "sparse");
  }
  if (reader.find("first_k_dense_replace") && is_moe != by_rule) {
    fail(ErrorCode::kInvalidInput, reader.source(),
         ": \"mlp_layer_types\" contradicts \"first_k_dense_replace\" (and \"moe_layer_freq\"); "
         "expected both to say the same, or only one of them");
  }
  return is_moe;
}

void read_moe(const json::ObjectReader& reader, ModelConfig& config) {
  config.num_experts_per_tok = nullable_int(reader, "num_experts_per_tok", 8, 1, kMostExperts);
  config.moe_intermediate_size = reader.int_or("moe_intermediate_size", 2048, 1, kMaxWidth);
  config.n_shared_experts = nullable_int(reader, "n_shared_experts", 1, 0, 1024);
  config.n_group = reader.int_or("n_group", 8, 1, kMostExperts);
  config.topk_group = reader.int_or("topk_group", 4, 1, kMostExperts);
  config.norm_topk_prob = reader.bool_or("norm_topk_prob", true);
  config.routed_scaling_factor =
      number_in(reader, "routed_scaling_factor", 2.5, 0, kMaxRoutedScale);
  if (config.num_moe_layers() == 0) return;

  const auto inconsistent = [&](const auto&... what) {
    fail(ErrorCode::kInvalidInput, reader.source(), ": ", what...);
  };
  const int64_t experts = config.n_routed_experts;
  if (experts == 0) inconsistent("has MoE layers, but n_routed_experts is null");
  if (config.num_experts_per_tok == 0) {
    inconsistent("has MoE layers, but num_experts_per_tok is null");
  }
  if (experts % config.n_group != 0) {
    inconsistent("n_routed_experts = ", experts,
                 " is not a multiple of n_group = ", config.n_group);
  }
  const int64_t group_size = experts / config.n_group;
  if (group_size < 2) {
    inconsistent("n_group = ", config.n_group, " leaves ", group_size,
                 " of n_routed_experts = ", experts,
                 " to a group, expected at least the 2 whose scores make the group's");
  }
  if (config.topk_group > config.n_group) {
    inconsistent("topk_group = ", config.topk_group, " exceeds n_group = ", config.n_group);
  }
  if (config.num_experts_per_tok > config.topk_group * group_size) {
    inconsistent("num_experts_per_tok = ", config.num_experts_per_tok, " exceeds the ",
                 config.topk_group * group_size, " experts in topk_group = ", config.topk_group,
                 " groups of ", group_size);
  }
  if (config.num_hidden_layers * experts > kMaxExpertsOverLayers) {
    inconsistent("num_hidden_layers = ", config.num_hidden_layers,
                 " times n_routed_experts = ", experts, " exceeds ", kMaxExpertsOverLayers);
  }
}

void check_head_dims(const json::ObjectReader& reader, const ModelConfig& config) {
  if (config.qk_rope_head_dim % 2 != 0) {
    reader.wrong("qk_rope_head_dim", reader.get("qk_rope_head_dim"), "an even number");
  }
  // transformers sets both from the others and writes them into configs that it saves.
  const auto must_equal = [&](std::string_view field, int64_t expected) {
    if (reader.int_or(field, expected, 0, kMaxWidth) != expected) {
      reader.wrong(field, reader.get(field), cat(expected));
    }
  };
  must_equal("head_dim", config.qk_rope_head_dim);
  must_equal("qk_head_dim", config.qk_head_dim());
}

// yarn_get_mscale (modeling_rope_utils.py, modeling_deepseek_v3.py)
double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

ModelConfig parse_model_config(const json::value& config_json, const std::string& source) {
  const json::ObjectReader reader(config_json, source);
  ModelConfig config;
  config.model_type = reader.get_string("model_type");
  const bool is_axk1 = config.model_type == "axk1" || config.model_type == "AXK1";
  if (!is_axk1 && config.model_type != "deepseek_v3") {
    unsupported(reader, "model_type", config.model_type, "axk1, AXK1 or deepseek_v3");
  }
  refuse_other_computations(reader);
  const ClassDefaults& defaults = is_axk1 ? kAxk1Defaults : kDeepseekV3Defaults;

  config.vocab_size = reader.int_or("vocab_size", defaults.vocab_size, 1, kMaxVocab);
  config.hidden_size = reader.int_or("hidden_size", 7168, 1, kMaxWidth);
  config.intermediate_size = reader.int_or("intermediate_size", 18432, 1, kMaxWidth);
  config.num_hidden_layers = reader.int_or("num_hidden_layers", 61, 1, kMaxLayers);
  config.num_attention_heads =
      reader.int_or("num_attention_heads", defaults.num_attention_heads, 1, kMaxHeads);
  config.num_key_value_heads =
      reader.int_or("num_key_value_heads", config.num_attention_heads, 1, kMaxHeads);
  config.kv_lora_rank = reader.int_or("kv_lora_rank", 512, 1, kMaxRank);
  config.q_lora_rank = nullable_int(reader, "q_lora_rank", 1536, 1, kMaxRank);
  config.qk_nope_head_dim = reader.int_or("qk_nope_head_dim", 128, 1, kMaxHeadDim);
  config.qk_rope_head_dim = reader.int_or("qk_rope_head_dim", 64, 2, kMaxHeadDim);
  config.v_head_dim = reader.int_or("v_head_dim", 128, 1, kMaxHeadDim);
  config.max_position_embeddings =
      reader.int_or("max_position_embeddings", defaults.max_position_embeddings, 1, kMaxPositions);
  config.num_nextn_predict_layers = reader.int_or("num_nextn_predict_layers", 0, 0, kMaxLayers);
  config.rms_norm_eps = number_in(reader, "rms_norm_eps", 1e-6, 0, 1);
  config.tie_word_embeddings = reader.bool_or("tie_word_embeddings", false);
  config.rope_interleave = reader.bool_or("rope_interleave", true);
  config.has_post_mlp_norm = is_axk1;
  config.n_routed_experts =
      nullable_int(reader, "n_routed_experts", defaults.n_routed_experts, 1, kMostExperts);
  config.is_moe_layer = read_layer_kinds(reader, config, defaults.first_k_dense_replace);
  read_moe(reader, config);
  check_head_dims(reader, config);
  config.rope_parameters = read_rope(reader, config.max_position_embeddings);
  config.dtype = read_dtype(reader);
  config.eos_token_ids = read_eos_ids(reader, config.vocab_size);
  config.bos_token_id = read_token_id(reader, "bos_token_id", config.vocab_size);
  config.pad_token_id = read_token_id(reader, "pad_token_id", config.vocab_size);

  if (const double parameters = approximate_parameters(config); parameters > kMaxParameters) {
    fail(ErrorCode::kInvalidInput, source, ": describes a model of ", parameters,
         " parameters, expected at most ", kMaxParameters);
  }
  return config;
}

ModelConfig load_model_config(const std::string& path) {
  if (is_directory(path) || is_k1pack(path)) return load_model_config(open_model_files(path));
  return parse_model_config(json::parse(read_file(path, kMaxConfigBytes), path), path);
}

ModelConfig load_model_config(const NamedFiles& files) {
  const std::string place = files.place("config.json");
  const std::string text = files.read("config.json", kMaxConfigBytes);
  return parse_model_config(json::parse(text, place), place);
}

int64_t ModelConfig::num_moe_layers() const {
  return std::count(is_moe_layer.begin(), is_moe_layer.end(), true);
}

double ModelConfig::softmax_scale() const {
  double scale = std::pow(static_cast<double>(qk_head_dim()), -0.5);
  if (rope_parameters.rope_type != "default" && rope_parameters.mscale_all_dim != 0) {
    const double mscale = yarn_mscale(rope_parameters.factor, rope_parameters.mscale_all_dim);
    scale = scale * mscale * mscale;
  }
  return scale;
}

double ModelConfig::rope_attention_scaling() const {
  const RopeParameters& rope = rope_parameters;
  if (rope.rope_type != "yarn") return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) {
    return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  }
  return yarn_mscale(rope.factor, 1);
}

std::vector<float> ModelConfig::rope_inv_freq() const {
  const RopeParameters& rope = rope_parameters;
  const size_t dim = static_cast<size_t>(qk_rope_head_dim);
  const double d = static_cast<double>(dim);
  std::vector<float> inv_freq(dim / 2);
  std::vector<float> pos_freq(dim / 2);  // theta^(2i / dim)
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    pos_freq[i] = static_cast<float>(std::pow(rope.rope_theta, static_cast<double>(exponent)));
    inv_freq[i] = 1.0f / pos_freq[i];
  }
  if (rope.rope_type != "yarn") return inv_freq;

  // The dimension whose wave turns `rotations` times over the original context.
  const auto correction_dim = [&](double rotations) {
    const double turns = static_cast<double>(rope.original_max_position_embeddings) /
                         (rotations * 2 * std::numbers::pi);
    return d * std::log(turns) / (2 * std::log(rope.rope_theta));
  };
  double low = correction_dim(rope.beta_fast);
  double high = correction_dim(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, d - 1);
  if (low == high) high += 0.001;
  const float start = static_cast<float>(low);
  const float width = static_cast<float>(high - low);
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float ramp = std::clamp((static_cast<float>(i) - start) / width, 0.0f, 1.0f);
    const float keep = 1.0f - ramp;
    const float interpolated = 1.0f / (static_cast<float>(rope.factor) * pos_freq[i]);
    inv_freq[i] = interpolated * (1.0f - keep) + inv_freq[i] * keep;
  }
  return inv_freq;
}

}  // namespace axk1
