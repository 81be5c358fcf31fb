// What every kind of training run does with its model and its folder.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "tokenizer/tokenizer.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/param_store.h"
#include "train/run_checkpoint.h"
#include "train/run_config.h"
#include "train/step_stats.h"

namespace axk1 {

double seconds_now();  // on a clock that never goes back

// Throws Error(kIo).
void make_folder(const std::string& path);

// Held while a process trains in a folder; the system lets go of it however the process ends.
// Throws Error(kIo) when another process holds it.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

// The run's model: weights of a folder, or of a config, which the tokenizer completes, random ones
// or some that are cut from another model; `say` is told how.
std::unique_ptr<ParamStore> make_run_params(const RunConfig& run, const Tokenizer& tokenizer,
                                            const std::function<void(const std::string&)>& say);

std::unique_ptr<Optimizer> make_run_optimizer(const RunOptimizer& options, const ParamStore& params,
                                              const KernelTable& kernels, int num_threads);

// Of run file, config and tokenizer: what the numbers of a run follow from besides documents.
std::string run_hash(const RunConfig& run, const ModelConfig& config, uint64_t tokenizer_hash);

// What a checkpoint keeps of model and optimiser; views.
std::vector<CheckpointSection> training_sections(const ParamStore& params, Optimizer& optimizer);
// Reads them back. Throws Error naming the checkpoint's file.
void read_training_sections(const RunCheckpoint& checkpoint, ParamStore& params,
                            Optimizer& optimizer);

// OUT/model with the files of the tokenizer's folder, beside the old one, which then makes room:
// the folder is always whole. Throws Error(kIo).
void export_run_model(const ParamStore& params, const std::string& tokenizer,
                      const std::string& out);

// max_vio, dead_experts and router_entropy.
void note_router(const StepStats& stats, StepMetrics& metrics);

}  // namespace axk1
