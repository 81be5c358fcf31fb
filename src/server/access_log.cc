#include "server/access_log.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

#include "base/utf8.h"

namespace axk1 {
namespace {

constexpr size_t kMaxWaitingBytes = 8 << 20;

std::string utc_millis(double seconds) {
  const auto whole = static_cast<std::time_t>(std::floor(seconds));
  std::tm parts{};
  gmtime_r(&whole, &parts);
  char text[32], millis[8];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(millis, sizeof millis, ".%03dZ",
                static_cast<int>((seconds - static_cast<double>(whole)) * 1000) % 1000);
  return std::string(text, length) + millis;
}

double millis(double seconds) {
  return std::round(seconds * 1e6) / 1e3;
}

}  // namespace

json::object access_line(const HttpRequest& request, const ExchangeResult& result,
                         double wall_seconds) {
  const ExchangeNotes& notes = *request.notes;
  json::object out;
  out["time"] = utc_millis(wall_seconds);
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) out[name] = text;
  };
  add("request_id", notes.request_id);
  add("trace_id", notes.trace_id);
  add("remote", request.remote);
  add("method", printable(request.method, 20));
  add("path", printable(request.path, 200));
  out["status"] = result.status;
  out["bytes"] = result.bytes;
  out["ms"] = millis(result.seconds);
  if (notes.first_token_seconds >= 0) out["first_token_ms"] = millis(notes.first_token_seconds);
  if (notes.prompt_tokens > 0) {
    out["prompt_tokens"] = notes.prompt_tokens;
    out["cached_tokens"] = notes.cached_tokens;
    out["completion_tokens"] = notes.completion_tokens;
  }
  add("finish_reason", notes.finish_reason);
  add("error", notes.error_code);
  add("tenant", notes.tenant);
  add("key", notes.key_id);
  add("agent", printable(request.header("user-agent"), 100));
  if (result.aborted) out["aborted"] = true;
  return out;
}

AccessLog::AccessLog(const std::string& path) {
  file_ = path == "-" ? stderr : std::fopen(path.c_str(), "ae");
  if (!file_) fail(ErrorCode::kIo, path, ": cannot be written: ", std::strerror(errno));
  thread_ = std::thread([this] { run(); });
}

AccessLog::~AccessLog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ready_.notify_one();
  thread_.join();
  if (file_ != stderr) std::fclose(file_);
}

bool AccessLog::write(const json::object& line) {
  std::string text = json::to_text(line);
  text += '\n';
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() + text.size() > kMaxWaitingBytes) return false;
    waiting_ += text;
  }
  ready_.notify_one();
  return true;
}

void AccessLog::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    std::string lines;
    lines.swap(waiting_);
    const bool last = ending_;
    lock.unlock();
    std::fwrite(lines.data(), 1, lines.size(), file_);
    std::fflush(file_);
    lock.lock();
    if (last && waiting_.empty()) return;
  }
}

}  // namespace axk1
