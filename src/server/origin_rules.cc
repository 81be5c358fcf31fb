#include "server/origin_rules.h"

#include <algorithm>

#include "base/text.h"

namespace axk1 {
namespace {

bool is_allowed(const OriginRules& rules, std::string_view origin) {
  return std::any_of(rules.allowed.begin(), rules.allowed.end(), [&](const std::string& entry) {
    return entry == "*" || equal_ignoring_case(entry, origin);
  });
}

// "localhost:8080" -> "localhost", "[::1]:80" -> "[::1]".
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, std::min(host.find(']') + 1, host.size()));
  return host.substr(0, host.find(':'));
}

bool is_loopback_name(std::string_view name) {
  const bool number = name.find_first_not_of("0123456789.") == std::string_view::npos;
  return equal_ignoring_case(name, "localhost") || (number && name.starts_with("127.")) ||
         name == "[::1]" ||
         (name.size() > 10 && equal_ignoring_case(name.substr(name.size() - 10), ".localhost"));
}

// A list of header names, to be written back.
bool is_plain_list(std::string_view text) {
  return text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == ',' || c == ' ';
         });
}

}  // namespace

std::string origin_refusal(const OriginRules& rules, const HttpRequest& request) {
  const std::string_view host = request.header("host");
  if (rules.loopback_host_only && !host.empty() && !is_loopback_name(host_name(host))) {
    return cat("found host ", printable(host),
               ", expected a name of this machine: other names need --keys or --allow-anonymous");
  }
  const std::string_view origin = request.header("origin");
  if (origin.empty() || request.method == "GET" || request.method == "HEAD" ||
      request.method == "OPTIONS" || is_allowed(rules, origin)) {
    return "";
  }
  const size_t scheme = origin.find("://");
  if (scheme != std::string_view::npos && equal_ignoring_case(origin.substr(scheme + 3), host)) {
    return "";
  }
  return cat("pages of ", printable(origin), " may not use this server: see --cors-origin");
}

HttpHeaders cors_headers(const OriginRules& rules, const HttpRequest& request) {
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !is_allowed(rules, origin)) return {};
  return {{"Access-Control-Allow-Origin", printable(origin, 300)},
          {"Vary", "Origin"},
          {"Access-Control-Expose-Headers",
           "x-request-id, request-id, retry-after, traceparent, x-ratelimit-limit-requests, "
           "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
           "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"}};
}

HttpHeaders preflight_headers(const OriginRules& rules, const HttpRequest& request,
                              const std::string& methods) {
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !is_allowed(rules, origin)) return {};
  HttpHeaders headers{{"Access-Control-Allow-Methods", methods}, {"Access-Control-Max-Age", "600"}};
  const std::string_view wanted = request.header("access-control-request-headers");
  if (!wanted.empty() && is_plain_list(wanted)) {
    headers.emplace_back("Access-Control-Allow-Headers", std::string(wanted));
  }
  return headers;
}

}  // namespace axk1
