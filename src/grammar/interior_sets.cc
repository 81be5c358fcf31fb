// Sets of tokens that stay inside a string, worked out with an automaton.
#include <array>

#include "grammar/vocabulary_tables.h"

namespace axk1 {
namespace {

// Characters below 128, and whether others.
struct CharSet {
  std::array<uint64_t, 2> ascii{};
  bool others = false;

  bool includes(const CharTrie::Chars& chars) const {
    return (chars.ascii[0] & ~ascii[0]) == 0 && (chars.ascii[1] & ~ascii[1]) == 0 &&
           (others || !chars.others);
  }
};

// The characters that leave a state as it is.
CharSet loop_of(const TextDfa& dfa, uint32_t state) {
  CharSet set;
  uint32_t covered = 0x80;  // all from 0x80 to below
  for (const TextDfa::Range& range : dfa.states()[state].ranges) {
    if (range.to != state) continue;
    for (uint32_t c = range.lo; c <= range.hi && c < 0x80; ++c) {
      set.ascii[c / 64] |= uint64_t{1} << (c % 64);
    }
    if (range.lo <= covered && range.hi >= covered) covered = range.hi + 1;
    if (covered == 0xd800) covered = 0xe000;
  }
  set.others = covered > kMaxCodePoint;
  return set;
}

}  // namespace

MaskWords interior_set(const GrammarVocabulary::Impl& vocabulary, const TextDfa& dfa,
                       uint32_t state, const std::function<bool(uint32_t, uint32_t)>& possible) {
  const CharTrie& chars = vocabulary.interior;
  MaskWords set(vocabulary.interior_all.size());
  const auto leads_on = [&](uint32_t from, uint32_t length, const StringLexer::Ranges& ranges) {
    for (const StringLexer::Range& range : ranges) {
      for (const TextDfa::Range& edge : dfa.states()[from].ranges) {
        if (edge.lo > range.hi) break;
        if (edge.hi >= range.lo && (!possible || possible(edge.to, length + 1))) return true;
      }
    }
    return false;
  };
  const auto add = [&](uint32_t first, uint32_t last, uint32_t at, uint32_t length) {
    for (uint32_t t = first; t < last; ++t) {
      const TokenId id = chars.trie.tokens[t];
      if (id >= 0) {
        set_token(set, id);
        continue;
      }
      const CharTrie::Tail& tail = chars.tails[static_cast<size_t>(-1 - id)];
      if (leads_on(at, length, tail.chars)) set_token(set, tail.token);
    }
  };
  for (const CharTrie::Tail& tail : chars.root_tails) {
    if (leads_on(state, 0, tail.chars)) set_token(set, tail.token);
  }
  const std::vector<TokenTrie::Node>& nodes = chars.trie.nodes;
  std::vector<uint32_t> states(chars.trie.max_depth + 1);
  states[0] = state;
  std::vector<std::pair<bool, CharSet>> loops(possible ? 0 : dfa.num_states());
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const uint32_t next = dfa.next(states[node.depth - 1], node.unit);
    if (next == TextDfa::kDead || (possible && !possible(next, node.depth))) {
      i = node.end;
      continue;
    }
    if (!possible) {
      auto& [known, loop] = loops[next];
      if (!known) {
        loop = loop_of(dfa, next);
        known = true;
      }
      if (loop.includes(chars.below[i])) {  // all tokens that begin so
        const uint32_t last = node.end < nodes.size()
                                  ? nodes[node.end].first
                                  : static_cast<uint32_t>(chars.trie.tokens.size());
        add(node.first, last, next, node.depth);
        i = node.end;
        continue;
      }
    }
    states[node.depth] = next;
    add(node.first, node.last, next, node.depth);
    ++i;
  }
  return set;
}

}  // namespace axk1
