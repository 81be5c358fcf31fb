#include "eval/task_eval.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/file.h"

namespace axk1 {

std::vector<AskedTask> load_tasks(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<AskedTask> tasks;
  size_t line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string source = cat(path, ":", line);
    tasks.push_back(read_task(json::parse(row, source), source));
  }
  if (tasks.empty()) fail(ErrorCode::kInvalidInput, path, ": has no tasks");
  return tasks;
}

std::vector<TaskOutcome> answer_tasks(std::span<const AskedTask> tasks, CompletionService& service,
                                      const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                      const TaskEvalOptions& options) {
  std::vector<CompletionInput> inputs;
  std::vector<std::string> prompts;
  for (const AskedTask& task : tasks) {
    TaskPrompt prompt = task_prompt(task, chat_template, tokenizer);
    CompletionInput& input = inputs.emplace_back();
    input.prompt = std::move(prompt.ids);
    input.generate.sampling.temperature = 0;
    input.generate.max_tokens = options.max_tokens;
    input.generate.stop_ids = options.stop_ids;
    prompts.push_back(std::move(prompt.text));
  }
  const std::vector<CompletedAnswer> answers =
      complete_all(service, std::move(inputs), options.progress);
  std::vector<TaskOutcome> outcomes;
  for (size_t i = 0; i < answers.size(); ++i) {
    outcomes.push_back({.judgement = judge_answer(tasks[i], prompts[i], answers[i].text),
                        .tokens = answers[i].ids.size(),
                        .cut = answers[i].finish_reason == FinishReason::kLength});
  }
  return outcomes;
}

void TaskScore::add(const TaskOutcome& outcome) {
  ++tasks;
  right += outcome.judgement.right;
  obeyed += outcome.judgement.obeyed;
  cut += outcome.cut;
  tokens += outcome.tokens;
}

std::vector<NamedScore> task_scores(std::span<const AskedTask> tasks,
                                    std::span<const TaskOutcome> outcomes) {
  AXK1_CHECK(tasks.size() == outcomes.size());
  std::vector<NamedScore> scores;
  const auto add = [&](const TaskKind* kind, std::string_view language, std::string_view mode) {
    NamedScore named{.kind = kind ? std::string(kind->name) : "",
                     .language = std::string(language),
                     .mode = std::string(mode),
                     .score = {}};
    for (size_t i = 0; i < tasks.size(); ++i) {
      const AskedTask& task = tasks[i];
      if ((!kind || task.kind == kind) &&
          (language.empty() || language_name(task.language) == language) &&
          (mode.empty() || mode_name(task.mode) == mode)) {
        named.score.add(outcomes[i]);
      }
    }
    if (named.score.tasks) scores.push_back(std::move(named));
  };
  constexpr std::string_view kLanguages[] = {"ko", "en"}, kModes[] = {"no_think", "think"};
  add(nullptr, "", "");
  for (const TaskKind& kind : task_kinds()) add(&kind, "", "");
  for (std::string_view language : kLanguages) add(nullptr, language, "");
  for (std::string_view mode : kModes) add(nullptr, "", mode);
  for (const TaskKind& kind : task_kinds()) {
    for (std::string_view language : kLanguages) {
      for (std::string_view mode : kModes) add(&kind, language, mode);
    }
  }
  return scores;
}

}  // namespace axk1
