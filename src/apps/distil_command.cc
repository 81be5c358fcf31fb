// axk1 distil: training a student from a teacher, and keeping a teacher's answers.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "apps/train_run.h"
#include "base/error.h"
#include "train/distil.h"
#include "train/run_config.h"

namespace axk1 {
namespace {

struct DistilArguments {
  TrainRunArguments run{.command = "distil"};
  std::string write_cache;
  uint32_t draws = 0, top = 0;
};

void write_cache(const DistilArguments& a) {
  const InterruptGuard guard(InterruptGuard::Signals::kInterruptAndTerminate);
  std::unique_ptr<Progress> progress;
  WriteCacheOptions options{.num_threads = a.run.threads, .kernels = a.run.kernels};
  if (a.draws) options.count = a.draws;
  if (a.top) {
    options.kind = TeacherCacheKind::kTop;
    options.count = a.top;
  }
  options.progress = [&](uint64_t done, uint64_t total) {
    if (!progress) progress = std::make_unique<Progress>("asking the teacher", "tokens", total);
    progress->update(done);
    return !InterruptGuard::interrupted();
  };
  const bool written = write_teacher_cache(load_run_config(a.run.run), a.write_cache, options);
  progress.reset();
  if (!written) {
    fail(ErrorCode::kInvalidInput, "interrupted; ", a.write_cache, " is not written");
  }
  const TeacherCacheInfo info = TeacherCache::open(a.write_cache).info();
  print_out(cat(a.write_cache, ": ", info.num_positions, " positions of ",
                teacher_cache_record_bytes(info), " bytes\n"));
}

void run_distil(const DistilArguments& a) {
  if (a.run.out.empty() == a.write_cache.empty()) {
    fail(ErrorCode::kUsage, "distil: expected either --out or --write-cache");
  }
  if (!a.write_cache.empty()) {
    if (a.run.resume || a.run.mpi)
      fail(ErrorCode::kUsage, "distil: --resume and --mpi go with --out");
    if (a.draws && a.top) fail(ErrorCode::kUsage, "distil: expected either --draws or --top");
    return write_cache(a);
  }
  if (a.draws || a.top) {
    fail(ErrorCode::kUsage, "distil: --draws and --top go with --write-cache");
  }
  train_from_run_file(a.run);
}

}  // namespace

void add_distil_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("distil", "Train a student from a teacher");
  const auto a = std::make_shared<DistilArguments>();
  command
      ->add_option("RUN", a->run.run,
                   "The run file, with a section `distil`: described in docs/training.md")
      ->required();
  command->add_option("--out", a->run.out, "The folder of the run, as of axk1 train");
  add_train_run_options(*command, a->run);
  command->add_option(
      "--write-cache", a->write_cache,
      "Instead: write what the teacher says at every token of the run to this file");
  command
      ->add_option("--draws", a->draws, "Tokens drawn at each position of the cache (default: 12)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--top", a->top, "The most likely tokens instead, so many")
      ->check(CLI::Range(1, 4096));
  command->footer(
      "A cache is of one teacher, one tokenizer, and one order of documents; the run file\n"
      "then names it as `cache` and needs no teacher any more.\n\n"
      "Examples:\n"
      "  build/release/axk1 distil examples/small-talk/distil.json --out build/student\n"
      "  build/release/axk1 distil examples/small-talk/distil.json --write-cache build/answers");
  command->callback([a] { run_distil(*a); });
}

}  // namespace axk1
