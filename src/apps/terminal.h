// What commands need of the terminal and of the standard streams.
#pragma once

#include <string>
#include <string_view>

namespace axk1 {

// Writes to stdout and flushes. Throws Error(kIo) when that fails (full disk, closed stream).
void print_out(std::string_view text);

// Writes to stderr; failures are ignored.
void print_err(std::string_view text);

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

// Sets LC_CTYPE from the environment, and to C.UTF-8 where that is not a UTF-8 locale, so that the
// C library knows characters and their widths. Nothing else of the locale changes.
void use_utf8_locale();

// Text of a model or a file made safe for a terminal: control characters but newline and tab are
// left out, so that no escape sequence gets through. `text` is whole characters of UTF-8.
std::string without_control_characters(std::string_view text);

// While one lives, Ctrl-C (SIGINT), and SIGTERM if asked for, only set a flag. At most one at a
// time.
class InterruptGuard {
 public:
  enum class Signals { kInterrupt, kInterruptAndTerminate };
  explicit InterruptGuard(Signals signals = Signals::kInterrupt);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool interrupted();
  static void clear();

 private:
  Signals signals_;
};

}  // namespace axk1
