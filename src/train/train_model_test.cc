// What trains, against the reference in double.
#include "train/train_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "kernels/registry.h"
#include "model/forward.h"
#include "testing/shared_data.h"
#include "testing/tiny_config.h"
#include "train/graph.h"
#include "train/hf_export.h"
#include "train/reference_ops.h"
#include "train/train_test_util.h"

namespace axk1 {
namespace {

using testing::random_batch;
using testing::tiny_config;

double rms(std::span<const double> values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

// The reference on the same weights.
struct Expected {
  Expected(const ParamStore& params, const TrainBatch& batch, double scale,
           const Teaching* teaching = nullptr)
      : values(params.values().begin(), params.values().end()), gradients(values.size()) {
    ReferenceOps<double> ops(values.data(), gradients.data());
    Graph<ReferenceOps<double>> graph(params.layout(), ops, kMtpWeight);
    stats = graph.run(batch, params.router_biases(), scale, true, teaching);
  }
  std::vector<double> values, gradients;
  StepStats stats;
};

// The largest difference of a parameter's gradients, relative to their RMS.
double worst_difference(const ParamLayout& layout, std::span<const float> found,
                        std::span<const double> expected) {
  double worst = 0;
  for (const Param& p : layout.params()) {
    const double size = rms(expected.subspan(p.offset, p.size));
    for (size_t i = p.offset; i < p.offset + p.size; ++i) {
      const double off = std::abs(double{found[i]} - expected[i]);
      worst = std::max(worst, size > 0 ? off / size : off > 0 ? INFINITY : 0);
    }
  }
  return worst;
}

class TrainModelTest : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(
    Configs, TrainModelTest,
    ::testing::Values("{}", R"({"q_lora_rank": null, "norm_topk_prob": false})",
                      R"({"model_type": "deepseek_v3", "n_shared_experts": 2})",
                      R"({"tie_word_embeddings": true, "n_shared_experts": 0})",
                      R"({"first_k_dense_replace": 3, "rope_interleave": false})",
                      R"({"num_nextn_predict_layers": 1})"));

// What forward passes are off by (model/golden_test.cc), of which a gradient sees the same again on
// the way back.
constexpr double kF32Tolerance = 4e-5;

TEST_P(TrainModelTest, F32MatchesTheReference) {
  ParamStore params(tiny_config(GetParam()), {.seed = 3, .standard_deviation = 0.15});
  for (size_t i = 0; i < params.router_biases().size(); ++i) {
    params.mutable_router_biases()[i] = 0.01f * static_cast<float>(i % 4);
  }
  const TrainBatch batch = random_batch(3, 45, 37, 5);
  const Expected expected(params, batch, 0.01);
  for (std::string_view table : available_kernel_names(cpu_features())) {
    const KernelTable kernels = select_kernels(table, cpu_features());
    ThreadPool pool(2);
    TrainModel model(params, kernels, pool);
    Gradients gradients(params.layout());
    const StepStats stats = model.forward_backward(batch, 100, gradients);
    EXPECT_NEAR(stats.loss_sum, expected.stats.loss_sum, 1e-6 * expected.stats.loss_sum);
    EXPECT_EQ(stats.targets, expected.stats.targets);
    EXPECT_NEAR(stats.mtp_loss_sum, expected.stats.mtp_loss_sum,
                1e-6 * expected.stats.mtp_loss_sum);
    EXPECT_EQ(stats.mtp_targets, expected.stats.mtp_targets);
    EXPECT_EQ(stats.mtp_targets > 0, params.layout().mtp.has_value());
    for (size_t i = 0; i < stats.moe_layers.size(); ++i) {
      EXPECT_EQ(stats.moe_layers[i].tokens_per_expert,
                expected.stats.moe_layers[i].tokens_per_expert);
      EXPECT_NEAR(stats.moe_layers[i].router_entropy_sum,
                  expected.stats.moe_layers[i].router_entropy_sum, 1e-3);
    }
    EXPECT_LE(worst_difference(params.layout(), gradients.values(), expected.gradients),
              kF32Tolerance)
        << table;
    EXPECT_EQ(model.evaluate(batch).loss_sum, stats.loss_sum);
    // Gradients are added.
    model.forward_backward(batch, 100, gradients);
    for (float& g : gradients.values()) g *= 0.5f;
    EXPECT_LE(worst_difference(params.layout(), gradients.values(), expected.gradients),
              kF32Tolerance)
        << table;
  }
}

TEST(TrainModel, LearnsFromATeacherAsTheReferenceDoes) {
  const ParamStore params(tiny_config(), {.seed = 3, .standard_deviation = 0.15});
  const TrainBatch batch = random_batch(3, 45, 37, 5);
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(2);
  TrainModel model(params, kernels, pool);
  for (const auto kind :
       {TeacherRow::Kind::kAll, TeacherRow::Kind::kTop, TeacherRow::Kind::kDraws}) {
    testing::RandomTeacher teacher(kind, 37, batch);
    const Teaching teaching{{.loss = DistilLoss::kForwardKl,
                             .temperature = 1.5,
                             .teacher_weight = 0.7,
                             .text_weight = 0.3},
                            &teacher};
    const Expected expected(params, batch, 0.01, &teaching);
    Gradients gradients(params.layout());
    const StepStats stats = model.forward_backward(batch, 100, gradients, &teaching);
    EXPECT_NEAR(stats.loss_sum, expected.stats.loss_sum, 1e-6 * expected.stats.loss_sum);
    EXPECT_GT(stats.teacher_loss_sum, 1);
    EXPECT_NEAR(stats.teacher_loss_sum, expected.stats.teacher_loss_sum,
                1e-5 * expected.stats.teacher_loss_sum);
    EXPECT_LE(worst_difference(params.layout(), gradients.values(), expected.gradients),
              kF32Tolerance);
  }
}

TEST(TrainModel, WeightsOfTargets) {
  const ParamStore params(tiny_config(), {.seed = 3, .standard_deviation = 0.15});
  TrainBatch batch = random_batch(2, 20, 37, 6);
  Rng rng(7);
  for (size_t i = 0; i < batch.inputs.size(); ++i) {
    batch.weights.push_back(static_cast<float>(rng.normal()));
  }
  const Expected expected(params, batch, 0.01);
  ThreadPool pool(2);
  const KernelTable kernels = select_kernels("", cpu_features());
  TrainModel model(params, kernels, pool);
  Gradients gradients(params.layout());
  const StepStats stats = model.forward_backward(batch, 100, gradients);
  EXPECT_LE(worst_difference(params.layout(), gradients.values(), expected.gradients),
            kF32Tolerance);

  // Equal weights are a scale; what is reported has none.
  TrainBatch twice = batch, plain = batch;
  twice.weights.assign(batch.inputs.size(), 2.0f);
  plain.weights.clear();
  Gradients of_twice(params.layout()), of_plain(params.layout());
  EXPECT_EQ(model.forward_backward(twice, 100, of_twice).loss_sum, stats.loss_sum);
  model.forward_backward(plain, 50, of_plain);
  std::vector<double> halves(of_plain.values().begin(), of_plain.values().end());
  EXPECT_LE(worst_difference(params.layout(), of_twice.values(), halves), 1e-5);

  std::vector<float> losses;
  EXPECT_EQ(model.evaluate(batch, losses).loss_sum, stats.loss_sum);
  ASSERT_EQ(losses.size(), batch.inputs.size());
  double sum = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (batch.targets[i] < 0) {
      EXPECT_EQ(losses[i], 0);
    }
    sum += double{losses[i]};
  }
  EXPECT_NEAR(sum, stats.loss_sum, 1e-4);
  batch.weights.pop_back();
  EXPECT_THROW(model.evaluate(batch), Error);
}

// Each factor of a product is off by up to 2^-9 of itself, evenly: 2^-9 / sqrt(3) = 1.1e-3 in the
// mean square, and two factors 1.6e-3. A sum keeps that share of its norm. A gradient passes some
// 30 products, forward and backward: 1e-2 of its norm, and norms of the first layers enlarge what a
// small stream is off by as they enlarge the stream. Gradients of queries and of the router are
// differences between what keys, or experts, would give; being smaller, they are off by more of
// themselves. Biases hold the choice of experts fast: one that flips moves a token by whole units.
constexpr double kBf16Norm = 3e-2, kBf16TensorNorm = 0.25;

TEST_P(TrainModelTest, Bf16IsAsCloseAsItsRounding) {
  ParamStore params(tiny_config(GetParam()), {.seed = 3, .standard_deviation = 0.15});
  for (size_t i = 0; i < params.router_biases().size(); ++i) {
    params.mutable_router_biases()[i] = i % 6 == 1 || i % 6 == 2 ? 5.0f : 0.0f;
  }
  const TrainBatch batch = random_batch(3, 77, 37, 5);
  const Expected expected(params, batch, 0.01);
  for (std::string_view table : available_kernel_names(cpu_features())) {
    const KernelTable kernels = select_kernels(table, cpu_features());
    ThreadPool pool(2);
    TrainModel model(params, kernels, pool, {.compute = DType::kBF16});
    Gradients gradients(params.layout());
    const StepStats stats = model.forward_backward(batch, 100, gradients);
    EXPECT_NEAR(stats.loss_sum, expected.stats.loss_sum, 2e-3 * expected.stats.loss_sum);
    double worst = 0, all_off = 0, all_size = 0;
    for (const Param& p : params.layout().params()) {
      double off = 0, size = 0;
      for (size_t i = p.offset; i < p.offset + p.size; ++i) {
        off += std::pow(double{gradients.values()[i]} - expected.gradients[i], 2);
        size += std::pow(expected.gradients[i], 2);
      }
      EXPECT_LE(std::sqrt(off), kBf16TensorNorm * std::sqrt(size)) << table << " " << p.name;
      worst = std::max(worst, std::sqrt(off / size));
      all_off += off;
      all_size += size;
    }
    EXPECT_LE(std::sqrt(all_off / all_size), kBf16Norm) << table;
    EXPECT_GT(worst, 1e-4) << "nothing was rounded";
    std::printf("[ bf16 ] %s: gradients off by %.2g, of one tensor by %.2g at most\n",
                std::string(table).c_str(), std::sqrt(all_off / all_size), worst);
  }
}

TEST(TrainModel, NoticesNewWeights) {
  ParamStore params(tiny_config(), {.seed = 3, .standard_deviation = 0.15});
  const TrainBatch batch = random_batch(2, 9, 37, 5);
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(1);
  TrainModel model(params, kernels, pool, {.compute = DType::kBF16});
  const double before = model.loss(batch);
  for (float& value : params.mutable_values()) value *= 2;
  EXPECT_NE(model.loss(batch), before);
  for (float& value : params.mutable_values()) value /= 2;
  EXPECT_EQ(model.loss(batch), before);
}

TEST(TrainModel, GradientsDoNotDependOnThreads) {
  const ParamStore params(tiny_config(), {.seed = 3, .standard_deviation = 0.15});
  const TrainBatch batch = random_batch(3, 77, 37, 5);
  const KernelTable kernels = select_kernels("", cpu_features());
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      TrainModel model(params, kernels, pool, {.compute = compute});
      Gradients gradients(params.layout());
      model.forward_backward(batch, 100, gradients);
      results.emplace_back(gradients.values().begin(), gradients.values().end());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

// The loss of a sequence is what inference says about it.
TEST(TrainModel, LossIsThatOfInference) {
  const std::string dir = testing::testdata("golden/g1-grouped-yarn");
  const ParamStore params(dir);
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(2);
  TrainModel model(params, kernels, pool);
  TrainBatch batch = random_batch(1, 50, 512, 8);
  for (size_t i = 0; i < 50; ++i) batch.positions[i] = static_cast<int32_t>(i);
  const ModelConfig config = load_model_config(dir);
  const ModelWeights weights = load_weights(dir, config, {.dtype = DType::kF32});
  Forward forward(config, weights, kernels, pool);
  KvCache cache(config, forward.cache_dtype());
  cache.reserve(50);
  const SequenceInput input{.tokens = batch.inputs, .cache = &cache, .all_logits = true};
  forward.run({&input, 1});
  const std::span<const float> logits = forward.logits(0, 50);
  double loss = 0;
  for (size_t t = 0; t < 50; ++t) {
    if (batch.targets[t] < 0) continue;
    const auto row = logits.subspan(t * 512, 512);
    double sum = 0;
    for (float logit : row) sum += std::exp(double{logit});
    loss += std::log(sum) - double{row[static_cast<size_t>(batch.targets[t])]};
  }
  // 4e-5 of the logits' RMS (model/golden_test.cc), which is near 1.
  EXPECT_NEAR(model.evaluate(batch).loss_sum, loss, 50 * 4e-5 * 2);
}

// So is that of multi-token prediction: an export of random weights guesses in the engine's forward
// pass as the trainer computed it.
TEST(TrainModel, LossOfMultiTokenPredictionIsThatOfInference) {
  ParamStore params(tiny_config(R"({"num_nextn_predict_layers": 1})"),
                    {.seed = 3, .standard_deviation = 0.15});
  for (float& bias : params.mutable_router_biases()) bias = 0.01f;
  const testing::TempDir dir;
  export_huggingface(params, dir.path() + "/model", {.dtype = DType::kF32});
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(2);
  TrainModel model(params, kernels, pool);
  constexpr size_t kTokens = 20;
  TrainBatch batch = random_batch(1, kTokens, 37, 8);
  for (size_t i = 0; i < kTokens; ++i) batch.positions[i] = static_cast<int32_t>(i);
  const ModelConfig config = load_model_config(dir.path() + "/model");
  EXPECT_EQ(config.num_nextn_predict_layers, 1);
  const ModelWeights weights = load_weights(dir.path() + "/model", config);
  Forward forward(config, weights, kernels, pool);
  forward.reserve_mtp();
  KvCache cache(config, forward.cache_dtype(), 1);
  cache.reserve(kTokens);
  double loss = 0;
  size_t targets = 0;
  for (size_t t = 0; t + 1 < kTokens; ++t) {
    const std::span<const int32_t> ids(batch.inputs);
    const SequenceInput input{.tokens = ids.subspan(t, 1), .cache = &cache, .all_hidden = true};
    forward.run({&input, 1});
    const MtpInput next{
        .tokens = ids.subspan(t + 1, 1), .cache = &cache, .position = t, .logits = true};
    forward.run_mtp({&next, 1});
    if (batch.targets[t + 1] < 0) continue;
    const auto row = forward.logits(0, 1);
    double sum = 0;
    for (float logit : row) sum += std::exp(double{logit});
    loss += std::log(sum) - double{row[static_cast<size_t>(batch.targets[t + 1])]};
    ++targets;
  }
  const StepStats stats = model.evaluate(batch);
  EXPECT_EQ(stats.mtp_targets, targets);
  EXPECT_NEAR(stats.mtp_loss_sum, loss, kTokens * 4e-5 * 2);
}

TEST(TrainModel, RefusesBatchesThatAreWrong) {
  const ParamStore params(tiny_config(), {});
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(1);
  TrainModel model(params, kernels, pool);
  const auto error_of = [&](const TrainBatch& batch) -> std::string {
    try {
      model.evaluate(batch);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return error.what();
    }
    return "";
  };
  const TrainBatch good = random_batch(2, 4, 37, 1);
  EXPECT_EQ(error_of(good), "");
  TrainBatch bad = good;
  bad.targets.pop_back();
  EXPECT_THAT(error_of(bad), ::testing::HasSubstr("7 targets"));
  EXPECT_THAT(error_of({}), ::testing::HasSubstr("at least one"));
  bad = good;
  bad.inputs[5] = 37;
  EXPECT_THAT(error_of(bad), ::testing::HasSubstr("id 37 at row 1, column 1, expected 0 to 36"));
  bad = good;
  bad.targets[0] = -2;
  EXPECT_THAT(error_of(bad), ::testing::HasSubstr("target -2 at row 0, column 0"));
  bad = good;
  bad.positions[4] = 1;
  EXPECT_THAT(error_of(bad), ::testing::HasSubstr("position 1 at row 1, column 0"));
}

}  // namespace
}  // namespace axk1
