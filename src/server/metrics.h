// Prometheus metrics: under the names that dashboards of vLLM and llama-server read, and our own.
// docs/server.md lists them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/completion_service.h"

namespace axk1 {

// Any thread.
class Metrics {
 public:
  Metrics(const std::string& model_name, const std::string& version);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void request_over(std::string_view route, std::string_view method, int status, double seconds);

  void first_token(double seconds);                // after the request came
  void next_tokens(size_t count, double seconds);  // after the ones before
  struct Generation {
    std::string_view finish_reason;  // "stop", "length", "abort", "error"
    size_t prompt_tokens = 0, completion_tokens = 0;
    double seconds = 0;              // from the request to the last token
    double first_token_seconds = 0;  // to the first
  };
  void generation_over(const Generation& generation);

  // Requests that were turned away: "requests", "tokens", "concurrent requests", "overloaded",
  // "draining", "connections", "key".
  void refused(std::string_view reason);
  void log_lines_dropped(uint64_t count);

  struct Moment {
    size_t connections = 0;
    size_t active_requests = 0;
    bool draining = false;
  };
  // The text of GET /metrics.
  std::string text(const ServiceStats& stats, const Moment& moment);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
