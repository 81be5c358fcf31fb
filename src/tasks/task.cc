#include "tasks/task.h"

#include <algorithm>

#include "base/error.h"
#include "io/checksum.h"
#include "tasks/wording.h"

namespace axk1 {
namespace {

using Maker = void (*)(tasks::Draw&, Task&);

constexpr TaskKind kKinds[] = {
    {"add", "arithmetic", AnswerForm::kNumber},
    {"subtract", "arithmetic", AnswerForm::kNumber},
    {"multiply", "arithmetic", AnswerForm::kNumber},
    {"divide", "arithmetic", AnswerForm::kNumber},
    {"units", "units", AnswerForm::kNumber},
    {"weekday", "dates", AnswerForm::kText},
    {"weekday_after", "dates", AnswerForm::kText},
    {"days_between", "dates", AnswerForm::kNumber},
    {"date_after", "dates", AnswerForm::kDate},
    {"won_read", "money", AnswerForm::kHangulNumber},
    {"won_write", "money", AnswerForm::kNumber},
    {"change", "money", AnswerForm::kNumber},
    {"vat", "money", AnswerForm::kNumber},
    {"count_characters", "counting", AnswerForm::kNumber},
    {"count_letter", "counting", AnswerForm::kNumber},
    {"count_words", "counting", AnswerForm::kNumber},
    {"count_items", "counting", AnswerForm::kNumber},
    {"reverse", "strings", AnswerForm::kText},
    {"replace", "strings", AnswerForm::kText},
    {"sort", "strings", AnswerForm::kText},
    {"letter_case", "strings", AnswerForm::kText},
    {"tool_call", "tools", AnswerForm::kToolCall},
};
// In the same order.
constexpr Maker kMakers[] = {tasks::make_add,           tasks::make_subtract,
                             tasks::make_multiply,      tasks::make_divide,
                             tasks::make_units,         tasks::make_weekday,
                             tasks::make_weekday_after, tasks::make_days_between,
                             tasks::make_date_after,    tasks::make_won_read,
                             tasks::make_won_write,     tasks::make_change,
                             tasks::make_vat,           tasks::make_count_characters,
                             tasks::make_count_letter,  tasks::make_count_words,
                             tasks::make_count_items,   tasks::make_reverse,
                             tasks::make_replace,       tasks::make_sort,
                             tasks::make_letter_case,   tasks::make_tool_call};
static_assert(std::size(kKinds) == std::size(kMakers));

constexpr uint64_t kHeldOutOneIn = 20;

}  // namespace

std::string_view language_name(TaskLanguage language) {
  return language == TaskLanguage::kKorean ? "ko" : "en";
}

std::string_view mode_name(TaskMode mode) {
  return mode == TaskMode::kThink ? "think" : "no_think";
}

std::span<const TaskKind> task_kinds() {
  return kKinds;
}

const TaskKind& find_task_kind(std::string_view name) {
  const TaskKind* kind = std::ranges::find(kKinds, name, &TaskKind::name);
  if (kind != std::end(kKinds)) return *kind;
  std::string known;
  for (const TaskKind& k : kKinds) known += cat(known.empty() ? "" : ", ", k.name);
  fail(ErrorCode::kInvalidInput, "kind of task: found \"", printable(name), "\", expected one of ",
       known);
}

Task make_task(const TaskKind& kind, TaskLanguage language, uint64_t seed) {
  Task task;
  task.kind = kind.name;
  task.language = language;
  task.seed = seed;
  tasks::Draw draw(checksum64(cat(seed, " ", kind.name, " ", language_name(language))));
  kMakers[&find_task_kind(kind.name) - kKinds](draw, task);
  task.held_out = checksum64(task.problem) % kHeldOutOneIn == 0;
  return task;
}

json::object task_row(const Task& task, TaskMode mode) {
  json::object answer{{"role", "assistant"}};
  if (mode == TaskMode::kThink) answer["reasoning_content"] = task.reasoning;
  if (find_task_kind(task.kind).form == AnswerForm::kToolCall) {
    answer["content"] = "";
    answer["tool_calls"] = json::array{json::object{
        {"type", "function"}, {"function", json::parse(task.answer, "answer of a task")}}};
  } else {
    answer["content"] = task.answer;
  }
  json::object row{
      {"messages",
       json::array{json::object{{"role", "user"}, {"content", task.question}}, std::move(answer)}}};
  if (!task.tools.empty()) row["tools"] = task.tools;
  row["task"] = json::object{{"kind", task.kind},       {"language", language_name(task.language)},
                             {"mode", mode_name(mode)}, {"seed", task.seed},
                             {"answer", task.answer},   {"held_out", task.held_out}};
  return row;
}

}  // namespace axk1
