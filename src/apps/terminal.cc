#include "apps/terminal.h"

#include <langinfo.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

// A signal handler reaches nothing but static storage.
volatile std::sig_atomic_t interrupt_flag = 0;
struct sigaction previous_interrupt, previous_terminate;
bool guarded = false;

extern "C" void note_interrupt(int) {
  interrupt_flag = 1;
}

}  // namespace

void print_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail(ErrorCode::kIo, "standard output: ", std::strerror(errno));
  }
}

void print_err(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool stdin_is_terminal() {
  return isatty(STDIN_FILENO) != 0;
}
bool stdout_is_terminal() {
  return isatty(STDOUT_FILENO) != 0;
}
bool stderr_is_terminal() {
  return isatty(STDERR_FILENO) != 0;
}

void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

std::string without_control_characters(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    const bool control = c.code_point < 0x20 || (c.code_point >= 0x7f && c.code_point < 0xa0);
    if (!control || c.code_point == '\n' || c.code_point == '\t') append_utf8(out, c.code_point);
    text.remove_prefix(c.length);
  }
  return out;
}

InterruptGuard::InterruptGuard(Signals signals) : signals_(signals) {
  AXK1_CHECK(!guarded);
  guarded = true;
  clear();
  struct sigaction action = {};
  action.sa_handler = note_interrupt;
  sigemptyset(&action.sa_mask);
  // Without SA_RESTART: a read that waits for the keyboard returns.
  sigaction(SIGINT, &action, &previous_interrupt);
  if (signals == Signals::kInterruptAndTerminate) sigaction(SIGTERM, &action, &previous_terminate);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &previous_interrupt, nullptr);
  if (signals_ == Signals::kInterruptAndTerminate) sigaction(SIGTERM, &previous_terminate, nullptr);
  guarded = false;
}

bool InterruptGuard::interrupted() {
  return interrupt_flag != 0;
}
void InterruptGuard::clear() {
  interrupt_flag = 0;
}

}  // namespace axk1
