#include "server/generation.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "server/metrics.h"
#include "server/sse.h"

namespace axk1 {

HttpResponse error_response(const ApiError& error, ErrorForm form, const std::string& request_id) {
  HttpResponse response;
  if (form == ErrorForm::kAnthropic) {
    response.status = anthropic_status(error);
    response.body = json::to_text(anthropic_error(error, request_id));
  } else {
    response.status = error.status();
    response.body = json::to_text(openai_error(error));
  }
  if (error.retry_after_seconds() > 0) {
    response.headers.emplace_back(
        "Retry-After", cat(static_cast<int64_t>(std::ceil(error.retry_after_seconds()))));
  }
  return response;
}

// Deltas on their way from the service's thread to the I/O thread: those that come before the I/O
// thread looks are carried over together.
struct GenerationRunner::Mailbox : std::enable_shared_from_this<Mailbox> {
  struct Item {
    std::shared_ptr<Generation> generation;
    size_t choice;
    CompletionDelta delta;
  };

  explicit Mailbox(Post the_post) : post(std::move(the_post)) {}

  void push(Item item);
  void deliver();
  void close() {
    const std::lock_guard lock(mutex);
    closed = true;
  }

  std::mutex mutex;
  std::vector<Item> items;
  bool closed = false;
  Post post;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  using Clock = GenerationRunner::Clock;

  Generation(GenerationRunner& runner, std::shared_ptr<Exchange> exchange, PreparedRequest request,
             ErrorForm form)
      : runner_(runner),
        exchange_(std::move(exchange)),
        request_(std::move(request)),
        form_(form),
        ids_(request_.inputs.size()),
        ended_(request_.inputs.size()),
        usage_(request_.inputs.size()),
        last_token_(request_.inputs.size()) {}

  bool over() const { return over_; }

  void begin() {
    exchange_->on_closed([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->client_left();
    });
    for (size_t i = 0; i < ids_.size() && !over_; ++i) {
      try {
        submit(i);
      } catch (const std::exception& error) {
        fail(api_error_of(error));
      }
    }
    request_.inputs.clear();
    if (over_ || !request_.stream) return;
    HttpResponse head;
    head.content_type = kSseContentType;
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    request_.writer->begin(head.body);
    started_ = true;
    last_write_ = Clock::now();
    exchange_->start(std::move(head));
  }

  void take(size_t choice, CompletionDelta&& delta) {
    if (over_ || ended_[choice]) return;
    ExchangeNotes& notes = *exchange_->request().notes;
    usage_[choice] = delta.usage;
    if (!delta.ids.empty()) count_tokens(choice, delta.ids.size());
    if (!delta.error.empty()) {
      return fail(ApiError(500, "generation_failed", delta.error));
    }
    if (delta.finish_reason == FinishReason::kCancelled) {
      return fail(
          ApiError(503, "cancelled", "the server ended this answer", {.retry_after_seconds = 1}));
    }
    const bool last = delta.last();
    if (last) notes.finish_reason = finish_reason_name(*delta.finish_reason);
    out_.clear();
    try {
      request_.writer->push(choice, std::move(delta), out_);
    } catch (const std::exception& error) {
      return fail(api_error_of(error));
    }
    if (last) {
      ended_[choice] = true;
      ++num_ended_;
    }
    const bool all = num_ended_ == ended_.size();
    if (!request_.stream) {
      if (all) send_whole();
      return;
    }
    if (all) request_.writer->end(out_);
    if (!out_.empty()) {
      last_write_ = Clock::now();
      exchange_->write(out_);
    }
    if (all && !over_) {
      exchange_->finish();
      end();
    }
  }

  void fail(const ApiError& error) {
    if (over_) return;
    exchange_->request().notes->error_code = error.api_code();
    exchange_->request().notes->finish_reason = "error";
    if (started_) {
      out_.clear();
      request_.writer->fail(error, out_);
      exchange_->write(out_);
      if (!over_) exchange_->finish();
    } else {
      exchange_->send(error_response(error, form_, exchange_->request().notes->request_id));
    }
    end();
  }

  void tick(Clock::time_point now) {
    if (over_) return;
    const GenerationLimits& limits = runner_.limits_;
    if (limits.request_timeout.count() > 0 &&
        now - exchange_->request().received > limits.request_timeout) {
      return fail(ApiError(504, "timeout", "the answer took longer than this server allows"));
    }
    if (started_ && now - last_write_ > limits.ping_interval) {
      out_.clear();
      request_.writer->ping(out_);
      last_write_ = now;
      exchange_->write(out_);
    }
  }

 private:
  void submit(size_t index) {
    // Deltas that the service gives before submit returns wait in the mailbox.
    const SubmitResult result = runner_.service_.submit(
        std::move(request_.inputs[index]),
        [mailbox = runner_.mailbox_, self = shared_from_this(), index](CompletionDelta&& delta) {
          mailbox->push({self, index, std::move(delta)});
        });
    if (result.id) {
      ids_[index] = result.id;
      return;
    }
    const bool draining = result.refusal == Refusal::kDraining;
    runner_.metrics_.refused(draining ? "draining" : "overloaded");
    fail(ApiError(503, draining ? "draining" : "overloaded",
                  draining ? "the server is shutting down" : "too many requests wait already",
                  {.retry_after_seconds = std::max(1.0, result.retry_after_seconds)}));
  }

  void count_tokens(size_t choice, size_t count) {
    const auto now = Clock::now();
    ExchangeNotes& notes = *exchange_->request().notes;
    if (notes.first_token_seconds < 0) {
      notes.first_token_seconds = seconds_since_request(now);
      runner_.metrics_.first_token(notes.first_token_seconds);
    }
    Clock::time_point& last = last_token_[choice];
    if (last != Clock::time_point()) {
      runner_.metrics_.next_tokens(count, std::chrono::duration<double>(now - last).count());
    }
    last = now;
  }

  double seconds_since_request(Clock::time_point now) const {
    return std::chrono::duration<double>(now - exchange_->request().received).count();
  }

  void send_whole() {
    HttpResponse response;
    try {
      response.body = json::to_text(request_.writer->whole());
    } catch (const std::exception& error) {
      return fail(api_error_of(error));
    }
    exchange_->send(std::move(response));
    end();
  }

  void client_left() {
    if (over_) return;
    exchange_->request().notes->finish_reason = "abort";
    end();
  }

  // Nothing is written any more; what still runs is cancelled.
  void end() {
    if (over_) return;
    over_ = true;
    ExchangeNotes& notes = *exchange_->request().notes;
    notes.prompt_tokens = request_.prompt_tokens;
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] && !ended_[i]) runner_.service_.cancel(*ids_[i]);
      notes.completion_tokens += usage_[i].completion_tokens;
      notes.cached_tokens = std::max(notes.cached_tokens, usage_[i].cached_tokens);
    }
    if (notes.finish_reason.empty()) notes.finish_reason = "error";
    runner_.metrics_.generation_over(
        {.finish_reason = notes.finish_reason,
         .prompt_tokens = notes.prompt_tokens,
         .completion_tokens = notes.completion_tokens,
         .seconds = seconds_since_request(Clock::now()),
         .first_token_seconds = std::max(notes.first_token_seconds, 0.0)});
  }

  GenerationRunner& runner_;
  std::shared_ptr<Exchange> exchange_;
  PreparedRequest request_;
  ErrorForm form_;
  std::vector<std::optional<uint64_t>> ids_;
  std::vector<bool> ended_;
  std::vector<CompletionUsage> usage_;
  std::vector<Clock::time_point> last_token_;
  size_t num_ended_ = 0;
  bool started_ = false;  // the head of a stream was given
  bool over_ = false;
  Clock::time_point last_write_;
  std::string out_;
};

void GenerationRunner::Mailbox::push(Item item) {
  const std::lock_guard lock(mutex);
  if (closed) return;
  items.push_back(std::move(item));
  if (items.size() > 1) return;  // a delivery is under way
  post([self = shared_from_this()] { self->deliver(); });
}

void GenerationRunner::Mailbox::deliver() {
  std::vector<Item> taken;
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    taken.swap(items);
  }
  for (Item& item : taken) item.generation->take(item.choice, std::move(item.delta));
}

GenerationRunner::GenerationRunner(CompletionService& service, Metrics& metrics, Post post,
                                   GenerationLimits limits)
    : service_(service),
      metrics_(metrics),
      limits_(limits),
      mailbox_(std::make_shared<Mailbox>(std::move(post))) {}

GenerationRunner::~GenerationRunner() {
  mailbox_->close();
}

void GenerationRunner::run(std::shared_ptr<Exchange> exchange, PreparedRequest request,
                           ErrorForm form) {
  const auto generation =
      std::make_shared<Generation>(*this, std::move(exchange), std::move(request), form);
  generation->begin();
  if (!generation->over()) live_.push_back(generation);
}

void GenerationRunner::tick(Clock::time_point now) {
  for (const auto& generation : live_) generation->tick(now);
  std::erase_if(live_, [](const auto& generation) { return generation->over(); });
}

void GenerationRunner::fail_all(const ApiError& error) {
  for (const auto& generation : live_) generation->fail(error);
  live_.clear();
}

}  // namespace axk1
