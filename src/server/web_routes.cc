#include "server/web_routes.h"

#include "base/text.h"
#include "server/api_error.h"
#include "server/history_api.h"
#include "server/web_assets.h"

namespace axk1 {
namespace {

constexpr size_t kMaxImportBytes = 64u << 20;

HttpResponse asset_response(const WebAsset& asset, const HttpRequest& request) {
  const WebAnswer answer =
      answer_web_asset(asset, request.header("accept-encoding"), request.header("if-none-match"));
  HttpResponse response{
      .status = answer.status,
      .content_type = std::string(answer.status == 304 ? "" : asset.content_type),
      .headers = {{"ETag", answer.etag},
                  {"Cache-Control", std::string(answer.cache_control)},
                  {"Vary", "Accept-Encoding"},
                  {"Content-Security-Policy", std::string(web_content_security_policy())},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Referrer-Policy", "no-referrer"},
                  {"Cross-Origin-Opener-Policy", "same-origin"},
                  {"Cross-Origin-Resource-Policy", "same-origin"}},
      .body = std::string(answer.body)};
  if (!answer.encoding.empty()) {
    response.headers.emplace_back("Content-Encoding", std::string(answer.encoding));
  }
  return response;
}

// A form of another site can send text, but cannot call it JSON.
void require_json(const HttpRequest& request) {
  const std::string_view type = request.header("content-type");
  std::string_view name = type.substr(0, type.find(';'));
  while (name.ends_with(' ')) name.remove_suffix(1);
  if (equal_ignoring_case(name, "application/json")) return;
  throw ApiError(415, "unsupported_media_type",
                 cat("found content-type \"", printable(type), "\", expected application/json"));
}

HttpResponse history_response(History& history, const HttpRequest& request,
                              const std::string& tenant) {
  HistoryResponse answer = answer_history(history, {.method = request.method,
                                                    .path = request.path,
                                                    .query = request.query,
                                                    .tenant = tenant,
                                                    .body = request.body});
  HttpResponse response{.status = answer.status, .body = std::move(answer.body)};
  if (response.body.empty()) response.content_type.clear();
  response.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
  if (!answer.filename.empty()) {
    response.headers.emplace_back("Content-Disposition",
                                  cat("attachment; filename=\"", answer.filename, '"'));
  }
  return response;
}

}  // namespace

void add_web_routes(ApiServer& server) {
  const auto add = [&server](std::string path, const WebAsset* asset) {
    server.router().add("GET", std::move(path),
                        [asset](const std::shared_ptr<Exchange>& exchange) {
                          exchange->send(asset_response(*asset, exchange->request()));
                        },
                        {.access = Access::kOpen});
  };
  for (const WebAsset& asset : web_assets()) add(std::string(asset.path), &asset);
  add("/", find_web_asset("/"));
}

void add_history_routes(ApiServer& server, History& history) {
  const Handler handler = [&server, &history](const std::shared_ptr<Exchange>& exchange) {
    const HttpRequest& request = exchange->request();
    if (request.method == "POST" || request.method == "PATCH") require_json(request);
    // The notes are the I/O thread's; the rest of the request is constant.
    const std::string tenant = request.notes->tenant;
    server.answer_later(exchange, [&history, exchange, tenant] {
      return history_response(history, exchange->request(), tenant);
    });
  };
  for (const char* path : {"/api/conversations", "/api/search", "/api/export"}) {
    server.router().add("GET", path, handler);
  }
  server.router().add("POST", "/api/conversations", handler);
  server.router().add("POST", "/api/import", handler, {.max_body_bytes = kMaxImportBytes});
  for (const char* method : {"GET", "POST", "PATCH", "DELETE"}) {
    server.router().add(method, "/api/conversations/*", handler);
  }
}

}  // namespace axk1
