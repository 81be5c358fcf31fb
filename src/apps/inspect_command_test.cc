#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "apps/commands.h"
#include "base/error.h"
#include "io/json.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::testdata;

std::string run_inspect(std::vector<std::string> arguments) {
  CLI::App app("axk1");
  add_inspect_command(app);
  arguments.insert(arguments.begin(), "inspect");
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  ::testing::internal::CaptureStdout();
  try {
    app.parse(arguments);
  } catch (...) {
    ::testing::internal::GetCapturedStdout();
    throw;
  }
  return ::testing::internal::GetCapturedStdout();
}

TEST(Inspect, ReleasedSizesWithoutWeights) {
  const std::string config = testdata("configs/axk1-released-sizes.json");
  const json::value parsed = json::parse(run_inspect({config, "--json"}), "stdout");
  const json::object& out = parsed.get_object();
  EXPECT_EQ(out.at("model_type").get_string(), "AXK1");
  EXPECT_EQ(out.at("parameters_total").to_number<uint64_t>(), 518'983'059'456u);
  EXPECT_EQ(out.at("parameters_active").to_number<uint64_t>(), 32'779'332'608u);
  EXPECT_EQ(out.at("weight_bytes").to_number<uint64_t>(), 1'037'966'118'912u);
  EXPECT_EQ(out.at("kv_bytes_per_token").to_number<uint64_t>(), 70'272u);
  EXPECT_EQ(out.at("num_hidden_layers").to_number<int>(), 61);
  EXPECT_FALSE(out.contains("checkpoint"));

  const std::string text = run_inspect({config});
  EXPECT_THAT(text, HasSubstr("518,983,059,456"));
  EXPECT_THAT(text, HasSubstr("32,779,332,608"));
}

TEST(Inspect, CheckpointCountsComeFromItsTensors) {
  const std::string dir = testdata("golden/g4-deepseek-v3");
  const json::value parsed = json::parse(run_inspect({dir, "--json", "--context", "10"}), "stdout");
  const json::object& out = parsed.get_object();
  EXPECT_EQ(out.at("parameters_total").to_number<uint64_t>(), 1'834'368u);
  EXPECT_EQ(out.at("checkpoint").get_object().at("tensors").to_number<uint64_t>(), 193u);
  EXPECT_EQ(out.at("checkpoint").get_object().at("parameters").to_number<uint64_t>(), 1'834'368u);
  EXPECT_EQ(out.at("memory").get_object().at("kv_cache").to_number<uint64_t>(), 10u * 640u);
  EXPECT_TRUE(out.at("q_lora_rank").is_null());
}

TEST(Inspect, DirectoryWithoutWeightsNeedsNone) {
  const testing::TempDir dir;
  dir.write("config.json", R"({"model_type":"axk1"})");
  EXPECT_THAT(run_inspect({dir.path()}), HasSubstr("518,983,059,456"));
}

TEST(Inspect, BadModelsAreErrorsAndBadFlagsUsage) {
  const testing::TempDir dir;
  EXPECT_THROW(run_inspect({dir.path()}), Error);
  dir.write("config.json", R"({"model_type":"axk1"})");
  dir.write("model.safetensors", "no");
  EXPECT_THROW(run_inspect({dir.path()}), Error);
  EXPECT_THROW(run_inspect({dir.path(), "--context", "0"}), CLI::ParseError);
  EXPECT_THROW(run_inspect({}), CLI::ParseError);
}

}  // namespace
}  // namespace axk1
