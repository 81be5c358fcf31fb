// axk1 train RUN, axk1 distil RUN and axk1 rl RUN: the side of a training run that a user sees.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace axk1 {

struct TrainRunArguments {
  std::string command;  // "train", "distil" or "rl": which kind of run file it must be
  std::string run, out;
  bool resume = false;
  bool mpi = false;  // one of the processes that mpirun started
  int threads = 0;
  std::string kernels;
};

// The options that these commands share (--mpi not of rl), but for RUN and --out: `arguments` gets
// them, and must live as long as `command`.
void add_train_run_options(CLI::App& command, TrainRunArguments& arguments);

// Ctrl-C and SIGTERM end it after the step that runs, saved. Throws Error.
void train_from_run_file(const TrainRunArguments& arguments);

}  // namespace axk1
