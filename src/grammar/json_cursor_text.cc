// The part of the cursor that reads strings and keys.
#include <algorithm>

#include "base/utf8.h"
#include "grammar/json_cursor.h"
#include "grammar/json_cursor_level.h"

namespace axk1 {
namespace {

constexpr uint32_t kFirstSurrogate = 0xd800, kBehindSurrogates = 0xe000;

}  // namespace

// ---- characters

bool JsonCursor::push_string(uint8_t byte, TextBuffer& text) {
  uint32_t code_point = 0;
  switch (lexer_.push(byte, code_point)) {
    case StringLexer::Result::kReject:
      return false;
    case StringLexer::Result::kMore:
      return prune(text);
    case StringLexer::Result::kChar:
      return advance(code_point, text);
    case StringLexer::Result::kClose:
      return mode_ == Mode::kKey ? end_key(text) : end_string();
  }
  return false;
}

// Drops the rules that none of the possible characters satisfies.
bool JsonCursor::prune(const TextBuffer& text) {
  const StringLexer::Ranges ranges = lexer_.possible();
  const auto impossible = [&](const Scalar& scalar) {
    return std::none_of(ranges.begin(), ranges.end(), [&](const StringLexer::Range& range) {
      return mode_ == Mode::kKey ? key_leads_on(scalar, range.lo, range.hi, text)
                                 : string_leads_on(scalar, range.lo, range.hi);
    });
  };
  scalars_.erase(std::remove_if(scalars_.begin(), scalars_.end(), impossible), scalars_.end());
  return !scalars_.empty();
}

bool JsonCursor::advance(uint32_t code_point, TextBuffer& text) {
  ++length_;
  if (mode_ == Mode::kKey) {
    text.resize(text_end_);
    append_utf8(text, code_point);
    text_end_ = static_cast<uint32_t>(text.size());
  }
  size_t kept = 0;
  for (const Scalar& old : scalars_) {
    Scalar scalar = old;
    if (mode_ == Mode::kKey) {
      const ObjectTable& table = grammar_->object(scalar.rule);
      if (scalar.state != kNone) scalar.state = table.child(scalar.state, code_point);
      scalar.state2 = next_other(table, scalar.state2, code_point);
      if (!key_possible(scalar, key_text(text))) continue;
    } else {
      const StringTable& table = grammar_->string(scalar.rule);
      scalar.state = next_string_state(table, scalar.state, code_point);
      if (scalar.state == kNone || !string_possible(table, scalar.state, length_)) continue;
    }
    scalars_[kept++] = scalar;
  }
  scalars_.resize(kept);
  return kept > 0;
}

// ---- strings that are values

uint32_t JsonCursor::next_string_state(const StringTable& rule, uint32_t state,
                                       uint32_t code_point) const {
  if (state == kFree) return kFree;
  const uint32_t next = rule.texts->next(state, code_point);
  return next != TextDfa::kDead && rule.texts->accepts_all(next) ? kFree : next;
}

bool JsonCursor::string_possible(const StringTable& rule, uint32_t state, uint32_t length) {
  return state == kFree ? length <= rule.max : rule.possible(state, length);
}

bool JsonCursor::begin_string() {
  scalars_.clear();
  for (NodeId id : wanted()) {
    for (uint32_t i : grammar_->node(id).strings) {
      const StringTable& table = grammar_->string(i);
      scalars_.push_back({id, i, !table.texts || table.texts->accepts_all(0) ? kFree : 0, 0});
    }
  }
  mode_ = Mode::kString;
  lexer_ = StringLexer();
  length_ = 0;
  return !scalars_.empty();
}

bool JsonCursor::string_leads_on(const Scalar& scalar, uint32_t lo, uint32_t hi) const {
  const StringTable& table = grammar_->string(scalar.rule);
  if (scalar.state == kFree) return length_ < table.max;
  for (const TextDfa::Range& range : table.texts->states()[scalar.state].ranges) {
    if (range.lo > hi) break;
    if (range.hi >= lo && table.possible(range.to, length_ + 1)) return true;
  }
  return false;
}

bool JsonCursor::end_string() {
  Nodes accepted;
  for (const Scalar& scalar : scalars_) {
    const StringTable& table = grammar_->string(scalar.rule);
    const bool accepts = scalar.state == kFree ? length_ >= table.min && length_ <= table.max
                                               : table.accepts(scalar.state, length_);
    if (accepts) accepted.push_back(scalar.node);
  }
  return end_value(accepted);
}

bool JsonCursor::string_is_free() const {
  return mode_ == Mode::kString && lexer_.plain() &&
         std::all_of(scalars_.begin(), scalars_.end(), [&](const Scalar& scalar) {
           const StringTable& table = grammar_->string(scalar.rule);
           return scalar.state == kFree && table.max == kNoMax && length_ >= table.min;
         });
}

bool JsonCursor::same_free_string(const JsonCursor& other) const {
  return top_.get() == other.top_.get() && string_is_free() && other.string_is_free() &&
         scalars_ == other.scalars_;
}

// ---- keys

bool JsonCursor::begin_key() {
  text_begin_ = text_end_;  // what a cursor that this one continues has there stays
  length_ = 0;
  lexer_ = StringLexer();
  mode_ = Mode::kKey;
  scalars_.clear();
  for (uint32_t i = 0; i < top_->rules.size(); ++i) {
    const Scalar scalar = key_start(i);
    if (key_possible(scalar, "")) scalars_.push_back(scalar);
  }
  return !scalars_.empty();
}

bool JsonCursor::room_for_optional(uint32_t frame) const {
  const Level::Rule& rule = top_->rules[frame];
  const uint32_t max = grammar_->object(rule.rule).max;
  return max == kNoMax || top_->count + rule.missing < max;
}

bool JsonCursor::name_possible(uint32_t frame, uint32_t name) const {
  const Level::Rule& rule = top_->rules[frame];
  const ObjectTable& table = grammar_->object(rule.rule);
  if (table.in_order) return name == top_->count && fits(table.name_values[name], top_->depth);
  return !top_->saw(frame, name) && fits(table.name_values[name], top_->depth) &&
         (table.required[name] || room_for_optional(frame));
}

uint32_t JsonCursor::next_other(const ObjectTable& table, uint32_t state, uint32_t code_point) {
  if (state == kNone || state == kFree) return state;
  const uint32_t next = table.others->next(state, code_point);
  if (next == TextDfa::kDead) return kNone;
  return table.others->accepts_all(next) ? kFree : next;
}

// Whether a key that is no name, begins with these characters and has led to the state of `others`,
// can still be written.
bool JsonCursor::other_key_possible(uint32_t frame, uint32_t state,
                                    std::string_view beginning) const {
  if (state == kNone || !room_for_optional(frame)) return false;
  if (state == kFree) return true;
  const ObjectTable& table = grammar_->object(top_->rules[frame].rule);
  const TextDfa& others = *table.others;
  // More than there are keys that cannot come (again), and that begin so: one is left.
  size_t taken = 0;
  for (const Key* key = top_->keys; key; key = key->before) {
    taken += std::string_view(key->text).starts_with(beginning);
  }
  for (const std::string& name : table.names) {
    taken += std::string_view(name).starts_with(beginning);
  }
  if (others.num_texts(state) > taken) return true;
  for (const std::string& rest : others.texts_from(state, taken + 1)) {
    const std::string key = std::string(beginning) + rest;
    const bool is_name =
        std::find(table.names.begin(), table.names.end(), key) != table.names.end();
    if (!is_name && !was_there(key)) return true;
  }
  return false;
}

bool JsonCursor::key_possible(const Scalar& scalar, std::string_view beginning) const {
  const uint32_t frame = scalar.node;
  const ObjectTable& table = grammar_->object(scalar.rule);
  if (other_key_possible(frame, scalar.state2, beginning)) return true;
  if (scalar.state == kNone) return false;
  if (table.in_order) {
    if (top_->count >= table.names.size()) return false;
    return std::string_view(table.names[top_->count]).starts_with(beginning);
  }
  const ObjectTable::TrieNode& node = table.trie[scalar.state];
  for (uint32_t name = node.first; name < node.last; ++name) {
    if (name_possible(frame, name)) return true;
  }
  return false;
}

JsonCursor::Scalar JsonCursor::key_start(uint32_t frame) const {
  const uint32_t rule = top_->rules[frame].rule;
  const TextDfa* others = grammar_->object(rule).others.get();
  return {frame, rule, 0, !others ? kNone : others->accepts_all(0) ? kFree : 0};
}

bool JsonCursor::any_key_possible(uint32_t frame) const {
  return key_possible(key_start(frame), "");
}

bool JsonCursor::key_leads_on(const Scalar& scalar, uint32_t lo, uint32_t hi,
                              const TextBuffer& text) const {
  const uint32_t frame = scalar.node;
  const ObjectTable& table = grammar_->object(scalar.rule);
  const std::string_view beginning = key_text(text);
  if (room_for_optional(frame) && scalar.state2 != kNone) {
    if (scalar.state2 == kFree) return true;
    for (const TextDfa::Range& range : table.others->states()[scalar.state2].ranges) {
      if (range.hi < lo || range.lo > hi) continue;
      if (table.others->num_texts(range.to) >= TextDfa::kMany) return true;
      for (uint32_t c = std::max(lo, range.lo); c <= std::min(hi, range.hi); ++c) {
        std::string longer(beginning);
        append_utf8(longer, c);
        if (other_key_possible(frame, range.to, longer)) return true;
      }
    }
  }
  if (scalar.state == kNone) return false;
  for (const auto& [c, to] : table.trie[scalar.state].children) {
    if (c < lo || c > hi) continue;
    std::string longer(beginning);
    append_utf8(longer, c);
    if (key_possible({frame, scalar.rule, to, next_other(table, scalar.state2, c)}, longer)) {
      return true;
    }
  }
  return false;
}

std::string_view JsonCursor::key_text(const TextBuffer& text) const {
  return std::string_view(text).substr(text_begin_, text_end_ - text_begin_);
}

void JsonCursor::forget_text(TextBuffer& text) {
  if (mode_ != Mode::kKey) text_begin_ = text_end_;
  text.resize(text_end_);
  text.erase(0, text_begin_);
  text_end_ -= text_begin_;
  text_begin_ = 0;
}

bool JsonCursor::was_there(std::string_view key) const {
  const size_t hash = std::hash<std::string_view>()(key);
  for (const Key* k = top_->keys; k; k = k->before) {
    if (k->hash == hash && k->text == key) return true;
  }
  return false;
}

bool JsonCursor::end_key(const TextBuffer& text) {
  const std::string_view key = key_text(text);
  if (was_there(key)) return false;
  Level* level = nullptr;
  size_t kept = 0;
  for (const Scalar& scalar : scalars_) {
    const uint32_t frame = scalar.node;
    const ObjectTable& table = grammar_->object(scalar.rule);
    const int32_t name = scalar.state == kNone ? -1 : table.trie[scalar.state].name;
    NodeId value;
    if (name >= 0) {
      if (!name_possible(frame, static_cast<uint32_t>(name))) continue;
      value = table.name_values[static_cast<size_t>(name)];
    } else {
      const bool accepts = scalar.state2 == kFree ||
                           (scalar.state2 != kNone && table.others->accepts(scalar.state2));
      if (!accepts || !room_for_optional(frame)) continue;
      value = table.other_value(key);
      if (!fits(value, top_->depth)) continue;
    }
    if (!level) level = copy_of(*top_.get());
    // Frames are in ascending order, so nothing is overwritten before it is moved.
    const size_t words = level->words_per_rule;
    Level::Rule rule = top_->rules[frame];
    rule.child = value;
    std::copy_n(top_->seen.begin() + static_cast<ptrdiff_t>(frame * words), words,
                level->seen.begin() + static_cast<ptrdiff_t>(kept * words));
    if (name >= 0) {
      const auto n = static_cast<size_t>(name);
      rule.missing -= table.required[n];
      level->seen[kept * words + n / 64] |= uint64_t{1} << (n % 64);
    }
    level->rules[kept++] = rule;
  }
  if (!level) return false;
  level->rules.resize(kept);
  level->seen.resize(kept * level->words_per_rule);
  ++level->count;
  level->keys = new Key{1, std::hash<std::string_view>()(key), std::string(key), level->keys};
  top_ = LevelRef(level);
  mode_ = Mode::kColon;
  return true;
}

bool JsonCursor::any_key() const {
  return mode_ == Mode::kKey &&
         std::any_of(scalars_.begin(), scalars_.end(), [&](const Scalar& scalar) {
           return scalar.state2 == kFree && room_for_optional(scalar.node);
         });
}

bool JsonCursor::name_begun() const {
  return mode_ == Mode::kKey &&
         std::any_of(scalars_.begin(), scalars_.end(),
                     [](const Scalar& scalar) { return scalar.state != kNone; });
}

}  // namespace axk1
