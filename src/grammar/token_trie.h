// Tokens arranged by how they begin.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/string_lexer.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {

// Nodes in the order of a walk that enters children before it goes on: a node's descendants end
// where `end` says. Units are bytes, or code points.
struct TokenTrie {
  struct Node {
    uint32_t unit;
    uint32_t depth;        // units from the root: 1 for its children
    uint32_t end;          // index behind the last descendant
    uint32_t first, last;  // tokens that end here: tokens[first, last)
  };
  std::vector<Node> nodes;  // without the root
  std::vector<TokenId> tokens;
  uint32_t max_depth = 0;

  // Entries need not be sorted; of one key there may be several.
  static TokenTrie build(std::vector<std::pair<std::vector<uint32_t>, TokenId>> entries);
  static TokenTrie of_bytes(const std::vector<std::pair<std::string_view, TokenId>>& entries);
};

// Tokens that stay inside a string when they come between two of its characters, by their
// characters. A token of the trie below zero is one that ends within a character: -1 - its index in
// `tails`.
struct CharTrie {
  struct Tail {
    TokenId token;
    StringLexer::Ranges chars;  // which its last character can become
  };
  // Which characters occur below a node.
  struct Chars {
    uint64_t ascii[2] = {};
    bool others = false;
  };
  TokenTrie trie;
  std::vector<Chars> below;  // by node
  std::vector<Tail> tails;
  std::vector<Tail> root_tails;  // of tokens without a whole character

  void find_chars();  // fills `below`
};

}  // namespace axk1
