// axk1 calibrate: measures which input columns of each matrix matter, for quantising.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/text_windows.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "io/json.h"
#include "quant/calibrate.h"

namespace axk1 {
namespace {

struct CalibrateArguments {
  ModelOptions model;
  std::string text_file, out;
  size_t context = 0;
  bool json = false;
};

void run_calibrate(const CalibrateArguments& arguments) {
  const std::string text = read_file(arguments.text_file);
  if (text.empty()) fail(ErrorCode::kInvalidInput, arguments.text_file, ": is empty");
  Engine engine(arguments.model.model, engine_options(arguments.model));
  const TextTokens tokens = tokens_of_text(engine, text, /*begin_token=*/true);
  const size_t context = arguments.context ? arguments.context : engine.context_length();
  if (context > engine.context_length()) {
    fail(ErrorCode::kInvalidInput, "context: found ", context, ", expected at most ",
         engine.context_length(), ", the context length of ", engine.name());
  }
  ImportanceCollector collector(engine.config(), engine.weights(), engine.pool());
  // Opened before the work: what cannot be written is said now. A file that is not finished is
  // removed, also after Ctrl-C.
  const InterruptGuard guard;
  SafetensorsWriter file(arguments.out, collector.tensor_specs(),
                         importance_metadata(engine, text, tokens.ids.size(), context));
  std::optional<Progress> progress;
  const Progress timer("", "", 0);
  if (!calibrate(engine, tokens.ids, context, collector, [&](size_t done, size_t total) {
        if (!progress) progress.emplace("reading", "tokens", total);
        progress->update(done);
        return !InterruptGuard::interrupted();
      })) {
    progress.reset();
    fail(ErrorCode::kInvalidInput, "interrupted; ", arguments.out, " is not written");
  }
  progress.reset();
  collector.append_to(file);
  file.finish();
  const size_t experts = collector.num_experts(), unseen = collector.num_unseen_experts();
  if (arguments.json) {
    json::object out;
    out["file"] = arguments.out;
    out["tokens"] = tokens.ids.size();
    out["experts"] = experts;
    out["unseen_experts"] = unseen;
    out["seconds"] = timer.seconds();
    print_out(json::to_text(out) + "\n");
  } else {
    print_out(cat(arguments.out, ": ", with_commas(tokens.ids.size()), " tokens read, ",
                  experts - unseen, " of ", experts, " routed experts seen\n"));
  }
}

}  // namespace

void add_calibrate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "calibrate", "Measure on text which input columns of each matrix matter, for quantising");
  const auto arguments = std::make_shared<CalibrateArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  command->add_option("--text", arguments->text_file, "The text, UTF-8")->required();
  command->add_option("--out", arguments->out, "The file to write")->required();
  command
      ->add_option("--context", arguments->context,
                   "Tokens the model sees at most (default: its context length)")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Writes for every matrix the mean of its squared inputs, column by column, and how many "
      "rows\n"
      "it saw; routed experts each for themselves (docs/formats.md, Importance files). Experts "
      "that\n"
      "the text never reaches get the mean of their layer when the file is used: more and more\n"
      "varied text leaves fewer of them.\n\n"
      "Example:\n"
      "  printf '한국의 수도는 서울이다.' > text.txt\n"
      "  build/release/axk1 calibrate models/nano-v1 --text text.txt --out nano.importance\n");
  command->callback([arguments] { run_calibrate(*arguments); });
}

}  // namespace axk1
