#include "apps/progress.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "apps/terminal.h"
#include "base/text.h"

namespace axk1 {
namespace {

constexpr double kTerminalInterval = 0.2;  // seconds between two lines
constexpr double kPlainInterval = 10;

std::string one_decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string duration(double seconds) {
  const auto whole = static_cast<uint64_t>(std::ceil(seconds));
  if (whole < 60) return cat(whole, " s");
  if (whole < 3600) return cat(whole / 60, " min ", whole % 60, " s");
  return cat(whole / 3600, " h ", whole / 60 % 60, " min");
}

}  // namespace

Progress::Progress(std::string label, std::string unit, size_t total, size_t already)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      already_(already),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      last_shown_(1 - (terminal_ ? kTerminalInterval : kPlainInterval)) {}

Progress::~Progress() {
  if (shown_ && terminal_) print_err("\r\x1b[K");
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::update(size_t done, std::string_view note) {
  const double now = seconds();
  if (now - last_shown_ < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
  last_shown_ = now;
  shown_ = true;
  const std::string text = line(label_, unit_, done, total_, now, already_) + std::string(note);
  print_err(terminal_ ? cat("\r", text, "\x1b[K") : cat(text, "\n"));
}

std::string Progress::line(const std::string& label, const std::string& unit, size_t done,
                           size_t total, double seconds, size_t already) {
  std::string text = cat(label, " ", done, "/", total, " ", unit);
  if (total) text += cat(" (", done * 100 / total, " %)");
  if (seconds > 0 && done > already) {
    const double rate = static_cast<double>(done - already) / seconds;
    text += cat(", ", one_decimal(rate), " ", unit, "/s");
    if (done < total) {
      text += cat(", ", duration(static_cast<double>(total - done) / rate), " left");
    }
  }
  return text;
}

}  // namespace axk1
