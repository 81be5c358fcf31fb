#include "bench/draft_bench.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/error.h"

namespace axk1 {
namespace {

struct Kind {
  const char* name;
  bool lookup, mtp, always;
};
constexpr Kind kKinds[] = {{"none", false, false, false},
                           {"lookup", true, false, false},
                           {"mtp", false, true, false},
                           {"both", true, true, false},
                           {"mtp always", false, true, true}};

// Answers of one pass over the requests.
struct Pass {
  std::vector<std::vector<TokenId>> answers;
  double seconds = 0;
  ServiceStats stats;
};

Pass answer_all(Engine& engine, std::span<const DraftRequest> requests, const Kind& kind,
                const DraftBenchOptions& options) {
  size_t longest = 0;
  for (const DraftRequest& r : requests) {
    const size_t most = r.generate.max_tokens ? r.generate.max_tokens : engine.context_length();
    longest = std::max(longest, std::min(engine.context_length(), r.prompt.size() + most));
  }
  ServiceOptions service_options;
  service_options.max_sequences = options.streams;
  service_options.max_queue = requests.size();
  service_options.context_tokens = longest;
  service_options.prefix_cache = false;
  service_options.drafts = kind.lookup || kind.mtp;
  service_options.lookup = kind.lookup;
  service_options.mtp = kind.mtp;
  service_options.always_draft = kind.always;
  service_options.draft_tokens = options.draft_tokens;
  const auto service = make_batching_service(engine, service_options);

  Pass pass;
  pass.answers.resize(requests.size());
  std::mutex mutex;
  std::condition_variable done;
  size_t left = requests.size();
  std::string error;
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < requests.size(); ++i) {
    CompletionInput input;
    input.prompt = requests[i].prompt;
    input.generate = requests[i].generate;
    service->submit(std::move(input), [&, i](CompletionDelta&& delta) {
      std::vector<TokenId>& answer = pass.answers[i];
      answer.insert(answer.end(), delta.ids.begin(), delta.ids.end());
      if (!delta.last()) return;
      const std::lock_guard lock(mutex);
      if (!delta.error.empty()) error = delta.error;
      --left;
      done.notify_one();
    });
  }
  {
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return left == 0; });
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!error.empty()) fail(ErrorCode::kInvalidInput, "a request failed: ", error);
  pass.seconds = seconds.count();
  pass.stats = service->stats();
  return pass;
}

}  // namespace

std::vector<DraftBenchRow> bench_drafts(Engine& engine, std::span<const DraftRequest> requests,
                                        const DraftBenchOptions& options,
                                        const std::function<void(size_t, size_t)>& step) {
  std::vector<Kind> kinds;
  for (const Kind& kind : kKinds) {
    if (!kind.mtp || engine.weights().mtp) kinds.push_back(kind);
  }
  std::vector<DraftBenchRow> rows(kinds.size());
  const size_t total = (options.num_samples + 1) * kinds.size();
  for (size_t sample = 0; sample <= options.num_samples; ++sample) {  // the first warms up
    double none = 0;
    std::vector<std::vector<TokenId>> expected;
    for (size_t k = 0; k < kinds.size(); ++k) {
      Pass pass = answer_all(engine, requests, kinds[k], options);
      if (k == 0) expected = pass.answers;
      if (pass.answers != expected) {
        fail(ErrorCode::kInvalidInput, "answers with drafts \"", kinds[k].name,
             "\" differ from those without");
      }
      DraftBenchRow& row = rows[k];
      row.name = kinds[k].name;
      row.tokens = pass.stats.completion_tokens;
      row.steps = pass.stats.steps;
      row.drafts = pass.stats.draft_tokens;
      row.accepted = pass.stats.accepted_tokens;
      const double speed = static_cast<double>(row.tokens) / pass.seconds;
      if (k == 0) none = speed;
      if (sample > 0) {
        row.tokens_per_second.push_back(speed);
        row.speed_up.push_back(speed / none);
      }
      if (step) step(sample * kinds.size() + k + 1, total);
    }
  }
  return rows;
}

}  // namespace axk1
