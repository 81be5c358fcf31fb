#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file.h"
#include "server/access_log.h"
#include "server/origin_rules.h"
#include "server/router.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string sample() {
  Metrics metrics("nano", "1.2.3");
  metrics.request_over("/v1/chat/completions", "POST", 200, 0.5);
  metrics.first_token(0.03);
  metrics.next_tokens(2, 0.02);
  metrics.generation_over({.finish_reason = "stop",
                           .prompt_tokens = 10,
                           .completion_tokens = 3,
                           .seconds = 0.5,
                           .first_token_seconds = 0.1});
  metrics.refused("requests");
  ServiceStats stats;
  stats.running = 2;
  stats.kv_blocks = 10;
  stats.kv_blocks_used = 5;
  stats.prompt_tokens = 10;
  stats.completion_tokens = 3;
  metrics.text(stats, {});
  stats.completion_tokens = 7;
  return metrics.text(stats, {.connections = 4, .active_requests = 1, .draining = false});
}

TEST(Metrics, NamesThatDashboardsRead) {
  const std::string text = sample();
  for (const char* line :
       {"vllm:num_requests_running{model_name=\"nano\"} 2",
        "vllm:kv_cache_usage_perc{model_name=\"nano\"} 0.5",
        "vllm:generation_tokens_total{model_name=\"nano\"} 7",
        "vllm:request_success_total{finished_reason=\"stop\",model_name=\"nano\"} 1",
        "vllm:time_to_first_token_seconds_count{model_name=\"nano\"} 1",
        "vllm:inter_token_latency_seconds_count{model_name=\"nano\"} 2",
        "vllm:e2e_request_latency_seconds_sum{model_name=\"nano\"} 0.5",
        "llamacpp:tokens_predicted_total 7", "llamacpp:requests_processing 2",
        "llamacpp:kv_cache_usage_ratio 0.5",
        "axk1_http_requests_total{method=\"POST\",route=\"/v1/chat/completions\",status=\"200\"} 1",
        "axk1_refused_requests_total{reason=\"requests\"} 1", "axk1_http_connections 4",
        "axk1_build_info{version=\"1.2.3\"} 1"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

TEST(Metrics, PromtoolFindsNothingInOurs) {
  const std::string tool = "/usr/bin/promtool";
  if (!file_exists(tool)) GTEST_SKIP() << "skipped: no promtool (Debian package prometheus)";
  const testing::ProcessResult result = testing::run_process({tool, "check", "metrics"}, sample());
  // 1: does not parse; 3: notes on style, which the names of others deserve.
  EXPECT_NE(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.out + result.err, Not(HasSubstr("axk1_")));
}

TEST(AccessLog, LinesHoldNoTextOfRequests) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/access.log";
  HttpRequest request;
  request.method = "POST";
  request.path = "/v1/chat/completions";
  request.query = "key=secret-query";
  request.body = "secret-body";
  request.remote = "127.0.0.1";
  request.headers = {{"authorization", "Bearer secret-key"}, {"user-agent", "a\nb"}};
  request.notes->request_id = "req_1";
  request.notes->tenant = "team";
  request.notes->prompt_tokens = 5;
  request.notes->first_token_seconds = 0.0125;
  {
    AccessLog log(path);
    EXPECT_TRUE(log.write(
        access_line(request, {.status = 200, .bytes = 10, .seconds = 0.25}, 1'700'000'000.5)));
    EXPECT_TRUE(log.write(access_line(request, {.aborted = true}, 1'700'000'001)));
  }
  const std::string lines = read_file(path);
  EXPECT_THAT(lines, Not(HasSubstr("secret")));
  const json::value first = json::parse(lines.substr(0, lines.find('\n')), "line");
  EXPECT_EQ(first.at("time"), "2023-11-14T22:13:20.500Z");
  EXPECT_EQ(first.at("ms"), 250.0);
  EXPECT_EQ(first.at("first_token_ms"), 12.5);
  EXPECT_EQ(first.at("tenant"), "team");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
}

HttpRequest page_request(const std::string& method, const std::string& host,
                         const std::string& origin) {
  HttpRequest request;
  request.method = method;
  request.headers = {{"host", host}};
  if (!origin.empty()) request.headers.emplace_back("origin", origin);
  return request;
}

TEST(OriginRules, PagesOfOthersMayNotPost) {
  const OriginRules none, some{.allowed = {"https://chat.example"}}, all{.allowed = {"*"}};
  const HttpRequest foreign = page_request("POST", "localhost:80", "https://chat.example");
  EXPECT_NE(origin_refusal(none, foreign), "");
  EXPECT_EQ(origin_refusal(some, foreign), "");
  EXPECT_EQ(origin_refusal(all, foreign), "");
  EXPECT_NE(origin_refusal(some, page_request("POST", "localhost:80", "null")), "");
  EXPECT_EQ(origin_refusal(none, page_request("POST", "localhost:80", "http://localhost:80")), "");
  EXPECT_NE(origin_refusal(none, page_request("POST", "localhost:80", "http://localhost:81")), "");
  EXPECT_EQ(origin_refusal(none, page_request("POST", "localhost:80", "")), "");
  EXPECT_TRUE(cors_headers(none, foreign).empty());
  EXPECT_EQ(cors_headers(some, foreign).at(0).second, "https://chat.example");
}

TEST(OriginRules, LoopbackServersTakeNamesOfThisMachineOnly) {
  const OriginRules rules{.loopback_host_only = true};
  for (const char* host :
       {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"}) {
    EXPECT_EQ(origin_refusal(rules, page_request("GET", host, "")), "") << host;
  }
  for (const char* host : {"evil.example", "127.evil.example.", "localhost.evil.example:80"}) {
    EXPECT_NE(origin_refusal(rules, page_request("GET", host, "")), "") << host;
  }
}

TEST(Router, ExactPathsGoBeforeLongerPrefixes) {
  Router router;
  const Handler nothing = [](const std::shared_ptr<Exchange>&) {};
  router.add("GET", "/*", nothing);
  router.add("GET", "/v1/models", nothing);
  router.add("GET", "/v1/models/*", nothing);
  router.add("DELETE", "/v1/models/*", nothing);
  EXPECT_EQ(router.find("GET", "/v1/models").route->path, "/v1/models");
  EXPECT_EQ(router.find("HEAD", "/v1/models/a/b").route->path, "/v1/models/*");
  EXPECT_EQ(router.find("GET", "/v1/other").route->path, "/*");
  const Router::Match match = router.find("POST", "/v1/models/a");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_THAT(match.allowed, ElementsAre("GET", "HEAD", "DELETE"));
}

TEST(HttpMessage, PercentAndQueries) {
  std::string out;
  EXPECT_TRUE(percent_decode("/a%20%ED%95%9C", out));
  EXPECT_EQ(out, "/a 한");
  for (const char* bad : {"%", "%4", "%zz"}) EXPECT_FALSE(percent_decode(bad, out)) << bad;
  EXPECT_EQ(query_value("a=1&bc=x+%2B&a=2", "a"), "1");
  EXPECT_EQ(query_value("a=1&bc=x+%2B", "bc"), "x +");
  EXPECT_EQ(query_value("", "a"), "");
}

}  // namespace
}  // namespace axk1
