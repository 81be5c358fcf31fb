// axk1 perplexity: bits per byte and nats per token of a text file.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/model_options.h"
#include "apps/perplexity.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/utf8.h"
#include "io/file.h"
#include "io/json.h"

namespace axk1 {
namespace {

struct PerplexityArguments {
  ModelOptions model;
  TextOptions options;
  std::string text_file;
  bool json = false;
};

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void run_perplexity(const PerplexityArguments& arguments) {
  const std::string text = read_file(arguments.text_file);
  if (text.empty()) fail(ErrorCode::kInvalidInput, arguments.text_file, ": is empty");
  if (!is_valid_utf8(text)) {
    print_err(cat("axk1: ", arguments.text_file,
                  ": is not valid UTF-8; the bytes that are not are tokens by themselves\n"));
  }
  Engine engine(arguments.model.model, engine_options(arguments.model));
  std::optional<Progress> progress;
  const Progress timer("", "", 0);
  const PerplexityResult result =
      perplexity(engine, text, arguments.options, [&](size_t done, size_t total) {
        if (!progress) progress.emplace("predicting", "tokens", total);
        progress->update(done);
      });
  progress.reset();
  const double seconds = timer.seconds();
  const double rate = static_cast<double>(result.tokens) / seconds;
  if (arguments.json) {
    json::object out;
    out["tokens"] = result.tokens;
    out["bytes"] = result.bytes;
    out["nats_per_token"] = result.nats_per_token();
    out["bits_per_byte"] = result.bits_per_byte();
    out["perplexity"] = std::exp(result.nats_per_token());
    out["begin_token"] = result.used_begin_token;
    out["seconds"] = seconds;
    out["tokens_per_second"] = rate;
    print_out(json::to_text(out) + "\n");
    return;
  }
  print_out(cat("tokens          ", with_commas(result.tokens), "\nbytes           ",
                with_commas(result.bytes), "\nnats per token  ",
                decimals(result.nats_per_token(), 6), "\nbits per byte   ",
                decimals(result.bits_per_byte(), 6), "\nperplexity      ",
                decimals(std::exp(result.nats_per_token()), 4), "\n"));
  print_err(cat(decimals(rate, 1), " tokens/s\n"));
}

}  // namespace

void add_perplexity_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("perplexity", "Bits per byte and nats per token of a text file");
  const auto arguments = std::make_shared<PerplexityArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  command->add_option("--text", arguments->text_file, "The text, UTF-8")->required();
  command
      ->add_option("--context", arguments->options.context,
                   "Tokens the model sees at most (default: its context length)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--stride", arguments->options.stride,
                   "Tokens predicted in one window, at most --context (default: the same)")
      ->check(CLI::PositiveNumber);
  command->add_flag("!--no-begin-token", arguments->options.begin_token,
                    "Do not predict the first token from the begin-of-text token");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Every token of the text is predicted once, in windows that follow one another: a window\n"
      "predicts STRIDE tokens and reads the CONTEXT tokens before the last of them, so with the\n"
      "default stride the first token of a window sees one token. The first of all is predicted\n"
      "from the model's bos_token_id; a model without one leaves it, and its bytes, out.\n\n"
      "Example:\n"
      "  printf '한국의 수도는 서울이다.' > text.txt\n"
      "  build/release/axk1 perplexity models/nano-v1 --text text.txt --json\n");
  command->callback([arguments] { run_perplexity(*arguments); });
}

}  // namespace axk1
