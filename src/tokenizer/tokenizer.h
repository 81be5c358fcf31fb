// Text to ids and back: byte-pair encoding with everything around it, as Hugging Face's tokenizers,
// tiktoken and llama.cpp define it by their files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/named_files.h"
#include "tokenizer/token_decoder.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

class GgufFile;
struct TokenizerSpec;

struct EncodeOptions {
  // Special tokens in the text become their ids; else they are plain text. Added tokens that are
  // not special become their ids either way (so do Hugging Face's encode_special_tokens and
  // llama.cpp).
  bool parse_special = true;
  // Run the post-processor: what the tokenizer puts around a text (bos, eos).
  bool add_special = false;
};

struct TokenizerLoadOptions {
  // How text is cut, for files that do not say: a known name (gpt2, cl100k, o200k, qwen2, ...) or a
  // regular expression. Overrides what is inferred for vocab.json; refused with files that do say.
  std::string pattern;
};

// Immutable after load; any thread may use it.
class Tokenizer {
 public:
  // A directory with tokenizer.json, or with vocab.json and merges.txt (or encoder.json and
  // vocab.bpe, their older names); a k1pack file with these inside; a tokenizer.json; a .tiktoken
  // file; a .gguf file. Throws Error that names the file and what is wrong or not supported in it.
  static Tokenizer load(const std::string& path, const TokenizerLoadOptions& options = {});
  // The same of the files of a model.
  static Tokenizer load(const NamedFiles& files, const TokenizerLoadOptions& options = {});
  static bool is_in(const NamedFiles& files);  // whether load would find one

  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Bytes that are not valid UTF-8 are pieces of their own, never normalised, and come back from
  // token_bytes unchanged (if the vocabulary has bytes). Throws Error(kInvalidInput) when the
  // tokenizer's own pattern runs away on the text.
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Valid UTF-8: what the ids do not make a character of becomes U+FFFD. Unknown ids are left out.
  std::string decode(std::span<const TokenId> ids, bool skip_special = false) const;

  // The raw bytes that the id stands for; empty when there is no such id. Valid as long as the
  // tokenizer.
  std::string_view token_bytes(TokenId id) const;
  bool is_special(TokenId id) const;
  // An added token or a vocabulary entry by its text, as written in the file.
  std::optional<TokenId> find(std::string_view content) const;
  size_t vocab_size() const;  // highest id + 1

 private:
  friend class StreamDecoder;
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

// Decodes one id after the other and gives out only whole characters: the concatenation of all
// results is what Tokenizer::decode gives for all ids. (With ByteFallback decoders, valid
// characters before an invalid byte of the same run come out as themselves; decode gives U+FFFD for
// all bytes of that run.) The tokenizer must outlive it. For one thread at a time.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false);

  std::string push(TokenId id);  // the text that became complete
  std::string flush();           // the rest, invalid bytes as U+FFFD; then it starts anew

 private:
  std::string finish(std::string text);
  void restart();

  const Tokenizer& tokenizer_;
  bool skip_special_;
  bool first_ = true;
  std::string pending_;     // begins a character that is not complete
  size_t strip_start_ = 0;  // how often the whole-text strip rule may still apply in front
  std::string held_;        // characters that the rule may take off the end
};

// The readers behind load, for bytes that are no files. `source` names them in messages.
TokenizerSpec read_tokenizer_json(std::string_view json_text, const std::string& source);
TokenizerSpec read_tiktoken(std::string_view text, const std::string& source,
                            std::string_view pattern);
TokenizerSpec read_gguf_vocabulary(const GgufFile& file);
// `config_json` and `added_json`: tokenizer_config.json and added_tokens.json, or empty.
struct VocabMergesFiles {
  std::string vocab_json, merges_txt, config_json, added_json;
  std::string source;  // the directory
};
TokenizerSpec read_vocab_merges(const VocabMergesFiles& files, std::string_view pattern);

}  // namespace axk1
