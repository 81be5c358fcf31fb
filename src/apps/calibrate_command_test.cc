#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "io/json.h"
#include "quant/importance.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

const std::string kModel = testing::testdata("../models/nano-v0");

size_t files_in(const std::string& dir) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir)) ++count;
  return count;
}

TEST(CalibrateCommand, WritesAFileThatLoads) {
  const testing::TempDir dir;
  const std::string out = dir.path() + "/importance";
  const ProcessResult result =
      axk1({"calibrate", kModel, "--text", dir.write("text.txt", "한국의 수도는 서울이다."),
            "--out", out, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json::value report = json::parse(result.out, "output");
  const Importance importance = Importance::load(out);
  EXPECT_EQ(importance.metadata().at("model"), "nano-v0");
  EXPECT_EQ(importance.num_rows("lm_head.weight"), report.at("tokens").to_number<uint64_t>());
  EXPECT_EQ(report.at("experts").to_number<size_t>(), 80u);
  EXPECT_GT(report.at("unseen_experts").to_number<size_t>(), 0u);
  for (const char* name :
       {"lm_head.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.5.mlp.gate.weight",
        "model.layers.5.mlp.experts.15.down_proj.weight"}) {
    EXPECT_FALSE(importance.find(name).empty()) << name;
  }
  EXPECT_THAT(axk1({"calibrate", kModel, "--text", dir.path() + "/text.txt", "--out", out}).out,
              HasSubstr("of 80 routed experts seen"));
}

TEST(CalibrateCommand, ErrorsLeaveNoFile) {
  const testing::TempDir dir, out;
  const std::string text = dir.write("text.txt", "한국의 수도는 서울이다.");
  size_t cases = 0;
  const auto expect = [&](std::vector<std::string> args, int code, const std::string& part) {
    args.insert(args.begin(), "calibrate");
    args.insert(args.end(), {"--out", out.path() + "/importance"});
    const ProcessResult result = axk1(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(files_in(out.path()), 0u);
    ++cases;
  };
  expect({kModel, "--text", "/no/such"}, 1, "/no/such");
  expect({kModel, "--text", dir.write("empty", "")}, 1, "empty");
  expect({kModel, "--text", text, "--context", "9999"}, 1, "2048");
  expect({testing::testdata("golden/g3-dense"), "--text", text}, 1, "tokenizer");
  expect({"/no/such/model", "--text", text}, 1, "/no/such/model");
  expect({kModel}, 2, "--text");
  const ProcessResult unwritable =
      axk1({"calibrate", kModel, "--text", text, "--out", out.path() + "/no/such/folder"});
  EXPECT_EQ(unwritable.exit_code, 1);
  std::printf("[ cases ] refused calibrations: %zu\n", cases + 1);
}

TEST(CalibrateCommand, CtrlCLeavesNoFile) {
  const testing::TempDir dir, out;
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "한국의 수도는 서울이다. ";
  testing::Terminal terminal({testing::program_path("axk1"), "calibrate", kModel, "--text",
                              dir.write("text.txt", text), "--out", out.path() + "/importance",
                              "--threads", "1"});
  ASSERT_TRUE(terminal.wait_to_show("reading")) << terminal.shown();
  EXPECT_EQ(files_in(out.path()), 1u);
  terminal.type("\x03");
  EXPECT_TRUE(terminal.wait_to_show("interrupted")) << terminal.shown();
  EXPECT_EQ(terminal.wait_for_exit(), 1);
  EXPECT_EQ(files_in(out.path()), 0u);
}

}  // namespace
}  // namespace axk1
