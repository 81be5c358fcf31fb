#include "grammar/token_mask.h"

#include <algorithm>

namespace axk1 {
namespace {

void add_words(std::span<uint32_t> to, const MaskWords& from) {
  for (size_t i = 0; i < from.size(); ++i) to[i] |= from[i];
}

}  // namespace

void TokenMask::add(const JsonCursor& cursor, const TextBuffer& text, const Grammar& grammar,
                    std::span<uint32_t> words) {
  if (!cursor.in_plain_string() || !add_interior(cursor, grammar, words)) {
    walk(vocabulary_->all, cursor, text, words);
    return;
  }
  if (!cursor.string_is_free()) {
    walk(vocabulary_->closing, cursor, text, words);
    return;
  }
  JsonCursor behind = cursor;
  text_ = text;
  if (!behind.push('"', text_)) return;
  for (TokenId id : vocabulary_->closing_last) set_token(words, id);
  const TextBuffer closed = text_;
  walk(vocabulary_->after_closing, behind, closed, words);
}

// False when the sets kept do not cover the place.
bool TokenMask::add_interior(const JsonCursor& cursor, const Grammar& grammar,
                             std::span<uint32_t> words) {
  if (cursor.mode() == JsonCursor::Mode::kKey) {
    if (!cursor.any_key()) return false;
    add_words(words, vocabulary_->interior_all);
    return true;
  }
  for (const JsonCursor::Scalar& scalar : cursor.scalars()) {
    const StringTable& rule = grammar.string(scalar.rule);
    const uint32_t length = cursor.length();
    if (scalar.state == JsonCursor::kFree) {
      const size_t left = rule.max == kNoMax ? kNoMax : rule.max - length;
      add_words(words, left < vocabulary_->interior_up_to.size() ? vocabulary_->interior_up_to[left]
                                                                 : vocabulary_->interior_all);
      if (left != kNoMax && left >= vocabulary_->interior_up_to.size()) {
        // Longer tokens than the sets tell apart: they are allowed only where they surely fit.
        for (TokenId id : vocabulary_->interior_long) {
          if (vocabulary_->tokens[static_cast<size_t>(id)].bytes.size() > left) {
            words[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
          }
        }
      }
      continue;
    }
    const bool counts = rule.max != kNoMax || rule.min > length;
    const MaskCache::Key key{vocabulary_, scalar.rule, scalar.state, counts ? length : kNoMax};
    MaskCache::Words set = grammar.masks().find(key);
    if (!set) {
      set = interior_of(rule, scalar.state, length);
      grammar.masks().put(key, set);
    }
    add_words(words, *set);
  }
  return true;
}

// The tokens inside a string that lead from a state of its automaton to one from which it can still
// be completed.
MaskCache::Words TokenMask::interior_of(const StringTable& rule, uint32_t state,
                                        uint32_t length) const {
  auto set = std::make_shared<MaskWords>(vocabulary_->interior_all.size());
  const CharTrie& chars = vocabulary_->interior;
  const auto leads_on = [&](uint32_t from, uint32_t so_far, const StringLexer::Ranges& ranges) {
    for (const StringLexer::Range& range : ranges) {
      for (const TextDfa::Range& edge : rule.texts->states()[from].ranges) {
        if (edge.lo > range.hi) break;
        if (edge.hi >= range.lo && rule.possible(edge.to, so_far + 1)) return true;
      }
    }
    return false;
  };
  std::vector<uint32_t> states(chars.trie.max_depth + 1);
  states[0] = state;
  for (const CharTrie::Tail& tail : chars.root_tails) {
    if (leads_on(state, length, tail.chars)) set_token(*set, tail.token);
  }
  const std::vector<TokenTrie::Node>& nodes = chars.trie.nodes;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const uint32_t next = rule.texts->next(states[node.depth - 1], node.unit);
    if (next == TextDfa::kDead || !rule.possible(next, length + node.depth)) {
      i = node.end;
      continue;
    }
    states[node.depth] = next;
    for (uint32_t t = node.first; t < node.last; ++t) {
      const TokenId id = chars.trie.tokens[t];
      if (id >= 0) {
        set_token(*set, id);
        continue;
      }
      const CharTrie::Tail& tail = chars.tails[static_cast<size_t>(-1 - id)];
      if (leads_on(next, length + node.depth, tail.chars)) set_token(*set, tail.token);
    }
    ++i;
  }
  return set;
}

void TokenMask::walk(const TokenTrie& trie, const JsonCursor& cursor, const TextBuffer& text,
                     std::span<uint32_t> words) {
  text_ = text;
  path_.resize(std::max<size_t>(path_.size(), trie.max_depth + 1), cursor);
  path_[0] = cursor;
  for (size_t i = 0; i < trie.nodes.size();) {
    const TokenTrie::Node& node = trie.nodes[i];
    const JsonCursor& from = path_[node.depth - 1];
    const auto byte = static_cast<uint8_t>(node.unit);
    bool fits = from.may_take(byte);
    if (fits) {
      JsonCursor& to = path_[node.depth];
      to = from;
      fits = to.push(byte, text_);
    }
    if (!fits) {
      i = node.end;
      continue;
    }
    for (uint32_t t = node.first; t < node.last; ++t) set_token(words, trie.tokens[t]);
    ++i;
  }
}

}  // namespace axk1
