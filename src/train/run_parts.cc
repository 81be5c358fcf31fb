#include "train/run_parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/checksum.h"
#include "io/errno_error.h"
#include "io/file.h"
#include "model/config_json.h"
#include "train/cut.h"
#include "train/hf_export.h"
#include "train/muon.h"

namespace axk1 {
namespace {

namespace fs = std::filesystem;

// What a model's folder has besides config and weights.
constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",      "tokenizer_config.json",   "vocab.json",
    "merges.txt",          "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json",      "generation_config.json"};

// Ids by the names that tokenizer_config.json gives them; nothing when it has none.
std::optional<TokenId> named_token(const json::object& config, const char* field,
                                   const Tokenizer& tokenizer) {
  const json::value* name = config.if_contains(field);
  if (name && name->is_object()) name = name->get_object().if_contains("content");
  if (!name || !name->is_string()) return std::nullopt;
  return tokenizer.find(std::string_view(name->get_string()));
}

// What a config leaves to its tokenizer.
void complete_config(const RunConfig& run, const Tokenizer& tokenizer, json::object& config) {
  if (!config.contains("vocab_size")) {
    config["vocab_size"] = static_cast<int64_t>(tokenizer.vocab_size());
  }
  if (config.contains("eos_token_id")) return;
  const std::string path = run.tokenizer + "/tokenizer_config.json";
  json::value named = json::object();
  if (file_exists(path)) named = json::parse(read_file(path), path);
  if (!named.is_object()) return;
  json::array ends;
  for (const auto& id : {named_token(named.get_object(), "eos_token", tokenizer),
                         tokenizer.find(run.document_end)}) {
    if (id && std::ranges::find(ends, json::value(*id)) == ends.end()) ends.emplace_back(*id);
  }
  if (!ends.empty()) config["eos_token_id"] = std::move(ends);
}

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ErrorCode::kIo, path, ": cannot make the folder: ", error.message());
}

FolderLock::FolderLock(const std::string& folder) {
  const std::string path = folder + "/lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno(path, "open");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd_);
    fail(ErrorCode::kIo, folder, ": another process is training in this folder");
  }
}

FolderLock::~FolderLock() {
  ::close(fd_);
}

std::unique_ptr<ParamStore> make_run_params(const RunConfig& run, const Tokenizer& tokenizer,
                                            const std::function<void(const std::string&)>& say) {
  if (is_directory(run.model_path)) return std::make_unique<ParamStore>(run.model_path);
  const bool in_file = !run.model_path.empty();
  const std::string source = in_file ? run.model_path : run.path + ": model";
  json::value config = in_file ? json::parse(read_file(run.model_path), source) : run.model_inline;
  if (config.is_object()) complete_config(run, tokenizer, config.get_object());
  const ModelConfig parsed = parse_model_config(config, source);
  InitOptions init{.seed = run.seed};
  const json::ObjectReader reader(config, source);
  if (const json::value* range = reader.find("initializer_range"); range && !range->is_null()) {
    init.standard_deviation = reader.number_or("initializer_range", init.standard_deviation);
    if (!(init.standard_deviation > 0 && init.standard_deviation <= 1)) {
      reader.wrong("initializer_range", *range, "a number above 0, at most 1");
    }
  }
  auto params = std::make_unique<ParamStore>(parsed, init);
  if (!run.cut.source.empty()) {
    const CutReport cut = cut_from({.source = run.cut.source, .layers = run.cut.layers}, *params);
    std::string text = "cut from layers ";
    for (size_t i = 0; i < cut.layers.size(); ++i) text += cat(i ? ", " : "", cut.layers[i]);
    text += cat(" of ", run.cut.source);
    if (!cut.untouched.empty()) {
      text += cat("; ", cut.untouched.size(), " tensors start random: ", cut.untouched[0], "...");
    }
    say(text);
  }
  return params;
}

std::unique_ptr<Optimizer> make_run_optimizer(const RunOptimizer& o, const ParamStore& params,
                                              const KernelTable& kernels, int num_threads) {
  const AdamWOptions adamw{
      .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay};
  if (o.kind == OptimizerKind::kAdamW) return std::make_unique<AdamW>(params.layout(), adamw);
  const MuonOptions muon{.momentum = o.momentum, .weight_decay = o.weight_decay, .adamw = adamw};
  return std::make_unique<Muon>(params.layout(), muon, kernels, num_threads);
}

std::string run_hash(const RunConfig& run, const ModelConfig& config, uint64_t tokenizer_hash) {
  return checksum_text(
      checksum64(cat(checksum_text(run.fingerprint), json::to_text(model_config_json(config)),
                     checksum_text(tokenizer_hash))));
}

std::vector<CheckpointSection> training_sections(const ParamStore& params, Optimizer& optimizer) {
  return {{"weights", std::as_bytes(params.values())},
          {"router_bias", std::as_bytes(params.router_biases())},
          {"optimizer.0", std::as_bytes(optimizer.first_moment())},
          {"optimizer.1", std::as_bytes(optimizer.second_moment())}};
}

void read_training_sections(const RunCheckpoint& checkpoint, ParamStore& params,
                            Optimizer& optimizer) {
  const auto read = [&](std::string_view name, std::span<float> to) {
    const auto bytes = checkpoint.section(name, to.size_bytes());
    if (!bytes.empty()) std::memcpy(to.data(), bytes.data(), bytes.size());
  };
  read("weights", params.mutable_values());
  read("router_bias", params.mutable_router_biases());
  read("optimizer.0", optimizer.first_moment());
  read("optimizer.1", optimizer.second_moment());
}

void export_run_model(const ParamStore& params, const std::string& tokenizer,
                      const std::string& out) {
  const std::string model = out + "/model", fresh = model + ".new", old = model + ".old";
  std::error_code error;
  fs::remove_all(fresh, error);
  fs::remove_all(old, error);
  export_huggingface(params, fresh,
                     {.dtype = params.config().dtype == DType::kF32 ? DType::kF32 : DType::kBF16});
  for (const char* name : kTokenizerFiles) {
    const std::string from = cat(tokenizer, "/", name);
    if (is_regular_file(from)) write_file_atomic(cat(fresh, "/", name), read_file(from));
  }
  if (file_exists(model)) {
    fs::rename(model, old, error);
    if (error) fail(ErrorCode::kIo, model, ": cannot make room: ", error.message());
  }
  fs::rename(fresh, model, error);
  if (error) fail(ErrorCode::kIo, model, ": cannot rename to this name: ", error.message());
  fs::remove_all(old, error);
}

void note_router(const StepStats& stats, StepMetrics& m) {
  double entropy = 0, vio = 0;
  for (const MoeLayerStats& layer : stats.moe_layers) {
    uint64_t sum = 0;
    for (uint64_t tokens : layer.tokens_per_expert) {
      sum += tokens;
      m.dead_experts += tokens == 0;
    }
    const auto largest = static_cast<double>(std::ranges::max(layer.tokens_per_expert));
    const auto mean =
        static_cast<double>(sum) / static_cast<double>(layer.tokens_per_expert.size());
    if (sum) vio += largest / mean - 1;
    entropy += layer.router_entropy_sum / static_cast<double>(std::max<uint64_t>(stats.tokens, 1));
  }
  if (const auto layers = static_cast<double>(stats.moe_layers.size()); layers > 0) {
    m.max_vio = vio / layers;
    m.router_entropy = entropy / layers;
  }
}

}  // namespace axk1
