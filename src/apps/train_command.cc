// axk1 train: training a model, and the replay of recorded cases.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/commands.h"
#include "apps/terminal.h"
#include "apps/train_run.h"
#include "base/error.h"
#include "kernels/registry.h"
#include "parallel/topology.h"
#include "train/replay.h"

namespace axk1 {
namespace {

struct TrainArguments {
  TrainRunArguments run{.command = "train"};
  std::string replay, dtype;
};

void run_replay(const TrainArguments& a) {
  ThreadPool pool(a.run.threads > 0 ? a.run.threads : usable_cpus());
  const KernelTable kernels = select_kernels(a.run.kernels, cpu_features());
  const ReplayResult result = replay_training(a.replay, a.run.out, kernels, pool,
                                              a.dtype == "bf16" ? DType::kBF16 : DType::kF32);
  for (const std::string& note : result.notes) print_err(cat("axk1: ", note, "\n"));
  for (size_t i = 0; i < result.losses.size(); ++i) {
    print_err(cat("step ", i + 1, ": loss ", result.losses[i], ", gradient norm ",
                  result.gradient_norms[i], "\n"));
  }
}

void run_train(const TrainArguments& a) {
  if (a.run.run.empty() == a.replay.empty()) {
    fail(ErrorCode::kUsage, "train: expected either RUN or --replay");
  }
  if (a.replay.empty()) {
    if (!a.dtype.empty()) {
      fail(ErrorCode::kUsage, "train: --dtype goes with --replay; RUN says its own");
    }
    return train_from_run_file(a.run);
  }
  if (a.run.resume || a.run.mpi) {
    fail(ErrorCode::kUsage, "train: --resume and --mpi go with RUN, not with --replay");
  }
  run_replay(a);
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model");
  const auto a = std::make_shared<TrainArguments>();
  command->add_option("RUN", a->run.run, "The run file: JSON, described in docs/training.md");
  add_train_run_options(*command, a->run);
  command->add_option(
      "--replay", a->replay,
      "A folder with a checkpoint and a case.json whose `training` holds batches and "
      "optimiser settings, instead of RUN");
  command
      ->add_option("--out", a->run.out,
                   "The folder of the run: metrics.jsonl, report.html, checkpoints, and model, the "
                   "result; of a replay: losses.json, gradients.safetensors, after.safetensors")
      ->required();
  command
      ->add_option("--dtype", a->dtype, "What products of a replay are computed in (default: f32)")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->footer(
      "Ctrl-C or SIGTERM ends a run after the step that is computed, saved; so does a kill, "
      "without\n"
      "the steps since its last checkpoint. With --resume it goes on, to the same result.\n\n"
      "Of a replay, gradients.safetensors is of the first step, before clipping; after.safetensors "
      "has the\n"
      "weights after the last batch. Both are f32, with names as on disk.\n\n"
      "Examples:\n"
      "  build/release/axk1 train examples/small-talk/run.json --out build/small-talk\n"
      "  build/release/axk1 train --replay testdata/golden/g2-fused-bias --out replayed");
  command->callback([a] { run_train(*a); });
}

}  // namespace axk1
