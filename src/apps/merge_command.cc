// axk1 merge: two models of one config, averaged.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/text.h"
#include "quant/merge.h"

namespace axk1 {
namespace {

struct MergeArguments {
  std::string a, b, out;
  double weight = 0.5;
};

void run_merge(const MergeArguments& arguments) {
  constexpr uint64_t kMegabyte = 1'000'000;
  std::optional<Progress> progress;
  MergeOptions options{.weight = arguments.weight};
  options.progress = [&](uint64_t done, uint64_t total) {
    if (!progress) progress.emplace("merging", "MB", total / kMegabyte);
    progress->update(done / kMegabyte);
  };
  const MergeResult result = merge_models(arguments.a, arguments.b, arguments.out, options);
  progress.reset();
  print_out(cat(arguments.out, ": ", result.num_tensors, " tensors, ",
                human_bytes(result.tensor_bytes), "\n"));
}

}  // namespace

void add_merge_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("merge", "Average the weights of two models of one config");
  const auto arguments = std::make_shared<MergeArguments>();
  command->add_option("A", arguments->a, "A Hugging Face directory")->required();
  command->add_option("B", arguments->b, "Another, of the same config and tokenizer")->required();
  command->add_option("OUT", arguments->out, "The directory to write")->required();
  command->add_option("--weight", arguments->weight, "Of B; of A it is 1 - W (default: 0.5)")
      ->check(CLI::Range(0.0, 1.0));
  command->footer(
      "Config, tokenizer, chat template and types of tensors are those of A. docs/training.md,\n"
      "\"Think-Fusion\", has a recipe.\n\n"
      "Example:\n"
      "  build/release/axk1 merge models/nano-v1 models/nano-v1 build/merged --weight 0.3");
  command->callback([arguments] { run_merge(*arguments); });
}

}  // namespace axk1
