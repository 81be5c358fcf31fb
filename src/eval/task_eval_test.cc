#include "eval/task_eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "base/error.h"
#include "engine/batching_service.h"
#include "io/file.h"
#include "tasks/generate.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

// Answers known prompts with known texts, at once; takes `room` of them before it refuses one.
class CannedService final : public CompletionService {
 public:
  explicit CannedService(size_t room = SIZE_MAX) : room_(room), left_(room) {}
  std::map<std::vector<TokenId>, std::string> texts;
  std::string error;
  size_t refused = 0;

  SubmitResult submit(CompletionInput input, OnDelta on_delta) override {
    if (left_ == 0) {
      ++refused;
      left_ = room_;
      for (auto& answer : late_) answer();
      late_.clear();
      return {.id = {}, .refusal = Refusal::kQueueFull};
    }
    --left_;
    const auto found = texts.find(input.prompt);
    CompletionDelta delta;
    delta.text = found == texts.end() ? "?" : found->second;
    delta.ids = {1, 2};
    if (error.empty()) {
      delta.finish_reason = found == texts.end() ? FinishReason::kLength : FinishReason::kStop;
    } else {
      delta.error = error;
    }
    const auto answer = [on_delta, delta] { on_delta(CompletionDelta(delta)); };
    if (room_ == SIZE_MAX) {
      answer();
    } else {
      late_.push_back(answer);
    }
    return {.id = ++last_id_, .refusal = {}};
  }
  void cancel(uint64_t) override {}
  void drain() override {}
  bool idle() const override { return true; }
  ServiceStats stats() const override { return {}; }
  void flush() {
    for (auto& answer : late_) answer();
    late_.clear();
  }

 private:
  size_t room_, left_;
  uint64_t last_id_ = 0;
  std::vector<std::function<void()>> late_;
};

const std::string kNano = testing::testdata("../models/nano-v0");

std::vector<AskedTask> some_tasks(size_t count) {
  std::vector<AskedTask> tasks;
  generate_tasks({.count = count},
                 [&](const json::object& row) { tasks.push_back(read_task(row, "row")); });
  return tasks;
}

std::string right_text(const AskedTask& task) {
  const std::string answer = task.kind->form == AnswerForm::kToolCall
                                 ? "<tool_call>\n" + task.answer + "\n</tool_call>"
                                 : task.answer;
  return task.mode == TaskMode::kThink ? "well\n</think>\n\n" + answer : answer;
}

TEST(TaskEval, ScoresAnswersByKindLanguageAndMode) {
  const Tokenizer tokenizer = Tokenizer::load(kNano);
  const ChatTemplate chat = ChatTemplate::load(kNano);
  const std::vector<AskedTask> tasks = some_tasks(44);
  CannedService service;
  size_t right = 0;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (i % 4 == 3) continue;  // those get "?": a thought without end, or a wrong answer
    service.texts[task_prompt(tasks[i], chat, tokenizer).ids] = right_text(tasks[i]);
    ++right;
  }
  const std::vector<TaskOutcome> outcomes = answer_tasks(tasks, service, chat, tokenizer);
  const std::vector<NamedScore> scores = task_scores(tasks, outcomes);
  EXPECT_EQ(scores[0].score.tasks, 88u);
  EXPECT_EQ(scores[0].score.right, right);
  EXPECT_EQ(scores[0].score.cut, 88 - right);
  EXPECT_EQ(scores[0].score.tokens, 176u);
  uint64_t by_kind = 0, by_all = 0;
  for (const NamedScore& s : scores) {
    if (!s.kind.empty() && s.language.empty()) by_kind += s.score.right;
    if (!s.kind.empty() && !s.language.empty()) by_all += s.score.right;
    if (s.kind.empty() && s.mode == "think") {
      EXPECT_EQ(s.score.tasks, 44u);
      EXPECT_EQ(s.score.obeyed, 22u);  // every second one thinks to no end
    }
    if (s.kind.empty() && s.mode == "no_think") {
      EXPECT_EQ(s.score.right, 44u);
      EXPECT_EQ(s.score.obeyed, 44u);
    }
  }
  EXPECT_EQ(by_kind, right);
  EXPECT_EQ(by_all, right);
}

TEST(TaskEval, JudgesModes) {
  AskedTask task{.kind = &find_task_kind("add"), .answer = "7"};
  task.mode = TaskMode::kThink;
  const auto judge = [&](std::string_view prompt, std::string_view text) {
    return judge_answer(task, prompt, text);
  };
  Judgement j = judge("<think>\n", "3+4=7\n</think>\n\n7");
  EXPECT_TRUE(j.right && j.obeyed);
  EXPECT_EQ(j.reasoning, "3+4=7");
  EXPECT_EQ(j.reward(), 1);
  j = judge("<think>\n", "3+4=7, so 7");
  EXPECT_FALSE(j.right || j.obeyed);
  j = judge("<think>\n", "</think>\n\n7");
  EXPECT_TRUE(j.right);
  EXPECT_FALSE(j.obeyed);
  EXPECT_EQ(j.reward(), 0);
  j = judge("", "<think>3+4=7</think>7");  // a template that leaves it to the model
  EXPECT_TRUE(j.right && j.obeyed);

  task.mode = TaskMode::kNoThink;
  j = judge("</think>\n\n", "7");
  EXPECT_TRUE(j.right && j.obeyed);
  j = judge("</think>\n\n", "<think>3+4=7</think>7");
  EXPECT_TRUE(j.right);
  EXPECT_FALSE(j.obeyed);
  j = judge("</think>\n\n", "<think>");
  EXPECT_FALSE(j.right || j.obeyed);
}

TEST(CompleteAll, WaitsWhenTheQueueIsFullAndKeepsTheOrder) {
  CannedService service(3);
  std::vector<CompletionInput> inputs(10);
  for (size_t i = 0; i < inputs.size(); ++i) {
    inputs[i].prompt = {static_cast<TokenId>(i)};
    service.texts[inputs[i].prompt] = cat("answer ", i);
  }
  // The last of them are answered when nothing more is asked.
  const auto answers = complete_all(service, std::move(inputs), [&](size_t) {
    service.flush();
    return true;
  });
  ASSERT_EQ(answers.size(), 10u);
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].text, cat("answer ", i));
  EXPECT_GE(service.refused, 3u);
}

TEST(CompleteAll, AFailedCompletionIsAnError) {
  CannedService service;
  service.error = "lost";
  std::vector<CompletionInput> inputs(2);
  for (CompletionInput& input : inputs) input.prompt = {1};
  try {
    complete_all(service, std::move(inputs));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("completion: lost"));
  }
}

// The engine's own service, on the model of the repository.
TEST(TaskEval, RunsOnAModelSlow) {
  Engine engine(kNano, {.num_threads = 2});
  const auto service =
      make_batching_service(engine, {.max_sequences = 4, .context_tokens = 512, .drafts = false});
  const std::vector<AskedTask> tasks = some_tasks(2);
  const auto outcomes = answer_tasks(tasks, *service, engine.require_chat_template(),
                                     engine.require_tokenizer(), {.max_tokens = 8});
  ASSERT_EQ(outcomes.size(), tasks.size());
  for (const TaskOutcome& outcome : outcomes) {
    EXPECT_GE(outcome.tokens, 1u);
    EXPECT_LE(outcome.tokens, 8u);
  }
  size_t calls = 0;
  EXPECT_TRUE(answer_tasks(tasks, *service, engine.require_chat_template(),
                           engine.require_tokenizer(),
                           {.max_tokens = 64, .progress = [&](size_t) { return ++calls < 1; }})
                  .empty());
}

TEST(TaskEval, FilesAndTheirErrors) {
  const testing::TempDir dir;
  std::string text;
  generate_tasks({.count = 3}, [&](const json::object& row) { text += json::to_text(row) + "\n"; });
  EXPECT_EQ(load_tasks(dir.write("tasks.jsonl", text)).size(), 6u);
  const auto error = [&](const std::string& content) -> std::string {
    try {
      load_tasks(dir.write("bad.jsonl", content));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error(text + "{\"messages\": []}\n"),
              HasSubstr("bad.jsonl:7: field \"task\" is missing"));
  EXPECT_THAT(error(text + "{\n"), HasSubstr("bad.jsonl:7"));
  EXPECT_THAT(error("\n"), HasSubstr("has no tasks"));
}

}  // namespace
}  // namespace axk1
