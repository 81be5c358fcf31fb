// The forward pass against the official implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "testing/golden.h"

namespace axk1 {
namespace {

using testing::GoldenCase;
using testing::LoadedModel;
using testing::Recorder;
using testing::run_whole;

struct Difference {
  double max_abs = 0, rms = 0, rms_expected = 0;
  size_t worst = 0;
};

Difference compare(const std::vector<float>& found, const std::vector<float>& expected) {
  Difference d;
  EXPECT_EQ(found.size(), expected.size());
  if (found.size() != expected.size()) return d;
  for (size_t i = 0; i < found.size(); ++i) {
    const double diff = std::abs(double{found[i]} - expected[i]);
    if (!(diff <= d.max_abs)) {
      d.max_abs = diff;
      d.worst = i;
    }
    d.rms += diff * diff;
    d.rms_expected += double{expected[i]} * expected[i];
  }
  const auto n = static_cast<double>(found.size());
  d.rms = std::sqrt(d.rms / n);
  d.rms_expected = std::sqrt(d.rms_expected / n);
  return d;
}

// Both sides round every sum of f32 products once per step, in different orders. One product of
// length k differs by about sqrt(k) * eps / 2 of its norm (random rounding), k <= 256 here: 5e-7.
// A token passes some 8 products per layer and 4 layers, and errors add as independent ones do, up
// to the largest of 60,000 values (4.5 sigma): 5e-7 * sqrt(32) * 4.5 = 1.3e-5. The residual stream
// and the softmax add as much again.
constexpr double kToleranceOfRms = 4e-5;

void expect_close(const char* what, const std::vector<float>& found,
                  const std::vector<float>& expected) {
  const Difference d = compare(found, expected);
  EXPECT_LE(d.max_abs, kToleranceOfRms * std::max(1.0, d.rms_expected))
      << what << ": worst at " << d.worst << ": found " << found[d.worst] << ", expected "
      << expected[d.worst] << " (rms of the tensor " << d.rms_expected << ")";
}

struct Param {
  std::string name;
  std::string kernels;
};

void PrintTo(const Param& param, std::ostream* out) {
  *out << param.name << " " << param.kernels;
}

std::vector<Param> every_case_and_table() {
  std::vector<Param> params;
  for (const std::string& name : testing::kGoldenCases) {
    for (std::string_view table : available_kernel_names(cpu_features())) {
      params.push_back({name, std::string(table)});
    }
  }
  return params;
}

class Golden : public ::testing::TestWithParam<Param> {};

INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::ValuesIn(every_case_and_table()),
                         [](const auto& test) {
                           std::string name = test.param.name + "_" + test.param.kernels;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Golden, F32MatchesTheOfficialTensors) {
  const GoldenCase golden(GetParam().name);
  for (const MlaForm form : {MlaForm::kAbsorbed, MlaForm::kExpanded}) {
    LoadedModel model(golden.dir, DType::kF32, GetParam().kernels, 2, {.mla_form = form});
    Recorder seen;
    const std::vector<int32_t> ids = golden.ids("ids");
    const std::vector<float> logits = run_whole(model, ids, ids.size(), &seen);
    expect_close("logits", logits, golden.tensor("logits"));
    expect_close("hidden", seen.hiddens, golden.tensor("hidden"));
    expect_close("attn_out", seen.attn_outs, golden.tensor("attn_out"));
    expect_close("mlp_out", seen.mlp_outs, golden.tensor("mlp_out"));
    if (!model.config.num_moe_layers()) continue;

    expect_close("router_logits", seen.router_logits, golden.tensor("router_logits"));
    const std::vector<float> margin = golden.tensor("router_margin");
    const std::vector<int32_t> indices = golden.indices("router_indices");
    const std::vector<float> weights = golden.tensor("router_weights");
    const auto top_k = static_cast<size_t>(model.config.num_experts_per_tok);
    ASSERT_EQ(seen.router_indices.size(), indices.size());
    ASSERT_EQ(margin.size() * top_k, indices.size());
    size_t compared = 0;
    for (size_t i = 0; i < indices.size(); ++i) {
      if (margin[i / top_k] <= kToleranceOfRms / 4) continue;  // the sigmoid's slope is at most 1/4
      ++compared;
      ASSERT_EQ(seen.router_indices[i], indices[i]) << "choice " << i;
      ASSERT_NEAR(seen.router_weights[i], weights[i], kToleranceOfRms);
    }
    EXPECT_EQ(compared, indices.size());  // no choice of these cases is that close
  }
}

TEST_P(Golden, F32ContinuesGreedilyAsTheOfficialModel) {
  const GoldenCase golden(GetParam().name);
  LoadedModel model(golden.dir, DType::kF32, GetParam().kernels, 2);
  const std::vector<int32_t> expected = golden.ids("greedy_continuation");
  std::vector<int32_t> input = golden.ids("greedy_prompt");
  KvCache cache = model.new_cache(input.size() + expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const SequenceInput step{.tokens = input, .cache = &cache};
    model.forward.run({&step, 1});
    const auto logits = model.forward.logits(0, 1);
    const auto best =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    ASSERT_EQ(best, expected[i]) << "token " << i;
    input = {best};
  }
}

// Mean Kullback-Leibler divergence of softmax(b) from softmax(a), over rows.
double mean_kl(const std::vector<float>& a, const std::vector<float>& b, size_t vocab) {
  double total = 0;
  for (size_t row = 0; row < a.size() / vocab; ++row) {
    const float* p = a.data() + row * vocab;
    const float* q = b.data() + row * vocab;
    const auto log_norm = [&](const float* x) {
      const double max = *std::max_element(x, x + vocab);
      double sum = 0;
      for (size_t i = 0; i < vocab; ++i) sum += std::exp(x[i] - max);
      return max + std::log(sum);
    };
    const double norm_p = log_norm(p), norm_q = log_norm(q);
    for (size_t i = 0; i < vocab; ++i) {
      total += std::exp(p[i] - norm_p) * ((p[i] - norm_p) - (q[i] - norm_q));
    }
  }
  return total / (static_cast<double>(a.size()) / static_cast<double>(vocab));
}

TEST_P(Golden, Bf16IsNoFurtherFromF32ThanTheOfficialBf16) {
  const GoldenCase golden(GetParam().name);
  LoadedModel model(golden.dir, DType::kBF16, GetParam().kernels, 2);
  const std::vector<int32_t> ids = golden.ids("ids");
  const std::vector<float> logits = run_whole(model, ids, ids.size());
  const std::vector<float> expected = golden.tensor("logits");
  const Difference d = compare(logits, expected);
  const double kl = mean_kl(expected, logits, static_cast<size_t>(model.config.vocab_size));
  const json::value& official = golden.document.at("official_bf16_vs_f32");
  const double official_rms = official.at("logits_rms").to_number<double>();
  const double official_kl = official.at("kl_mean").to_number<double>();
  std::printf("[ bf16 ] %s %s: rms %.4f (official %.4f), kl %.6f (official %.6f)\n",
              GetParam().name.c_str(), GetParam().kernels.c_str(), d.rms, official_rms, kl,
              official_kl);
  EXPECT_LE(d.rms, official_rms);
  EXPECT_LE(kl, official_kl);
}

// What the type of the cache alone costs, everything else in f32. In bf16 no more than the official
// bf16, which rounds all there is. In int8 a number is off by a step of amax / 127, evenly: amax /
// 440 in the mean square, and with amax three times the part's own mean square 0.0068 of it. In
// bf16 a number is off by up to 2^-8 of itself: 0.0016 to 0.0023 in the mean square. So int8 may be
// off by 0.0068 / 0.0016 = 4.3 times as much (less where a flipped choice of the router hides
// both).
TEST_P(Golden, CacheDTypesCostTheirRounding) {
  const GoldenCase golden(GetParam().name);
  const std::vector<int32_t> ids = golden.ids("ids");
  const std::vector<float> expected = golden.tensor("logits");
  const json::value& official = golden.document.at("official_bf16_vs_f32");
  double rms[2], kl[2];
  for (size_t i : {0, 1}) {
    const CacheDType cache = i == 0 ? CacheDType::kBF16 : CacheDType::kI8;
    LoadedModel model(golden.dir, DType::kF32, GetParam().kernels, 2,
                      {.mla_form = MlaForm::kAbsorbed, .cache_dtype = cache});
    const std::vector<float> logits = run_whole(model, ids, ids.size());
    rms[i] = compare(logits, expected).rms;
    kl[i] = mean_kl(expected, logits, static_cast<size_t>(model.config.vocab_size));
    std::printf("[ cache ] %s %s %s: rms %.4f, kl %.6f\n", GetParam().name.c_str(),
                GetParam().kernels.c_str(), cache_dtype_name(cache), rms[i], kl[i]);
  }
  EXPECT_LE(rms[0], official.at("logits_rms").to_number<double>());
  EXPECT_LE(kl[0], official.at("kl_mean").to_number<double>());
  EXPECT_GT(rms[0], kToleranceOfRms) << "the cache was not in bf16";
  EXPECT_LE(rms[1], 4.3 * rms[0]);
  EXPECT_GT(rms[1], rms[0]) << "the cache was not in int8";
}

}  // namespace
}  // namespace axk1
