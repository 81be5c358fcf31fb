// The file that describes a training run: docs/training.md, "The run file".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "train/data_order.h"
#include "train/distil_loss.h"
#include "train/schedule.h"

namespace axk1 {

struct RunCut {
  std::string source;  // a model; empty: weights are random, or those of the model's folder
  std::vector<int64_t> layers;  // as in train/cut.h
};

struct RunSource {
  std::string name;
  std::vector<std::string> files;   // paths: text, JSON lines, token shards
  double weight = 1;                // of stages that have no mix of their own
  std::string text_field = "text";  // of JSON lines that have no messages
};

struct RunHeldOut {
  double fraction = 0;             // of the documents of every source
  std::vector<std::string> files;  // besides
};

struct RunStage {
  std::string name;
  StageShape shape;  // weights in the order of the sources
  Schedule schedule;
};

enum class OptimizerKind : uint8_t { kAdamW, kMuon };

struct RunOptimizer {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;
  double momentum = 0.95;  // of Muon
  double clip = 1;         // largest norm of the gradient; 0: none
};

struct RunCheckpoints {
  uint64_t every = 0;  // steps; 0: only at the end and when stopped
  uint64_t keep = 2;
  bool export_each = false;  // DIR/model with each of them
};

struct RunEval {
  uint64_t every = 0;       // steps; 0: only at the end
  uint64_t tokens = 65536;  // at most
};

struct RunSpike {
  double factor = 0;  // times the running median of the gradient's norm; 0: only what is not finite
  uint64_t window = 64;  // steps that the median is over
};

struct RunDistil {
  std::string teacher;  // a model, or the http:// address of a server; may be empty with a cache
  std::string cache;    // of its answers; or empty
  std::string teacher_key;  // path of a file with the server's API key; or empty
  int64_t top = 64;         // the most likely tokens that a server is asked for
  DistilOptions options;
};

// Reinforcement learning: docs/training.md. A run with it has neither data nor stages.
struct RunRl {
  std::vector<std::string> tasks;  // files of generated tasks
  std::string held_out;            // another, to evaluate on; or empty
  size_t questions = 16;           // of a step
  size_t samples = 8;              // answers to each, its group; with a teacher 1
  size_t max_tokens = 256;         // of an answer
  size_t updates = 1;              // of the weights in a step, each from a part of its questions
  double clip_low = 3e-4, clip_high = 4e-4;  // how far the ratio may be from 1
  Schedule schedule;                         // steps, learning rates
};

// Paths are as given when absolute, else relative to the folder of the run file.
struct RunConfig {
  std::string path;  // of the run file, for messages
  std::string text;  // of the run file

  // A config without vocab_size gets the tokenizer's, one without eos_token_id the tokenizer's
  // eos_token and document_end.
  std::string model_path;    // a config.json, or a folder with weights to start from; or empty:
  json::value model_inline;  // the config itself
  RunCut cut;                // where the first weights are cut from
  std::string tokenizer;     // folder of a tokenizer
  std::string document_end = "<|endoftext|>";

  std::vector<RunSource> sources;
  RunHeldOut held_out;
  std::vector<RunStage> stages;
  RunOptimizer optimizer;
  size_t micro_batch = 1;  // rows computed at once
  uint64_t seed = 1;
  bool bf16 = false;                 // dtype: what matrix products are computed in
  double balance = 0.001;            // router bias per step
  std::optional<double> mtp_weight;  // absent: kMtpWeight, if the model has that layer
  RunCheckpoints checkpoints;
  RunEval eval;
  RunSpike spike;
  std::optional<RunDistil> distil;  // beside rl: the teacher of the student's own answers
  std::optional<RunRl> rl;

  // Of everything that the numbers of the run follow from; not of checkpoint and eval.
  uint64_t fingerprint = 0;
};

// Throws Error(kInvalidInput) naming the file, the path of the field, what was found and what was
// expected: also for a field that nobody reads.
RunConfig parse_run_config(std::string_view text, const std::string& path);
RunConfig load_run_config(const std::string& path);

}  // namespace axk1
