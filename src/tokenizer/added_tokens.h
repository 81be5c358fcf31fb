// Tokens that stand for a text of their own, found in a text before it is cut into pieces.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace axk1 {

struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool single_word = false;  // not within a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and behind it
  bool normalized = false;   // looked for in the normalised text
  bool special = false;      // left out of decoded text on request
};

// Finds added tokens, leftmost first and of those the longest, as AddedVocabulary::find_matches of
// Hugging Face's tokenizers does. Time linear in the text times the length of the longest token.
// Immutable once filled; any thread may search.
class AddedTokenMatcher {
 public:
  // `pattern` is what to look for: the content, normalised where that is asked for. Not empty.
  void add(std::string_view pattern, const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // A part of a text: plain, or one token (with the white space that it takes).
  struct Part {
    size_t begin, end;
    TokenId id;  // -1: plain text
  };
  // Cuts text into parts. Without parse_special, special tokens are plain text (and still hide
  // other tokens inside them).
  void split(std::string_view text, bool parse_special, std::vector<Part>& parts) const;

 private:
  struct Found {
    int32_t token = -1;
    size_t length = 0;
  };
  Found longest_at(std::string_view text) const;

  struct Child {
    unsigned char byte;
    uint32_t node;
  };
  struct Node {
    std::vector<Child> children;
    int32_t token = -1;  // index into tokens_ of the token that ends here
  };
  std::vector<Node> nodes_{1};
  std::array<bool, 256> first_bytes_{};
  std::vector<AddedToken> tokens_;
};

}  // namespace axk1
