// Importances against a plain computation from the recorded tensors of the official implementation.
#include "quant/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "base/bf16.h"
#include "engine/text_windows.h"
#include "ops/rope.h"
#include "quant/importance.h"
#include "testing/golden.h"

namespace axk1 {
namespace {

using testing::GoldenCase;
using testing::LoadedModel;

using Rows = std::vector<std::vector<double>>;  // [rows][columns]

float element(const MatrixView& w, size_t row, size_t col) {
  const size_t at = row * w.stride + col;
  switch (w.dtype) {
    case DType::kF32:
      return static_cast<const float*>(w.data)[at];
    case DType::kBF16:
      return bf16_to_f32(static_cast<const uint16_t*>(w.data)[at]);
    default:
      return f16_to_f32(static_cast<const uint16_t*>(w.data)[at]);
  }
}

std::vector<double> times(const std::vector<double>& x, const MatrixView& w) {
  std::vector<double> y(w.rows);
  for (size_t r = 0; r < w.rows; ++r) {
    for (size_t c = 0; c < w.cols; ++c) y[r] += x[c] * element(w, r, c);
  }
  return y;
}

std::vector<double> normed(std::vector<double> x, const std::vector<float>& weight, double eps) {
  double squares = 0;
  for (size_t i = 0; i < weight.size(); ++i) squares += x[i] * x[i];
  const double scale = 1 / std::sqrt(squares / static_cast<double>(weight.size()) + eps);
  for (size_t i = 0; i < weight.size(); ++i) x[i] *= scale * weight[i];
  return x;
}

std::vector<double> row_of(const std::vector<float>& values, size_t row, size_t width) {
  const auto at = values.begin() + static_cast<ptrdiff_t>(row * width);
  return {at, at + static_cast<ptrdiff_t>(width)};
}

// The inputs of every matrix, by name, computed from the recorded residual stream.
class PlainInputs {
 public:
  PlainInputs(const GoldenCase& golden, const LoadedModel& model)
      : c_(model.config), hidden_size_(static_cast<size_t>(c_.hidden_size)) {
    const std::vector<float> hidden = golden.tensor("hidden"), attn_out = golden.tensor("attn_out");
    num_tokens_ = golden.ids("ids").size();
    std::vector<int32_t> choices;
    if (c_.num_moe_layers()) choices = golden.indices("router_indices");
    size_t moe_idx = 0;
    for (size_t layer = 0; layer < model.weights.layers.size(); ++layer) {
      const LayerWeights& w = model.weights.layers[layer];
      const std::string prefix = cat("model.layers.", layer, ".");
      std::vector<std::vector<double>> x, h;
      for (size_t t = 0; t < num_tokens_; ++t) {
        const std::vector<double> in = row_of(hidden, layer * num_tokens_ + t, hidden_size_);
        x.push_back(normed(in, w.input_layernorm, c_.rms_norm_eps));
        std::vector<double> sum = row_of(attn_out, layer * num_tokens_ + t, hidden_size_);
        for (size_t i = 0; i < hidden_size_; ++i) sum[i] += in[i];
        h.push_back(normed(sum, w.post_attention_layernorm, c_.rms_norm_eps));
      }
      attention(prefix + "self_attn.", w, x);
      if (!w.is_moe) {
        mlp(prefix + "mlp.", w.mlp, h);
        continue;
      }
      inputs[prefix + "mlp.gate.weight"] = h;
      if (w.shared_experts.gate) mlp(prefix + "mlp.shared_experts.", w.shared_experts, h);
      const auto top_k = static_cast<size_t>(c_.num_experts_per_tok);
      for (size_t e = 0; e < w.experts.size(); ++e) {
        Rows mine;
        for (size_t t = 0; t < num_tokens_; ++t) {
          for (size_t k = 0; k < top_k; ++k) {
            const size_t at = (moe_idx * num_tokens_ + t) * top_k + k;
            if (choices[at] == static_cast<int32_t>(e)) mine.push_back(h[t]);
          }
        }
        mlp(cat(prefix, "mlp.experts.", e, "."), w.experts[e], mine);
      }
      ++moe_idx;
    }
    for (size_t t = 0; t < num_tokens_; ++t) {
      inputs["lm_head.weight"].push_back(
          normed(row_of(hidden, model.weights.layers.size() * num_tokens_ + t, hidden_size_),
                 model.weights.norm, c_.rms_norm_eps));
    }
  }

  std::map<std::string, Rows> inputs;

 private:
  void mlp(const std::string& prefix, const ExpertWeights& w, const Rows& rows) {
    inputs[prefix + "gate_proj.weight"] = inputs[prefix + "up_proj.weight"] = rows;
    Rows& down = inputs[prefix + "down_proj.weight"];
    for (const std::vector<double>& row : rows) {
      std::vector<double> gate = times(row, w.gate), up = times(row, w.up);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
      down.push_back(gate);
    }
  }

  void rotate(double* x, size_t position) const {
    const std::vector<float> inv_freq = c_.rope_inv_freq();
    const size_t half = inv_freq.size();
    std::vector<float> values(x, x + 2 * half), cos(half), sin(half);
    rope_angles(position, inv_freq, static_cast<float>(c_.rope_attention_scaling()), cos.data(),
                sin.data());
    rope(values.data(), half, cos.data(), sin.data(), c_.rope_interleave);
    std::copy(values.begin(), values.end(), x);
  }

  void attention(const std::string& prefix, const LayerWeights& w, const Rows& x) {
    const auto lora = static_cast<size_t>(c_.kv_lora_rank);
    const auto nope = static_cast<size_t>(c_.qk_nope_head_dim);
    const auto rope_dim = static_cast<size_t>(c_.qk_rope_head_dim);
    const auto v_dim = static_cast<size_t>(c_.v_head_dim);
    const auto heads = static_cast<size_t>(c_.num_attention_heads);
    Rows latents, rotated, kv, queries;
    inputs[prefix + "kv_a_proj_with_mqa.weight"] = x;
    for (size_t t = 0; t < num_tokens_; ++t) {
      std::vector<double> a = times(x[t], w.kv_a_proj_with_mqa);
      rotate(a.data() + lora, t);
      rotated.push_back({a.begin() + static_cast<ptrdiff_t>(lora), a.end()});
      a.resize(lora);
      latents.push_back(normed(a, w.kv_a_layernorm, c_.lora_norm_eps));
      kv.push_back(times(latents.back(), w.kv_b_proj));
      if (c_.q_lora_rank) {
        inputs[prefix + "q_a_proj.weight"] = x;
        Rows& q_latents = inputs[prefix + "q_b_proj.weight"];
        q_latents.push_back(normed(times(x[t], w.q_a_proj), w.q_a_layernorm, c_.lora_norm_eps));
        queries.push_back(times(q_latents.back(), w.q_b_proj));
      } else {
        inputs[prefix + "q_proj.weight"] = x;
        queries.push_back(times(x[t], w.q_proj));
      }
      for (size_t head = 0; head < heads; ++head) {
        rotate(queries[t].data() + head * (nope + rope_dim) + nope, t);
      }
    }
    inputs[prefix + "kv_b_proj.weight"] = latents;
    Rows& out = inputs[prefix + "o_proj.weight"];
    for (size_t t = 0; t < num_tokens_; ++t) {
      out.emplace_back(heads * v_dim);
      for (size_t head = 0; head < heads; ++head) {
        const double* q = queries[t].data() + head * (nope + rope_dim);
        std::vector<double> p(t + 1);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          const double* k = kv[s].data() + head * (nope + v_dim);
          double score = 0;
          for (size_t i = 0; i < nope; ++i) score += q[i] * k[i];
          for (size_t i = 0; i < rope_dim; ++i) score += q[nope + i] * rotated[s][i];
          sum += p[s] = std::exp(score * c_.softmax_scale());
        }
        for (size_t s = 0; s <= t; ++s) {
          const double* v = kv[s].data() + head * (nope + v_dim) + nope;
          for (size_t i = 0; i < v_dim; ++i) out[t][head * v_dim + i] += p[s] / sum * v[i];
        }
      }
    }
  }

  const ModelConfig& c_;
  size_t hidden_size_, num_tokens_ = 0;
};

std::vector<double> mean_squares(const Rows& rows) {
  std::vector<double> mean(rows.empty() ? 0 : rows[0].size());
  for (const std::vector<double>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      mean[i] += row[i] * row[i] / static_cast<double>(rows.size());
    }
  }
  return mean;
}

// A file made by reading the ids of a golden case in chunks of `chunk`.
Importance calibrated(const GoldenCase& golden, LoadedModel& model, size_t chunk,
                      const testing::TempDir& dir, const std::string& tied) {
  ImportanceCollector collector(model.config, model.weights, model.pool);
  testing::run_whole(model, golden.ids("ids"), chunk, &collector);
  const std::string path = dir.path() + "/importance";
  SafetensorsWriter file(path, collector.tensor_specs(),
                         {{"format", std::string(kImportanceFormat)}, {"tied", tied}});
  collector.append_to(file);
  file.finish();
  return Importance::load(path);
}

class Calibrate : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Cases, Calibrate, ::testing::ValuesIn(testing::kGoldenCases),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Calibrate, EqualsThePlainComputation) {
  const GoldenCase golden(GetParam());
  const testing::TempDir dir;
  size_t cases = 0, unseen = 0;
  for (const MlaForm form : {MlaForm::kAbsorbed, MlaForm::kExpanded}) {
    LoadedModel model(golden.dir, DType::kF32, "", 2, {.mla_form = form});
    const Importance importance = calibrated(golden, model, 7, dir, "false");
    const PlainInputs plain(golden, model);
    for (const auto& [name, rows] : plain.inputs) {
      EXPECT_EQ(importance.num_rows(name), rows.size()) << name;
      const std::span<const float> found = importance.find(name);
      if (rows.empty()) {
        ++unseen;
        continue;
      }
      const std::vector<double> expected = mean_squares(rows);
      ASSERT_EQ(found.size(), expected.size()) << name;
      double scale = 0;
      for (const double x : expected) scale += x / static_cast<double>(expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        // Inputs agree within some 1e-4 of their size (golden_test.cc), squares within twice that.
        ASSERT_NEAR(found[i], expected[i], 2e-4 * (scale + expected[i])) << name << " column " << i;
      }
      ++cases;
    }
  }
  std::printf("[ cases ] %s: %zu matrices, %zu experts without rows\n", GetParam().c_str(), cases,
              unseen);
  EXPECT_GT(cases, 20u);
}

TEST(CalibrateBf16, IsCloseToF32AndChunksDoNotMatter) {
  const GoldenCase golden("g2-fused-bias");
  const testing::TempDir dir, dir16, dir1;
  LoadedModel f32(golden.dir, DType::kF32, "", 1), bf16(golden.dir, DType::kBF16, "", 2);
  const Importance a = calibrated(golden, f32, 512, dir, "false");
  const Importance b = calibrated(golden, bf16, 512, dir16, "false");
  const Importance c = calibrated(golden, bf16, 1, dir1, "false");
  size_t cases = 0;
  for (const char* name :
       {"model.layers.0.self_attn.o_proj.weight", "model.layers.0.self_attn.kv_b_proj.weight",
        "lm_head.weight", "model.layers.1.mlp.shared_experts.down_proj.weight",
        "model.layers.1.mlp.shared_experts.up_proj.weight"}) {
    ASSERT_FALSE(a.find(name).empty()) << name;
    double sum_a = 0, sum_b = 0, sum_c = 0;
    for (size_t i = 0; i < a.find(name).size(); ++i) {
      sum_a += a.find(name)[i];
      sum_b += b.find(name)[i];
      sum_c += c.find(name)[i];
    }
    // bf16 keeps 8 bits; the means of many squares agree better than each of them.
    EXPECT_NEAR(sum_b, sum_a, 0.05 * sum_a) << name;
    EXPECT_NEAR(sum_c, sum_b, 0.05 * sum_b) << name;
    EXPECT_EQ(b.num_rows(name), golden.ids("ids").size());
    EXPECT_EQ(c.num_rows(name), golden.ids("ids").size());
    ++cases;
  }
  std::printf("[ cases ] matrices in bf16: %zu\n", cases);
}

TEST(CalibrateLoop, ReadsEveryTokenOnceAndStopsWhenTold) {
  Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 2, .prefill_tokens = 5});
  const TextTokens tokens = tokens_of_text(engine, "한국의 수도는 서울이다. 바다는 넓다.", true);
  size_t cases = 0;
  for (const size_t context : {1, 4, 7, 2048}) {
    ImportanceCollector collector(engine.config(), engine.weights(), engine.pool());
    size_t last = 0;
    EXPECT_TRUE(calibrate(engine, tokens.ids, context, collector, [&](size_t done, size_t total) {
      EXPECT_EQ(total, tokens.ids.size());
      EXPECT_GT(done, last);
      last = done;
      return true;
    }));
    EXPECT_EQ(last, tokens.ids.size());
    const testing::TempDir dir;
    const std::string path = dir.path() + "/x";
    SafetensorsWriter file(path, collector.tensor_specs(),
                           importance_metadata(engine, "text", last, context));
    collector.append_to(file);
    file.finish();
    const Importance importance = Importance::load(path);
    EXPECT_EQ(importance.num_rows("lm_head.weight"), last);
    uint64_t expert_rows = 0;
    size_t unseen = 0;
    for (int e = 0; e < 16; ++e) {
      const std::string name = cat("model.layers.1.mlp.experts.", e, ".down_proj.weight");
      expert_rows += importance.num_rows(name);
      unseen += importance.num_rows(name) == 0;
      EXPECT_EQ(importance.find(name).size(), 128u);
    }
    EXPECT_EQ(expert_rows, 2 * last);
    EXPECT_GE(collector.num_unseen_experts(), unseen);
    EXPECT_EQ(collector.num_experts(), 5 * 16u);
    EXPECT_EQ(importance.metadata().at("tokens"), cat(last));
    EXPECT_EQ(importance.metadata().at("text_digest").size(), 24u);
    ++cases;
  }
  ImportanceCollector collector(engine.config(), engine.weights(), engine.pool());
  EXPECT_FALSE(
      calibrate(engine, tokens.ids, 2048, collector, [](size_t, size_t) { return false; }));
  std::printf("[ cases ] contexts of calibration: %zu\n", cases);
}

}  // namespace
}  // namespace axk1
