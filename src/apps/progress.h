// How far a long piece of work is, on stderr: one line that is written over on a terminal, a plain
// line now and then otherwise.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace axk1 {

class Progress {
 public:
  // `unit` in the plural, as in "tokens". Nothing is shown before the work has taken a second.
  // `already`: done before, and no part of the rate.
  Progress(std::string label, std::string unit, size_t total, size_t already = 0);
  ~Progress();  // clears the line on a terminal
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note`: shown behind; short.
  void update(size_t done, std::string_view note = {});

  double seconds() const;  // since construction

  // "reading 512/2048 tokens (25 %), 812.5 tokens/s, 2 s left"
  static std::string line(const std::string& label, const std::string& unit, size_t done,
                          size_t total, double seconds, size_t already = 0);

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_, unit_;
  size_t total_, already_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point start_;
  double last_shown_;  // seconds
};

}  // namespace axk1
