#include "rl/rl_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "eval/complete_all.h"
#include "kernels/registry.h"
#include "rl/packing.h"
#include "rl/policy_engine.h"
#include "testing/tiny_config.h"
#include "testing/tiny_run.h"
#include "train/run_checkpoint.h"
#include "train/train_model.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

// What the engine draws from is what the trainer computes: the same log-probabilities but for f32.
TEST(PolicyEngine, ComputesWhatTheTrainerComputes) {
  for (const char* changes : {"{}", R"({"q_lora_rank": null, "tie_word_embeddings": true})",
                              R"({"num_nextn_predict_layers": 1})"}) {
    ParamStore params(testing::tiny_config(changes), {.seed = 3, .standard_deviation = 0.15});
    for (size_t i = 0; i < params.router_biases().size(); ++i) {
      params.mutable_router_biases()[i] = 0.02f * static_cast<float>(i % 5);
    }
    const testing::TinyRun files;
    const Tokenizer tokenizer = Tokenizer::load(files.path());
    std::vector<CompletionInput> inputs(3);
    for (size_t i = 0; i < inputs.size(); ++i) {
      inputs[i].prompt.assign(i + 2, static_cast<TokenId>(3 * i + 1));
      inputs[i].generate.max_tokens = 12;
      inputs[i].generate.ignore_eos = true;
      inputs[i].generate.top_logprobs = 0;
      inputs[i].generate.sampling.seed = i;
    }
    std::vector<PromptAndAnswer> sequences;
    const std::vector<std::vector<TokenId>> prompts = {inputs[0].prompt, inputs[1].prompt,
                                                       inputs[2].prompt};
    PolicyEngine engine(params, tokenizer, {.num_threads = 2, .context_tokens = 40});
    const auto answers = complete_all(engine.service(), std::move(inputs));
    for (size_t i = 0; i < answers.size(); ++i) sequences.push_back({prompts[i], answers[i].ids});
    const PackedAnswers packed = pack_answers(sequences, 4);
    ThreadPool pool(2);
    const KernelTable kernels = select_kernels("", cpu_features());
    TrainModel model(params, kernels, pool);
    std::vector<float> losses;
    model.evaluate(packed.batches.at(0), losses);
    for (size_t i = 0; i < answers.size(); ++i) {
      ASSERT_EQ(answers[i].logprobs.size(), 12u);
      for (size_t t = 0; t < 12; ++t) {
        EXPECT_NEAR(answers[i].logprobs[t], -losses[packed.places[i].first + t], 2e-4);
      }
    }
  }
}

// Two questions of one letter, each with a digit for an answer, and a model that has learnt to
// answer both with one of four digits at random.
class RlRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string chats, tasks;
    for (int i = 0; i < 8; ++i) {
      chats += cat(R"({"messages": [{"role": "user", "content": ")", i % 2 ? "a" : "b",
                   R"("}, {"role": "assistant", "content": ")", i / 2 + 1, "\"}]}\n");
    }
    for (int i = 0; i < 2; ++i) {
      tasks += cat(R"({"messages": [{"role": "user", "content": ")", i ? "a" : "b",
                   R"("}], "task": {"kind": "add", "language": "en", "mode": "no_think", )",
                   R"("answer": ")", i ? 1 : 4, "\"}}\n");
    }
    write_file_atomic(files_.path() + "/chats.jsonl", chats);
    write_file_atomic(files_.path() + "/tasks.jsonl", tasks);
    const std::string pretraining = files_.write_run(R"({
      "data": [{"name": "chats", "files": "chats.jsonl"}], "held_out": null, "eval": null,
      "checkpoint": null,
      "stages": [{"steps": 80, "sequence_length": 48, "batch_tokens": 384,
                  "schedule": {"peak": 0.01, "warmup_steps": 4}}], "micro_batch": 8})");
    TrainerOptions options{.out = files_.path() + "/pretrained", .num_threads = 1};
    train_run(load_run_config(pretraining), options);
  }

  std::string run_file(const std::string& rl, const std::string& more = "") {
    const std::string path = files_.path() + "/rl.json";
    write_file_atomic(
        path, cat(R"({"model": "pretrained/model", "micro_batch": 16, "rl": )", rl, more, "}"));
    return path;
  }

  std::vector<StepMetrics> go(const std::string& run, const std::string& out, bool resume = false,
                              uint64_t stop_after = 0, int threads = 1) {
    std::vector<StepMetrics> steps;
    uint64_t count = 0;
    TrainerOptions options{.out = out, .resume = resume, .num_threads = threads};
    options.stop = [&] { return ++count == stop_after; };
    options.on_step = [&](const StepMetrics& m, uint64_t) { steps.push_back(m); };
    result_ = rl_run(load_run_config(run), options);
    return steps;
  }

  std::string error_of(const std::string& run) {
    try {
      go(run, files_.path() + "/refused");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  testing::TinyRun files_;
  TrainResult result_;
};

// Both questions have one answer here: a policy that starts from four digits at random would take
// longer to tell the questions apart than a test may.
TEST_F(RlRunTest, RaisesTheReward) {
  std::string tasks = read_file(files_.path() + "/tasks.jsonl");
  tasks.replace(tasks.find(R"("answer": "4")"), 13, R"("answer": "1")");
  write_file_atomic(files_.path() + "/one.jsonl", tasks);
  const std::string out = files_.path() + "/out";
  const auto steps = go(run_file(R"({"tasks": "one.jsonl", "held_out": "one.jsonl", "steps": 30,
      "questions": 4, "samples": 16, "max_tokens": 6, "updates": 2, "clip": [0.2, 0.2],
      "schedule": {"peak": 0.005, "min": 0.001}})"),
                        out);
  ASSERT_EQ(steps.size(), 30u);
  EXPECT_TRUE(result_.finished);
  const auto mean = [&](size_t first, size_t count) {
    double sum = 0;
    for (size_t i = first; i < first + count; ++i) sum += steps[i].rl->reward;
    return sum / static_cast<double>(count);
  };
  EXPECT_NEAR(steps[0].rl->reward, 0.25, 0.2);
  EXPECT_GT(mean(25, 5), 0.9);
  EXPECT_LT(steps.back().rl->entropy, steps.front().rl->entropy);
  EXPECT_EQ(steps.back().rl->held_out_reward, 1);
  EXPECT_NEAR(steps[0].rl->ratio, 1, 0.1);
  EXPECT_GE(steps[0].rl->answer_tokens, 1.5);
  EXPECT_LE(steps[0].rl->answer_tokens, 6);
  for (const char* name : {"model/model.safetensors", "model/tokenizer.json", "metrics.jsonl",
                           "report.html", "run.json"}) {
    EXPECT_TRUE(file_exists(out + "/" + name)) << name;
  }
  EXPECT_THAT(read_file(out + "/report.html"), HasSubstr("Reward"));
}

// On-policy distillation: the model that was trained on the four digits teaches a random one, by
// nothing but what it says of the student's own answers.
TEST_F(RlRunTest, ATeacherCorrectsTheStudentsOwnAnswers) {
  const std::string run = files_.path() + "/on-policy.json";
  write_file_atomic(run, R"({"model": "pretrained/model/config.json", "tokenizer": ".",
      "micro_batch": 16, "distil": {"teacher": "pretrained/model", "loss": "reverse_kl"},
      "rl": {"tasks": "tasks.jsonl", "steps": 60, "questions": 16, "samples": 2, "max_tokens": 4,
             "schedule": {"peak": 0.01, "min": 0.001}}})");
  const auto steps = go(run, files_.path() + "/out");
  ASSERT_EQ(steps.size(), 60u);
  EXPECT_GT(*steps[0].teacher_loss, 1);
  EXPECT_LT(*steps.back().teacher_loss, 0.1 * *steps[0].teacher_loss);
  // One digit of four and the end, as the teacher has it.
  double reward = 0, tokens = 0;
  for (size_t i = 50; i < 60; ++i) {
    reward += steps[i].rl->reward / 10;
    tokens += steps[i].rl->answer_tokens / 10;
  }
  EXPECT_NEAR(reward, 0.25, 0.15);
  EXPECT_NEAR(tokens, 2, 0.4);
}

TEST_F(RlRunTest, GoesOnToTheSameBits) {
  const std::string run = run_file(R"({"tasks": "tasks.jsonl", "steps": 5, "questions": 3,
      "samples": 4, "max_tokens": 4, "updates": 3, "clip": [0.2, 0.2],
      "schedule": {"peak": 0.003}})");
  const std::string whole = files_.path() + "/whole", parts = files_.path() + "/parts";
  const auto all = go(run, whole);
  go(run, parts, true, 2);
  EXPECT_FALSE(result_.finished);
  EXPECT_EQ(result_.steps_done, 2u);
  auto rest = go(run, parts, true, 0, 3);  // another number of threads
  ASSERT_EQ(rest.size(), 3u);
  for (size_t i = 0; i < rest.size(); ++i) {
    EXPECT_EQ(rest[i].rl->reward, all[i + 2].rl->reward);
    EXPECT_EQ(rest[i].loss, all[i + 2].loss);
    EXPECT_EQ(rest[i].rl->ratio, all[i + 2].rl->ratio);
    EXPECT_EQ(rest[i].tokens, all[i + 2].tokens);
  }
  const CheckpointFolder a(whole + "/checkpoints"), b(parts + "/checkpoints");
  EXPECT_TRUE(read_file(a.file(5)) == read_file(b.file(5)));
  EXPECT_TRUE(read_file(whole + "/model/model.safetensors") ==
              read_file(parts + "/model/model.safetensors"));
  EXPECT_THROW(go(run, parts), Error) << "has a run already";
}

TEST_F(RlRunTest, Refusals) {
  const std::string rl = R"({"tasks": "tasks.jsonl", "steps": 2, "schedule": {"peak": 0.001},)";
  EXPECT_THAT(error_of(run_file(rl + R"("max_tokens": 60})")),
              HasSubstr("more than the model's max_position_embeddings 64"));
  std::string held = read_file(files_.path() + "/tasks.jsonl");
  held.replace(held.find("\"answer\""), 0, "\"held_out\": true, ");
  write_file_atomic(files_.path() + "/held.jsonl", held);
  EXPECT_THAT(error_of(run_file(R"({"tasks": ["tasks.jsonl", "held.jsonl"], "steps": 2,
      "max_tokens": 4, "schedule": {"peak": 0.001}})")),
              HasSubstr("held.jsonl: has tasks that are held out"));
  const auto with_teacher = [&](const std::string& distil) {
    return error_of(run_file(rl + R"("max_tokens": 4})", cat(", \"distil\": {", distil, "}")));
  };
  EXPECT_THAT(with_teacher(R"("cache": "answers")"), HasSubstr("cache"));
  EXPECT_THAT(with_teacher(R"("teacher": "pretrained/model", "text_weight": 1)"),
              HasSubstr("text_weight"));
}

}  // namespace
}  // namespace axk1
