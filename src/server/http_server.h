// HTTP/1.1 over TCP or TLS: connections, limits on them, and the answers' way out. Boost.Beast and
// coroutines on one thread; what a request means is for an HttpApp to say.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http_message.h"

namespace axk1 {

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // an IP address
  uint16_t port = 8080;               // 0: any free one
  std::string tls_certificate;        // PEM file with the chain; empty: no TLS
  std::string tls_key;                // PEM file
  size_t max_connections = 4096;      // more are answered 503 and closed
  size_t max_header_bytes = 16 << 10;
  size_t max_body_bytes = 8 << 20;
  size_t max_unread_bytes = 1 << 20;                 // of an answer that grows
  std::chrono::milliseconds header_timeout{10'000};  // first byte to end of head; TLS handshake
  std::chrono::milliseconds body_timeout{60'000};    // end of head to end of body
  std::chrono::milliseconds idle_timeout{120'000};   // between requests
  std::chrono::milliseconds write_timeout{60'000};   // a write that makes no progress
};

// What became of an exchange, told once when it is over.
struct ExchangeResult {
  int status = 0;        // 0: the client left before any answer
  uint64_t bytes = 0;    // of the body, as sent
  double seconds = 0;    // since HttpRequest::received
  bool aborted = false;  // the client left, or the server ended the connection, before the end
};

// All calls come on the I/O thread.
class HttpApp {
 public:
  virtual ~HttpApp() = default;

  // Before the body is read. An answer refuses the request: the connection is closed after it.
  struct Admission {
    std::optional<HttpResponse> refusal;
    size_t max_body_bytes = 0;  // 0: the server's
  };
  virtual Admission admit(HttpRequest& head) = 0;

  // The complete request. Throws nothing.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;

  // What the connection itself must refuse: 400, 408, 413, 431, 501, 503.
  virtual HttpResponse refusal(const HttpRequest& head, int status, std::string_view why) = 0;

  // Before the head of any answer is written: what every answer carries.
  virtual void complete_head(const HttpRequest& request, HttpResponse& head) = 0;

  virtual void over(const HttpRequest& request, const ExchangeResult& result) = 0;

  // About every 100 ms.
  virtual void tick() = 0;

  // SIGTERM or SIGINT came.
  virtual void interrupted() = 0;
};

class HttpServer {
 public:
  // Binds and listens. Throws Error(kIo) when that is refused, (kInvalidInput) for a bad address or
  // certificate.
  HttpServer(const HttpServerOptions& options, HttpApp& app);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:8080"

  // Serves on the calling thread, which becomes the I/O thread, until stop.
  void run();

  // Any thread: runs `task` on the I/O thread, in order.
  void post(std::function<void()> task);

  // I/O thread. Requests whose answer is not finished.
  size_t active() const;
  size_t connections() const;

  // I/O thread. From now on answers end their connection.
  void close_after_answers();

  // I/O thread. Ends run() if no answer is owed and nobody waits to be heard: no connection waits
  // to be accepted, and none has sent bytes that were not read. Otherwise does nothing and returns
  // false; ask again.
  bool stop_if_quiet();

  // Any thread. Ends run() now; connections are dropped.
  void stop();

  // Takes SIGTERM and SIGINT from now on; HttpApp::interrupted is called while run() runs.
  void catch_signals();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
