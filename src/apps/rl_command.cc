// axk1 rl: reinforcement learning with rewards that are checked.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/commands.h"
#include "apps/train_run.h"

namespace axk1 {

void add_rl_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("rl", "Train a model on its own answers to tasks with exact answers");
  const auto a = std::make_shared<TrainRunArguments>();
  a->command = "rl";
  command
      ->add_option("RUN", a->run,
                   "The run file, with a section `rl`: described in docs/training.md")
      ->required();
  command->add_option("--out", a->out, "The folder of the run, as of axk1 train")->required();
  add_train_run_options(*command, *a);
  command->footer(
      "Each step draws several answers to some questions, rewards the right ones, and makes them\n"
      "more likely (GSPO). With a section `distil` a teacher corrects them instead (on-policy\n"
      "distillation). Stopping and --resume are those of axk1 train.\n\n"
      "Example (examples/think-fusion/README.md makes its model and its tasks):\n"
      "  build/release/axk1 rl examples/think-fusion/rl.json --out build/think-fusion/rl");
  command->callback([a] { train_from_run_file(*a); });
}

}  // namespace axk1
