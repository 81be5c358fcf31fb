// Tasks with exact answers that are generated, not collected: a question, how to work it out, and
// what the answer is. docs/data.md, "Generated tasks".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/json.h"

namespace axk1 {

enum class TaskLanguage : uint8_t { kKorean, kEnglish };
enum class TaskMode : uint8_t { kNoThink, kThink };

// "ko", "en"; "no_think", "think": as in files.
std::string_view language_name(TaskLanguage language);
std::string_view mode_name(TaskMode mode);

// What an answer is, and so how it is compared (tasks/verify.h).
enum class AnswerForm : uint8_t { kNumber, kHangulNumber, kDate, kText, kToolCall };

struct TaskKind {
  std::string_view name;   // "add", "weekday", ...
  std::string_view group;  // "arithmetic", "dates", ...
  AnswerForm form;
};

// All of them, in the order of docs/data.md.
std::span<const TaskKind> task_kinds();

// Throws Error(kInvalidInput) that lists the kinds.
const TaskKind& find_task_kind(std::string_view name);

struct Task {
  std::string_view kind;  // of task_kinds()
  TaskLanguage language = TaskLanguage::kKorean;
  uint64_t seed = 0;  // with kind and language it makes the task again
  // The same for every wording and language of one problem.
  std::string problem;
  bool held_out = false;  // by a hash of `problem`: one in twenty
  std::string question;
  json::array tools;      // functions in the form of the OpenAI API; empty: none
  std::string reasoning;  // a short working, a line a step
  std::string answer;     // of tool_call: {"name": ..., "arguments": {...}}
};

// Pure: the same task on every machine.
Task make_task(const TaskKind& kind, TaskLanguage language, uint64_t seed);

// A conversation as training reads it (`messages`, `tools`), with `task`: kind, language, mode,
// seed, answer, held_out. In think mode the answer has `reasoning_content`.
json::object task_row(const Task& task, TaskMode mode);

}  // namespace axk1
