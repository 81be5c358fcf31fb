#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/bf16.h"
#include "formats/safetensors_dir.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "model/checkpoint.h"
#include "model/plan.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::testdata;

constexpr const char* kGolden[] = {"g1-grouped-yarn", "g2-fused-bias", "g3-dense",
                                   "g4-deepseek-v3"};

struct Stored {
  DType dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, Stored>;

Tensors read_all(const std::string& dir) {
  Tensors tensors;
  for (const SafetensorsFile& file : open_safetensors_dir(dir)) {
    for (const TensorInfo& info : file.tensors()) {
      const auto bytes = file.bytes(info);
      tensors[info.name] = {info.dtype, info.shape,
                            std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
    }
  }
  return tensors;
}

void write_all(const std::string& dir, const Tensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, t] : tensors) specs.push_back({name, t.dtype, t.shape});
  SafetensorsWriter writer(dir + "/model.safetensors", specs);
  for (const auto& [name, t] : tensors) writer.append(name, std::as_bytes(std::span(t.bytes)));
  writer.finish();
}

std::string_view bytes_of(const MatrixView& m) {
  EXPECT_EQ(m.stride, m.cols);
  return {static_cast<const char*>(m.data), m.rows * m.cols * dtype_bytes(m.dtype)};
}

std::string golden(const std::string& name) {
  return testdata("golden/" + name);
}

ModelWeights load_golden(const std::string& name, const LoadOptions& options = {}) {
  return load_weights(golden(name), load_model_config(golden(name)), options);
}

TEST(Weights, GoldenCasesLoad) {
  for (const char* name : kGolden) {
    SCOPED_TRACE(name);
    const ModelConfig config = load_model_config(golden(name));
    const ModelWeights weights = load_weights(golden(name), config);
    const json::value answers =
        json::parse(read_file(golden(name) + "/case.json"), golden(name) + "/case.json");
    const ParameterCounts counts = count_parameters(config);
    EXPECT_EQ(weights.summary.num_tensors,
              answers.get_object().at("tensors").to_number<uint64_t>());
    EXPECT_EQ(weights.summary.parameters, counts.total());
    EXPECT_EQ(weights.summary.parameters - counts.unapplied_norms,
              answers.get_object().at("parameters").to_number<uint64_t>());
    EXPECT_EQ(weights.summary.num_mtp_tensors, 0u);
    EXPECT_TRUE(weights.buffers.empty()) << "nothing needs copying";
    ASSERT_EQ(weights.layers.size(), static_cast<size_t>(config.num_hidden_layers));
    for (size_t i = 0; i < weights.layers.size(); ++i) {
      const LayerWeights& layer = weights.layers[i];
      EXPECT_EQ(layer.is_moe, config.is_moe_layer[i]);
      EXPECT_EQ(layer.post_mlp_layernorm.empty(), !layer.is_moe || !config.has_post_mlp_norm);
      EXPECT_EQ(layer.experts.size(),
                layer.is_moe ? static_cast<size_t>(config.n_routed_experts) : 0u);
      EXPECT_EQ(static_cast<bool>(layer.q_proj), config.q_lora_rank == 0);
      EXPECT_EQ(static_cast<bool>(layer.mlp.gate), !layer.is_moe);
    }
  }
  std::printf("[ cases ] golden checkpoints: %zu\n", std::size(kGolden));
}

TEST(Weights, ComputeTypeFollowsTheCheckpoint) {
  EXPECT_EQ(load_golden("g1-grouped-yarn").compute_dtype, DType::kBF16);
  EXPECT_EQ(load_golden("g2-fused-bias").compute_dtype, DType::kF32);
  const ModelWeights f16 = load_golden("g3-dense");
  EXPECT_EQ(f16.compute_dtype, DType::kF32);
  EXPECT_EQ(f16.embed_tokens.dtype, DType::kF16);
  const ModelWeights widened = load_golden("g1-grouped-yarn", {DType::kF32});
  EXPECT_EQ(widened.compute_dtype, DType::kF32);
  EXPECT_EQ(widened.embed_tokens.dtype, DType::kBF16);
  EXPECT_THROW(load_golden("g3-dense", {DType::kF16}), Error);
}

TEST(Weights, Bf16CopiesAreRounded) {
  for (const char* name : {"g2-fused-bias", "g3-dense"}) {
    const ModelWeights exact = load_golden(name), rounded = load_golden(name, {DType::kBF16});
    EXPECT_FALSE(rounded.buffers.empty());
    const MatrixView &from = exact.layers[1].o_proj, &to = rounded.layers[1].o_proj;
    ASSERT_EQ(to.dtype, DType::kBF16);
    for (size_t i = 0; i < from.rows * from.cols; ++i) {
      const float value = from.dtype == DType::kF32
                              ? static_cast<const float*>(from.data)[i]
                              : f16_to_f32(static_cast<const uint16_t*>(from.data)[i]);
      ASSERT_EQ(static_cast<const uint16_t*>(to.data)[i], f32_to_bf16(value)) << i;
    }
  }
  const ModelWeights rounded = load_golden("g2-fused-bias", {DType::kBF16});
  EXPECT_EQ(rounded.layers[1].router.dtype, DType::kF32) << "the router computes in f32";
  EXPECT_EQ(rounded.layers[1].experts[3].up.dtype, DType::kBF16);
}

// Joins the per-expert tensors of a checkpoint as transformers does when it loads them.
Tensors fuse_experts(const Tensors& separate, const ModelConfig& config) {
  Tensors fused;
  const uint64_t experts = static_cast<uint64_t>(config.n_routed_experts);
  const uint64_t width = static_cast<uint64_t>(config.moe_intermediate_size);
  const uint64_t hidden = static_cast<uint64_t>(config.hidden_size);
  for (const auto& [name, t] : separate) {
    if (name.find(".experts.") == std::string::npos) fused[name] = t;
  }
  for (size_t i = 0; i < config.is_moe_layer.size(); ++i) {
    if (!config.is_moe_layer[i]) continue;
    const std::string prefix = cat("model.layers.", i, ".mlp.experts.");
    Stored gate_up{DType::kBF16, {experts, 2 * width, hidden}, ""};
    Stored down{DType::kBF16, {experts, hidden, width}, ""};
    for (uint64_t e = 0; e < experts; ++e) {
      gate_up.bytes += separate.at(cat(prefix, e, ".gate_proj.weight")).bytes;
      gate_up.bytes += separate.at(cat(prefix, e, ".up_proj.weight")).bytes;
      down.bytes += separate.at(cat(prefix, e, ".down_proj.weight")).bytes;
    }
    fused[prefix + "gate_up_proj"] = gate_up;
    fused[prefix + "down_proj"] = down;
  }
  return fused;
}

TEST(Weights, FusedAndSeparateExpertsAreTheSameBytes) {
  const std::string dir = golden("g1-grouped-yarn");
  const ModelConfig config = load_model_config(dir);
  const testing::TempDir fused_dir;
  write_all(fused_dir.path(), fuse_experts(read_all(dir), config));
  const ModelWeights separate = load_weights(dir, config);
  const ModelWeights fused = load_weights(fused_dir.path(), config);
  EXPECT_FALSE(separate.summary.fused_experts);
  EXPECT_TRUE(fused.summary.fused_experts);
  EXPECT_EQ(separate.summary.parameters, fused.summary.parameters);
  size_t compared = 0;
  for (size_t i = 0; i < separate.layers.size(); ++i) {
    for (size_t e = 0; e < separate.layers[i].experts.size(); ++e) {
      const ExpertWeights &a = separate.layers[i].experts[e], &b = fused.layers[i].experts[e];
      EXPECT_EQ(bytes_of(a.gate), bytes_of(b.gate));
      EXPECT_EQ(bytes_of(a.up), bytes_of(b.up));
      EXPECT_EQ(bytes_of(a.down), bytes_of(b.down));
      EXPECT_EQ(b.down.rows, static_cast<size_t>(config.hidden_size));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 48u);
  std::printf("[ cases ] experts compared fused and separate: %zu\n", compared);
}

// A checkpoint of g1 with changes, loaded from a folder of its own.
class Changed : public ::testing::Test {
 protected:
  Changed() : tensors_(read_all(golden("g1-grouped-yarn"))) {
    config_ = load_model_config(golden("g1-grouped-yarn"));
  }
  ModelWeights load(const LoadOptions& options = {}) {
    write_all(dir_.path(), tensors_);
    return load_weights(dir_.path(), config_, options);
  }
  std::string error() {
    try {
      load();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  void rename(const std::string& from, const std::string& to) {
    tensors_[to] = tensors_.at(from);
    tensors_.erase(from);
  }
  Tensors tensors_;
  ModelConfig config_;
  testing::TempDir dir_;
};

TEST_F(Changed, UnchangedLoads) {
  EXPECT_EQ(error(), "no error");
}

TEST_F(Changed, MissingTensorIsNamed) {
  tensors_.erase("model.layers.2.self_attn.kv_b_proj.weight");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.2.self_attn.kv_b_proj.weight\" is missing, "
                                 "expected shape [256, 64]"));
}

TEST_F(Changed, MissingNormOfMoeLayer) {
  tensors_.erase("model.layers.3.post_mlp_layernorm.weight");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.3.post_mlp_layernorm.weight\" is missing"));
}

TEST_F(Changed, SurplusTensorIsNamed) {
  tensors_["model.layers.1.self_attn.q_proj.weight"] = {DType::kBF16, {1}, "xx"};
  EXPECT_THAT(error(), HasSubstr("model.safetensors: tensor "
                                 "\"model.layers.1.self_attn.q_proj.weight\" [1] is not one of"));
}

TEST_F(Changed, SurplusBiasIsNamed) {
  tensors_["model.layers.1.self_attn.o_proj.bias"] = {DType::kBF16, {1}, "xx"};
  EXPECT_THAT(error(), HasSubstr("o_proj.bias"));
}

TEST_F(Changed, MisshapenTensorIsNamed) {
  Stored& t = tensors_.at("model.layers.1.mlp.gate.weight");
  std::swap(t.shape[0], t.shape[1]);
  EXPECT_THAT(error(), HasSubstr("\"model.layers.1.mlp.gate.weight\" has shape [128, 16], "
                                 "expected [16, 128]"));
}

TEST_F(Changed, FlattenedTensorIsRefused) {
  Stored& t = tensors_.at("lm_head.weight");
  t.shape = {t.shape[0] * t.shape[1]};
  EXPECT_THAT(error(), HasSubstr("\"lm_head.weight\" has shape [65536], expected [512, 128]"));
}

TEST_F(Changed, ManyProblemsAreCounted) {
  std::erase_if(tensors_, [](const auto& item) {
    return item.first.starts_with("model.layers.1.mlp.experts.");
  });
  const std::string message = error();
  EXPECT_THAT(message, HasSubstr("48 tensors do not fit the config"));
  EXPECT_THAT(message, HasSubstr("experts.0.gate_proj.weight\" is missing"));
  EXPECT_THAT(message, HasSubstr("and 43 more"));
}

TEST_F(Changed, BothExpertLayoutsAtOnce) {
  const Tensors fused = fuse_experts(tensors_, config_);
  tensors_.insert(fused.begin(), fused.end());
  EXPECT_THAT(error(), HasSubstr("144 tensors do not fit"));
}

TEST_F(Changed, HalfAFusedLayer) {
  tensors_ = fuse_experts(tensors_, config_);
  tensors_.erase("model.layers.2.mlp.experts.down_proj");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.2.mlp.experts.down_proj\" is missing"));
}

TEST_F(Changed, NormUnderItsSavedName) {
  for (int i = 0; i < 4; ++i) {
    rename(cat("model.layers.", i, ".post_mlp_layernorm.weight"),
           cat("model.layers.", i, ".mlp.post_mlp_layernorm.weight"));
  }
  const ModelWeights weights = load();
  EXPECT_TRUE(weights.layers[0].post_mlp_layernorm.empty());
  EXPECT_EQ(weights.layers[1].post_mlp_layernorm,
            load_golden("g1-grouped-yarn").layers[1].post_mlp_layernorm);
}

TEST_F(Changed, NormUnderBothNames) {
  tensors_["model.layers.1.mlp.post_mlp_layernorm.weight"] =
      tensors_.at("model.layers.1.post_mlp_layernorm.weight");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.1.mlp.post_mlp_layernorm.weight\" [128] is not"));
}

TEST_F(Changed, DenseLayerNeedsNoNorm) {
  tensors_.erase("model.layers.0.post_mlp_layernorm.weight");
  EXPECT_EQ(load().summary.parameters,
            count_parameters(config_).total() - count_parameters(config_).unapplied_norms);
}

TEST_F(Changed, DeepseekHasNoPostMlpNorm) {
  config_.has_post_mlp_norm = false;
  EXPECT_THAT(error(), HasSubstr("4 tensors do not fit"));
}

TEST_F(Changed, BiasOnSomeLayersOnly) {
  tensors_["model.layers.1.mlp.gate.e_score_correction_bias"] = {
      DType::kF32, {16}, std::string(64, '\0')};
  EXPECT_THAT(error(), HasSubstr("\"model.layers.2.mlp.gate.e_score_correction_bias\" is missing"));
}

TEST_F(Changed, BiasIsWidenedAndAbsentBiasIsZero) {
  EXPECT_EQ(load().layers[1].e_score_correction_bias, std::vector<float>(16, 0.0f));
  for (int i = 1; i < 4; ++i) {
    std::string bytes;
    for (int e = 0; e < 16; ++e) bytes += std::string("\x80\x3f", 2);  // 1.0 in bf16
    tensors_[cat("model.layers.", i, ".mlp.gate.e_score_correction_bias")] = {
        DType::kBF16, {16}, bytes};
  }
  const ModelWeights weights = load();
  EXPECT_EQ(weights.layers[2].e_score_correction_bias, std::vector<float>(16, 1.0f));
  EXPECT_TRUE(weights.summary.has_router_bias);
  EXPECT_EQ(weights.summary.parameters, count_parameters(config_).total());
}

// A checkpoint of four layers and a fifth of multi-token prediction.
class WithMtp : public Changed {
 protected:
  WithMtp() {
    for (const auto& [name, tensor] : Tensors(tensors_)) {
      if (name.starts_with("model.layers.3.")) {
        tensors_["model.layers.4." + name.substr(15)] = tensor;
      }
    }
    const uint64_t hidden = static_cast<uint64_t>(config_.hidden_size);
    for (const char* name : {"enorm", "hnorm", "shared_head.norm"}) {
      tensors_[cat("model.layers.4.", name, ".weight")] = {
          DType::kBF16, {hidden}, std::string(2 * hidden, '\x3f')};
    }
    tensors_["model.layers.4.eh_proj.weight"] = {
        DType::kBF16, {hidden, 2 * hidden}, std::string(4 * hidden * hidden, '\x3c')};
  }
};

TEST_F(WithMtp, IsLoadedAndCountedApart) {
  for (int64_t named : {0, 1}) {  // the tensors decide, not the config
    config_.num_nextn_predict_layers = named;
    const ModelWeights weights = load();
    EXPECT_EQ(weights.summary.parameters, count_parameters(config_).total());
    EXPECT_EQ(weights.summary.mtp_parameters, count_mtp_parameters(config_));
    EXPECT_EQ(weights.summary.mtp_bytes, 2 * count_mtp_parameters(config_));
    EXPECT_EQ(weights.layers.size(), 4u);
    ASSERT_TRUE(weights.mtp);
    EXPECT_TRUE(weights.mtp->layer.is_moe);
    EXPECT_EQ(bytes_of(weights.mtp->layer.o_proj), bytes_of(weights.layers[3].o_proj));
    EXPECT_EQ(weights.mtp->layer.post_mlp_layernorm, weights.layers[3].post_mlp_layernorm);
    EXPECT_EQ(weights.mtp->eh_proj.cols, 2 * weights.mtp->eh_proj.rows);
    EXPECT_EQ(weights.mtp->enorm.size(), weights.norm.size());
    write_all(dir_.path(), tensors_);
    dir_.write("config.json", read_file(golden("g1-grouped-yarn") + "/config.json"));
    size_t listed = 0;
    for (const CheckpointTensor& tensor : open_checkpoint(dir_.path()).tensors) {
      listed += tensor.layer == 4 && tensor.name.starts_with("model.layers.4.");
    }
    EXPECT_EQ(listed, weights.summary.num_mtp_tensors);
  }
}

// As the release of A.X K1.
TEST_F(Changed, ConfigMayNameMtpLayersThatAreNotThere) {
  config_.num_nextn_predict_layers = 1;
  const ModelWeights weights = load();
  EXPECT_FALSE(weights.mtp);
  EXPECT_EQ(weights.summary.num_mtp_tensors, 0u);
}

TEST_F(WithMtp, CopiesOfEmbeddingAndHeadAndFurtherLayersAreReadPast) {
  const uint64_t expected = load().summary.num_mtp_tensors;
  tensors_["model.layers.4.embed_tokens.weight"] = tensors_.at("model.embed_tokens.weight");
  tensors_["model.layers.4.shared_head.head.weight"] = tensors_.at("lm_head.weight");
  tensors_["model.layers.5.eh_proj.weight"] = {DType::kBF16, {1}, "xx"};
  tensors_["model.layers.5.enorm.weight"] = {DType::kBF16, {1}, "xx"};
  const ModelWeights weights = load();
  EXPECT_EQ(weights.summary.num_mtp_tensors, expected);
  EXPECT_EQ(weights.summary.num_unused_tensors, 4u);
  EXPECT_EQ(weights.summary.mtp_parameters, count_mtp_parameters(config_));
}

TEST_F(WithMtp, DamageIsNamed) {
  Tensors whole = tensors_;
  tensors_.erase("model.layers.4.hnorm.weight");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.4.hnorm.weight\" is missing"));
  tensors_ = whole;
  tensors_.erase("model.layers.4.mlp.experts.7.up_proj.weight");
  EXPECT_THAT(error(), HasSubstr("\"model.layers.4.mlp.experts.7.up_proj.weight\" is missing"));
  tensors_ = whole;
  tensors_["model.layers.4.eh_proj.weight"].shape = {2 * whole["model.norm.weight"].shape[0],
                                                     whole["model.norm.weight"].shape[0]};
  EXPECT_THAT(error(), HasSubstr("\"model.layers.4.eh_proj.weight\" has shape"));
  tensors_ = whole;
  tensors_["model.layers.4.other.weight"] = {DType::kBF16, {1}, "xx"};
  EXPECT_THAT(error(), HasSubstr("\"model.layers.4.other.weight\" [1] is not one of"));
}

TEST_F(Changed, LayerPastTheLastIsNoMtpLayerByItself) {
  config_.num_hidden_layers = 3;
  config_.is_moe_layer.pop_back();
  EXPECT_THAT(error(), HasSubstr("model.layers.3."));
}

TEST_F(Changed, RotaryBuffersAreReadPast) {
  tensors_["model.layers.0.self_attn.rotary_emb.inv_freq"] = {DType::kF32, {2}, "abcdefgh"};
  EXPECT_EQ(load().summary.num_unused_tensors, 1u);
}

TEST_F(Changed, TiedEmbeddings) {
  config_.tie_word_embeddings = true;
  EXPECT_THAT(error(), HasSubstr("\"lm_head.weight\" differs"));
  tensors_["lm_head.weight"] = tensors_.at("model.embed_tokens.weight");
  EXPECT_EQ(load().summary.parameters, count_parameters(config_).total());
  tensors_.erase("lm_head.weight");
  const ModelWeights weights = load();
  EXPECT_EQ(weights.lm_head.data, weights.embed_tokens.data);
  config_.tie_word_embeddings = false;
  EXPECT_THAT(error(), HasSubstr("\"lm_head.weight\" is missing"));
}

// A header of odd length puts every tensor on an odd address; the format allows it.
TEST_F(Changed, MisalignedDataAreCopied) {
  write_all(dir_.path(), tensors_);
  const std::string path = dir_.path() + "/model.safetensors";
  std::string bytes = read_file(path);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  bytes.insert(8 + header_bytes, 1, ' ');
  ++header_bytes;
  std::memcpy(bytes.data(), &header_bytes, 8);
  dir_.write("model.safetensors", bytes);
  const ModelWeights weights = load_weights(dir_.path(), config_);
  const ModelWeights aligned = load_golden("g1-grouped-yarn");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(weights.layers[0].mlp.up.data) % 2, 0u);
  EXPECT_EQ(bytes_of(weights.layers[0].mlp.up), bytes_of(aligned.layers[0].mlp.up));
  EXPECT_EQ(weights.norm, aligned.norm);
}

TEST_F(Changed, ViewsOutliveAMove) {
  ModelWeights first = load();
  const std::string before(bytes_of(first.layers[2].experts[5].down));
  const ModelWeights second = std::move(first);
  EXPECT_EQ(bytes_of(second.layers[2].experts[5].down), before);
}

TEST(Weights, ShippedModelLoads) {
  const std::string dir = testdata("../models/nano-v0");
  const ModelConfig config = load_model_config(dir);
  const ModelWeights weights = load_weights(dir, config);
  EXPECT_EQ(weights.summary.parameters, count_parameters(config).total());
  EXPECT_TRUE(weights.summary.has_router_bias);
}

TEST(RandomWeights, HaveTheShapesOfTheConfig) {
  size_t cases = 0;
  for (const char* name : kGolden) {
    for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const ModelConfig config = load_model_config(golden(name));
      const ModelWeights random = random_weights(config, dtype, 7);
      const ModelWeights loaded = load_golden(name);
      EXPECT_EQ(random.lm_head.rows, loaded.lm_head.rows);
      ASSERT_EQ(random.layers.size(), loaded.layers.size());
      for (size_t i = 0; i < loaded.layers.size(); ++i) {
        const LayerWeights &a = random.layers[i], &b = loaded.layers[i];
        const auto same = [&](const MatrixView& x, const MatrixView& y) {
          EXPECT_EQ(x.rows, y.rows);
          EXPECT_EQ(x.cols, y.cols);
          EXPECT_TRUE(!x || x.dtype == dtype);
        };
        same(a.q_proj, b.q_proj);
        same(a.q_a_proj, b.q_a_proj);
        same(a.q_b_proj, b.q_b_proj);
        same(a.kv_a_proj_with_mqa, b.kv_a_proj_with_mqa);
        same(a.kv_b_proj, b.kv_b_proj);
        same(a.o_proj, b.o_proj);
        same(a.mlp.down, b.mlp.down);
        same(a.router, b.router);
        same(a.shared_experts.up, b.shared_experts.up);
        EXPECT_EQ(a.post_mlp_layernorm.size(), b.post_mlp_layernorm.size());
        EXPECT_EQ(a.e_score_correction_bias.size(), b.e_score_correction_bias.size());
        ASSERT_EQ(a.experts.size(), b.experts.size());
        if (!a.experts.empty()) same(a.experts.back().down, b.experts.back().down);
      }
      ++cases;
    }
  }
  std::printf("[ cases ] random weights: %zu\n", cases);
}

TEST(RandomWeights, AreReproducibleAndNotDegenerate) {
  const ModelConfig config = load_model_config(golden("g1-grouped-yarn"));
  const ModelWeights a = random_weights(config, DType::kF32, 1);
  const ModelWeights b = random_weights(config, DType::kF32, 1);
  const ModelWeights c = random_weights(config, DType::kF32, 2);
  const MatrixView& m = a.layers[1].experts[0].gate;
  EXPECT_EQ(bytes_of(m), bytes_of(b.layers[1].experts[0].gate));
  EXPECT_NE(bytes_of(m), bytes_of(c.layers[1].experts[0].gate));
  EXPECT_NE(bytes_of(m), bytes_of(a.layers[1].experts[1].gate));
  const float* values = static_cast<const float*>(m.data);
  const size_t n = m.rows * m.cols;
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += values[i];
    squares += values[i] * values[i];
  }
  EXPECT_NEAR(sum / static_cast<double>(n), 0, 0.001);
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(n)), 0.02, 0.001);
  EXPECT_GT(std::set<float>(values, values + n).size(), n / 2);
}

TEST(Weights, ExpertsOfALayerMustBeQuantisedAlike) {
  const ModelConfig config = load_model_config(testdata("golden/g1-grouped-yarn"));
  ModelWeights weights = random_weights(config, DType::kQ4, 1);
  check_experts_alike(weights, "m.k1pack");
  const auto moe = std::find_if(weights.layers.begin(), weights.layers.end(),
                                [](const LayerWeights& w) { return w.is_moe; });
  ASSERT_NE(moe, weights.layers.end());
  moe->experts[1].down.dtype = DType::kBF16;
  try {
    check_experts_alike(weights, "m.k1pack");
    FAIL() << "took mixed experts";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("m.k1pack: layer "));
    EXPECT_THAT(error.what(), HasSubstr("expert 1 has a matrix of type BF16"));
  }
}

}  // namespace
}  // namespace axk1
