// The program as people and scripts use it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "base/text.h"
#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ProcessResult;

const std::string kModel = testing::testdata("../models/nano-v0");
const std::string kHello = "안녕하세요! 무엇을 도와드릴까요?";

std::vector<json::object> objects_of(const std::string& lines) {
  std::vector<json::object> objects;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    objects.push_back(json::parse(line, "output").as_object());
  }
  return objects;
}

json::array golden() {
  const std::string path = testing::testdata("golden/nano-v0/greedy_f32.json");
  return json::parse(read_file(path), path).as_array();
}

// Every recorded prompt three ways: as a message, as text, and as ids.
TEST(Run, GoldenAnswersAsJsonLines) {
  std::string input;
  const json::array cases = golden();
  for (const json::value& c : cases) {
    json::object common{{"temperature", 0}, {"max_tokens", c.at("greedy").as_array().size()}};
    json::object by_message = common, by_text = common, by_ids = common;
    by_message["messages"] =
        json::array{json::object{{"role", "user"}, {"content", c.at("prompt")}}};
    by_message["enable_thinking"] = c.at("enable_thinking");
    by_text["prompt"] = c.at("text");
    by_ids["prompt_ids"] = c.at("ids");
    for (const json::object& request : {by_message, by_text, by_ids}) {
      input += json::to_text(request) + "\n";
    }
  }
  const ProcessResult result =
      axk1({"run", kModel, "--jsonl", "--dtype", "f32", "--threads", "1"}, input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json::object> answers = objects_of(result.out);
  ASSERT_EQ(answers.size(), 3 * cases.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const json::object& answer = answers[i];
    const json::value& expected = cases[i / 3];
    ASSERT_FALSE(answer.contains("error")) << json::to_text(answer);
    EXPECT_EQ(answer.at("ids"), expected.at("greedy"));
    EXPECT_EQ(answer.at("usage").at("prompt_tokens").to_number<size_t>(),
              expected.at("ids").as_array().size());
    std::string text(expected.at("answer").as_string());
    const bool ended = text.ends_with("<|im_end|>");
    if (ended) text.resize(text.size() - std::string_view("<|im_end|>").size());
    EXPECT_EQ(answer.at("finish_reason").as_string(), ended ? "stop" : "length");
    std::string found(answer.at("text").as_string());
    if (i % 3 == 0 && expected.at("enable_thinking").as_bool()) {
      found = std::string(answer.at("reasoning").as_string()) + "\n</think>\n\n" + found;
    } else {
      EXPECT_EQ(answer.at("reasoning").as_string(), "");
    }
    EXPECT_EQ(found, text);
  }
  printf("[ cases ] golden prompts through axk1 run: %zu\n", answers.size());
}

TEST(Run, ABadLineGivesAnErrorAndTheRestGoesOn) {
  const std::string good =
      R"({"messages": [{"role": "user", "content": "안녕"}], "temperature": 0})";
  const ProcessResult result =
      axk1({"run", kModel, "--jsonl"},
           good + "\n{\n\n" + R"({"prompt": "x", "top_p": 7})" + "\n" + R"({"prompt": ""})" + "\n" +
               R"({"prompt_ids": [99999]})" + "\n\"\xff\"\n" +
               R"({"messages": [{"role": "robot", "content": "x"}]})" + "\n" + good);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json::object> answers = objects_of(result.out);
  ASSERT_EQ(answers.size(), 9u);
  for (size_t i = 0; i < answers.size(); ++i) {
    if (i == 0 || i == 8) {
      EXPECT_EQ(answers[i].at("text").as_string(), kHello);
    } else {
      EXPECT_TRUE(answers[i].contains("error")) << i << json::to_text(answers[i]);
    }
  }
  EXPECT_THAT(std::string(answers[3].at("error").as_string()), HasSubstr("top_p"));
}

TEST(Run, LinesAreAnsweredOneByOne) {
  testing::Terminal terminal({testing::program_path("axk1"), "run", kModel, "--jsonl"});
  for (int i = 0; i < 2; ++i) {
    terminal.type("{\"prompt_ids\": [1], \"max_tokens\": 1}\n");
    EXPECT_TRUE(terminal.wait_to_show("finish_reason")) << terminal.shown();
  }
}

TEST(Run, SameSeedSameText) {
  const auto text = [&](const std::string& seed) {
    return axk1({"run", kModel, "--prompt", "바다는", "--temperature", "1.5", "--max-tokens", "20",
                 "--seed", seed})
        .out;
  };
  EXPECT_EQ(text("5"), text("5"));
  EXPECT_NE(text("5"), text("6"));
  // Without a seed every line has its own, and says which.
  const std::string line = "{\"prompt\": \"바다는\", \"temperature\": 1.5, \"max_tokens\": 20}\n";
  const auto answers = objects_of(axk1({"run", kModel, "--jsonl"}, line + line).out);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_NE(answers[0].at("seed"), answers[1].at("seed"));
  json::object again = json::parse(line, "line").as_object();
  again["seed"] = answers[1].at("seed");
  EXPECT_EQ(objects_of(axk1({"run", kModel, "--jsonl"}, json::to_text(again)).out)[0].at("ids"),
            answers[1].at("ids"));
}

TEST(Run, PromptFromArgumentFileAndStdin) {
  const testing::TempDir dir;
  const std::string file = dir.write("prompt.txt", "안녕\n");
  const std::vector<std::string> base = {"run", kModel, "--chat", "--temperature", "0"};
  const auto with = [&](std::vector<std::string> more, std::string_view input = "") {
    more.insert(more.begin(), base.begin(), base.end());
    return axk1(more, input);
  };
  EXPECT_EQ(with({"--prompt", "안녕"}).out, kHello + "\n");
  EXPECT_EQ(with({"--prompt-file", file}).out, kHello + "\n");
  EXPECT_EQ(with({"--file", file}).out, kHello + "\n");
  EXPECT_EQ(with({"--prompt-file", "-"}, "안녕\n").out, kHello + "\n");
  EXPECT_EQ(with({}, "안녕\n").out, kHello + "\n");
  EXPECT_EQ(with({"--think", "--prompt", "안녕"}).out,
            "<think>\n아는 사실을 말한다.\n</think>\n\n" + kHello + "\n");
  EXPECT_EQ(with({"--stop", "도와", "--prompt", "안녕"}).out, "안녕하세요! 무엇을 \n");
  const json::object answer = objects_of(with({"--json", "--prompt", "안녕"}).out).at(0);
  EXPECT_EQ(answer.at("text").as_string(), kHello);
}

TEST(Run, ExitCodes) {
  EXPECT_EQ(axk1({"run"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--prompt", "x", "--temperature", "-1"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--prompt", "x", "--dtype", "f8"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--prompt", "x", "--kernels", "mmx"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--jsonl", "--chat"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--prompt", "x", "--system", "y"}).exit_code, 2);
  EXPECT_EQ(axk1({"run", kModel, "--chat", "--think", "--no-think"}).exit_code, 2);
  const ProcessResult absent = axk1({"run", "/no/such/model", "--prompt", "x"});
  EXPECT_EQ(absent.exit_code, 1);
  EXPECT_THAT(absent.err, HasSubstr("/no/such/model"));
  EXPECT_EQ(axk1({"run", kModel, "--prompt-file", "/no/such/file"}).exit_code, 1);
  EXPECT_EQ(axk1({"run", kModel}, "").exit_code, 1);  // an empty prompt
  EXPECT_EQ(axk1({"run", "--help"}).exit_code, 0);
}

TEST(Chat, PipeGivesOneAnswerPerLine) {
  const ProcessResult result = axk1({"chat", kModel, "--temperature", "0", "--stats"},
                                    "안녕\n\n/think\n안녕\\\n\n/nothink\n/clear\n안녕");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::StartsWith(kHello + "\n<think>\n"));
  EXPECT_THAT(result.out, ::testing::EndsWith(kHello + "\n"));
  EXPECT_THAT(result.err, HasSubstr("tok/s"));
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
}

TEST(Chat, UsesTheShippedModelAndCommandsInAPipe) {
  const testing::TempDir dir;
  const std::string file = dir.path() + "/saved.json";
  const ProcessResult result =
      axk1({"chat", "--temperature", "0"}, "/system 너는 nano다.\n안녕\n/save " + file +
                                               "\n/clear\n/load " + file +
                                               "\n/regenerate\n/help\n/stats\n/quit\n안녕\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("/regenerate"));
  const json::value saved = json::parse(read_file(file), file);
  EXPECT_EQ(saved.at("messages").as_array().size(), 3u);
  EXPECT_EQ(result.out.find(saved.at("messages").as_array()[2].at("content").as_string().c_str()),
            0u);
}

TEST(Chat, FailedLinesAreToldAndTheExitCodeIsOne) {
  const ProcessResult result =
      axk1({"chat", kModel, "--temperature", "0"}, "/foo\n/load /no/such.json\n/save\n안녕\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, kHello + "\n");
  EXPECT_THAT(result.err, HasSubstr("/foo"));
  EXPECT_THAT(result.err, HasSubstr("/no/such.json"));
  EXPECT_THAT(result.err, HasSubstr("3 lines"));
}

TEST(Chat, BytesThatAreNotUtf8AreTakenAsReplacementCharacters) {
  EXPECT_EQ(axk1({"chat", kModel, "--max-tokens", "4"}, "\xff\xfe\n").exit_code, 0);
}

class ChatAtATerminal : public ::testing::Test {
 protected:
  testing::Terminal start(std::vector<std::string> more) {
    std::vector<std::string> args = {testing::program_path("axk1"), "chat", kModel, "--temperature",
                                     "0"};
    args.insert(args.end(), more.begin(), more.end());
    return testing::Terminal(args);
  }
};

TEST_F(ChatAtATerminal, DialogueWithThinkingDim) {
  testing::Terminal terminal = start({"--stats"});
  ASSERT_TRUE(terminal.wait_to_show("> ")) << terminal.shown();
  for (char byte : std::string("안녕")) {
    terminal.type({&byte, 1});
    usleep(500);
  }
  terminal.type("\r");
  EXPECT_TRUE(terminal.wait_to_show(kHello)) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("tok/s"));
  EXPECT_TRUE(terminal.wait_to_show("> "));
  terminal.type("/think\r");
  EXPECT_TRUE(terminal.wait_to_show("Thinks")) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("> "));
  terminal.type("\"\"\"너는\r누구야?\"\"\"\r");
  EXPECT_TRUE(terminal.wait_to_show("\x1b[2m")) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("\x1b[0m")) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("tok/s")) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("> "));
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait_for_exit(), 0);
}

TEST_F(ChatAtATerminal, CtrlCStopsTheAnswerNotTheProgram) {
  testing::Terminal terminal = start({"--ignore-eos"});
  ASSERT_TRUE(terminal.wait_to_show("> "));
  for (int i = 0; i < 2; ++i) {
    terminal.type("안녕\r");
    EXPECT_TRUE(terminal.wait_to_show("무엇을")) << terminal.shown();
    terminal.type("\x03");
    EXPECT_TRUE(terminal.wait_to_show("[stopped]")) << terminal.shown();
    EXPECT_TRUE(terminal.wait_to_show("> "));
    terminal.type("/clear\r");
    EXPECT_TRUE(terminal.wait_to_show("anew"));
    EXPECT_TRUE(terminal.wait_to_show("> "));
  }
  terminal.type("버릴 말\\\r");
  EXPECT_TRUE(terminal.wait_to_show(". "));
  terminal.type("버릴\x03");  // drops both lines
  EXPECT_TRUE(terminal.wait_to_show("^C"));
  EXPECT_TRUE(terminal.wait_to_show("> "));
  terminal.type("/quit\r");
  EXPECT_EQ(terminal.wait_for_exit(), 0);
  EXPECT_THAT(terminal.shown(), Not(HasSubstr("axk1: ")));
}

TEST(Bench, CsvHasAHeaderAndARowForEachFigure) {
  const ProcessResult result = axk1(
      {"bench", "decode", kModel, "--streams", "1,2", "--samples", "1", "--depth", "4", "--csv"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::istringstream in(result.out);
  size_t num_roofs = 0, num_decodes = 0;
  std::string line;
  std::getline(in, line);
  EXPECT_THAT(line, HasSubstr("suite,name,value,unit,"));
  while (std::getline(in, line)) {
    num_roofs += line.starts_with("roofs,");
    num_decodes += line.starts_with("decode,\"decode ");
  }
  EXPECT_GE(num_roofs, 4u);
  EXPECT_EQ(num_decodes, 2u);
  EXPECT_EQ(axk1({"bench", "roofs", "--csv", "--json"}).exit_code, 2);
}

TEST(Bench, ExpertsHaveARowForEachNumberOfTokens) {
  const ProcessResult result = axk1({"bench", "experts", kModel, "--format", "q4", "--tokens",
                                     "1,3", "--samples", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json::array rows = objects_of(result.out).at(0).at("rows").as_array();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].at("name").as_string(), "experts, 3 tokens");
  const ProcessResult dense =
      axk1({"bench", "experts", "--shape", testing::testdata("golden/g3-dense") + "/config.json"});
  EXPECT_EQ(dense.exit_code, 2);
  EXPECT_THAT(dense.err, HasSubstr("expected one with experts"));
}

TEST(Bench, KernelsSayWhoseTheyAreAndWhy) {
  const ProcessResult result = axk1({"bench", "kernels", "--samples", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json::array rows = objects_of(result.out).at(0).at("rows").as_array();
  EXPECT_GE(rows.size(), 20u);
  for (const json::value& row : rows) {
    EXPECT_EQ(row.at("suite").as_string(), "kernels");
    EXPECT_NE(row.at("kernel").as_string(), "");
    EXPECT_TRUE(row.at("kernel_needs").is_string());
    EXPECT_GT(row.at("value").as_double(), 0);
    EXPECT_NE(row.at("unit").as_string(), "");
    for (const json::value& better : row.at("passed_over").as_array()) {
      EXPECT_NE(better.at("reason").as_string(), "");
    }
  }
  EXPECT_EQ(axk1({"bench", "kernels", "--kernels", "sse9"}).exit_code, 2);
}

TEST(Perplexity, JsonTextAndErrors) {
  const testing::TempDir dir;
  const std::string file = dir.write("text.txt", "한국의 수도는 서울이다.\n");
  const ProcessResult result = axk1({"perplexity", kModel, "--text", file, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json::object out = objects_of(result.out).at(0);
  EXPECT_EQ(out.at("bytes").as_int64(), 34);
  const double nats = out.at("nats_per_token").as_double() * out.at("tokens").to_number<double>();
  EXPECT_NEAR(out.at("bits_per_byte").as_double() * 34 * std::log(2), nats, 1e-9);
  EXPECT_THAT(axk1({"perplexity", kModel, "--text", file}).out, HasSubstr("bits per byte"));

  const ProcessResult empty = axk1({"perplexity", kModel, "--text", dir.write("empty.txt", "")});
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_THAT(empty.err, HasSubstr("empty"));
  const ProcessResult bad =
      axk1({"perplexity", kModel, "--text", dir.write("bad.txt", "a\xff가"), "--json"});
  EXPECT_EQ(bad.exit_code, 0);
  EXPECT_THAT(bad.err, HasSubstr("not valid UTF-8"));
  EXPECT_EQ(objects_of(bad.out).at(0).at("bytes").as_int64(), 5);
  EXPECT_EQ(axk1({"perplexity", kModel, "--text", "/no/such"}).exit_code, 1);
  EXPECT_EQ(axk1({"perplexity", kModel}).exit_code, 2);
}

}  // namespace
}  // namespace axk1
