// How many of a file of generated tasks a model answers rightly: docs/training.md, "Evaluation on
// tasks".
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/completion_service.h"
#include "eval/complete_all.h"
#include "eval/judge.h"

namespace axk1 {

// Lines of a file that `axk1 data tasks` wrote. Throws Error naming file and line.
std::vector<AskedTask> load_tasks(const std::string& path);

struct TaskEvalOptions {
  size_t max_tokens = 512;                    // of an answer
  std::vector<TokenId> stop_ids;              // besides the model's end tokens
  std::function<bool(size_t done)> progress;  // false ends it
};

struct TaskOutcome {
  Judgement judgement;
  size_t tokens = 0;  // of the answer
  bool cut = false;   // by max_tokens
};

// Greedy answers, in the order of the tasks; empty when `progress` ended it. Throws Error.
std::vector<TaskOutcome> answer_tasks(std::span<const AskedTask> tasks, CompletionService& service,
                                      const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                      const TaskEvalOptions& options = {});

struct TaskScore {
  uint64_t tasks = 0, right = 0, obeyed = 0, cut = 0, tokens = 0;
  void add(const TaskOutcome& outcome);
};

struct NamedScore {
  std::string kind, language, mode;  // empty: of all of them
  TaskScore score;
};

// The score of all; of each kind, each language, each mode; and of each of the three together. Only
// those that occur, in the order of task_kinds().
std::vector<NamedScore> task_scores(std::span<const AskedTask> tasks,
                                    std::span<const TaskOutcome> outcomes);

}  // namespace axk1
