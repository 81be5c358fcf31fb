#include "train/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSmallest = R"({
  "model": "config.json", "tokenizer": "tok",
  "data": [{"name": "a", "files": "a.txt"}],
  "stages": [{"steps": 10, "sequence_length": 8, "batch_tokens": 32, "schedule": {"peak": 0.001}}]
})";

constexpr const char* kFull = R"({
  "model": {"model_type": "axk1"}, "tokenizer": "/abs/tok", "document_end": "<end>",
  "data": [{"name": "a", "files": ["a.txt", "/b.jsonl"], "weight": 2, "text_field": "body"},
           {"name": "b", "files": "c.jsonl.zst"}],
  "held_out": {"fraction": 0.01, "files": "held.txt"},
  "stages": [
    {"name": "first", "tokens": 1000, "sequence_length": 8, "batch_tokens": 32,
     "schedule": {"kind": "wsd", "peak": 1e-3, "min": 1e-5, "warmup_steps": 3, "decay_steps": 4,
                  "decay": "sqrt"}},
    {"steps": 5, "sequence_length": 16, "batch_tokens": 16, "mix": {"b": 1},
     "schedule": {"kind": "cosine", "peak": 1e-4}}],
  "optimizer": {"kind": "muon", "momentum": 0.9, "betas": [0.8, 0.9], "eps": 1e-9, "weight_decay": 0, "clip": 0.5},
  "micro_batch": 2, "seed": 7, "dtype": "bf16", "balance": 0.01, "mtp_weight": 0.1,
  "checkpoint": {"every": 100, "keep": 3, "export": true},
  "eval": {"every": 50, "tokens": 4096}, "spike": {"factor": 4, "window": 32}
})";

TEST(RunConfig, DefaultsAreAsDocumented) {
  const RunConfig run = parse_run_config(kSmallest, "dir/run.json");
  EXPECT_EQ(run.model_path, "dir/config.json");
  EXPECT_EQ(run.tokenizer, "dir/tok");
  EXPECT_THAT(run.sources.at(0).files, ElementsAre("dir/a.txt"));
  EXPECT_EQ(run.document_end, "<|endoftext|>");
  ASSERT_EQ(run.stages.size(), 1u);
  EXPECT_EQ(run.stages[0].name, "stage 1");
  EXPECT_EQ(run.stages[0].shape.rows, 4u);
  EXPECT_THAT(run.stages[0].shape.weights, ElementsAre(1));
  EXPECT_EQ(run.stages[0].schedule.kind, ScheduleKind::kWsd);
  EXPECT_EQ(run.stages[0].schedule.decay_steps, 2u);
  EXPECT_DOUBLE_EQ(run.stages[0].schedule.min, 1e-4);
  EXPECT_EQ(run.optimizer.beta2, 0.95);
  EXPECT_EQ(run.optimizer.clip, 1);
  EXPECT_EQ(run.micro_batch, 1u);
  EXPECT_EQ(run.seed, 1u);
  EXPECT_FALSE(run.bf16);
  EXPECT_EQ(run.balance, 0.001);
  EXPECT_FALSE(run.mtp_weight);
  EXPECT_EQ(run.checkpoints.keep, 2u);
  EXPECT_EQ(run.spike.factor, 0);
}

TEST(RunConfig, ReinforcementLearning) {
  const auto parse = [](const std::string& rl) {
    return parse_run_config(cat(R"({"model": "m", "tokenizer": "t", "rl": )", rl, "}"),
                            "dir/run.json");
  };
  const RunConfig least = parse(R"({"tasks": "a.jsonl", "steps": 10, "schedule": {"peak": 1e-5}})");
  ASSERT_TRUE(least.rl);
  EXPECT_THAT(least.rl->tasks, ElementsAre("dir/a.jsonl"));
  EXPECT_EQ(least.rl->questions, 16u);
  EXPECT_EQ(least.rl->samples, 8u);
  EXPECT_EQ(least.rl->updates, 1u);
  EXPECT_EQ(least.rl->clip_low, 3e-4);
  EXPECT_EQ(least.rl->clip_high, 4e-4);
  EXPECT_EQ(least.rl->schedule.steps, 10u);
  EXPECT_TRUE(least.stages.empty());
  const RunConfig full = parse(R"({"tasks": ["a", "b"], "held_out": "h", "steps": 3,
      "questions": 4, "samples": 6, "max_tokens": 9, "updates": 4, "clip": [0.1, 0.2],
      "schedule": {"kind": "cosine", "peak": 1e-5}})");
  EXPECT_EQ(full.rl->held_out, "dir/h");
  EXPECT_EQ(full.rl->updates, 4u);
  EXPECT_EQ(full.rl->clip_high, 0.2);
  EXPECT_EQ(full.rl->schedule.kind, ScheduleKind::kCosine);
  const auto error = [&](const std::string& rl) -> std::string {
    try {
      parse(rl);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error(R"({"steps": 3})"), HasSubstr("tasks"));
  EXPECT_THAT(error(R"({"tasks": "a", "steps": 3, "samples": 1, "schedule": {"peak": 1}})"),
              HasSubstr("samples"));
  EXPECT_THAT(error(R"({"tasks": "a", "steps": 3, "questions": 2, "updates": 3,
                        "schedule": {"peak": 1}})"),
              HasSubstr("updates"));
  EXPECT_THAT(error(R"({"tasks": "a", "steps": 3, "clip": [0.1], "schedule": {"peak": 1}})"),
              HasSubstr("expected two numbers above 0 and below 1"));
  EXPECT_THAT(error(R"({"tasks": "a", "steps": 3, "temperature": 1, "schedule": {"peak": 1}})"),
              HasSubstr("unknown field \"temperature\""));
  // Neither data nor stages beside it.
  EXPECT_THROW(parse_run_config(R"({"model": "m", "tokenizer": "t", "stages": [],
      "rl": {"tasks": "a", "steps": 3, "schedule": {"peak": 1}}})",
                                "r"),
               Error);
}

TEST(RunConfig, ReadsEveryField) {
  const RunConfig run = parse_run_config(kFull, "run.json");
  EXPECT_EQ(run.model_path, "");
  EXPECT_TRUE(run.model_inline.is_object());
  EXPECT_EQ(run.tokenizer, "/abs/tok");
  EXPECT_EQ(run.document_end, "<end>");
  EXPECT_THAT(run.sources[0].files, ElementsAre("a.txt", "/b.jsonl"));
  EXPECT_EQ(run.sources[0].text_field, "body");
  EXPECT_EQ(run.held_out.fraction, 0.01);
  EXPECT_THAT(run.held_out.files, ElementsAre("held.txt"));
  EXPECT_EQ(run.stages[0].shape.steps, 32u) << "1000 tokens of 32 a step, rounded up";
  EXPECT_THAT(run.stages[0].shape.weights, ElementsAre(2, 1));
  EXPECT_EQ(run.stages[0].schedule.decay_shape, DecayShape::kSqrt);
  EXPECT_EQ(run.stages[0].schedule.warmup_steps, 3u);
  EXPECT_THAT(run.stages[1].shape.weights, ElementsAre(0, 1));
  EXPECT_EQ(run.stages[1].schedule.kind, ScheduleKind::kCosine);
  EXPECT_EQ(run.optimizer.beta1, 0.8);
  EXPECT_EQ(run.optimizer.clip, 0.5);
  EXPECT_EQ(run.optimizer.kind, OptimizerKind::kMuon);
  EXPECT_EQ(run.optimizer.momentum, 0.9);
  EXPECT_TRUE(run.bf16);
  EXPECT_EQ(run.mtp_weight, 0.1);
  EXPECT_EQ(run.checkpoints.every, 100u);
  EXPECT_TRUE(run.checkpoints.export_each);
  EXPECT_EQ(run.eval.tokens, 4096u);
  EXPECT_EQ(run.spike.window, 32u);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(RunConfig, NamesWhatIsWrong) {
  const struct {
    const char *from, *to, *expected;
  } kCases[] = {
      {"\"seed\": 7", "\"sead\": 7", "run.json: unknown field \"sead\", expected one of balance, "},
      {"\"seed\": 7", "\"seed\": \"7\"",
       "run.json: field \"seed\": found \"7\", expected an integer"},
      {"\"decay\": \"sqrt\"", "\"decay\": \"log\"",
       "run.json: stages[0]: schedule: field \"decay\": found \"log\", expected linear, sqrt or "
       "cosine"},
      {"\"warmup_steps\": 3", "\"warmup\": 3",
       "run.json: stages[0]: schedule: unknown field \"warmup\""},
      {"\"decay_steps\": 4", "\"decay_steps\": 30", "found 30, expected an integer from 0 to 29"},
      {"\"batch_tokens\": 32", "\"batch_tokens\": 33",
       "run.json: stages[0]: field \"batch_tokens\": found 33, expected a multiple of "
       "sequence_length (8)"},
      {"\"tokens\": 1000", "\"tokens\": 1000, \"steps\": 3", "stages[0]: steps: expected either"},
      {"\"steps\": 5, ", "", "stages[1]: steps: expected either"},
      {"\"mix\": {\"b\": 1}", "\"mix\": {\"c\": 1}",
       "stages[1]: mix: unknown field \"c\", expected one of a, b"},
      {"\"mix\": {\"b\": 1}", "\"mix\": {\"b\": 0}", "stages[1]: every source has weight 0"},
      {"\"peak\": 1e-4", "\"min\": 0", "stages[1]: schedule: field \"peak\" is missing"},
      {"\"peak\": 1e-4", "\"peak\": 1e-4, \"decay_steps\": 1", "unknown field \"decay_steps\""},
      {"[0.8, 0.9]", "[0.8, 1]",
       "optimizer: field \"betas\": found [8E-1,1], expected two numbers"},
      {"\"name\": \"b\"", "\"name\": \"a\"", "data[1]: name: \"a\" is the name of two sources"},
      {"[\"a.txt\", \"/b.jsonl\"]", "[\"a.txt\", 3]",
       "data[0]: files: found 3 in it, expected a path or"},
      {"[\"a.txt\", \"/b.jsonl\"]", "[]", "data[0]: files: found [], expected a path or"},
      {"\"fraction\": 0.01", "\"fraction\": 0.6",
       "held_out: field \"fraction\": found 6E-1, expected a number from 0 to 0.5"},
      {"\"tokenizer\": \"/abs/tok\", ", "", "run.json: field \"tokenizer\" is missing"},
      {"\"kind\": \"muon\"", "\"kind\": \"sgd\"",
       "optimizer: field \"kind\": found \"sgd\", expected adamw or muon"},
      {"\"kind\": \"muon\"", "\"kind\": \"adamw\"", "optimizer: unknown field \"momentum\""},
      {"\"dtype\": \"bf16\"", "\"dtype\": \"f16\"",
       "field \"dtype\": found \"f16\", expected f32 or bf16"},
      {"{\"model_type\": \"axk1\"}", "3",
       "field \"model\": found 3, expected a config.json, a folder"},
  };
  for (const auto& c : kCases) {
    try {
      parse_run_config(replaced(kFull, c.from, c.to), "run.json");
      ADD_FAILURE() << "accepted: " << c.to;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c.expected)) << c.to;
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    }
  }
  EXPECT_THROW(load_run_config("/no/such/run.json"), Error);
}

TEST(RunConfig, FingerprintIsOfWhatTheNumbersFollowFrom) {
  const uint64_t base = parse_run_config(kFull, "run.json").fingerprint;
  EXPECT_EQ(parse_run_config(kFull, "elsewhere/run.json").fingerprint, base);
  const auto changed = [](const char* from, const char* to) {
    return parse_run_config(replaced(kFull, from, to), "run.json").fingerprint;
  };
  EXPECT_EQ(changed("\"every\": 100", "\"every\": 1"), base);
  EXPECT_EQ(changed("\"tokens\": 4096", "\"tokens\": 5"), base);
  EXPECT_NE(changed("\"seed\": 7", "\"seed\": 8"), base);
  EXPECT_NE(changed("\"micro_batch\": 2", "\"micro_batch\": 1"), base);
}

}  // namespace
}  // namespace axk1
