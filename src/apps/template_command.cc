// axk1 template: messages to the text that a model continues.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "chat/template.h"
#include "io/file.h"
#include "io/json.h"

namespace axk1 {
namespace {

struct TemplateOptions {
  std::string source;
  std::string input;
  bool jsonl = false;
};

const json::object& as_object(const json::value& v, const std::string& source) {
  if (!v.is_object()) {
    fail(ErrorCode::kInvalidInput, source, ": found ", json::kind_name(v),
         ", expected an object with messages, tools, add_generation_prompt, ...");
  }
  return v.get_object();
}

std::string answer(const ChatTemplate& chat, const std::string& line) {
  json::object error;
  try {
    const json::value variables = json::parse(line, "input");
    const std::string text = chat.render(as_object(variables, "input"));
    return json::to_text(json::value(text));
  } catch (const TemplateError& e) {
    error["error"] = e.what();
    error["line"] = e.line();
    error["column"] = e.column();
  } catch (const Error& e) {
    error["error"] = e.what();
  }
  return json::to_text(error);
}

void write_line(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  if (std::fflush(stdout) != 0) fail(ErrorCode::kIo, "stdout: cannot write");
}

void run(const TemplateOptions& options) {
  if (options.jsonl == !options.input.empty()) {
    fail(ErrorCode::kUsage, "template: expected either --jsonl or --input FILE");
  }
  if (options.jsonl) {
    // A template that does not parse answers every line with its error, as a render error does.
    std::unique_ptr<ChatTemplate> chat;
    std::string broken;
    try {
      chat = std::make_unique<ChatTemplate>(ChatTemplate::load(options.source));
    } catch (const TemplateError& e) {
      broken = json::to_text(
          json::object({{"error", e.what()}, {"line", e.line()}, {"column", e.column()}}));
    }
    for (std::string line; std::getline(std::cin, line);) {
      write_line(chat ? answer(*chat, line) : broken);
    }
    return;
  }
  const ChatTemplate chat = ChatTemplate::load(options.source);
  const std::string name = options.input == "-" ? "stdin" : options.input;
  const std::string bytes = options.input == "-"
                                ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                                : read_file(options.input);
  const json::value variables = json::parse(bytes, name);
  const std::string text = chat.render(as_object(variables, name));
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail(ErrorCode::kIo, "stdout: cannot write");
  }
}

}  // namespace

void add_template_command(CLI::App& app) {
  auto options = std::make_shared<TemplateOptions>();
  CLI::App* cmd = app.add_subcommand("template", "Render a chat template");
  cmd->add_option("source", options->source, "Model directory or .jinja file")->required();
  cmd->add_flag("--jsonl", options->jsonl,
                "One JSON object of variables per line on stdin; one JSON string, or "
                "{\"error\", \"line\", \"column\"}, per line on stdout");
  cmd->add_option("--input", options->input,
                  "Print the text for the JSON object in this file (- for stdin)");
  cmd->footer(
      "Example:\n"
      "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], "
      "\"add_generation_prompt\": true, \"enable_thinking\": true}' | "
      "axk1 template models/nano-v1 --input -");
  cmd->callback([options] { run(*options); });
}

}  // namespace axk1
