#include "server/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <ctime>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace axk1 {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using asio::awaitable;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(100);
// After an answer that left a part of the request unread: how long, and how much of it, to read on,
// so that closing does not make the kernel drop the answer.
constexpr auto kLinger = std::chrono::milliseconds(2'000);
constexpr size_t kLingerBytes = 32 << 20;
constexpr size_t kReadBytes = 16 << 10;

const auto kToken = asio::experimental::as_tuple(asio::use_awaitable);

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, length);
}

void append_chunk(std::string& out, std::string_view data) {
  char size[20];
  const int length = std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  out.append(size, static_cast<size_t>(length));
  out += data;
  out += "\r\n";
}

// Whether the parser refused what it read; else the connection ended.
bool is_malformed(error_code ec) {
  static const auto& category = http::make_error_code(http::error::bad_method).category();
  return ec.category() == category && ec != http::error::end_of_stream &&
         ec != http::error::partial_message;
}

bool has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

class Connection;

}  // namespace

struct HttpServer::Impl {
  Impl(const HttpServerOptions& the_options, HttpApp& the_app)
      : options(the_options), app(the_app), acceptor(io), timer(io), signals(io) {}

  HttpServerOptions options;
  HttpApp& app;
  std::unordered_set<Connection*> connections;  // outlives io, whose end destroys them
  asio::io_context io{1};
  std::optional<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  asio::steady_timer timer;
  asio::signal_set signals;
  size_t active = 0;
  bool closing = false;
  bool stopped = false;
  uint16_t port = 0;
  std::vector<pollfd> polled;  // of the tick that runs

  awaitable<void> accept_loop();
  awaitable<void> tick_loop();
  void open(tcp::socket socket);
  void check_connections();
  void wait_for_signal();
};

namespace {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(HttpServer::Impl& server) : server_(server), wake_(server.io) {
    server_.connections.insert(this);
  }
  virtual ~Connection() { server_.connections.erase(this); }

  virtual awaitable<void> run() = 0;

  virtual tcp::socket& socket() = 0;

  int fd() { return socket().is_open() ? socket().native_handle() : -1; }
  bool answering() const { return answering_; }

  // Whether it sits between requests and has nothing unread.
  bool quiet() {
    if (answering_ || in_request_) return false;
    char byte;
    return fd() < 0 || ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
  }

  void check_deadline(Clock::time_point now) {
    if (now < deadline_) return;
    deadline_ = Clock::time_point::max();
    timed_out_ = true;
    if (answering_) {
      leave();
    } else {
      error_code ignored;
      socket().cancel(ignored);
    }
  }

  // The client is gone, or is to be treated so.
  void leave() {
    if (left_) return;
    left_ = true;
    error_code ignored;
    socket().close(ignored);
    wake_.cancel();
    if (on_left_) std::exchange(on_left_, nullptr)();
  }

 protected:
  void arm(std::chrono::milliseconds timeout) { deadline_ = Clock::now() + timeout; }
  void disarm() { deadline_ = Clock::time_point::max(); }

  HttpServer::Impl& server_;
  asio::steady_timer wake_;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  bool answering_ = false;   // an exchange is not over
  bool in_request_ = false;  // a part of a request has come
  bool left_ = false;
  std::function<void()> on_left_;
  friend class SocketExchange;
};

// The answer to one request of a connection. Outlives the connection when a handler keeps it.
class SocketExchange : public Exchange {
 public:
  SocketExchange(std::weak_ptr<Connection> connection, HttpRequest request, size_t max_unread)
      : connection_(std::move(connection)), request_(std::move(request)), max_unread_(max_unread) {}

  const HttpRequest& request() const override { return request_; }
  void send(HttpResponse response) override {
    if (started_ || closed_) return;
    head_ = std::move(response);
    started_ = whole_ = finished_ = true;
    wake();
  }
  void start(HttpResponse head) override {
    if (started_ || closed_) return;
    pending_ = std::exchange(head.body, "");
    head_ = std::move(head);
    started_ = true;
    wake();
  }
  void write(std::string_view bytes) override {
    if (finished_ || closed_) return;
    if (pending_.size() + bytes.size() > max_unread_) return abort();
    pending_ += bytes;
    wake();
  }
  void finish() override {
    if (finished_ || closed_) return;
    finished_ = true;
    wake();
  }
  void abort() override {
    if (const auto connection = connection_.lock()) connection->leave();
  }
  bool closed() const override { return closed_; }
  void on_closed(std::function<void()> call) override { on_closed_ = std::move(call); }

  // For the connection.
  void close() {
    closed_ = true;
    if (on_closed_ && !finished_) std::exchange(on_closed_, nullptr)();
    on_closed_ = nullptr;
  }
  bool started() const { return started_; }
  bool whole() const { return whole_; }
  bool finished() const { return finished_; }
  HttpResponse& head() { return head_; }
  std::string take() { return std::exchange(pending_, {}); }
  bool pending() const { return !pending_.empty(); }

 private:
  void wake() {
    if (const auto connection = connection_.lock()) connection->wake_.cancel();
  }

  std::weak_ptr<Connection> connection_;
  HttpRequest request_;
  size_t max_unread_;
  HttpResponse head_;
  std::string pending_;
  bool started_ = false, whole_ = false, finished_ = false, closed_ = false;
  std::function<void()> on_closed_;
};

template <class Stream>
class StreamConnection : public Connection {
 public:
  StreamConnection(HttpServer::Impl& server, Stream stream)
      : Connection(server), stream_(std::move(stream)) {}

  tcp::socket& socket() override {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  awaitable<void> run() override {
    const auto self = shared_from_this();  // for as long as this coroutine lives
    if (co_await handshake()) {
      while (co_await one_request()) {
      }
      co_await shut_down();
    }
    leave();
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;

  awaitable<bool> handshake() {
    if constexpr (kTls) {
      arm(server_.options.header_timeout);
      const auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kToken);
      disarm();
      co_return !ec;
    }
    co_return true;
  }

  awaitable<void> shut_down() {
    if (left_) co_return;
    arm(kLinger);
    if constexpr (kTls) {
      const auto [ec] = co_await stream_.async_shutdown(kToken);
      (void)ec;
    }
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_send, ignored);
    char buffer[4096];
    for (size_t read = 0; unread_ && read < kLingerBytes && !timed_out_;) {
      const auto [ec, n] = co_await socket().async_read_some(asio::buffer(buffer), kToken);
      if (ec) break;
      read += n;
    }
    disarm();
  }

  awaitable<bool> write_all(const std::string& bytes) {
    arm(server_.options.write_timeout);
    const auto [ec, n] = co_await asio::async_write(stream_, asio::buffer(bytes), kToken);
    (void)n;
    disarm();
    co_return !ec && !left_;
  }

  // Reads and answers; false when the connection is to end.
  awaitable<bool> one_request() {
    in_request_ = buffer_.size() > 0;
    if (!in_request_) {
      arm(server_.options.idle_timeout);
      const auto [ec, n] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kToken);
      if (ec || left_) co_return false;
      buffer_.commit(n);
      in_request_ = true;
    }
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<uint32_t>(server_.options.max_header_bytes));
    parser.body_limit(boost::none);
    arm(server_.options.header_timeout);
    const auto [head_ec, head_n] =
        co_await http::async_read_header(stream_, buffer_, parser, kToken);
    (void)head_n;
    disarm();
    if (left_) co_return false;
    HttpRequest request;
    request.received = Clock::now();
    request.remote = remote();
    if (head_ec) co_return co_await refuse_head(request, head_ec);
    const bool head_ok = read_head(parser.get(), request);
    http10_ = parser.get().version() < 11;
    keep_alive_ = parser.keep_alive();
    unread_ = !parser.is_done();
    if (!head_ok) co_return co_await refuse(request, 400, "the request target is not a path");
    HttpApp::Admission admission = server_.app.admit(request);
    if (admission.refusal) {
      co_await answer_without_exchange(request, std::move(*admission.refusal));
      co_return false;
    }
    const size_t max_body =
        admission.max_body_bytes ? admission.max_body_bytes : server_.options.max_body_bytes;
    if (parser.content_length() && *parser.content_length() > max_body) {
      co_return co_await refuse(request, 413, too_large(max_body));
    }
    parser.body_limit(max_body);
    if (unread_ && equal_ignoring_case(request.header("expect"), "100-continue")) {
      if (!co_await write_all("HTTP/1.1 100 Continue\r\n\r\n")) co_return abandon(request);
    }
    arm(server_.options.body_timeout);
    const auto [body_ec, body_n] = co_await http::async_read(stream_, buffer_, parser, kToken);
    (void)body_n;
    disarm();
    if (left_) co_return abandon(request);
    if (body_ec) {
      if (timed_out_) co_return co_await refuse(request, 408, "the body took too long to arrive");
      if (body_ec == http::error::body_limit) {
        co_return co_await refuse(request, 413, too_large(max_body));
      }
      if (!is_malformed(body_ec)) co_return abandon(request);
      co_return co_await refuse(request, 400, "the body is not valid HTTP");
    }
    unread_ = false;
    request.body = std::move(parser.get().body());
    co_return co_await answer(std::move(request));
  }

  // The client left in the middle of a request that was let in.
  bool abandon(const HttpRequest& request) {
    server_.app.over(request, {.seconds = seconds_since(request.received), .aborted = true});
    return false;
  }

  static std::string too_large(size_t max_body) {
    return cat("the body is larger than ", max_body, " bytes");
  }

  awaitable<bool> refuse_head(const HttpRequest& request, error_code ec) {
    unread_ = true;
    if (timed_out_) co_return co_await refuse(request, 408, "the request took too long to arrive");
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      co_return co_await refuse(
          request, 431,
          cat("the headers are larger than ", server_.options.max_header_bytes, " bytes"));
    }
    if (!is_malformed(ec)) co_return false;
    co_return co_await refuse(request, 400, cat("not valid HTTP: ", ec.message()));
  }

  awaitable<bool> refuse(const HttpRequest& request, int status, std::string why) {
    co_await answer_without_exchange(request, server_.app.refusal(request, status, why));
    co_return false;
  }

  awaitable<void> answer_without_exchange(const HttpRequest& request, HttpResponse response) {
    timed_out_ = false;
    keep_alive_ = false;
    const std::string bytes = whole_text(request, response);
    const bool written = co_await write_all(bytes);
    server_.app.over(request, {.status = response.status,
                               .bytes = response.body.size(),
                               .seconds = seconds_since(request.received),
                               .aborted = !written});
  }

  template <class Head>
  bool read_head(const Head& head, HttpRequest& request) {
    request.method = std::string(head.method_string());
    const std::string_view target(head.target().data(), head.target().size());
    const size_t question = std::min(target.find('?'), target.size());
    request.query = std::string(target.substr(std::min(question + 1, target.size())));
    for (const auto& field : head) {
      request.headers.emplace_back(
          lower_case({field.name_string().data(), field.name_string().size()}),
          std::string(field.value().data(), field.value().size()));
    }
    if (request.method == "OPTIONS" && target == "*") {
      request.path = "*";
      return true;
    }
    return target.starts_with('/') && percent_decode(target.substr(0, question), request.path);
  }

  std::string remote() {
    error_code ec;
    const auto endpoint = socket().remote_endpoint(ec);
    return ec ? "" : endpoint.address().to_string();
  }

  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  // Status line and headers. `body_size` empty: chunked, or until the end of the connection.
  std::string head_text(const HttpResponse& head, std::optional<size_t> body_size) {
    const auto reason = http::obsolete_reason(static_cast<http::status>(head.status));
    std::string out =
        cat("HTTP/1.1 ", head.status, " ", std::string_view(reason.data(), reason.size()),
            "\r\nDate: ", http_date(), "\r\n");
    if (!head.content_type.empty()) out += cat("Content-Type: ", head.content_type, "\r\n");
    for (const auto& [name, value] : head.headers) out += cat(name, ": ", value, "\r\n");
    if (body_size) {
      if (has_body(head.status)) out += cat("Content-Length: ", *body_size, "\r\n");
    } else if (!http10_) {
      out += "Transfer-Encoding: chunked\r\n";
    }
    if (!keep_alive_) {
      out += "Connection: close\r\n";
    } else if (http10_) {
      out += "Connection: keep-alive\r\n";
    }
    out += "\r\n";
    return out;
  }

  std::string whole_text(const HttpRequest& request, HttpResponse& response) {
    server_.app.complete_head(request, response);
    std::string out = head_text(response, response.body.size());
    if (request.method != "HEAD" && has_body(response.status)) out += response.body;
    return out;
  }

  awaitable<bool> answer(HttpRequest the_request) {
    const auto exchange = std::make_shared<SocketExchange>(weak_from_this(), std::move(the_request),
                                                           server_.options.max_unread_bytes);
    const HttpRequest& request = exchange->request();
    answering_ = true;
    ++server_.active;
    on_left_ = [weak = std::weak_ptr<SocketExchange>(exchange)] {
      if (const auto open = weak.lock()) open->close();
    };
    server_.app.handle(exchange);
    ExchangeResult result;
    bool ok = true;
    while (ok && !left_ && !exchange->started()) co_await sleep();
    if (ok && !left_) {
      HttpResponse& head = exchange->head();
      result.status = head.status;
      if (server_.closing || head.close) keep_alive_ = false;
      if (exchange->whole()) {
        result.bytes = head.body.size();
        const std::string bytes = whole_text(request, head);
        ok = co_await write_all(bytes);
      } else {
        if (http10_) keep_alive_ = false;
        server_.app.complete_head(request, head);
        std::string bytes = head_text(head, std::nullopt);
        ok = co_await write_pieces(*exchange, bytes, result.bytes);
      }
    }
    result.aborted = !ok || left_;
    result.seconds = seconds_since(request.received);
    on_left_ = nullptr;
    if (result.aborted) leave();
    exchange->close();
    answering_ = in_request_ = false;
    --server_.active;
    server_.app.over(request, result);
    co_return !result.aborted && keep_alive_ && !server_.closing;
  }

  awaitable<void> sleep() {
    wake_.expires_at(asio::steady_timer::time_point::max());
    const auto [ec] = co_await wake_.async_wait(kToken);
    (void)ec;
  }

  awaitable<bool> write_pieces(SocketExchange& exchange, std::string& bytes, uint64_t& sent) {
    for (;;) {
      if (left_) co_return false;
      const bool last = exchange.finished();
      if (exchange.pending()) {
        const std::string piece = exchange.take();
        sent += piece.size();
        if (http10_) {
          bytes += piece;
        } else {
          append_chunk(bytes, piece);
        }
      }
      if (last && !http10_) bytes += "0\r\n\r\n";
      if (!bytes.empty()) {
        if (!co_await write_all(bytes)) co_return false;
        bytes.clear();
      }
      if (last) co_return true;
      if (!exchange.pending() && !exchange.finished()) co_await sleep();
    }
  }

  Stream stream_;
  boost::beast::flat_buffer buffer_{size_t{1} << 20};
  bool http10_ = false;
  bool keep_alive_ = false;
  bool unread_ = false;  // a part of the request was left unread
};

tcp::endpoint endpoint_of(const HttpServerOptions& options) {
  error_code ec;
  const auto address = asio::ip::make_address(options.address, ec);
  if (ec) {
    fail(ErrorCode::kInvalidInput, "address: found \"", printable(options.address),
         "\", expected an IP address such as 127.0.0.1 or ::1");
  }
  return {address, options.port};
}

void load_tls(asio::ssl::context& tls, const HttpServerOptions& options) {
  error_code ec;
  tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                  asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                  asio::ssl::context::no_tlsv1_1);
  tls.use_certificate_chain_file(options.tls_certificate, ec);
  if (ec) {
    fail(ErrorCode::kInvalidInput, options.tls_certificate,
         ": not a PEM certificate chain: ", ec.message());
  }
  tls.use_private_key_file(options.tls_key, asio::ssl::context::pem, ec);
  if (ec) {
    fail(ErrorCode::kInvalidInput, options.tls_key,
         ": not the certificate's private key in PEM: ", ec.message());
  }
}

}  // namespace

void HttpServer::Impl::open(tcp::socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  std::shared_ptr<Connection> connection;
  if (tls) {
    connection = std::make_shared<StreamConnection<asio::ssl::stream<tcp::socket>>>(
        *this, asio::ssl::stream<tcp::socket>(std::move(socket), *tls));
  } else {
    connection = std::make_shared<StreamConnection<tcp::socket>>(*this, std::move(socket));
  }
  asio::co_spawn(
      io, [connection]() -> awaitable<void> { co_await connection->run(); }, asio::detached);
}

awaitable<void> HttpServer::Impl::accept_loop() {
  while (acceptor.is_open()) {
    auto [ec, socket] = co_await acceptor.async_accept(kToken);
    if (ec == asio::error::operation_aborted) co_return;
    if (ec) {  // out of file descriptors or the like: others must end first
      asio::steady_timer pause(io, kTick);
      co_await pause.async_wait(kToken);
      continue;
    }
    if (connections.size() >= options.max_connections) {
      const HttpResponse full = app.refusal({}, 503, "too many connections");
      const std::string text =
          cat("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n",
              "Retry-After: 1\r\nConnection: close\r\nContent-Length: ", full.body.size(),
              "\r\n\r\n", full.body);
      socket.non_blocking(true, ec);
      socket.write_some(asio::buffer(text), ec);
      socket.shutdown(tcp::socket::shutdown_send, ec);
      continue;
    }
    open(std::move(socket));
  }
}

void HttpServer::Impl::check_connections() {
  const auto now = Clock::now();
  polled.clear();
  std::vector<std::shared_ptr<Connection>> watched;
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections.size());
  for (Connection* connection : connections) all.push_back(connection->shared_from_this());
  for (const auto& connection : all) {
    connection->check_deadline(now);
    if (connection->answering() && connection->fd() >= 0) {
      polled.push_back({connection->fd(), POLLRDHUP, 0});
      watched.push_back(connection);
    }
  }
  if (polled.empty() || ::poll(polled.data(), polled.size(), 0) <= 0) return;
  for (size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) watched[i]->leave();
  }
}

awaitable<void> HttpServer::Impl::tick_loop() {
  for (;;) {
    timer.expires_after(kTick);
    const auto [ec] = co_await timer.async_wait(kToken);
    if (ec) co_return;
    check_connections();
    app.tick();
  }
}

void HttpServer::Impl::wait_for_signal() {
  signals.async_wait([this](error_code ec, int) {
    if (ec) return;
    app.interrupted();
    wait_for_signal();
  });
}

HttpServer::HttpServer(const HttpServerOptions& options, HttpApp& app)
    : impl_(std::make_unique<Impl>(options, app)) {
  const tcp::endpoint endpoint = endpoint_of(options);
  if (!options.tls_certificate.empty()) {
    impl_->tls.emplace(asio::ssl::context::tls_server);
    load_tls(*impl_->tls, options);
  }
  try {
    impl_->acceptor.open(endpoint.protocol());
    impl_->acceptor.set_option(asio::socket_base::reuse_address(true));
    impl_->acceptor.bind(endpoint);
    impl_->acceptor.listen(4096);
    impl_->port = impl_->acceptor.local_endpoint().port();
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::kIo, options.address, " port ", options.port,
         ": cannot be listened on: ", error.code().message());
  }
}

HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const {
  return impl_->port;
}

std::string HttpServer::url() const {
  const bool v6 = impl_->options.address.find(':') != std::string::npos;
  return cat(impl_->tls ? "https://" : "http://", v6 ? "[" : "", impl_->options.address,
             v6 ? "]" : "", ":", impl_->port);
}

void HttpServer::run() {
  asio::co_spawn(impl_->io, impl_->accept_loop(), asio::detached);
  asio::co_spawn(impl_->io, impl_->tick_loop(), asio::detached);
  impl_->io.run();
  error_code ignored;
  impl_->acceptor.close(ignored);
  for (Connection* connection : impl_->connections) connection->socket().close(ignored);
}

void HttpServer::post(std::function<void()> task) {
  asio::post(impl_->io, std::move(task));
}

size_t HttpServer::active() const {
  return impl_->active;
}

size_t HttpServer::connections() const {
  return impl_->connections.size();
}

void HttpServer::close_after_answers() {
  impl_->closing = true;
}

bool HttpServer::stop_if_quiet() {
  if (impl_->active > 0) return false;
  for (Connection* connection : impl_->connections) {
    if (!connection->quiet()) return false;
  }
  error_code ec;
  impl_->acceptor.non_blocking(true, ec);
  tcp::socket waiting(impl_->io);
  impl_->acceptor.accept(waiting, ec);
  if (!ec) {
    impl_->open(std::move(waiting));
    return false;
  }
  stop();
  return true;
}

void HttpServer::stop() {
  impl_->io.stop();
}

void HttpServer::catch_signals() {
  impl_->signals.add(SIGTERM);
  impl_->signals.add(SIGINT);
  impl_->wait_for_signal();
}

}  // namespace axk1
