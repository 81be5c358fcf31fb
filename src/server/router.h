// Which handler answers which method and path.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"

namespace axk1 {

// Runs on the I/O thread and must not block it. What it throws becomes an error answer.
using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;

enum class Access {
  kOpen,  // anybody
  kKey,   // when the server has keys, only with one
};

// Which API's form errors of this route take.
enum class ErrorForm { kOpenAi, kAnthropic };

struct RouteOptions {
  Access access = Access::kKey;
  ErrorForm errors = ErrorForm::kOpenAi;
  bool json_body = false;     // POST bodies must be JSON by their content-type
  size_t max_body_bytes = 0;  // 0: the server's limit
};

struct Route {
  std::string method;
  std::string path;  // exact, or ending in "/*": everything below
  Handler handler;
  RouteOptions options;
};

// Filled before the server runs, constant afterwards.
class Router {
 public:
  // HEAD is answered by GET's handler. Of routes that match, an exact one goes before a longer
  // prefix before a shorter one. Adding the same method and path twice is a mistake (checked).
  void add(std::string method, std::string path, Handler handler, RouteOptions options = {});

  struct Match {
    const Route* route = nullptr;      // null: see below
    std::vector<std::string> allowed;  // methods of the path; empty: no such path
  };
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

// What "/*" of the route's path stands for in `path`.
std::string_view path_rest(const Route& route, std::string_view path);

}  // namespace axk1
