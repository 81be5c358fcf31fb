// What a tokenizer is besides its vocabulary, and the files of a trained one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/bpe_trainer.h"
#include "io/json.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {

struct PlannedToken {
  std::string content;
  bool special = true;
};

// The tokens of our chat template, and some more that the models we ship have.
std::vector<PlannedToken> default_added_tokens();

class TokenizerPlan {
 public:
  // `pattern`: a known name (known_pattern_names()) or a regular expression in the dialect of
  // tokenizer.json, Oniguruma's. `nfc`: texts are normalised to NFC first.
  static TokenizerPlan make(std::string_view pattern, bool nfc, std::vector<PlannedToken> added);
  // As another tokenizer.json has it: normaliser, cutting, decoder, post-processor, added tokens.
  // Throws Error(kInvalidInput, kUnsupported) where that is no byte-level BPE.
  static TokenizerPlan like(std::string_view tokenizer_json, const std::string& source);

  // Takes these for the added tokens.
  void set_added_tokens(std::vector<PlannedToken> added);
  void set_pattern(std::string_view pattern);

  size_t num_added() const { return added_.size(); }
  // How texts are cut: a tokenizer of bytes alone.
  TokenizerSpec counting_spec() const;
  // The tokenizer.json. Added tokens get the ids behind the vocabulary, in their order. Throws
  // Error(kInvalidInput) when the vocabulary has learned one of them.
  std::string tokenizer_json(const TrainedBpe& bpe) const;
  // A tokenizer_config.json without a chat template; names bos, eos and pad where the plan has
  // tokens that usually are.
  std::string tokenizer_config() const;

 private:
  TokenizerPlan() = default;
  json::value post_processor(size_t first_added_id) const;

  json::object parts_;  // as in tokenizer.json
  json::array added_;   // without ids
};

}  // namespace axk1
