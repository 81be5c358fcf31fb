#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

// Runs `axk1 tokenize ARGS...` with this standard input; gives standard output.
std::string run(std::vector<std::string> args, const std::string& input = "") {
  CLI::App app("test", "axk1");
  add_tokenize_command(app);
  args.insert(args.begin(), {"tokenize", testing::testdata("../models/nano-v0")});
  std::reverse(args.begin(), args.end());  // as CLI11 takes them
  std::istringstream in(input);
  std::streambuf* const outer = std::cin.rdbuf(in.rdbuf());
  std::cin.clear();
  ::testing::internal::CaptureStdout();
  try {
    app.parse(args);
  } catch (...) {
    std::cin.rdbuf(outer);
    ::testing::internal::GetCapturedStdout();
    throw;
  }
  std::cin.rdbuf(outer);
  return ::testing::internal::GetCapturedStdout();
}

TEST(TokenizeCommand, TextBothWays) {
  EXPECT_EQ(run({"--text", "  "}), "[260]\n");
  EXPECT_EQ(run({"--text", ""}), "[]\n");
  EXPECT_EQ(run({"--decode", "--text", "260, 220"}), "   \n");
  EXPECT_EQ(run({"--decode", "--text", "[260,220]"}), "   \n");
  EXPECT_EQ(run({"--text", "<|im_start|>", "--parse-special"}), "[16322]\n");
  EXPECT_NE(run({"--text", "<|im_start|>"}), "[16322]\n");
  EXPECT_EQ(run({"--decode", "--skip-special", "--text", "16322 260"}), "  \n");
  EXPECT_EQ(run({"--json", "--text", "  "}),
            "{\"ids\":[260],\"pieces\":[\"  \"],\"tokens\":1,\"bytes\":2}\n");
}

TEST(TokenizeCommand, JsonLinesGoOnAfterABadLine) {
  EXPECT_EQ(run({"--jsonl"}, "\"  \"\n7\n\"\\ud83d\"\n\"\"\n"),
            "[260]\n{\"error\":\"found integer, expected a string\"}\n"
            "{\"error\":\"line: line 1, column 8: not valid JSON: syntax error\"}\n[]\n");
  EXPECT_EQ(run({"--jsonl", "--decode"}, "[260]\n[-1]\n[\"a\"]\n\"x\"\n[]"),
            "\"  \"\n"
            "{\"error\":\"found -1, expected an id from 0 to 4194303\"}\n"
            "{\"error\":\"found \\\"a\\\", expected an id from 0 to 4194303\"}\n"
            "{\"error\":\"found string, expected an array of ids\"}\n\"\"\n");
}

TEST(TokenizeCommand, WrongUse) {
  EXPECT_THROW(run({"--jsonl", "--text", "x"}), Error);
  EXPECT_THROW(run({"--text", "x", "--pattern", "gpt2"}), Error);
  EXPECT_THROW(run({"--decode", "--text", "x"}), Error);
  EXPECT_THROW(run({"--text", "x", "--file", "y"}), CLI::ParseError);
  EXPECT_THROW(run({"--nonsense"}), CLI::ParseError);
}

}  // namespace
}  // namespace axk1
