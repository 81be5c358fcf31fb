#include "grammar/decimal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace axk1 {
namespace {

std::optional<NumberText> read(std::string_view text) {
  NumberText number;
  for (char c : text) {
    if (!number.push(c)) return std::nullopt;
  }
  return number;
}

TEST(Decimal, Compares) {
  EXPECT_EQ(compare({1, 0}, {10, -1}), 0);
  EXPECT_LT(compare({-5, 3}, {1, -300}), 0);
  EXPECT_GT(compare({1, 30}, {999, 26}), 0);
  EXPECT_LT(compare({-1, 30}, {-999, 26}), 0);
  EXPECT_EQ(compare({0, 5}, {0, -5}), 0);
  EXPECT_GT(compare({1, 300}, {1, -300}), 0);
}

TEST(Decimal, TakesNumbersOfSchemasAsTheyAreWritten) {
  const auto decimal = [](std::string_view text) {
    return decimal_of(json::parse(text, "number"), "minimum");
  };
  EXPECT_EQ(compare(decimal("0.1"), {1, -1}), 0);
  EXPECT_EQ(compare(decimal("-1.5e300"), {-15, 299}), 0);
  EXPECT_EQ(compare(decimal("18446744073709551615"), {Int128{UINT64_MAX}, 0}), 0);
  EXPECT_THROW(decimal("0.1234567890123456789"), Error);
  EXPECT_THROW(decimal("\"1\""), Error);
}

TEST(NumberText, ReadsTheGrammarOfJson) {
  for (const char* good : {"0", "-0", "12", "0.5", "1e5", "1E-05", "-1.25e+10"}) {
    ASSERT_TRUE(read(good)) << good;
    EXPECT_TRUE(read(good)->complete()) << good;
  }
  for (const char* part : {"-", "1.", "1e", "1e+"}) {
    ASSERT_TRUE(read(part)) << part;
    EXPECT_FALSE(read(part)->complete()) << part;
  }
  for (const char* wrong : {"+", "01", "-a", ".5", "1..", "1e5.", "1e5e"}) {
    EXPECT_FALSE(read(wrong)) << wrong;
  }
}

// All texts without exponent of up to `length` digits behind `prefix`, against the rule in doubles
// (which these small numbers are compared in exactly, scaled).
void for_each_text(std::string& text, size_t length,
                   const std::function<void(const std::string&)>& f) {
  f(text);
  if (text.size() == length) return;
  for (char c : std::string_view("-0123456789.")) {
    text += c;
    if (read(text)) for_each_text(text, length, f);
    text.pop_back();
  }
}

TEST(NumberRule, PossibleIsExactlyWhatCanBeCompleted) {
  struct Case {
    std::optional<int> lo100, hi100;  // hundredths
    bool lo_open, hi_open;
    int step100;  // 0: none
  };
  const std::vector<Case> cases = {
      {1200, 3400, false, false, 100},    {-250, 125, true, false, 25},
      {-99, -3, false, true, 0},          {7, 7, false, false, 0},
      {std::nullopt, 50, false, true, 0}, {1500, std::nullopt, true, false, 700},
      {0, 900, true, true, 300},          {-1000, 1000, false, false, 1},
      {9900, 10100, false, false, 200}};
  constexpr size_t kLength = 5;
  for (const Case& c : cases) {
    NumberRule rule;
    if (c.lo100) rule.lo = Decimal{*c.lo100, -2};
    if (c.hi100) rule.hi = Decimal{*c.hi100, -2};
    rule.lo_open = c.lo_open;
    rule.hi_open = c.hi_open;
    if (c.step100) rule.step = Decimal{c.step100, -2};
    const auto fits = [&](const std::string& text) {
      const double v = std::round(std::stod(text) * 1e4) / 100;  // of at most four decimals
      if (c.lo100 && (c.lo_open ? v <= *c.lo100 : v < *c.lo100)) return false;
      if (c.hi100 && (c.hi_open ? v >= *c.hi100 : v > *c.hi100)) return false;
      const double rounded = std::round(v);
      return !c.step100 ||
             (std::abs(v - rounded) < 1e-6 && static_cast<long long>(rounded) % c.step100 == 0);
    };
    size_t num_complete = 0;
    std::string text;
    for_each_text(text, kLength, [&](const std::string& t) {
      const NumberText number = *read(t);
      if (number.complete()) {
        EXPECT_EQ(rule.accepts(number), fits(t)) << t;
        if (fits(t)) {
          ++num_complete;
          // Then so is every beginning.
          for (size_t n = 1; n <= t.size(); ++n) {
            EXPECT_TRUE(rule.possible(*read(t.substr(0, n)))) << t << " " << n;
          }
        }
      }
    });
    EXPECT_GT(num_complete, 0u);
    // What is possible can be completed: a walk that takes the first possible digit ends.
    text.clear();
    for_each_text(text, 3, [&](const std::string& t) {
      if (!rule.possible(*read(t))) return;
      std::string longer = t;
      for (int i = 0; i < 60 && !(read(longer)->complete() && rule.accepts(*read(longer))); ++i) {
        for (char next : std::string_view("0123456789.e-")) {
          const std::optional<NumberText> more = read(longer + next);
          if (more && rule.possible(*more)) {
            longer += next;
            break;
          }
        }
      }
      EXPECT_TRUE(read(longer)->complete() && rule.accepts(*read(longer))) << t << " " << longer;
    });
  }
}

TEST(NumberRule, Exponents) {
  NumberRule rule;
  rule.lo = Decimal{1, 2};
  rule.hi = Decimal{2, 2};
  rule.step = Decimal{1, 0};
  EXPECT_TRUE(rule.accepts(*read("1.5e2")));
  EXPECT_TRUE(rule.possible(*read("1e")));
  EXPECT_FALSE(rule.possible(*read("1e1")));
  EXPECT_TRUE(rule.possible(*read("1e0")));  // and then a digit
  EXPECT_FALSE(rule.possible(*read("1e-")));
  EXPECT_TRUE(rule.possible(*read("150e-0")));
  EXPECT_FALSE(rule.possible(*read("1500")));
  EXPECT_FALSE(rule.possible(*read("3")));
  EXPECT_FALSE(rule.possible(*read("0.00")));
  NumberRule positive;
  positive.lo = Decimal{0, 0};
  positive.lo_open = true;
  EXPECT_TRUE(positive.accepts(*read("1e-99999")));
  EXPECT_FALSE(positive.accepts(*read("0e5")));
  EXPECT_TRUE(positive.possible(*read("0")));
  EXPECT_FALSE(positive.possible(*read("-")));
}

TEST(NumberRule, Intersections) {
  NumberRule thirds, halves;
  thirds.step = Decimal{3, -1};
  halves.step = Decimal{5, -1};
  const std::optional<NumberRule> both = intersect(thirds, halves);
  ASSERT_TRUE(both);
  EXPECT_EQ(compare(*both->step, {15, -1}), 0);
  NumberRule low, high;
  low.hi = Decimal{1, 0};
  high.lo = Decimal{1, 0};
  EXPECT_FALSE(intersect(low, high)->empty());
  high.lo_open = true;
  EXPECT_TRUE(intersect(low, high)->empty());
  NumberRule tiny;
  tiny.step = Decimal{1, -30};
  EXPECT_FALSE(intersect(tiny, thirds));
}

}  // namespace
}  // namespace axk1
