#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

TEST(TrainTokenizerCommand, MakesADirectoryThatOtherCommandsRead) {
  const testing::TempDir dir;
  const std::string model = testing::testdata("../models/nano-v0");
  const std::string out = dir.path() + "/a/b";
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += cat("한국의 수도는 서울이다. The capital is Seoul ", i, ".\n");
  const std::string file = dir.write("text.txt", text);
  const ProcessResult result = axk1(
      {"train-tokenizer", "--vocab-size", "360", "--like", model, "--out", out, "--json", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out, "output").at("vocab_size").to_number<int>(), 360);

  const ProcessResult ids = axk1({"tokenize", out, "--jsonl"}, "\"한국의 수도는 서울이다.\"\n");
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_LE(json::parse(ids.out, "ids").get_array().size(), 12u);
  const ProcessResult prompt =
      axk1({"template", out, "--jsonl"}, R"({"messages":[{"role":"user","content":"x"}]})");
  EXPECT_THAT(prompt.out, HasSubstr("<|im_start|>user\\nx<|im_end|>"));
  const std::string metrics = read_file(out + "/metrics.jsonl");
  EXPECT_THAT(metrics, HasSubstr("\"stage\":\"counted\""));
  EXPECT_THAT(metrics, HasSubstr("\"stage\":\"done\""));

  const ProcessResult few = axk1({"train-tokenizer", "--vocab-size", "60000", "--out", out, file});
  EXPECT_EQ(few.exit_code, 0);
  EXPECT_THAT(few.err, HasSubstr("warning: the text has pairs for "));
}

TEST(TrainTokenizerCommand, Errors) {
  const testing::TempDir dir;
  const std::string file = dir.write("a.jsonl", "{\"x\":1}\n");
  const auto expect = [&](std::vector<std::string> args, int code, const std::string& part) {
    args.insert(args.begin(), {"train-tokenizer", "--out", dir.path() + "/out"});
    const ProcessResult result = axk1(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
  };
  expect({"--vocab-size", "260", file}, 2, "expected 269");
  expect({"--vocab-size", "400", dir.path() + "/none"}, 1, "none: cannot open");
  expect({"--vocab-size", "400", file}, 1, "a.jsonl:1: found the fields x");
  expect({"--vocab-size", "400", "--pattern", "(", file}, 1, "(");
  expect({"--vocab-size", "400", dir.write("empty.txt", "")}, 1, "empty.txt: found no text");
}

}  // namespace
}  // namespace axk1
