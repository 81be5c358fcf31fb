// axk1 tokenize: text to token ids and back.
#include <time.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "apps/commands.h"
#include "base/error.h"
#include "base/utf8.h"
#include "io/file.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

struct TokenizeArgs {
  std::string tokenizer, text, file, pattern, bench_file;
  bool jsonl = false, json = false, decode = false;
  bool parse_special = false, add_special = false, skip_special = false;
  bool has_text = false;
};

void print_line(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  if (std::fflush(stdout) != 0) fail(ErrorCode::kIo, "standard output: cannot write");
}

json::array to_json(const std::vector<TokenId>& ids) {
  json::array list;
  list.reserve(ids.size());
  for (TokenId id : ids) list.emplace_back(id);
  return list;
}

std::vector<TokenId> ids_of(const json::value& list) {
  if (!list.is_array()) {
    fail(ErrorCode::kInvalidInput, "found ", json::kind_name(list), ", expected an array of ids");
  }
  std::vector<TokenId> ids;
  for (const json::value& id : list.get_array()) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > kMaxTokenId) {
      fail(ErrorCode::kInvalidInput, "found ", printable(json::to_text(id), 40),
           ", expected an id from 0 to ", kMaxTokenId);
    }
    ids.push_back(static_cast<TokenId>(id.get_int64()));
  }
  return ids;
}

// Ids as a JSON list, or separated by blanks, commas or line ends.
std::vector<TokenId> parse_ids(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  if (text[first] == '[') return ids_of(json::parse(text, "ids"));
  std::string list = "[";
  bool in_number = false;
  for (char c : text) {
    const bool separates = c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r';
    if (!separates && !in_number && list.size() > 1) list += ',';
    if (!separates) list += c;
    in_number = !separates;
  }
  return ids_of(json::parse(list + "]", "ids"));
}

std::string read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t n = std::fread(buffer, 1, sizeof(buffer), stdin)) text.append(buffer, n);
  return text;
}

json::value answer_line(const Tokenizer& tokenizer, const TokenizeArgs& args,
                        const EncodeOptions& options, std::string_view line) {
  const json::value input = json::parse(line, "line");
  if (args.decode) {
    return json::value(tokenizer.decode(ids_of(input), args.skip_special));
  }
  if (!input.is_string()) {
    fail(ErrorCode::kInvalidInput, "found ", json::kind_name(input), ", expected a string");
  }
  return to_json(tokenizer.encode(std::string_view(input.get_string()), options));
}

void run_lines(const Tokenizer& tokenizer, const TokenizeArgs& args, const EncodeOptions& options) {
  std::string line;
  while (std::getline(std::cin, line)) {
    json::value answer;
    try {
      answer = answer_line(tokenizer, args, options, line);
    } catch (const Error& error) {
      answer = json::object{{"error", utf8_lossy(error.what())}};
    }
    print_line(json::to_text(answer));
  }
}

double thread_seconds() {  // processor time, so that other programs do not count
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Encodes the file in parts of some 64 KiB, cut at line ends, for a second of processor time; three
// times, of which the best counts.
void run_bench(const Tokenizer& tokenizer, const TokenizeArgs& args, const EncodeOptions& options) {
  constexpr size_t kPartBytes = 64 << 10;
  const std::string text = read_file(args.bench_file);
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', std::min(at + kPartBytes, text.size()));
    end = end == std::string::npos ? text.size() : end + 1;
    parts.push_back(std::string_view(text).substr(at, end - at));
    at = end;
  }
  if (parts.empty()) fail(ErrorCode::kInvalidInput, args.bench_file, ": is empty");
  double best = 0;
  size_t tokens = 0;
  for (int round = 0; round < 3; ++round) {
    size_t bytes = 0;
    const double start = thread_seconds();
    double seconds = 0;
    do {
      tokens = 0;
      for (std::string_view part : parts) tokens += tokenizer.encode(part, options).size();
      bytes += text.size();
      seconds = thread_seconds() - start;
    } while (seconds < 1);
    best = std::max(best, static_cast<double>(bytes) / seconds * 1e-6);
  }
  const double bytes_per_token =
      tokens ? static_cast<double>(text.size()) / static_cast<double>(tokens) : 0;
  if (args.json) {
    print_line(json::to_text(json::object{{"mb_per_s", best},
                                          {"bytes", text.size()},
                                          {"tokens", tokens},
                                          {"bytes_per_token", bytes_per_token}}));
    return;
  }
  char line[160];
  std::snprintf(line, sizeof(line),
                "%.1f MB/s on one thread: %zu bytes, %zu tokens, %.2f bytes/token", best,
                text.size(), tokens, bytes_per_token);
  print_line(line);
}

void run_text(const Tokenizer& tokenizer, const TokenizeArgs& args, const EncodeOptions& options) {
  std::string input = args.has_text       ? args.text
                      : args.file.empty() ? read_stdin()
                                          : read_file(args.file);
  if (args.decode) {
    const std::string text = tokenizer.decode(parse_ids(input), args.skip_special);
    print_line(args.json ? json::to_text(json::object{{"text", text}}) : text);
    return;
  }
  const std::vector<TokenId> ids = tokenizer.encode(input, options);
  if (args.json) {
    json::array pieces;
    for (TokenId id : ids) pieces.emplace_back(utf8_lossy(tokenizer.token_bytes(id)));
    print_line(json::to_text(json::object{{"ids", to_json(ids)},
                                          {"pieces", pieces},
                                          {"tokens", ids.size()},
                                          {"bytes", input.size()}}));
    return;
  }
  print_line(json::to_text(to_json(ids)));
}

void run_tokenize(const TokenizeArgs& args) {
  if (args.jsonl && (args.has_text || !args.file.empty() || args.json)) {
    fail(ErrorCode::kUsage,
         "tokenize: --jsonl reads standard input and goes without --text, --file "
         "and --json");
  }
  TokenizerLoadOptions load_options;
  load_options.pattern = args.pattern;
  const Tokenizer tokenizer = Tokenizer::load(args.tokenizer, load_options);
  const EncodeOptions options{args.parse_special, args.add_special};
  if (!args.bench_file.empty()) {
    run_bench(tokenizer, args, options);
  } else if (args.jsonl) {
    run_lines(tokenizer, args, options);
  } else {
    run_text(tokenizer, args, options);
  }
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  auto args = std::make_shared<TokenizeArgs>();
  CLI::App* cmd = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  cmd->add_option("TOKENIZER", args->tokenizer,
                  "Model directory, tokenizer.json, directory with vocab.json and merges.txt, "
                  ".tiktoken or .gguf file")
      ->required();
  CLI::Option* text =
      cmd->add_option("--text", args->text, "The text (or, with --decode, the ids)");
  cmd->add_option("--file", args->file, "Read it from a file; without either, from standard input")
      ->excludes(text);
  cmd->add_flag(
      "--jsonl", args->jsonl,
      "One JSON string per input line, one array of ids per output line (with --decode the "
      "other way round); a bad line gives {\"error\": ...}");
  cmd->add_flag("--json", args->json, "One object with ids, pieces and counts");
  cmd->add_flag("--decode", args->decode, "Ids in (JSON list or separated by blanks), text out");
  cmd->add_flag(
      "--parse-special", args->parse_special,
      "Special tokens written in the text become their ids. Without it they are plain text; "
      "added tokens that are not special become their ids either way");
  cmd->add_flag("--add-special", args->add_special,
                "Put around the text what the tokenizer asks for (bos, eos)");
  cmd->add_flag("--skip-special", args->skip_special, "Leave special tokens out of decoded text");
  cmd->add_option(
      "--pattern", args->pattern,
      "How text is cut, for files that do not say: gpt2, cl100k, o200k, qwen2, ... or a "
      "regular expression");
  cmd->add_option("--bench", args->bench_file, "Measure the speed of encoding this file instead");
  cmd->footer(
      "Examples:\n"
      "  axk1 tokenize models/nano-v1 --text \"안녕하세요, world\"\n"
      "  axk1 tokenize models/nano-v1 --decode --text \"1052 672 243\"\n"
      "  echo '\"<|im_start|>user\"' | axk1 tokenize models/nano-v1 --jsonl --parse-special");
  cmd->callback([args, text] {
    args->has_text = text->count() > 0;
    run_tokenize(*args);
  });
}

}  // namespace axk1
