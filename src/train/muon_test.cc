#include "train/muon.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "kernels/registry.h"
#include "testing/tiny_config.h"

namespace axk1 {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix out(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t k = 0; k < b.size(); ++k) {
      for (size_t j = 0; j < b[0].size(); ++j) out[i][j] += a[i][k] * b[k][j];
    }
  }
  return out;
}

Matrix transposed(const Matrix& a) {
  Matrix out(a[0].size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[0].size(); ++j) out[j][i] = a[i][j];
  }
  return out;
}

// The formula of the header in double, on any shape.
Matrix orthogonal(Matrix x) {
  double squares = 0;
  for (const auto& row : x) {
    for (double value : row) squares += value * value;
  }
  for (auto& row : x) {
    for (double& value : row) value /= std::sqrt(squares);
  }
  for (int i = 0; i < 5; ++i) {
    const Matrix a = product(x, transposed(x)), a2 = product(a, a);
    Matrix polynomial = a;
    for (size_t r = 0; r < a.size(); ++r) {
      for (size_t c = 0; c < a.size(); ++c) {
        polynomial[r][c] = -4.7750 * a[r][c] + 2.0315 * a2[r][c];
      }
    }
    const Matrix rest = product(polynomial, x);
    for (size_t r = 0; r < x.size(); ++r) {
      for (size_t c = 0; c < x[0].size(); ++c) x[r][c] = 3.4445 * x[r][c] + rest[r][c];
    }
  }
  return x;
}

class MuonTest : public ::testing::Test {
 protected:
  // Two steps with lr 0.01.
  void take_steps(int threads) {
    ThreadPool pool(threads);
    Muon muon(params_.layout(), options_, kernels_, threads);
    Gradients gradients(params_.layout());
    Rng rng(8);
    for (int t = 0; t < 2; ++t) {
      for (float& g : gradients.values()) g = static_cast<float>(rng.normal());
      taken_.emplace_back(gradients.values().begin(), gradients.values().end());
      muon.step(pool, params_, gradients.values(), 0.01);
    }
  }

  // A matrix of rows x cols after these two steps.
  void expect_matrix(size_t offset, size_t rows, size_t cols, const std::string& name) {
    Matrix m(rows, std::vector<double>(cols)), p = m;
    for (size_t i = 0; i < rows * cols; ++i) p[i / cols][i % cols] = start_.values()[offset + i];
    for (const std::vector<float>& g : taken_) {
      Matrix u = m;
      for (size_t i = 0; i < rows * cols; ++i) {
        double& momentum = m[i / cols][i % cols];
        momentum = 0.9 * momentum + g[offset + i];
        u[i / cols][i % cols] = g[offset + i] + 0.9 * momentum;
      }
      const Matrix x = orthogonal(u);
      const double step = 0.01 * 0.2 * std::sqrt(static_cast<double>(std::max(rows, cols)));
      for (size_t i = 0; i < rows * cols; ++i) {
        double& value = p[i / cols][i % cols];
        value = value * (1 - 0.01 * 0.3) - step * x[i / cols][i % cols];
      }
    }
    // Products of sums below 64 terms, five times one after the other, each of which enlarges an
    // error by at most 3.4445: 64 * 2^-24 * 3.4445^5 of numbers below 1.2, times a step below 0.02.
    for (size_t i = 0; i < rows * cols; ++i) {
      ASSERT_NEAR(params_.values()[offset + i], p[i / cols][i % cols], 0.02 * 2e-3)
          << name << " " << i;
    }
  }

  MuonOptions options_{.momentum = 0.9, .weight_decay = 0.3, .adamw = {.weight_decay = 0.2}};
  KernelTable kernels_ = select_kernels("", cpu_features());
  ParamStore start_{testing::tiny_config(), {.seed = 5}};
  ParamStore params_{testing::tiny_config(), {.seed = 5}};
  std::vector<std::vector<float>> taken_;
};

TEST_F(MuonTest, MatricesFollowTheFormula) {
  take_steps(2);
  const LayerParams& layer = params_.layout().layers[1];
  for (const char* name : {"model.layers.1.self_attn.q_a_proj.weight",   // wide
                           "model.layers.1.self_attn.kv_b_proj.weight",  // tall
                           "model.layers.0.mlp.gate_proj.weight"}) {
    const Param& p = *params_.layout().find(name);
    expect_matrix(p.offset, p.shape[0], p.shape[1], name);
  }
  // Gate, up and down of an expert are matrices of their own.
  const MlpParams& expert = layer.experts[4];
  const size_t width = expert.intermediate(), hidden = expert.gate_up.cols;
  expect_matrix(expert.gate_up.offset, width, hidden, "gate");
  expect_matrix(expert.gate_up.offset + width * hidden, width, hidden, "up");
  expect_matrix(expert.down.offset, hidden, width, "down");
}

TEST_F(MuonTest, TheRestFollowsAdamW) {
  take_steps(2);
  AdamW adamw(start_.layout(), options_.adamw);
  ThreadPool pool(1);
  for (const std::vector<float>& gradients : taken_) adamw.step(pool, start_, gradients, 0.01);
  for (const char* name :
       {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight",
        "model.layers.2.mlp.gate.weight", "model.layers.2.post_mlp_layernorm.weight"}) {
    const Param& p = *params_.layout().find(name);
    const auto a = params_.values(p), b = start_.values(p);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin())) << name;
  }
}

TEST_F(MuonTest, DoesNotDependOnThreads) {
  take_steps(1);
  const std::vector<float> one(params_.values().begin(), params_.values().end());
  std::copy(start_.values().begin(), start_.values().end(), params_.mutable_values().begin());
  take_steps(3);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), params_.values().begin()));
}

}  // namespace
}  // namespace axk1
