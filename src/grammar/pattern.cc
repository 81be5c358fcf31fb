#include "grammar/pattern.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/json_schema.h"

namespace axk1 {
namespace {

struct Interval {
  uint32_t lo, hi;
};
using CharSet = std::vector<Interval>;

CharSet normalised(CharSet set) {
  std::sort(set.begin(), set.end(), [](Interval a, Interval b) { return a.lo < b.lo; });
  CharSet out;
  for (Interval i : set) {
    if (!out.empty() && i.lo <= out.back().hi + 1) {
      out.back().hi = std::max(out.back().hi, i.hi);
    } else {
      out.push_back(i);
    }
  }
  return out;
}

CharSet negated(const CharSet& set) {
  CharSet out;
  uint32_t from = 0;
  for (Interval i : normalised(set)) {
    if (i.lo > from) out.push_back({from, i.lo - 1});
    from = i.hi + 1;
  }
  if (from <= kMaxCodePoint) out.push_back({from, kMaxCodePoint});
  return out;
}

const CharSet kDigits{{'0', '9'}};
const CharSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
// ECMA-262 WhiteSpace and LineTerminator: the category Zs of Unicode 15 and these controls.
const CharSet kSpace{{9, 13},          {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680},
                     {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                     {0x3000, 0x3000}, {0xfeff, 0xfeff}};
const CharSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
const CharSet kAll{{0, kMaxCodePoint}};

// Thompson's construction: edges without a character, one set of characters, or an assertion.
struct Nfa {
  struct Node {
    CharSet set;  // with `to`
    int to = -1;
    int empty[2] = {-1, -1};
    enum { kNone, kStart, kEnd } assertion = kNone;  // on empty[0]
  };
  std::vector<Node> nodes;
};

struct Fragment {
  int start, end;  // end has no edges yet
};

class PatternParser {
 public:
  explicit PatternParser(std::string_view pattern) : pattern_(pattern) {
    if (!is_valid_utf8(pattern)) wrong("is not valid UTF-8");
  }

  Nfa parse() {
    const Fragment f = alternatives(0);
    if (!at_end()) wrong("a ) without its (");
    // Found anywhere: any characters before and behind.
    const int start = add(), accept = add();
    const int before = add();
    edge(start, before);
    nfa_.nodes[before].set = kAll;
    nfa_.nodes[before].to = before;
    edge(before, f.start);
    edge(f.end, accept);
    nfa_.nodes[accept].set = kAll;
    nfa_.nodes[accept].to = accept;
    start_ = start;
    accept_ = accept;
    return std::move(nfa_);
  }
  int start() const { return start_; }
  int accept() const { return accept_; }

 private:
  static constexpr size_t kMaxNodes = 60000;
  static constexpr uint32_t kMaxRepeat = 5000;
  static constexpr int kMaxDepth = 100;

  [[noreturn]] void wrong(std::string_view what) const {
    fail(ErrorCode::kInvalidInput, "pattern \"", printable(pattern_, 80), "\": ", what);
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    throw UnsupportedSchema(
        "pattern", cat("pattern \"", printable(pattern_, 80), "\": ", what, " is not supported"));
  }

  bool at_end() const { return at_ == pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[at_]; }
  bool take(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t take_char() {
    const Utf8Char c = decode_utf8(pattern_.substr(at_));
    at_ += c.length;
    return c.code_point;
  }

  int add() {
    if (nfa_.nodes.size() >= kMaxNodes) wrong("is too large");
    nfa_.nodes.emplace_back();
    return static_cast<int>(nfa_.nodes.size()) - 1;
  }
  void edge(int from, int to) {
    int* slots = nfa_.nodes[from].empty;
    (slots[0] < 0 ? slots[0] : slots[1]) = to;
  }
  Fragment of_set(CharSet set) {
    const int a = add(), b = add();
    nfa_.nodes[a].set = std::move(set);
    nfa_.nodes[a].to = b;
    return {a, b};
  }
  Fragment empty() {
    const int a = add(), b = add();
    edge(a, b);
    return {a, b};
  }

  Fragment alternatives(int depth) {
    if (depth > kMaxDepth) wrong("is nested too deeply");
    Fragment all = sequence(depth);
    while (take("|")) {
      const Fragment next = sequence(depth);
      const int start = add(), end = add();
      edge(start, all.start);
      edge(start, next.start);
      edge(all.end, end);
      edge(next.end, end);
      all = {start, end};
    }
    return all;
  }

  Fragment sequence(int depth) {
    Fragment all = empty();
    while (!at_end() && peek() != '|' && peek() != ')') {
      const Fragment next = repeated(depth);
      edge(all.end, next.start);
      all.end = next.end;
    }
    return all;
  }

  struct Count {
    uint32_t min, max;
  };
  static constexpr uint32_t kNoMax = UINT32_MAX;

  std::optional<uint32_t> number() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    uint64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(pattern_[at_++] - '0'), kNoMax);
    }
    return static_cast<uint32_t>(value);
  }

  std::optional<Count> quantifier() {
    Count count{0, kNoMax};
    if (take("*")) {
    } else if (take("+")) {
      count.min = 1;
    } else if (take("?")) {
      count.max = 1;
    } else if (peek() == '{') {
      const size_t before = at_++;
      const std::optional<uint32_t> min = number();
      bool closed = false;
      if (min) {
        count = {*min, *min};
        if (take(",")) count.max = number().value_or(kNoMax);
        closed = take("}");
      }
      if (!closed) {  // without the u flag, a brace that is no quantifier stands for itself
        at_ = before;
        return std::nullopt;
      }
      if (count.min > count.max) wrong("a quantifier's numbers are out of order");
      if (count.min > kMaxRepeat || (count.max != kNoMax && count.max > kMaxRepeat)) {
        wrong("a quantifier repeats too often");
      }
    } else {
      return std::nullopt;
    }
    take("?");  // lazy: the same texts
    return count;
  }

  Fragment repeated(int depth) {
    const size_t before = at_;
    const bool is_assertion = peek() == '^' || peek() == '$';
    Fragment first = atom(depth);
    const size_t after = at_;
    const std::optional<Count> count = quantifier();
    if (!count) return first;
    if (is_assertion) wrong("a quantifier behind ^ or $");
    const size_t end = at_;
    // The atom is parsed again for every copy.
    bool used = false;
    const auto copy = [&] {
      if (!std::exchange(used, true)) return first;
      at_ = before;
      const Fragment again = atom(depth);
      at_ = after;
      return again;
    };
    Fragment all = empty();
    const auto append = [&](Fragment f) {
      edge(all.end, f.start);
      all.end = f.end;
    };
    for (uint32_t i = 0; i < count->min; ++i) append(copy());
    if (count->max == kNoMax) {
      const Fragment body = copy();
      const int loop = add(), out = add();
      edge(loop, body.start);
      edge(loop, out);
      edge(body.end, loop);
      append({loop, out});
    } else {
      // x{0,3} is (x(x(x)?)?)?: every skip leads to the common end.
      const int out = add();
      for (uint32_t i = count->min; i < count->max; ++i) {
        const Fragment body = copy();
        const int choice = add();
        edge(choice, body.start);
        edge(choice, out);
        append({choice, body.end});
      }
      edge(all.end, out);
      all.end = out;
    }
    at_ = end;
    if (quantifier()) wrong("a quantifier behind a quantifier");
    return all;
  }

  Fragment assertion(decltype(Nfa::Node::kStart) kind) {
    const Fragment f = empty();
    nfa_.nodes[f.start].assertion = kind;
    return f;
  }

  Fragment atom(int depth) {
    if (take("^")) return assertion(Nfa::Node::kStart);
    if (take("$")) return assertion(Nfa::Node::kEnd);
    if (take(".")) return of_set(negated(kLineEnds));
    if (take("(")) {
      if (take("?")) {
        if (take(":")) {
        } else if (take("=") || take("!") || take("<=") || take("<!")) {
          unsupported("look-around");
        } else if (take("<")) {
          const size_t close = pattern_.find('>', at_);
          if (close == std::string_view::npos) wrong("a group's name without its >");
          at_ = close + 1;
        } else {
          wrong("an unknown kind of group");
        }
      }
      const Fragment inside = alternatives(depth + 1);
      if (!take(")")) wrong("a ( without its )");
      return inside;
    }
    if (take("[")) return of_set(char_class());
    if (take("\\")) return of_set(escape(false));
    if (peek() == '*' || peek() == '+' || peek() == '?') wrong("a quantifier without an atom");
    const uint32_t c = take_char();
    return of_set({{c, c}});
  }

  uint32_t hex(size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) wrong("an escape with wrong hexadecimal digits");
      value = value * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    return value;
  }

  uint32_t unicode_escape() {  // behind \u
    if (take("{")) {
      const size_t close = pattern_.find('}', at_);
      if (close == std::string_view::npos || close == at_ || close - at_ > 6) {
        wrong("a wrong \\u{...}");
      }
      const uint32_t c = hex(close - at_);
      ++at_;
      if (c > kMaxCodePoint) wrong("a \\u{...} above 10FFFF");
      return c;
    }
    const uint32_t high = hex(4);
    if (high >= 0xd800 && high < 0xdc00 && pattern_.substr(at_).starts_with("\\u")) {
      const size_t before = at_;
      at_ += 2;
      if (peek() != '{') {
        const uint32_t low = hex(4);
        if (low >= 0xdc00 && low < 0xe000) return 0x10000 + ((high - 0xd800) << 10) + low - 0xdc00;
      }
      at_ = before;
    }
    return high;
  }

  CharSet escape(bool in_class) {  // behind the backslash
    if (at_end()) wrong("ends with a backslash");
    const uint32_t c = take_char();
    const auto one = [](uint32_t code) { return CharSet{{code, code}}; };
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return negated(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return negated(kWord);
      case 's':
        return kSpace;
      case 'S':
        return negated(kSpace);
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'v':
        return one('\v');
      case 'f':
        return one('\f');
      case 'x':
        return one(hex(2));
      case 'u':
        return one(unicode_escape());
      case 'c': {
        const char letter = peek();
        if (!((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))) {
          wrong("\\c without a letter");
        }
        ++at_;
        return one(static_cast<uint32_t>(letter) & 31);
      }
      case '0':
        if (peek() >= '0' && peek() <= '9') wrong("an octal escape");
        return one(0);
      case 'b':
        if (in_class) return one('\b');
        unsupported("\\b");
      case 'B':
        unsupported("\\B");
      case 'p':
      case 'P':
        unsupported("\\p");
      case 'k':
        unsupported("a back-reference");
      default:
        break;
    }
    if (c >= '1' && c <= '9') unsupported("a back-reference");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) wrong("an unknown escape");
    return one(c);
  }

  CharSet class_atom() {
    if (take("\\")) return escape(true);
    const uint32_t c = take_char();
    return {{c, c}};
  }

  CharSet char_class() {  // behind the [
    const bool negate = take("^");
    CharSet set;
    while (!take("]")) {
      if (at_end()) wrong("a [ without its ]");
      const CharSet low = class_atom();
      const std::string_view rest = pattern_.substr(at_);
      const bool is_range = rest.size() >= 2 && rest[0] == '-' && rest[1] != ']';
      if (!is_range) {
        set.insert(set.end(), low.begin(), low.end());
        continue;
      }
      ++at_;
      const CharSet high = class_atom();
      const auto single = [](const CharSet& s) { return s.size() == 1 && s[0].lo == s[0].hi; };
      if (!single(low) || !single(high)) {
        // [\w-.]: a set cannot bound a range, so the dash stands for itself.
        set.insert(set.end(), low.begin(), low.end());
        set.insert(set.end(), high.begin(), high.end());
        set.push_back({'-', '-'});
        continue;
      }
      if (low[0].lo > high[0].lo) wrong("a class with a range out of order");
      set.push_back({low[0].lo, high[0].lo});
    }
    return negate ? negated(set) : normalised(set);
  }

  std::string_view pattern_;
  size_t at_ = 0;
  Nfa nfa_;
  int start_ = 0, accept_ = 0;
};

// Sets of nodes become states.
class SubsetConstruction {
 public:
  SubsetConstruction(const Nfa& nfa, int accept) : nfa_(nfa), accept_(accept) {}

  TextDfa run(int start) {
    id_of(closure({start}, true));
    std::vector<TextDfa::State> states;
    for (size_t i = 0; i < order_.size(); ++i) {
      const Set set = order_[i];
      TextDfa::State state;
      state.accepts = accepts(set, i == 0);
      std::vector<uint32_t> starts{0};
      for (int n : set) {
        for (Interval interval : nfa_.nodes[n].set) {
          starts.push_back(interval.lo);
          starts.push_back(interval.hi + 1);
        }
      }
      std::sort(starts.begin(), starts.end());
      starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
      for (size_t k = 0; k < starts.size() && starts[k] <= kMaxCodePoint; ++k) {
        std::vector<int> to;
        for (int n : set) {
          for (Interval interval : nfa_.nodes[n].set) {
            if (starts[k] >= interval.lo && starts[k] <= interval.hi) {
              to.push_back(nfa_.nodes[n].to);
              break;
            }
          }
        }
        if (to.empty()) continue;
        const uint32_t hi = k + 1 < starts.size() ? starts[k + 1] - 1 : kMaxCodePoint;
        state.ranges.push_back({starts[k], hi, id_of(closure(to, false))});
      }
      states.push_back(std::move(state));
      work_ += set.size() * starts.size();
      if (work_ > kMaxWork) too_large();
    }
    return TextDfa(std::move(states));
  }

 private:
  static constexpr size_t kMaxWork = 50'000'000;
  using Set = std::vector<int>;  // ascending; only nodes with a set of characters, or that matter

  [[noreturn]] static void too_large() {
    fail(ErrorCode::kInvalidInput, "pattern: its automaton is too large");
  }

  uint32_t id_of(const Set& set) {
    const auto [at, is_new] = ids_.try_emplace(set, order_.size());
    if (is_new) {
      if (order_.size() >= TextDfa::kMaxStates) too_large();
      order_.push_back(set);
    }
    return at->second;
  }

  // What empty edges reach; ^ passes only at the start.
  Set closure(const std::vector<int>& from, bool at_start, bool at_end = false) {
    marks_.resize(nfa_.nodes.size(), 0);
    ++mark_;
    Set out, work;
    const auto visit = [&](int n) {
      if (n < 0 || marks_[n] == mark_) return;
      marks_[n] = mark_;
      work.push_back(n);
    };
    for (int n : from) visit(n);
    while (!work.empty()) {
      const int n = work.back();
      work.pop_back();
      out.push_back(n);
      const Nfa::Node& node = nfa_.nodes[n];
      if (node.assertion == Nfa::Node::kStart && !at_start) continue;
      if (node.assertion == Nfa::Node::kEnd && !at_end) continue;
      visit(node.empty[0]);
      visit(node.empty[1]);
    }
    work_ += out.size();
    if (work_ > kMaxWork) too_large();
    // Nodes passed through on empty edges alone tell states apart for nothing.
    std::erase_if(out, [&](int n) {
      const Nfa::Node& node = nfa_.nodes[n];
      return node.to < 0 && node.assertion == Nfa::Node::kNone && n != accept_;
    });
    std::sort(out.begin(), out.end());
    return out;
  }

  bool accepts(const Set& set, bool at_start) {
    const Set reached = closure(set, at_start, true);
    return std::binary_search(reached.begin(), reached.end(), accept_);
  }

  const Nfa& nfa_;
  int accept_;
  std::map<Set, uint32_t> ids_;
  std::vector<Set> order_;
  std::vector<uint32_t> marks_;
  uint32_t mark_ = 0;
  size_t work_ = 0;
};

}  // namespace

TextDfa compile_pattern(std::string_view pattern) {
  PatternParser parser(pattern);
  const Nfa nfa = parser.parse();
  return SubsetConstruction(nfa, parser.accept()).run(parser.start());
}

}  // namespace axk1
