// Requests to a server on HTTP/1.1, one after the other over a connection that stays open.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace axk1 {

// "http://..." or "https://...": an address rather than a path.
bool is_url(std::string_view text);

struct HttpClientOptions {
  std::chrono::seconds timeout{600};  // of one request, from connecting to the end of the answer
  std::string bearer_token;           // sent as Authorization; empty: none
};

struct HttpResponse {
  unsigned status = 0;
  std::string body;
  std::chrono::seconds retry_after{0};  // 0: the server did not say
};

// One thread at a time.
class HttpClient {
 public:
  // url: http://HOST[:PORT][/]; nothing is connected yet. Throws Error(kInvalidInput) for any other
  // text, Error(kUnsupported) for https.
  explicit HttpClient(std::string url, HttpClientOptions options = {});
  ~HttpClient();

  const std::string& url() const { return url_; }

  // Throw Error(kIo) naming the address when it cannot be reached, is silent for too long, or does
  // not speak HTTP. Any status is an answer.
  HttpResponse get(const std::string& target);
  HttpResponse post_json(const std::string& target, std::string body);

 private:
  class Connection;
  HttpResponse request(bool post, const std::string& target, std::string body);

  std::string url_, host_, port_;
  HttpClientOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace axk1
