#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

ModelConfig small_config() {
  return load_model_config(testing::testdata("golden/g3-dense"));
}

// Against the formula in double, three steps; norms get no decay. A step rounds some ten times in
// f32: relative to lr, the size of an update, and to the weight itself.
TEST(AdamW, FollowsTheFormula) {
  ParamStore params(small_config(), {.seed = 1});
  const std::vector<float> start(params.values().begin(), params.values().end());
  const size_t n = start.size();
  Gradients gradients(params.layout());
  ThreadPool pool(2);
  AdamW optimizer(params.layout(), {.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6, .weight_decay = 0.2});
  std::vector<double> p(start.begin(), start.end()), m(n), v(n);
  const double lr = 0.01;
  Rng rng(2);
  for (int t = 1; t <= 3; ++t) {
    for (float& g : gradients.values()) g = static_cast<float>(rng.normal());
    optimizer.step(pool, params, gradients.values(), lr);
    for (const Param& param : params.layout().params()) {
      for (size_t i = param.offset; i < param.offset + param.size; ++i) {
        const double g = gradients.values()[i];
        if (param.decays()) p[i] *= 1 - lr * 0.2;
        m[i] = 0.8 * m[i] + 0.2 * g;
        v[i] = 0.9 * v[i] + 0.1 * g * g;
        p[i] -= lr / (1 - std::pow(0.8, t)) * m[i] /
                (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.9, t)) + 1e-6);
      }
    }
  }
  EXPECT_EQ(optimizer.num_steps(), 3u);
  for (size_t i = 0; i < n; ++i) {
    ASSERT_NEAR(params.values()[i], p[i], 3 * 10 * 0x1p-24 * (std::abs(p[i]) + lr)) << i;
  }
}

TEST(AdamW, GoesOnFromItsState) {
  ParamStore a(small_config(), {.seed = 1}), b(small_config(), {.seed = 1});
  Gradients gradients(a.layout());
  for (size_t i = 0; i < gradients.values().size(); ++i) {
    gradients.values()[i] = static_cast<float>(i % 7) - 3;
  }
  ThreadPool pool(1);
  AdamW first(a.layout(), {});
  first.step(pool, a, gradients.values(), 0.1);
  AdamW second(a.layout(), {});
  std::copy(first.first_moment().begin(), first.first_moment().end(),
            second.first_moment().begin());
  std::copy(first.second_moment().begin(), first.second_moment().end(),
            second.second_moment().begin());
  second.set_num_steps(first.num_steps());
  std::copy(a.values().begin(), a.values().end(), b.mutable_values().begin());
  first.step(pool, a, gradients.values(), 0.1);
  second.step(pool, b, gradients.values(), 0.1);
  EXPECT_TRUE(std::equal(a.values().begin(), a.values().end(), b.values().begin()));
}

TEST(ClipGradients, ScalesOnlyWhatIsTooLong) {
  std::vector<float> gradients(200'000, 0.0f);
  gradients[1] = 3;
  gradients[150'000] = 4;
  ThreadPool pool(2);
  EXPECT_DOUBLE_EQ(clip_gradients(pool, gradients, 10), 5);
  EXPECT_EQ(gradients[1], 3);
  EXPECT_DOUBLE_EQ(clip_gradients(pool, gradients, 0), 5);
  EXPECT_EQ(gradients[1], 3);
  EXPECT_DOUBLE_EQ(clip_gradients(pool, gradients, 1), 5);
  EXPECT_NEAR(gradients[1], 3 / 5.000001, 1e-7);
  EXPECT_NEAR(gradients[150'000], 4 / 5.000001, 1e-7);
}

}  // namespace
}  // namespace axk1
