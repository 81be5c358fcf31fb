// Patterns of other regular-expression engines written for PCRE2 (10.42, UTF and UCP on), so that
// they match the same texts. Facts from Oniguruma's doc/RE, the docs of Rust's regex and
// fancy-regex crates, and pcre2pattern(3). What differs and is rewritten:
//   \s      the White_Space property (PCRE2 also has U+180E)
//   \w \b   Alphabetic, marks, decimal digits, connectors (PCRE2: letters, numbers, underscore)
//   \p{Han} the script itself (PCRE2 takes script extensions)
//   \h      a hexadecimal digit (PCRE2: a blank)        [Oniguruma]
//   ^ $     at every line; (?m) means that . takes newlines   [Oniguruma]
//   x{2,3}+ repeats x{2,3} (PCRE2 and fancy-regex: possessive)   [Oniguruma]
//   x{2}?   is optional, x{,3} counts from 0             [Oniguruma]
//   [a[b]&&c]  nested sets and intersections
// Not rewritten: without regard to case, a character whose folding is several characters (the
// German sharp s) matches only itself; Oniguruma lets it match those. Groups capture nothing.
// Back-references, subroutine calls, conditionals, \K, \G, \R, \X and free spacing are refused by
// name.
#pragma once

#include <string>
#include <string_view>

namespace axk1 {

enum class RegexDialect {
  kOniguruma,  // tokenizer.json
  kRust,       // tiktoken
};

// How the time of one match attempt grows with the text.
enum class RegexCost {
  kConstant,   // an attempt that fails looks at a bounded number of characters
  kLinear,     // an attempt looks at each character at most a bounded number of times
  kUnbounded,  // neither could be shown: repeated groups, two open repeats one after the other
};

struct TranslatedRegex {
  std::string pattern;  // for pcre2_compile with PCRE2_UTF | PCRE2_UCP
  RegexCost cost = RegexCost::kUnbounded;
};

// Throws Error(kInvalidInput or kUnsupported) that shows the pattern and the place.
TranslatedRegex translate_regex(std::string_view pattern, RegexDialect dialect);

}  // namespace axk1
