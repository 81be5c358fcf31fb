#include "server/history_api.h"

#include <gtest/gtest.h>

#include <string>

namespace axk1 {
namespace {

class HistoryApiTest : public ::testing::Test {
 protected:
  HistoryResponse call(std::string_view method, std::string_view path, std::string_view body = "",
                       std::string_view query = "", std::string_view tenant = "t") {
    return answer_history(
        history_, {.method = method, .path = path, .query = query, .tenant = tenant, .body = body});
  }
  // The answer's JSON, with the expected status.
  json::value good(int status, std::string_view method, std::string_view path,
                   std::string_view body = "", std::string_view query = "") {
    const HistoryResponse response = call(method, path, body, query);
    EXPECT_EQ(response.status, status) << method << ' ' << path << ": " << response.body;
    return json::parse(response.body, "response");
  }
  static std::string text(const json::value& v) { return std::string(v.as_string()); }

  std::string new_conversation() {
    return text(good(201, "POST", "/api/conversations", R"({"title":"제목"})").at("id"));
  }

  int64_t now_ = 1'700'000'000'000;
  History history_{":memory:", {}, [this] { return ++now_; }};
};

TEST_F(HistoryApiTest, AConversationFromBeginningToEnd) {
  const std::string path = "/api/conversations/" + new_conversation();
  const auto question = good(
      201, "POST", path + "/messages",
      R"({"parent_id":null,"role":"user","content":"질문","attachments":[{"name":"a","text":"b"}]})");
  const std::string q = text(question.at("id"));
  const auto answer = good(201, "POST", path + "/messages",
                           R"({"parent_id":")" + q + R"(","role":"assistant","content":""})");
  const std::string a = text(answer.at("id"));
  EXPECT_EQ(call("PATCH", path + "/messages/" + a,
                 R"({"content":"답","reasoning_content":"r","finish_reason":"stop",)"
                 R"("stats":{"completion_tokens":1}})")
                .status,
            204);
  EXPECT_EQ(call("PATCH", path,
                 R"({"title":"새 제목","settings":{"thinking":true},"head":")" + q + R"("})")
                .status,
            204);
  auto read = good(200, "GET", path);
  EXPECT_EQ(text(read.at("title")), "새 제목");
  EXPECT_EQ(text(read.at("head")), q);
  EXPECT_TRUE(read.at("settings").at("thinking").as_bool());
  const auto& messages = read.at("messages").as_array();
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(json::to_text(messages[1]),
            R"({"id":")" + a + R"(","parent_id":")" + q +
                R"(","role":"assistant","content":"답","reasoning_content":"r","attachments":[],)"
                R"("model":"","finish_reason":"stop","stats":{"completion_tokens":1},)"
                R"("created_ms":1700000000003})");
  EXPECT_EQ(call("PATCH", path, R"({"head":null})").status, 204);
  EXPECT_TRUE(good(200, "GET", path).at("head").is_null());

  const auto fork = good(
      201, "POST", "/api/conversations",
      R"({"fork_of":")" + text(read.at("id")) + R"(","message_id":")" + q + R"(","title":"갈래"})");
  EXPECT_EQ(fork.at("messages").as_array().size(), 1u);

  const auto listed = good(200, "GET", "/api/conversations", "", "limit=1");
  EXPECT_EQ(text(listed.at("conversations").at(0).at("title")), "갈래");
  const auto rest =
      good(200, "GET", "/api/conversations", "", "limit=1&after=" + text(listed.at("next")));
  EXPECT_EQ(text(rest.at("conversations").at(0).at("title")), "새 제목");
  EXPECT_TRUE(rest.at("next").is_null());

  const auto found = good(200, "GET", "/api/search", "", "q=%EB%8B%B5");
  ASSERT_EQ(found.at("results").as_array().size(), 1u);
  EXPECT_EQ(text(found.at("results").at(0).at("message_id")), a);

  EXPECT_EQ(call("DELETE", path).status, 204);
  EXPECT_EQ(call("GET", path).status, 404);
}

TEST_F(HistoryApiTest, WhatIsExportedCanBeImported) {
  const std::string path = "/api/conversations/" + new_conversation();
  good(201, "POST", path + "/messages", R"({"role":"user","content":"말\u0000 \"x\""})");
  const HistoryResponse exported = call("GET", "/api/export");
  EXPECT_EQ(exported.filename, "axk1-conversations.json");
  EXPECT_EQ(good(200, "POST", "/api/import", exported.body).at("imported").as_int64(), 1);
  const auto both =
      json::parse(call("GET", "/api/export").body, "export").at("conversations").as_array();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].at("messages").at(0).at("content"), both[1].at("messages").at(0).at("content"));
  EXPECT_NE(both[0].at("id"), both[1].at("id"));
}

TEST_F(HistoryApiTest, WrongRequestsAreRefusedByName) {
  const std::string path = "/api/conversations/" + new_conversation();
  const struct {
    const char *method, *path, *query, *body, *says;
    int status;
  } cases[] = {
      {"POST", "/api/conversations", "", "", "request", 400},
      {"POST", "/api/conversations", "", "[]", "array", 400},
      {"POST", "/api/conversations", "", R"({"title":1})", "title", 400},
      {"POST", "/api/conversations", "", R"({"title":"a","title":"b"})", "title", 400},
      {"POST", "/api/conversations", "", R"({"settings":[]})", "settings", 400},
      {"POST", "/api/conversations", "", R"({"fork_of":"x"})", "message_id", 400},
      {"POST", "/api/conversations", "", R"({"fork_of":"x","message_id":"y"})", "x", 404},
      {"POST", "*/messages", "", R"({"content":"x"})", "role", 400},
      {"POST", "*/messages", "", R"({"role":"system"})", "system", 400},
      {"POST", "*/messages", "", R"({"role":"user","parent_id":"x"})", "parent_id", 400},
      {"POST", "*/messages", "", R"({"role":"user","attachments":[{"name":"x"}]})", "text", 400},
      {"POST", "*/messages", "", R"({"role":"user","stats":1})", "stats", 400},
      {"PATCH", "*/messages/x", "", "{}", "x", 404},
      {"PATCH", "*", "", R"({"head":"x"})", "head", 400},
      {"GET", "/api/conversations", "limit=0", "", "limit", 400},
      {"GET", "/api/conversations", "limit=1x", "", "limit", 400},
      {"GET", "/api/conversations", "after=x", "", "after", 400},
      {"GET", "/api/search", "q=%", "", "q", 400},
      {"GET", "/api/search", "q=%4g", "", "q", 400},
      {"GET", "/api/search", "q=%FF", "", "UTF-8", 400},
      {"POST", "/api/import", "", R"({"format":"x"})", "format", 400},
      {"POST", "/api/import", "", R"({"format":"axk1-conversations","version":2})", "version", 400},
      {"POST", "/api/import", "",
       R"({"format":"axk1-conversations","version":1,"conversations":[{}]})", "conversation 0",
       400},
      {"PUT", "/api/conversations", "", "", "method", 405},
      {"GET", "*/messages", "", "", "method", 405},
      {"GET", "/api/conversations/", "", "", "not there", 404},
      {"GET", "/api/nothing", "", "", "no such path", 404},
      {"GET", "/v1/models", "", "", "no such path", 404},
  };
  for (const auto& one : cases) {
    const std::string whole = *one.path == '*' ? path + (one.path + 1) : one.path;
    const HistoryResponse response = call(one.method, whole, one.body, one.query);
    EXPECT_EQ(response.status, one.status) << whole << ' ' << one.body << ' ' << response.body;
    const json::value body = json::parse(response.body, "response");
    EXPECT_NE(text(body.at("error").at("message")).find(one.says), std::string::npos)
        << response.body;
  }
  EXPECT_EQ(good(200, "GET", "/api/conversations").at("conversations").as_array().size(), 1u);
}

TEST_F(HistoryApiTest, TooMuchIs413) {
  const std::string path = "/api/conversations/" + new_conversation();
  const std::string body = R"({"role":"user","content":")" + std::string(5 << 20, 'x') + "\"}";
  EXPECT_EQ(call("POST", path + "/messages", body).status, 413);
}

}  // namespace
}  // namespace axk1
