#include "eval/complete_all.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"

namespace axk1 {
namespace {

// Shared with the callbacks, which may be called after complete_all() has thrown.
struct Board {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<CompletedAnswer> answers;
  std::vector<bool> over;
  size_t done = 0;
  std::string error;
};

OnDelta writer(const std::shared_ptr<Board>& board, size_t index) {
  return [board, index](CompletionDelta&& delta) {
    const std::lock_guard lock(board->mutex);
    CompletedAnswer& answer = board->answers[index];
    answer.ids.insert(answer.ids.end(), delta.ids.begin(), delta.ids.end());
    for (const StepLogprobs& step : delta.logprobs) answer.logprobs.push_back(step.chosen.logprob);
    answer.text += delta.text;
    if (!delta.last()) return;
    if (delta.finish_reason) answer.finish_reason = *delta.finish_reason;
    if (board->error.empty()) board->error = delta.error;
    board->over[index] = true;
    ++board->done;
    board->changed.notify_one();
  };
}

}  // namespace

std::vector<CompletedAnswer> complete_all(CompletionService& service,
                                          std::vector<CompletionInput> inputs,
                                          const std::function<bool(size_t done)>& progress) {
  constexpr std::chrono::milliseconds kLook(200);
  const auto board = std::make_shared<Board>();
  board->answers.resize(inputs.size());
  board->over.resize(inputs.size());
  std::vector<uint64_t> ids;
  const auto cancel_rest = [&] {
    for (size_t i = 0; i < ids.size(); ++i) {
      std::unique_lock lock(board->mutex);
      const bool over = board->over[i];
      lock.unlock();
      if (!over) service.cancel(ids[i]);
    }
    std::unique_lock lock(board->mutex);
    board->changed.wait(lock, [&] { return board->done == ids.size(); });
  };
  bool full = false;  // nothing more is taken on before one of them is done
  size_t seen = 0;    // done, when last looked at
  while (seen < inputs.size()) {
    while (!full && ids.size() < inputs.size()) {
      SubmitResult result;
      const size_t index = ids.size();
      try {
        // A refused input would be lost: the service gets a copy while its queue may be full.
        CompletionInput copy{.prompt = inputs[index].prompt,
                             .generate = inputs[index].generate,
                             .constraint = nullptr,
                             .tenant = inputs[index].tenant,
                             .priority = inputs[index].priority};
        if (inputs[index].constraint) copy.constraint = inputs[index].constraint->clone();
        result = service.submit(std::move(copy), writer(board, index));
      } catch (const Error&) {
        cancel_rest();
        throw;
      }
      if (result.id) {
        ids.push_back(*result.id);
      } else if (result.refusal == Refusal::kDraining) {
        cancel_rest();
        fail(ErrorCode::kInvalidInput, "completions: the service takes no more of them on");
      } else {
        full = true;
      }
    }
    std::unique_lock lock(board->mutex);
    board->changed.wait_for(lock, kLook, [&] { return board->done > seen; });
    full = full && board->done == seen;
    seen = board->done;
    const std::string error = board->error;
    lock.unlock();
    if (!error.empty()) {
      cancel_rest();
      fail(ErrorCode::kInvalidInput, "completion: ", error);
    }
    if (progress && !progress(seen)) {
      cancel_rest();
      return {};
    }
  }
  return std::move(board->answers);
}

}  // namespace axk1
