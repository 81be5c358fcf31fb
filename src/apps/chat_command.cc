// axk1 chat: a conversation at the terminal, or one user message per line of a pipe.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "apps/chat_repl.h"
#include "apps/chat_session.h"
#include "apps/commands.h"
#include "apps/generation_flags.h"
#include "apps/line_editor.h"
#include "apps/model_options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

struct ChatArguments {
  ModelOptions model;
  GenerationFlags generation;
  std::string system;
  std::string history_file;
  std::optional<bool> thinking;
  bool stats = false;
};

ChatRepl::Read read_plain_line(std::string& line) {
  if (!std::getline(std::cin, line)) return ChatRepl::Read::kEnd;
  return ChatRepl::Read::kLine;
}

void run_chat(const ChatArguments& arguments) {
  use_utf8_locale();
  ModelOptions model = arguments.model;
  if (model.model.empty()) model.model = find_shipped_model();
  Engine engine(model.model, engine_options(model));
  ChatSession session(engine, {.system = utf8_lossy(arguments.system),
                               .thinking = arguments.thinking,
                               .generate = generate_options(engine, arguments.generation)});

  const bool interactive = stdin_is_terminal() && stdout_is_terminal();
  const ChatReplOptions options{
      .interactive = interactive,
      .style = stdout_is_terminal() ? AnswerStyle::kTerminal : AnswerStyle::kPlain,
      .stats = arguments.stats,
  };
  if (interactive) {
    print_err(cat(engine.name(), ", ", engine.context_length(),
                  " tokens of context. /help lists the commands, Ctrl-C stops an answer, Ctrl-D "
                  "ends.\n"));
    const InterruptGuard guard;
    LineEditor editor(arguments.history_file);
    ChatRepl repl(
        session, options,
        [&](const std::string& prompt, std::string& line) {
          switch (editor.read(prompt, line)) {
            case LineEditor::Outcome::kLine:
              return ChatRepl::Read::kLine;
            case LineEditor::Outcome::kInterrupted:
              return ChatRepl::Read::kInterrupted;
            case LineEditor::Outcome::kEnd:
              break;
          }
          return ChatRepl::Read::kEnd;
        },
        print_out, print_err);
    repl.run();
    return;
  }
  ChatRepl repl(
      session, options, [](const std::string&, std::string& line) { return read_plain_line(line); },
      print_out, print_err);
  if (const size_t num_failed = repl.run()) {
    fail(ErrorCode::kInvalidInput, num_failed, num_failed == 1 ? " line" : " lines",
         " of the input failed");
  }
}

}  // namespace

void add_chat_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "Talk with a model");
  const auto arguments = std::make_shared<ChatArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kOptional);
  command->get_option("MODEL")->description(
      "Hugging Face directory of the model (default: the one that comes with axk1)");
  command->add_option("--system", arguments->system, "System prompt");
  add_thinking_flags(*command, arguments->thinking);
  command->add_flag("--stats", arguments->stats, "Print the speed after each answer, on stderr");
  command->add_option("--history", arguments->history_file,
                      "Keep the lines typed in this file, for the arrow keys");
  add_generation_flags(*command, arguments->generation);
  command->footer(
      "At a terminal /help lists what can be typed. From a pipe every line is one message, and "
      "the\n"
      "answers come out plainly; a line may be a /command too.\n\n"
      "Example:\n"
      "  printf '안녕\\n/think\\n너는 누구야?\\n' | build/release/axk1 chat models/nano-v1 "
      "--temperature 0\n");
  command->callback([arguments] { run_chat(*arguments); });
}

}  // namespace axk1
