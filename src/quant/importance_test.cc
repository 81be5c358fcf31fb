#include "quant/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Tensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
  std::vector<int32_t> rows;
};

std::string write(const testing::TempDir& dir, const std::vector<Tensor>& tensors,
                  std::map<std::string, std::string> metadata = {{"format", "axk1-importance-1"}}) {
  std::vector<TensorSpec> specs;
  for (const Tensor& t : tensors) {
    specs.push_back({t.name + ".importance", DType::kF32, t.shape});
    specs.push_back({t.name + ".rows", DType::kI32, {t.rows.size()}});
  }
  const std::string path = dir.path() + "/file";
  SafetensorsWriter file(path, specs, metadata);
  for (const Tensor& t : tensors) {
    file.append_f32(t.name + ".importance", t.values);
    file.append(t.name + ".rows", std::as_bytes(std::span(t.rows)));
  }
  file.finish();
  return path;
}

TEST(ImportanceFile, FindsMatricesExpertsAndWhatSharesTheirRows) {
  const testing::TempDir dir;
  const std::string experts = "model.layers.1.mlp.experts.";
  const Importance importance =
      Importance::load(write(dir,
                             {{"a.gate_proj.weight", {2}, {1, 2}, {3}},
                              {"b.weight", {1}, {0}, {0}},
                              {"lm_head.weight", {2}, {5, 6}, {1}},
                              {experts + "gate_proj.weight", {3, 2}, {1, 2, 0, 0, 4, 8}, {1, 0, 3}},
                              {experts + "down_proj.weight", {2, 1}, {0, 0}, {0, 0}}},
                             {{"format", "axk1-importance-1"}, {"tied", "true"}}));
  EXPECT_THAT(importance.find("a.gate_proj.weight"), ElementsAre(1, 2));
  EXPECT_THAT(importance.find("a.up_proj.weight"), ElementsAre(1, 2));
  EXPECT_EQ(importance.num_rows("a.up_proj.weight"), 3u);
  EXPECT_THAT(importance.find("a.down_proj.weight"), IsEmpty());
  EXPECT_THAT(importance.find("b.weight"), IsEmpty());
  EXPECT_THAT(importance.find("lm_head.weight"), ElementsAre(5, 6));
  EXPECT_THAT(importance.find("model.embed_tokens.weight"), ElementsAre(5, 6));
  EXPECT_THAT(importance.find(experts + "0.gate_proj.weight"), ElementsAre(1, 2));
  EXPECT_THAT(importance.find(experts + "2.up_proj.weight"), ElementsAre(4, 8));
  EXPECT_THAT(importance.find(experts + "1.gate_proj.weight"), ElementsAre(3.25f, 6.5f));
  EXPECT_EQ(importance.num_rows(experts + "1.gate_proj.weight"), 0u);
  EXPECT_THAT(importance.find(experts + "3.gate_proj.weight"), IsEmpty());
  EXPECT_THAT(importance.find(experts + "gate_proj.weight"), IsEmpty());
  EXPECT_THAT(importance.find(experts + "0.down_proj.weight"), IsEmpty());
  EXPECT_THAT(importance.find("no.such.weight"), IsEmpty());

  const testing::TempDir untied;
  EXPECT_THAT(Importance::load(write(untied, {{"lm_head.weight", {1}, {5}, {1}}}))
                  .find("model.embed_tokens.weight"),
              IsEmpty());
}

TEST(ImportanceFile, ExpertNames) {
  const auto name = parse_expert_name("model.layers.3.mlp.experts.17.down_proj.weight");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->group, "model.layers.3.mlp.experts.down_proj.weight");
  EXPECT_EQ(name->expert_idx, 17u);
  for (const char* other : {"model.layers.3.mlp.shared_experts.down_proj.weight", "", ".experts.",
                            "x.experts.12", "x.experts.-1.y", "x.experts.99999999999999999999.y"}) {
    EXPECT_FALSE(parse_expert_name(other)) << other;
  }
}

// An odd header length, as other writers leave it, misaligns the values.
TEST(ImportanceFile, MisalignedValuesAreCopied) {
  const testing::TempDir dir;
  std::string bytes = read_file(write(dir, {{"a", {2}, {1, 2}, {3}}}));
  bytes.insert(8 + static_cast<unsigned char>(bytes[0]) +
                   (static_cast<size_t>(static_cast<unsigned char>(bytes[1])) << 8),
               " ");
  ++bytes[0];
  EXPECT_THAT(Importance::load(dir.write("odd", bytes)).find("a"), ElementsAre(1, 2));
}

TEST(ImportanceFile, WhatIsWrongIsNamed) {
  size_t cases = 0;
  const auto expect =
      [&](const std::vector<Tensor>& tensors, const std::string& part,
          std::map<std::string, std::string> metadata = {{"format", "axk1-importance-1"}}) {
        const testing::TempDir dir;
        const std::string path = write(dir, tensors, metadata);
        try {
          Importance::load(path);
          ADD_FAILURE() << "taken: " << part;
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), HasSubstr(part));
          EXPECT_THAT(error.what(), HasSubstr(path));
        }
        ++cases;
      };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  expect({{"a", {2}, {1, kNan}, {3}}}, "index 1");
  expect({{"a", {2}, {-1, 2}, {3}}}, "index 0");
  expect({{"a", {2}, {1, 2}, {-3}}}, "-3 rows");
  expect({{"a", {2}, {1, 2}, {3, 3}}}, "a.importance");
  expect({{"a", {2, 1}, {1, 2}, {3}}}, "shape [2]");
  expect({{"a", {1, 1, 2}, {1, 2}, {3}}}, "[1, 1, 2]");
  expect({{"a", {}, {1}, {3}}}, "[in_features]");
  expect({{"a", {0}, {}, {3}}}, "empty");
  expect({{"a", {0, 2}, {}, {}}}, "empty");
  expect({{"a", {2}, {1, 2}, {3}}}, "missing", {});
  expect({{"a", {2}, {1, 2}, {3}}}, "\"gguf\"", {{"format", "gguf"}});

  const testing::TempDir dir;
  const std::vector<TensorSpec> lone = {{"a.weight", DType::kF32, {1}}};
  SafetensorsWriter file(dir.path() + "/lone", lone, {{"format", "axk1-importance-1"}});
  file.append_f32("a.weight", std::vector<float>{1});
  file.finish();
  EXPECT_THROW(Importance::load(dir.path() + "/lone"), Error);
  EXPECT_THROW(Importance::load("/no/such"), Error);
  std::printf("[ cases ] damaged importance files: %zu\n", cases + 2);
}

}  // namespace
}  // namespace axk1
