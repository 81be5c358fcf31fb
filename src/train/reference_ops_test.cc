// Backward against finite differences in double, op by op and for whole models.
#include "train/reference_ops.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/rng.h"
#include "testing/tiny_config.h"
#include "train/graph.h"
#include "train/train_test_util.h"

namespace axk1 {
namespace {

using testing::normal_values;
using testing::random_batch;
using testing::tiny_config;
using Ops = ReferenceOps<double>;
using Values = std::vector<double>;

// f'(0) by differences over four points: off by h^4 f''''' / 30 and by the rounding of f, 2^-53 |f|
// / h, some 1e-11 together for values around 1. The tolerance leaves room for derivatives that are
// large.
constexpr double kStep = 1e-4, kTolerance = 1e-8;

double slope(const std::function<double(double)>& f) {
  return (8 * (f(kStep) - f(-kStep)) - (f(2 * kStep) - f(-2 * kStep))) / (12 * kStep);
}

// d f / d x[i] against `analytic`, for every i or a sample of them.
void expect_gradient(const char* what, Values& x, const Values& analytic,
                     const std::function<double()>& f, size_t samples = SIZE_MAX) {
  ASSERT_EQ(x.size(), analytic.size()) << what;
  Rng rng(9);
  for (size_t n = 0; n < std::min(samples, x.size()); ++n) {
    const size_t i = samples < x.size() ? rng.next() % x.size() : n;
    const double old = x[i];
    const double numeric = slope([&](double step) {
      x[i] = old + step;
      return f();
    });
    x[i] = old;
    ASSERT_NEAR(numeric, analytic[i], kTolerance * (1 + std::abs(numeric))) << what << " " << i;
  }
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(ReferenceOps, LinearGradients) {
  // Two groups, of rows 0-1 and 2-4, with matrices of 3 x 4.
  Values params = normal_values(24, 1), gradients(24), x = normal_values(5 * 4, 2);
  const Values dy = normal_values(5 * 3, 3);
  Ops ops(params.data(), gradients.data());
  const std::vector<RowGroup> groups = {{{0, 3, 4, 0}, 0, 2}, {{12, 3, 4, 1}, 2, 3}};
  Values y(15), dx(20, 1.0);
  const auto f = [&] {
    ops.linear(groups, x.data(), y.data());
    return dot(y, dy);
  };
  ops.linear_dx(groups, dy.data(), dx.data(), true);
  for (double& d : dx) d -= 1;
  ops.linear_dw(groups, dy.data(), x.data());
  expect_gradient("x", x, dx, f);
  expect_gradient("w", params, gradients, f);
}

TEST(ReferenceOps, RmsNormGradients) {
  const size_t n = 3, width = 5, stride = 8;
  Values params = normal_values(width, 1), gradients(width), x = normal_values(n * stride, 2);
  const Values dy = normal_values(n * width, 3);
  Ops ops(params.data(), gradients.data());
  Values y(n * width), inverse(n), dx(n * stride);
  const auto f = [&] {
    ops.rms_norm(x.data(), stride, {0, width}, 1e-6, n, y.data(), inverse.data());
    return dot(y, dy);
  };
  f();
  ops.rms_norm_backward(dy.data(), x.data(), stride, inverse.data(), {0, width}, n, dx.data(),
                        stride, false);
  expect_gradient("x", x, dx, f);
  expect_gradient("w", params, gradients, f);
}

TEST(ReferenceOps, RopeIsUndoneByItsInverseAndMatchesInference) {
  const size_t n = 3, half = 4;
  const Values x = normal_values(n * 2 * half, 1), angles = normal_values(n * half, 2);
  Values cos, sin;
  for (double angle : angles) {
    cos.push_back(std::cos(angle));
    sin.push_back(std::sin(angle));
  }
  Ops ops(nullptr, nullptr);
  for (bool interleave : {true, false}) {
    const RopeShape shape{.row_stride = 2 * half, .half = half, .interleave = interleave};
    Values y = x;
    ops.rope(y.data(), shape, n, cos.data(), sin.data(), false);
    for (size_t t = 0; t < n; ++t) {
      std::vector<float> row(2 * half), c(half), s(half);
      std::copy_n(x.data() + t * 2 * half, 2 * half, row.data());
      std::copy_n(cos.data() + t * half, half, c.data());
      std::copy_n(sin.data() + t * half, half, s.data());
      rope(row.data(), half, c.data(), s.data(), interleave);
      for (size_t i = 0; i < 2 * half; ++i) {
        ASSERT_NEAR(y[t * 2 * half + i], row[i], 4 * 0x1p-23 * (1 + std::abs(row[i])));
      }
    }
    ops.rope(y.data(), shape, n, cos.data(), sin.data(), true);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i], x[i], 1e-14);
  }
}

TEST(ReferenceOps, AttentionGradients) {
  const TrainBatch batch = random_batch(2, 6, 10, 4);
  const AttentionShape a{.num_heads = 2,
                         .nope = 3,
                         .rope = 2,
                         .v = 4,
                         .scale = 0.4,
                         .rows = 2,
                         .row_length = 6,
                         .positions = batch.positions.data()};
  const size_t n = a.num_tokens();
  Values q = normal_values(n * 2 * a.qk(), 1), kv = normal_values(n * 2 * 7, 2);
  Values k_rope = normal_values(n * 2, 3);
  const Values d_out = normal_values(n * 2 * a.v, 4);
  Ops ops(nullptr, nullptr);
  Values out(d_out.size()), log_sums(n * 2), dq(q.size()), dkv(kv.size()), dk_rope(k_rope.size());
  const AttentionInput<double> in{q.data(), kv.data(), k_rope.data()};
  const auto f = [&] {
    ops.attention(a, in, out.data(), log_sums.data());
    return dot(out, d_out);
  };
  f();
  const Values kept_out = out, kept_sums = log_sums;
  ops.attention_backward(a, in, kept_out.data(), kept_sums.data(), d_out.data(),
                         {dq.data(), dkv.data(), dk_rope.data()});
  expect_gradient("q", q, dq, f);
  expect_gradient("kv", kv, dkv, f);
  expect_gradient("k_rope", k_rope, dk_rope, f);
}

// A token of one document is the same whatever stands before its document in the row.
TEST(ReferenceOps, AttentionKeepsDocumentsApart) {
  const std::vector<int32_t> positions = {0, 1, 2, 0, 1};
  const AttentionShape a{.num_heads = 1,
                         .nope = 2,
                         .rope = 2,
                         .v = 2,
                         .scale = 1,
                         .rows = 1,
                         .row_length = 5,
                         .positions = positions.data()};
  Values q = normal_values(20, 1), kv = normal_values(20, 2), k_rope = normal_values(10, 3);
  Values out(10), log_sums(5);
  Ops ops(nullptr, nullptr);
  ops.attention(a, {q.data(), kv.data(), k_rope.data()}, out.data(), log_sums.data());
  const Values before = out;
  for (size_t i = 0; i < 12; ++i) kv[i] += 1;
  ops.attention(a, {q.data(), kv.data(), k_rope.data()}, out.data(), log_sums.data());
  EXPECT_NE(out[0], before[0]);
  for (size_t i = 6; i < 10; ++i) EXPECT_EQ(out[i], before[i]);
}

TEST(ReferenceOps, SwigluGradients) {
  const size_t n = 3, width = 4;
  Values gate_up = normal_values(n * 2 * width, 1), factors = normal_values(n, 2);
  const Values d_act = normal_values(n * width, 3);
  Ops ops(nullptr, nullptr);
  Values act(n * width), d_gate_up(gate_up.size()), d_factors(n);
  const auto f = [&] {
    ops.swiglu(gate_up.data(), width, n, factors.data(), act.data());
    return dot(act, d_act);
  };
  ops.swiglu_backward(gate_up.data(), d_act.data(), width, n, factors.data(), d_gate_up.data(),
                      d_factors.data());
  expect_gradient("gate_up", gate_up, d_gate_up, f);
  expect_gradient("factors", factors, d_factors, f);
}

TEST(ReferenceOps, HeadLossGradients) {
  const size_t n = 4, vocab = 7, width = 3;
  Values params = normal_values(vocab * width, 1), gradients(params.size());
  Values x = normal_values(n * width, 2);
  const std::vector<int32_t> targets = {3, TrainBatch::kNoTarget, 0, 6};
  Ops ops(params.data(), gradients.data());
  std::vector<DistilRowLoss> losses(n);
  Values dx(x.size());
  const MatrixParam w{0, vocab, width, 0};
  const auto f = [&] {
    ops.head_loss(w, x.data(), targets.data(), nullptr, nullptr, n, 0, losses.data(), nullptr);
    return 0.25 * (losses[0].text + losses[1].text + losses[2].text + losses[3].text);
  };
  ops.head_loss(w, x.data(), targets.data(), nullptr, nullptr, n, 0.25, losses.data(), dx.data());
  EXPECT_EQ(losses[1].text, 0);
  expect_gradient("x", x, dx, f);
  expect_gradient("w", params, gradients, f);
}

TEST(ReferenceOps, EmbeddingGradients) {
  Values params = normal_values(5 * 3, 1), gradients(params.size());
  const std::vector<int32_t> ids = {4, 1, 4};
  const Values dh = normal_values(9, 2);
  Ops ops(params.data(), gradients.data());
  Values h(9);
  ops.embed_backward({0, 5, 3, 0}, ids.data(), 3, dh.data());
  expect_gradient("table", params, gradients, [&] {
    ops.embed({0, 5, 3, 0}, ids.data(), 3, h.data());
    return dot(h, dh);
  });
}

// Every kind of parameter of whole models, the choices of experts held fast: router, groups,
// documents, and what the configs vary.
class WholeModel : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(
    Configs, WholeModel,
    ::testing::Values("{}", R"({"q_lora_rank": null, "norm_topk_prob": false})",
                      R"({"model_type": "deepseek_v3", "n_shared_experts": 2})",
                      R"({"tie_word_embeddings": true, "n_shared_experts": 0})",
                      R"({"first_k_dense_replace": 3, "rope_interleave": false})",
                      R"({"num_nextn_predict_layers": 1})",
                      R"({"num_nextn_predict_layers": 1, "tie_word_embeddings": true,
                          "q_lora_rank": null, "model_type": "deepseek_v3"})",
                      R"({"num_nextn_predict_layers": 1, "first_k_dense_replace": 3})"));

TEST_P(WholeModel, GradientsMatchFiniteDifferences) {
  const ParamLayout layout(tiny_config(GetParam()));
  Values params = normal_values(layout.num_elements(), 1), gradients(params.size());
  for (double& p : params) p *= 0.4;
  for (const Param& p : layout.params()) {
    for (size_t i = 0; i < p.size && p.kind == ParamKind::kNorm; ++i) params[p.offset + i] += 1;
  }
  const size_t moe_layers = layout.num_moe_layers();
  constexpr double kMtp = 0.7;
  std::vector<float> bias(moe_layers * 6);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = 0.02f * static_cast<float>(i % 5);
  const TrainBatch batch = random_batch(2, 7, 37, 3);
  Ops ops(params.data(), gradients.data());
  Graph<Ops> graph(layout, ops, kMtp);
  const StepStats stats = graph.run(batch, bias, 0.1, true);
  ASSERT_EQ(stats.moe_layers.size(), moe_layers);
  for (const MoeLayerStats& layer : stats.moe_layers) {
    uint64_t total = 0;
    for (uint64_t tokens : layer.tokens_per_expert) total += tokens;
    EXPECT_EQ(total, 2u * 7 * 2);
    EXPECT_GT(layer.router_entropy_sum, 0);
    EXPECT_LT(layer.router_entropy_sum, 14 * std::log(6.0));
  }
  graph.keep_choices(true);
  for (const Param& p : layout.params()) {
    Rng rng(p.offset + 1);
    double largest = 0;
    for (size_t n = 0; n < 8; ++n) {
      const size_t i = p.offset + rng.next() % p.size;
      const double old = params[i];
      const double numeric = slope([&](double step) {
        params[i] = old + step;
        const StepStats found = graph.run(batch, bias, 0, false);
        return 0.1 * (found.loss_sum + kMtp * found.mtp_loss_sum);
      });
      params[i] = old;
      ASSERT_NEAR(numeric, gradients[i], kTolerance * (1 + std::abs(numeric)))
          << p.name << " element " << i - p.offset;
      largest = std::max(largest, std::abs(numeric));
    }
    if (p.kind == ParamKind::kNorm || p.kind == ParamKind::kRouter) {
      EXPECT_GT(largest, 1e-6) << p.name << ": nothing was tested";
    }
  }
}

// Guesses count within a document and a row only, wherever the next token's own target counts.
TEST(Graph, MultiTokenPredictionStaysWithinDocuments) {
  const ParamLayout layout(tiny_config(R"({"num_nextn_predict_layers": 1})"));
  Values params = normal_values(layout.num_elements(), 1), gradients(params.size());
  for (double& p : params) p *= 0.4;
  const std::vector<float> bias(layout.num_moe_layers() * 6);
  // Two documents in the first row, of 3 and 2 tokens; one in the second, whose end is not trained.
  TrainBatch batch{.rows = 2,
                   .row_length = 5,
                   .inputs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
                   .targets = {2, 3, 30, 5, 31, 7, 8, 9, 10, -1},
                   .positions = {0, 1, 2, 0, 1, 0, 1, 2, 3, 4}};
  Ops ops(params.data(), gradients.data());
  Graph<Ops> graph(layout, ops, 0.5);
  const StepStats stats = graph.run(batch, bias, 0, false);
  EXPECT_EQ(stats.targets, 9u);
  EXPECT_EQ(stats.mtp_targets, 2u + 1 + 3);
  // What follows a document's end changes nothing before it.
  TrainBatch other = batch;
  other.inputs[3] = 20;
  other.targets[3] = -1;
  other.targets[4] = -1;
  for (int i = 5; i < 9; ++i) other.targets[i] = -1;
  TrainBatch same = batch;
  same.targets[3] = same.targets[4] = -1;
  for (int i = 5; i < 9; ++i) same.targets[i] = -1;
  const StepStats a = graph.run(other, bias, 0, false), b = graph.run(same, bias, 0, false);
  EXPECT_EQ(a.mtp_targets, 2u);
  EXPECT_EQ(a.mtp_loss_sum, b.mtp_loss_sum);
  EXPECT_EQ(a.loss_sum, b.loss_sum);
  // The guess at the first token reads the second and answers for the third.
  TrainBatch third = same;
  third.targets[1] = 36;  // what the second token is followed by
  EXPECT_NE(graph.run(third, bias, 0, false).mtp_loss_sum, b.mtp_loss_sum);
  Graph<Ops> without(layout, ops, 0);
  EXPECT_EQ(without.run(batch, bias, 0, false).loss_sum, stats.loss_sum);
  EXPECT_EQ(without.run(batch, bias, 0, false).mtp_targets, 0u);
}

}  // namespace
}  // namespace axk1
