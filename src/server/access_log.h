// One JSON object per request and line: who asked what when, and what came of it. Never the text of
// a prompt or an answer, a query string or a key.
#pragma once

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include "io/json.h"
#include "server/http_message.h"
#include "server/http_server.h"

namespace axk1 {

// The line of one request. `wall_seconds`: when it was over, since 1970.
json::object access_line(const HttpRequest& request, const ExchangeResult& result,
                         double wall_seconds);

// Lines on their way to a file, written by a thread of its own so that a slow disk or pipe stops no
// request. Any thread.
class AccessLog {
 public:
  // Appends to the file; "-" is stderr. Throws Error(kIo).
  explicit AccessLog(const std::string& path);
  ~AccessLog();  // writes what is left
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // False when the line was dropped: too many wait.
  bool write(const json::object& line);

 private:
  void run();

  std::FILE* file_ = nullptr;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::string waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace axk1
