#include "server/router.h"

#include <algorithm>

#include "base/check.h"

namespace axk1 {
namespace {

bool is_prefix(const Route& route) {
  return route.path.ends_with("/*");
}

bool matches(const Route& route, std::string_view path) {
  if (!is_prefix(route)) return route.path == path;
  return path.starts_with(std::string_view(route.path).substr(0, route.path.size() - 1));
}

}  // namespace

void Router::add(std::string method, std::string path, Handler handler, RouteOptions options) {
  for (const Route& route : routes_) AXK1_CHECK(route.method != method || route.path != path);
  routes_.push_back({std::move(method), std::move(path), std::move(handler), options});
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  size_t best = 0;  // 1 + length of the best path; an exact one beats every prefix
  for (const Route& route : routes_) {
    if (!matches(route, path)) continue;
    best = std::max(best, is_prefix(route) ? route.path.size() : std::string::npos);
  }
  Match match;
  for (const Route& route : routes_) {
    if (!matches(route, path)) continue;
    if ((is_prefix(route) ? route.path.size() : std::string::npos) != best) continue;
    match.allowed.push_back(route.method);
    if (route.method == "GET") match.allowed.push_back("HEAD");
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
    }
  }
  return match;
}

std::string_view path_rest(const Route& route, std::string_view path) {
  return is_prefix(route) ? path.substr(route.path.size() - 1) : std::string_view();
}

}  // namespace axk1
