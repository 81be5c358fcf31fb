// Regular expressions of JSON schemas (ECMA-262 with the u flag), as automata over code points.
#pragma once

#include <string_view>

#include "grammar/text_dfa.h"

namespace axk1 {

// The texts in which the expression is found anywhere, as the keyword `pattern` means it; ^ and $
// tie it to the ends. Understands: literals and escapes (\n \t \uXXXX \u{...} \xXX \cX ...), . and
// classes with ranges, \d \w \s and their negations, groups (also named and (?:), whose captures do
// not matter), |, * + ? {m,n} greedy or lazy. Throws UnsupportedSchema("pattern") for
// back-references, look-around, \b, \p; Error(kInvalidInput) for what is no regular expression, or
// is too large.
TextDfa compile_pattern(std::string_view pattern);

}  // namespace axk1
