#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "base/text.h"

namespace axk1 {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Labels = std::map<std::string, std::string>;
using Buckets = Histogram::BucketBoundaries;

// vLLM's bounds, with finer ones in front: its dashboards only use ratios of them.
const Buckets kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                             1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kNextToken = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                            0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
const Buckets kWhole = {0.05, 0.1, 0.3, 0.5, 0.8, 1,   1.5, 2,   2.5, 5,    10,  15,
                        20,   30,  40,  50,  60,  120, 240, 480, 960, 1920, 7680};
const Buckets kTokens = {1,    2,    5,    10,    20,    50,    100,    200,   500,
                         1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};
const Buckets kHttp = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300};

double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (!file) return 0;
  long total = 0, resident = 0;
  const int read = std::fscanf(file, "%ld %ld", &total, &resident);
  std::fclose(file);
  return read == 2 ? static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) : 0;
}

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

}  // namespace

struct Metrics::Impl {
  explicit Impl(const std::string& model_name) : model{{"model_name", model_name}} {}

  Gauge& gauge(const char* name, const char* help, const Labels& labels) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  Counter& counter(const char* name, const char* help, const Labels& labels) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  Histogram& histogram(const char* name, const char* help, const Labels& labels,
                       const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                                     buckets);
  }
  // A counter that the service keeps.
  static void follow(Counter& counter, double value) {
    if (value > counter.Value()) counter.Increment(value - counter.Value());
  }

  prometheus::Registry registry;
  Labels model;

  Gauge& running = gauge("vllm:num_requests_running", "Requests being computed.", model);
  Gauge& waiting = gauge("vllm:num_requests_waiting", "Requests waiting to be computed.", model);
  Gauge& kv_usage =
      gauge("vllm:kv_cache_usage_perc", "Share of cache blocks in use, 0 to 1.", model);
  Gauge& kv_usage_old =
      gauge("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc by its older name.", model);
  Counter& prefix_queries =
      counter("vllm:prefix_cache_queries_total", "Prompt tokens looked for in the cache.", model);
  Counter& prefix_hits =
      counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the cache.", model);
  Counter& preemptions = counter("vllm:num_preemptions_total",
                                 "Requests whose cache blocks were taken for others.", model);
  Counter& prompt_tokens = counter("vllm:prompt_tokens_total", "Prompt tokens read.", model);
  Counter& generation_tokens = counter("vllm:generation_tokens_total", "Tokens generated.", model);
  Counter& draft_tokens =
      counter("vllm:spec_decode_num_draft_tokens_total", "Draft tokens proposed.", model);
  Counter& accepted_tokens =
      counter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens accepted.", model);
  prometheus::Family<Counter>& success = prometheus::BuildCounter()
                                             .Name("vllm:request_success_total")
                                             .Help("Requests that ended, by reason.")
                                             .Register(registry);
  Histogram& first_token = histogram("vllm:time_to_first_token_seconds",
                                     "From the request to its first token.", model, kFirstToken);
  Histogram& next_token = histogram("vllm:inter_token_latency_seconds",
                                    "Between tokens of an answer.", model, kNextToken);
  Histogram& next_token_old =
      histogram("vllm:time_per_output_token_seconds",
                "vllm:inter_token_latency_seconds by its older name.", model, kNextToken);
  Histogram& whole = histogram("vllm:e2e_request_latency_seconds",
                               "From the request to its last token.", model, kWhole);
  Histogram& request_prompt =
      histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", model, kTokens);
  Histogram& request_generation = histogram("vllm:request_generation_tokens",
                                            "Tokens generated for a request.", model, kTokens);

  Counter& llama_prompt = counter("llamacpp:prompt_tokens_total", "Prompt tokens read.", {});
  Counter& llama_prompt_seconds =
      counter("llamacpp:prompt_seconds_total", "Seconds from requests to first tokens.", {});
  Counter& llama_predicted = counter("llamacpp:tokens_predicted_total", "Tokens generated.", {});
  Counter& llama_predicted_seconds =
      counter("llamacpp:tokens_predicted_seconds_total", "Seconds from first to last tokens.", {});
  Counter& llama_decodes = counter("llamacpp:n_decode_total", "Steps of the model.", {});
  Gauge& llama_prompt_rate = gauge("llamacpp:prompt_tokens_seconds",
                                   "Prompt tokens per second of a request, on average.", {});
  Gauge& llama_predicted_rate =
      gauge("llamacpp:predicted_tokens_seconds", "Tokens per second of an answer, on average.", {});
  Gauge& llama_processing = gauge("llamacpp:requests_processing", "Requests being computed.", {});
  Gauge& llama_deferred = gauge("llamacpp:requests_deferred", "Requests waiting.", {});
  Gauge& llama_kv = gauge("llamacpp:kv_cache_usage_ratio", "Share of cache blocks in use.", {});

  prometheus::Family<Counter>& http = prometheus::BuildCounter()
                                          .Name("axk1_http_requests_total")
                                          .Help("Answered requests by route, method and status.")
                                          .Register(registry);
  Histogram& http_seconds =
      histogram("axk1_http_request_duration_seconds",
                "From the head of a request to the end of its answer.", {}, kHttp);
  prometheus::Family<Counter>& refused = prometheus::BuildCounter()
                                             .Name("axk1_refused_requests_total")
                                             .Help("Requests turned away, by reason.")
                                             .Register(registry);
  Counter& log_dropped = counter("axk1_access_log_dropped_lines_total",
                                 "Lines that the access log was too slow for.", {});
  Counter& cancelled =
      counter("axk1_cancelled_completions_total", "Completions that were cancelled.", {});
  Counter& failed = counter("axk1_failed_completions_total", "Completions that failed.", {});
  Counter& mtp_draft_tokens = counter("axk1_mtp_draft_tokens_total",
                                      "Draft tokens of multi-token prediction, among all.", {});
  Counter& mtp_accepted_tokens =
      counter("axk1_mtp_accepted_tokens_total", "Of these, accepted.", {});
  Counter& evicted = counter("axk1_prefix_cache_evicted_blocks_total",
                             "Cached blocks that made room for others.", {});
  Gauge& connections = gauge("axk1_http_connections", "Open connections.", {});
  Gauge& active = gauge("axk1_http_requests_active", "Requests without their whole answer.", {});
  Gauge& draining = gauge("axk1_draining", "1 while the server is shutting down.", {});
  Gauge& kv_blocks = gauge("axk1_kv_blocks", "Cache blocks in all.", {});
  Gauge& kv_cached =
      gauge("axk1_kv_blocks_cached", "Cache blocks that only the prefix cache holds.", {});
  Gauge& resident = gauge("process_resident_memory_bytes", "Resident memory.", {});

  std::mutex text_mutex;  // counters that follow the service are read and raised
};

Metrics::Metrics(const std::string& model_name, const std::string& version)
    : impl_(std::make_unique<Impl>(model_name)) {
  impl_->gauge("axk1_build_info", "The version, as a label.", {{"version", version}}).Set(1);
}

Metrics::~Metrics() = default;

void Metrics::request_over(std::string_view route, std::string_view method, int status,
                           double seconds) {
  impl_->http
      .Add(
          {{"route", std::string(route)}, {"method", std::string(method)}, {"status", cat(status)}})
      .Increment();
  impl_->http_seconds.Observe(seconds);
}

void Metrics::first_token(double seconds) {
  impl_->first_token.Observe(seconds);
}

void Metrics::next_tokens(size_t count, double seconds) {
  const double each = seconds / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) {
    impl_->next_token.Observe(each);
    impl_->next_token_old.Observe(each);
  }
}

void Metrics::generation_over(const Generation& generation) {
  Labels labels = impl_->model;
  labels["finished_reason"] = std::string(generation.finish_reason);
  impl_->success.Add(labels).Increment();
  impl_->whole.Observe(generation.seconds);
  impl_->request_prompt.Observe(static_cast<double>(generation.prompt_tokens));
  impl_->request_generation.Observe(static_cast<double>(generation.completion_tokens));
  if (generation.completion_tokens == 0) return;
  impl_->llama_prompt_seconds.Increment(generation.first_token_seconds);
  impl_->llama_predicted_seconds.Increment(generation.seconds - generation.first_token_seconds);
}

void Metrics::refused(std::string_view reason) {
  impl_->refused.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::log_lines_dropped(uint64_t count) {
  impl_->log_dropped.Increment(static_cast<double>(count));
}

std::string Metrics::text(const ServiceStats& stats, const Moment& moment) {
  const std::lock_guard lock(impl_->text_mutex);
  Impl& m = *impl_;
  const auto number = [](auto value) { return static_cast<double>(value); };
  m.running.Set(number(stats.running));
  m.waiting.Set(number(stats.waiting));
  const double usage = ratio(number(stats.kv_blocks_used), number(stats.kv_blocks));
  m.kv_usage.Set(usage);
  m.kv_usage_old.Set(usage);
  Impl::follow(m.prefix_queries, number(stats.prefix_queries_tokens));
  Impl::follow(m.prefix_hits, number(stats.cached_tokens));
  Impl::follow(m.preemptions, number(stats.preemptions));
  Impl::follow(m.prompt_tokens, number(stats.prompt_tokens));
  Impl::follow(m.generation_tokens, number(stats.completion_tokens));
  Impl::follow(m.draft_tokens, number(stats.draft_tokens));
  Impl::follow(m.accepted_tokens, number(stats.accepted_tokens));
  Impl::follow(m.llama_prompt, number(stats.prompt_tokens));
  Impl::follow(m.llama_predicted, number(stats.completion_tokens));
  Impl::follow(m.llama_decodes, number(stats.steps));
  m.llama_prompt_rate.Set(ratio(m.llama_prompt.Value(), m.llama_prompt_seconds.Value()));
  m.llama_predicted_rate.Set(ratio(m.llama_predicted.Value(), m.llama_predicted_seconds.Value()));
  m.llama_processing.Set(number(stats.running));
  m.llama_deferred.Set(number(stats.waiting));
  m.llama_kv.Set(usage);
  Impl::follow(m.cancelled, number(stats.cancelled));
  Impl::follow(m.failed, number(stats.failed));
  Impl::follow(m.mtp_draft_tokens, number(stats.mtp_draft_tokens));
  Impl::follow(m.mtp_accepted_tokens, number(stats.mtp_accepted_tokens));
  Impl::follow(m.evicted, number(stats.prefix_evicted_blocks));
  m.connections.Set(number(moment.connections));
  m.active.Set(number(moment.active_requests));
  m.draining.Set(moment.draining ? 1 : 0);
  m.kv_blocks.Set(number(stats.kv_blocks));
  m.kv_cached.Set(number(stats.kv_blocks_cached));
  m.resident.Set(resident_bytes());
  return prometheus::TextSerializer().Serialize(m.registry.Collect());
}

}  // namespace axk1
