#include "grammar/json_cursor.h"

#include <algorithm>

#include "grammar/json_cursor_level.h"

namespace axk1 {
namespace {

bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string_view literal_text(uint8_t first) {
  return first == 'n' ? "null" : first == 't' ? "true" : "false";
}

// How many bytes of `mark` a text ends with, after one more byte.
uint32_t matched(std::string_view mark, uint32_t before, uint8_t byte) {
  for (;;) {
    if (before < mark.size() && static_cast<uint8_t>(mark[before]) == byte) return before + 1;
    if (before == 0) return 0;
    // The longest beginning of mark that is also an end of what was matched.
    uint32_t shorter = before - 1;
    while (shorter > 0 && mark.substr(0, shorter) != mark.substr(before - shorter, shorter)) {
      --shorter;
    }
    before = shorter;
  }
}

}  // namespace

JsonCursor::Level* JsonCursor::share(Level* level) {
  if (level) ++level->refs;
  return level;
}

void JsonCursor::release(Level* level) {
  while (level && --level->refs == 0) {
    Level* below = level->below;
    release(level->keys);
    delete level;
    level = below;
  }
}

JsonCursor::Key* JsonCursor::share(Key* key) {
  if (key) ++key->refs;
  return key;
}

void JsonCursor::release(Key* key) {
  while (key && --key->refs == 0) {
    Key* before = key->before;
    delete key;
    key = before;
  }
}

JsonCursor::JsonCursor(const Grammar& grammar, const Frame& frame)
    : grammar_(&grammar),
      frame_(&frame),
      mode_(!frame.calls     ? Mode::kValue
            : frame.required ? Mode::kBeforeCall
                             : Mode::kFree) {}

JsonCursor::LevelRef::LevelRef(const LevelRef& other) : level_(share(other.level_)) {}

JsonCursor::LevelRef& JsonCursor::LevelRef::operator=(const LevelRef& other) {
  Level* old = level_;
  level_ = share(other.level_);
  release(old);
  return *this;
}

JsonCursor::LevelRef::~LevelRef() {
  release(level_);
}

void JsonCursor::unshare() {
  Level* top = nullptr;
  Level** link = &top;
  for (const Level* original = top_.get(); original; original = original->below) {
    Level* copy = new Level(*original);
    copy->refs = 1;
    Key** key_link = &copy->keys;
    for (const Key* key = original->keys; key; key = key->before) {
      *key_link = new Key(*key);
      (*key_link)->refs = 1;
      key_link = &(*key_link)->before;
    }
    *link = copy;
    link = &copy->below;
  }
  top_ = LevelRef(top);
}

JsonCursor::Level* JsonCursor::copy_of(const Level& level) {
  Level* copy = new Level(level);
  copy->refs = 1;
  share(copy->below);
  share(copy->keys);
  return copy;
}

// The nodes of which the next value must satisfy one.
JsonCursor::Nodes JsonCursor::wanted() const {
  Nodes nodes;
  if (!top_) {
    nodes.push_back(grammar_->root());
    return nodes;
  }
  for (const Level::Rule& rule : top_->rules) {
    if (rule.child == kNone) continue;
    if (std::find(nodes.begin(), nodes.end(), rule.child) == nodes.end()) {
      nodes.push_back(rule.child);
    }
  }
  return nodes;
}

bool JsonCursor::push(uint8_t byte, TextBuffer& text) {
  const bool space = is_space(byte);
  switch (mode_) {
    case Mode::kFree:
    case Mode::kBeforeCall:
    case Mode::kOpen:
    case Mode::kClose:
    case Mode::kFinished:
      return push_frame(byte);
    case Mode::kDone:
      return space || (frame_->calls && push_frame(byte));
    case Mode::kArrayStart:
      if (byte == ']') return end_container(false);
      [[fallthrough]];
    case Mode::kValue:
      return space || begin_value(byte);
    case Mode::kLiteral: {
      const std::string_view literal = literal_text(literal_);
      if (byte != static_cast<uint8_t>(literal[match_])) return false;
      if (++match_ < literal.size()) return true;
      Nodes accepted;
      for (NodeId id : wanted()) {
        const NodeTable& node = grammar_->node(id);
        const bool takes = literal_ == 'n'   ? node.null_value
                           : literal_ == 't' ? node.true_value
                                             : node.false_value;
        if (takes) accepted.push_back(id);
      }
      return end_value(accepted);
    }
    case Mode::kNumber: {
      if (number_.push(static_cast<char>(byte))) {
        const auto impossible = [&](const Scalar& scalar) {
          return !grammar_->number(scalar.rule).possible(number_);
        };
        scalars_.erase(std::remove_if(scalars_.begin(), scalars_.end(), impossible),
                       scalars_.end());
        return !scalars_.empty();
      }
      return number_.complete() && end_number() && push(byte, text);
    }
    case Mode::kString:
    case Mode::kKey:
      return push_string(byte, text);
    case Mode::kObjectStart:
      if (byte == '}') return end_container(true);
      [[fallthrough]];
    case Mode::kNextKey:
      return space || (byte == '"' && begin_key());
    case Mode::kColon:
      if (byte == ':') mode_ = Mode::kValue;
      return space || byte == ':';
    case Mode::kAfterValue:
      if (space) return true;
      if (byte == ',') return next_member();
      if (byte == '}' || byte == ']') return end_container(byte == '}');
      return false;
  }
  return false;
}

bool JsonCursor::may_take(uint8_t byte) const {
  const bool space = is_space(byte);
  switch (mode_) {
    case Mode::kFree:
    case Mode::kString:
    case Mode::kKey:
      return true;
    case Mode::kBeforeCall:
      return space || byte == static_cast<uint8_t>(frame_->open[0]);
    case Mode::kOpen:
      return byte == static_cast<uint8_t>(frame_->open[match_]);
    case Mode::kClose:
      return byte == static_cast<uint8_t>(frame_->close[match_]);
    case Mode::kFinished:
      return space;
    case Mode::kDone:
      return space || (frame_->calls && byte == static_cast<uint8_t>(frame_->close[0]));
    case Mode::kArrayStart:
    case Mode::kValue:
      return space || (byte >= '0' && byte <= '9') || byte == '"' || byte == '{' || byte == '[' ||
             byte == '-' || byte == 't' || byte == 'f' || byte == 'n' ||
             (byte == ']' && mode_ == Mode::kArrayStart);
    case Mode::kLiteral:
      return byte == static_cast<uint8_t>(literal_text(literal_)[match_]);
    case Mode::kNumber:
      return space || (byte >= '0' && byte <= '9') || byte == ',' || byte == '}' || byte == ']' ||
             byte == '.' || byte == 'e' || byte == 'E' || byte == '-' || byte == '+' ||
             (!top_ && frame_->calls);
    case Mode::kObjectStart:
      return space || byte == '"' || byte == '}';
    case Mode::kNextKey:
      return space || byte == '"';
    case Mode::kColon:
      return space || byte == ':';
    case Mode::kAfterValue:
      return space || byte == ',' || byte == '}' || byte == ']';
  }
  return false;
}

bool JsonCursor::can_end() const {
  switch (mode_) {
    case Mode::kFree:
    case Mode::kFinished:
      return true;
    case Mode::kBeforeCall:
      return num_calls_ > 0;
    case Mode::kDone:
      return !frame_->calls;
    case Mode::kNumber:
      return !top_ && !frame_->calls && number_.complete() &&
             std::any_of(scalars_.begin(), scalars_.end(), [&](const Scalar& scalar) {
               return grammar_->number(scalar.rule).accepts(number_);
             });
    default:
      return false;
  }
}

// ---- marks around calls

void JsonCursor::begin_json() {
  mode_ = Mode::kValue;
  match_ = 0;
}

bool JsonCursor::push_frame(uint8_t byte) {
  const auto step = [&](const std::string& mark, Mode inside) {
    if (byte != static_cast<uint8_t>(mark[match_])) return false;
    mode_ = inside;
    return ++match_, true;
  };
  switch (mode_) {
    case Mode::kFree:
      match_ = matched(frame_->open, match_, byte);
      if (match_ == frame_->open.size()) begin_json();
      return true;
    case Mode::kBeforeCall:
      if (is_space(byte)) return true;
      match_ = 0;
      [[fallthrough]];
    case Mode::kOpen:
      if (!step(frame_->open, Mode::kOpen)) return false;
      if (match_ == frame_->open.size()) begin_json();
      return true;
    case Mode::kDone:
      match_ = 0;
      [[fallthrough]];
    case Mode::kClose:
      if (!step(frame_->close, Mode::kClose)) return false;
      if (match_ == frame_->close.size()) {
        num_calls_ = 1;
        match_ = 0;
        mode_ = !frame_->parallel  ? Mode::kFinished
                : frame_->required ? Mode::kBeforeCall
                                   : Mode::kFree;
      }
      return true;
    case Mode::kFinished:
      return is_space(byte);
    default:
      return false;
  }
}

// ---- values

bool JsonCursor::begin_value(uint8_t byte) {
  switch (byte) {
    case '"':
      return begin_string();
    case '{':
      return begin_container(true);
    case '[':
      return begin_container(false);
    case 'n':
    case 't':
    case 'f': {
      for (NodeId id : wanted()) {
        const NodeTable& node = grammar_->node(id);
        if (byte == 'n' ? node.null_value : byte == 't' ? node.true_value : node.false_value) {
          literal_ = byte;
          match_ = 1;
          mode_ = Mode::kLiteral;
          return true;
        }
      }
      return false;
    }
    default:
      return (byte == '-' || (byte >= '0' && byte <= '9')) && begin_number(byte);
  }
}

bool JsonCursor::begin_number(uint8_t byte) {
  number_ = NumberText();
  if (!number_.push(static_cast<char>(byte))) return false;
  scalars_.clear();
  for (NodeId id : wanted()) {
    for (uint32_t rule : grammar_->node(id).numbers) {
      if (grammar_->number(rule).possible(number_)) scalars_.push_back({id, rule, 0, 0});
    }
  }
  mode_ = Mode::kNumber;
  return !scalars_.empty();
}

bool JsonCursor::end_number() {
  Nodes accepted;
  for (const Scalar& scalar : scalars_) {
    if (grammar_->number(scalar.rule).accepts(number_)) accepted.push_back(scalar.node);
  }
  return end_value(accepted);
}

bool JsonCursor::begin_container(bool object) {
  const uint32_t depth = top_ ? top_->depth + 1 : 1;
  Level* level = new Level;
  level->object = object;
  level->depth = depth;
  for (NodeId id : wanted()) {
    const NodeTable& node = grammar_->node(id);
    for (uint32_t i : object ? node.objects : node.arrays) {
      const uint32_t needs = object ? grammar_->object(i).depth : grammar_->array(i).depth;
      if (needs == Grammar::kNoDepth || depth - 1 + needs > kMaxJsonDepth) continue;
      Level::Rule rule{id, i, kNone, 0};
      if (object) {
        const ObjectTable& table = grammar_->object(i);
        rule.missing = table.num_required;
        level->words_per_rule =
            std::max(level->words_per_rule, static_cast<uint32_t>((table.names.size() + 63) / 64));
      } else {
        const ArrayTable& table = grammar_->array(i);
        if (table.max > 0 && fits(table.item(0), depth)) rule.child = table.item(0);
      }
      level->rules.push_back(rule);
    }
  }
  if (level->rules.empty()) {
    delete level;
    return false;
  }
  level->seen.resize(level->rules.size() * level->words_per_rule);
  level->below = share(top_.get());
  top_ = LevelRef(level);
  mode_ = object ? Mode::kObjectStart : Mode::kArrayStart;
  return true;
}

// A value has ended that satisfies these nodes.
bool JsonCursor::end_value(const Nodes& accepted) {
  if (accepted.empty()) return false;
  if (!top_) {
    mode_ = Mode::kDone;
    return true;
  }
  mode_ = Mode::kAfterValue;
  const auto is_accepted = [&](const Level::Rule& rule) {
    return std::find(accepted.begin(), accepted.end(), rule.child) != accepted.end();
  };
  if (top_->object && std::all_of(top_->rules.begin(), top_->rules.end(), is_accepted)) return true;
  Level* level = copy_of(*top_.get());
  size_t kept = 0;
  const size_t words = level->words_per_rule;
  for (size_t i = 0; i < level->rules.size(); ++i) {
    if (!is_accepted(level->rules[i])) continue;
    level->rules[kept] = level->rules[i];
    std::copy_n(level->seen.begin() + static_cast<ptrdiff_t>(i * words), words,
                level->seen.begin() + static_cast<ptrdiff_t>(kept * words));
    ++kept;
  }
  level->rules.resize(kept);
  level->seen.resize(kept * words);
  if (!level->object) {
    ++level->count;
    for (Level::Rule& rule : level->rules) {
      const ArrayTable& table = grammar_->array(rule.rule);
      rule.child = kNone;
      if (level->count < table.max && fits(table.item(level->count), level->depth)) {
        rule.child = table.item(level->count);
      }
    }
  }
  top_ = LevelRef(level);
  return true;
}

bool JsonCursor::next_member() {
  if (!top_->object) {
    for (const Level::Rule& rule : top_->rules) {
      if (rule.child != kNone) {
        mode_ = Mode::kValue;
        return true;
      }
    }
    return false;
  }
  for (uint32_t i = 0; i < top_->rules.size(); ++i) {
    if (any_key_possible(i)) {
      mode_ = Mode::kNextKey;
      return true;
    }
  }
  return false;
}

bool JsonCursor::end_container(bool object) {
  if (top_->object != object) return false;
  Nodes accepted;
  for (const Level::Rule& rule : top_->rules) {
    const bool complete = object
                              ? rule.missing == 0 && top_->count >= grammar_->object(rule.rule).min
                              : top_->count >= grammar_->array(rule.rule).min;
    if (complete) accepted.push_back(rule.node);
  }
  if (accepted.empty()) return false;
  top_ = LevelRef(share(top_->below));
  return end_value(accepted);
}

}  // namespace axk1
