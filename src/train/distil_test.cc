#include "train/distil.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "testing/tiny_run.h"
#include "train/trainer.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

std::vector<StepMetrics> train(const std::string& run_file, const std::string& out) {
  std::vector<StepMetrics> steps;
  TrainerOptions options;
  options.out = out;
  options.num_threads = 1;
  options.on_step = [&](const StepMetrics& m, uint64_t) { steps.push_back(m); };
  train_run(load_run_config(run_file), options);
  return steps;
}

std::string error_of(const std::string& run_file, const std::string& out) {
  try {
    train(run_file, out);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// A teacher, and the files of its run.
class DistilTest : public ::testing::Test {
 protected:
  DistilTest() { train(files_.write_run(), files_.path() + "/teacher"); }

  // A smaller student, dense; `distil` and `more` are its run's.
  std::string student_run(const std::string& distil, const std::string& more = "") {
    return files_.write_run(
        cat(R"({"model": {"model_type": "axk1", "hidden_size": 16, "intermediate_size": 32,
                "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
                "n_routed_experts": null, "kv_lora_rank": 12, "q_lora_rank": null,
                "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "hidden_act": "silu",
                "first_k_dense_replace": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-6},
             "distil": {)",
            distil, "}", more, "}"),
        "student.json");
  }
  std::string write_cache(const std::string& name, TeacherCacheKind kind, uint32_t count,
                          int threads = 1) {
    const std::string path = files_.path() + "/" + name;
    EXPECT_TRUE(write_teacher_cache(load_run_config(student_run(R"("teacher": "teacher/model")")),
                                    path, {.kind = kind, .count = count, .num_threads = threads}));
    return path;
  }
  std::string out() { return cat(files_.path(), "/out", num_outs_++); }

  testing::TinyRun files_;
  int num_outs_ = 0;
};

TEST_F(DistilTest, AStudentComesNearItsTeacher) {
  const auto steps = train(student_run(R"("teacher": "teacher/model")"), out());
  ASSERT_EQ(steps.size(), 24u);
  EXPECT_GT(*steps[0].teacher_loss, 1);
  EXPECT_LT(*steps.back().teacher_loss, 0.6 * *steps[0].teacher_loss);
  ASSERT_TRUE(steps.back().held_out_loss);
  EXPECT_LT(*steps.back().held_out_loss, 4.5);
}

// The first step has the same student whatever the teacher's answers come from.
TEST_F(DistilTest, ACacheIsAsGoodAsTheTeacher) {
  const double exact = *train(student_run(R"("teacher": "teacher/model")"), out())[0].teacher_loss;
  write_cache("top", TeacherCacheKind::kTop, 64);
  const auto top = train(student_run(R"("cache": "top", "teacher": "teacher/model")"), out());
  EXPECT_NEAR(*top[0].teacher_loss, exact, 0.05 * exact);
  EXPECT_LT(*top.back().teacher_loss, 0.6 * exact);
  // The cross-entropy with draws has the teacher's entropy more than the divergence has.
  write_cache("draws", TeacherCacheKind::kDraws, 12);
  const auto draws = train(student_run(R"("cache": "draws")"), out());
  EXPECT_GT(*draws[0].teacher_loss, exact);
  EXPECT_LT(*draws.back().teacher_loss, 0.9 * *draws[0].teacher_loss);
}

TEST_F(DistilTest, ACacheDoesNotDependOnThreads) {
  const std::string one = write_cache("one", TeacherCacheKind::kDraws, 12, 1);
  const std::string three = write_cache("three", TeacherCacheKind::kDraws, 12, 3);
  EXPECT_TRUE(read_file(one) == read_file(three));
}

TEST_F(DistilTest, WhatDoesNotFitIsRefused) {
  write_cache("draws", TeacherCacheKind::kDraws, 12);
  const auto refusal = [&](const std::string& distil, const std::string& more = "") {
    return error_of(student_run(distil, more), out());
  };
  EXPECT_EQ(refusal(R"("cache": "draws")"), "");
  EXPECT_THAT(refusal(R"("cache": "draws")", R"(, "seed": 5)"), HasSubstr("an order"));
  EXPECT_THAT(refusal(R"("cache": "draws", "temperature": 2)"), HasSubstr("temperature 1"));
  EXPECT_THAT(refusal(R"("cache": "draws", "loss": "reverse_kl")"), HasSubstr("forward_kl"));
  EXPECT_THAT(refusal(R"("cache": "draws", "teacher": "../../nothing")"), HasSubstr("nothing"));
  EXPECT_THAT(refusal(R"("loss": "jsd")"), HasSubstr("teacher"));
  EXPECT_THAT(refusal(R"("teacher": "teacher/model", "alpha": 1)"), HasSubstr("alpha"));
  EXPECT_THAT(refusal(R"("teacher": "teacher/model", "teacher_weight": 0)"),
              HasSubstr("teacher_weight"));
  EXPECT_THAT(refusal(R"("teacher": "teacher/model", "heat": 1)"), HasSubstr("heat"));
  EXPECT_THAT(error_of(student_run(cat(R"("teacher": ")",
                                       testing::testdata("golden/g1-grouped-yarn"), "\"")),
                       out()),
              HasSubstr("512 tokens, expected the student's 259"));
}

}  // namespace
}  // namespace axk1
