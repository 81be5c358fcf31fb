// Files of generated tasks: docs/data.md, "Generated tasks".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace axk1 {

struct TaskSetOptions {
  uint64_t seed = 1;
  uint64_t count = 1000;  // questions
  // Names of kinds or of groups of them; empty: all.
  std::vector<std::string> kinds;
  std::vector<TaskLanguage> languages = {TaskLanguage::kKorean, TaskLanguage::kEnglish};
  std::vector<TaskMode> modes = {TaskMode::kNoThink, TaskMode::kThink};  // each question in each
  bool held_out = false;  // only what is held out; else only what is not
};

// Calls `write` with the rows of `count` different questions, in an order of their own, the same
// for the same options. Kinds take turns, as do languages. Throws Error(kInvalidInput) for an
// unknown kind, an empty list of languages or modes, or when the kinds do not have so many
// different questions.
void generate_tasks(const TaskSetOptions& options, const std::function<void(json::object)>& write);

}  // namespace axk1
