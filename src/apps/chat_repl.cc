#include "apps/chat_repl.h"

#include <cstdio>
#include <optional>
#include <utility>

#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/text.h"

namespace axk1 {
namespace {

constexpr const char* kHelp =
    R"(/think            answer after thinking (shown dim, or between <think> and </think>)
/nothink          answer at once
/system [TEXT]    set the system prompt, from the next answer on; without TEXT: none
/regenerate       answer the last message again
/clear            forget the conversation; system prompt and mode stay
/save FILE        write the conversation as JSON
/load FILE        go on with a conversation from such a file
/stats            speeds after each answer, on or off
/help             this list
/quit             end (or Ctrl-D)
A message may go on in the next line: end the line with a backslash, or put """ before the first and
after the last line. A message that begins with / is written //... Ctrl-C stops an answer.
When the conversation outgrows the context, its oldest exchanges are left out of what the model
reads, so that a quarter of the context stays free for the answer.
)";

std::string speed(size_t tokens, double seconds) {
  if (tokens == 0 || seconds <= 0) return "";
  char text[40];
  std::snprintf(text, sizeof text, " in %.2f s, %.1f tok/s", seconds,
                static_cast<double>(tokens) / seconds);
  return text;
}

}  // namespace

ChatRepl::ChatRepl(ChatSession& session, const ChatReplOptions& options, ReadLine read_line,
                   Write out, Write err)
    : session_(session),
      options_(options),
      read_line_(std::move(read_line)),
      out_(std::move(out)),
      err_(std::move(err)) {}

size_t ChatRepl::run() {
  size_t num_failed = 0;
  bool more = true;
  while (more) {
    std::string line;
    const Read read = read_line_(message_.empty() ? "> " : ". ", line);
    if (read == Read::kInterrupted) {
      message_.take();
      continue;
    }
    if (read == Read::kEnd) {
      more = false;
      if (message_.empty()) break;
    } else if (!message_.push(line)) {
      continue;
    }
    try {
      if (!handle(message_.take())) more = false;
    } catch (const Error& error) {
      ++num_failed;
      err_(cat("axk1: ", error.what(), "\n"));
    }
  }
  return num_failed;
}

bool ChatRepl::handle(const std::string& text) {
  if (trimmed(text).empty()) return true;
  if (text.starts_with("//")) {
    answer([&](const auto& piece, const auto& prefill) {
      return session_.send(text.substr(1), piece, prefill);
    });
    return true;
  }
  if (text.starts_with('/')) return command(text);
  answer(
      [&](const auto& piece, const auto& prefill) { return session_.send(text, piece, prefill); });
  return true;
}

bool ChatRepl::command(const std::string& text) {
  const size_t blank = text.find_first_of(" \t\n");
  const std::string name = text.substr(0, blank);
  const std::string argument(blank == std::string::npos
                                 ? std::string_view()
                                 : trimmed(std::string_view(text).substr(blank)));
  const auto say = [&](const auto&... parts) {
    if (options_.interactive) err_(cat(parts..., "\n"));
  };
  const auto need_file = [&] {
    if (argument.empty()) fail(ErrorCode::kUsage, name, " needs the name of a file");
  };
  if (name == "/quit" || name == "/exit") return false;
  if (name == "/help") {
    out_(kHelp);
  } else if (name == "/think" || name == "/nothink") {
    session_.set_thinking(name == "/think");
    say(name == "/think" ? "Thinks before it answers." : "Answers at once.");
  } else if (name == "/system") {
    session_.set_system(argument);
    say(argument.empty() ? "No system prompt." : "System prompt set.");
  } else if (name == "/regenerate") {
    answer([&](const auto& piece, const auto& prefill) {
      return session_.regenerate(piece, prefill);
    });
  } else if (name == "/clear") {
    session_.clear();
    say("The conversation starts anew.");
  } else if (name == "/save") {
    need_file();
    session_.save(argument);
    say("Saved ", session_.messages().size(), " messages to ", argument, ".");
  } else if (name == "/load") {
    need_file();
    session_.load(argument);
    say("Goes on after ", session_.messages().size(), " messages of ", argument, ".");
  } else if (name == "/stats") {
    options_.stats = !options_.stats;
    say("Speeds are ", options_.stats ? "shown." : "not shown.");
  } else {
    fail(ErrorCode::kUsage, "no command ", printable(name),
         "; /help lists them (a message that begins with / is written //...)");
  }
  return true;
}

void ChatRepl::answer(
    const std::function<ChatAnswer(const ChatSession::OnPiece&, const Session::Progress&)>& make) {
  const size_t left_out = session_.num_left_out();
  AnswerPrinter printer(options_.style, out_);
  std::optional<Progress> progress;
  const auto prefill = [&](size_t done, size_t total) {
    if (!progress) progress.emplace("reading", "tokens", total);
    if (done < total) {
      progress->update(done);
    } else {
      progress.reset();
    }
    return !InterruptGuard::interrupted();
  };
  const auto piece = [&](std::string_view reasoning, std::string_view content) {
    printer.reasoning(reasoning);
    printer.content(content);
    return !InterruptGuard::interrupted();
  };
  InterruptGuard::clear();
  try {
    const ChatAnswer result = make(piece, prefill);
    printer.finish();
    report(result, left_out);
  } catch (...) {
    progress.reset();
    if (printer.began()) printer.finish();
    throw;
  }
}

void ChatRepl::report(const ChatAnswer& answer, size_t left_out_before) {
  if (answer.finish_reason == FinishReason::kLength) {
    err_("[the answer reached its greatest length]\n");
  } else if (answer.finish_reason == FinishReason::kCancelled) {
    err_("[stopped]\n");
  }
  if (session_.num_left_out() > left_out_before) {
    err_(cat("[the conversation outgrew the context: the model no longer reads the oldest ",
             session_.num_left_out(), " messages; /save keeps them, /clear starts anew]\n"));
  }
  if (options_.stats) {
    const size_t read = answer.prompt_tokens - answer.cached_tokens;
    err_(cat("[read ", read, " tokens (", answer.cached_tokens, " known)",
             speed(read, answer.prefill_seconds), "; wrote ", answer.completion_tokens, " tokens",
             speed(answer.completion_tokens, answer.decode_seconds), "]\n"));
  }
}

}  // namespace axk1
