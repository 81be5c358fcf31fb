// Learning from a server, as two programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/tiny_run.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

// The address that axk1 serve prints; empty when it does not.
std::string address_of(testing::Terminal& server) {
  if (!server.wait_to_show("\n")) return {};
  const std::string start = "listening on ";
  const size_t at = server.shown().find(start), end = server.shown().find_first_of("\r\n", at);
  return at == std::string::npos
             ? ""
             : server.shown().substr(at + start.size(), end - at - start.size());
}

double first_teacher_loss(const std::string& out) {
  const std::string log = read_file(out + "/metrics.jsonl");
  return json::parse(log.substr(0, log.find('\n')), "metrics")
      .at("teacher_loss")
      .to_number<double>();
}

TEST(DistilCommandSlow, AServerTeachesAsItsModelDoes) {
  const testing::TinyRun files;
  const std::string teacher = files.path() + "/teacher";
  ASSERT_EQ(axk1({"train", files.write_run(), "--out", teacher}).exit_code, 0);
  testing::Terminal server({testing::program_path("axk1"), "serve", teacher + "/model", "--port",
                            "0", "--max-memory", "1", "--max-logprobs", "259", "--dtype", "f32"});
  const std::string address = address_of(server);
  ASSERT_TRUE(address.starts_with("http://127.0.0.1:")) << server.shown();
  const auto distil = [&](const std::string& teacher_fields, const std::string& name) {
    const std::string run =
        files.write_run(cat(R"({"seed": 2, "distil": {)", teacher_fields, "}}"), name + ".json");
    return axk1({"distil", run, "--out", files.path() + "/" + name});
  };
  const ProcessResult beside = distil(R"("teacher": "teacher/model")", "beside");
  ASSERT_EQ(beside.exit_code, 0) << beside.err;
  const ProcessResult asked = distil(cat(R"("top": 259, "teacher": ")", address, "\""), "asked");
  ASSERT_EQ(asked.exit_code, 0) << asked.err;
  const double expected = first_teacher_loss(files.path() + "/beside");
  EXPECT_NEAR(first_teacher_loss(files.path() + "/asked"), expected, 2e-3 * expected);

  EXPECT_THAT(distil(cat(R"("top": 300, "teacher": ")", address, "\""), "many").err,
              HasSubstr("status 400"));
  EXPECT_THAT(distil(cat(R"("temperature": 2, "teacher": ")", address, "\""), "warm").err,
              HasSubstr("temperature"));
  EXPECT_THAT(distil(R"("teacher": "https://127.0.0.1:1")", "tls").err, HasSubstr("https"));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait_for_exit(), 0);
  EXPECT_THAT(distil(cat(R"("teacher": ")", address, "\""), "gone").err, HasSubstr("refused"));
}

TEST(DistilCommandSlow, AServerOfAnotherTokenizerIsRefused) {
  const testing::TinyRun files;
  testing::Terminal server({testing::program_path("axk1"), "serve",
                            testing::testdata("../models/nano-v0"), "--port", "0", "--max-memory",
                            "1"});
  const std::string address = address_of(server);
  ASSERT_FALSE(address.empty()) << server.shown();
  const std::string run =
      files.write_run(cat(R"({"distil": {"teacher": ")", address, "\"}}"), "student.json");
  const ProcessResult refused = axk1({"distil", run, "--out", files.path() + "/student"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("tokenizer has hash"));
}

}  // namespace
}  // namespace axk1
