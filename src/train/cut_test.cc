#include "train/cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/rng.h"
#include "base/text.h"
#include "testing/tiny_config.h"
#include "train/hf_export.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::tiny_config;

class CutTest : public ::testing::Test {
 protected:
  CutTest()
      : dir_(::testing::TempDir() + "cut_test_" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name()) {}
  ~CutTest() override { std::filesystem::remove_all(dir_); }

  // Random weights and biases, norms too.
  static ParamStore random_model(const std::string& changes, uint64_t seed) {
    ParamStore params(tiny_config(changes), {.seed = seed, .standard_deviation = 0.5});
    Rng rng(seed);
    for (const Param& p : params.layout().params()) {
      if (p.kind != ParamKind::kNorm) continue;
      for (float& x : params.mutable_values().subspan(p.offset, p.size)) {
        x = static_cast<float>(0.5 + rng.uniform());
      }
    }
    for (float& b : params.mutable_router_biases()) b = static_cast<float>(rng.normal());
    return params;
  }
  void save(const ParamStore& params) const {
    export_huggingface(params, dir_, {.dtype = DType::kF32});
  }
  std::string error_of(const std::string& changes, std::vector<int64_t> layers = {}) const {
    ParamStore student(tiny_config(changes), {});
    try {
      cut_from({.source = dir_, .layers = std::move(layers)}, student);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::string dir_;
};

constexpr const char* kWithMtp = R"({"num_nextn_predict_layers": 1})";

TEST_F(CutTest, TheSameSizesGiveTheSameWeights) {
  const ParamStore teacher = random_model(kWithMtp, 1);
  save(teacher);
  ParamStore student(tiny_config(kWithMtp), {.seed = 9});
  const CutReport report = cut_from({.source = dir_}, student);
  EXPECT_THAT(report.layers, ElementsAre(0, 1, 2));
  EXPECT_THAT(report.untouched, IsEmpty());
  EXPECT_TRUE(std::ranges::equal(student.values(), teacher.values()));
  EXPECT_TRUE(std::ranges::equal(student.router_biases(), teacher.router_biases()));
}

// Where each index of a smaller width stands in a larger one.
std::vector<size_t> spread(size_t small, size_t large, Rng& rng) {
  std::vector<size_t> at;
  for (size_t i = 0; i < large; ++i) {
    const size_t left = small - at.size();
    if (left && rng.next() % (large - i) < left) at.push_back(i);
  }
  return at;
}

// A larger model that is the student with zeros between: what is cut is the student, to the bit.
TEST_F(CutTest, ZerosAreCutAway) {
  const ParamStore student = random_model(kWithMtp, 2);
  const ModelConfig& s = student.config();
  const std::string larger = R"({"hidden_size": 27, "intermediate_size": 31,
      "moe_intermediate_size": 13, "num_attention_heads": 4, "num_key_value_heads": 4,
      "n_routed_experts": 10, "kv_lora_rank": 12, "q_lora_rank": 11,
      "num_nextn_predict_layers": 1})";
  ParamStore teacher(tiny_config(larger), {.seed = 3});
  const ModelConfig& t = teacher.config();
  std::ranges::fill(teacher.mutable_values(), 0.0f);
  Rng rng(4);
  const auto place = [&](int64_t small, int64_t large) {
    return spread(static_cast<size_t>(small), static_cast<size_t>(large), rng);
  };
  const std::vector<size_t> hidden = place(s.hidden_size, t.hidden_size);
  const auto all = [](size_t n) {
    std::vector<size_t> indices(n);
    for (size_t i = 0; i < n; ++i) indices[i] = i;
    return indices;
  };
  const auto parts = [](const std::vector<size_t>& indices, size_t size) {
    std::vector<size_t> out;
    for (size_t i : indices) {
      for (size_t j = 0; j < size; ++j) out.push_back(i * size + j);
    }
    return out;
  };
  std::map<std::string, NamedSlice> to;
  for (NamedSlice& slice : teacher.layout().slices(false)) to.emplace(slice.name, slice);
  const auto set = [&](const std::string& name, const std::string& name_there,
                       const std::vector<size_t>& rows, const std::vector<size_t>& cols) {
    const std::vector<NamedSlice> slices = student.layout().slices(false);
    const auto from = std::ranges::find(slices, name, &NamedSlice::name);
    ASSERT_NE(from, slices.end()) << name;
    ASSERT_EQ(from->size, rows.size() * cols.size()) << name;
    const NamedSlice& there = to.at(name_there);
    const float* values = student.values().data() + from->offset;
    for (size_t r : rows) {
      for (size_t c : cols) {
        teacher.mutable_values()[there.offset + r * there.shape.back() + c] = *values++;
      }
    }
  };
  const std::vector<size_t> words = all(static_cast<size_t>(s.vocab_size)), one = {0};
  set("model.embed_tokens.weight", "model.embed_tokens.weight", words, hidden);
  set("lm_head.weight", "lm_head.weight", words, hidden);
  set("model.norm.weight", "model.norm.weight", one, hidden);
  for (size_t layer = 0; layer < 4; ++layer) {
    const std::string prefix = cat("model.layers.", layer, ".");
    const auto same = [&](const char* name, const std::vector<size_t>& rows,
                          const std::vector<size_t>& cols) {
      set(prefix + name, prefix + name, rows, cols);
    };
    if (layer == 3) {  // of multi-token prediction
      for (const char* norm : {"enorm.weight", "hnorm.weight", "shared_head.norm.weight"}) {
        same(norm, one, hidden);
      }
      std::vector<size_t> both = hidden;
      for (size_t i : hidden) both.push_back(i + static_cast<size_t>(t.hidden_size));
      same("eh_proj.weight", hidden, both);
    }
    const std::vector<size_t> heads = place(s.num_attention_heads, t.num_attention_heads);
    const std::vector<size_t> queries = place(s.q_lora_rank, t.q_lora_rank);
    const std::vector<size_t> latents = place(s.kv_lora_rank, t.kv_lora_rank);
    std::vector<size_t> keys = latents;
    for (int64_t i = 0; i < t.qk_rope_head_dim; ++i) {
      keys.push_back(static_cast<size_t>(t.kv_lora_rank + i));
    }
    same("input_layernorm.weight", one, hidden);
    same("post_attention_layernorm.weight", one, hidden);
    same("self_attn.q_a_proj.weight", queries, hidden);
    same("self_attn.q_a_layernorm.weight", one, queries);
    same("self_attn.q_b_proj.weight", parts(heads, static_cast<size_t>(t.qk_head_dim())), queries);
    same("self_attn.kv_a_proj_with_mqa.weight", keys, hidden);
    same("self_attn.kv_a_layernorm.weight", one, latents);
    same("self_attn.kv_b_proj.weight",
         parts(heads, static_cast<size_t>(t.qk_nope_head_dim + t.v_head_dim)), latents);
    same("self_attn.o_proj.weight", hidden, parts(heads, static_cast<size_t>(t.v_head_dim)));
    const auto mlp = [&](const std::string& name, const std::string& name_there,
                         const std::vector<size_t>& neurons) {
      for (const char* matrix : {"gate_proj.weight", "up_proj.weight"}) {
        set(prefix + name + matrix, prefix + name_there + matrix, neurons, hidden);
      }
      set(prefix + name + "down_proj.weight", prefix + name_there + "down_proj.weight", hidden,
          neurons);
    };
    if (layer == 0) {
      mlp("mlp.", "mlp.", place(s.intermediate_size, t.intermediate_size));
      continue;
    }
    same("post_mlp_layernorm.weight", one, hidden);
    // Two groups, three experts of each there, five here.
    std::vector<size_t> experts = place(3, 5);
    for (size_t e : place(3, 5)) experts.push_back(5 + e);
    same("mlp.gate.weight", experts, hidden);
    const auto of = [&](std::span<float> biases, const ModelConfig& c, size_t e) -> float& {
      return biases[(layer - 1) * static_cast<size_t>(c.n_routed_experts) + e];
    };
    ParamStore& source = const_cast<ParamStore&>(student);
    for (size_t e = 0; e < experts.size(); ++e) {
      mlp(cat("mlp.experts.", e, "."), cat("mlp.experts.", experts[e], "."),
          place(s.moe_intermediate_size, t.moe_intermediate_size));
      of(teacher.mutable_router_biases(), t, experts[e]) = of(source.mutable_router_biases(), s, e);
    }
    mlp("mlp.shared_experts.", "mlp.shared_experts.",
        place(s.moe_intermediate_size, t.moe_intermediate_size));
  }
  save(teacher);
  ParamStore cut(tiny_config(kWithMtp), {.seed = 8});
  const CutReport report = cut_from({.source = dir_}, cut);
  EXPECT_THAT(report.untouched, IsEmpty());
  EXPECT_TRUE(std::ranges::equal(cut.values(), student.values()));
  EXPECT_TRUE(std::ranges::equal(cut.router_biases(), student.router_biases()));
}

TEST_F(CutTest, LayersAreTheOnesThatAreNamed) {
  const ParamStore teacher = random_model(R"({"num_hidden_layers": 5})", 5);
  save(teacher);
  ParamStore student(tiny_config(), {.seed = 6});
  EXPECT_THAT(cut_from({.source = dir_}, student).layers, ElementsAre(0, 2, 4));
  const CutReport report = cut_from({.source = dir_, .layers = {0, 1, 3}}, student);
  EXPECT_THAT(report.layers, ElementsAre(0, 1, 3));
  const std::string name = "self_attn.o_proj.weight";
  const Param* of_student = student.layout().find("model.layers.2." + name);
  const Param* of_teacher = teacher.layout().find("model.layers.3." + name);
  EXPECT_TRUE(std::ranges::equal(student.values(*of_student), teacher.values(*of_teacher)));
}

TEST_F(CutTest, ADenseMlpIsNotMadeOfExperts) {
  save(random_model("{}", 7));
  ParamStore student(tiny_config(R"({"first_k_dense_replace": 2})"), {.seed = 8});
  const std::vector<float> before(student.values().begin(), student.values().end());
  const CutReport report = cut_from({.source = dir_}, student);
  EXPECT_THAT(report.untouched, ElementsAre("model.layers.1.mlp.down_proj.weight",
                                            "model.layers.1.mlp.gate_proj.weight",
                                            "model.layers.1.mlp.up_proj.weight"));
  const Param* kept = student.layout().find(report.untouched[0]);
  EXPECT_TRUE(std::ranges::equal(student.values(*kept),
                                 std::span(before).subspan(kept->offset, kept->size)));
}

TEST_F(CutTest, WhatCannotBeCutIsRefused) {
  save(random_model("{}", 1));
  EXPECT_THAT(error_of(R"({"vocab_size": 36})"), HasSubstr("vocab_size is 37"));
  EXPECT_THAT(error_of(R"({"hidden_size": 28})"), HasSubstr("hidden_size is 20"));
  EXPECT_THAT(error_of(R"({"v_head_dim": 2})"), HasSubstr("v_head_dim"));
  EXPECT_THAT(error_of(R"({"q_lora_rank": null})"), HasSubstr("q_lora_rank"));
  EXPECT_THAT(error_of(R"({"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}})"),
              HasSubstr("rope_parameters"));
  EXPECT_THAT(error_of(R"({"n_routed_experts": 8})"), HasSubstr("n_routed_experts"));
  EXPECT_THAT(error_of(R"({"intermediate_size": 25})"), HasSubstr("24 rows"));
  EXPECT_THAT(error_of("{}", {0, 1}), HasSubstr("2 layers are named"));
  EXPECT_THAT(error_of("{}", {0, 2, 1}), HasSubstr("layer 1"));
  EXPECT_THAT(error_of("{}", {0, 1, 3}), HasSubstr("0 to 2"));
}

}  // namespace
}  // namespace axk1
