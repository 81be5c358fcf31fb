#include "train/param_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "formats/safetensors.h"
#include "model/plan.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::testdata;

std::vector<float> stored(const std::string& file, const std::string& name) {
  const SafetensorsFile tensors(file);
  return tensors.read_f32(*tensors.find(name));
}

// Every element has one place, and there are as many as the architecture has parameters; but for a
// dense layer's post-MLP norm, which is never applied.
TEST(ParamLayout, CoversTheParametersOfEveryCaseOnce) {
  for (const char* name : {"g1-grouped-yarn", "g2-fused-bias", "g3-dense", "g4-deepseek-v3"}) {
    const ParamLayout layout(load_model_config(testdata(std::string("golden/") + name)));
    const ParameterCounts counts = count_parameters(layout.config());
    EXPECT_EQ(layout.num_elements(), counts.total() - counts.unapplied_norms) << name;
    for (bool fused : {true, false}) {
      size_t next = 0;
      std::set<std::string> names;
      for (const NamedSlice& slice : layout.slices(fused)) {
        EXPECT_EQ(slice.offset, next) << slice.name;
        next += slice.size;
        EXPECT_TRUE(names.insert(slice.name).second) << slice.name;
      }
      EXPECT_EQ(next, layout.num_elements());
    }
  }
}

TEST(ParamStore, ReadsFusedExpertsAndBiases) {
  const std::string dir = testdata("golden/g2-fused-bias"), file = dir + "/model.safetensors";
  const ParamStore store(dir);
  EXPECT_TRUE(store.names().fused_experts);
  EXPECT_TRUE(store.names().router_bias);
  for (const char* name : {"model.embed_tokens.weight", "model.layers.2.mlp.experts.gate_up_proj",
                           "model.layers.3.mlp.experts.down_proj", "model.norm.weight",
                           "model.layers.0.mlp.up_proj.weight", "lm_head.weight",
                           "model.layers.1.self_attn.kv_a_proj_with_mqa.weight"}) {
    const Param* p = store.layout().find(name);
    ASSERT_NE(p, nullptr) << name;
    EXPECT_THAT(store.values(*p), ::testing::ElementsAreArray(stored(file, name))) << name;
  }
  EXPECT_THAT(store.router_bias(1), ::testing::ElementsAreArray(stored(
                                        file, "model.layers.2.mlp.gate.e_score_correction_bias")));
}

TEST(ParamStore, FusesSeparateExperts) {
  const std::string dir = testdata("golden/g1-grouped-yarn");
  const ParamStore store(dir);
  EXPECT_FALSE(store.names().fused_experts);
  const LayerParams& layer = store.layout().layers[1];
  const std::string name = "model.layers.1.mlp.experts.3.up_proj.weight";
  for (int shard = 1; shard <= 3; ++shard) {
    const SafetensorsFile file(cat(dir, "/model-0000", shard, "-of-00003.safetensors"));
    const TensorInfo* info = file.find(name);
    if (!info) continue;
    const MatrixParam& gate_up = layer.experts[3].gate_up;
    const size_t half = gate_up.rows / 2 * gate_up.cols;
    EXPECT_THAT(store.values().subspan(gate_up.offset + half, half),
                ::testing::ElementsAreArray(file.read_f32(*info)));
    return;
  }
  FAIL() << name << " is in no shard";
}

TEST(ParamStore, RandomWeightsHaveTheirDeviationAndFollowTheSeed) {
  const ModelConfig config = load_model_config(testdata("golden/g2-fused-bias"));
  const ParamStore a(config, {.seed = 5}), b(config, {.seed = 5}), c(config, {.seed = 6});
  EXPECT_TRUE(std::equal(a.values().begin(), a.values().end(), b.values().begin()));
  EXPECT_FALSE(std::equal(a.values().begin(), a.values().end(), c.values().begin()));
  const Param* head = a.layout().find("lm_head.weight");
  double sum = 0, squares = 0;
  for (float x : a.values(*head)) {
    sum += x;
    squares += double{x} * x;
  }
  const auto n = static_cast<double>(head->size);
  // Mean and deviation of n draws are off by 0.02 / sqrt(n) and 0.02 / sqrt(2 n); five of these.
  EXPECT_NEAR(sum / n, 0, 5 * 0.02 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 5 * 0.02 / std::sqrt(2 * n));
  EXPECT_THAT(a.values(*a.layout().find("model.norm.weight")), ::testing::Each(1.0f));
}

TEST(ParamStore, WritingChangesTheVersion) {
  ParamStore store(load_model_config(testdata("golden/g3-dense")), {});
  const uint64_t before = store.version();
  store.mutable_values()[0] = 3;
  EXPECT_NE(store.version(), before);
  EXPECT_TRUE(store.router_biases().empty());
}

TEST(ParamLayout, HasOneLayerOfMultiTokenPredictionAtMost) {
  ModelConfig config = load_model_config(testdata("golden/g2-fused-bias"));
  const size_t without = ParamLayout(config).num_elements();
  config.num_nextn_predict_layers = 1;
  const ParamLayout layout(config);
  EXPECT_EQ(layout.num_elements() - without, count_mtp_parameters(config));
  const std::string prefix = cat("model.layers.", config.num_hidden_layers, ".");
  for (const char* name : {"enorm", "hnorm", "eh_proj", "shared_head.norm", "mlp.gate"}) {
    EXPECT_NE(layout.find(cat(prefix, name, ".weight")), nullptr) << name;
  }
  config.num_nextn_predict_layers = 2;
  try {
    const ParamLayout two(config);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("num_nextn_predict_layers is 2"));
  }
}

TEST(RouterBias, MovesTowardsTheMeanLoad) {
  std::vector<float> bias = {0.5f, 0.5f, 0.5f, 0.5f};
  update_router_bias(bias, std::vector<uint64_t>{0, 4, 8, 4}, 0.25);
  EXPECT_THAT(bias, ::testing::ElementsAre(0.75f, 0.5f, 0.25f, 0.5f));
}

}  // namespace
}  // namespace axk1
