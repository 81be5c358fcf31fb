#include "train/teachers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "kernels/registry.h"
#include "testing/shared_data.h"
#include "testing/tiny_config.h"
#include "train/hf_export.h"
#include "train/train_model.h"
#include "train/train_test_util.h"

namespace axk1 {
namespace {

using testing::random_batch;
using testing::tiny_config;

class TeachersTest : public ::testing::Test {
 protected:
  TeachersTest()
      : dir_(::testing::TempDir() + "teachers_test_" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name()),
        params_(tiny_config(), {.seed = 9, .standard_deviation = 0.15}),
        batch_(random_batch(2, 40, 37, 4)) {
    export_huggingface(params_, dir_, {.dtype = DType::kF32});
  }
  ~TeachersTest() override { std::filesystem::remove_all(dir_); }

  std::string dir_;
  ParamStore params_;
  TrainBatch batch_;
  KernelTable kernels_ = select_kernels("", cpu_features());
  ThreadPool pool_{2};
};

// A student with the teacher's own weights has nothing to learn from it: inference and training
// compute the same graph, packed documents and all.
TEST_F(TeachersTest, AModelTeachesItselfNothing) {
  ModelTeacher teacher(dir_, kernels_, pool_, 80, 2);
  EXPECT_EQ(teacher.vocab_size(), 37u);
  teacher.read(batch_, 0);
  const Teaching teaching{{.temperature = 2}, &teacher};
  TrainModel model(params_, kernels_, pool_);
  Gradients gradients(params_.layout()), text(params_.layout());
  const StepStats stats = model.forward_backward(batch_, 80, gradients, &teaching);
  EXPECT_NEAR(stats.teacher_loss_sum, 0, 1e-4);
  const auto size = [](std::span<const float> x) {
    double sum = 0;
    for (float v : x) sum += double{v} * double{v};
    return std::sqrt(sum);
  };
  model.forward_backward(batch_, 80, text);
  EXPECT_LT(size(gradients.values()), 1e-4 * size(text.values()));

  // Another batch, whose documents lie elsewhere, leaves nothing of the first behind.
  const TrainBatch other = random_batch(2, 40, 37, 5);
  teacher.read(other, 80);
  EXPECT_NEAR(model.forward_backward(other, 80, gradients, &teaching).teacher_loss_sum, 0, 1e-4);
  for (size_t t = 0; t < other.targets.size(); ++t) {
    EXPECT_EQ(teacher.rows(t, 1)[0].kind,
              other.targets[t] < 0 ? TeacherRow::Kind::kNothing : TeacherRow::Kind::kAll);
  }
}

TEST_F(TeachersTest, ACacheOfAllTokensIsTheModel) {
  ModelTeacher model_teacher(dir_, kernels_, pool_, 80, 1);
  model_teacher.read(batch_, 0);
  const std::string path = dir_ + "/cache";
  // In front of the batch stand some other tokens.
  constexpr uint64_t kBefore = 7;
  TeacherCacheWriter writer(path, {.kind = TeacherCacheKind::kTop,
                                   .count = 37,
                                   .vocab_size = 37,
                                   .num_positions = kBefore + 80});
  Rng rng(1);
  for (uint64_t i = 0; i < kBefore; ++i) writer.add({}, rng);
  for (size_t t = 0; t < 80; ++t) writer.add(model_teacher.rows(t, 1)[0].probabilities, rng);
  writer.finish();

  CacheTeacher cached(TeacherCache::open(path));
  const ParamStore student(tiny_config(), {.seed = 10, .standard_deviation = 0.15});
  TrainModel model(student, kernels_, pool_);
  const auto loss = [&](Teacher& teacher) {
    teacher.read(batch_, kBefore);
    Gradients gradients(student.layout());
    const Teaching teaching{{}, &teacher};
    return model.forward_backward(batch_, 80, gradients, &teaching).teacher_loss_sum;
  };
  // Probabilities in the cache are off by 2^-9 of themselves.
  const double exact = loss(model_teacher);
  EXPECT_GT(exact, 1);
  EXPECT_NEAR(loss(cached), exact, exact / 100);
  EXPECT_THROW(cached.read(batch_, kBefore + 1), Error);
}

TEST_F(TeachersTest, AHashTellsTeachersApart) {
  const uint64_t hash = teacher_hash(dir_);
  EXPECT_EQ(teacher_hash(dir_), hash);
  params_.mutable_values()[5] += 1;
  export_huggingface(params_, dir_, {.dtype = DType::kF32});
  EXPECT_NE(teacher_hash(dir_), hash);
  EXPECT_THROW(teacher_hash(dir_ + "/nothing"), Error);
}

}  // namespace
}  // namespace axk1
