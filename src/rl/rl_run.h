// Reinforcement learning from its first step or its last checkpoint to its end: docs/training.md,
// "Reinforcement learning".
#pragma once

#include "train/run_config.h"
#include "train/trainer.h"

namespace axk1 {

// As train_run(), of a run file with `rl`; `options.ranks` must be null. Each step draws answers
// from the model as it is, judges them (eval/judge.h) and moves the weights by GSPO (rl/gspo.h).
// What a step draws is a function of run file and step, so a run that goes on after any stop ends
// with the same bits. Throws Error: what train_run() throws; tasks that are damaged or held out, or
// whose prompt and max_tokens do not fit the context; a gradient that is not finite.
TrainResult rl_run(const RunConfig& run, const TrainerOptions& options);

}  // namespace axk1
