#include "server/api_server.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <mutex>
#include <random>

#include "base/rng.h"
#include "server/anthropic_messages.h"
#include "server/metrics.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openai_responses.h"
#include "server/rate_limits.h"
#include "server/text_endpoints.h"
#include "server/worker_pool.h"

namespace axk1 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxIdBytes = 128;

std::string hex(uint64_t number) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out(16, '0');
  for (size_t i = 16; i-- > 0; number >>= 4) out[i] = kDigits[number & 15];
  return out;
}

bool is_plain_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxIdBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == '.' || c == ':';
         });
}

// W3C Trace Context level 1, section 3.2: version-traceid-parentid-flags in lower-case hex.
bool is_traceparent(std::string_view text) {
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (text.size() > 55 && (text.substr(0, 2) == "00" || text[55] != '-')) return false;
  for (size_t i = 0; i < 55; ++i) {
    if (i == 2 || i == 35 || i == 52) continue;
    if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) return false;
  }
  return text.substr(0, 2) != "ff" && text.substr(3, 32) != std::string(32, '0') &&
         text.substr(36, 16) != std::string(16, '0');
}

bool is_json_type(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  const size_t end = type.find_last_not_of(" \t");
  return end != std::string_view::npos &&
         equal_ignoring_case(type.substr(0, end + 1), "application/json");
}

double steady_seconds() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

HttpResponse json_response(const json::object& body) {
  HttpResponse response;
  response.body = json::to_text(body);
  return response;
}

}  // namespace

struct ApiServer::Impl : HttpApp {
  Impl(const ServedModel& the_model, CompletionService& the_service,
       const ApiServerOptions& the_options)
      : model(the_model),
        service(the_service),
        options(the_options),
        rng(std::random_device{}() * 0x100000001ull + std::random_device{}()),
        metrics(model.names.front(), options.version),
        http(options.http, *this),
        generations(
            service, metrics, [this](std::function<void()> task) { http.post(std::move(task)); },
            options.generation),
        workers(options.worker_threads) {
    add_routes();
  }

  void add_routes();
  using Prepare = PreparedRequest(const json::value&, const RequestScope&);
  using TextEndpoint = json::object(const json::value&, const ServedModel&);
  void add_json(const char* path, Prepare* prepare, ErrorForm form = ErrorForm::kOpenAi);
  void add_text(const char* path, TextEndpoint* endpoint, ErrorForm form = ErrorForm::kOpenAi);
  void start_generation(const std::shared_ptr<Exchange>& exchange, PreparedRequest request,
                        ErrorForm form);
  ApiError rate_limit_error(const RateLimiter::Refusal& refusal);
  std::optional<ApiError> check_key(const HttpRequest& head, const Route& route);
  RequestScope scope_of(const HttpRequest& request);
  void answer_later(const std::shared_ptr<Exchange>& exchange, std::function<HttpResponse()> work);
  void send_error(Exchange& exchange, const std::exception& error, ErrorForm form);

  Admission admit(HttpRequest& head) override;
  void handle(std::shared_ptr<Exchange> exchange) override;
  HttpResponse refusal(const HttpRequest& head, int status, std::string_view why) override;
  void complete_head(const HttpRequest& request, HttpResponse& head) override;
  void over(const HttpRequest& request, const ExchangeResult& result) override;
  void tick() override;
  void interrupted() override;

  Admission refuse(const HttpRequest& head, const ApiError& error);
  ErrorForm form_of(const HttpRequest& request) const;

  const ServedModel& model;
  CompletionService& service;
  ApiServerOptions options;
  Rng rng;
  Metrics metrics;
  RateLimiter limiter;
  Router router;
  HttpServer http;
  GenerationRunner generations;
  uint64_t ticks = 0;
  bool draining = false;  // not ready: a signal came
  bool drained = false;   // the service takes nothing new
  Clock::time_point drain_start;
  ApiServer::End end = ApiServer::End::kDrained;
  WorkerPool workers;  // last: its tasks use the others
};

void ApiServer::Impl::add_routes() {
  const RouteOptions open{.access = Access::kOpen};
  router.add(
      "GET", "/health",
      [](const auto& exchange) {
        exchange->send(json_response({{"status", "ok"}}));
      },
      open);
  router.add(
      "GET", "/ready",
      [this](const auto& exchange) {
        HttpResponse response = json_response({{"status", draining ? "draining" : "ready"}});
        if (draining) response.status = 503;
        exchange->send(std::move(response));
      },
      open);
  router.add(
      "GET", "/version",
      [this](const auto& exchange) {
        exchange->send(json_response({{"version", options.version}}));
      },
      open);
  router.add(
      "GET", "/metrics",
      [this](const auto& exchange) {
        exchange->send({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = metrics.text(service.stats(), {.connections = http.connections(),
                                                               .active_requests = http.active(),
                                                               .draining = draining})});
      },
      {.access = options.open_metrics ? Access::kOpen : Access::kKey});
  router.add("GET", "/v1/models",
             [this](const auto& exchange) { exchange->send(json_response(models_json(model))); });
  router.add("GET", "/v1/models/*", [this](const auto& exchange) {
    const std::string_view path = exchange->request().path;
    exchange->send(json_response(model_json(model, path.substr(std::strlen("/v1/models/")))));
  });
  add_text("/tokenize", tokenize);
  add_text("/detokenize", detokenize);
  add_text("/apply-template", apply_template);
  add_json("/v1/chat/completions", prepare_chat);
  add_json("/v1/completions", prepare_completions);
  add_json("/v1/score", prepare_score);
  add_json("/v1/responses", prepare_responses);
  add_json("/v1/messages", prepare_messages, ErrorForm::kAnthropic);
  add_text("/v1/messages/count_tokens", count_message_tokens, ErrorForm::kAnthropic);
}

// A POST whose JSON body is answered without the engine.
void ApiServer::Impl::add_text(const char* path, TextEndpoint* endpoint, ErrorForm form) {
  const auto handler = [this, endpoint](const std::shared_ptr<Exchange>& exchange) {
    answer_later(exchange, [this, endpoint, exchange] {
      const json::value body = json::parse(exchange->request().body, "request");
      return json_response(endpoint(body, model));
    });
  };
  router.add("POST", path, handler, {.errors = form, .json_body = true});
}

// A POST whose JSON body becomes completions.
void ApiServer::Impl::add_json(const char* path, Prepare* prepare, ErrorForm form) {
  const auto handler = [this, prepare, form](const std::shared_ptr<Exchange>& exchange) {
    const RequestScope scope = scope_of(exchange->request());
    workers.post([this, exchange, scope, prepare, form] {
      try {
        const json::value body = json::parse(exchange->request().body, "request");
        const auto prepared = std::make_shared<PreparedRequest>(prepare(body, scope));
        http.post([this, exchange, prepared, form] {
          start_generation(exchange, std::move(*prepared), form);
        });
      } catch (const std::exception& error) {
        const ApiError answer = api_error_of(error);
        http.post([this, exchange, answer, form] { send_error(*exchange, answer, form); });
      }
    });
  };
  router.add("POST", path, handler, {.errors = form, .json_body = true});
}

void ApiServer::Impl::start_generation(const std::shared_ptr<Exchange>& exchange,
                                       PreparedRequest request, ErrorForm form) {
  if (exchange->closed()) return;
  const ExchangeNotes& notes = *exchange->request().notes;
  if (const auto refusal =
          limiter.take_prompt(notes.key_id, request.prompt_tokens, steady_seconds())) {
    return send_error(*exchange, rate_limit_error(*refusal), form);
  }
  generations.run(exchange, std::move(request), form);
}

ApiError ApiServer::Impl::rate_limit_error(const RateLimiter::Refusal& refusal) {
  metrics.refused(refusal.what);
  return ApiError(429, "rate_limit_exceeded",
                  cat("this key's limit on ", refusal.what, " is reached"),
                  {.retry_after_seconds = std::max(0.001, refusal.retry_after_seconds)});
}

RequestScope ApiServer::Impl::scope_of(const HttpRequest& request) {
  return {.model = &model,
          .limits = options.limits,
          .tenant = request.notes->tenant,
          .id = hex(rng.next()),
          .now = std::time(nullptr),
          .seed = rng.next() >> 32};
}

void ApiServer::Impl::answer_later(const std::shared_ptr<Exchange>& exchange,
                                   std::function<HttpResponse()> work) {
  workers.post([this, exchange, work = std::move(work)] {
    try {
      const auto response = std::make_shared<HttpResponse>(work());
      http.post([exchange, response] { exchange->send(std::move(*response)); });
    } catch (const std::exception& error) {
      const ApiError answer = api_error_of(error);
      http.post([this, exchange, answer] {
        send_error(*exchange, answer, form_of(exchange->request()));
      });
    }
  });
}

void ApiServer::Impl::send_error(Exchange& exchange, const std::exception& error, ErrorForm form) {
  const ApiError answer = api_error_of(error);
  ExchangeNotes& notes = *exchange.request().notes;
  notes.error_code = answer.api_code();
  exchange.send(error_response(answer, form, notes.request_id));
}

ErrorForm ApiServer::Impl::form_of(const HttpRequest& request) const {
  return request.path.starts_with("/v1/messages") ? ErrorForm::kAnthropic : ErrorForm::kOpenAi;
}

HttpApp::Admission ApiServer::Impl::refuse(const HttpRequest& head, const ApiError& error) {
  head.notes->error_code = error.api_code();
  return {.refusal = error_response(error, form_of(head), head.notes->request_id)};
}

HttpApp::Admission ApiServer::Impl::admit(HttpRequest& head) {
  ExchangeNotes& notes = *head.notes;
  const std::string_view id = head.header("x-request-id");
  notes.request_id = is_plain_id(id) ? std::string(id) : cat("req_", hex(rng.next()));
  if (const std::string_view trace = head.header("traceparent"); is_traceparent(trace)) {
    notes.trace_id = std::string(trace.substr(3, 32));
  }
  const Router::Match match = router.find(head.method, head.path);
  notes.route = match.route ? match.route->path : "";
  notes.headers = cors_headers(options.origins, head);
  if (const std::string why = origin_refusal(options.origins, head); !why.empty()) {
    return refuse(head, ApiError(403, "origin_not_allowed", why));
  }
  if (match.allowed.empty() && head.method != "OPTIONS") {
    return refuse(head,
                  ApiError(404, "not_found", cat("there is nothing at ", printable(head.path))));
  }
  if (head.method == "OPTIONS") {
    HttpResponse response{.status = 204, .content_type = ""};
    std::string allow = "OPTIONS";
    for (const std::string& method : match.allowed) allow += ", " + method;
    response.headers = preflight_headers(options.origins, head, allow);
    response.headers.emplace_back("Allow", allow);
    return {.refusal = std::move(response)};
  }
  if (!match.route) {
    std::string allow;
    for (const std::string& method : match.allowed) allow += (allow.empty() ? "" : ", ") + method;
    Admission out = refuse(head, ApiError(405, "method_not_allowed",
                                          cat(printable(head.method), " is not for ",
                                              printable(head.path), "; it takes ", allow)));
    out.refusal->headers.emplace_back("Allow", allow);
    return out;
  }
  if (match.route->options.json_body) {
    const std::string_view type = head.header("content-type");
    const std::string_view encoding = head.header("content-encoding");
    if (!type.empty() && !is_json_type(type)) {
      return refuse(head, ApiError(415, "unsupported_media_type",
                                   cat("found content-type ", printable(type),
                                       ", expected application/json")));
    }
    if (!encoding.empty() && !equal_ignoring_case(encoding, "identity")) {
      return refuse(
          head, ApiError(415, "unsupported_encoding",
                         cat("found content-encoding ", printable(encoding), ", expected none")));
    }
  }
  if (const auto error = check_key(head, *match.route)) return refuse(head, *error);
  return {.max_body_bytes = match.route->options.max_body_bytes};
}

// Who asks, and whether it may now.
std::optional<ApiError> ApiServer::Impl::check_key(const HttpRequest& head, const Route& route) {
  if (!options.keys || route.options.access == Access::kOpen) return std::nullopt;
  // OpenAI's clients send a bearer token, Anthropic's x-api-key.
  std::string_view secret = head.header("x-api-key");
  const std::string_view authorization = head.header("authorization");
  if (authorization.size() > 7 && equal_ignoring_case(authorization.substr(0, 7), "bearer ")) {
    secret = authorization.substr(7);
  }
  const auto key = secret.empty() ? nullptr : options.keys->find(secret, std::time(nullptr));
  if (!key) {
    metrics.refused("key");
    return ApiError(401, "invalid_api_key",
                    secret.empty() ? "an API key is needed: Authorization: Bearer KEY"
                                   : "the API key is not valid here");
  }
  ExchangeNotes& notes = *head.notes;
  notes.key_id = key->id;
  notes.tenant = key->tenant;
  if (!route.options.json_body) return std::nullopt;
  if (const auto refusal = limiter.begin(*key, steady_seconds())) return rate_limit_error(*refusal);
  notes.counted = true;
  return std::nullopt;
}

void ApiServer::Impl::handle(std::shared_ptr<Exchange> exchange) {
  const HttpRequest& request = exchange->request();
  const Route* route = router.find(request.method, request.path).route;
  try {
    route->handler(exchange);
  } catch (const std::exception& error) {
    send_error(*exchange, error, route->options.errors);
  }
}

HttpResponse ApiServer::Impl::refusal(const HttpRequest& head, int status, std::string_view why) {
  const char* code = status == 408   ? "request_timeout"
                     : status == 413 ? "request_too_large"
                     : status == 431 ? "headers_too_large"
                     : status == 503 ? "overloaded"
                                     : "bad_request";
  head.notes->error_code = code;
  if (head.notes->request_id.empty()) head.notes->request_id = cat("req_", hex(rng.next()));
  return error_response(ApiError(status, code, std::string(why)), form_of(head),
                        head.notes->request_id);
}

void ApiServer::Impl::complete_head(const HttpRequest& request, HttpResponse& head) {
  const ExchangeNotes& notes = *request.notes;
  if (!notes.request_id.empty()) {
    head.headers.emplace_back("x-request-id", notes.request_id);
    if (form_of(request) == ErrorForm::kAnthropic) {
      head.headers.emplace_back("request-id", notes.request_id);
    }
  }
  if (!notes.trace_id.empty()) {
    head.headers.emplace_back("traceparent", std::string(request.header("traceparent")));
  }
  head.headers.insert(head.headers.end(), notes.headers.begin(), notes.headers.end());
  if (notes.key_id.empty()) return;
  const HttpHeaders limits =
      form_of(request) == ErrorForm::kAnthropic
          ? limiter.anthropic_headers(notes.key_id, steady_seconds(), std::time(nullptr))
          : limiter.openai_headers(notes.key_id, steady_seconds());
  head.headers.insert(head.headers.end(), limits.begin(), limits.end());
}

void ApiServer::Impl::over(const HttpRequest& request, const ExchangeResult& result) {
  const ExchangeNotes& notes = *request.notes;
  if (notes.counted) limiter.end(notes.key_id, notes.completion_tokens, steady_seconds());
  metrics.request_over(notes.route, notes.route.empty() ? "" : request.method, result.status,
                       result.seconds);
  if (!options.access_log) return;
  const double wall =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (!options.access_log->write(access_line(request, result, wall))) metrics.log_lines_dropped(1);
}

void ApiServer::Impl::tick() {
  const auto now = Clock::now();
  generations.tick(now);
  if (options.keys && ++ticks % 10 == 0) options.keys->refresh();
  if (!draining) return;
  if (!drained && now - drain_start >= options.drain_grace) {
    drained = true;
    service.drain();
  }
  if (drained && http.stop_if_quiet()) return;
  if (now - drain_start >= options.drain_limit) {
    end = ApiServer::End::kCutOff;
    generations.fail_all(ApiError(503, "draining", "the server is shutting down"));
    http.stop();
  }
}

void ApiServer::Impl::interrupted() {
  if (draining) {
    end = ApiServer::End::kCutOff;
    http.stop();
    return;
  }
  draining = true;
  drain_start = Clock::now();
  http.close_after_answers();
  tick();
}

ApiServer::ApiServer(const ServedModel& model, CompletionService& service,
                     const ApiServerOptions& options)
    : impl_(std::make_unique<Impl>(model, service, options)) {
  impl_->http.catch_signals();  // from when the address is known: one may come before run()
}

ApiServer::~ApiServer() = default;

Router& ApiServer::router() {
  return impl_->router;
}

void ApiServer::answer_later(std::shared_ptr<Exchange> exchange,
                             std::function<HttpResponse()> work) {
  impl_->answer_later(exchange, std::move(work));
}

void ApiServer::post(std::function<void()> task) {
  impl_->http.post(std::move(task));
}

uint16_t ApiServer::port() const {
  return impl_->http.port();
}

std::string ApiServer::url() const {
  return impl_->http.url();
}

ApiServer::End ApiServer::run() {
  impl_->http.run();
  return impl_->end;
}

void ApiServer::shut_down() {
  impl_->http.post([this] { impl_->interrupted(); });
}

}  // namespace axk1
