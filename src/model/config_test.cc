#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <numbers>

#include "io/file.h"
#include "model/plan.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::testdata;

constexpr const char* kGolden[] = {"g1-grouped-yarn", "g2-fused-bias", "g3-dense",
                                   "g4-deepseek-v3"};

json::value parse_file(const std::string& path) {
  return json::parse(read_file(path), path);
}

json::value golden_config(const std::string& name) {
  return parse_file(testdata("golden/" + name + "/config.json"));
}

ModelConfig released_sizes() {
  return load_model_config(testdata("configs/axk1-released-sizes.json"));
}

std::string error_of(const json::value& config) {
  try {
    parse_model_config(config, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Config, GoldenCasesMatchTheOfficialScalesAndCounts) {
  for (const char* name : kGolden) {
    SCOPED_TRACE(name);
    const ModelConfig config = load_model_config(testdata(cat("golden/", name)));
    const json::value answers = parse_file(testdata(cat("golden/", name, "/case.json")));
    const json::object& expected = answers.get_object();
    EXPECT_DOUBLE_EQ(config.softmax_scale(), expected.at("softmax_scale").to_number<double>());
    EXPECT_DOUBLE_EQ(config.rope_attention_scaling(),
                     expected.at("attention_scaling_cos_sin").to_number<double>());
    // The official count is of the module tree, which has no norm on dense layers.
    const ParameterCounts counts = count_parameters(config);
    EXPECT_EQ(counts.total() - counts.unapplied_norms,
              expected.at("parameters").to_number<uint64_t>());
  }
  std::printf("[ cases ] golden configs: %zu\n", std::size(kGolden));
}

TEST(Config, ReadsBothStyles) {
  const ModelConfig fresh = parse_model_config(golden_config("g1-grouped-yarn"), "g1");
  EXPECT_EQ(fresh.model_type, "axk1");
  EXPECT_EQ(fresh.dtype, DType::kBF16);
  EXPECT_EQ(fresh.is_moe_layer, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(fresh.rope_parameters.rope_type, "yarn");
  EXPECT_EQ(fresh.rope_parameters.original_max_position_embeddings, 64);
  EXPECT_TRUE(fresh.has_post_mlp_norm);
  EXPECT_EQ(fresh.eos_token_ids, std::vector<int32_t>{511});
  EXPECT_EQ(fresh.bos_token_id, 509);
  EXPECT_EQ(fresh.pad_token_id, 510);

  const ModelConfig old = parse_model_config(golden_config("g4-deepseek-v3"), "g4");
  EXPECT_EQ(old.q_lora_rank, 0);
  EXPECT_FALSE(old.has_post_mlp_norm);
  EXPECT_EQ(old.rope_parameters.rope_type, "yarn");
  EXPECT_EQ(old.rope_parameters.mscale_all_dim, 1);
  EXPECT_EQ(old.is_moe_layer, (std::vector<bool>{false, true, true, true}));

  const ModelConfig plain = parse_model_config(golden_config("g2-fused-bias"), "g2");
  EXPECT_EQ(plain.model_type, "AXK1");
  EXPECT_EQ(plain.dtype, DType::kF32);
  EXPECT_EQ(plain.rope_parameters.rope_type, "default");
  EXPECT_EQ(plain.group_score, GroupScore::kTop2Sum);

  EXPECT_EQ(load_model_config(testdata("golden/g3-dense")).num_moe_layers(), 0);
}

TEST(Config, OmittedFieldsTakeTheClassDefaults) {
  const ModelConfig config = parse_model_config(json::parse(R"({"model_type":"axk1"})", "t"), "t");
  const ModelConfig released = released_sizes();
  EXPECT_EQ(count_parameters(config).total(), count_parameters(released).total());
  EXPECT_EQ(config.n_group, 8);
  EXPECT_EQ(config.topk_group, 4);
  EXPECT_EQ(config.max_position_embeddings, 32'768);
  EXPECT_EQ(config.rope_parameters.rope_type, "default");
  EXPECT_TRUE(config.eos_token_ids.empty());
  const ModelConfig v3 =
      parse_model_config(json::parse(R"({"model_type":"deepseek_v3"})", "t"), "t");
  // 671,026,404,352: the published count of DeepSeek-V3 without its MTP layer and router biases.
  EXPECT_EQ(count_parameters(v3).total(), 671'026'404'352u);
}

TEST(Config, MoeLayerFrequency) {
  json::value config = golden_config("g1-grouped-yarn");
  config.get_object().erase("mlp_layer_types");
  config.get_object()["moe_layer_freq"] = 2;
  EXPECT_EQ(parse_model_config(config, "t").is_moe_layer,
            (std::vector<bool>{false, false, true, false}));
}

TEST(Config, NullExpertsMeanDense) {
  json::value config = golden_config("g4-deepseek-v3");
  for (const char* field : {"n_routed_experts", "num_experts_per_tok", "n_shared_experts"}) {
    config.get_object()[field] = nullptr;
  }
  const ModelConfig parsed = parse_model_config(config, "t");
  EXPECT_EQ(parsed.num_moe_layers(), 0);
  EXPECT_EQ(count_parameters(parsed).routed_experts, 0u);
}

TEST(Config, ReleasedSizesGiveThePublishedCounts) {
  const ModelConfig config = released_sizes();
  const ParameterCounts counts = count_parameters(config);
  EXPECT_EQ(counts.total(), 518'983'059'456u);
  EXPECT_EQ(counts.active(), 32'779'332'608u);
  EXPECT_EQ(counts.read_per_token(), 31'604'927'488u);
  EXPECT_EQ(counts.active_routed_experts, 21'139'292'160u);
  EXPECT_EQ(counts.attention, uint64_t{61} * 101'124'096u);
  EXPECT_EQ(counts.dense_mlp, 396'361'728u);
  EXPECT_EQ(counts.router + counts.shared_experts + counts.routed_experts,
            uint64_t{60} * 8'501'133'312u);
  EXPECT_EQ(counts.embedding, 1'174'405'120u);
  EXPECT_EQ(kv_bytes_per_token(config, CacheDType::kBF16), 70'272u);
  EXPECT_DOUBLE_EQ(config.softmax_scale(), std::pow(192.0, -0.5));
  EXPECT_NEAR(config.rope_attention_scaling(), 1.138629, 1e-6);
  EXPECT_EQ(config.eos_token_ids, (std::vector<int32_t>{163'704, 163'691}));
}

TEST(Config, TiedEmbeddingsCountOnce) {
  json::value config = golden_config("g1-grouped-yarn");
  const uint64_t untied = count_parameters(parse_model_config(config, "t")).total();
  config.get_object()["tie_word_embeddings"] = true;
  EXPECT_EQ(count_parameters(parse_model_config(config, "t")).total(), untied - 512 * 128);
}

TEST(Config, MemoryPlanAddsUp) {
  const ModelConfig config = released_sizes();
  const MemoryPlan plan =
      plan_memory(config, {.context_tokens = 131'072, .chunk_tokens = 1, .weight_bytes = 1000});
  EXPECT_EQ(plan.kv_cache, uint64_t{131'072} * 70'272);
  EXPECT_EQ(plan.weights, 1000u);
  EXPECT_GT(plan.scratch, 4u * 163'840);
  EXPECT_EQ(plan.total(), plan.weights + plan.kv_cache + plan.scratch);
  EXPECT_GT(machine_memory_bytes(), uint64_t{1} << 28);
}

// YaRN (Peng et al. 2023, section 3.2) in double precision.
TEST(Rope, YarnFrequenciesOfTheReleasedSizes) {
  const std::vector<float> inv_freq = released_sizes().rope_inv_freq();
  ASSERT_EQ(inv_freq.size(), 32u);
  const auto rotations_dim = [](double turns) {
    return 64 * std::log(32768 / (turns * 2 * std::numbers::pi)) / (2 * std::log(10000.0));
  };
  const double low = std::floor(rotations_dim(32)), high = std::ceil(rotations_dim(1));
  EXPECT_EQ(low, 17);
  EXPECT_EQ(high, 30);
  for (int i = 0; i < 32; ++i) {
    const double base = std::pow(10000.0, -2.0 * i / 64);
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    const double expected = base * (1 - ramp) + base / 4 * ramp;
    EXPECT_NEAR(inv_freq[static_cast<size_t>(i)], expected, 4e-7 * expected) << i;
  }
}

TEST(Rope, AttentionFactorPrecedence) {
  json::value config = golden_config("g1-grouped-yarn");
  json::object& rope = config.get_object()["rope_parameters"].get_object();
  const auto scaling = [&] { return parse_model_config(config, "t").rope_attention_scaling(); };
  const double mscale = 0.1 * std::log(4.0) + 1;
  EXPECT_DOUBLE_EQ(scaling(), mscale);
  rope["mscale"] = 2.0;  // alone it counts for nothing
  EXPECT_DOUBLE_EQ(scaling(), mscale);
  rope["mscale_all_dim"] = 1.0;
  EXPECT_DOUBLE_EQ(scaling(), (0.2 * std::log(4.0) + 1) / mscale);
  EXPECT_DOUBLE_EQ(parse_model_config(config, "t").softmax_scale(),
                   std::pow(48.0, -0.5) * mscale * mscale);
  rope["attention_factor"] = 1.5;
  EXPECT_DOUBLE_EQ(scaling(), 1.5);
}

TEST(Rope, UntruncatedRange) {
  json::value config = golden_config("g1-grouped-yarn");
  const std::vector<float> whole = parse_model_config(config, "t").rope_inv_freq();
  config.get_object()["rope_parameters"].get_object()["truncate"] = false;
  EXPECT_NE(parse_model_config(config, "t").rope_inv_freq(), whole);
}

struct BadConfig {
  const char* name;
  std::function<void(json::object&)> change;  // of g1's config
  const char* expected;
};

json::object& rope_of(json::object& config) {
  return config["rope_parameters"].get_object();
}

const BadConfig kBadConfigs[] = {
    {"no type", [](auto& c) { c.erase("model_type"); }, "\"model_type\" is missing"},
    {"llama", [](auto& c) { c["model_type"] = "llama"; }, "llama is not computed here"},
    {"later family", [](auto& c) { c["model_type"] = "axk2"; }, "axk2 is not computed here"},
    {"deepseek v2", [](auto& c) { c["model_type"] = "deepseek_v2"; }, "deepseek_v2 is not"},
    {"softmax router", [](auto& c) { c["scoring_func"] = "softmax"; }, "\"scoring_func\": softmax"},
    {"greedy", [](auto& c) { c["topk_method"] = "greedy"; }, "\"topk_method\": greedy"},
    {"group_limited_greedy", [](auto& c) { c["topk_method"] = "group_limited_greedy"; },
     "\"topk_method\": group_limited_greedy"},
    {"gelu", [](auto& c) { c["hidden_act"] = "gelu"; }, "\"hidden_act\": gelu"},
    {"bias", [](auto& c) { c["attention_bias"] = true; }, "\"attention_bias\": true"},
    {"quantised",
     [](auto& c) {
       c["quantization_config"] = {{"quant_method", "fp8"}};
     },
     "\"quantization_config\""},
    {"sliding window", [](auto& c) { c["sliding_window"] = 4096; }, "\"sliding_window\": 4096"},
    {"sparse attention", [](auto& c) { c["index_topk"] = 2048; }, "\"index_topk\": 2048"},
    {"soft cap", [](auto& c) { c["final_logit_softcapping"] = 30.0; }, "final_logit_softcapping"},
    {"embedding scale", [](auto& c) { c["embedding_multiplier"] = 12; }, "embedding_multiplier"},
    {"layer types",
     [](auto& c) {
       c["layer_types"] = {"full_attention", "sliding_attention"};
     },
     "layer_types"},
    {"head_dim", [](auto& c) { c["head_dim"] = 128; }, "\"head_dim\": found 128, expected 16"},
    {"linear rope", [](auto& c) { rope_of(c)["rope_type"] = "linear"; }, "\"rope_type\": linear"},
    {"dynamic rope", [](auto& c) { rope_of(c)["rope_type"] = "dynamic"; }, "dynamic is not"},
    {"llama3 rope", [](auto& c) { rope_of(c)["rope_type"] = "llama3"; }, "llama3 is not"},
    {"longrope", [](auto& c) { rope_of(c)["rope_type"] = "longrope"; }, "longrope is not"},
    {"partial rotary", [](auto& c) { rope_of(c)["partial_rotary_factor"] = 0.5; },
     "partial_rotary_factor"},
    {"rope by layer type", [](auto& c) { rope_of(c)["full_attention"] = json::object{}; },
     "full_attention"},
    {"factor", [](auto& c) { rope_of(c)["factor"] = 0.5; }, "\"factor\": found 0.5"},
    {"betas", [](auto& c) { rope_of(c)["beta_fast"] = 0.5; }, "below beta_slow"},
    {"mscale", [](auto& c) { rope_of(c)["mscale_all_dim"] = 1e300; }, "\"mscale_all_dim\": found"},
    {"infinite", [](auto& c) { rope_of(c)["attention_factor"] = HUGE_VAL; }, "attention_factor"},
    {"theta", [](auto& c) { rope_of(c)["rope_theta"] = 1; }, "\"rope_theta\": found 1"},
    {"rope is text", [](auto& c) { c["rope_parameters"] = "yarn"; }, "found string"},
    {"old-style linear",
     [](auto& c) {
       c["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
     },
     "\"rope_type\": linear"},
    {"int8", [](auto& c) { c["dtype"] = "int8"; }, "\"dtype\": int8"},
    {"groups", [](auto& c) { c["n_group"] = 5; }, "16 is not a multiple of n_group = 5"},
    {"groups of one", [](auto& c) { c["n_group"] = 16; }, "expected at least the 2"},
    {"topk_group", [](auto& c) { c["topk_group"] = 5; }, "topk_group = 5 exceeds n_group = 4"},
    {"too few in groups", [](auto& c) { c["num_experts_per_tok"] = 9; }, "exceeds the 8 experts"},
    {"no experts",
     [](auto& c) {
       c["n_routed_experts"] = nullptr;
       c.erase("first_k_dense_replace");
     },
     "n_routed_experts is null"},
    {"negative", [](auto& c) { c["hidden_size"] = -1; }, "\"hidden_size\": found -1"},
    {"zero", [](auto& c) { c["vocab_size"] = 0; }, "\"vocab_size\": found 0"},
    {"fraction", [](auto& c) { c["num_hidden_layers"] = 1.5; }, "found 1.5"},
    {"text", [](auto& c) { c["kv_lora_rank"] = "512"; }, "\"kv_lora_rank\": found \"512\""},
    {"huge", [](auto& c) { c["hidden_size"] = 1e12; }, "\"hidden_size\""},
    {"huge layers", [](auto& c) { c["num_hidden_layers"] = 1 << 20; }, "\"num_hidden_layers\""},
    {"huge product",
     [](auto& c) {
       c["hidden_size"] = 1 << 22;
       c["intermediate_size"] = 1 << 22;
       c["num_hidden_layers"] = 4096;
       c.erase("mlp_layer_types");
       c["first_k_dense_replace"] = 4096;
     },
     "expected at most 281474976710656"},
    {"many experts",
     [](auto& c) {
       c["n_routed_experts"] = 4096;
       c["num_hidden_layers"] = 4096;
       c.erase("mlp_layer_types");
     },
     "exceeds 1048576"},
    {"more than the router takes", [](auto& c) { c["n_routed_experts"] = 4100; },
     "an integer from 1 to 4096"},
    {"odd rope", [](auto& c) { c["qk_rope_head_dim"] = 15; }, "an even number"},
    {"layer kinds", [](auto& c) { c["mlp_layer_types"] = {"dense"}; }, "found 1 entries"},
    {"unknown kind",
     [](auto& c) {
       c["mlp_layer_types"] = {"dense", "sparse", "sparse", "moe"};
     },
     "\"dense\" or \"sparse\""},
    {"contradiction", [](auto& c) { c["first_k_dense_replace"] = 2; }, "contradicts"},
    {"eos", [](auto& c) { c["eos_token_id"] = 512; }, "\"eos_token_id\": found 512"},
    {"eos list",
     [](auto& c) {
       c["eos_token_id"] = {511, 9999};
     },
     "ids from 0 to 511"},
    {"eps", [](auto& c) { c["rms_norm_eps"] = -1.0; }, "\"rms_norm_eps\""},
};

TEST(Config, RefusesByName) {
  for (const BadConfig& bad : kBadConfigs) {
    SCOPED_TRACE(bad.name);
    json::value config = golden_config("g1-grouped-yarn");
    bad.change(config.get_object());
    const std::string error = error_of(config);
    EXPECT_THAT(error, HasSubstr(bad.expected));
    EXPECT_THAT(error, HasSubstr("config.json"));
  }
  std::printf("[ cases ] refused configs: %zu\n", std::size(kBadConfigs));
}

TEST(Config, NeutralAndUnknownFieldsAreIgnored) {
  json::value config = golden_config("g1-grouped-yarn");
  json::object& fields = config.get_object();
  fields["quantization_config"] = nullptr;
  fields["sliding_window"] = nullptr;
  fields["embedding_multiplier"] = 1.0;
  fields["head_dim"] = 16;
  fields["qk_head_dim"] = 48;
  fields["layer_types"] = {"full_attention", "full_attention", "full_attention", "full_attention"};
  fields["aux_loss_alpha"] = 1e-4;
  fields["some_new_field"] = {{"a", 1}};
  EXPECT_EQ(error_of(config), "no error");
}

TEST(Config, NotAModelDirectory) {
  const testing::TempDir dir;
  EXPECT_THROW(load_model_config(dir.path()), Error);
  dir.write("config.json", "[1]");
  EXPECT_THROW(load_model_config(dir.path()), Error);
}

}  // namespace
}  // namespace axk1
