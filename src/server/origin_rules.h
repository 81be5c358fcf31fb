// Which web pages may use the server from a browser (CORS), and which are kept from using it behind
// its owner's back.
#pragma once

#include <string>
#include <vector>

#include "server/http_message.h"

namespace axk1 {

struct OriginRules {
  std::vector<std::string> allowed;  // origins such as "https://chat.example.com"; "*": all
  // Only names of this machine are taken for Host: a page elsewhere whose name was pointed at
  // 127.0.0.1 would count as the same origin. For servers without keys that listen on loopback.
  bool loopback_host_only = false;
};

// Why the request is refused (403), or "". A page of another origin may only use the server when it
// is allowed; requests without Origin come from programs, or read nothing that a page could see.
std::string origin_refusal(const OriginRules& rules, const HttpRequest& request);

// The headers that let an allowed origin read the answer; empty for others.
HttpHeaders cors_headers(const OriginRules& rules, const HttpRequest& request);

// The further headers of an answer to OPTIONS, for an allowed origin.
HttpHeaders preflight_headers(const OriginRules& rules, const HttpRequest& request,
                              const std::string& methods);

}  // namespace axk1
