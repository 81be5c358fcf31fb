// Per-key limits on requests and tokens per minute and on requests at once: token buckets that hold
// a minute's worth, so that a quiet minute may be followed by a burst of as much.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "server/api_keys.h"
#include "server/http_message.h"

namespace axk1 {

class TokenBucket {
 public:
  explicit TokenBucket(double per_minute) : capacity_(per_minute), level_(per_minute) {}

  // Seconds until `amount` is there; 0: now. An amount above the capacity needs a full bucket.
  double wait_for(double amount, double now);
  void take(double amount, double now);  // the level may fall below 0
  double level(double now);
  double seconds_to_full(double now);
  double capacity() const { return capacity_; }

 private:
  void refill(double now);

  double capacity_;
  double level_;
  double last_ = 0;
};

// One thread at a time. `now` is seconds on a clock that never goes back.
class RateLimiter {
 public:
  // Counts a request. What it returns, if anything, is why not.
  struct Refusal {
    const char* what;  // "requests", "tokens", "concurrent requests"
    double retry_after_seconds;
  };
  std::optional<Refusal> begin(const ApiKey& key, double now);

  // Asked before the engine reads the prompt; takes its tokens.
  std::optional<Refusal> take_prompt(const std::string& key_id, size_t tokens, double now);

  // The request that begin() let in is over; its answer had so many tokens.
  void end(const std::string& key_id, size_t answer_tokens, double now);

  // What is left, in the headers of OpenAI's API or of Anthropic's. `wall_seconds` is now since
  // 1970, for those that name a time.
  HttpHeaders openai_headers(const std::string& key_id, double now);
  HttpHeaders anthropic_headers(const std::string& key_id, double now, int64_t wall_seconds);

 private:
  struct State {
    KeyLimits limits;
    std::optional<TokenBucket> requests, tokens;
    int64_t running = 0;
  };
  State& state_of(const ApiKey& key);

  std::unordered_map<std::string, State> states_;
};

}  // namespace axk1
