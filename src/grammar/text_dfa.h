// Finite automata over code points: what a pattern, a format or a list of strings accepts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace axk1 {

inline constexpr uint32_t kMaxCodePoint = 0x10ffff;

// A deterministic automaton, trimmed: from every state some text is accepted. It accepts nothing
// when it has no states. Surrogates are never on a transition. Immutable; any thread.
class TextDfa {
 public:
  static constexpr uint32_t kDead = UINT32_MAX;
  static constexpr size_t kMaxStates = 20000;

  struct Range {
    uint32_t lo, hi;  // code points, both included
    uint32_t to;      // state
    bool operator==(const Range&) const = default;
  };
  struct State {
    std::vector<Range> ranges;  // ascending, disjoint
    bool accepts = false;
    bool operator==(const State&) const = default;
  };

  // Trims and minimises. State 0 is the start. Throws Error(kInvalidInput) above kMaxStates.
  explicit TextDfa(std::vector<State> states);

  // Exactly these texts, which must be valid UTF-8.
  static TextDfa of_texts(const std::vector<std::string>& texts);

  bool empty() const { return states_.empty(); }
  size_t num_states() const { return states_.size(); }
  const std::vector<State>& states() const { return states_; }

  uint32_t next(uint32_t state, uint32_t code_point) const {  // kDead when there is none
    for (const Range& range : states_[state].ranges) {
      if (code_point < range.lo) return kDead;
      if (code_point <= range.hi) return range.to;
    }
    return kDead;
  }
  // Whether some code point from lo to hi leads on.
  bool leads_on(uint32_t state, uint32_t lo, uint32_t hi) const;
  bool accepts(uint32_t state) const { return states_[state].accepts; }
  bool accepts_all(uint32_t state) const { return states_[state].accepts && is_full_loop(state); }
  bool accepts_text(std::string_view valid_utf8) const;

  // How many texts are accepted from the state, at most kMany.
  static constexpr uint32_t kMany = 1'000'000;
  uint32_t num_texts(uint32_t state) const { return num_texts_[state]; }
  bool is_infinite(uint32_t state) const { return infinite_[state]; }
  // Whether every text on the way leaves kMany to go on with.
  bool always_many(uint32_t state) const { return always_many_[state]; }
  // Up to `most` texts (UTF-8) that are accepted from the state; for those with few.
  std::vector<std::string> texts_from(uint32_t state, size_t most) const;

 private:
  bool is_full_loop(uint32_t state) const;
  void count_texts();

  std::vector<State> states_;
  std::vector<uint32_t> num_texts_;
  std::vector<bool> infinite_, always_many_;
};

TextDfa intersect(const TextDfa& a, const TextDfa& b);
TextDfa complement(const TextDfa& a);

// Several automata run side by side, each going on even when it can accept nothing any more.
// `accepts_by_state[s][i]`: whether automaton i accepts in state s. State 0 is the start. Every
// code point leads on from every state.
struct SideBySide {
  std::vector<TextDfa::State> states;
  std::vector<std::vector<bool>> accepts_by_state;
};
SideBySide side_by_side(const std::vector<const TextDfa*>& automata);

// Which lengths, in code points, of accepted texts are still possible from each state: of those up
// to `max`.
class LengthTable {
 public:
  // Throws Error(kInvalidInput) when the table would be too large.
  LengthTable(const TextDfa& dfa, uint32_t max);
  // Whether a text of min to max code points (max at most the table's) is accepted from the state.
  bool possible(uint32_t state, uint32_t min, uint32_t max) const;

 private:
  uint32_t stride_;
  std::vector<uint32_t> count_;  // [state][length]: accepted lengths below `length`
};

// The longest text accepted from each state, for automata without loops; UINT32_MAX with one.
std::vector<uint32_t> longest_lengths(const TextDfa& dfa);

// Of the shortest texts accepted from each state, the longest.
uint32_t longest_of_shortest(const TextDfa& dfa);

}  // namespace axk1
