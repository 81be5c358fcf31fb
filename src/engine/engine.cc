#include "engine/engine.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"
#include "kernels/registry.h"
#include "parallel/topology.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxConfigBytes = 16 << 20;

std::vector<TokenId> read_eos(const json::ObjectReader& reader) {
  std::vector<TokenId> ids;
  const json::value* eos = reader.find("eos_token_id");
  if (!eos) return ids;
  const auto take = [&](const json::value& id) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > INT32_MAX) {
      reader.wrong("eos_token_id", id, "a token id or a list of them");
    }
    ids.push_back(static_cast<TokenId>(id.get_int64()));
  };
  if (eos->is_array()) {
    for (const json::value& id : eos->get_array()) take(id);
  } else {
    take(*eos);
  }
  return ids;
}

}  // namespace

Engine::Engine(const std::string& model_path, const EngineOptions& options) : path_(model_path) {
  const NamedFiles files = open_model_files(model_path);
  config_ = load_model_config(files);
  weights_ = load_weights(
      model_path, config_,
      {.dtype = options.dtype, .load = options.load, .progress = options.load_progress});
  if (Tokenizer::is_in(files)) tokenizer_ = Tokenizer::load(files);
  if (ChatTemplate::is_in(files)) template_ = ChatTemplate::load(files);
  eos_.assign(config_.eos_token_ids.begin(), config_.eos_token_ids.end());

  if (files.contains("generation_config.json")) {
    const std::string path = files.place("generation_config.json");
    const json::value document =
        json::parse(files.read("generation_config.json", kMaxConfigBytes), path);
    const json::ObjectReader reader(document, path);
    const auto number = [&](const char* field) -> std::optional<double> {
      if (!reader.find(field)) return std::nullopt;
      return reader.number_or(field, 0);
    };
    if (reader.find("do_sample")) defaults_.do_sample = reader.bool_or("do_sample", false);
    defaults_.temperature = number("temperature");
    defaults_.top_p = number("top_p");
    defaults_.min_p = number("min_p");
    defaults_.repetition_penalty = number("repetition_penalty");
    if (reader.find("top_k")) {
      defaults_.top_k = static_cast<int32_t>(reader.int_or("top_k", 0, 0, INT32_MAX));
    }
    if (std::vector<TokenId> eos = read_eos(reader); !eos.empty()) eos_ = std::move(eos);
  }
  finish_construction(options);
}

Engine::Engine(ModelConfig config, ModelWeights weights, const EngineOptions& options)
    : path_("synthetic"), config_(std::move(config)), weights_(std::move(weights)) {
  finish_construction(options);
}

Engine::~Engine() = default;

void Engine::finish_construction(const EngineOptions& options) {
  name_ = std::filesystem::path(path_ + "/").lexically_normal().parent_path().filename().string();
  kernels_ = select_kernels(options.kernels, cpu_features());
  pool_ =
      std::make_unique<ThreadPool>(options.num_threads > 0 ? options.num_threads : usable_cpus());
  forward_ = std::make_unique<Forward>(
      config_, weights_, kernels_, *pool_,
      ForwardOptions{.max_batch_tokens = std::max(size_t{1}, options.prefill_tokens),
                     .cache_dtype = options.cache_dtype});
}

const Tokenizer& Engine::require_tokenizer() const {
  if (!tokenizer_) {
    fail(ErrorCode::kNotFound, path_, ": has no tokenizer.json (nor vocab.json with merges.txt)");
  }
  return *tokenizer_;
}

const ChatTemplate& Engine::require_chat_template() const {
  if (!template_) {
    fail(ErrorCode::kNotFound, path_,
         ": has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)");
  }
  return *template_;
}

void Engine::step(std::span<Session* const> sessions, std::span<const TokenId> tokens) {
  AXK1_CHECK(sessions.size() == tokens.size());
  const size_t most = forward_->options().max_batch_tokens;
  for (size_t first = 0; first < sessions.size(); first += most) {
    const size_t count = std::min(most, sessions.size() - first);
    batch_.clear();
    for (size_t i = first; i < first + count; ++i) {
      Session& session = *sessions[i];
      session.check_room(tokens.subspan(i, 1), session.tokens_.size());
      session.cache_.reserve(session.tokens_.size() + 1);
      batch_.push_back({.tokens = tokens.subspan(i, 1), .cache = &session.cache_});
    }
    forward_->run(batch_);
    const std::span<const float> logits = forward_->logits(0, count);
    for (size_t i = 0; i < count; ++i) {
      Session& session = *sessions[first + i];
      session.tokens_.push_back(tokens[first + i]);
      const auto row = logits.subspan(i * vocab_size(), vocab_size());
      session.logits_.assign(row.begin(), row.end());
    }
  }
}

Session::Session(Engine& engine)
    : engine_(engine), cache_(engine.config(), engine.forward().cache_dtype()) {}

void Session::check_room(std::span<const TokenId> ids, size_t length) const {
  if (length + ids.size() > engine_.context_length()) {
    fail(ErrorCode::kInvalidInput, length + ids.size(), " tokens do not fit the context of ",
         engine_.context_length());
  }
  for (TokenId id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= engine_.vocab_size()) {
      fail(ErrorCode::kInvalidInput, "token id ", id, " is outside the vocabulary of ",
           engine_.vocab_size());
    }
  }
}

bool Session::set_tokens(std::span<const TokenId> ids, const Progress& progress) {
  if (ids.empty()) fail(ErrorCode::kInvalidInput, "the prompt is empty");
  check_room(ids, 0);
  size_t shared = 0;
  while (shared < std::min(ids.size(), tokens_.size()) && ids[shared] == tokens_[shared]) ++shared;
  if (shared == ids.size() && shared == tokens_.size()) return true;
  // The logits belong to the last token: when the line only gets shorter, that one is read again.
  if (shared == ids.size()) --shared;
  tokens_.resize(shared);
  logits_.clear();
  cache_.truncate(shared);
  cache_.reserve(ids.size());
  const size_t total = ids.size() - shared;
  for (size_t done = 0; done < total;) {
    const size_t count = std::min(total - done, engine_.forward().options().max_batch_tokens);
    const SequenceInput input{.tokens = ids.subspan(shared + done, count), .cache = &cache_};
    engine_.forward().run({&input, 1});
    tokens_.insert(tokens_.end(), input.tokens.begin(), input.tokens.end());
    done += count;
    if (done == total) {
      const std::span<const float> logits = engine_.forward().logits(0, 1);
      logits_.assign(logits.begin(), logits.end());
    }
    if (progress && !progress(done, total) && done < total) return false;
  }
  return true;
}

void Session::append(TokenId id) {
  Session* self = this;
  engine_.step({&self, 1}, {&id, 1});
}

}  // namespace axk1
