// axk1 train RUN and axk1 distil RUN: the side of a training run that a user sees.
#pragma once

#include <string>

namespace axk1 {

struct TrainRunArguments {
  std::string command;  // "train" or "distil": whether the run must have a teacher
  std::string run, out;
  bool resume = false;
  bool mpi = false;  // one of the processes that mpirun started
  int threads = 0;
  std::string kernels;
};

// Ctrl-C and SIGTERM end it after the step that runs, saved. Throws Error.
void train_from_run_file(const TrainRunArguments& arguments);

}  // namespace axk1
