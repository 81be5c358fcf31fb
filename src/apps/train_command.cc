// axk1 train: training; so far the replay of recorded cases.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/commands.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "kernels/registry.h"
#include "parallel/topology.h"
#include "train/replay.h"

namespace axk1 {
namespace {

struct TrainArguments {
  std::string replay, out;
  std::string dtype = "f32", kernels;
  int threads = 0;
};

void run_train(const TrainArguments& a) {
  ThreadPool pool(a.threads > 0 ? a.threads : usable_cpus());
  const KernelTable kernels = select_kernels(a.kernels, cpu_features());
  const ReplayResult result = replay_training(a.replay, a.out, kernels, pool,
                                              a.dtype == "bf16" ? DType::kBF16 : DType::kF32);
  for (const std::string& note : result.notes) print_err(cat("axk1: ", note, "\n"));
  for (size_t i = 0; i < result.losses.size(); ++i) {
    print_err(cat("step ", i + 1, ": loss ", result.losses[i], ", gradient norm ",
                  result.gradient_norms[i], "\n"));
  }
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model");
  const auto a = std::make_shared<TrainArguments>();
  command
      ->add_option("--replay", a->replay,
                   "A folder with a checkpoint and a case.json whose `training` holds batches and "
                   "optimiser settings")
      ->required();
  command
      ->add_option("--out", a->out,
                   "The folder for losses.json, gradients.safetensors and after.safetensors")
      ->required();
  command->add_option("--dtype", a->dtype, "What products are computed in")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--kernels", a->kernels, "Kernel table; the best of the machine when absent");
  command->add_option("--threads", a->threads, "Threads; every usable processor when absent")
      ->check(CLI::NonNegativeNumber);
  command->footer(
      "gradients.safetensors is of the first step, before clipping; after.safetensors has the\n"
      "weights after the last batch. Both are f32, with names as on disk.\n\n"
      "Example:\n"
      "  build/release/axk1 train --replay testdata/golden/g2-fused-bias --out replayed");
  command->callback([a] { run_train(*a); });
}

}  // namespace axk1
