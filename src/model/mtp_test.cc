// Multi-token prediction against a plain computation in double, and against itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/registry.h"
#include "model/forward.h"
#include "testing/golden.h"
#include "testing/tiny_config.h"

namespace axk1 {
namespace {

using testing::Recorder;
using testing::tiny_config;
using Row = std::vector<double>;

size_t z(int64_t size) {
  return static_cast<size_t>(size);
}

// The layer in double, one row after the other, from weights in f32.
class PlainMtp {
 public:
  PlainMtp(const ModelConfig& config, const ModelWeights& weights) : c_(config), all_(weights) {}

  struct Guess {
    Row hidden;  // after shared_head.norm
    Row logits;
  };

  // The row of the position after those given before. h: after the norm that follows it.
  Guess next(const Row& h, int32_t token) {
    const MtpWeights& w = *all_.mtp;
    Row pair = norm(table_row(all_.embed_tokens, z(token)), w.enorm, c_.rms_norm_eps);
    const Row state = norm(h, w.hnorm, c_.rms_norm_eps);
    pair.insert(pair.end(), state.begin(), state.end());
    Row x = times(w.eh_proj, pair);
    add(x, attention(w.layer, norm(x, w.layer.input_layernorm, c_.rms_norm_eps)));
    add(x, mlp(w.layer, norm(x, w.layer.post_attention_layernorm, c_.rms_norm_eps)));
    Guess guess{norm(x, w.norm, c_.rms_norm_eps), {}};
    guess.logits = times(all_.lm_head, guess.hidden);
    return guess;
  }

 private:
  static Row table_row(const MatrixView& m, size_t row) {
    const float* values = static_cast<const float*>(m.data) + row * m.cols;
    return Row(values, values + m.cols);
  }
  static Row times(const MatrixView& m, const Row& x) {
    Row y(m.rows);
    for (size_t i = 0; i < m.rows; ++i) {
      const Row row = table_row(m, i);
      y[i] = std::inner_product(row.begin(), row.end(), x.begin(), 0.0);
    }
    return y;
  }
  static Row norm(const Row& x, const std::vector<float>& w, double eps) {
    const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
    Row y(x);
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] *= double{w[i]} / std::sqrt(squares / static_cast<double>(x.size()) + eps);
    }
    return y;
  }
  static void add(Row& x, const Row& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  static Row part(const Row& x, size_t from, size_t count) {
    const auto at = x.begin() + static_cast<std::ptrdiff_t>(from);
    return Row(at, at + static_cast<std::ptrdiff_t>(count));
  }
  Row rotated(const Row& x, size_t position) const {
    const std::vector<float> freq = c_.rope_inv_freq();
    Row y(x.size());
    for (size_t i = 0; i < freq.size(); ++i) {
      const size_t a = c_.rope_interleave ? 2 * i : i;
      const size_t b = c_.rope_interleave ? 2 * i + 1 : freq.size() + i;
      const double angle = static_cast<double>(position) * double{freq[i]};
      const double s = c_.rope_attention_scaling();
      y[a] = s * (x[a] * std::cos(angle) - x[b] * std::sin(angle));
      y[b] = s * (x[a] * std::sin(angle) + x[b] * std::cos(angle));
    }
    return y;
  }

  Row attention(const LayerWeights& w, const Row& x) {
    const size_t nope = z(c_.qk_nope_head_dim), rope = z(c_.qk_rope_head_dim);
    const size_t v = z(c_.v_head_dim), rank = z(c_.kv_lora_rank);
    const size_t position = keys_.size();
    const Row q =
        c_.q_lora_rank
            ? times(w.q_b_proj, norm(times(w.q_a_proj, x), w.q_a_layernorm, c_.lora_norm_eps))
            : times(w.q_proj, x);
    const Row kv = times(w.kv_a_proj_with_mqa, x);
    values_.push_back(
        times(w.kv_b_proj, norm(part(kv, 0, rank), w.kv_a_layernorm, c_.lora_norm_eps)));
    keys_.push_back(rotated(part(kv, rank, rope), position));
    Row out;
    for (size_t head = 0; head < z(c_.num_attention_heads); ++head) {
      const Row q_nope = part(q, head * (nope + rope), nope);
      const Row q_rope = rotated(part(q, head * (nope + rope) + nope, rope), position);
      Row p;
      double sum = 0;
      for (size_t j = 0; j <= position; ++j) {
        const Row k = part(values_[j], head * (nope + v), nope);
        const double score =
            std::inner_product(k.begin(), k.end(), q_nope.begin(), 0.0) +
            std::inner_product(q_rope.begin(), q_rope.end(), keys_[j].begin(), 0.0);
        p.push_back(std::exp(c_.softmax_scale() * score));
        sum += p.back();
      }
      Row attended(v);
      for (size_t j = 0; j <= position; ++j) {
        for (size_t i = 0; i < v; ++i) {
          attended[i] += p[j] / sum * values_[j][head * (nope + v) + nope + i];
        }
      }
      out.insert(out.end(), attended.begin(), attended.end());
    }
    return times(w.o_proj, out);
  }

  static Row gated(const ExpertWeights& w, const Row& x) {
    Row gate = times(w.gate, x);
    const Row up = times(w.up, x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    return times(w.down, gate);
  }

  Row mlp(const LayerWeights& w, const Row& x) const {
    if (!w.is_moe) return gated(w.mlp, x);
    Row scores = times(w.router, x), biased;
    for (size_t e = 0; e < scores.size(); ++e) {
      scores[e] = 1 / (1 + std::exp(-scores[e]));
      biased.push_back(scores[e] + double{w.e_score_correction_bias[e]});
    }
    // Groups by the sum of their two best; then the best experts of the best groups.
    const size_t size = scores.size() / z(c_.n_group);
    std::vector<std::pair<double, size_t>> groups, chosen;
    for (size_t g = 0; g < z(c_.n_group); ++g) {
      Row of_group = part(biased, g * size, size);
      std::sort(of_group.rbegin(), of_group.rend());
      groups.push_back({of_group[0] + of_group[1], g});
    }
    std::sort(groups.rbegin(), groups.rend());
    for (size_t i = 0; i < z(c_.topk_group); ++i) {
      for (size_t e = groups[i].second * size; e < (groups[i].second + 1) * size; ++e) {
        chosen.push_back({biased[e], e});
      }
    }
    std::sort(chosen.rbegin(), chosen.rend());
    chosen.resize(z(c_.num_experts_per_tok));
    double sum = 0;
    for (const auto& [score, e] : chosen) sum += scores[e];
    Row out(x.size());
    for (const auto& [score, e] : chosen) {
      Row y = gated(w.experts[e], x);
      for (double& value : y) {
        value *= c_.routed_scaling_factor * scores[e] / (c_.norm_topk_prob ? sum : 1);
      }
      add(out, y);
    }
    if (w.shared_experts.gate) add(out, gated(w.shared_experts, x));
    return c_.has_post_mlp_norm ? norm(out, w.post_mlp_layernorm, c_.rms_norm_eps) : out;
  }

  const ModelConfig& c_;
  const ModelWeights& all_;
  std::vector<Row> keys_, values_;  // [positions] shared rotated key; kv_b of the latent
};

struct Model {
  Model(const std::string& changes, DType dtype, int num_threads = 2, const char* table = "")
      : config(tiny_config(changes)),
        weights(random_weights(config, dtype, 5)),
        kernels(select_kernels(table, cpu_features())),
        pool(num_threads),
        forward(config, weights, kernels, pool, {.mla_form = MlaForm::kAbsorbed}) {
    forward.reserve_mtp();
  }
  KvCache new_cache() const {
    KvCache cache(config, forward.cache_dtype(), 1);
    cache.reserve(64);
    return cache;
  }
  Row last_logits() {
    const auto row = forward.logits(forward.num_logit_rows() - 1, 1);
    return Row(row.begin(), row.end());
  }

  ModelConfig config;
  ModelWeights weights;
  KernelTable kernels;
  ThreadPool pool;
  Forward forward;
};

const std::vector<int32_t> kIds = {3, 36, 0, 7, 7, 21, 14, 9, 30, 2, 11};

// As golden_test.cc derives it: a few products of short rows, in f32.
void expect_close(const Row& found, const Row& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  double squares = 0;
  for (double x : expected) squares += x * x;
  const double rms = std::sqrt(squares / static_cast<double>(expected.size()));
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], 4e-5 * rms) << what << ", logit " << i;
  }
}

class MtpConfigs : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(
    Configs, MtpConfigs,
    ::testing::Values(R"({"num_nextn_predict_layers": 1})",
                      R"({"num_nextn_predict_layers": 1, "model_type": "deepseek_v3",
                          "norm_topk_prob": false})",
                      R"({"num_nextn_predict_layers": 1, "q_lora_rank": null,
                          "rope_interleave": false, "n_shared_experts": 0})",
                      R"({"num_nextn_predict_layers": 1, "first_k_dense_replace": 3})"));

TEST_P(MtpConfigs, GuessesAndGuessesOfGuessesMatchThePlainComputation) {
  for (std::string_view table : available_kernel_names(cpu_features())) {
    Model model(GetParam(), DType::kF32, 2, std::string(table).c_str());
    const size_t n = kIds.size(), hidden = z(model.config.hidden_size);
    KvCache cache = model.new_cache();
    Recorder recorder;
    const std::span<const int32_t> ids(kIds);
    const SequenceInput prompt{.tokens = ids.first(n - 1), .cache = &cache, .all_hidden = true};
    model.forward.run({&prompt, 1}, &recorder);
    PlainMtp plain(model.config, model.weights);
    PlainMtp::Guess expected;
    const float* h = recorder.hiddens.data() + z(model.config.num_hidden_layers) * (n - 1) * hidden;
    for (size_t i = 0; i + 1 < n; ++i) {
      const float* row = h + i * hidden;
      double squares = 0;
      for (size_t k = 0; k < hidden; ++k) squares += double{row[k]} * row[k];
      const double inverse =
          1 / std::sqrt(squares / static_cast<double>(hidden) + model.config.rms_norm_eps);
      Row normed;
      for (size_t k = 0; k < hidden; ++k) {
        normed.push_back(row[k] * inverse * double{model.weights.norm[k]});
      }
      expected = plain.next(normed, kIds[i + 1]);
    }
    const MtpInput rows{.tokens = ids.subspan(1), .cache = &cache, .position = 0, .logits = true};
    model.forward.run_mtp({&rows, 1});
    ASSERT_EQ(model.forward.num_logit_rows(), 1u);
    expect_close(model.last_logits(), expected.logits, cat(table, ": first guess"));
    for (size_t k = 0; k < 2; ++k) {
      const int32_t guess[] = {static_cast<int32_t>(8 + k)};
      expected = plain.next(expected.hidden, guess[0]);
      const MtpInput next{
          .first_row = 0, .tokens = guess, .cache = &cache, .position = n - 1 + k, .logits = true};
      model.forward.run_mtp({&next, 1});
      expect_close(model.last_logits(), expected.logits, cat(table, ": guess ", k + 2));
    }
  }
}

// Logits of the model after each token, and of guesses, with the prompt in chunks; `guess`: run
// the layer at all.
struct Trace {
  std::vector<Row> model, guesses;
};
Trace trace(Model& model, size_t chunk, bool guess) {
  Trace out;
  KvCache cache = model.new_cache();
  const std::span<const int32_t> ids(kIds);
  for (size_t at = 0; at + 1 < ids.size(); at += chunk) {
    const size_t count = std::min(chunk, ids.size() - 1 - at);
    const SequenceInput input{
        .tokens = ids.subspan(at, count), .cache = &cache, .all_hidden = guess};
    model.forward.run({&input, 1});
    out.model.push_back(model.last_logits());
    if (!guess) continue;
    const MtpInput rows{.tokens = ids.subspan(at + 1, count),
                        .cache = &cache,
                        .position = at,
                        .logits = at + count + 1 == ids.size()};
    model.forward.run_mtp({&rows, 1});
    if (rows.logits) out.guesses.push_back(model.last_logits());
  }
  return out;
}

TEST(Mtp, ChunksThreadsAndGuessesChangeNoBit) {
  constexpr const char* kConfig = R"({"num_nextn_predict_layers": 1})";
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kQ8}) {
    Model model(kConfig, dtype), one(kConfig, dtype, 1);
    const Trace whole = trace(model, kIds.size(), true);
    ASSERT_EQ(whole.guesses.size(), 1u);
    EXPECT_EQ(trace(one, kIds.size(), true).guesses, whole.guesses);
    for (size_t chunk : {1, 3, 4}) {
      const Trace with = trace(model, chunk, true), without = trace(model, chunk, false);
      EXPECT_EQ(with.guesses, whole.guesses) << dtype_name(dtype) << ", chunks of " << chunk;
      EXPECT_EQ(with.model, without.model) << dtype_name(dtype) << ", chunks of " << chunk;
    }
    for (double logit : whole.guesses[0]) ASSERT_TRUE(std::isfinite(logit));
  }
}

TEST(Mtp, ABatchIsEachAlone) {
  Model model(R"({"num_nextn_predict_layers": 1})", DType::kBF16);
  const Row alone = trace(model, kIds.size(), true).guesses[0];
  const std::span<const int32_t> ids(kIds);
  KvCache a = model.new_cache(), b = model.new_cache(), c = model.new_cache();
  const std::vector<SequenceInput> batch = {
      {.tokens = ids.subspan(2, 5), .cache = &a, .all_hidden = true},
      {.tokens = ids.first(ids.size() - 1), .cache = &b, .all_hidden = true},
      {.tokens = ids.subspan(4, 2), .cache = &c, .all_hidden = true}};
  model.forward.run(batch);
  const std::vector<MtpInput> rows = {
      {.first_row = 0, .tokens = ids.subspan(3, 5), .cache = &a, .logits = false},
      {.first_row = 5, .tokens = ids.subspan(1), .cache = &b, .logits = true},
      {.first_row = 15, .tokens = ids.subspan(5, 2), .cache = &c, .logits = true}};
  model.forward.run_mtp(rows);
  ASSERT_EQ(model.forward.num_logit_rows(), 2u);
  const auto row = model.forward.logits(0, 1);
  EXPECT_EQ(Row(row.begin(), row.end()), alone);
  // No row wants logits: only the cache is written, from which a later row guesses the same.
  KvCache again = model.new_cache();
  const SequenceInput input{
      .tokens = ids.first(ids.size() - 2), .cache = &again, .all_hidden = true};
  model.forward.run({&input, 1});
  const MtpInput silent{.tokens = ids.subspan(1, ids.size() - 2), .cache = &again};
  model.forward.run_mtp({&silent, 1});
  EXPECT_EQ(model.forward.num_logit_rows(), 0u);
  const SequenceInput one{.tokens = ids.subspan(ids.size() - 2, 1), .cache = &again};
  model.forward.run({&one, 1});
  const MtpInput last{
      .tokens = ids.last(1), .cache = &again, .position = ids.size() - 2, .logits = true};
  model.forward.run_mtp({&last, 1});
  EXPECT_EQ(model.last_logits(), alone);
}

}  // namespace
}  // namespace axk1
