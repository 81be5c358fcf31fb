// What the readers of tokenizer files hand to Tokenizer: one file's content in one form.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_decoder.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

// What add_special puts around the ids of a text.
struct PostTemplateItem {
  bool sequence = false;     // the text's own ids
  std::vector<TokenId> ids;  // else these
};
using PostTemplate = std::vector<PostTemplateItem>;

struct TokenizerSpec {
  std::string source;  // the file, for messages
  Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
  BpeOptions bpe;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  DecoderRules decoder;
  std::vector<PostTemplate> post;  // applied one after the other
  std::vector<AddedToken> added;
  // Added tokens decode to their content as it is, not through the decoder.
  bool added_literally = false;
};

}  // namespace axk1
