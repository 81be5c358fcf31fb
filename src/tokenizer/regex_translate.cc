#include "tokenizer/regex_translate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/regex_property.h"

namespace axk1 {
namespace {

constexpr int kMaxDepth = 60;  // of groups and sets in each other
constexpr uint32_t kNoLimit = 0xffffffff;
constexpr uint32_t kMaxRepeat = 65535;  // PCRE2's own limit
// A counted repeat up to this is a constant factor of the cost; above, it counts as open.
constexpr uint32_t kSmallRepeat = 64;

// What a node costs and whether it can fail to match.
struct Node {
  std::string text;         // PCRE2 source
  bool can_fail = true;     // false: matches at every place, if only the empty text
  bool atom = false;        // a quantifier may follow the text directly
  bool one_char = false;    // matches exactly one character
  bool looped = false;      // holds a repeat of more than one round
  bool branches = false;    // holds alternatives
  int open_repeats = 0;     // repeats without a small limit, whatever follows them
  int failing_repeats = 0;  // those of them that something which can fail follows
  bool nested = false;      // a repeated group with a repeat or alternatives inside
};

std::string hex_escape(char32_t c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[c & 15]);
    c >>= 4;
  } while (c);
  return "\\x{" + digits + "}";
}

bool is_ascii_alnum(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

std::string literal(char32_t c) {
  return is_ascii_alnum(c) ? std::string(1, static_cast<char>(c)) : hex_escape(c);
}

class Translator {
 public:
  Translator(std::string_view pattern, RegexDialect dialect)
      : pattern_(pattern), oniguruma_(dialect == RegexDialect::kOniguruma) {}

  TranslatedRegex run() {
    if (!is_valid_utf8(pattern_)) wrong("is not valid UTF-8");
    const Node node = alternatives(0);
    if (at_ < pattern_.size()) wrong("has a closing parenthesis too many");
    TranslatedRegex result{node.text, RegexCost::kUnbounded};
    if (!node.nested && node.failing_repeats == 0) result.cost = RegexCost::kConstant;
    if (!node.nested && node.failing_repeats == 1) result.cost = RegexCost::kLinear;
    return result;
  }

 private:
  // One set of characters: the inside of [...], and complete one-character expressions for what
  // cannot be written there.
  struct Set {
    std::string inside;
    std::vector<std::string> others;
  };

  template <class... Parts>
  [[noreturn]] void wrong(const Parts&... parts) const {
    fail(ErrorCode::kInvalidInput, "pattern \"", printable(pattern_), "\", byte ", at_, ": ",
         parts...);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::kUnsupported, "pattern \"", printable(pattern_), "\", byte ", at_, ": ", what,
         " is not supported");
  }

  bool more() const { return at_ < pattern_.size(); }
  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool accept(std::string_view text) {
    if (!looking_at(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t next_char() {
    if (!more()) wrong("ends too early");
    const Utf8Char c = decode_utf8(pattern_.substr(at_));
    at_ += c.length;
    return c.code_point;
  }
  std::string word_set() const {
    return oniguruma_ ? "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
                      : "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";
  }

  // Outside of sets Oniguruma looks Latin-1 up in a table of its own, where superscript digits and
  // fractions are word characters (6.9.8, unicode.c, EncUNICODE_ISO_8859_1_CtypeTable).
  std::string bare_word_set() const {
    return word_set() + (oniguruma_ ? "\\xb2\\xb3\\xb9\\xbc-\\xbe" : "");
  }

  static Node one_char_node(std::string text) {
    Node node;
    node.text = std::move(text);
    node.atom = node.one_char = true;
    return node;
  }

  Node alternatives(int depth) {
    if (depth > kMaxDepth) wrong("has groups nested deeper than ", kMaxDepth);
    group_start_ = at_;
    Node result = sequence(depth);
    while (accept("|")) {
      const Node next = sequence(depth);
      result.text += "|" + next.text;
      result.can_fail &= next.can_fail;
      result.atom = result.one_char = false;
      result.branches = true;
      result.looped |= next.looped;
      result.nested |= next.nested;
      result.open_repeats = std::max(result.open_repeats, next.open_repeats);
      result.failing_repeats = std::max(result.failing_repeats, next.failing_repeats);
    }
    return result;
  }

  Node sequence(int depth) {
    std::vector<Node> items;
    while (more() && !looking_at("|") && !looking_at(")")) {
      items.push_back(quantified(depth));
    }
    Node result;
    result.can_fail = false;
    for (size_t i = items.size(); i-- > 0;) {
      const Node& item = items[i];
      // Whatever can fail behind a repeat makes it give back its characters one by one.
      result.failing_repeats += result.can_fail ? item.open_repeats : item.failing_repeats;
      result.open_repeats += item.open_repeats;
      result.can_fail |= item.can_fail;
      result.looped |= item.looped;
      result.branches |= item.branches;
      result.nested |= item.nested;
    }
    for (const Node& item : items) result.text += item.text;
    if (items.size() == 1) {
      result.atom = items[0].atom;
      result.one_char = items[0].one_char;
    }
    return result;
  }

  Node quantified(int depth) {
    Node node = atom(depth);
    while (more()) {
      uint32_t min = 0, max = kNoLimit;
      bool counted = false;
      if (accept("*")) {
      } else if (accept("+")) {
        min = 1;
      } else if (accept("?")) {
        max = 1;
      } else if (!interval(min, max)) {
        break;
      } else {
        counted = true;
      }
      std::string mode;
      if (counted && oniguruma_) {
        if (looking_at("?") && min != max) mode = accept("?") ? "?" : "";
      } else if (accept("?")) {
        mode = "?";
      } else if (accept("+")) {
        mode = "+";
      }
      repeat(node, min, max, mode);
    }
    return node;
  }

  // {n}, {n,}, {n,m} or (Oniguruma) {,m}; false and nothing consumed when it is a plain brace.
  bool interval(uint32_t& min, uint32_t& max) {
    const size_t start = at_;
    if (!accept("{")) return false;
    const auto low = number();
    const bool comma = accept(",");
    const auto high = comma ? number() : low;
    if (!accept("}") || (!low && !(oniguruma_ && comma && high))) {
      if (!oniguruma_) wrong("has a \"{\" that begins no count");
      at_ = start;
      return false;
    }
    min = low.value_or(0);
    max = high.value_or(kNoLimit);
    if (min > max) wrong("has a count with its limits in the wrong order");
    return true;
  }

  std::optional<uint32_t> number() {
    std::optional<uint32_t> value;
    while (more() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
      value = value.value_or(0) * 10 + static_cast<uint32_t>(pattern_[at_++] - '0');
      if (*value > kMaxRepeat) wrong("has a count above ", kMaxRepeat);
    }
    return value;
  }

  void repeat(Node& node, uint32_t min, uint32_t max, const std::string& mode) const {
    if (!node.atom) node.text = "(?:" + node.text + ")";
    if (min == 0 && max == kNoLimit) {
      node.text += "*";
    } else if (min == 1 && max == kNoLimit) {
      node.text += "+";
    } else if (min == 0 && max == 1) {
      node.text += "?";
    } else {
      node.text += cat("{", min, ",", max == kNoLimit ? "" : cat(max), "}");
    }
    node.text += mode;
    node.atom = false;
    if (max > 1) {
      if (!node.one_char) node.nested |= node.looped || node.branches || max > kSmallRepeat;
      node.looped = true;
      if (max > kSmallRepeat) node.open_repeats += 1;
    }
    node.one_char = false;
    if (min == 0) node.can_fail = false;
  }

  Node atom(int depth) {
    if (accept("(")) return group(depth);
    if (accept("[")) return one_char_node(set(depth));
    if (accept("\\")) return escape();
    if (accept(".")) return one_char_node(dot_all_ ? "\\p{Any}" : "[^\\n]");
    if (accept("^")) return anchor(oniguruma_ ? "(?:\\A|(?<=\\n)(?!\\z))" : "\\A");
    if (accept("$")) return anchor(oniguruma_ ? "(?=\\n|\\z)" : "\\z");
    if (looking_at("*") || looking_at("+") || looking_at("?")) wrong("repeats nothing");
    return one_char_node(literal(next_char()));
  }

  static Node anchor(std::string text) {
    Node node;
    node.text = std::move(text);
    return node;
  }

  Node group(int depth) {
    const size_t start = at_ - 1;
    const bool outer_dot_all = dot_all_;
    std::string opening = "(?:";
    bool look = false;
    if (accept("?")) {
      if (accept("#")) {
        while (next_char() != ')') {
        }
        Node comment;
        comment.can_fail = false;
        return comment;
      }
      if (accept("=")) {
        opening = "(?=";
        look = true;
      } else if (accept("!")) {
        opening = "(?!";
        look = true;
      } else if (accept("<=")) {
        opening = "(?<=";
        look = true;
      } else if (accept("<!")) {
        opening = "(?<!";
        look = true;
      } else if (accept(">")) {
        opening = "(?>";
      } else if (accept("<") || accept("P<")) {
        while (next_char() != '>') {
        }
      } else if (!accept(":")) {
        return options(depth, outer_dot_all, start);
      }
    } else if (looking_at("*")) {
      refuse("a verb (*...)");
    }
    Node inner = alternatives(depth + 1);
    if (!accept(")")) wrong("misses a closing parenthesis");
    dot_all_ = outer_dot_all;
    inner.text = opening + inner.text + ")";
    inner.atom = true;
    if (look) {
      // What is inside is tried and given up within the attempt.
      inner.failing_repeats = inner.open_repeats;
      inner.can_fail = true;
      inner.one_char = false;
    }
    return inner;
  }

  // (?i-m:...) and (?i): the latter holds up to the end of the group it stands in.
  // Where it does not begin that group, the engines disagree on the alternatives that follow.
  Node options(int depth, bool outer_dot_all, size_t start) {
    std::string on, off;
    bool minus = false;
    while (!looking_at(":") && !looking_at(")")) {
      const char32_t c = next_char();
      std::string& letters = minus ? off : on;
      if (c == '-' && !minus) {
        minus = true;
      } else if (c == 'i') {
        letters += "i";
      } else if (c == (oniguruma_ ? U'm' : U's')) {
        dot_all_ = !minus;
      } else if (c == 'u' && !oniguruma_ && !minus) {
        continue;  // Unicode is on anyway
      } else {
        refuse("this group or option");
      }
    }
    std::string opening = "(?" + on + (off.empty() ? "" : "-" + off) + ":";
    const bool to_end_of_group = accept(")");
    if (to_end_of_group && !oniguruma_ && start != group_start_) {
      refuse("an option in the middle of a group");
    }
    if (!to_end_of_group) accept(":");
    Node inner = alternatives(depth + 1);
    if (!to_end_of_group) {
      if (!accept(")")) wrong("misses a closing parenthesis");
      dot_all_ = outer_dot_all;
    }
    inner.text = opening + inner.text + ")";
    inner.atom = true;
    return inner;
  }

  Node escape() {
    const size_t start = at_;
    const char32_t c = next_char();
    switch (c) {
      case 'A':
        return anchor("\\A");
      case 'z':
        return anchor("\\z");
      case 'Z':
        if (oniguruma_) return anchor("\\Z");
        break;
      case 'b':
      case 'B': {
        const std::string w = "[" + bare_word_set() + "]";
        const std::string edge = cat("(?:(?<=", w, ")(?!", w, ")|(?<!", w, ")(?=", w, "))");
        return anchor(c == 'b' ? edge : "(?!" + edge + ")");
      }
      case 'w':
        return one_char_node("[" + bare_word_set() + "]");
      case 'W':
        return one_char_node("[^" + bare_word_set() + "]");
      default:
        break;
    }
    if (c >= '1' && c <= '9') refuse("a back-reference");
    at_ = start;
    Set one;
    if (const auto code_point = class_escape(one)) return one_char_node(literal(*code_point));
    return one_char_node(finish(one, false));
  }

  // Behind a backslash, inside a set or outside: the character meant; or nothing, and the class of
  // characters meant added to `set`.
  std::optional<char32_t> class_escape(Set& into) {
    const char32_t c = next_char();
    switch (c) {
      case 's':
        into.inside += "\\p{White_Space}";
        return std::nullopt;
      case 'S':
        into.inside += "\\P{White_Space}";
        return std::nullopt;
      case 'd':
        into.inside += "\\p{Nd}";
        return std::nullopt;
      case 'D':
        into.inside += "\\P{Nd}";
        return std::nullopt;
      case 'w':
        into.inside += word_set();
        return std::nullopt;
      case 'W':
        into.others.push_back("[^" + word_set() + "]");
        return std::nullopt;
      case 'h':
        if (!oniguruma_) break;
        into.inside += "0-9A-Fa-f";
        return std::nullopt;
      case 'H':
        if (!oniguruma_) break;
        into.others.push_back("[^0-9A-Fa-f]");
        return std::nullopt;
      case 'p':
      case 'P':
        property(into, c == 'P');
        return std::nullopt;
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'f':
        return U'\f';
      case 'v':
        return U'\v';
      case 'a':
        return U'\a';
      case 'e':
        if (!oniguruma_) break;
        return char32_t{0x1b};
      case 'b':
        if (!oniguruma_) break;
        return U'\b';
      case 'x':
        return hex_digits(2, true);
      case 'u':
        return hex_digits(4, !oniguruma_);
      case '0':
        return U'\0';
      default:
        break;
    }
    if (is_ascii_alnum(c)) refuse(cat("\\", static_cast<char>(c)));
    return c;
  }

  char32_t hex_digits(int count, bool braces) {
    const bool braced = braces && accept("{");
    uint32_t value = 0;
    int digits = 0;
    while (more() && (braced ? digits < 8 : digits < count)) {
      const char d = pattern_[at_];
      const int digit = d >= '0' && d <= '9'   ? d - '0'
                        : d >= 'a' && d <= 'f' ? d - 'a' + 10
                        : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                               : -1;
      if (digit < 0) break;
      value = value * 16 + static_cast<uint32_t>(digit);
      ++digits;
      ++at_;
    }
    if (digits == 0 || (braced && !accept("}"))) wrong("has a wrong hexadecimal escape");
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) wrong("names no character");
    if (!braced && count == 2 && value > 0x7f && oniguruma_) refuse("a byte above \\x7f");
    return value;
  }

  // \p{Name}, \p{^Name}, \pL.
  void property(Set& into, bool negated) {
    std::string name;
    if (accept("{")) {
      if (accept("^")) negated = !negated;
      while (!accept("}")) append_utf8(name, next_char());
    } else {
      append_utf8(name, next_char());
    }
    const auto known = regex_property(name);
    if (!known) {
      fail(ErrorCode::kUnsupported, "pattern \"", printable(pattern_), "\": unknown property \"",
           printable(name), "\"");
    }
    into.inside += cat(negated ? "\\P{" : "\\p{", *known, "}");
  }

  // [:alpha:] and the like, by the Unicode definitions of Oniguruma. False when it is none.
  bool posix_class(Set& into) {
    struct Named {
      std::string_view name, inside;
    };
    const std::array<Named, 12> known = {{{"alpha", "\\p{Alphabetic}"},
                                          {"digit", "\\p{Nd}"},
                                          {"alnum", "\\p{Alphabetic}\\p{Nd}"},
                                          {"space", "\\p{White_Space}"},
                                          {"blank", "\\p{Zs}\\t"},
                                          {"upper", "\\p{Uppercase}"},
                                          {"lower", "\\p{Lowercase}"},
                                          {"punct", "\\p{P}"},
                                          {"cntrl", "\\p{Cc}"},
                                          {"xdigit", "0-9A-Fa-f"},
                                          {"ascii", "\\x00-\\x7f"},
                                          {"word", ""}}};
    if (!looking_at("[:")) return false;
    const size_t end = pattern_.find(":]", at_ + 2);
    if (end == std::string_view::npos) return false;
    std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
    const bool negated = name.starts_with("^");
    if (negated) name.remove_prefix(1);
    const auto found = std::ranges::find(known, name, &Named::name);
    if (found == known.end()) {
      if (name == "graph" || name == "print") refuse(cat("[:", name, ":]"));
      return false;
    }
    const std::string inside = name == "word" ? word_set() : std::string(found->inside);
    if (negated) {
      into.others.push_back("[^" + inside + "]");
    } else {
      into.inside += inside;
    }
    at_ = end + 2;
    return true;
  }

  // The set whose "[" is consumed, as one-character PCRE2 source.
  std::string set(int depth) {
    if (depth > kMaxDepth) wrong("has sets nested deeper than ", kMaxDepth);
    const bool negated = accept("^");
    std::string intersection;  // of the operands of && before the present one
    Set current;
    bool first = true;
    while (true) {
      if (!more()) wrong("misses the end of a set");
      if (!first && accept("]")) break;
      if (accept("&&")) {
        intersection += "(?=" + finish(current, false) + ")";
        current = {};
      } else if (posix_class(current)) {
      } else if (accept("[")) {
        current.others.push_back(set(depth + 1));
      } else {
        range(current);
      }
      first = false;
    }
    if (intersection.empty()) return finish(current, negated);
    const std::string both = intersection + finish(current, false);
    return negated ? cat("(?:(?!", both, ")\\p{Any})") : cat("(?:", both, ")");
  }

  void range(Set& into) {
    const auto low = set_char(into);
    if (!low) return;
    const bool has_range = looking_at("-") && at_ + 1 < pattern_.size() &&
                           pattern_[at_ + 1] != ']' && pattern_[at_ + 1] != '[' &&
                           !pattern_.substr(at_ + 1).starts_with("&&");
    if (!has_range) {
      into.inside += literal(*low);
      return;
    }
    accept("-");
    const auto high = set_char(into);
    if (!high) {  // [a-\s]: the hyphen stands for itself
      into.inside += literal(*low) + literal('-');
      return;
    }
    if (*low > *high) wrong("has a range with its ends in the wrong order");
    into.inside += literal(*low) + "-" + literal(*high);
  }

  std::optional<char32_t> set_char(Set& into) {
    return accept("\\") ? class_escape(into) : next_char();
  }

  static std::string finish(const Set& set, bool negated) {
    if (set.others.empty()) {
      if (set.inside.empty()) return negated ? "\\p{Any}" : "(?!)\\p{Any}";
      return cat(negated ? "[^" : "[", set.inside, "]");
    }
    std::string any_of = set.inside.empty() ? "" : "[" + set.inside + "]|";
    for (size_t i = 0; i < set.others.size(); ++i) any_of += (i ? "|" : "") + set.others[i];
    return negated ? cat("(?:(?!", any_of, ")\\p{Any})") : cat("(?:", any_of, ")");
  }

  std::string_view pattern_;
  bool oniguruma_;
  size_t at_ = 0;
  size_t group_start_ = 0;  // where the innermost group opened last has its first alternative
  bool dot_all_ = false;    // does . take a newline here
};

}  // namespace

TranslatedRegex translate_regex(std::string_view pattern, RegexDialect dialect) {
  return Translator(pattern, dialect).run();
}

}  // namespace axk1
