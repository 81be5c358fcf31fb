#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>

#include "apps/commands.h"
#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

// Runs `axk1 template ARGS` in this process with `input` as stdin; returns stdout.
std::string run_template(const std::string& args, const std::string& input) {
  CLI::App app("axk1");
  add_template_command(app);
  std::istringstream in(input);
  std::streambuf* const saved = std::cin.rdbuf(in.rdbuf());
  ::testing::internal::CaptureStdout();
  try {
    app.parse("template " + args);
  } catch (...) {
    std::cin.rdbuf(saved);
    ::testing::internal::GetCapturedStdout();
    throw;
  }
  std::cin.rdbuf(saved);
  return ::testing::internal::GetCapturedStdout();
}

TEST(TemplateCommand, AnswersEveryLineAndGoesOnAfterBadOnes) {
  const testing::TempDir dir;
  const std::string file = dir.write("t.jinja", "{{ x ~ '!' }}\n{{ y.z }}");
  EXPECT_EQ(run_template(file + " --jsonl",
                         "{\"x\": \"한\\n\", \"y\": {\"z\": 1.0}}\n"
                         "not json\n"
                         "[1]\n"
                         "{\"x\": 1}\n"
                         "{\"x\": 2, \"y\": {}}\n"),
            "\"한\\n!\\n1.0\"\n"
            "{\"error\":\"input: line 1, column 1: not valid JSON: syntax error\"}\n"
            "{\"error\":\"input: found array, expected an object with messages, tools, "
            "add_generation_prompt, ...\"}\n"
            "{\"error\":\"" +
                file +
                ": line 2, column 6: 'y' is undefined\",\"line\":2,\"column\":6}\n"
                "\"2!\\n\"\n");
}

TEST(TemplateCommand, ATemplateThatDoesNotParseAnswersEveryLine) {
  const testing::TempDir dir;
  const std::string file = dir.write("t.jinja", "{% if %}");
  const std::string out = run_template(file + " --jsonl", "{}\n{}\n");
  EXPECT_NE(out.find("\"line\":1,\"column\":7}\n{\"error\""), std::string::npos) << out;
  EXPECT_THROW(run_template(file + " --input -", "{}"), Error);
}

TEST(TemplateCommand, PrintsOneTextAsItIs) {
  const std::string model = testing::testdata("../models/nano-v0");
  EXPECT_EQ(run_template(model + " --input -",
                         R"({"messages": [{"role": "user", "content": "안녕"}],
                             "add_generation_prompt": true, "enable_thinking": true})"),
            "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n<think>\n");
  EXPECT_THROW(run_template(model, ""), Error);
  EXPECT_THROW(run_template(model + " --input -", "[]"), Error);
  EXPECT_THROW(run_template("/nonexistent --jsonl", "{}\n"), Error);
}

}  // namespace
}  // namespace axk1
