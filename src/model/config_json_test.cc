#include "model/config_json.h"

#include <gtest/gtest.h>

#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

// A field that is written wrong, or not at all, changes what is read back: or the second text.
TEST(ConfigJson, ReadsBackTheSame) {
  size_t cases = 0;
  for (const char* path : {"golden/g1-grouped-yarn/config.json", "golden/g2-fused-bias/config.json",
                           "golden/g3-dense/config.json", "golden/g4-deepseek-v3/config.json",
                           "configs/axk1-released-sizes.json", "../models/nano-v0/config.json"}) {
    SCOPED_TRACE(path);
    const ModelConfig a = load_model_config(testing::testdata(path));
    const json::object written = model_config_json(a);
    const ModelConfig b = parse_model_config(written, "written");
    EXPECT_EQ(json::to_text(model_config_json(b)), json::to_text(written));
    EXPECT_EQ(a.vocab_size, b.vocab_size);
    EXPECT_EQ(a.is_moe_layer, b.is_moe_layer);
    EXPECT_EQ(a.n_group, b.n_group);
    EXPECT_EQ(a.topk_group, b.topk_group);
    EXPECT_EQ(a.n_shared_experts, b.n_shared_experts);
    EXPECT_EQ(a.num_experts_per_tok, b.num_experts_per_tok);
    EXPECT_EQ(a.q_lora_rank, b.q_lora_rank);
    EXPECT_EQ(a.norm_topk_prob, b.norm_topk_prob);
    EXPECT_EQ(a.routed_scaling_factor, b.routed_scaling_factor);
    EXPECT_EQ(a.rms_norm_eps, b.rms_norm_eps);
    EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);
    EXPECT_EQ(a.rope_interleave, b.rope_interleave);
    EXPECT_EQ(a.has_post_mlp_norm, b.has_post_mlp_norm);
    EXPECT_EQ(a.dtype, b.dtype);
    EXPECT_EQ(a.eos_token_ids, b.eos_token_ids);
    EXPECT_EQ(a.bos_token_id, b.bos_token_id);
    EXPECT_EQ(a.pad_token_id, b.pad_token_id);
    EXPECT_EQ(a.softmax_scale(), b.softmax_scale());
    EXPECT_EQ(a.rope_attention_scaling(), b.rope_attention_scaling());
    EXPECT_EQ(a.rope_inv_freq(), b.rope_inv_freq());
    EXPECT_EQ(a.max_position_embeddings, b.max_position_embeddings);
    ++cases;
  }
  std::printf("[ cases ] configs written and read back: %zu\n", cases);
}

}  // namespace
}  // namespace axk1
