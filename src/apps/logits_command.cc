// axk1 logits: what the model computes for given ids, in a file, to compare engines.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "apps/commands.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "base/check.h"
#include "base/error.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "io/json.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxIdsBytes = uint64_t{1} << 28;
constexpr size_t kLogitRowsAtOnce = 64;

struct LogitsArguments {
  ModelOptions model;
  std::string ids_file;
  std::string out;
  bool all = false;
};

// A JSON list, or numbers separated by blanks and line ends.
std::vector<int32_t> read_ids(const std::string& path, size_t vocab_size) {
  const std::string text = read_file(path, kMaxIdsBytes);
  std::vector<int32_t> ids;
  const auto take = [&](int64_t id) {
    if (id < 0 || static_cast<uint64_t>(id) >= vocab_size) {
      fail(ErrorCode::kInvalidInput, path, ": id ", id, " at index ", ids.size(),
           " is outside the vocabulary of ", vocab_size);
    }
    ids.push_back(static_cast<int32_t>(id));
  };
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    const json::value list = json::parse(text, path);
    for (const json::value& id : list.as_array()) {
      if (!id.is_int64()) {
        fail(ErrorCode::kInvalidInput, path, ": found ", printable(json::to_text(id), 40),
             " at index ", ids.size(), ", expected a token id");
      }
      take(id.get_int64());
    }
  } else {
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (true) {
      while (at < end && blank(*at)) ++at;
      if (at == end) break;
      int64_t id = 0;
      const auto [next, error] = std::from_chars(at, end, id);
      if (error != std::errc() || (next < end && !blank(*next))) {
        const char* stop = std::find_if(at, end, blank);
        fail(ErrorCode::kInvalidInput, path, ": found \"",
             printable({at, static_cast<size_t>(stop - at)}, 40), "\" at index ", ids.size(),
             ", expected token ids as a JSON list or separated by blanks");
      }
      take(id);
      at = next;
    }
  }
  if (ids.empty()) fail(ErrorCode::kInvalidInput, path, ": holds no token ids");
  return ids;
}

// Puts what each step shows where the whole sequence has it: [layers, T, ..].
class Collector : public ForwardObserver {
 public:
  Collector(const ModelConfig& config, size_t num_tokens)
      : num_tokens_(num_tokens),
        hidden_size_(static_cast<size_t>(config.hidden_size)),
        top_k_(config.num_moe_layers() ? static_cast<size_t>(config.num_experts_per_tok) : 0),
        hiddens(static_cast<size_t>(config.num_hidden_layers + 1) * num_tokens * hidden_size_),
        router_indices(static_cast<size_t>(config.num_moe_layers()) * num_tokens * top_k_),
        router_weights(router_indices.size()) {}

  void hidden(size_t idx, std::span<const float> x) override {
    std::copy(x.begin(), x.end(), hiddens.data() + (idx * num_tokens_ + first) * hidden_size_);
  }
  void router(size_t moe_idx, std::span<const float>, std::span<const int32_t> indices,
              std::span<const float> weights) override {
    const size_t at = (moe_idx * num_tokens_ + first) * top_k_;
    std::copy(indices.begin(), indices.end(), router_indices.data() + at);
    std::copy(weights.begin(), weights.end(), router_weights.data() + at);
  }

  size_t first = 0;  // position of the step's first token

 private:
  size_t num_tokens_, hidden_size_, top_k_;

 public:
  std::vector<float> hiddens;
  std::vector<int32_t> router_indices;
  std::vector<float> router_weights;
};

void run_logits(const LogitsArguments& arguments) {
  Engine engine(arguments.model.model, engine_options(arguments.model));
  const ModelConfig& config = engine.config();
  const std::vector<int32_t> ids = read_ids(arguments.ids_file, engine.vocab_size());
  if (ids.size() > engine.context_length()) {
    fail(ErrorCode::kInvalidInput, arguments.ids_file, ": ", ids.size(),
         " ids do not fit the context of ", engine.context_length());
  }
  const uint64_t num_tokens = ids.size();
  const auto u = [](int64_t size) { return static_cast<uint64_t>(size); };
  std::vector<TensorSpec> specs = {{"logits", DType::kF32, {num_tokens, u(config.vocab_size)}}};
  std::unique_ptr<Collector> collector;
  if (arguments.all) {
    collector = std::make_unique<Collector>(config, ids.size());
    specs.push_back({"hidden",
                     DType::kF32,
                     {u(config.num_hidden_layers + 1), num_tokens, u(config.hidden_size)}});
    if (const int64_t moe_layers = config.num_moe_layers()) {
      const std::vector<uint64_t> shape = {u(moe_layers), num_tokens,
                                           u(config.num_experts_per_tok)};
      specs.push_back({"router_indices", DType::kI32, shape});
      specs.push_back({"router_weights", DType::kF32, shape});
    }
  }
  SafetensorsWriter out(arguments.out, specs,
                        {{"model", engine.name()},
                         {"dtype", dtype_name(engine.weights().compute_dtype)},
                         {"kernels", engine.kernels().name}});
  KvCache cache(config, engine.forward().cache_dtype());
  cache.reserve(ids.size());
  Progress progress("computing", "tokens", ids.size());
  const size_t step = engine.forward().options().max_batch_tokens;
  for (size_t first = 0; first < ids.size(); first += step) {
    const size_t count = std::min(step, ids.size() - first);
    if (collector) collector->first = first;
    const SequenceInput input{
        .tokens = {ids.data() + first, count}, .cache = &cache, .all_logits = true};
    engine.forward().run({&input, 1}, collector.get());
    for (size_t row = 0; row < count; row += kLogitRowsAtOnce) {
      out.append_f32("logits",
                     engine.forward().logits(row, std::min(kLogitRowsAtOnce, count - row)));
    }
    progress.update(first + count);
  }
  if (collector) {
    out.append_f32("hidden", collector->hiddens);
    if (config.num_moe_layers()) {
      out.append("router_indices", std::as_bytes(std::span(collector->router_indices)));
      out.append_f32("router_weights", collector->router_weights);
    }
  }
  out.finish();
}

}  // namespace

void add_logits_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("logits", "Write the logits of given token ids to a safetensors file");
  const auto arguments = std::make_shared<LogitsArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  command
      ->add_option("--ids-file", arguments->ids_file,
                   "Token ids of one sequence: a JSON list, or separated by blanks")
      ->required();
  command->add_option("--out", arguments->out, "The file to write")->required();
  command->add_flag("--all", arguments->all,
                    "Also write hidden [layers + 1, T, hidden_size], router_indices and "
                    "router_weights [MoE layers, T, num_experts_per_tok]");
  command->footer(
      "Writes f32 `logits` [T, vocab_size]. hidden holds the embedding, then the residual stream\n"
      "after each layer; a token's experts are in ascending order.\n\n"
      "Example:\n"
      "  echo '16322 9154 198 908 11363 16323' > ids.txt\n"
      "  build/release/axk1 logits models/nano-v1 --ids-file ids.txt --out logits.safetensors "
      "--all");
  command->callback([arguments] { run_logits(*arguments); });
}

}  // namespace axk1
