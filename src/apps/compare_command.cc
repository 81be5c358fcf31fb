// axk1 compare: KL divergence, top-1 agreement and perplexity ratio of two models on a text.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/compare.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "io/file.h"
#include "io/json.h"
#include "model/plan.h"

namespace axk1 {
namespace {

constexpr size_t kChunkTokens = 512, kChunkTokensFromDisk = 2048;

struct CompareArguments {
  ModelOptions options;
  std::string reference, other;
  std::string text_file;
  TextOptions text;
  size_t chunk_tokens = 0;
  bool json = false;
};

// Of the weights file, or of the safetensors files of the directory; 0 where there is none.
uint64_t bytes_on_disk(const std::string& model) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!is_directory(model)) {
    const uintmax_t size = fs::file_size(model, error);
    return error ? 0 : size;
  }
  uint64_t total = 0;
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".safetensors") continue;
    const uintmax_t size = at->file_size(error);
    if (!error) total += size;
  }
  return total;
}

// Tokens that each model reads before it is the other's turn. Weights are mapped, so two models
// that do not fit memory together still run, each reading its own from disk every turn: larger
// turns then read them less often.
size_t plan_chunk(const CompareArguments& arguments) {
  if (arguments.chunk_tokens) return arguments.chunk_tokens;
  const uint64_t weights = bytes_on_disk(arguments.reference) + bytes_on_disk(arguments.other);
  const uint64_t memory = machine_memory_bytes();
  if (memory == 0 || weights < memory) return kChunkTokens;
  print_err(cat("axk1: the weights of both are ", human_bytes(weights), ", the memory is ",
                human_bytes(memory), ": every ", kChunkTokensFromDisk,
                " tokens read one model and then the other from disk (--chunk-tokens)\n"));
  return kChunkTokensFromDisk;
}

// Of the file: every byte of weights, over the parameters of the architecture.
double bits_per_weight(const Engine& engine) {
  const CheckpointSummary& summary = engine.weights().summary;
  return 8 * static_cast<double>(summary.weight_bytes) / static_cast<double>(summary.parameters);
}

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

json::object to_json(const ComparisonResult& r, double bits_a, double bits_b, double seconds) {
  json::object out;
  out["kl_mean"] = r.kl_mean;
  out["kl_mean_error"] = r.kl_mean_error;
  out["kl_median"] = r.kl_median;
  out["kl_p99"] = r.kl_p99;
  out["kl_p999"] = r.kl_p999;
  out["kl_max"] = r.kl_max;
  out["top1_agreement"] = r.top1_agreement;
  out["perplexity_ratio"] = r.perplexity_ratio();
  out["perplexity"] = json::array{std::exp(r.reference_nats), std::exp(r.other_nats)};
  out["tokens"] = r.tokens;
  out["bytes"] = r.bytes;
  out["complete"] = r.tokens == r.total_tokens;
  out["bits_per_weight"] = json::array{bits_a, bits_b};
  out["bits_per_weight_a"] = bits_a;
  out["bits_per_weight_b"] = bits_b;
  out["seconds"] = seconds;
  return out;
}

std::string table(const ComparisonResult& r, double bits_a, double bits_b) {
  return cat("tokens            ", with_commas(r.tokens), "\nbits per weight   ",
             decimals(bits_a, 3), " -> ", decimals(bits_b, 3), "\nKL mean           ",
             decimals(r.kl_mean, 6), " +- ", decimals(r.kl_mean_error, 6),
             " nats\nKL median         ", decimals(r.kl_median, 6), "\nKL 99 %           ",
             decimals(r.kl_p99, 6), "\nKL 99.9 %         ", decimals(r.kl_p999, 6),
             "\nKL largest        ", decimals(r.kl_max, 6), "\ntop-1 agreement   ",
             decimals(100 * r.top1_agreement, 3), " %\nperplexity        ",
             decimals(std::exp(r.reference_nats), 4), " -> ", decimals(std::exp(r.other_nats), 4),
             "\nperplexity ratio  ", decimals(r.perplexity_ratio(), 6), "\n");
}

void run_compare(const CompareArguments& arguments) {
  const std::string text = read_file(arguments.text_file);
  if (text.empty()) fail(ErrorCode::kInvalidInput, arguments.text_file, ": is empty");
  EngineOptions options = engine_options(arguments.options);
  options.prefill_tokens = plan_chunk(arguments);
  Engine reference(arguments.reference, options);
  Engine other(arguments.other, options);
  const InterruptGuard guard;
  const Progress timer("", "", 0);
  std::optional<Progress> progress;
  const ComparisonResult result =
      compare(reference, other, text, arguments.text, [&](size_t done, size_t total) {
        if (!progress) progress.emplace("comparing", "tokens", total);
        progress->update(done);
        return !InterruptGuard::interrupted();
      });
  progress.reset();
  const double bits_a = bits_per_weight(reference), bits_b = bits_per_weight(other);
  print_out(arguments.json ? json::to_text(to_json(result, bits_a, bits_b, timer.seconds())) + "\n"
                           : table(result, bits_a, bits_b));
  if (result.tokens < result.total_tokens) {
    fail(ErrorCode::kInvalidInput, "interrupted after ", result.tokens, " of ", result.total_tokens,
         " tokens; the figures are of those");
  }
}

}  // namespace

void add_compare_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("compare", "How far one model's predictions of a text are from another's");
  const auto arguments = std::make_shared<CompareArguments>();
  command->add_option("A", arguments->reference, "The reference: a model directory or weights file")
      ->required();
  command
      ->add_option("B", arguments->other,
                   "The model to judge, of the same vocabulary: a quantised A, say")
      ->required();
  command->add_option("--text", arguments->text_file, "The text, UTF-8")->required();
  command
      ->add_option("--context", arguments->text.context,
                   "Tokens the models see at most (default: the shorter of their contexts)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--stride", arguments->text.stride,
                   "Tokens predicted in one window, at most --context (default: the same)")
      ->check(CLI::PositiveNumber);
  command->add_flag("!--no-begin-token", arguments->text.begin_token,
                    "Do not predict the first token from the begin-of-text token");
  command
      ->add_option("--chunk-tokens", arguments->chunk_tokens,
                   cat("Tokens a model reads before the other's turn (default: ", kChunkTokens,
                       "; ", kChunkTokensFromDisk, " when both do not fit memory)"))
      ->check(CLI::Range(size_t{1}, size_t{1} << 20));
  add_engine_options(*command, arguments->options);
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Both models read the same ids, in the windows of axk1 perplexity. At every position\n"
      "KL(A||B) = sum p_A ln(p_A / p_B) over the whole vocabulary, in nats and double precision.\n"
      "JSON: kl_mean with its standard error kl_mean_error, kl_median, kl_p99, kl_p999 (nearest\n"
      "rank), kl_max; top1_agreement, the share of positions where the likeliest token is the\n"
      "same; perplexity [A, B] and perplexity_ratio, B over A; tokens compared; bits_per_weight\n"
      "[A, B], also as bits_per_weight_a and bits_per_weight_b: bytes of weights on disk times 8\n"
      "over parameters; complete, false when Ctrl-C ended it early (exit code 1).\n\n"
      "Both are in memory at once. Weights are mapped, so where both do not fit they are read "
      "from\n"
      "disk again every --chunk-tokens tokens; a line on stderr says so.\n\n"
      "Example:\n"
      "  printf '한국의 수도는 서울이다.' > text.txt\n"
      "  build/release/axk1 compare models/nano-v1 models/nano-v1 --text text.txt --json\n");
  command->callback([arguments] { run_compare(*arguments); });
}

}  // namespace axk1
