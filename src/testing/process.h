// Running a program the way a shell or a person at a terminal does.
#pragma once

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace axk1::testing {

// The program `name` beside the running test.
inline std::string program_path(const std::string& name) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  std::string dir(path, length > 0 ? static_cast<size_t>(length) : 0);
  return dir.substr(0, dir.rfind('/') + 1) + name;
}

[[noreturn]] inline void execute(const std::vector<std::string>& args) {
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

// The exit code, or 128 + the signal that ended the process.
inline int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct ProcessResult {
  int exit_code = -1;
  std::string out, err;
};

// Runs args[0] with `input` on its stdin until it ends.
inline ProcessResult run_process(const std::vector<std::string>& args,
                                 std::string_view input = "") {
  int in[2], out[2], err[2];
  if (pipe(in) || pipe(out) || pipe(err)) std::abort();
  const pid_t pid = fork();
  if (pid < 0) std::abort();
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    for (int fd : {in[0], in[1], out[0], out[1], err[0], err[1]}) close(fd);
    execute(args);
  }
  for (int fd : {in[0], out[1], err[1]}) close(fd);
  signal(SIGPIPE, SIG_IGN);
  ProcessResult result;
  pollfd polls[3] = {{in[1], POLLOUT, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  while (polls[1].fd >= 0 || polls[2].fd >= 0) {
    if (polls[0].fd >= 0 && input.empty()) {
      close(polls[0].fd);
      polls[0].fd = -1;
    }
    if (poll(polls, 3, -1) < 0 && errno != EINTR) break;
    if (polls[0].fd >= 0 && polls[0].revents) {
      const ssize_t n = write(polls[0].fd, input.data(), std::min<size_t>(input.size(), 4096));
      input.remove_prefix(n > 0 ? static_cast<size_t>(n) : input.size());
    }
    for (int i : {1, 2}) {
      if (polls[i].fd < 0 || !polls[i].revents) continue;
      char buffer[4096];
      const ssize_t n = read(polls[i].fd, buffer, sizeof buffer);
      if (n > 0) {
        (i == 1 ? result.out : result.err).append(buffer, static_cast<size_t>(n));
      } else {
        close(polls[i].fd);
        polls[i].fd = -1;
      }
    }
  }
  if (polls[0].fd >= 0) close(polls[0].fd);
  result.exit_code = wait_for(pid);
  return result;
}

// The program, with these arguments.
inline ProcessResult axk1(std::vector<std::string> args, std::string_view input = "") {
  args.insert(args.begin(), program_path("axk1"));
  return run_process(args, input);
}

// A process at a terminal of its own, 24 x 80. What it shows is collected; nothing is interpreted.
class Terminal {
 public:
  // `child` runs in the new process and returns its exit code, or executes a program.
  explicit Terminal(const std::function<int()>& child) {
    winsize size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    pid_ = forkpty(&master_, nullptr, nullptr, &size);
    if (pid_ < 0) std::abort();
    if (pid_ == 0) {
      setenv("TERM", "xterm", 1);
      _exit(child());
    }
  }
  explicit Terminal(const std::vector<std::string>& args)
      : Terminal([&args]() -> int { execute(args); }) {}
  ~Terminal() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      wait_for(pid_);
    }
    close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view keys) {
    while (!keys.empty()) {
      const ssize_t n = write(master_, keys.data(), keys.size());
      if (n <= 0) return;
      keys.remove_prefix(static_cast<size_t>(n));
    }
  }

  // Waits until `text` has been shown after what earlier calls waited for. False on the end of the
  // output and after `seconds`.
  bool wait_to_show(std::string_view text, double seconds = 60) {
    return wait_until(
        [&] {
          const size_t found = shown_.find(text, seen_);
          if (found == std::string::npos) return false;
          seen_ = found + text.size();
          return true;
        },
        seconds);
  }

  // Waits for the end of the process; -1 after `seconds`.
  int wait_for_exit(double seconds = 60) {
    if (!wait_until([&] { return ended_; }, seconds)) return -1;
    const int code = wait_for(pid_);
    pid_ = -1;
    return code;
  }

  const std::string& shown() const { return shown_; }

  void signal(int number) { kill(pid_, number); }

 private:
  bool wait_until(const std::function<bool()>& done, double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (!done()) {
      if (ended_ || Clock::now() > end) return false;
      pollfd p = {master_, POLLIN, 0};
      if (poll(&p, 1, 50) <= 0) continue;
      char buffer[4096];
      const ssize_t n = read(master_, buffer, sizeof buffer);
      if (n > 0) {
        shown_.append(buffer, static_cast<size_t>(n));
      } else if (errno != EINTR) {
        ended_ = true;  // EIO: the other side is closed
      }
    }
    return true;
  }

  int master_ = -1;
  pid_t pid_ = -1;
  std::string shown_;
  size_t seen_ = 0;
  bool ended_ = false;
};

}  // namespace axk1::testing
