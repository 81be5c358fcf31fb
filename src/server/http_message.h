// Requests and responses as handlers see them: no socket, no protocol.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace axk1 {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// What of a request the access log tells besides the request line; handlers fill it.
struct ExchangeNotes {
  std::string request_id, trace_id, tenant, key_id, finish_reason, error_code;
  std::string route;     // the path of the route that answers; "": none
  bool counted = false;  // against the key's limits
  size_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double first_token_seconds = -1;  // after `received`; -1: none came
  HttpHeaders headers;              // that the answer is to carry
};

struct HttpRequest {
  std::string method;   // "GET", ...
  std::string path;     // percent-decoded; begins with '/'
  std::string query;    // what follows '?', as it came
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::string remote;                              // the peer's address, without port
  std::chrono::steady_clock::time_point received;  // when the head was complete
  std::shared_ptr<ExchangeNotes> notes = std::make_shared<ExchangeNotes>();  // I/O thread

  // The first header of that (lower-case) name, or "".
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";  // "": none
  HttpHeaders headers;
  std::string body;
  bool close = false;  // the connection is not used again
};

// One request and the way to its answer. Owned by whoever still has to answer; the I/O thread's
// alone, but for request(), which is constant. After the client has left, what is sent is dropped.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const HttpRequest& request() const = 0;

  // The whole answer. This or start(), once.
  virtual void send(HttpResponse response) = 0;

  // An answer that grows: the head now (its body first, when there is one), pieces by write, and
  // finish at the end. What the client has not read yet is kept up to a limit; beyond it the
  // connection is closed as if the client had left.
  virtual void start(HttpResponse head) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void finish() = 0;

  // Ends the connection without finishing the answer.
  virtual void abort() = 0;

  // Whether nobody reads the answer any more.
  virtual bool closed() const = 0;
  // Called once when the client leaves before the answer is finished.
  virtual void on_closed(std::function<void()> call) = 0;
};

// "%41" -> "A"; false for what is not percent-encoding.
bool percent_decode(std::string_view text, std::string& out);

// The value of `name` in a query string, decoded, or "".
std::string query_value(std::string_view query, std::string_view name);

// Whether two header values are equal but for case (ASCII).
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace axk1
