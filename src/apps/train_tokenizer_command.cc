// axk1 train-tokenizer: a byte-level BPE vocabulary learned from texts.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "data/bpe_trainer.h"
#include "data/document_reader.h"
#include "data/piece_counts.h"
#include "data/tokenizer_plan.h"
#include "formats/k1pack.h"
#include "io/errno_error.h"
#include "io/file.h"
#include "parallel/topology.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 29;
constexpr uint64_t kMegabyte = 1000000;
constexpr double kMetricsInterval = 5;  // seconds

struct TrainTokenizerArguments {
  size_t vocab_size = 0;
  std::string out, pattern, like, normalizer = "nfc";
  std::vector<std::string> files, fields, special;
  BpeTrainOptions training{.max_token_bytes = 64};
  int threads = 0;
  bool json = false;
};

// Lines of JSON in DIR/metrics.jsonl, each there as soon as it is written.
class MetricsFile {
 public:
  explicit MetricsFile(const std::string& path)
      : path_(path), file_(std::fopen(path.c_str(), "we")), timer_("", "", 0) {
    if (!file_) fail_errno(path, "create");
  }
  void write(json::object line) {
    line["seconds"] = timer_.seconds();
    const std::string text = json::to_text(line) + "\n";
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() ||
        std::fflush(file_.get()) != 0) {
      fail_errno(path_, "write");
    }
    last_ = timer_.seconds();
  }
  bool due() const { return timer_.seconds() - last_ >= kMetricsInterval; }
  double seconds() const { return timer_.seconds(); }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  Progress timer_;
  double last_ = 0;
};

// The tokenizer that --like names, and the files beside it that a model needs.
struct Likeness {
  std::string tokenizer_json, place, config_json, chat_template;
};

Likeness read_likeness(const std::string& path) {
  Likeness found;
  if (!is_directory(path) && !is_k1pack(path)) {
    found.place = path;
    found.tokenizer_json = read_file(path, kMaxFileBytes);
    return found;
  }
  const NamedFiles files = open_model_files(path);
  found.place = files.place("tokenizer.json");
  found.tokenizer_json = files.read("tokenizer.json", kMaxFileBytes);
  const auto read = [&](const char* name, std::string& text) {
    if (files.contains(name)) text = files.read(name, kMaxFileBytes);
  };
  read("tokenizer_config.json", found.config_json);
  read("chat_template.jinja", found.chat_template);
  return found;
}

TokenizerPlan plan_of(const TrainTokenizerArguments& arguments,
                      const std::optional<Likeness>& likeness) {
  std::vector<PlannedToken> special;
  for (const std::string& content : arguments.special) special.push_back({content, true});
  if (!likeness) {
    return TokenizerPlan::make(arguments.pattern.empty() ? "qwen2" : arguments.pattern,
                               arguments.normalizer == "nfc",
                               special.empty() ? default_added_tokens() : special);
  }
  TokenizerPlan plan = TokenizerPlan::like(likeness->tokenizer_json, likeness->place);
  if (!arguments.pattern.empty()) plan.set_pattern(arguments.pattern);
  if (!special.empty()) plan.set_added_tokens(special);
  return plan;
}

CountedText count(const TrainTokenizerArguments& arguments, const TokenizerSpec& spec,
                  ThreadPool& pool, MetricsFile& metrics) {
  DocumentReader reader(arguments.files, TextUnit::kLines);
  Progress progress("counting", "MB", reader.bytes_total() / kMegabyte);
  return count_pieces(reader, arguments.fields, spec, pool, [&](uint64_t done, uint64_t bytes) {
    progress.update(done / kMegabyte);
    if (metrics.due()) {
      metrics.write({{"stage", "count"},
                     {"bytes_read", done},
                     {"bytes_total", reader.bytes_total()},
                     {"text_bytes", bytes}});
    }
    return !InterruptGuard::interrupted();
  });
}

TrainedBpe learn(const BpeTrainOptions& options, const PieceCounts& pieces, MetricsFile& metrics) {
  Progress progress("merging", "tokens", options.vocab_size);
  return train_bpe(pieces, options, [&](size_t tokens) {
    progress.update(tokens);
    if (metrics.due()) metrics.write({{"stage", "merge"}, {"tokens", tokens}});
    return !InterruptGuard::interrupted();
  });
}

void run_train_tokenizer(const TrainTokenizerArguments& arguments) {
  std::optional<Likeness> likeness;
  if (!arguments.like.empty()) likeness = read_likeness(arguments.like);
  const TokenizerPlan plan = plan_of(arguments, likeness);
  if (arguments.vocab_size < 256 + plan.num_added() || arguments.vocab_size > kMaxTokenId) {
    fail(ErrorCode::kUsage, "--vocab-size: found ", arguments.vocab_size, ", expected ",
         256 + plan.num_added(), " (the bytes and ", plan.num_added(), " added tokens) to ",
         kMaxTokenId);
  }
  BpeTrainOptions options = arguments.training;
  options.vocab_size = arguments.vocab_size - plan.num_added();

  const InterruptGuard guard;
  std::error_code error;
  std::filesystem::create_directories(arguments.out, error);
  if (error) fail(ErrorCode::kIo, arguments.out, ": cannot create: ", error.message());
  const auto in_out = [&](const char* name) { return cat(arguments.out, "/", name); };
  MetricsFile metrics(in_out("metrics.jsonl"));
  ThreadPool pool(arguments.threads > 0 ? arguments.threads : usable_cpus());
  const TokenizerSpec spec = plan.counting_spec();

  const CountedText text = count(arguments, spec, pool, metrics);
  const double count_seconds = metrics.seconds();
  metrics.write({{"stage", "counted"},
                 {"documents", text.documents},
                 {"text_bytes", text.bytes},
                 {"invalid_utf8_bytes", text.invalid_bytes},
                 {"pieces", text.pieces.size()}});
  if (text.pieces.size() == 0) {
    fail(ErrorCode::kInvalidInput, arguments.files.front(),
         arguments.files.size() > 1 ? " and the others" : "", ": found no text");
  }
  const TrainedBpe bpe = learn(options, text.pieces, metrics);

  const std::string tokenizer_json = plan.tokenizer_json(bpe);
  const Tokenizer tokenizer(read_tokenizer_json(tokenizer_json, in_out("tokenizer.json")));
  write_file_atomic(in_out("tokenizer.json"), tokenizer_json);
  write_file_atomic(in_out("tokenizer_config.json"), likeness && !likeness->config_json.empty()
                                                         ? likeness->config_json
                                                         : plan.tokenizer_config());
  if (likeness && !likeness->chat_template.empty()) {
    write_file_atomic(in_out("chat_template.jinja"), likeness->chat_template);
  }
  const size_t vocab_size = tokenizer.vocab_size();
  const uint64_t last_count = bpe.merges.empty() ? 0 : bpe.merges.back().count;
  json::object summary{{"stage", "done"},
                       {"vocab_size", vocab_size},
                       {"merges", bpe.merges.size()},
                       {"added_tokens", plan.num_added()},
                       {"last_merge_count", last_count},
                       {"documents", text.documents},
                       {"text_bytes", text.bytes},
                       {"pieces", text.pieces.size()},
                       {"count_seconds", count_seconds},
                       {"merge_seconds", metrics.seconds() - count_seconds}};
  metrics.write(summary);
  if (text.invalid_bytes > 0) {
    print_err(cat("axk1: warning: ", with_commas(text.invalid_bytes),
                  " bytes are not UTF-8 and were left out\n"));
  }
  if (vocab_size < arguments.vocab_size) {
    print_err(cat("axk1: warning: the text has pairs for ", with_commas(vocab_size),
                  " tokens, not ", with_commas(arguments.vocab_size), "\n"));
  }
  if (arguments.json) {
    summary["out"] = arguments.out;
    summary.erase("stage");
    print_out(json::to_text(summary) + "\n");
  } else {
    print_out(cat(arguments.out, ": ", with_commas(vocab_size), " tokens from ",
                  with_commas(text.bytes), " bytes in ", with_commas(text.documents),
                  " documents, ", with_commas(text.pieces.size()), " different pieces\n"));
  }
}

}  // namespace

void add_train_tokenizer_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("train-tokenizer", "Learn a byte-level BPE vocabulary from texts");
  const auto arguments = std::make_shared<TrainTokenizerArguments>();
  command
      ->add_option("FILES", arguments->files,
                   "Texts: UTF-8, or JSON lines where the name ends in .jsonl; .zst behind either")
      ->required();
  command->add_option("--vocab-size", arguments->vocab_size, "Tokens, with the special ones")
      ->required();
  command->add_option("--out", arguments->out, "The directory to write, made if absent")
      ->required();
  command
      ->add_option("--field", arguments->fields,
                   "Field of JSON lines to read; may be given more than once (default: text, or "
                   "the contents of messages)")
      ->allow_extra_args(false);
  command->add_option("--pattern", arguments->pattern,
                      "How text is cut before it is counted: " + known_pattern_names() +
                          ", or a regular expression (default: qwen2, or as --like)");
  command->add_option("--like", arguments->like,
                      "Take cutting, special tokens and chat template from this model");
  command
      ->add_option("--special", arguments->special,
                   "A special token, instead of the usual ones; may be given more than once")
      ->allow_extra_args(false);
  command->add_option("--normalizer", arguments->normalizer, "nfc or none; with --like as there")
      ->check(CLI::IsMember({"nfc", "none"}))
      ->capture_default_str();
  command
      ->add_option("--min-count", arguments->training.min_count,
                   "Pairs that occur less often become no token")
      ->capture_default_str();
  command
      ->add_option("--max-token-bytes", arguments->training.max_token_bytes,
                   "Longer tokens are not made; 0: no limit")
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "Default: every usable processor")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->footer(
      "Writes tokenizer.json, tokenizer_config.json and metrics.jsonl to DIR, and the chat "
      "template\n"
      "of --like. Same texts, same bytes: neither threads nor the order of the texts matter\n"
      "(docs/data.md).\n\n"
      "Example:\n"
      "  build/release/axk1 train-tokenizer --vocab-size 1024 --like models/nano-v1 \\\n"
      "    --out build/tokenizer README.md docs/*.md\n"
      "  build/release/axk1 tokenize build/tokenizer --text \"안녕하세요, world\"");
  command->callback([arguments] { run_train_tokenizer(*arguments); });
}

}  // namespace axk1
