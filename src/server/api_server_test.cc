// The server over real sockets, with a completion service that plays a script.
#include "server/api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/server_test_util.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using namespace testing;  // NOLINT: the helpers of this test
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kHello = R"({"messages": [{"role": "user", "content": "안녕"}]})";
const std::string kStream =
    R"({"messages": [{"role": "user", "content": "안녕"}], "stream": true})";
const std::string kChat = "/v1/chat/completions";

class ApiServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = new TestModel(testdata("../models/nano-v0")); }
  static void TearDownTestSuite() { delete model_; }

  ~ApiServerTest() override {
    if (thread_.joinable()) {
      service_->go();
      server_->shut_down();
      thread_.join();
    }
  }

  void start(FakeService::Script script, ApiServerOptions options = {}) {
    options.http.port = 0;
    options.drain_grace = std::chrono::milliseconds(0);
    options.version = "1.2.3";
    service_ = std::make_unique<FakeService>(std::move(script));
    server_ = std::make_unique<ApiServer>(model_->model, *service_, options);
    if (more_routes_) more_routes_(*server_);
    thread_ = std::thread([this] { end_ = server_->run(); });
  }
  void start(const std::vector<std::string>& texts, ApiServerOptions options = {}) {
    start([texts](const CompletionInput&) { return deltas_of(texts); }, options);
  }
  // An answer that never ends by itself.
  void start_endless(const std::string& piece, ApiServerOptions options = {}) {
    start(
        [piece](const CompletionInput&) {
          CompletionDelta delta;
          delta.text = piece;
          delta.ids = {5};
          return std::vector<CompletionDelta>{delta};
        },
        options);
  }
  std::string ask(const std::string& request) {
    RawClient client(server_->port());
    client.send(request);
    return client.read_response();
  }
  std::string ask_stream(const std::string& request) {
    RawClient client(server_->port());
    client.send(request);
    client.wait_for("0\r\n\r\n");
    return client.got();
  }
  ApiServer::End shut_down() {
    server_->shut_down();
    thread_.join();
    return end_;
  }

  static TestModel* model_;
  std::function<void(ApiServer&)> more_routes_;
  std::unique_ptr<FakeService> service_;
  std::unique_ptr<ApiServer> server_;
  std::thread thread_;
  ApiServer::End end_ = ApiServer::End::kCutOff;
};
TestModel* ApiServerTest::model_ = nullptr;

TEST_F(ApiServerTest, AnswersWhole) {
  start({"안녕", "하세요", ""});
  const std::string response = ask(post_text(kChat, kHello));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(response, HasSubstr("x-request-id: req_"));
  const json::value body = json::parse(body_of(response), "response");
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content"), "안녕하세요");
  EXPECT_EQ(body.at("model"), "nano");
}

TEST_F(ApiServerTest, StreamsEveryDeltaAsAnEvent) {
  start({"안녕", "하세요", ""});
  const std::string response = ask_stream(post_text(kChat, kStream));
  EXPECT_THAT(response, HasSubstr("Content-Type: text/event-stream; charset=utf-8\r\n"));
  EXPECT_THAT(response, HasSubstr("Transfer-Encoding: chunked\r\n"));
  const std::string events = unchunked(response);
  EXPECT_THAT(events, StartsWith("data: {"));
  EXPECT_THAT(events, HasSubstr(R"("delta":{"content":"안녕"})"));
  EXPECT_THAT(events, HasSubstr(R"("delta":{"content":"하세요"})"));
  EXPECT_THAT(events, HasSubstr("\n\ndata: [DONE]\n\n"));
}

TEST_F(ApiServerTest, AConnectionIsUsedAgain) {
  start({"a", ""});
  RawClient client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.send(post_text(kChat, kHello));
    EXPECT_THAT(client.read_response(), StartsWith("HTTP/1.1 200"));
  }
  // Two at once, answered in order.
  client.send(get_text("/health") + get_text("/version"));
  EXPECT_THAT(client.read_response(), HasSubstr("ok"));
  EXPECT_THAT(client.read_response(), HasSubstr("1.2.3"));
  client.send(get_text("/health", "Connection: close\r\n"));
  EXPECT_THAT(client.read_all(), HasSubstr("Connection: close\r\n"));
}

TEST_F(ApiServerTest, OldClientsGetStreamsWithoutChunks) {
  start({"a", "b", ""});
  RawClient client(server_->port());
  client.send("POST " + kChat + " HTTP/1.0\r\nContent-Length: " + std::to_string(kStream.size()) +
              "\r\n\r\n" + kStream);
  const std::string response = client.read_all();
  EXPECT_THAT(response, Not(HasSubstr("chunked")));
  EXPECT_THAT(response, HasSubstr("data: [DONE]\n\n"));
}

TEST_F(ApiServerTest, AClientThatLeavesCancels) {
  start_endless("x");
  for (const std::string& body : {kHello, kStream}) {
    const size_t before = service_->num_cancelled();
    RawClient client(server_->port());
    client.send(post_text(kChat, body));
    ASSERT_TRUE(eventually([&] { return !service_->idle(); }));
    client.hang_up();
    EXPECT_TRUE(eventually([&] { return service_->num_cancelled() == before + 1; }));
  }
}

TEST_F(ApiServerTest, AClientThatDoesNotReadIsCancelled) {
  ApiServerOptions options;
  options.http.max_unread_bytes = 64 << 10;
  start_endless(std::string(16 << 10, 'x'), options);
  RawClient client(server_->port(), 4096);
  client.send(post_text(kChat, kStream));
  EXPECT_TRUE(eventually([&] { return service_->num_cancelled() == 1; }));
}

TEST_F(ApiServerTest, MalformedRequestsAreAnsweredByName) {
  ApiServerOptions options;
  options.http.max_header_bytes = 2048;
  options.http.max_body_bytes = 1000;
  start({"a", ""}, options);
  const std::string long_header = "X-Long: " + std::string(4000, 'x') + "\r\n";
  const std::pair<std::string, const char*> cases[] = {
      {"GARBAGE\r\n\r\n", "400"},
      {"GET / HTTP/9.9\r\n\r\n", "400"},
      {"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"},
      {"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"},
      {get_text("/nowhere"), "404"},
      {get_text(kChat), "405"},
      {"BREW " + kChat + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"},
      {get_text("/health", long_header), "431"},
      {post_text(kChat, std::string(1001, ' ')), "413"},
      {"POST " + kChat +
           " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
           std::string(1001, ' ') + "\r\n0\r\n\r\n",
       "413"},
      {"POST " + kChat + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", "400"},
      {"POST " + kChat +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: "
           "chunked\r\n\r\n",
       "400"},
      {"POST " + kChat +
           " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
       "400"},
      {"POST " + kChat +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: "
           "2\r\n\r\n{}",
       "415"},
      {post_text(kChat, "{}", "Content-Encoding: gzip\r\n"), "415"},
      {post_text(kChat, ""), "400"},
      {post_text(kChat, "{"), "400"},
      {post_text(kChat, "\"\xff\""), "400"},
      {post_text(kChat, std::string(900, '[')), "400"},
      {post_text(kChat, "{}"), "400"},
      {post_text(kChat, R"({"model": "other", "messages": [{"role": "user", "content": "x"}]})"),
       "404"},
  };
  size_t count = 0;
  for (const auto& [request, status] : cases) {
    const std::string response = ask(request);
    EXPECT_THAT(response, StartsWith(std::string("HTTP/1.1 ") + status)) << request.substr(0, 200);
    EXPECT_THAT(body_of(response), StartsWith(R"({"error":{"message":)")) << request.substr(0, 200);
    ++count;
  }
  printf("[ cases ] malformed requests: %zu\n", count);
  EXPECT_EQ(service_->num_submitted(), 0u);
  EXPECT_THAT(ask(get_text("/health")), StartsWith("HTTP/1.1 200"));
}

TEST_F(ApiServerTest, MethodsThatEveryPathHas) {
  start({"a", ""});
  const std::string head =
      ask("HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(body_of(head), "");
  EXPECT_THAT(ask("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              HasSubstr("Allow: OPTIONS, POST\r\n"));
  EXPECT_THAT(ask(get_text(kChat)), HasSubstr("Allow: POST\r\n"));
}

TEST_F(ApiServerTest, SlowRequestsEnd) {
  ApiServerOptions options;
  options.http.header_timeout = options.http.body_timeout = std::chrono::milliseconds(150);
  options.http.idle_timeout = std::chrono::milliseconds(150);
  start({"a", ""}, options);
  EXPECT_THAT(ask("GET /health HTTP/1.1\r\n"), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(ask("POST " + kChat + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{"),
              StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(ask(""), "");
}

TEST_F(ApiServerTest, ContinueIsSaidBeforeTheBody) {
  start({"a", ""});
  RawClient client(server_->port());
  const std::string request = post_text(kChat, kHello, "Expect: 100-continue\r\n");
  client.send(request.substr(0, request.size() - kHello.size()));
  EXPECT_TRUE(client.wait_for("HTTP/1.1 100 Continue\r\n\r\n"));
  client.send(kHello);
  EXPECT_TRUE(client.wait_for("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ApiServerTest, AFullQueueAnswersRetryAfter) {
  start_endless("x");
  service_->allow_running(1);
  RawClient first(server_->port());
  first.send(post_text(kChat, kStream));
  ASSERT_TRUE(first.wait_for("data: "));
  const std::string response = ask(post_text(kChat, kHello));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(response, HasSubstr("Retry-After: 7\r\n"));
  EXPECT_THAT(response, HasSubstr(R"("code":"overloaded")"));
}

TEST_F(ApiServerTest, TooManyConnectionsAreTurnedAway) {
  ApiServerOptions options;
  options.http.max_connections = 2;
  start({"a", ""}, options);
  RawClient one(server_->port()), two(server_->port());
  one.send(get_text("/health"));
  two.send(get_text("/health"));
  EXPECT_THAT(one.read_response(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(two.read_response(), StartsWith("HTTP/1.1 200"));
  const std::string third = ask(get_text("/health"));
  EXPECT_THAT(third, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(third, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(body_of(third), StartsWith(R"({"error")"));
  one.hang_up();
  EXPECT_TRUE(eventually([&] { return ask(get_text("/health")).starts_with("HTTP/1.1 200"); }));
}

TEST_F(ApiServerTest, DrainFinishesWhatRunsAndTakesNothingNew) {
  start({"a", "b", ""});
  service_->hold();
  RawClient streaming(server_->port()), whole(server_->port());
  streaming.send(post_text(kChat, kStream));
  whole.send(post_text(kChat, kHello));
  ASSERT_TRUE(eventually([&] { return service_->num_submitted() == 2; }));
  server_->shut_down();
  ASSERT_TRUE(eventually([&] { return ask(get_text("/ready")).starts_with("HTTP/1.1 503"); }));
  EXPECT_THAT(ask(get_text("/health")), StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(eventually([&] {
    const std::string response = ask(post_text(kChat, kHello));
    return response.starts_with("HTTP/1.1 503") &&
           response.find("Retry-After: 1\r\n") != std::string::npos;
  }));
  service_->go();
  EXPECT_THAT(whole.read_response(), HasSubstr(R"("content":"ab")"));
  EXPECT_THAT(streaming.read_all(), HasSubstr("data: [DONE]"));
  thread_.join();
  EXPECT_EQ(end_, ApiServer::End::kDrained);
}

TEST_F(ApiServerTest, TheDrainHasALimit) {
  ApiServerOptions options;
  options.drain_limit = std::chrono::milliseconds(200);
  start_endless("x", options);
  RawClient client(server_->port());
  client.send(post_text(kChat, kStream));
  ASSERT_TRUE(client.wait_for("data: "));
  EXPECT_EQ(shut_down(), ApiServer::End::kCutOff);
}

TEST_F(ApiServerTest, ASecondSignalEndsNow) {
  start_endless("x");
  RawClient client(server_->port());
  client.send(post_text(kChat, kStream));
  ASSERT_TRUE(client.wait_for("data: "));
  server_->shut_down();
  EXPECT_EQ(shut_down(), ApiServer::End::kCutOff);
}

TEST_F(ApiServerTest, SilentStreamsArePinged) {
  ApiServerOptions options;
  options.generation.ping_interval = std::chrono::milliseconds(50);
  start({"a", ""}, options);
  service_->hold();
  RawClient client(server_->port());
  client.send(post_text(kChat, kStream));
  EXPECT_TRUE(client.wait_for(": ping\n\n"));
  EXPECT_TRUE(client.wait_for(": ping\n\n"));
  service_->go();
  EXPECT_TRUE(client.wait_for("data: [DONE]\n\n"));
}

TEST_F(ApiServerTest, LongAnswersEndAtTheTimeLimit) {
  ApiServerOptions options;
  options.generation.request_timeout = std::chrono::milliseconds(100);
  start_endless("x", options);
  EXPECT_THAT(ask(post_text(kChat, kHello)), StartsWith("HTTP/1.1 504"));
  EXPECT_THAT(unchunked(ask_stream(post_text(kChat, kStream))), HasSubstr(R"("code":"timeout")"));
  EXPECT_EQ(service_->num_cancelled(), 2u);
}

TEST_F(ApiServerTest, FailedGenerationsSayTheirError) {
  start([](const CompletionInput&) {
    CompletionDelta delta;
    delta.error = "weights: block 7 is damaged";
    return std::vector<CompletionDelta>{delta};
  });
  EXPECT_THAT(ask(post_text(kChat, kHello)), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(unchunked(ask_stream(post_text(kChat, kStream))), HasSubstr("block 7"));
}

TEST_F(ApiServerTest, RequestIdsAndTraceparentPassThrough) {
  start({"a", ""});
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_THAT(ask(get_text("/health", "X-Request-Id: abc-123\r\ntraceparent: " + trace + "\r\n")),
              ::testing::AllOf(HasSubstr("x-request-id: abc-123\r\n"),
                               HasSubstr("traceparent: " + trace + "\r\n")));
  // What could break a header or a log line is not passed on.
  const std::string other = ask(get_text("/health", "X-Request-Id: a b\r\ntraceparent: 00-zz\r\n"));
  EXPECT_THAT(other, HasSubstr("x-request-id: req_"));
  EXPECT_THAT(other, Not(HasSubstr("traceparent")));
}

TEST_F(ApiServerTest, KeysAreAskedForAndLimited) {
  const TempDir dir;
  ApiKeys keys(dir.path() + "/keys.db", true);
  const std::string secret =
      keys.add({.tenant = "team", .limits = {.requests_per_minute = 2, .tokens_per_minute = 1000}},
               std::time(nullptr))
          .secret;
  ApiServerOptions options;
  options.keys = &keys;
  start({"a", ""}, options);
  const std::string bearer = "Authorization: Bearer " + secret + "\r\n";
  EXPECT_THAT(ask(get_text("/health")), StartsWith("HTTP/1.1 200"));
  for (const char* path : {"/v1/models", "/metrics"}) {
    EXPECT_THAT(ask(get_text(path)), StartsWith("HTTP/1.1 401")) << path;
    EXPECT_THAT(ask(get_text(path, bearer)), StartsWith("HTTP/1.1 200")) << path;
  }
  EXPECT_THAT(ask(post_text(kChat, kHello)), HasSubstr(R"("code":"invalid_api_key")"));
  EXPECT_THAT(ask(post_text(kChat, kHello, "Authorization: Bearer wrong\r\n")),
              StartsWith("HTTP/1.1 401"));
  const std::string first = ask(post_text(kChat, kHello, bearer));
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(first, HasSubstr("x-ratelimit-limit-requests: 2\r\n"));
  EXPECT_THAT(first, HasSubstr("x-ratelimit-remaining-requests: 1\r\n"));
  EXPECT_EQ(service_->input(0).tenant, "team");
  EXPECT_THAT(ask(post_text("/v1/messages",
                            R"({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]})",
                            "x-api-key: " + secret + "\r\n")),
              HasSubstr("anthropic-ratelimit-requests-remaining: 0\r\n"));
  const std::string third = ask(post_text(kChat, kHello, bearer));
  EXPECT_THAT(third, StartsWith("HTTP/1.1 429"));
  EXPECT_THAT(third, HasSubstr("Retry-After: "));
  EXPECT_THAT(third, HasSubstr(R"("type":"rate_limit_error")"));
}

TEST_F(ApiServerTest, EveryApiAnswers) {
  start({"안녕", ""});
  const std::pair<const char*, const char*> cases[] = {
      {"/v1/chat/completions", R"({"messages": [{"role": "user", "content": "x"}]})"},
      {"/v1/completions", R"({"prompt": "x"})"},
      {"/v1/responses", R"({"input": "x"})"},
      {"/v1/messages", R"({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]})"},
      {"/v1/messages/count_tokens", R"({"messages": [{"role": "user", "content": "x"}]})"},
      {"/v1/score", R"({"input": [1, 2]})"},
      {"/tokenize", R"({"prompt": "안녕", "return_token_strs": true})"},
      {"/detokenize", R"({"tokens": [5, 6]})"},
      {"/apply-template", R"({"messages": [{"role": "user", "content": "x"}]})"},
  };
  for (const auto& [path, body] : cases) {
    EXPECT_THAT(ask(post_text(path, body)), StartsWith("HTTP/1.1 200")) << path;
    const std::string wrong = ask(post_text(path, "{}"));
    EXPECT_THAT(wrong, StartsWith("HTTP/1.1 400")) << path;
    EXPECT_THAT(wrong, HasSubstr(std::string_view(path).find("messages") != std::string::npos
                                     ? R"({"type":"error","error":{"type":"invalid_request_error")"
                                     : R"({"error":{"message":)"))
        << path;
  }
  EXPECT_THAT(ask(get_text("/v1/models")), HasSubstr(R"("id":"nano")"));
  EXPECT_THAT(ask(get_text("/v1/models/alias")), HasSubstr(R"("root":"nano")"));
  EXPECT_THAT(ask(get_text("/v1/models/x")), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask(get_text("/metrics")), HasSubstr("vllm:num_requests_running"));
}

TEST_F(ApiServerTest, PagesOfOthersAreKeptOut) {
  ApiServerOptions options;
  options.origins = {.allowed = {"https://chat.example"}, .loopback_host_only = true};
  start({"a", ""}, options);
  EXPECT_THAT(ask(post_text(kChat, kHello, "Origin: https://evil.example\r\n")),
              StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(ask("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
              StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(ask(post_text(kChat, kHello, "Origin: https://chat.example\r\n")),
              HasSubstr("Access-Control-Allow-Origin: https://chat.example\r\n"));
  const std::string preflight =
      ask("OPTIONS " + kChat +
          " HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\n"
          "Access-Control-Request-Headers: authorization,content-type\r\n\r\n");
  EXPECT_THAT(preflight, StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(preflight, HasSubstr("Access-Control-Allow-Headers: authorization,content-type\r\n"));
}

TEST_F(ApiServerTest, OtherFilesMayAddRoutes) {
  more_routes_ = [](ApiServer& server) {
    server.router().add("GET", "/page/*", [&server](const auto& exchange) {
      const std::string rest = exchange->request().path.substr(6);
      server.answer_later(exchange, [rest]() -> HttpResponse {
        if (rest == "wrong") throw ApiError(404, "no_page", "no such page");
        return {.content_type = "text/plain", .body = "page " + rest};
      });
    });
  };
  start({"a", ""});
  EXPECT_EQ(body_of(ask(get_text("/page/one"))), "page one");
  EXPECT_THAT(ask(get_text("/page/wrong")), StartsWith("HTTP/1.1 404"));
}

}  // namespace
}  // namespace axk1
