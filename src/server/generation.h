// From a translated request to an answer on its way: submits to the engine's service, carries
// deltas from its thread to the I/O thread, writes what the AnswerWriter makes of them, and cancels
// when the client leaves.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "server/answer_writer.h"
#include "server/http_message.h"
#include "server/router.h"

namespace axk1 {

// The answer's form for an error of this API.
HttpResponse error_response(const ApiError& error, ErrorForm form, const std::string& request_id);

struct GenerationLimits {
  std::chrono::milliseconds ping_interval{15'000};  // of silence in a stream
  std::chrono::milliseconds request_timeout{0};     // from request to last token; 0: none
};

class Generation;
class Metrics;

// All calls on the I/O thread, except that the service's thread delivers deltas through it.
class GenerationRunner {
 public:
  using Clock = std::chrono::steady_clock;
  using Post = std::function<void(std::function<void()>)>;

  // `post` runs a task on the I/O thread.
  GenerationRunner(CompletionService& service, Metrics& metrics, Post post,
                   GenerationLimits limits);
  // No delta is delivered afterwards, however late the service gives it.
  ~GenerationRunner();
  GenerationRunner(const GenerationRunner&) = delete;
  GenerationRunner& operator=(const GenerationRunner&) = delete;

  // Answers the exchange. Never throws: errors become answers.
  void run(std::shared_ptr<Exchange> exchange, PreparedRequest request, ErrorForm form);

  // Writes pings where a stream has been silent, ends what takes too long.
  void tick(Clock::time_point now);

  // Ends every answer with an error.
  void fail_all(const ApiError& error);

 private:
  friend class Generation;
  struct Mailbox;

  CompletionService& service_;
  Metrics& metrics_;
  GenerationLimits limits_;
  std::shared_ptr<Mailbox> mailbox_;
  std::vector<std::shared_ptr<Generation>> live_;
};

}  // namespace axk1
