#include "apps/train_run.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "bench/roofline.h"
#include "mpi/mpi_ranks.h"
#include "parallel/thread_pool.h"
#include "parallel/topology.h"
#include "rl/rl_run.h"
#include "train/run_config.h"
#include "train/trainer.h"

namespace axk1 {
namespace {

// What the threads of this process can multiply and add at most, in operations per second.
double peak_flops(int threads, bool bf16) {
  constexpr double kSeconds = 0.05;
  ThreadPool pool(threads);
  double best = probe_arithmetic_gops(pool, Peak::kFmaF32, kSeconds);
  for (const Peak peak : {Peak::kDotBF16, Peak::kAmxBF16}) {
    if (bf16) best = std::max(best, probe_arithmetic_gops(pool, peak, kSeconds));
  }
  return 1e9 * best;
}

std::string note_of(const StepMetrics& m) {
  char text[160];
  if (m.rl) {
    std::snprintf(text, sizeof text, "; reward %.3f, in mode %.3f, %.0f tokens an answer",
                  m.rl->reward, m.rl->mode_obedience, m.rl->answer_tokens);
  } else {
    std::snprintf(text, sizeof text, "; loss %.4f", m.loss);
  }
  std::string note = text;
  if (m.teacher_loss) {
    std::snprintf(text, sizeof text, ", teacher's %.4f", *m.teacher_loss);
    note += text;
  }
  std::snprintf(text, sizeof text, ", %.0f tokens/s, %.0f GFLOP/s", m.tokens_per_second,
                m.flops_per_second / 1e9);
  note += text;
  if (m.share_of_peak > 0) {
    std::snprintf(text, sizeof text, " (%.0f %% of peak)", 100 * m.share_of_peak);
    note += text;
  }
  return note;
}

std::string held_out_line(const StepMetrics& m) {
  char text[160];
  std::snprintf(text, sizeof text, "step %llu: loss %.4f, held-out loss %.4f, %.4f bits per byte\n",
                static_cast<unsigned long long>(m.step), m.loss, *m.held_out_loss,
                m.bits_per_byte.value_or(0));
  return text;
}

}  // namespace

void add_train_run_options(CLI::App& command, TrainRunArguments& a) {
  command.add_flag("--resume", a.resume, "Go on with the run in the folder of --out");
  if (a.command != "rl") {
    command.add_flag("--mpi", a.mpi, "Share every step with the processes that mpirun started");
  }
  command.add_option("--kernels", a.kernels, "Kernel table; the best of the machine when absent");
  command.add_option("--threads", a.threads, "Threads; every usable processor when absent")
      ->check(CLI::NonNegativeNumber);
}

void train_from_run_file(const TrainRunArguments& arguments) {
  const RunConfig run = load_run_config(arguments.run);
  const char* kind = run.rl ? "rl" : run.distil ? "distil" : "train";
  if (kind != arguments.command) {
    fail(ErrorCode::kUsage, arguments.run,
         run.rl       ? ": has a section `rl`"
         : run.distil ? ": names a teacher"
                      : ": names no teacher",
         "; it is for axk1 ", kind);
  }
  const std::unique_ptr<GradientSum> ranks = arguments.mpi ? join_mpi_ranks() : nullptr;
  const bool speaks = !ranks || ranks->rank() == 0;
  const InterruptGuard guard(InterruptGuard::Signals::kInterruptAndTerminate);
  const int threads = arguments.threads > 0 ? arguments.threads : usable_cpus();
  std::unique_ptr<Progress> progress;
  TrainerOptions options;
  options.out = arguments.out;
  options.resume = arguments.resume;
  options.num_threads = threads;
  options.kernels = arguments.kernels;
  options.ranks = ranks.get();
  options.peak_flops_per_second = peak_flops(threads, run.bf16);
  options.stop = [] { return InterruptGuard::interrupted(); };
  options.on_message = [](const std::string& text) { print_err(cat("axk1: ", text, "\n")); };
  options.on_step = [&](const StepMetrics& m, uint64_t num_steps) {
    if (!speaks) return;
    if (m.skipped) {
      progress.reset();
      print_err(cat("step ", m.step, " skipped: loss ", m.loss, ", norm of the gradient ",
                    m.grad_norm, "\n"));
    }
    if (m.rl && m.rl->held_out_reward) {
      progress.reset();
      print_err(cat("step ", m.step, ": reward ", m.rl->reward, ", held out ",
                    *m.rl->held_out_reward, "\n"));
    }
    if (m.held_out_loss) {
      progress.reset();  // off the line
      print_err(held_out_line(m));
    }
    if (!progress) progress = std::make_unique<Progress>("training", "steps", num_steps, m.step);
    progress->update(m.step, note_of(m));
  };
  const TrainResult result = run.rl ? rl_run(run, options) : train_run(run, options);
  progress.reset();
  if (!speaks) return;
  if (result.finished) {
    print_out(cat(result.model, ": the model after ", result.num_steps, " steps; axk1 chat ",
                  result.model, " talks to it\n"));
  } else {
    print_out(cat("stopped and saved after step ", result.steps_done, " of ", result.num_steps,
                  "; to go on: axk1 ", arguments.command, " ", arguments.run, " --out ",
                  arguments.out, " --resume\n"));
  }
}

}  // namespace axk1
