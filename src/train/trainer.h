// A training run from its first step or its last checkpoint to its end: docs/training.md, "Runs".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "train/gradient_sum.h"
#include "train/metrics.h"
#include "train/run_config.h"

namespace axk1 {

struct TrainerOptions {
  std::string out;      // the run's folder; made if need be
  bool resume = false;  // go on after the newest whole checkpoint of `out`, if there is one
  int num_threads = 0;  // 0: every usable processor
  std::string kernels;  // name of a kernel table; empty: the best of the machine
  GradientSum* ranks = nullptr;      // null: this process alone
  double peak_flops_per_second = 0;  // of this machine, for the share of it; 0: not known
  // All are called by the caller's thread.
  std::function<bool()> stop;  // asked after every step: to save and return
  std::function<void(const StepMetrics&, uint64_t num_steps)> on_step;
  std::function<void(const std::string&)> on_message;  // what a user should know
};

struct TrainResult {
  uint64_t steps_done = 0, num_steps = 0;
  bool finished = false;  // false: stopped, and saved
  std::optional<StepMetrics> last;
  std::string model;  // the folder of the trained model; empty when stopped
};

// Trains until the run's end or until told to stop. In `out`: run.json (a copy), metrics.jsonl,
// report.html, checkpoints/, and at the end model/ (Hugging Face layout). A run that goes on after
// any stop ends with the same bits as one that never stopped.
//
// Only process 0 writes; all read the same files. Throws Error: whatever is wrong with the files;
// an `out` that has a run while `resume` is false, is used by another process, or was begun by
// another run file or from other documents; a run whose loss is not finite any more.
TrainResult train_run(const RunConfig& run, const TrainerOptions& options);

}  // namespace axk1
