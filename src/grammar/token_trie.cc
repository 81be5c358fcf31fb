#include "grammar/token_trie.h"

#include <algorithm>

namespace axk1 {

TokenTrie TokenTrie::build(std::vector<std::pair<std::vector<uint32_t>, TokenId>> entries) {
  std::sort(entries.begin(), entries.end());
  TokenTrie trie;
  std::vector<uint32_t> path;  // nodes from the root's child on
  for (const auto& [key, token] : entries) {
    size_t common = 0;
    while (common < path.size() && common < key.size() &&
           trie.nodes[path[common]].unit == key[common]) {
      ++common;
    }
    while (path.size() > common) {
      trie.nodes[path.back()].end = static_cast<uint32_t>(trie.nodes.size());
      path.pop_back();
    }
    for (size_t i = common; i < key.size(); ++i) {
      path.push_back(static_cast<uint32_t>(trie.nodes.size()));
      const auto at = static_cast<uint32_t>(trie.tokens.size());
      trie.nodes.push_back({key[i], static_cast<uint32_t>(i) + 1, 0, at, at});
    }
    trie.max_depth = std::max(trie.max_depth, static_cast<uint32_t>(key.size()));
    if (path.empty()) continue;  // an empty key ends nowhere
    // Tokens of one node lie side by side: the entries are sorted, so they come one after another.
    trie.tokens.push_back(token);
    trie.nodes[path.back()].last = static_cast<uint32_t>(trie.tokens.size());
  }
  for (uint32_t node : path) trie.nodes[node].end = static_cast<uint32_t>(trie.nodes.size());
  return trie;
}

void CharTrie::find_chars() {
  below.assign(trie.nodes.size(), {});
  std::vector<uint32_t> path;
  for (uint32_t i = 0; i < trie.nodes.size(); ++i) {
    const TokenTrie::Node& node = trie.nodes[i];
    path.resize(node.depth - 1);
    for (uint32_t above : path) {
      if (node.unit < 128) {
        below[above].ascii[node.unit / 64] |= uint64_t{1} << (node.unit % 64);
      } else {
        below[above].others = true;
      }
    }
    path.push_back(i);
  }
}

TokenTrie TokenTrie::of_bytes(const std::vector<std::pair<std::string_view, TokenId>>& entries) {
  std::vector<std::pair<std::vector<uint32_t>, TokenId>> keys;
  keys.reserve(entries.size());
  for (const auto& [bytes, token] : entries) {
    std::vector<uint32_t> key;
    for (char c : bytes) key.push_back(static_cast<uint8_t>(c));
    keys.emplace_back(std::move(key), token);
  }
  return build(std::move(keys));
}

}  // namespace axk1
