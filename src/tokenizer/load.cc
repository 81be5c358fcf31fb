// Tokenizer::load: which reader a path is for.
#include <initializer_list>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/k1pack.h"
#include "io/file.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 29;  // those of today have up to 30 MB

std::string read_if_there(const NamedFiles& files, const std::string& name) {
  return files.contains(name) ? files.read(name, kMaxFileBytes) : std::string();
}

struct VocabMergesNames {
  const char *vocab, *merges;
};
constexpr VocabMergesNames kVocabMergesNames[] = {{"vocab.json", "merges.txt"},
                                                  {"encoder.json", "vocab.bpe"}};

// The pattern is part of these files; another would give ids that mean nothing to the model.
void refuse_pattern(const TokenizerLoadOptions& options, const std::string& path) {
  if (options.pattern.empty()) return;
  fail(ErrorCode::kUsage, path,
       ": says itself how text is cut; a pattern is for .tiktoken and "
       "vocab.json files");
}

TokenizerSpec read_model_files(const NamedFiles& files, const TokenizerLoadOptions& options) {
  if (files.contains("tokenizer.json")) {
    const std::string place = files.place("tokenizer.json");
    refuse_pattern(options, place);
    return read_tokenizer_json(files.read("tokenizer.json", kMaxFileBytes), place);
  }
  for (const auto& [vocab, merges] : kVocabMergesNames) {
    if (!files.contains(vocab) || !files.contains(merges)) continue;
    VocabMergesFiles parts;
    parts.source = files.path();
    parts.vocab_json = files.read(vocab, kMaxFileBytes);
    parts.merges_txt = files.read(merges, kMaxFileBytes);
    parts.config_json = read_if_there(files, "tokenizer_config.json");
    parts.added_json = read_if_there(files, "added_tokens.json");
    return read_vocab_merges(parts, options.pattern);
  }
  fail(ErrorCode::kNotFound, files.path(),
       ": has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt");
}

}  // namespace

bool Tokenizer::is_in(const NamedFiles& files) {
  if (files.contains("tokenizer.json")) return true;
  for (const auto& [vocab, merges] : kVocabMergesNames) {
    if (files.contains(vocab) && files.contains(merges)) return true;
  }
  return false;
}

Tokenizer Tokenizer::load(const NamedFiles& files, const TokenizerLoadOptions& options) {
  return Tokenizer(read_model_files(files, options));
}

Tokenizer Tokenizer::load(const std::string& path, const TokenizerLoadOptions& options) {
  if (is_directory(path) || is_k1pack(path)) return load(open_model_files(path), options);
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
       ": is no kind of tokenizer that is known here: expected a directory, a k1pack file, a "
       "tokenizer.json, a .tiktoken or a .gguf file");
}

}  // namespace axk1
