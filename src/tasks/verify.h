// Whether an answer to a generated task is right: of evaluation, and the reward of reinforcement
// learning. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "io/json.h"
#include "tasks/task.h"

namespace axk1 {

// Whether `given`, all that an assistant said after its thinking, is the answer. It must be the
// answer and nothing else, but for white space around it and a full stop behind it:
//   kNumber        a decimal number; commas, zeros behind the point and a currency (원, won, KRW
//                  or the sign of won) do not matter
//   kHangulNumber  any spelling that parse_hangul_number() reads, with or without 원
//   kDate          2024-05-17, 2024년 5월 17일 or May 17, 2024
//   kText          the text; letters of `weekday` kinds in any case
//   kToolCall      one call: JSON with equal `name` and `arguments`, with or without the tags
//                  <tool_call>; the order of arguments does not matter
// `expected` is Task::answer. Throws Error for one that is not of its form.
bool is_right_answer(const TaskKind& kind, std::string_view expected, std::string_view given);

// A line of a file of tasks, to be asked.
struct AskedTask {
  const TaskKind* kind = nullptr;
  TaskLanguage language = TaskLanguage::kKorean;
  TaskMode mode = TaskMode::kNoThink;
  bool held_out = false;
  json::array messages;  // up to the answer
  json::array tools;     // empty: none
  std::string answer;
};

// Of what task_row() wrote. Throws Error(kInvalidInput) naming `source` and the field.
AskedTask read_task(const json::value& row, const std::string& source);

}  // namespace axk1
