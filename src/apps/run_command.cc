// axk1 run: one prompt, or a request per line, without a conversation.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <new>

#include "apps/answer_printer.h"
#include "apps/commands.h"
#include "apps/completion_request.h"
#include "apps/generation_flags.h"
#include "apps/model_options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/utf8.h"
#include "chat/think.h"
#include "io/file.h"

namespace axk1 {
namespace {

struct RunArguments {
  ModelOptions model;
  GenerationFlags generation;
  std::optional<std::string> prompt;
  std::string prompt_file;  // "" or "-": stdin
  std::string system;
  std::optional<bool> thinking;
  bool chat = false;
  bool json = false;
  bool jsonl = false;
};

std::string read_prompt(const RunArguments& arguments) {
  if (arguments.prompt) return *arguments.prompt;
  if (!arguments.prompt_file.empty() && arguments.prompt_file != "-") {
    return read_file(arguments.prompt_file);
  }
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

// The command line as a request like those of --jsonl.
CompletionRequest request_of(const RunArguments& arguments, const GenerateOptions& options) {
  CompletionRequest request;
  request.generate = options;
  std::string prompt = read_prompt(arguments);
  if (!arguments.chat) {
    request.prompt = std::move(prompt);
    return request;
  }
  // The end of the file's or pipe's last line is not part of the message.
  while (!arguments.prompt && prompt.ends_with('\n')) prompt.pop_back();
  json::array messages;
  if (!arguments.system.empty()) {
    messages.push_back(json::object{{"role", "system"}, {"content", utf8_lossy(arguments.system)}});
  }
  messages.push_back(json::object{{"role", "user"}, {"content", utf8_lossy(prompt)}});
  json::object variables;
  variables["messages"] = std::move(messages);
  variables["add_generation_prompt"] = true;
  if (arguments.thinking) variables["enable_thinking"] = *arguments.thinking;
  request.template_variables = std::move(variables);
  return request;
}

void run_text(Engine& engine, const CompletionRequest& request) {
  engine.require_tokenizer();
  std::string rendered;
  const std::vector<TokenId> prompt = prompt_tokens(engine, request, &rendered);
  Session session(engine);
  if (!request.template_variables) {
    const bool terminal = stdout_is_terminal();
    generate(session, prompt, request.generate, [&](std::string_view text) {
      print_out(terminal ? without_control_characters(text) : std::string(text));
      return true;
    });
    print_out("\n");
    return;
  }
  AnswerPrinter printer(stdout_is_terminal() ? AnswerStyle::kTerminal : AnswerStyle::kPlain,
                        print_out);
  ThinkSplitter splitter(prompt_opens_thinking(rendered));
  const auto print = [&](const auto& parts) {
    printer.reasoning(parts.reasoning);
    printer.content(parts.content);
  };
  generate(session, prompt, request.generate, [&](std::string_view text) {
    print(splitter.push(text));
    return true;
  });
  print(splitter.finish());
  printer.finish();
}

std::string answer_line(Engine& engine, const std::string& line, const std::string& source,
                        const GenerateOptions& defaults) {
  json::object out;
  try {
    const json::value request = json::parse(line, source);
    out = complete(engine, parse_completion_request(request, source, defaults));
  } catch (const Error& error) {
    out = {{"error", utf8_lossy(error.what())}};
  } catch (const std::bad_alloc&) {
    out = {{"error", cat(source, ": out of memory")}};
  }
  return json::to_text(out) + "\n";
}

void run_jsonl(Engine& engine, const RunArguments& arguments, GenerateOptions defaults) {
  std::ifstream file;
  const bool from_file = !arguments.prompt_file.empty() && arguments.prompt_file != "-";
  if (from_file) {
    file.open(arguments.prompt_file);
    if (!file) fail(ErrorCode::kNotFound, arguments.prompt_file, ": cannot be opened");
  }
  std::istream& in = from_file ? file : std::cin;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (!arguments.generation.seed) defaults.sampling.seed = draw_seed();
    print_out(answer_line(engine, line, cat("line ", number), defaults));
  }
}

void run(const RunArguments& arguments) {
  if (!arguments.chat && (!arguments.system.empty() || arguments.thinking)) {
    fail(ErrorCode::kUsage, "--system, --think and --no-think need --chat");
  }
  if (arguments.jsonl && (arguments.prompt || arguments.chat)) {
    fail(ErrorCode::kUsage, "--jsonl reads its prompts from lines: no --prompt, no --chat");
  }
  Engine engine(arguments.model.model, engine_options(arguments.model));
  const GenerateOptions options = generate_options(engine, arguments.generation);
  if (arguments.jsonl) {
    run_jsonl(engine, arguments, options);
  } else if (arguments.json) {
    print_out(json::to_text(complete(engine, request_of(arguments, options))) + "\n");
  } else {
    run_text(engine, request_of(arguments, options));
  }
}

}  // namespace

void add_run_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "Continue a prompt, or answer requests");
  const auto arguments = std::make_shared<RunArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  CLI::Option* prompt = command->add_option("--prompt", arguments->prompt, "The prompt");
  command
      ->add_option("--prompt-file,--file", arguments->prompt_file,
                   "File with the prompt, or with the lines of --jsonl (default, or -: stdin)")
      ->excludes(prompt);
  command->add_flag("--chat", arguments->chat,
                    "The prompt is a user message: apply the model's chat template");
  command->add_option("--system", arguments->system, "System prompt, with --chat");
  add_thinking_flags(*command, arguments->thinking);
  CLI::Option* as_json = command->add_flag("--json", arguments->json, "Print one JSON object");
  command
      ->add_flag("--jsonl", arguments->jsonl,
                 "One request per line in, as a JSON object with prompt, prompt_ids or messages "
                 "and options named as in the OpenAI API; one JSON object per line out")
      ->excludes(as_json);
  add_generation_flags(*command, arguments->generation);
  command->footer(
      "Without --chat the text goes to the model as it is, special tokens in it recognised.\n"
      "The options above are defaults for requests that do not say otherwise.\n\n"
      "Examples:\n"
      "  build/release/axk1 run models/nano-v1 --chat --prompt '한국의 수도는 어디야?'\n"
      "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"안녕\"}], \"temperature\": 0}' "
      "|\n"
      "    build/release/axk1 run models/nano-v1 --jsonl\n");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace axk1
