// axk1 eval: how many tasks with exact answers a model solves.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/batching_service.h"
#include "eval/task_eval.h"
#include "io/atomic_file.h"

namespace axk1 {
namespace {

struct EvalArguments {
  ModelOptions model;
  std::string tasks, answers;
  size_t max_tokens = 512, sequences = 16, limit = 0;
  bool json = false;
};

double share(uint64_t part, uint64_t whole) {
  return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

json::object score_json(const TaskScore& s) {
  return {{"tasks", s.tasks},
          {"accuracy", share(s.right, s.tasks)},
          {"mode_obedience", share(s.obeyed, s.tasks)},
          {"cut", s.cut},
          {"tokens_per_answer", share(s.tokens, s.tasks)}};
}

json::object report_json(const std::vector<NamedScore>& scores, double seconds) {
  json::object out = score_json(scores.front().score);
  json::object kinds, languages, modes;
  json::array rows;
  for (size_t i = 1; i < scores.size(); ++i) {
    const NamedScore& s = scores[i];
    json::object score = score_json(s.score);
    if (!s.kind.empty() && !s.mode.empty()) {
      json::object row{{"kind", s.kind}, {"language", s.language}, {"mode", s.mode}};
      for (auto& [name, value] : score) row[name] = std::move(value);
      rows.push_back(std::move(row));
    } else if (!s.kind.empty()) {
      kinds[s.kind] = std::move(score);
    } else {
      (s.mode.empty() ? languages : modes)[s.mode.empty() ? s.language : s.mode] = std::move(score);
    }
  }
  out["by_kind"] = std::move(kinds);
  out["by_language"] = std::move(languages);
  out["by_mode"] = std::move(modes);
  out["rows"] = std::move(rows);
  out["seconds"] = seconds;
  return out;
}

std::string line(const std::string& name, const TaskScore& s) {
  char text[160];
  std::snprintf(text, sizeof text, "%-20s %7llu %8.1f %% %8.1f %% %7llu %9.1f\n", name.c_str(),
                static_cast<unsigned long long>(s.tasks), 100 * share(s.right, s.tasks),
                100 * share(s.obeyed, s.tasks), static_cast<unsigned long long>(s.cut),
                share(s.tokens, s.tasks));
  return text;
}

std::string report_text(const std::vector<NamedScore>& scores) {
  char head[160];
  std::snprintf(head, sizeof head, "%-20s %7s %10s %10s %7s %9s\n", "", "tasks", "right", "in mode",
                "cut", "tokens");
  std::string text = head;
  for (size_t i = 1; i < scores.size(); ++i) {
    const NamedScore& s = scores[i];
    if (!s.kind.empty() && !s.mode.empty()) continue;  // of --json only
    text += line(!s.kind.empty() ? s.kind : !s.language.empty() ? s.language : s.mode, s.score);
  }
  return text + line("all", scores.front().score);
}

void write_answers(const std::string& path, std::span<const AskedTask> tasks,
                   std::span<const TaskOutcome> outcomes) {
  std::string text;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const Judgement& j = outcomes[i].judgement;
    text += json::to_text(json::object{{"kind", tasks[i].kind->name},
                                       {"language", language_name(tasks[i].language)},
                                       {"mode", mode_name(tasks[i].mode)},
                                       {"messages", tasks[i].messages},
                                       {"expected", tasks[i].answer},
                                       {"reasoning", j.reasoning},
                                       {"content", j.content},
                                       {"right", j.right},
                                       {"obeyed", j.obeyed}}) +
            "\n";
  }
  AtomicFile file(path);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.commit();
}

void run_eval(const EvalArguments& arguments) {
  std::vector<AskedTask> tasks = load_tasks(arguments.tasks);
  if (arguments.limit && tasks.size() > arguments.limit) tasks.resize(arguments.limit);
  Engine engine(arguments.model.model, engine_options(arguments.model));
  const ChatTemplate& chat_template = engine.require_chat_template();
  const Tokenizer& tokenizer = engine.require_tokenizer();
  const InterruptGuard guard;
  const auto service = make_batching_service(engine, {.max_sequences = arguments.sequences});
  std::optional<Progress> progress;
  const Progress timer("", "", 0);
  TaskEvalOptions options{.max_tokens = arguments.max_tokens};
  options.progress = [&](size_t done) {
    if (!progress) progress.emplace("answering", "tasks", tasks.size());
    progress->update(done);
    return !InterruptGuard::interrupted();
  };
  const std::vector<TaskOutcome> outcomes =
      answer_tasks(tasks, *service, chat_template, tokenizer, options);
  progress.reset();
  if (outcomes.empty()) fail(ErrorCode::kInvalidInput, "interrupted");
  if (!arguments.answers.empty()) write_answers(arguments.answers, tasks, outcomes);
  const std::vector<NamedScore> scores = task_scores(tasks, outcomes);
  print_out(arguments.json ? json::to_text(report_json(scores, timer.seconds())) + "\n"
                           : report_text(scores));
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("eval", "How many tasks with exact answers a model solves");
  const auto arguments = std::make_shared<EvalArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  command->add_option("--tasks", arguments->tasks, "A file that axk1 data tasks wrote")->required();
  command->add_option("--limit", arguments->limit, "Only the first so many of them")
      ->check(CLI::PositiveNumber);
  command->add_option("--max-tokens", arguments->max_tokens, "Of an answer (default: 512)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--sequences", arguments->sequences, "Answers computed together (default: 16)")
      ->check(CLI::PositiveNumber);
  command->add_option("--answers", arguments->answers,
                      "Write every answer to this file, JSON lines");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Answers are greedy. `right`: the answer and nothing else; `in mode`: thinks and ends its\n"
      "thinking where the task says think, and does not where it says no_think; `cut`: at\n"
      "--max-tokens; `tokens`: of an answer, on average.\n\n"
      "Example:\n"
      "  build/release/axk1 data tasks --count 22 --held-out --out build/tasks-held-out.jsonl\n"
      "  build/release/axk1 eval models/nano-v1 --tasks build/tasks-held-out.jsonl");
  command->callback([arguments] { run_eval(*arguments); });
}

}  // namespace axk1
