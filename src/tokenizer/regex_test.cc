#include "tokenizer/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "tokenizer/known_patterns.h"

namespace axk1 {
namespace {

using Texts = std::vector<std::string>;

Texts matches(std::string_view pattern, std::string_view text,
              RegexDialect dialect = RegexDialect::kOniguruma) {
  const Regex regex(pattern, dialect);
  RegexScratch scratch;
  scratch.begin(text.size());
  RegexScan scan(regex, text, scratch);
  Texts found;
  while (const auto match = scan.next()) {
    found.emplace_back(text.substr(match->begin, match->end - match->begin));
  }
  return found;
}

ErrorCode error_of(std::string_view pattern, RegexDialect dialect = RegexDialect::kOniguruma) {
  try {
    Regex(pattern, dialect);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("pattern"), std::string::npos);
    return error.code();
  }
  ADD_FAILURE() << "accepted: " << pattern;
  return ErrorCode::kIo;
}

TEST(Regex, WhiteSpaceIsTheUnicodeProperty) {
  // U+180E is none since Unicode 6.3; U+0085, U+00A0 and U+3000 are.
  EXPECT_EQ(matches(R"(\s)", "a\u180e\u0085\u00a0\u3000 \n").size(), 5u);
  EXPECT_EQ(matches(R"(\S)", "\u180e \u200b"), (Texts{"\u180e", "\u200b"}));
  EXPECT_EQ(matches(R"([^\s]+)", "ab\u3000c"), (Texts{"ab", "c"}));
}

TEST(Regex, WordsHoldMarksAndConnectors) {
  EXPECT_EQ(matches(R"(\w+)", "e\u0301\u203fz x\u00b2"), (Texts{"e\u0301\u203fz", "x\u00b2"}));
  EXPECT_EQ(matches(R"(\w+)", "x\u00b2", RegexDialect::kRust), (Texts{"x"}));
  EXPECT_EQ(matches(R"([\W]+)", "a\u00b2-b"), (Texts{"\u00b2-"}));
  EXPECT_EQ(matches(R"([^\W_]+)", "a_b-c"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(matches(R"(\be\u0301\b)", "e\u0301"), (Texts{"e\u0301"}));
}

TEST(Regex, OnigurumaDialect) {
  EXPECT_EQ(matches(R"(\h+)", "xyzAf09g"), (Texts{"Af09"}));
  EXPECT_EQ(matches("^a", "a\na\nb"), (Texts{"a", "a"}));
  EXPECT_EQ(matches("a$", "a\nba\nb"), (Texts{"a", "a"}));
  EXPECT_EQ(matches("a.b", "a\nb"), (Texts{}));
  EXPECT_EQ(matches("(?m)a.b", "a\nb"), (Texts{"a\nb"}));
  EXPECT_EQ(matches("(?m:a.)b.c", "a\nb\nc"), (Texts{}));
  EXPECT_EQ(matches(R"(\p{N}{1,3}+)", "1234567"), (Texts{"1234567"}));  // repeats, not possessive
  EXPECT_EQ(matches("a{2}?b", "aab b"), (Texts{"aab", "b"}));           // optional
  EXPECT_EQ(matches("a{,2}b", "aaab"), (Texts{"aab"}));
  EXPECT_EQ(matches("a{x", "a{x"), (Texts{"a{x"}));
  EXPECT_EQ(matches(R"([\p{L}&&[^\p{Han}]]+)", "ab中文c"), (Texts{"ab", "c"}));
  EXPECT_EQ(matches("[a-c[x-z]]+", "abqxz"), (Texts{"ab", "xz"}));
  EXPECT_EQ(matches("[^a-c[x-z]]+", "abqrxz"), (Texts{"qr"}));
  EXPECT_EQ(matches("[[:alpha:]_]+", "aé_1"), (Texts{"aé_"}));
  EXPECT_EQ(matches("a(?i)b|c", "aB aC ac c"), (Texts{"aB", "aC", "ac"}));
  EXPECT_EQ(matches("[]a]+", "a]b"), (Texts{"a]"}));
  EXPECT_EQ(matches("[a-]+", "a-b"), (Texts{"a-"}));
  EXPECT_EQ(matches(R"([\w-]+)", "a-b c"), (Texts{"a-b", "c"}));
}

TEST(Regex, RustDialect) {
  EXPECT_EQ(matches(R"(\p{N}{1,3}+)", "1234567", RegexDialect::kRust), (Texts{"123", "456", "7"}));
  EXPECT_EQ(matches("^a$", "a\na", RegexDialect::kRust), (Texts{}));
  EXPECT_EQ(matches("(?s)a.b", "a\nb", RegexDialect::kRust), (Texts{"a\nb"}));
  EXPECT_EQ(error_of("a{x", RegexDialect::kRust), ErrorCode::kInvalidInput);
}

TEST(Regex, ScriptsAreWithoutExtensions) {
  // U+30FC is Common, and Katakana only by script extension.
  EXPECT_EQ(matches(R"(\p{Katakana}+)", "カー"), (Texts{"カ"}));
  EXPECT_EQ(matches(R"(\p{^Han}+)", "a中"), (Texts{"a"}));
  EXPECT_EQ(matches(R"(\p{Letter}+\p{Decimal_Number})", "ab1"), (Texts{"ab1"}));
  EXPECT_EQ(matches(R"(\pL\PL)", "a1"), (Texts{"a1"}));
}

TEST(Regex, CaseIsFoldedByUnicode) {
  EXPECT_EQ(matches("(?i:'s|'t)", "'S'\u017f't"), (Texts{"'S", "'\u017f", "'t"}));
  EXPECT_EQ(matches("a(?i:b)c", "aBc aBC"), (Texts{"aBc"}));
}

TEST(Regex, EmptyMatches) {
  EXPECT_EQ(matches("x*", "axb"), (Texts{"", "x", ""}));
  EXPECT_EQ(matches("", "가b"), (Texts{"", "", ""}));
  EXPECT_EQ(matches("(?=b)", "abab"), (Texts{"", ""}));
}

TEST(Regex, RefusedByName) {
  for (const char* pattern : {R"((a)\1)", R"(\K)", R"(\G)", R"(\R)", R"(\X)", "(?~a)", "(*FAIL)",
                              "(?(1)a)", R"(\g<a>)", "(?x: a)", R"(\p{Nonsense})", "[[:graph:]]"}) {
    EXPECT_EQ(error_of(pattern), ErrorCode::kUnsupported) << pattern;
  }
  for (const char* pattern : {"(", ")", "[", "[a", "a{5,2}", "*", "[z-a]", R"(\x{110000})", "\xff",
                              R"(\)", "a{99999}", R"(\p{L)"}) {
    EXPECT_EQ(error_of(pattern), ErrorCode::kInvalidInput) << pattern;
  }
  EXPECT_EQ(error_of(std::string(1000, '(')), ErrorCode::kInvalidInput);
  EXPECT_EQ(error_of(std::string(1000, '[')), ErrorCode::kInvalidInput);
}

TEST(Regex, CostsOfKnownPatterns) {
  for (const char* name : {"gpt2", "cl100k", "o200k", "qwen2", "tekken", "smollm", "falcon",
                           "deepseek-llm", "deepseek-coder", "deepseek-v3"}) {
    for (std::string_view split : find_known_pattern(name)->splits) {
      EXPECT_NE(translate_regex(split, RegexDialect::kOniguruma).cost, RegexCost::kUnbounded)
          << name;
    }
  }
  auto cost = [](const char* pattern) {
    return translate_regex(pattern, RegexDialect::kOniguruma).cost;
  };
  EXPECT_EQ(cost(R"(\p{N}{1,3})"), RegexCost::kConstant);
  EXPECT_EQ(cost(R"(a+| b+)"), RegexCost::kConstant);
  EXPECT_EQ(cost("a*b"), RegexCost::kLinear);
  EXPECT_EQ(cost(R"(\s+(?!\S)|\s+)"), RegexCost::kLinear);
  EXPECT_EQ(cost("a*b*c"), RegexCost::kUnbounded);
  EXPECT_EQ(cost("(a+)+"), RegexCost::kUnbounded);
  EXPECT_EQ(cost("(a|b)*"), RegexCost::kUnbounded);
  EXPECT_EQ(cost("(?=.*a.*b)"), RegexCost::kUnbounded);
}

// Each of these is exponential or a polynomial of the text when searched plainly.
TEST(Regex, HostilePatternsEndInAnError) {
  const std::string text(200'000, 'a');
  size_t errors = 0;
  for (const char* pattern : {"(a+)+b", "(a|a)*b", "(a|aa)+$b", "a*a*a*b", "[ab]*a*+c",
                              "(?:a?){30}a{30}b", R"((\w*\s*)*z)", "(.*)*x"}) {
    try {
      matches(pattern, text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      ++errors;
    }
  }
  EXPECT_GE(errors, 6u);
  // Every match looks at the whole rest: no single search is costly, all together are.
  EXPECT_THROW(matches("a*[bc]|a", std::string(500'000, 'a')), Error);
  EXPECT_EQ(matches("(?:ab|cd)*x", "ababcdx"), (Texts{"ababcdx"}));  // guarded, and harmless
}

}  // namespace
}  // namespace axk1
