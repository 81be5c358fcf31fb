#include "quant/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

TEST(Recipe, KnowsEveryTensorOfACheckpoint) {
  const uint64_t matrix[] = {64, 64}, vector[] = {64};
  const std::pair<const char*, TensorClass> cases[] = {
      {"model.embed_tokens.weight", TensorClass::kEmbedding},
      {"lm_head.weight", TensorClass::kHead},
      {"model.layers.0.self_attn.q_proj.weight", TensorClass::kAttention},
      {"model.layers.0.self_attn.q_a_proj.weight", TensorClass::kAttention},
      {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", TensorClass::kAttention},
      {"model.layers.0.self_attn.o_proj.weight", TensorClass::kAttention},
      {"model.layers.0.self_attn.kv_b_proj.weight", TensorClass::kKvB},
      {"model.layers.0.mlp.gate_proj.weight", TensorClass::kDenseMlp},
      {"model.layers.0.mlp.down_proj.weight", TensorClass::kDenseDown},
      {"model.layers.1.mlp.gate.weight", TensorClass::kRouter},
      {"model.layers.1.mlp.shared_experts.up_proj.weight", TensorClass::kShared},
      {"model.layers.1.mlp.shared_experts.down_proj.weight", TensorClass::kSharedDown},
      {"model.layers.1.mlp.experts.17.gate_proj.weight", TensorClass::kRouted},
      {"model.layers.1.mlp.experts.17.down_proj.weight", TensorClass::kRoutedDown},
  };
  for (const auto& [name, expected] : cases) {
    EXPECT_EQ(tensor_class_of(name, matrix), expected) << name;
  }
  EXPECT_EQ(tensor_class_of("model.norm.weight", vector), TensorClass::kVector);
  EXPECT_EQ(tensor_class_of("model.layers.1.mlp.gate.e_score_correction_bias", vector),
            TensorClass::kVector);
}

TEST(Recipe, NamedOnes) {
  const uint64_t shape[] = {64, 256}, narrow[] = {64, 31}, vector[] = {64};
  const Recipe q4 = named_recipe("q4");
  EXPECT_EQ(q4.type_for(TensorClass::kRouted, shape, DType::kF32), DType::kQ4);
  EXPECT_EQ(q4.type_for(TensorClass::kRouted, narrow, DType::kF32), DType::kBF16);
  EXPECT_EQ(q4.type_for(TensorClass::kKvB, shape, DType::kF32), DType::kBF16);
  EXPECT_EQ(q4.type_for(TensorClass::kRouter, shape, DType::kF16), DType::kF16);
  EXPECT_EQ(q4.type_for(TensorClass::kVector, vector, DType::kBF16), DType::kF32);
  EXPECT_EQ(named_recipe("keep").type_for(TensorClass::kHead, shape, DType::kF16), DType::kF16);
  for (const char* name : {"q8", "q4", "q3", "bf16", "keep"}) {
    const Recipe recipe = named_recipe(name);
    EXPECT_FALSE(recipe[TensorClass::kRouter]) << name;
    EXPECT_EQ(parse_recipe(cat("{\"base\":\"", name, "\"}"), "r").types, recipe.types);
  }
  EXPECT_THROW(named_recipe("q5"), Error);
}

TEST(Recipe, FromAFile) {
  const Recipe recipe = parse_recipe(
      R"({"base": "q8", "routed": "q4", "shared": "q3", "shared_down": "bf16", "kv_b": "f32"})",
      "r.json");
  EXPECT_EQ(recipe[TensorClass::kRouted], DType::kQ4);
  EXPECT_EQ(recipe[TensorClass::kRoutedDown], DType::kQ4);
  EXPECT_EQ(recipe[TensorClass::kShared], DType::kQ3);
  EXPECT_EQ(recipe[TensorClass::kSharedDown], DType::kBF16);
  EXPECT_EQ(recipe[TensorClass::kAttention], DType::kQ8);
  EXPECT_EQ(recipe[TensorClass::kKvB], DType::kF32);
  const json::object shown = recipe_json(recipe);
  EXPECT_EQ(shown.at("routed_down").as_string(), "q4");
  EXPECT_EQ(shown.at("router").as_string(), "keep");
}

TEST(Recipe, WrongFilesAreRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "r.json: found array, expected an object"},
      {"{\"experts\": \"q4\"}", "unknown field \"experts\", expected base, embedding, head"},
      {"{\"vector\": \"bf16\"}", "unknown field \"vector\""},
      {"{\"routed\": \"q5\"}", "expected q8, q4, q3, bf16, f32 or keep"},
      {"{\"routed\": 4}", "expected a string"},
      {"{\"kv_b\": \"q8\"}", "never quantised"},
      {"{\"router\": \"q4\"}", "never quantised"},
      {"{\"base\": \"q5\"}", "r.json: field \"base\": found recipe \"q5\", expected one of q8, q4"},
      {"{\"routed\": \"q4\", \"routed\": \"q8\"}", "r.json"},
  };
  for (const auto& [text, expected] : cases) {
    try {
      parse_recipe(text, "r.json");
      ADD_FAILURE() << "accepted " << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(expected));
    }
  }
  std::printf("[ cases ] recipes refused: %zu\n", std::size(cases));
}

}  // namespace
}  // namespace axk1
