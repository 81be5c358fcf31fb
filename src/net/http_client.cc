#include "net/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/error.h"

namespace axk1 {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::string_view kHttp = "http://", kHttps = "https://";
constexpr uint64_t kMaxAnswerBytes = uint64_t{1} << 32;

}  // namespace

bool is_url(std::string_view text) {
  return text.starts_with(kHttp) || text.starts_with(kHttps);
}

// Asynchronous inside, since only those operations of Beast can time out.
class HttpClient::Connection {
 public:
  explicit Connection(const HttpClient& client) : client_(client), stream_(context_) {}

  void connect() {
    asio::ip::tcp::resolver resolver(context_);
    beast::error_code error;
    const auto addresses = resolver.resolve(client_.host_, client_.port_, error);
    check(error);
    expire();
    wait([&](auto&& done) {
      stream_.async_connect(addresses, [done](beast::error_code e, const auto&) { done(e); });
    });
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
  }

  // Nothing when the server has closed a connection that was idle, before a byte of an answer.
  std::optional<HttpResponse> exchange(http::request<http::string_body>& request) {
    expire();
    if (run([&](auto&& done) {
          http::async_write(stream_, request, [done](beast::error_code e, size_t) { done(e); });
        })) {
      return std::nullopt;
    }
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaxAnswerBytes);
    const beast::error_code error = run([&](auto&& done) {
      http::async_read(stream_, buffer_, parser, [done](beast::error_code e, size_t) { done(e); });
    });
    if (error && !parser.got_some() && error != beast::error::timeout) return std::nullopt;
    check(error);
    HttpResponse response{.status = parser.get().result_int(), .body = parser.get().body()};
    const std::string_view wait = parser.get()[http::field::retry_after];
    int64_t seconds = 0;
    std::from_chars(wait.data(), wait.data() + wait.size(), seconds);
    if (seconds > 0) response.retry_after = std::chrono::seconds(seconds);
    keeps_ = parser.get().keep_alive();
    return response;
  }
  bool keeps() const { return keeps_; }

 private:
  void expire() { stream_.expires_after(client_.options_.timeout); }
  template <class Start>
  beast::error_code run(Start&& start) {
    beast::error_code result;
    start([&result](beast::error_code error) { result = error; });
    context_.restart();
    context_.run();
    return result;
  }
  template <class Start>
  void wait(Start&& start) {
    check(run(start));
  }
  void check(const beast::error_code& error) const {
    if (!error) return;
    const bool late = error == beast::error::timeout;
    fail(ErrorCode::kIo, client_.url_, ": ", late ? "no answer in time" : error.message());
  }

  const HttpClient& client_;
  asio::io_context context_{1};
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  bool keeps_ = false;
};

HttpClient::HttpClient(std::string url, HttpClientOptions options)
    : url_(std::move(url)), options_(std::move(options)) {
  std::string_view rest = url_;
  if (rest.starts_with(kHttps)) {
    fail(ErrorCode::kUnsupported, url_, ": https is not spoken here, expected http://HOST[:PORT]");
  }
  const auto wrong = [&] {
    fail(ErrorCode::kInvalidInput, url_, ": expected http://HOST[:PORT], nothing behind it");
  };
  if (!rest.starts_with(kHttp)) wrong();
  rest.remove_prefix(kHttp.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  const bool has_port = colon != rest.npos && rest.find(']', colon) == rest.npos;
  std::string_view host = has_port ? rest.substr(0, colon) : rest;
  port_ = has_port ? std::string(rest.substr(colon + 1)) : "80";
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port_.data(), port_.data() + port_.size(), number);
  if (error != std::errc() || end != port_.data() + port_.size() || number == 0) wrong();
  if (host.empty() || host.find_first_of("/?#@ ") != host.npos) wrong();
  host_ = host;
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::get(const std::string& target) {
  return request(false, target, {});
}
HttpResponse HttpClient::post_json(const std::string& target, std::string body) {
  return request(true, target, std::move(body));
}

HttpResponse HttpClient::request(bool post, const std::string& target, std::string body) {
  http::request<http::string_body> request{post ? http::verb::post : http::verb::get, target, 11};
  request.set(http::field::host, host_ + ":" + port_);
  if (!options_.bearer_token.empty()) {
    request.set(http::field::authorization, "Bearer " + options_.bearer_token);
  }
  if (post) request.set(http::field::content_type, "application/json");
  request.body() = std::move(body);
  request.prepare_payload();
  // A connection that was kept may be closed by now; a new one that is says something else.
  for (const bool again : {true, false}) {
    const bool kept = connection_ != nullptr;
    if (!kept) {
      connection_ = std::make_unique<Connection>(*this);
      try {
        connection_->connect();
      } catch (...) {
        connection_.reset();
        throw;
      }
    }
    std::optional<HttpResponse> response;
    try {
      response = connection_->exchange(request);
    } catch (...) {
      connection_.reset();
      throw;
    }
    if (!response || !connection_->keeps()) connection_.reset();
    if (response) return std::move(*response);
    if (!(kept && again)) break;
  }
  fail(ErrorCode::kIo, url_, ": the connection was closed without an answer");
}

}  // namespace axk1
