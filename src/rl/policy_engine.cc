#include "rl/policy_engine.h"

#include <utility>

namespace axk1 {
namespace {

std::vector<float> vector_of(std::span<const float> values, const NormParam& norm) {
  const auto part = values.subspan(norm.offset, norm.size);
  return {part.begin(), part.end()};
}

MatrixView matrix(std::span<const float> values, const MatrixParam& m, size_t first_row,
                  size_t num_rows) {
  if (num_rows == 0) return {};
  return {.data = values.data() + m.offset + first_row * m.cols,
          .dtype = DType::kF32,
          .rows = num_rows,
          .cols = m.cols,
          .stride = m.cols};
}

MatrixView matrix(std::span<const float> values, const MatrixParam& m) {
  return matrix(values, m, 0, m.rows);
}

ExpertWeights mlp(std::span<const float> values, const MlpParams& p) {
  const size_t width = p.intermediate();
  return {.gate = matrix(values, p.gate_up, 0, width),
          .up = matrix(values, p.gate_up, width, width),
          .down = matrix(values, p.down)};
}

LayerWeights layer_weights(const ParamStore& params, const LayerParams& p) {
  const std::span<const float> values = params.values();
  const ModelConfig& config = params.config();
  LayerWeights w;
  w.is_moe = p.is_moe;
  w.input_layernorm = vector_of(values, p.input_norm);
  w.post_attention_layernorm = vector_of(values, p.post_attention_norm);
  w.post_mlp_layernorm = vector_of(values, p.post_mlp_norm);
  w.q_a_layernorm = vector_of(values, p.q_a_norm);
  w.kv_a_layernorm = vector_of(values, p.kv_a_norm);
  (p.q_b.rows ? w.q_a_proj : w.q_proj) = matrix(values, p.in_proj, 0, p.q_width);
  w.q_b_proj = matrix(values, p.q_b);
  w.kv_a_proj_with_mqa = matrix(values, p.in_proj, p.q_width, p.in_proj.rows - p.q_width);
  w.kv_b_proj = matrix(values, p.kv_b);
  w.o_proj = matrix(values, p.o);
  if (!p.is_moe) {
    w.mlp = mlp(values, p.mlp);
    return w;
  }
  w.router = matrix(values, p.router);
  const std::span<const float> bias = params.router_bias(p.moe_idx);
  w.e_score_correction_bias.assign(bias.begin(), bias.end());
  for (const MlpParams& expert : p.experts) w.experts.push_back(mlp(values, expert));
  if (config.n_shared_experts > 0) w.shared_experts = mlp(values, p.shared);
  return w;
}

ModelConfig policy_config(const ParamStore& params) {
  ModelConfig config = params.config();
  config.num_nextn_predict_layers = 0;
  return config;
}

// The engine's model, but with a tokenizer that is not the engine's own.
class PolicyModel final : public StepModel {
 public:
  PolicyModel(Engine& engine, const Tokenizer& tokenizer)
      : engine_(engine), model_(make_engine_model(engine)), tokenizer_(tokenizer) {}

  AnswerModel answer_model() const override {
    AnswerModel answer = model_->answer_model();
    answer.tokenizer = &tokenizer_;
    answer.eos = engine_.config().eos_token_ids;
    return answer;
  }
  size_t max_step_tokens() const override { return model_->max_step_tokens(); }
  ModelMemory memory() const override { return model_->memory(); }
  KvCache new_cache() const override { return model_->new_cache(); }
  size_t block_bytes() const override { return model_->block_bytes(); }
  uint64_t fingerprint() const override { return model_->fingerprint(); }
  void run(std::span<const SequenceInput> batch) override { model_->run(batch); }
  std::span<const float> logits(size_t first_row, size_t count) override {
    return model_->logits(first_row, count);
  }
  void reserve_logits(size_t rows) override { model_->reserve_logits(rows); }

 private:
  Engine& engine_;
  std::unique_ptr<StepModel> model_;
  const Tokenizer& tokenizer_;
};

}  // namespace

ModelWeights policy_weights(const ParamStore& params) {
  const ParamLayout& layout = params.layout();
  ModelWeights weights;
  weights.compute_dtype = DType::kF32;
  weights.embed_tokens = matrix(params.values(), layout.embedding);
  weights.lm_head = matrix(params.values(), layout.head);
  weights.norm = vector_of(params.values(), layout.final_norm);
  // Not the layer of multi-token prediction, which comes last.
  const auto num_layers = static_cast<size_t>(params.config().num_hidden_layers);
  for (size_t i = 0; i < num_layers; ++i) {
    weights.layers.push_back(layer_weights(params, layout.layers[i]));
  }
  return weights;
}

PolicyEngine::PolicyEngine(const ParamStore& params, const Tokenizer& tokenizer,
                           const PolicyEngineOptions& options)
    : engine_(policy_config(params), policy_weights(params),
              {.num_threads = options.num_threads, .kernels = options.kernels}),
      service_(make_batching_service(std::make_unique<PolicyModel>(engine_, tokenizer),
                                     {.max_sequences = options.max_sequences,
                                      .context_tokens = options.context_tokens,
                                      .drafts = false})) {}

}  // namespace axk1
