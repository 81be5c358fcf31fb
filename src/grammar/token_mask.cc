#include "grammar/token_mask.h"

#include <algorithm>

#include "base/utf8.h"

namespace axk1 {
namespace {

void add_words(std::span<uint32_t> to, const MaskWords& from) {
  for (size_t i = 0; i < from.size(); ++i) to[i] |= from[i];
}

}  // namespace

void TokenMask::add(const JsonCursor& cursor, const TextBuffer& text, const Grammar& grammar,
                    std::span<uint32_t> words) {
  if (!cursor.in_plain_string()) {
    walk(vocabulary_->all, cursor, text, Until::kEnd, words);
    return;
  }
  if (cursor.mode() == JsonCursor::Mode::kKey) {
    add_in_key(cursor, text, grammar, words);
  } else {
    add_in_string(cursor, grammar, words);
  }
  if (!cursor.string_is_free()) {
    walk(vocabulary_->closing, cursor, text, Until::kEnd, words);
    return;
  }
  JsonCursor behind = cursor;
  TextBuffer closed = text;
  if (!behind.push('"', closed)) return;
  for (TokenId id : vocabulary_->closing_last) set_token(words, id);
  walk(vocabulary_->after_closing, behind, closed, Until::kEnd, words);
}

DfaMasks& TokenMask::masks_of(const std::shared_ptr<const TextDfa>& dfa) {
  std::shared_ptr<DfaMasks>& masks = masks_[dfa.get()];
  if (!masks) masks = vocabulary_->dfa_masks.of(dfa);
  return *masks;
}

// Tokens inside a string that takes every text of at most so many characters.
void TokenMask::add_up_to(size_t length, std::span<uint32_t> words) const {
  if (length < vocabulary_->interior_up_to.size()) {
    add_words(words, vocabulary_->interior_up_to[length]);
    return;
  }
  // The sets do not tell longer tokens apart: these have no more characters than bytes.
  add_words(words, vocabulary_->interior_up_to.back());
  for (TokenId id : vocabulary_->interior_long) {
    if (vocabulary_->tokens[static_cast<size_t>(id)].bytes.size() <= length) set_token(words, id);
  }
}

void TokenMask::add_in_string(const JsonCursor& cursor, const Grammar& grammar,
                              std::span<uint32_t> words) {
  for (const JsonCursor::Scalar& scalar : cursor.scalars()) {
    const StringTable& rule = grammar.string(scalar.rule);
    const uint32_t length = cursor.length();
    if (scalar.state == JsonCursor::kFree) {
      add_up_to(rule.max == kNoMax ? kNoMax : rule.max - length, words);
      continue;
    }
    // Far from both ends of the range of lengths they do not matter.
    const uint32_t least = rule.min > length ? rule.min - length : 0;
    uint32_t most = rule.max == kNoMax ? kNoMax : rule.max - length;
    if (least == 0 && rule.lengths && most > rule.room + vocabulary_->interior.trie.max_depth) {
      most = kNoMax;
    }
    DfaMasks& masks = masks_of(rule.texts);
    const DfaMasks::Key key{scalar.state, least, most};
    DfaMasks::Words set = masks.find(key);
    if (!set) {
      std::function<bool(uint32_t, uint32_t)> possible;
      if (least > 0 || most != kNoMax) {
        possible = [&](uint32_t state, uint32_t more) {
          return rule.possible(state, length + more);
        };
      }
      set = std::make_shared<const MaskWords>(
          interior_set(*vocabulary_, *rule.texts, scalar.state, possible));
      masks.put(key, set);
    }
    add_words(words, *set);
  }
}

void TokenMask::add_in_key(const JsonCursor& cursor, const TextBuffer& text, const Grammar& grammar,
                           std::span<uint32_t> words) {
  if (cursor.any_key()) {
    add_up_to(kNoMax, words);
    return;
  }
  for (const JsonCursor::Scalar& scalar : cursor.scalars()) {
    const std::shared_ptr<const TextDfa>& others = grammar.object(scalar.rule).others;
    if (scalar.state2 == JsonCursor::kNone || !cursor.room_for_optional(scalar.node)) continue;
    if (!others->always_many(scalar.state2)) {
      add_scarce_keys(cursor, scalar, cursor.key_text(text), *others, words);
      continue;
    }
    DfaMasks& masks = masks_of(others);
    const DfaMasks::Key key{scalar.state2, 0, kNoMax};
    DfaMasks::Words set = masks.find(key);
    if (!set) {
      set =
          std::make_shared<const MaskWords>(interior_set(*vocabulary_, *others, scalar.state2, {}));
      masks.put(key, set);
    }
    add_words(words, *set);
  }
  if (cursor.name_begun()) walk(vocabulary_->all, cursor, text, Until::kNoNames, words);
}

// Where the keys that are no names may run out, by those that are there.
void TokenMask::add_scarce_keys(const JsonCursor& cursor, const JsonCursor::Scalar& scalar,
                                std::string_view text, const TextDfa& others,
                                std::span<uint32_t> words) const {
  const CharTrie& chars = vocabulary_->interior;
  struct Place {
    uint32_t state;
    std::string key;
  };
  const auto possible = [&](const Place& place) {
    return others.num_texts(place.state) >= TextDfa::kMany ||
           cursor.key_possible({scalar.node, scalar.rule, JsonCursor::kNone, place.state},
                               place.key);
  };
  const auto leads_on = [&](const Place& from, const StringLexer::Ranges& ranges) {
    for (const StringLexer::Range& range : ranges) {
      for (const TextDfa::Range& edge : others.states()[from.state].ranges) {
        const uint32_t lo = std::max(edge.lo, range.lo), hi = std::min(edge.hi, range.hi);
        for (uint32_t c = lo; c <= hi; ++c) {
          Place to{edge.to, from.key};
          append_utf8(to.key, c);
          if (possible(to)) return true;
        }
      }
    }
    return false;
  };
  std::vector<Place> places(chars.trie.max_depth + 1);
  places[0] = {scalar.state2, std::string(text)};
  for (const CharTrie::Tail& tail : chars.root_tails) {
    if (leads_on(places[0], tail.chars)) set_token(words, tail.token);
  }
  for (size_t i = 0; i < chars.trie.nodes.size();) {
    const TokenTrie::Node& node = chars.trie.nodes[i];
    const Place& from = places[node.depth - 1];
    Place& to = places[node.depth];
    to.state = others.next(from.state, node.unit);
    if (to.state != TextDfa::kDead) {
      to.key = from.key;
      append_utf8(to.key, node.unit);
    }
    if (to.state == TextDfa::kDead || !possible(to)) {
      i = node.end;
      continue;
    }
    for (uint32_t t = node.first; t < node.last; ++t) {
      const TokenId id = chars.trie.tokens[t];
      if (id >= 0) {
        set_token(words, id);
        continue;
      }
      const CharTrie::Tail& tail = chars.tails[static_cast<size_t>(-1 - id)];
      if (leads_on(to, tail.chars)) set_token(words, tail.token);
    }
    ++i;
  }
}

void TokenMask::walk(const TokenTrie& trie, const JsonCursor& cursor, const TextBuffer& text,
                     Until until, std::span<uint32_t> words) {
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
    const JsonCursor& at = path_[node.depth];
    if (until == Until::kNoNames && at.in_plain_string() && !at.name_begun()) {
      i = node.end;  // known otherwise
      continue;
    }
    for (uint32_t t = node.first; t < node.last; ++t) set_token(words, trie.tokens[t]);
    ++i;
  }
}

}  // namespace axk1
