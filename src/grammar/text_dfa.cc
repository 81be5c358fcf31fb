#include "grammar/text_dfa.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

using State = TextDfa::State;
using Range = TextDfa::Range;

constexpr uint32_t kFirstSurrogate = 0xd800, kLastSurrogate = 0xdfff;

void check_states(size_t count) {
  if (count > TextDfa::kMaxStates) {
    fail(ErrorCode::kInvalidInput, "schema: a pattern or a list of strings needs more than ",
         TextDfa::kMaxStates, " automaton states");
  }
}

// Appends, joining neighbours that lead to the same state.
void append_range(std::vector<Range>& ranges, Range range) {
  if (!ranges.empty() && ranges.back().to == range.to && ranges.back().hi + 1 == range.lo) {
    ranges.back().hi = range.hi;
  } else {
    ranges.push_back(range);
  }
}

std::vector<Range> without_surrogates(const std::vector<Range>& ranges) {
  std::vector<Range> out;
  for (const Range& range : ranges) {
    if (range.lo < kFirstSurrogate) {
      append_range(out, {range.lo, std::min(range.hi, kFirstSurrogate - 1), range.to});
    }
    if (range.hi > kLastSurrogate) {
      append_range(out, {std::max(range.lo, kLastSurrogate + 1), range.hi, range.to});
    }
  }
  return out;
}

// Leaves the states from which a text is accepted and that the start reaches.
std::vector<State> trimmed(std::vector<State> states) {
  std::vector<std::vector<uint32_t>> sources(states.size());
  for (uint32_t s = 0; s < states.size(); ++s) {
    states[s].ranges = without_surrogates(states[s].ranges);
    for (const Range& range : states[s].ranges) sources[range.to].push_back(s);
  }
  std::vector<bool> useful(states.size());
  std::vector<uint32_t> work;
  for (uint32_t s = 0; s < states.size(); ++s) {
    if (states[s].accepts) {
      useful[s] = true;
      work.push_back(s);
    }
  }
  while (!work.empty()) {
    const uint32_t s = work.back();
    work.pop_back();
    for (uint32_t from : sources[s]) {
      if (!useful[from]) {
        useful[from] = true;
        work.push_back(from);
      }
    }
  }
  if (states.empty() || !useful[0]) return {};
  std::vector<uint32_t> new_id(states.size(), TextDfa::kDead);
  std::vector<uint32_t> order{0};
  new_id[0] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    for (const Range& range : states[order[i]].ranges) {
      if (useful[range.to] && new_id[range.to] == TextDfa::kDead) {
        new_id[range.to] = static_cast<uint32_t>(order.size());
        order.push_back(range.to);
      }
    }
  }
  std::vector<State> out(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const State& old = states[order[i]];
    out[i].accepts = old.accepts;
    for (const Range& range : old.ranges) {
      if (useful[range.to]) append_range(out[i].ranges, {range.lo, range.hi, new_id[range.to]});
    }
  }
  return out;
}

// Moore's algorithm: states that no text tells apart become one.
std::vector<State> minimised(const std::vector<State>& states) {
  if (states.empty()) return {};
  std::vector<uint32_t> block(states.size());
  for (size_t s = 0; s < states.size(); ++s) block[s] = states[s].accepts;
  using Signature = std::vector<uint32_t>;
  for (size_t num_blocks = 0;;) {
    std::map<Signature, uint32_t> blocks;
    std::vector<uint32_t> refined(states.size());
    for (size_t s = 0; s < states.size(); ++s) {
      std::vector<Range> joined;
      for (const Range& range : states[s].ranges) {
        append_range(joined, {range.lo, range.hi, block[range.to]});
      }
      Signature signature{block[s]};
      for (const Range& range : joined) {
        signature.insert(signature.end(), {range.lo, range.hi, range.to});
      }
      refined[s] = blocks.try_emplace(std::move(signature), blocks.size()).first->second;
    }
    block = std::move(refined);
    if (blocks.size() == num_blocks) break;
    num_blocks = blocks.size();
  }
  // State 0 is looked at first, so it is in block 0.
  std::vector<State> out(1 + *std::max_element(block.begin(), block.end()));
  std::vector<bool> done(out.size());
  for (size_t s = 0; s < states.size(); ++s) {
    if (done[block[s]]) continue;
    done[block[s]] = true;
    State& state = out[block[s]];
    state.accepts = states[s].accepts;
    for (const Range& range : states[s].ranges) {
      append_range(state.ranges, {range.lo, range.hi, block[range.to]});
    }
  }
  return out;
}

}  // namespace

TextDfa::TextDfa(std::vector<State> states) {
  check_states(states.size());
  states_ = minimised(trimmed(std::move(states)));
  count_texts();
}

TextDfa TextDfa::of_texts(const std::vector<std::string>& texts) {
  std::vector<std::map<uint32_t, uint32_t>> next(1);
  std::vector<bool> accepts(1);
  for (const std::string& text : texts) {
    uint32_t state = 0;
    for (std::string_view rest = text; !rest.empty();) {
      const Utf8Char c = decode_utf8(rest);
      rest.remove_prefix(c.length);
      const auto [at, is_new] = next[state].try_emplace(c.code_point, next.size());
      state = at->second;
      if (is_new) {
        check_states(next.size());
        next.emplace_back();
        accepts.push_back(false);
      }
    }
    accepts[state] = true;
  }
  std::vector<State> states(next.size());
  for (size_t s = 0; s < next.size(); ++s) {
    states[s].accepts = accepts[s];
    for (const auto& [c, to] : next[s]) states[s].ranges.push_back({c, c, to});
  }
  return TextDfa(std::move(states));
}

bool TextDfa::leads_on(uint32_t state, uint32_t lo, uint32_t hi) const {
  for (const Range& range : states_[state].ranges) {
    if (range.lo > hi) return false;
    if (range.hi >= lo) return true;
  }
  return false;
}

bool TextDfa::is_full_loop(uint32_t state) const {
  const std::vector<Range>& r = states_[state].ranges;
  return r.size() == 2 && r[0].to == state && r[1].to == state && r[0].lo == 0 &&
         r[0].hi == kFirstSurrogate - 1 && r[1].lo == kLastSurrogate + 1 &&
         r[1].hi == kMaxCodePoint;
}

bool TextDfa::accepts_text(std::string_view text) const {
  if (empty()) return false;
  uint32_t state = 0;
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    text.remove_prefix(c.length);
    state = next(state, c.code_point);
    if (state == kDead) return false;
  }
  return accepts(state);
}

// A state has infinitely many texts when a loop can be reached from it, since every state leads to
// acceptance: when repeated removal of states that lead only to removed ones does not remove it.
void TextDfa::count_texts() {
  const size_t n = states_.size();
  infinite_.assign(n, true);
  num_texts_.assign(n, kMany);
  std::vector<std::vector<uint32_t>> sources(n);
  std::vector<size_t> targets(n);
  for (uint32_t s = 0; s < n; ++s) {
    targets[s] = states_[s].ranges.size();
    for (const Range& range : states_[s].ranges) sources[range.to].push_back(s);
  }
  std::vector<uint32_t> work;
  for (uint32_t s = 0; s < n; ++s) {
    if (targets[s] == 0) work.push_back(s);
  }
  while (!work.empty()) {
    const uint32_t s = work.back();
    work.pop_back();
    infinite_[s] = false;
    uint64_t texts = states_[s].accepts;
    for (const Range& range : states_[s].ranges) {
      texts += uint64_t{range.hi - range.lo + 1} * num_texts_[range.to];
      texts = std::min<uint64_t>(texts, kMany);
    }
    num_texts_[s] = static_cast<uint32_t>(texts);
    for (uint32_t from : sources[s]) {
      if (--targets[from] == 0) work.push_back(from);
    }
  }
  always_many_.assign(n, true);
  for (uint32_t s = 0; s < n; ++s) {
    if (num_texts_[s] >= kMany) continue;
    always_many_[s] = false;
    work.push_back(s);
  }
  while (!work.empty()) {
    const uint32_t s = work.back();
    work.pop_back();
    for (uint32_t from : sources[s]) {
      if (!always_many_[from]) continue;
      always_many_[from] = false;
      work.push_back(from);
    }
  }
}

std::vector<std::string> TextDfa::texts_from(uint32_t state, size_t most) const {
  std::vector<std::string> out;
  std::vector<std::pair<uint32_t, std::string>> level{{state, ""}};
  while (!level.empty() && out.size() < most) {
    std::vector<std::pair<uint32_t, std::string>> deeper;
    for (const auto& [s, text] : level) {
      if (accepts(s) && out.size() < most) out.push_back(text);
      for (const Range& range : states_[s].ranges) {
        for (uint32_t c = range.lo; c <= range.hi && deeper.size() <= most; ++c) {
          std::string longer = text;
          append_utf8(longer, c);
          deeper.emplace_back(range.to, std::move(longer));
        }
      }
    }
    level = std::move(deeper);
  }
  return out;
}

SideBySide side_by_side(const std::vector<const TextDfa*>& automata) {
  SideBySide out;
  std::map<std::vector<uint32_t>, uint32_t> ids;
  std::vector<std::vector<uint32_t>> order;
  const auto id_of = [&](const std::vector<uint32_t>& tuple) {
    const auto [at, is_new] = ids.try_emplace(tuple, order.size());
    if (is_new) {
      check_states(order.size());
      order.push_back(tuple);
    }
    return at->second;
  };
  std::vector<uint32_t> start;
  for (const TextDfa* a : automata) start.push_back(a->empty() ? TextDfa::kDead : 0);
  id_of(start);
  for (size_t i = 0; i < order.size(); ++i) {
    const std::vector<uint32_t> tuple = order[i];
    State state;
    std::vector<bool> accepts;
    std::vector<uint32_t> starts{0};
    for (size_t a = 0; a < automata.size(); ++a) {
      accepts.push_back(tuple[a] != TextDfa::kDead && automata[a]->accepts(tuple[a]));
      if (tuple[a] == TextDfa::kDead) continue;
      for (const Range& range : automata[a]->states()[tuple[a]].ranges) {
        starts.push_back(range.lo);
        starts.push_back(range.hi + 1);
      }
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    if (starts.back() == kMaxCodePoint + 1) starts.pop_back();
    for (size_t k = 0; k < starts.size(); ++k) {
      const uint32_t hi = k + 1 < starts.size() ? starts[k + 1] - 1 : kMaxCodePoint;
      std::vector<uint32_t> to(automata.size(), TextDfa::kDead);
      for (size_t a = 0; a < automata.size(); ++a) {
        if (tuple[a] != TextDfa::kDead) to[a] = automata[a]->next(tuple[a], starts[k]);
      }
      append_range(state.ranges, {starts[k], hi, id_of(to)});
    }
    out.states.push_back(std::move(state));
    out.accepts_by_state.push_back(std::move(accepts));
  }
  return out;
}

TextDfa intersect(const TextDfa& a, const TextDfa& b) {
  SideBySide both = side_by_side({&a, &b});
  for (size_t s = 0; s < both.states.size(); ++s) {
    both.states[s].accepts = both.accepts_by_state[s][0] && both.accepts_by_state[s][1];
  }
  return TextDfa(std::move(both.states));
}

TextDfa complement(const TextDfa& a) {
  SideBySide one = side_by_side({&a});
  for (size_t s = 0; s < one.states.size(); ++s) {
    one.states[s].accepts = !one.accepts_by_state[s][0];
  }
  return TextDfa(std::move(one.states));
}

LengthTable::LengthTable(const TextDfa& dfa, uint32_t max) : stride_(max + 2) {
  constexpr size_t kMaxEntries = 8 << 20;
  const size_t n = dfa.num_states();
  if (n * (size_t{max} + 2) > kMaxEntries) {
    fail(ErrorCode::kInvalidInput, "schema: a pattern with ", n, " automaton states and maxLength ",
         max, " together are too large");
  }
  std::vector<bool> now(n), before(n);
  count_.assign(n * stride_, 0);
  for (uint32_t length = 0; length <= max; ++length) {
    for (size_t s = 0; s < n; ++s) {
      now[s] = length == 0 && dfa.states()[s].accepts;
      if (length > 0) {
        for (const TextDfa::Range& range : dfa.states()[s].ranges) {
          if (before[range.to]) {
            now[s] = true;
            break;
          }
        }
      }
      count_[s * stride_ + length + 1] = count_[s * stride_ + length] + now[s];
    }
    std::swap(now, before);
  }
}

bool LengthTable::possible(uint32_t state, uint32_t min, uint32_t max) const {
  if (min > max) return false;
  const uint32_t* row = count_.data() + size_t{state} * stride_;
  return row[max + 1] > row[min];
}

uint32_t longest_of_shortest(const TextDfa& dfa) {
  std::vector<std::vector<uint32_t>> sources(dfa.num_states());
  std::vector<bool> done(dfa.num_states());
  std::vector<uint32_t> level;
  for (uint32_t s = 0; s < dfa.num_states(); ++s) {
    for (const TextDfa::Range& range : dfa.states()[s].ranges) sources[range.to].push_back(s);
    done[s] = dfa.accepts(s);
    if (done[s]) level.push_back(s);
  }
  uint32_t length = 0;
  for (;; ++length) {
    std::vector<uint32_t> longer;
    for (uint32_t s : level) {
      for (uint32_t from : sources[s]) {
        if (done[from]) continue;
        done[from] = true;
        longer.push_back(from);
      }
    }
    if (longer.empty()) return length;
    level = std::move(longer);
  }
}

std::vector<uint32_t> longest_lengths(const TextDfa& dfa) {
  constexpr uint32_t kUnknown = UINT32_MAX - 1;
  std::vector<uint32_t> longest(dfa.num_states(), kUnknown);
  // States without loops behind them are settled from the end; a stack of its own, since automata
  // of long strings are deep.
  for (uint32_t root = 0; root < dfa.num_states(); ++root) {
    std::vector<uint32_t> stack{root};
    while (!stack.empty()) {
      const uint32_t s = stack.back();
      if (dfa.is_infinite(s)) longest[s] = UINT32_MAX;
      if (longest[s] != kUnknown) {
        stack.pop_back();
        continue;
      }
      uint32_t best = 0;
      bool ready = true;
      for (const TextDfa::Range& range : dfa.states()[s].ranges) {
        if (longest[range.to] == kUnknown && !dfa.is_infinite(range.to)) {
          stack.push_back(range.to);
          ready = false;
        } else {
          best = std::max(best, longest[range.to] + 1);
        }
      }
      if (ready) {
        longest[s] = best;
        stack.pop_back();
      }
    }
  }
  return longest;
}

}  // namespace axk1
