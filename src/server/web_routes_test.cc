// The page and its history over real sockets.
#include "server/web_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/server_test_util.h"
#include "server/web_assets.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using namespace testing;  // NOLINT: the helpers of this test
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class WebRoutesTest : public ::testing::Test {
 protected:
  WebRoutesTest()
      : model_(testdata("../models/nano-v0")),
        service_([](const CompletionInput&) { return deltas_of({"a"}); }),
        server_(model_.model, service_, options()) {
    add_web_routes(server_);
    add_history_routes(server_, history_);
    thread_ = std::thread([this] { server_.run(); });
  }
  ~WebRoutesTest() override {
    server_.shut_down();
    thread_.join();
  }
  static ApiServerOptions options() {
    ApiServerOptions options;
    options.http.port = 0;
    options.drain_grace = std::chrono::milliseconds(0);
    return options;
  }
  std::string ask(const std::string& request) {
    RawClient client(server_.port());
    client.send(request);
    return client.read_response();
  }
  std::string send(const std::string& method, const std::string& path, const std::string& body,
                   const std::string& type = "application/json") {
    return ask(cat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: ", type,
                   "\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  }

  TestModel model_;
  FakeService service_;
  History history_{":memory:"};
  ApiServer server_;
  std::thread thread_;
};

TEST_F(WebRoutesTest, PageComesWithItsPolicy) {
  const std::string page = ask(get_text("/"));
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(page, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'self'; "));
  EXPECT_THAT(page, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(page, HasSubstr("Cache-Control: no-cache\r\n"));
  EXPECT_EQ(body_of(page), find_web_asset("/")->bytes);
  EXPECT_THAT(ask(get_text("/assets/none.js")), StartsWith("HTTP/1.1 404"));
}

TEST_F(WebRoutesTest, EveryFileIsServed) {
  for (const WebAsset& asset : web_assets()) {
    const std::string plain = ask(get_text(std::string(asset.path)));
    EXPECT_EQ(body_of(plain), asset.bytes) << asset.path;
    EXPECT_THAT(plain, HasSubstr(cat("Content-Type: ", asset.content_type, "\r\n")));
    if (asset.gzip.empty()) continue;
    const std::string packed =
        ask(get_text(std::string(asset.path), "Accept-Encoding: gzip, br\r\n"));
    EXPECT_THAT(packed, HasSubstr("Content-Encoding: gzip\r\n")) << asset.path;
    EXPECT_EQ(body_of(packed), asset.gzip) << asset.path;
  }
}

TEST_F(WebRoutesTest, UnchangedFilesAreNotSentAgain) {
  const std::string page = ask(get_text("/"));
  const size_t at = page.find("ETag: ") + 6;
  const std::string etag = page.substr(at, page.find("\r\n", at) - at);
  const std::string again = ask(get_text("/", "If-None-Match: " + etag + "\r\n"));
  EXPECT_THAT(again, StartsWith("HTTP/1.1 304"));
  EXPECT_EQ(body_of(again), "");
}

TEST_F(WebRoutesTest, HistoryOverHttp) {
  const std::string created = send("POST", "/api/conversations", R"({"title":"제목"})");
  EXPECT_THAT(created, StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(created, HasSubstr("Cache-Control: no-store\r\n"));
  const std::string id(json::parse(body_of(created), "response").at("id").as_string());
  const std::string path = "/api/conversations/" + id;
  const std::string message =
      send("POST", path + "/messages", R"({"role":"user","content":"수도는 서울"})");
  EXPECT_THAT(message, StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(send("PATCH", path, R"({"title":"새 제목"})"), StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(ask(get_text(path)), HasSubstr("새 제목"));
  EXPECT_THAT(ask(get_text("/api/search?q=%EC%84%9C%EC%9A%B8")), HasSubstr(id));
  const std::string exported = ask(get_text("/api/export"));
  EXPECT_THAT(exported, HasSubstr("attachment; filename=\"axk1-conversations.json\""));
  EXPECT_THAT(send("POST", "/api/import", body_of(exported)), HasSubstr(R"({"imported":1})"));
  EXPECT_THAT(send("DELETE", path, ""), StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(ask(get_text(path)), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(send("PUT", path, "{}"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(send("POST", "/api/conversations", "{}", "text/plain"), StartsWith("HTTP/1.1 415"));
  EXPECT_EQ(history_.list("", 9, "").conversations.size(), 1u);
}

}  // namespace
}  // namespace axk1
