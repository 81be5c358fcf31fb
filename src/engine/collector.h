// What tests keep of a completion's deltas.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/completion_service.h"

namespace axk1::testing {

// Outlives the completion. on_delta() may be called once.
class Collector {
 public:
  OnDelta on_delta() {
    return [this](CompletionDelta&& delta) {
      const std::lock_guard lock(mutex_);
      AXK1_CHECK(!last_.last());  // the last one comes once, and nothing after it
      text_ += delta.text;
      ids_.insert(ids_.end(), delta.ids.begin(), delta.ids.end());
      for (auto& step : delta.logprobs) logprobs_.push_back(std::move(step));
      for (auto& step : delta.prompt_logprobs) prompt_logprobs_.push_back(std::move(step));
      ++num_deltas_;
      last_ = std::move(delta);
      changed_.notify_all();
    };
  }

  // Returns after the last delta.
  Collector& wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return last_.last(); });
    return *this;
  }
  void wait_for_ids(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return last_.last() || ids_.size() >= count; });
  }

  const std::string& text() const { return text_; }
  const std::vector<TokenId>& ids() const { return ids_; }
  const std::vector<StepLogprobs>& logprobs() const { return logprobs_; }
  const std::vector<StepLogprobs>& prompt_logprobs() const { return prompt_logprobs_; }
  const CompletionDelta& last() const { return last_; }
  size_t num_deltas() const { return num_deltas_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::vector<TokenId> ids_;
  std::vector<StepLogprobs> logprobs_, prompt_logprobs_;
  CompletionDelta last_;
  size_t num_deltas_ = 0;
};

}  // namespace axk1::testing
