#include "train/distil_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"

namespace axk1 {
namespace {

using Row = std::vector<double>;

double softmax(double* x, size_t n, double scale) {
  double max = -INFINITY, sum = 0;
  for (size_t i = 0; i < n; ++i) max = std::max(max, scale * x[i]);
  for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(scale * x[i] - max);
  for (size_t i = 0; i < n; ++i) x[i] /= sum;
  return max + std::log(sum);
}

DistilRowLoss loss_of(const DistilOptions& options, const TeacherRow& teacher, int32_t target,
                      Row logits, Row* gradient = nullptr) {
  Row scratch(3 * logits.size() + 2);
  const DistilRowLoss loss = distil_row<double>(options, teacher, target, logits, scratch, softmax);
  if (gradient) *gradient = logits;
  return loss;
}

double total(const DistilOptions& o, const DistilRowLoss& loss) {
  return o.teacher_weight * loss.teacher + o.text_weight * loss.text;
}

struct Example {
  static constexpr size_t kVocab = 9;
  Row logits;
  std::vector<float> all, top, draws;
  std::vector<int32_t> ids = {7, 2, 4};

  explicit Example(uint64_t seed) {
    Rng rng(seed);
    for (size_t i = 0; i < kVocab; ++i) logits.push_back(2 * rng.normal());
    Row p;
    for (size_t i = 0; i < kVocab; ++i) p.push_back(2 * rng.normal());
    softmax(p.data(), kVocab, 1);
    all.assign(p.begin(), p.end());
    for (int32_t id : ids) top.push_back(all[static_cast<size_t>(id)]);
    draws = {0.5f, 0.25f, 0.25f};
  }
  TeacherRow row(TeacherRow::Kind kind) const {
    switch (kind) {
      case TeacherRow::Kind::kAll: {
        double entropy = 0;
        for (float p : all) entropy -= double{p} * std::log(double{p});
        return {kind, {}, all, 0, entropy};
      }
      case TeacherRow::Kind::kTop:
        return {kind, ids, top, 1 - top[0] - top[1] - top[2]};
      case TeacherRow::Kind::kDraws:
        return {kind, ids, draws, 0};
      default:
        return {};
    }
  }
};

constexpr DistilLoss kLosses[] = {DistilLoss::kForwardKl, DistilLoss::kReverseKl, DistilLoss::kJsd,
                                  DistilLoss::kSkewKl, DistilLoss::kSkewReverseKl};

// Central differences of a function whose third derivatives are of order 1: off by h²/6 and by
// rounding of 1e-16 / h, together below 1e-8 with h = 1e-5.
TEST(DistilLoss, GradientsAreThoseOfFiniteDifferences) {
  size_t cases = 0;
  for (DistilLoss loss : kLosses) {
    for (auto kind : {TeacherRow::Kind::kNothing, TeacherRow::Kind::kAll, TeacherRow::Kind::kTop,
                      TeacherRow::Kind::kDraws}) {
      if (kind == TeacherRow::Kind::kDraws && loss != DistilLoss::kForwardKl) continue;
      for (double temperature : {1.0, 2.0}) {
        for (int32_t target : {-1, 3}) {
          const Example example(cases);
          const DistilOptions options{.loss = loss,
                                      .alpha = 0.3,
                                      .temperature = temperature,
                                      .teacher_weight = 0.7,
                                      .text_weight = 0.4};
          const TeacherRow teacher = example.row(kind);
          Row gradient;
          loss_of(options, teacher, target, example.logits, &gradient);
          for (size_t i = 0; i < Example::kVocab; ++i) {
            const double h = 1e-5;
            Row up = example.logits, down = example.logits;
            up[i] += h;
            down[i] -= h;
            const double expected = (total(options, loss_of(options, teacher, target, up)) -
                                     total(options, loss_of(options, teacher, target, down))) /
                                    (2 * h);
            EXPECT_NEAR(gradient[i], expected, 1e-7)
                << "loss " << int(loss) << " kind " << int(kind) << " T " << temperature
                << " logit " << i;
          }
          ++cases;
        }
      }
    }
  }
  printf("[ cases ] distillation losses: %zu\n", cases);
}

TEST(DistilLoss, IsZeroWhereStudentAndTeacherAgreeAndPositiveElsewhere) {
  for (DistilLoss loss : kLosses) {
    Example example(5);
    const DistilOptions options{.loss = loss, .alpha = 0.3};
    const auto all = TeacherRow::Kind::kAll, top = TeacherRow::Kind::kTop;
    EXPECT_GT(loss_of(options, example.row(all), -1, example.logits).teacher, 1e-3);
    EXPECT_GT(loss_of(options, example.row(top), -1, example.logits).teacher, 1e-3);
    for (size_t i = 0; i < Example::kVocab; ++i) example.logits[i] = std::log(example.all[i]);
    // The teacher's probabilities are f32.
    EXPECT_NEAR(loss_of(options, example.row(all), -1, example.logits).teacher, 0, 1e-6);
    EXPECT_NEAR(loss_of(options, example.row(top), -1, example.logits).teacher, 0, 1e-6);
  }
}

// With every token named and nothing left, classes are tokens.
TEST(DistilLoss, AllTokensNamedIsTheWholeDistribution) {
  const Example example(6);
  std::vector<int32_t> ids(Example::kVocab);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const TeacherRow named{TeacherRow::Kind::kTop, ids, example.all, 0};
  for (DistilLoss loss : kLosses) {
    const DistilOptions options{.loss = loss, .alpha = 0.3};
    Row a, b;
    const double whole =
        loss_of(options, example.row(TeacherRow::Kind::kAll), -1, example.logits, &a).teacher;
    // The probabilities are f32, and so their sum is 1 but for 1e-7.
    EXPECT_NEAR(loss_of(options, named, -1, example.logits, &b).teacher, whole, 1e-6);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-7);
  }
}

// The mean gradient over many draws is that of the whole distribution: a sum of 12 draws has in
// each logit a variance of p (1 - p) / 12, and the mean of 4,000 such is within 5 standard
// deviations.
// A student that leaves others than the named tokens less than f32 has left of 1. An element of the
// gradient is a probability times a difference of logarithms, which are below 70: some roundings of
// such numbers.
TEST(DistilLoss, ASureStudentHasTheSameGradientInF32) {
  constexpr size_t kVocab = 2048;
  const auto softmax_f32 = [](float* x, size_t n, float scale) {
    Row wide(x, x + n);
    const double log_sum = softmax(wide.data(), n, double{scale});
    std::copy(wide.begin(), wide.end(), x);
    return static_cast<float>(log_sum);
  };
  const std::vector<int32_t> ids = {5, 9};
  const std::vector<float> top = {0.9f, 0.099f};
  const TeacherRow teacher{TeacherRow::Kind::kTop, ids, top, 0.001f};
  for (const DistilLoss loss : kLosses) {
    for (const double sure : {10.0, 20.0, 30.0, 50.0}) {
      Rng rng(static_cast<uint64_t>(sure));
      std::vector<float> logits(kVocab);
      for (float& x : logits) x = static_cast<float>(rng.normal());
      logits[5] += static_cast<float>(sure);
      logits[9] += static_cast<float>(sure - 2);
      Row gradient;
      loss_of({.loss = loss}, teacher, -1, Row(logits.begin(), logits.end()), &gradient);
      std::vector<float> scratch(3 * kVocab + 2);
      distil_row<float>({.loss = loss}, teacher, -1, logits, scratch, softmax_f32);
      for (size_t i = 0; i < kVocab; ++i) {
        ASSERT_NEAR(logits[i], gradient[i], 2e-5) << "token " << i << ", logits up by " << sure;
      }
    }
  }
}

TEST(DistilLoss, DrawsGiveTheGradientOfTheWholeOnAverage) {
  const Example example(7);
  const DistilOptions options;
  Row whole, sum(Example::kVocab), gradient;
  loss_of(options, example.row(TeacherRow::Kind::kAll), -1, example.logits, &whole);
  Rng rng(8);
  constexpr size_t kRows = 4000, kDraws = 12;
  for (size_t r = 0; r < kRows; ++r) {
    std::vector<float> weights(Example::kVocab);
    for (size_t d = 0; d < kDraws; ++d) {
      double left = rng.uniform();
      size_t id = 0;
      while (id + 1 < Example::kVocab && (left -= example.all[id]) >= 0) ++id;
      weights[id] += 1.0f / kDraws;
    }
    std::vector<int32_t> ids;
    std::vector<float> drawn;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0) continue;
      ids.push_back(static_cast<int32_t>(i));
      drawn.push_back(weights[i]);
    }
    loss_of(options, {TeacherRow::Kind::kDraws, ids, drawn, 0}, -1, example.logits, &gradient);
    for (size_t i = 0; i < gradient.size(); ++i) sum[i] += gradient[i] / kRows;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    const double p = example.all[i];
    EXPECT_NEAR(sum[i], whole[i], 5 * std::sqrt(p * (1 - p) / kDraws / kRows) + 1e-6) << i;
  }
}

}  // namespace
}  // namespace axk1
