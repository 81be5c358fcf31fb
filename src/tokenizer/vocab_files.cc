// Readers of the older vocabulary files: vocab.json with merges.txt, and .tiktoken.
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"
#include "io/json.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/merge_list.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

// Calls f(line, number) for every line, without its line end.
template <class F>
void for_each_line(std::string_view text, F f) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    f(line, number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::optional<std::string> decode_base64(std::string_view text) {  // RFC 4648, padding required
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string bytes;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    uint32_t six = 0;
    if (c >= 'A' && c <= 'Z') {
      six = static_cast<uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      six = static_cast<uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      six = static_cast<uint32_t>(c - '0' + 52);
    } else if (c == '+') {
      six = 62;
    } else if (c == '/') {
      six = 63;
    } else if (i < text.size() - padding) {
      return std::nullopt;
    }
    bits = bits << 6 | six;
    if (i % 4 == 3) {
      for (int shift : {16, 8, 0}) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
      bits = 0;
    }
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

struct NamedSpecial {
  std::string_view pattern, content;
  TokenId id;
};
// openai/tiktoken openai_public.py.
constexpr NamedSpecial kTiktokenSpecials[] = {
    {"gpt2", "<|endoftext|>", 50256},     {"cl100k", "<|endoftext|>", 100257},
    {"cl100k", "<|fim_prefix|>", 100258}, {"cl100k", "<|fim_middle|>", 100259},
    {"cl100k", "<|fim_suffix|>", 100260}, {"cl100k", "<|endofprompt|>", 100276},
    {"o200k", "<|endoftext|>", 199999},   {"o200k", "<|endofprompt|>", 200018},
};

void add_special_token(TokenizerSpec& spec, std::string_view content, TokenId id) {
  AddedToken token;
  token.content = content;
  token.id = id;
  token.special = true;
  spec.added.push_back(std::move(token));
}

// tiktoken joins the pair whose bytes are the entry of the lowest rank: every way to cut an entry
// into two entries is a merge.
void merges_from_ranks(TokenizerSpec& spec) {
  const Vocabulary& vocabulary = spec.vocabulary;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    const auto result = static_cast<TokenId>(id);
    const std::string_view text = vocabulary.text(result);
    for (size_t cut = 0; cut < text.size();) {
      cut += decode_utf8(text.substr(cut)).length;
      const auto left = vocabulary.find(text.substr(0, cut));
      const auto right = left ? vocabulary.find(text.substr(cut)) : std::nullopt;
      if (right) spec.merges.push_back({*left, *right, result, static_cast<uint32_t>(id)});
    }
  }
}

// Which of the known patterns made a byte-level vocabulary. Under GPT-2's no entry holds
// punctuation and a line end; of those that allow it, some keep digits apart and others take up to
// three.
std::string_view infer_pattern(const Vocabulary& vocabulary) {
  const std::string line_end = bytes_to_text("\n");
  const bool with_line_end = vocabulary.find(";" + line_end) || vocabulary.find("{" + line_end);
  if (!with_line_end) return "gpt2";
  return vocabulary.find("12") || vocabulary.find("00") ? "cl100k" : "qwen2";
}

void read_added_decoder(TokenizerSpec& spec, const json::value& table, const std::string& source) {
  const json::ObjectReader tokens(table, source + ": added_tokens_decoder");
  for (const auto& [key, value] : tokens.fields()) {
    const json::ObjectReader fields(value, tokens.source());
    AddedToken token;
    token.content = fields.get_string("content");
    int64_t id = 0;
    for (char c : key) {
      if (c < '0' || c > '9' || id > kMaxTokenId) id = -1;
      if (id < 0) break;
      id = id * 10 + (c - '0');
    }
    if (key.empty() || id < 0 || id > kMaxTokenId) {
      fail(ErrorCode::kInvalidInput, tokens.source(), ": key \"", printable(std::string_view(key)),
           "\", expected an id from 0 to ", kMaxTokenId);
    }
    token.id = static_cast<TokenId>(id);
    token.single_word = fields.bool_or("single_word", false);
    token.lstrip = fields.bool_or("lstrip", false);
    token.rstrip = fields.bool_or("rstrip", false);
    token.normalized = fields.bool_or("normalized", false);
    token.special = fields.bool_or("special", false);
    spec.added.push_back(std::move(token));
  }
}

}  // namespace

TokenizerSpec read_tiktoken(std::string_view text, const std::string& source,
                            std::string_view pattern) {
  TokenizerSpec spec;
  spec.source = source;
  std::string name(pattern);
  if (name.empty()) {  // the files of openaipublic.blob.core.windows.net/encodings are named so
    for (std::string_view known : {"cl100k", "o200k", "r50k", "p50k", "gpt2"}) {
      if (source.substr(source.find_last_of('/') + 1).starts_with(known)) name = known;
    }
  }
  if (name.empty()) {
    fail(ErrorCode::kUsage, source,
         ": a .tiktoken file does not say how text is cut; name the "
         "pattern: ",
         known_pattern_names(), ", or a regular expression");
  }
  use_byte_level(spec, name);
  spec.bpe.ignore_merges = true;
  for_each_line(text, [&](std::string_view line, size_t number) {
    if (line.empty()) return;
    const std::string where = cat(source, ": line ", number);
    const size_t blank = line.find(' ');
    const auto bytes = decode_base64(line.substr(0, blank));
    if (!bytes) {
      fail(ErrorCode::kInvalidInput, where, ": \"", printable(line.substr(0, blank), 40),
           "\" is not base64");
    }
    int64_t rank = blank == std::string_view::npos || blank + 1 == line.size() ? -1 : 0;
    for (char c : rank < 0 ? "" : line.substr(blank + 1)) {
      if (c < '0' || c > '9' || rank > kMaxTokenId) rank = -1;
      if (rank < 0) break;
      rank = rank * 10 + (c - '0');
    }
    if (rank < 0) fail(ErrorCode::kInvalidInput, where, ": expected a rank behind the token");
    spec.vocabulary.add(bytes_to_text(*bytes), rank, where);
  });
  for (int byte = 0; byte < 256; ++byte) {
    const char as_char = static_cast<char>(byte);
    if (!spec.vocabulary.find(bytes_to_text({&as_char, 1}))) {
      fail(ErrorCode::kInvalidInput, source, ": has no token for byte ", byte);
    }
  }
  merges_from_ranks(spec);
  const KnownPattern* known = find_known_pattern(name);
  for (const NamedSpecial& token : kTiktokenSpecials) {
    const KnownPattern* of_token = find_known_pattern(token.pattern);
    if (known && known->splits.data() == of_token->splits.data() &&
        !spec.vocabulary.has(token.id)) {
      add_special_token(spec, token.content, token.id);
    }
  }
  return spec;
}

TokenizerSpec read_vocab_merges(const VocabMergesFiles& files, std::string_view pattern) {
  TokenizerSpec spec;
  spec.source = files.source;
  const std::string vocab_source = files.source + ": vocabulary";
  const json::value vocab = json::parse(files.vocab_json, vocab_source);
  read_json_vocabulary(vocab, vocab_source, spec.vocabulary);
  MergeBuilder merges(spec.vocabulary, files.source + ": merges");
  for_each_line(files.merges_txt, [&](std::string_view line, size_t) {
    if (!line.empty() && !line.starts_with("#version")) merges.add(line, 0);
  });
  spec.merges = merges.take();

  bool named_qwen2 = false;
  if (!files.config_json.empty()) {
    const std::string source = files.source + ": tokenizer_config.json";
    const json::value config = json::parse(files.config_json, source);
    const json::ObjectReader fields(config, source);
    named_qwen2 = fields.string_or("tokenizer_class", "").starts_with("Qwen2Tokenizer");
    if (const json::value* table = fields.find("added_tokens_decoder")) {
      read_added_decoder(spec, *table, source);
    }
  }
  if (!files.added_json.empty() && spec.added.empty()) {
    const std::string source = files.source + ": added_tokens.json";
    const json::value table = json::parse(files.added_json, source);
    const json::ObjectReader fields(table, source);
    for (const auto& [content, id] : fields.fields()) {
      add_special_token(spec, std::string_view(content),
                        static_cast<TokenId>(fields.get_int(content, 0, kMaxTokenId)));
    }
  }
  const std::string_view inferred = named_qwen2 ? "qwen2" : infer_pattern(spec.vocabulary);
  use_byte_level(spec, pattern.empty() ? inferred : pattern);
  if (pattern == "qwen2" || (pattern.empty() && inferred == "qwen2")) {
    spec.normalizer.steps.emplace_back();  // NFC
  }
  if (const auto end = spec.vocabulary.find("<|endoftext|>"); end && spec.added.empty()) {
    add_special_token(spec, "<|endoftext|>", *end);
  }
  return spec;
}

}  // namespace axk1
