// axk1 data: texts made into token shards, a look at shards, and generated tasks.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "chat/template.h"
#include "data/prepare.h"
#include "data/token_shard.h"
#include "data/tokenizer_hash.h"
#include "formats/k1pack.h"
#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/file.h"
#include "parallel/topology.h"
#include "tasks/generate.h"

namespace axk1 {
namespace {

constexpr uint64_t kMegabyte = 1000000;

struct DataArguments {
  std::string config, out;
  std::vector<std::string> shards;
  int threads = 0;
  bool json = false;
  TaskSetOptions tasks;
  std::string mode = "both";
  std::vector<std::string> languages;
};

std::string percent(uint64_t part, uint64_t whole) {
  return whole ? cat(part * 100 / whole, " %") : std::string("0 %");
}

uint64_t number(const json::object& object, const char* name) {
  return object.at(name).to_number<uint64_t>();
}

std::string summary(const json::object& report, const std::string& out) {
  std::string text;
  for (const json::value& source : report.at("sources").get_array()) {
    const json::object& fields = source.get_object();
    const uint64_t documents = number(fields, "documents");
    const uint64_t kept = number(fields.at("kept").get_object(), "documents");
    text +=
        cat(std::string_view(fields.at("name").get_string()), ": ", with_commas(kept), " of ",
            with_commas(documents), " documents (", percent(kept, documents), "), ",
            with_commas(number(fields.at("train").get_object(), "tokens")), " tokens to train and ",
            with_commas(number(fields.at("held_out").get_object(), "tokens")), " held out\n");
    for (const auto& [reason, dropped] : fields.at("dropped").get_object()) {
      text += cat("  ", std::string_view(reason.data(), reason.size()), ": ",
                  with_commas(number(dropped.get_object(), "documents")), " documents, ",
                  with_commas(number(dropped.get_object(), "bytes")), " bytes\n");
    }
  }
  return text + cat(out, "/dataset.json and report.json written\n");
}

void run_prepare(const DataArguments& arguments) {
  const std::string folder = std::filesystem::path(arguments.config).parent_path().string();
  const PrepareConfig config = read_prepare_config(
      json::parse(read_file(arguments.config), arguments.config), arguments.config, folder);
  const Tokenizer tokenizer = Tokenizer::load(config.tokenizer);
  std::optional<ChatTemplate> chat;
  if (is_directory(config.tokenizer) || is_k1pack(config.tokenizer)) {
    const NamedFiles files = open_model_files(config.tokenizer);
    if (ChatTemplate::is_in(files)) chat = ChatTemplate::load(files);
  }
  std::error_code error;
  std::filesystem::create_directories(arguments.out, error);
  if (error) fail(ErrorCode::kIo, arguments.out, ": cannot create: ", error.message());

  const InterruptGuard guard;
  ThreadPool pool(arguments.threads > 0 ? arguments.threads : usable_cpus());
  std::optional<Progress> progress;
  PrepareTools tools{
      .tokenizer = tokenizer, .tokenizer_hash = tokenizer_hash(config.tokenizer), .pool = pool};
  if (chat) {
    tools.render = [&](const json::object& variables) { return chat->render(variables); };
  }
  tools.progress = [&](uint64_t done, uint64_t total) {
    if (!progress) progress.emplace("preparing", "MB", total / kMegabyte);
    progress->update(done / kMegabyte);
    return !InterruptGuard::interrupted();
  };
  const json::object report = prepare_data(config, arguments.out, tools);
  progress.reset();
  print_out(arguments.json ? json::to_text(report) + "\n" : summary(report, arguments.out));
}

void run_verify(const DataArguments& arguments) {
  json::array all;
  for (const std::string& path : arguments.shards) {
    const TokenShard shard = TokenShard::open(path);
    shard.verify();
    uint64_t counted = shard.num_tokens();
    if (shard.has_loss_mask()) {
      std::vector<uint8_t> loss;
      counted = 0;
      constexpr uint64_t kAtOnce = 1 << 16;
      for (uint64_t at = 0; at < shard.num_tokens(); at += loss.size()) {
        loss.resize(std::min(kAtOnce, shard.num_tokens() - at));
        shard.copy_loss(at, loss);
        for (uint8_t bit : loss) counted += bit;
      }
    }
    if (arguments.json) {
      all.push_back(json::object{{"file", path},
                                 {"documents", shard.num_documents()},
                                 {"tokens", shard.num_tokens()},
                                 {"loss_tokens", counted},
                                 {"vocab_size", shard.vocab_size()},
                                 {"tokenizer_hash", checksum_text(shard.tokenizer_hash())}});
      continue;
    }
    print_out(cat(path, ": ", with_commas(shard.num_documents()), " documents, ",
                  with_commas(shard.num_tokens()), " tokens, ", with_commas(counted),
                  " of them in the loss; tokenizer ", checksum_text(shard.tokenizer_hash()), "\n"));
  }
  if (arguments.json) print_out(json::to_text(json::object{{"shards", std::move(all)}}) + "\n");
}

void run_tasks(const DataArguments& arguments) {
  TaskSetOptions options = arguments.tasks;
  if (arguments.mode != "both") {
    options.modes = {arguments.mode == "think" ? TaskMode::kThink : TaskMode::kNoThink};
  }
  if (!arguments.languages.empty()) options.languages.clear();
  for (const std::string& language : arguments.languages) {
    options.languages.push_back(language == "ko" ? TaskLanguage::kKorean : TaskLanguage::kEnglish);
  }
  AtomicFile file(arguments.out);
  uint64_t bytes = 0, lines = 0;
  generate_tasks(options, [&](const json::object& row) {
    const std::string line = json::to_text(row) + "\n";
    file.write_at(bytes, std::as_bytes(std::span(line)));
    bytes += line.size();
    ++lines;
  });
  file.commit();
  print_out(cat(arguments.out, ": ", with_commas(lines), " conversations of ",
                with_commas(options.count), " questions\n"));
}

}  // namespace

void add_data_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("data", "Prepare texts for training");
  command->require_subcommand(1);
  const auto arguments = std::make_shared<DataArguments>();

  CLI::App* prepare = command->add_subcommand(
      "prepare", "Filter texts, drop duplicates, split off a held-out part, write token shards");
  prepare->add_option("CONFIG", arguments->config, "A JSON file: sources, filters, tokenizer")
      ->required();
  prepare->add_option("--out", arguments->out, "The directory to write, made if absent")
      ->required();
  prepare->add_option("--threads", arguments->threads, "Default: every usable processor")
      ->check(CLI::PositiveNumber);
  prepare->add_flag("--json", arguments->json, "Print the report as one JSON object");
  prepare->footer(
      "The fields of CONFIG are in docs/data.md. What is dropped, and why, is in DIR/report.json;\n"
      "DIR/dataset.json lists the shards as a training run names them.\n\n"
      "Example:\n"
      "  build/release/axk1 data prepare testdata/data/prepare.json --out build/dataset\n"
      "  build/release/axk1 data verify build/dataset/*.shard");
  prepare->callback([arguments] { run_prepare(*arguments); });

  CLI::App* verify =
      command->add_subcommand("verify", "Compare the checksums of token shards, and count");
  verify->add_option("SHARDS", arguments->shards, "Files")->required();
  verify->add_flag("--json", arguments->json, "Print one JSON object");
  verify->callback([arguments] { run_verify(*arguments); });

  CLI::App* tasks = command->add_subcommand(
      "tasks", "Generate questions with exact answers, as conversations to train and evaluate on");
  tasks->add_option("--out", arguments->out, "The file to write: JSON lines")->required();
  tasks->add_option("--count", arguments->tasks.count, "Questions (default: 1000)")
      ->check(CLI::PositiveNumber);
  tasks->add_option("--seed", arguments->tasks.seed, "Other seeds, other questions (default: 1)");
  tasks
      ->add_option("--kinds", arguments->tasks.kinds,
                   "Kinds or groups of them, separated by commas; all when absent")
      ->delimiter(',');
  tasks->add_option("--languages", arguments->languages, "ko, en or both (default: ko,en)")
      ->delimiter(',')
      ->check(CLI::IsMember({"ko", "en"}));
  tasks
      ->add_option("--mode", arguments->mode,
                   "think: with a working; no_think; both (default): each question in both")
      ->check(CLI::IsMember({"think", "no_think", "both"}));
  tasks->add_flag("--held-out", arguments->tasks.held_out,
                  "Problems that files written without this flag never have");
  std::string kinds;
  for (std::string_view last; const TaskKind& kind : task_kinds()) {
    if (kind.group != last) kinds += cat("\n  ", last = kind.group, ":");
    kinds += cat(" ", kind.name);
  }
  tasks->footer(cat("Groups and kinds:", kinds,
                    "\n\nExample:\n"
                    "  build/release/axk1 data tasks --count 20000 --out build/tasks.jsonl\n"
                    "  build/release/axk1 data tasks --count 500 --held-out --out "
                    "build/tasks-held-out.jsonl"));
  tasks->callback([arguments] { run_tasks(*arguments); });
}

}  // namespace axk1
