// What servers, commands and measurements see of the engine: a loaded model, and sessions, each a
// growing line of tokens with its own cache. No tensor leaves it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/template.h"
#include "kernels/kernel_table.h"
#include "model/config.h"
#include "model/forward.h"
#include "model/weights.h"
#include "parallel/thread_pool.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {

struct EngineOptions {
  int num_threads = 0;                 // 0: every usable processor
  std::string kernels;                 // name of a kernel table; empty: the best of the machine
  std::optional<DType> dtype;          // see LoadOptions::dtype
  size_t prefill_tokens = 512;         // most tokens of one forward step
  K1PackLoad load = K1PackLoad::kMap;  // see LoadOptions
  ByteProgress load_progress = {};
  std::optional<CacheDType> cache_dtype;  // absent: the type computed in
};

// What generation_config.json proposes; absent fields are empty.
struct GenerationDefaults {
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int32_t> top_k;
};

class Session;

// A loaded model. Sessions refer to it and must not outlive it. One thread at a time may run steps;
// the const members may be read by any thread.
class Engine {
 public:
  // A Hugging Face directory or a k1pack file. Tokenizer and chat template are read when they are
  // there.
  Engine(const std::string& model_path, const EngineOptions& options = {});
  // Weights made elsewhere, without tokenizer: for measurements.
  Engine(ModelConfig config, ModelWeights weights, const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const std::string& name() const { return name_; }  // last part of the model's path
  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  const KernelTable& kernels() const { return kernels_; }
  int num_threads() const { return pool_->num_threads(); }
  size_t vocab_size() const { return static_cast<size_t>(config_.vocab_size); }
  size_t context_length() const { return static_cast<size_t>(config_.max_position_embeddings); }

  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  const Tokenizer& require_tokenizer() const;  // throws Error(kNotFound) naming the directory
  const ChatTemplate* chat_template() const { return template_ ? &*template_ : nullptr; }
  const ChatTemplate& require_chat_template() const;
  const GenerationDefaults& generation_defaults() const { return defaults_; }
  // Tokens that end an answer: of generation_config.json, else of config.json.
  const std::vector<TokenId>& eos_token_ids() const { return eos_; }

  // One step for a batch: appends tokens[i] to sessions[i], all different, and computes the logits
  // that follow. Throws Error(kInvalidInput) for a token outside the vocabulary or a full context.
  void step(std::span<Session* const> sessions, std::span<const TokenId> tokens);

  // The forward pass itself, for comparing engines and for measurements.
  Forward& forward() { return *forward_; }
  ThreadPool& pool() { return *pool_; }

 private:
  friend class Session;
  void finish_construction(const EngineOptions& options);

  std::string name_, path_;
  ModelConfig config_;
  ModelWeights weights_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
  GenerationDefaults defaults_;
  std::vector<TokenId> eos_;
  KernelTable kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Forward> forward_;
  std::vector<SequenceInput> batch_;  // of the step that runs
};

// One growing line of tokens. Owned by the caller; used by one thread at a time.
class Session {
 public:
  explicit Session(Engine& engine);

  Engine& engine() { return engine_; }
  std::span<const TokenId> tokens() const { return tokens_; }

  // After each chunk: tokens read of `total` new ones. Returning false stops.
  using Progress = std::function<bool(size_t done, size_t total)>;

  // Makes the line equal `ids` (not empty): keeps what the two share from the start, forgets the
  // rest, reads what is new in chunks. False when progress stopped it: the line then holds a part
  // of ids. Throws Error(kInvalidInput) when ids do not fit the context or the vocabulary.
  bool set_tokens(std::span<const TokenId> ids, const Progress& progress = {});

  // Appends one token and computes what follows.
  void append(TokenId id);

  // Takes cache memory for this many tokens now, so that steps up to there allocate nothing.
  void reserve(size_t num_tokens) {
    tokens_.reserve(num_tokens);
    cache_.reserve(num_tokens);
  }

  // Logits [vocab_size] after the last token; empty before the first.
  std::span<const float> logits() const { return logits_; }

 private:
  friend class Engine;
  void check_room(std::span<const TokenId> ids, size_t length) const;

  Engine& engine_;
  KvCache cache_;
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

}  // namespace axk1
