// Tokenizer::load: which reader a path is for.
#include <initializer_list>

#include "base/error.h"
#include "formats/gguf.h"
#include "io/file.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 29;  // those of today have up to 30 MB

std::string read_if_there(const std::string& path) {
  return file_exists(path) ? read_file(path, kMaxFileBytes) : std::string();
}

// The pattern is part of these files; another would give ids that mean nothing to the model.
void refuse_pattern(const TokenizerLoadOptions& options, const std::string& path) {
  if (options.pattern.empty()) return;
  fail(ErrorCode::kUsage, path,
       ": says itself how text is cut; a pattern is for .tiktoken and "
       "vocab.json files");
}

TokenizerSpec read_directory(const std::string& path, const TokenizerLoadOptions& options) {
  const std::string json_path = path + "/tokenizer.json";
  if (file_exists(json_path)) {
    refuse_pattern(options, json_path);
    return read_tokenizer_json(read_file(json_path, kMaxFileBytes), json_path);
  }
  struct Names {
    const char *vocab, *merges;
  };
  for (const Names names : {Names{"/vocab.json", "/merges.txt"}, {"/encoder.json", "/vocab.bpe"}}) {
    if (!file_exists(path + names.vocab) || !file_exists(path + names.merges)) continue;
    VocabMergesFiles files;
    files.source = path;
    files.vocab_json = read_file(path + names.vocab, kMaxFileBytes);
    files.merges_txt = read_file(path + names.merges, kMaxFileBytes);
    files.config_json = read_if_there(path + "/tokenizer_config.json");
    files.added_json = read_if_there(path + "/added_tokens.json");
    return read_vocab_merges(files, options.pattern);
  }
  fail(ErrorCode::kNotFound, path,
       ": has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt");
}

}  // namespace

Tokenizer Tokenizer::load(const std::string& path, const TokenizerLoadOptions& options) {
  if (is_directory(path)) return Tokenizer(read_directory(path, options));
  if (path.ends_with(".gguf")) {
    refuse_pattern(options, path);
    return Tokenizer(read_gguf_vocabulary(GgufFile::open(path)));
  }
  if (path.ends_with(".tiktoken")) {
    return Tokenizer(read_tiktoken(read_file(path, kMaxFileBytes), path, options.pattern));
  }
  if (path.ends_with(".json") || !file_exists(path)) {
    refuse_pattern(options, path);
    return Tokenizer(read_tokenizer_json(read_file(path, kMaxFileBytes), path));
  }
  fail(ErrorCode::kUnsupported, path,
       ": is no kind of tokenizer that is known here: expected a directory, a tokenizer.json, a "
       ".tiktoken or a .gguf file");
}

}  // namespace axk1
