#include "train/hf_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bf16.h"
#include "base/error.h"
#include "model/weights.h"
#include "testing/shared_data.h"
#include "testing/tiny_config.h"

namespace axk1 {
namespace {

using testing::tiny_config;

TEST(HfExport, ReadsBackTheSame) {
  for (const char* changes : {"{}", R"({"tie_word_embeddings": true, "q_lora_rank": null})",
                              R"({"model_type": "deepseek_v3"})", R"({"first_k_dense_replace": 3})",
                              R"({"num_nextn_predict_layers": 1})",
                              R"({"num_nextn_predict_layers": 1, "first_k_dense_replace": 3})"}) {
    ParamStore params(tiny_config(changes), {.seed = 4});
    for (float& bias : params.mutable_router_biases()) bias = 0.123f;
    for (const bool fused : {true, false}) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const testing::TempDir dir;
        const std::string out = dir.path() + "/model";
        export_huggingface(params, out, {.dtype = dtype, .fused_experts = fused});
        const ParamStore read(out);
        EXPECT_EQ(read.config().dtype, dtype);
        std::vector<float> expected(params.values().begin(), params.values().end());
        for (float& value : expected) {
          if (dtype == DType::kBF16) value = bf16_to_f32(f32_to_bf16(value));
        }
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), read.values().begin()));
        EXPECT_THAT(read.router_biases(), ::testing::Each(0.123f));
        if (params.config().num_moe_layers()) {
          EXPECT_EQ(read.names().fused_experts, fused);
        }
        EXPECT_EQ(load_weights(out, read.config()).mtp.has_value(),
                  params.layout().mtp.has_value());
      }
    }
  }
}

TEST(HfExport, RefusesOtherTypesAndPlaces) {
  const ParamStore params(tiny_config(), {});
  const testing::TempDir dir;
  EXPECT_THROW(export_huggingface(params, dir.path(), {.dtype = DType::kF16}), Error);
  const std::string file = dir.write("file", "x");
  EXPECT_THROW(export_huggingface(params, file + "/model"), Error);
}

}  // namespace
}  // namespace axk1
