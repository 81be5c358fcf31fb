// Where a text stands in a grammar, byte by byte: the automaton behind every constraint.
//
// JSON itself is deterministic, so there is one stack of open containers. What a schema asks is
// not: each open container carries all rules that its beginning still satisfies (frames), and a
// value that ends drops the frames of its container that did not want it. Every byte that is taken
// leaves a state from which some accepted text can be reached.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "grammar/decimal.h"
#include "grammar/grammar.h"
#include "grammar/string_lexer.h"

namespace axk1 {

// What surrounds the value. Texts must outlive the cursors.
struct Frame {
  bool calls = false;     // values stand between `open` and `close`, else alone
  bool required = false;  // no free text, and one value at least
  bool parallel = true;   // more values may follow
  std::string open, close;
};

// Bytes of the string or key that is being read, decoded. Owned beside the cursor: of two cursors
// of which one continues the other, the longer's text begins with the other's.
using TextBuffer = std::string;

class JsonCursor {
 public:
  enum class Mode : uint8_t {
    kFree,        // text, until `open`
    kBeforeCall,  // white space, then `open`
    kOpen,        // inside `open`
    kValue,
    kArrayStart,  // a value or ]
    kLiteral,
    kNumber,
    kString,
    kObjectStart,  // a key or }
    kNextKey,
    kKey,
    kColon,
    kAfterValue,  // in a container
    kDone,        // behind the outermost value
    kClose,       // inside `close`
    kFinished,    // behind the last call: white space
  };

  // Both must outlive the cursor.
  JsonCursor(const Grammar& grammar, const Frame& frame);

  // For cursors that other threads will use: shares nothing with others any more.
  void unshare();

  // False when the byte cannot come here; the cursor is then of no use.
  bool push(uint8_t byte, TextBuffer& text);
  // Shortens the buffer to what is still needed. No cursor that this one continues may be used
  // afterwards.
  void forget_text(TextBuffer& text);
  // A quick look: false only when push would be false.
  bool may_take(uint8_t byte) const;
  // Whether the answer may end here.
  bool can_end() const;

  Mode mode() const { return mode_; }
  // In a string or key, between characters and outside an escape.
  bool in_plain_string() const {
    return (mode_ == Mode::kString || mode_ == Mode::kKey) && lexer_.plain();
  }

  // A rule that what was read of the string, key or number still satisfies.
  struct Scalar {
    NodeId node = 0;  // that wants the value; of keys: the place in the container's rules
    uint32_t rule = 0;
    uint32_t state = 0;   // of the automaton; kFree when every text is accepted from here on
    uint32_t state2 = 0;  // of keys: of `others`; state is the node of names
    bool operator==(const Scalar&) const = default;
  };
  static constexpr uint32_t kFree = UINT32_MAX - 1;
  static constexpr uint32_t kNone = UINT32_MAX;
  using Scalars = boost::container::small_vector<Scalar, 3>;
  const Scalars& scalars() const { return scalars_; }
  uint32_t length() const { return length_; }
  // In a key: whether every key that begins so, and was not there yet, may still be written.
  bool any_key() const;
  // In a key: whether it may become one of the names of a rule.
  bool name_begun() const;
  // In a key: whether one may still be written that begins with these characters, by the rule of
  // `scalar`, whose states are those behind them.
  bool key_possible(const Scalar& scalar, std::string_view beginning) const;
  std::string_view key_text(const TextBuffer& text) const;
  bool room_for_optional(uint32_t frame) const;
  // In a value string: whether all texts without a closing quote leave the cursor as it is.
  bool string_is_free() const;
  // Whether both are the same plain place in the same free string.
  bool same_free_string(const JsonCursor& other) const;

  uint32_t frame_match() const { return match_; }  // bytes of `open` that the free text ends with

 private:
  struct Key;
  struct Level;
  using Nodes = boost::container::small_vector<NodeId, 4>;
  // Counts who holds a level. Not atomic: see unshare.
  class LevelRef {
   public:
    LevelRef() = default;
    explicit LevelRef(Level* level) : level_(level) {}  // takes the caller's share
    LevelRef(const LevelRef& other);
    LevelRef& operator=(const LevelRef& other);
    ~LevelRef();
    Level* operator->() const { return level_; }
    Level* get() const { return level_; }
    explicit operator bool() const { return level_ != nullptr; }

   private:
    Level* level_ = nullptr;
  };

  static Level* share(Level* level);
  static void release(Level* level);
  static Key* share(Key* key);
  static void release(Key* key);
  static Level* copy_of(const Level& level);

  Nodes wanted() const;
  bool fits(NodeId node, uint32_t level) const {
    const uint32_t depth = grammar_->node(node).depth;
    return depth != Grammar::kNoDepth && depth + level <= kMaxJsonDepth;
  }
  bool begin_value(uint8_t byte);
  bool begin_string();
  bool begin_number(uint8_t byte);
  bool begin_container(bool object);
  bool end_value(const Nodes& accepted);
  bool end_number();
  bool end_string();
  bool end_container(bool object);
  bool next_member();
  bool begin_key();
  bool end_key(const TextBuffer& text);
  bool push_string(uint8_t byte, TextBuffer& text);
  bool advance(uint32_t code_point, TextBuffer& text);
  bool prune(const TextBuffer& text);
  uint32_t next_string_state(const StringTable& rule, uint32_t state, uint32_t code_point) const;
  static bool string_possible(const StringTable& rule, uint32_t state, uint32_t length);
  bool string_leads_on(const Scalar& scalar, uint32_t lo, uint32_t hi) const;
  bool key_leads_on(const Scalar& scalar, uint32_t lo, uint32_t hi, const TextBuffer& text) const;
  bool name_possible(uint32_t frame, uint32_t name) const;
  static uint32_t next_other(const ObjectTable& table, uint32_t state, uint32_t code_point);
  bool other_key_possible(uint32_t frame, uint32_t state, std::string_view beginning) const;
  bool any_key_possible(uint32_t frame) const;
  Scalar key_start(uint32_t frame) const;
  bool was_there(std::string_view key) const;
  bool push_frame(uint8_t byte);
  void begin_json();

  const Grammar* grammar_;
  const Frame* frame_;
  LevelRef top_;
  Mode mode_;
  StringLexer lexer_;
  uint8_t literal_ = 0;                     // n, t or f
  uint32_t match_ = 0;                      // bytes of a literal, `open` or `close`
  uint32_t num_calls_ = 0;                  // values that ended (0 or 1)
  uint32_t length_ = 0;                     // code points of the string
  uint32_t text_begin_ = 0, text_end_ = 0;  // of the key, in the buffer
  NumberText number_;
  Scalars scalars_;
};

}  // namespace axk1
