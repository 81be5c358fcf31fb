#include "server/page_routes.h"

#include "server/history_api.h"
#include "server/web_assets.h"

namespace axk1 {
namespace {

constexpr size_t kMaxHistoryBody = 64 << 20;  // an import of many conversations

HttpResponse asset_response(const HttpRequest& request) {
  const WebAsset* asset = find_web_asset(request.path);
  if (!asset)
    throw ApiError(404, "not_found", cat("there is nothing at ", printable(request.path)));
  const WebAnswer answer =
      answer_web_asset(*asset, request.header("accept-encoding"), request.header("if-none-match"));
  HttpResponse response;
  response.status = answer.status;
  response.content_type = std::string(asset->content_type);
  response.body = std::string(answer.body);
  response.headers = {{"ETag", answer.etag},
                      {"Cache-Control", std::string(answer.cache_control)},
                      {"Vary", "Accept-Encoding"},
                      {"Content-Security-Policy", std::string(web_content_security_policy())},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"}};
  if (!answer.encoding.empty()) {
    response.headers.emplace_back("Content-Encoding", std::string(answer.encoding));
  }
  return response;
}

HttpResponse history_response(History& history, const HttpRequest& request,
                              const std::string& tenant) {
  HistoryResponse answer = answer_history(history, {.method = request.method,
                                                    .path = request.path,
                                                    .query = request.query,
                                                    .tenant = tenant,
                                                    .body = request.body});
  HttpResponse response;
  response.status = answer.status;
  response.body = std::move(answer.body);
  response.headers = {{"Cache-Control", "no-store"}};
  if (response.status == 204) response.content_type = "";
  if (!answer.filename.empty()) {
    response.headers.emplace_back("Content-Disposition",
                                  cat("attachment; filename=\"", answer.filename, "\""));
  }
  return response;
}

}  // namespace

void add_page_routes(ApiServer& server, History* history) {
  server.router().add(
      "GET", "/*",
      [](const auto& exchange) { exchange->send(asset_response(exchange->request())); },
      {.access = Access::kOpen});
  if (!history) return;
  const auto handler = [&server, history](const std::shared_ptr<Exchange>& exchange) {
    // The notes are the I/O thread's; the request itself does not change any more.
    const std::string tenant = exchange->request().notes->tenant;
    server.answer_later(exchange, [history, exchange, tenant] {
      return history_response(*history, exchange->request(), tenant);
    });
  };
  for (const char* method : {"GET", "POST", "PATCH", "PUT", "DELETE"}) {
    server.router().add(method, "/api/*", handler, {.max_body_bytes = kMaxHistoryBody});
  }
}

}  // namespace axk1
