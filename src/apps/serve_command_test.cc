// axk1 serve and axk1 keys as scripts use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"
#include "server/server_test_util.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: the helpers of this test

const std::string kModel = testdata("../models/nano-v0");
const std::string kHello = "안녕하세요! 무엇을 도와드릴까요?";

// A server of the shipped model in a process of its own.
class Server {
 public:
  explicit Server(std::vector<std::string> options = {}) {
    std::vector<std::string> args = {program_path("axk1"), "serve", kModel, "--port", "0",
                                     "--max-memory",       "1"};
    args.insert(args.end(), options.begin(), options.end());
    terminal_ = std::make_unique<Terminal>(args);
    if (!terminal_->wait_to_show("\n")) return;
    const std::string& line = terminal_->shown();
    const std::string start = "listening on http://127.0.0.1:";
    if (line.starts_with(start)) {
      port_ = static_cast<uint16_t>(std::atoi(line.c_str() + start.size()));
    }
  }
  uint16_t port() const { return port_; }
  Terminal& terminal() { return *terminal_; }

  std::string ask(const std::string& request) {
    RawClient client(port_);
    client.send(request);
    return client.read_response();
  }

 private:
  std::unique_ptr<Terminal> terminal_;
  uint16_t port_ = 0;
};

TEST(ServeSlow, ChatsInKoreanAndEndsOnSigterm) {
  Server server;
  ASSERT_NE(server.port(), 0) << server.terminal().shown();
  const std::string request =
      R"({"messages": [{"role": "user", "content": "안녕"}], "temperature": 0)";
  const json::value whole = json::parse(
      body_of(server.ask(post_text("/v1/chat/completions", request + "}"))), "response");
  EXPECT_EQ(whole.at("choices").at(0).at("message").at("content"), json::value(kHello));
  EXPECT_EQ(whole.at("choices").at(0).at("finish_reason"), "stop");

  RawClient client(server.port());
  client.send(post_text("/v1/chat/completions", request + R"(, "stream": true})"));
  ASSERT_TRUE(client.wait_for("data: [DONE]"));
  std::string text;
  const std::string key = "\"content\":\"";
  const std::string events = unchunked(client.got() + "\r\n0\r\n");
  for (size_t at = events.find(key); at != std::string::npos; at = events.find(key, at + 1)) {
    const size_t begin = at + key.size();
    text += events.substr(begin, events.find('"', begin) - begin);
  }
  EXPECT_EQ(text, kHello);

  server.terminal().signal(SIGTERM);
  EXPECT_EQ(server.terminal().wait_for_exit(), 0);
}

TEST(ServeSlow, ARequestThatRunsOutlivesSigterm) {
  Server server({"--drain-grace", "0"});
  ASSERT_NE(server.port(), 0) << server.terminal().shown();
  RawClient client(server.port());
  client.send(post_text("/v1/completions",
                        R"({"prompt": "서울", "max_tokens": 200, "ignore_eos": true,
                            "stream": true})"));
  ASSERT_TRUE(client.wait_for("data: "));
  server.terminal().signal(SIGTERM);
  EXPECT_THAT(client.read_all(), HasSubstr("data: [DONE]"));
  EXPECT_EQ(server.terminal().wait_for_exit(), 0);
}

TEST(ServeSlow, KeysAreMadeListedAndRevoked) {
  const TempDir dir;
  const std::string file = dir.path() + "/keys.db";
  const auto keys = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {program_path("axk1"), "keys"});
    return run_process(args);
  };
  const json::value made =
      json::parse(keys({"create", file, "--tenant", "team", "--json"}).out, "keys create");
  const std::string secret(made.at("key").as_string());
  EXPECT_THAT(keys({"list", file}).out, HasSubstr("valid  team"));
  Server server({"--keys", file});
  ASSERT_NE(server.port(), 0) << server.terminal().shown();
  const std::string bearer = "Authorization: Bearer " + secret + "\r\n";
  EXPECT_THAT(server.ask(get_text("/v1/models")), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(server.ask(get_text("/v1/models", bearer)), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(keys({"revoke", file, std::string(made.at("id").as_string())}).exit_code, 0);
  EXPECT_TRUE(eventually(
      [&] { return server.ask(get_text("/v1/models", bearer)).starts_with("HTTP/1.1 401"); }));
  EXPECT_EQ(keys({"revoke", file, "key_unknown"}).exit_code, 1);
  EXPECT_EQ(keys({"list", dir.path() + "/absent.db"}).exit_code, 1);
}

TEST(Serve, AddressesOfOthersNeedKeysOrAFlag) {
  const ProcessResult result =
      run_process({program_path("axk1"), "serve", kModel, "--host", "0.0.0.0", "--port", "0"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--allow-anonymous"));
}

}  // namespace
}  // namespace axk1
