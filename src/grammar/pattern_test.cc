#include "grammar/pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "grammar/formats.h"
#include "grammar/plain_validator.h"

namespace axk1 {
namespace {

// On all texts over a few letters.
TEST(Pattern, AgreesWithPcre2) {
  const std::vector<std::string> patterns = {
      "a",        "^a",      "a$",          "^a|b$",   "^(a|b)*c$", "(ab){2}",  "^a{2,3}b?$",
      "a.c",      "^[^a]$",  "^(?:a+b*)+$", "^$",      "",          "a*?b",     "^(a(b(c)?)?)?$",
      "[ab]{2,}", "^a{0}b$", "(^a|b)c",     "a(b$|c)", "^(|a)b$",   "^a{0,2}$", "(a|^)(b|$)"};
  for (const std::string& pattern : patterns) {
    const TextDfa dfa = compile_pattern(pattern);
    for (int n = 0; n < 4 * 4 * 4 * 4; ++n) {
      std::string text;
      for (int rest = n; rest > 0; rest /= 4) text += "abcx"[rest % 4];
      EXPECT_EQ(dfa.accepts_text(text), testing::found_by_pcre2(pattern, text))
          << pattern << " " << text;
    }
  }
}

TEST(Pattern, ComplementAndIntersection) {
  const TextDfa a = compile_pattern("^a"), b = compile_pattern("b$");
  const TextDfa both = intersect(a, b), neither = intersect(complement(a), complement(b));
  for (const char* text : {"", "a", "b", "ab", "ba", "axb", "xax"}) {
    EXPECT_EQ(both.accepts_text(text), a.accepts_text(text) && b.accepts_text(text)) << text;
    EXPECT_EQ(neither.accepts_text(text), !a.accepts_text(text) && !b.accepts_text(text)) << text;
  }
  EXPECT_TRUE(intersect(a, complement(a)).empty());
  EXPECT_EQ(complement(complement(a)).states(), a.states());
}

TEST(TextDfa, ListsAndCountsTexts) {
  const TextDfa words = TextDfa::of_texts({"cat", "car", "", "서울", "cat"});
  EXPECT_EQ(words.num_texts(0), 4u);
  EXPECT_EQ(words.texts_from(0, 10).size(), 4u);
  EXPECT_FALSE(words.is_infinite(0));
  EXPECT_TRUE(words.accepts_text("서울"));
  EXPECT_FALSE(words.accepts_text("ca"));
  const TextDfa loop = compile_pattern("^ab*$");
  EXPECT_TRUE(loop.is_infinite(0));
  EXPECT_TRUE(loop.always_many(0));
  EXPECT_FALSE(compile_pattern("^(a|b.*)$").always_many(0));
}

TEST(TextDfa, LengthsThatAreStillPossible) {
  const TextDfa dfa = compile_pattern("^(abc)*$");
  const LengthTable table(dfa, 10);
  EXPECT_TRUE(table.possible(0, 1, 3));
  EXPECT_FALSE(table.possible(0, 1, 2));
  EXPECT_TRUE(table.possible(0, 0, 0));
  EXPECT_FALSE(table.possible(0, 10, 10));
  EXPECT_EQ(longest_lengths(compile_pattern("^a{2,4}$"))[0], 4u);
  EXPECT_EQ(longest_of_shortest(compile_pattern("^aaa$")), 3u);
}

TEST(Pattern, RefusesByWords) {
  for (const char* wrong : {"(", ")", "[a", "a**", "*", "a{2,1}", "\\", "\\u12", "(?a)", "[z-a]",
                            "\\c1", "\\x0", "a{999999}", "\\01", "\\z", "^*"}) {
    EXPECT_THROW(compile_pattern(wrong), Error) << wrong;
  }
}

TEST(Formats, EveryDayOfTheCalendarAndNoOther) {
  const StringRule date = *string_rule_of_format("date");
  const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int year : {0, 1, 4, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9996, 9999}) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    for (int month = 0; month <= 13; ++month) {
      for (int day = 0; day <= 32; ++day) {
        char text[32];
        std::snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
        const bool exists =
            month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
        EXPECT_EQ(date.texts->accepts_text(text), exists) << text;
      }
    }
  }
  EXPECT_FALSE(string_rule_of_format("color"));
}

}  // namespace
}  // namespace axk1
