// What the server's tests share: a completion service that plays a script, and a client that speaks
// HTTP byte by byte.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/completion_service.h"
#include "server/constraint_cache.h"
#include "server/served_model.h"

namespace axk1::testing {

// Plays a script for every completion, delta by delta, in a thread of its own, all completions in
// turn. While hold() is in force nothing is given out.
class FakeService : public CompletionService {
 public:
  // The deltas of an answer, without usage; a script whose last delta does not end the answer is
  // repeated until it is cancelled.
  using Script = std::function<std::vector<CompletionDelta>(const CompletionInput&)>;

  explicit FakeService(Script script) : script_(std::move(script)), thread_([this] { play(); }) {}
  ~FakeService() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  SubmitResult submit(CompletionInput input, OnDelta on_delta) override {
    const std::lock_guard lock(mutex_);
    if (draining_) return {.refusal = Refusal::kDraining};
    if (max_running_ && live_.size() >= max_running_) {
      return {.refusal = Refusal::kQueueFull, .retry_after_seconds = 7};
    }
    Answer answer;
    answer.deltas = script_(input);
    answer.usage.prompt_tokens = input.prompt.size();
    answer.on_delta = std::move(on_delta);
    live_[++last_id_] = std::move(answer);
    inputs_.push_back(std::move(input));
    changed_.notify_all();
    return {.id = last_id_};
  }
  void cancel(uint64_t id) override {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    found->second.cancelled = true;
    ++cancelled_;
    changed_.notify_all();
  }
  void drain() override {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  bool idle() const override {
    const std::lock_guard lock(mutex_);
    return live_.empty();
  }
  ServiceStats stats() const override {
    const std::lock_guard lock(mutex_);
    return {.running = live_.size(), .kv_blocks = 100, .kv_blocks_used = live_.size()};
  }

  void hold() {
    set([this] { held_ = true; });
  }
  void go() {
    set([this] { held_ = false; });
  }
  void allow_running(size_t most) {
    set([this, most] { max_running_ = most; });
  }
  size_t num_cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }
  size_t num_submitted() const {
    const std::lock_guard lock(mutex_);
    return inputs_.size();
  }
  const CompletionInput& input(size_t index) const {
    const std::lock_guard lock(mutex_);
    auto at = inputs_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(index));
    return *at;
  }

 private:
  struct Answer {
    std::vector<CompletionDelta> deltas;
    size_t next = 0;
    CompletionUsage usage;
    OnDelta on_delta;
    bool cancelled = false;
  };

  void set(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  void play() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      const bool any = std::any_of(live_.begin(), live_.end(), [this](const auto& entry) {
        return entry.second.cancelled || !held_;
      });
      if (!any) {
        changed_.wait(lock);
        continue;
      }
      bool repeats = false;
      for (auto at = live_.begin(); at != live_.end();) {
        Answer& answer = at->second;
        if (held_ && !answer.cancelled) {
          ++at;
          continue;
        }
        CompletionDelta delta;
        if (answer.cancelled) {
          delta.finish_reason = FinishReason::kCancelled;
        } else {
          if (answer.next == answer.deltas.size()) {
            answer.next = 0;
            repeats = true;
          }
          delta = answer.deltas[answer.next++];
        }
        answer.usage.completion_tokens += delta.ids.size();
        delta.usage = answer.usage;
        const bool last = delta.last();
        const OnDelta& call = answer.on_delta;
        call(std::move(delta));
        at = last ? live_.erase(at) : std::next(at);
      }
      if (repeats) {
        lock.unlock();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        lock.lock();
      }
    }
  }

  Script script_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Answer> live_;
  std::list<CompletionInput> inputs_;
  uint64_t last_id_ = 0;
  size_t max_running_ = 0;
  size_t cancelled_ = 0;
  bool held_ = false, draining_ = false, ending_ = false;
  std::thread thread_;
};

// A delta per text, an id each; the last one ends the answer.
inline std::vector<CompletionDelta> deltas_of(const std::vector<std::string>& texts,
                                              FinishReason end = FinishReason::kStop) {
  std::vector<CompletionDelta> deltas;
  for (const std::string& text : texts) {
    CompletionDelta delta;
    delta.text = text;
    delta.ids = {static_cast<TokenId>(deltas.size() + 5)};
    deltas.push_back(std::move(delta));
  }
  deltas.back().finish_reason = end;
  return deltas;
}

// A model's tokenizer and template, without its weights; `dir` is where the shipped model lies.
struct TestModel {
  explicit TestModel(const std::string& dir)
      : tokenizer(Tokenizer::load(dir)), chat_template(ChatTemplate::load(dir)) {
    model.names = {"nano", "alias"};
    model.tokenizer = &tokenizer;
    model.chat_template = &chat_template;
    model.vocab_size = tokenizer.vocab_size();
    model.context_length = 2048;
    model.created = 1'700'000'000;
    model.constraints = std::make_shared<ConstraintCache>(std::make_shared<GrammarVocabulary>(
        tokenizer, std::vector<TokenId>{*tokenizer.find("<|im_end|>")}));
  }
  Tokenizer tokenizer;
  ChatTemplate chat_template;
  ServedModel model;
};

// A TCP connection to 127.0.0.1 that gives up after 20 s of silence.
class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { hang_up(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }

  // Reads until `text` has come since the last call that waited; false when the server ends first.
  bool wait_for(std::string_view text) {
    for (;;) {
      const size_t found = got_.find(text, seen_);
      if (found != std::string::npos) {
        seen_ = found + text.size();
        return true;
      }
      if (!read_some()) return false;
    }
  }
  // Everything until the server closes.
  std::string read_all() {
    while (read_some()) {
    }
    return got_;
  }
  // One response with Content-Length: head and body; what follows stays.
  std::string read_response() {
    size_t head;
    while ((head = got_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some()) return std::exchange(got_, "");
    }
    size_t length = 0;
    if (const size_t at = got_.find("Content-Length: "); at < head) {
      length = std::stoul(got_.substr(at + 16));
    }
    const size_t total = head + 4 + length;
    while (got_.size() < total && read_some()) {
    }
    std::string response = got_.substr(0, total);
    got_.erase(0, total);
    return response;
  }
  const std::string& got() const { return got_; }

 private:
  bool read_some() {
    pollfd waiting = {fd_, POLLIN, 0};
    if (poll(&waiting, 1, 20'000) <= 0) return false;
    char buffer[16384];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    got_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string got_;
  size_t seen_ = 0;
};

inline std::string post_text(const std::string& path, const std::string& body,
                             const std::string& headers = "") {
  return "POST " + path +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

inline std::string get_text(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

// The bodies of chunked pieces joined.
inline std::string unchunked(const std::string& response) {
  std::string out;
  size_t at = response.find("\r\n\r\n") + 4;
  for (;;) {
    const size_t line = response.find("\r\n", at);
    if (line == std::string::npos) return out + "(cut)";
    const size_t size = std::stoul(response.substr(at, line - at), nullptr, 16);
    if (size == 0) return out;
    out += response.substr(line + 2, size);
    at = line + 2 + size + 2;
  }
}

inline std::string body_of(const std::string& response) {
  return response.substr(std::min(response.find("\r\n\r\n") + 4, response.size()));
}

// Waits for what another thread is about to do.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

}  // namespace axk1::testing
