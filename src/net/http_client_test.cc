#include "net/http_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace axk1 {
namespace {

// Accepts one connection for each script and answers a request with each of its texts. Then closes,
// or waits until the client does.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::vector<std::string>> scripts, bool closes = true)
      : closes_(closes) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = cat("http://127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const auto& script : scripts) serve(script);
    });
  }
  ~ScriptedServer() {
    thread_.join();
    close(listener_);
  }
  const std::string& url() const { return url_; }
  const std::vector<std::string>& requests() const { return requests_; }

 private:
  void serve(const std::vector<std::string>& script) {
    const int fd = accept(listener_, nullptr, nullptr);
    for (const std::string& answer : script) {
      std::string request;
      char bytes[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0) break;
        request.append(bytes, static_cast<size_t>(n));
      }
      requests_.push_back(request);
      EXPECT_EQ(write(fd, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
    }
    char byte;
    while (!closes_ && read(fd, &byte, 1) > 0) {
    }
    close(fd);
  }

  bool closes_;
  int listener_;
  std::string url_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::string answer(const char* status, const std::string& body, const char* more = "") {
  return cat("HTTP/1.1 ", status, "\r\n", more, "Content-Length: ", body.size(), "\r\n\r\n", body);
}

std::string error_of(const std::string& url,
                     std::chrono::seconds timeout = std::chrono::seconds(20)) {
  try {
    HttpClient client(url, {.timeout = timeout});
    client.get("/");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(HttpClient, AsksAgainAndAgainOverOneConnection) {
  ScriptedServer server(
      {{answer("200 OK", "one"), answer("429 Too Many Requests", "two", "Retry-After: 7\r\n")}});
  HttpClient client(server.url(), {.bearer_token = "secret"});
  const HttpResponse first = client.get("/first");
  EXPECT_EQ(first.status, 200u);
  EXPECT_EQ(first.body, "one");
  EXPECT_EQ(first.retry_after.count(), 0);
  const HttpResponse second = client.post_json("/second", "{}");
  EXPECT_EQ(second.status, 429u);
  EXPECT_EQ(second.body, "two");
  EXPECT_EQ(second.retry_after.count(), 7);
  EXPECT_TRUE(server.requests()[0].starts_with("GET /first HTTP/1.1\r\n"));
  EXPECT_NE(server.requests()[0].find("Authorization: Bearer secret"), std::string::npos);
  EXPECT_TRUE(server.requests()[1].ends_with("\r\n\r\n{}")) << server.requests()[1];
}

TEST(HttpClient, AConnectionThatWasClosedWhileIdleIsMadeAnew) {
  ScriptedServer server({{answer("200 OK", "one")}, {answer("200 OK", "two")}});
  HttpClient client(server.url());
  EXPECT_EQ(client.get("/").body, "one");
  EXPECT_EQ(client.get("/").body, "two");
}

TEST(HttpClient, NamesTheAddressThatDoesNotAnswer) {
  ScriptedServer closes({{""}});
  EXPECT_EQ(error_of(closes.url()), closes.url() + ": the connection was closed without an answer");
  ScriptedServer speaks({{"220 mail.example ESMTP\r\n\r\n"}});
  EXPECT_TRUE(error_of(speaks.url()).starts_with(speaks.url() + ": ")) << error_of(speaks.url());
}

TEST(HttpClient, GivesUpOnAServerThatIsSilent) {
  ScriptedServer half({{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"}}, false);
  EXPECT_EQ(error_of(half.url(), std::chrono::seconds(1)), half.url() + ": no answer in time");
}

TEST(HttpClient, OtherAddressesAreRefused) {
  for (const char* url :
       {"https://host", "ftp://host", "host:80", "http://", "http://host/path", "http://host:0",
        "http://host:99999", "http://host:x", "http://u@host", "http://host?q"}) {
    EXPECT_THROW(HttpClient{url}, Error) << url;
  }
  EXPECT_NO_THROW(HttpClient{"http://[::1]:8080/"});
  EXPECT_TRUE(is_url("http://host"));
  EXPECT_FALSE(is_url("models/http://host"));
}

}  // namespace
}  // namespace axk1
