// axk1 schema: which texts a JSON schema accepts, by the masks that constrain decoding.
#include <time.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "apps/commands.h"
#include "base/error.h"
#include "base/utf8.h"
#include "grammar/constraints.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

double thread_micros() {  // processor time, so that other programs do not count
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct SchemaArgs {
  std::string tokenizer;
  bool jsonl = false;
};

void print_line(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  if (std::fflush(stdout) != 0) fail(ErrorCode::kIo, "standard output: cannot write");
}

class SchemaLines {
 public:
  explicit SchemaLines(const SchemaArgs& args) {
    if (!args.tokenizer.empty()) {
      tokenizer_.emplace(Tokenizer::load(args.tokenizer));
      const size_t size = tokenizer_->vocab_size();
      vocabulary_ = std::make_shared<const GrammarVocabulary>(
          *tokenizer_, std::vector<TokenId>{static_cast<TokenId>(size)}, size + 1);
      end_id_ = static_cast<TokenId>(size);
      for (size_t i = 0; i < size; ++i) {
        const auto id = static_cast<TokenId>(i);
        const std::string_view bytes = tokenizer_->token_bytes(id);
        if (bytes.empty() || tokenizer_->is_special(id)) continue;
        ids_by_bytes_.emplace(bytes, id);
        max_bytes_ = std::max(max_bytes_, bytes.size());
      }
      return;
    }
    std::vector<std::string> bytes;
    for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
    bytes.emplace_back();
    end_id_ = 256;
    vocabulary_ =
        std::make_shared<const GrammarVocabulary>(std::move(bytes), std::vector<TokenId>{end_id_});
  }

  json::object answer(std::string_view line) const {
    const json::value input = json::parse(line, "line");
    const json::ObjectReader fields(input, "line");
    const json::value* schema = fields.fields().if_contains("schema");
    if (!schema) fail(ErrorCode::kInvalidInput, "line: schema: missing");
    const std::string text = fields.get_string("text");
    json::object out;
    const double start = thread_micros();
    std::shared_ptr<const Grammar> grammar;
    try {
      grammar = compile_json_schema(*schema);
    } catch (const UnsupportedSchema& error) {
      out["refused"] = error.keyword();
      return out;
    } catch (const EmptySchema&) {
      out["accepted"] = false;
      return out;
    }
    const double compile_us = thread_micros() - start;
    json::array mask_us;
    out["accepted"] = accepts(make_json_constraint(vocabulary_, grammar), text, mask_us);
    if (tokenizer_) {
      out["compile_us"] = compile_us;
      out["mask_us"] = std::move(mask_us);
    }
    return out;
  }

 private:
  bool accepts(std::unique_ptr<TokenConstraint> constraint, std::string_view text,
               json::array& mask_us) const {
    std::vector<TokenId> ids;
    if (tokenizer_) {
      ids = tokens_of(text);
    } else {
      for (char c : text) ids.push_back(static_cast<uint8_t>(c));
    }
    ids.push_back(end_id_);
    std::vector<uint32_t> words(token_mask_words(vocabulary_->vocab_size()));
    for (TokenId id : ids) {
      const double start = thread_micros();
      constraint->allowed(words);
      mask_us.emplace_back(thread_micros() - start);
      const auto i = static_cast<size_t>(id);
      if (!(words[i / 32] >> (i % 32) & 1) || !constraint->push(id)) return false;
    }
    return true;
  }

  // The text's own tokens; where the tokenizer changes the text (Unicode normalisation), tokens
  // that stand for it exactly, the longest first.
  std::vector<TokenId> tokens_of(std::string_view text) const {
    std::vector<TokenId> ids = tokenizer_->encode(text, {.parse_special = false});
    std::string same;
    for (TokenId id : ids) same += tokenizer_->token_bytes(id);
    if (same == text) return ids;
    ids.clear();
    while (!text.empty()) {
      auto found = ids_by_bytes_.end();
      for (size_t n = std::min(max_bytes_, text.size()); n > 0; --n) {
        found = ids_by_bytes_.find(text.substr(0, n));
        if (found != ids_by_bytes_.end()) break;
      }
      if (found == ids_by_bytes_.end()) {
        fail(ErrorCode::kInvalidInput, "line: text: the tokenizer has no tokens for \"",
             printable(text, 40), "\"");
      }
      ids.push_back(found->second);
      text.remove_prefix(found->first.size());
    }
    return ids;
  }

  std::optional<Tokenizer> tokenizer_;
  std::unordered_map<std::string_view, TokenId> ids_by_bytes_;  // of tokenizer_
  size_t max_bytes_ = 0;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  TokenId end_id_ = 0;
};

void run_schema(const SchemaArgs& args) {
  if (!args.jsonl) fail(ErrorCode::kUsage, "schema: --jsonl is needed; there is no other form");
  const SchemaLines lines(args);
  std::string line;
  while (std::getline(std::cin, line)) {
    json::object answer;
    try {
      answer = lines.answer(line);
    } catch (const Error& error) {
      answer = {{"error", utf8_lossy(error.what())}};
    }
    print_line(json::to_text(answer));
  }
}

}  // namespace

void add_schema_command(CLI::App& app) {
  auto args = std::make_shared<SchemaArgs>();
  CLI::App* cmd =
      app.add_subcommand("schema", "Check texts against JSON schemas as decoding would");
  cmd->add_flag("--jsonl", args->jsonl,
                "One object {\"schema\": ..., \"text\": \"...\"} per input line; one object per "
                "output line: accepted, or refused with the keyword that is not supported, or "
                "error");
  cmd->add_option("--tokenizer", args->tokenizer,
                  "Tokens of this tokenizer instead of bytes; adds compile_us, and mask_us for "
                  "every token of the text and its end, in microseconds of processor time");
  cmd->footer(
      "Example:\n"
      "  echo '{\"schema\": {\"type\": \"integer\"}, \"text\": \"12\"}' | axk1 schema --jsonl");
  cmd->callback([args] { run_schema(*args); });
}

}  // namespace axk1
