// The HTTP server of a model: its routes, who may use them, and its life from the first connection
// to the last answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/completion_service.h"
#include "server/access_log.h"
#include "server/api_keys.h"
#include "server/generation.h"
#include "server/http_server.h"
#include "server/origin_rules.h"
#include "server/router.h"
#include "server/served_model.h"

namespace axk1 {

struct ApiServerOptions {
  HttpServerOptions http;
  GenerationLimits generation;
  ApiLimits limits;
  std::string version;
  OriginRules origins;
  ApiKeys* keys = nullptr;          // null: nobody needs a key; outlives the server, its alone
  AccessLog* access_log = nullptr;  // null: none; outlives the server
  bool open_metrics = false;        // /metrics needs no key
  size_t worker_threads = 2;        // that translate requests
  // After the first signal: how long new requests are still taken (until load balancers have seen
  // /ready), and how long running ones may go on.
  std::chrono::milliseconds drain_grace{500};
  std::chrono::milliseconds drain_limit{60'000};
};

class ApiServer {
 public:
  // Listens at once. `model` and `service` must outlive it; it drains the service when it ends.
  ApiServer(const ServedModel& model, CompletionService& service, const ApiServerOptions& options);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // For further routes; before run().
  Router& router();

  // For handlers of further routes. Any thread: `work` runs on a worker thread, what it returns or
  // throws is sent.
  void answer_later(std::shared_ptr<Exchange> exchange, std::function<HttpResponse()> work);
  // Any thread: runs on the I/O thread.
  void post(std::function<void()> task);

  uint16_t port() const;
  std::string url() const;

  enum class End {
    kDrained,  // every request was answered
    kCutOff,   // the drain limit passed, or a second signal came: the rest was dropped
  };
  // Serves on the calling thread until SIGTERM or SIGINT, or shut_down(), and the drain after it.
  End run();

  // Any thread: what SIGTERM does. The second call ends at once.
  void shut_down();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
