// Patterns done by tables against the same patterns done by PCRE2.
#include "tokenizer/class_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "base/utf8.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/pre_tokenizer.h"

namespace axk1 {
namespace {

std::vector<PreTokenizerStep> steps_of(const std::vector<std::string>& patterns) {
  std::vector<PreTokenizerStep> steps;
  for (const std::string& pattern : patterns) {
    steps.emplace_back().pattern.emplace(pattern, RegexDialect::kOniguruma);
  }
  return steps;
}

std::vector<std::string> pieces_of(const PreTokenizer& pre, const std::string& text) {
  RegexScratch regex;
  regex.begin(text.size());
  PreTokenizerScratch scratch;
  pre.run(text, regex, scratch);
  std::vector<std::string> pieces;
  for (const Piece piece : scratch.pieces) {
    pieces.push_back(text.substr(piece.begin, piece.end - piece.begin));
  }
  return pieces;
}

// Both ways; `joined` tells how many steps are left after joining.
struct BothWays {
  PreTokenizer plain, joined;
  explicit BothWays(const std::vector<std::string>& patterns) {
    plain.steps = steps_of(patterns);
    joined.steps = steps_of(patterns);
    joined.join_class_runs();
  }
};

std::string random_text(std::mt19937& rng) {
  static const char32_t kChars[] = {
      'a',    'Z',    ' ',    ' ',    '\n',    '\r',    '\t',   '1',    '9',     '!',    '~',
      0xa0,   0xb5,   0xe9,   0x300,  0x660,   0x2019,  0x3000, 0x3001, 0x3042,  0x4e00, 0x9fa5,
      0xac00, 0xd558, 0xd7ff, 0xff01, 0x10400, 0x1f600, 0x800,  0x7ff,  0x10ffff};
  std::string text;
  const size_t length = rng() % 24;
  for (size_t i = 0; i < length; ++i) {
    const char32_t c = kChars[rng() % std::size(kChars)];
    for (size_t repeat = rng() % 3 == 0 ? 1 + rng() % 4 : 1; repeat > 0; --repeat) {
      append_utf8(text, c);
    }
  }
  return text;
}

std::vector<std::string> splits_of(std::string_view name) {
  const KnownPattern* known = find_known_pattern(name);
  return {known->splits.begin(), known->splits.end()};
}

std::vector<std::vector<std::string>> pattern_rows() {
  return {
      splits_of("deepseek-llm"),
      splits_of("deepseek-coder"),
      splits_of("deepseek-v3"),
      splits_of("smollm"),
      splits_of("falcon"),
      {R"(\s?[!-/　-。]+)"},  // U+3000 is of both classes
      {R"([ab ]?[a1 ]{2,3})"},
      {R"(\s?\s{2,4})", R"(\p{N}{3,3})"},
      {R"(\s+$)"},
      {R"([\n ]?[\s1]+$)", R"(\n)"},
      {R"([^\s\p{L}]?\p{L}+)", R"([^\n]{1,2})"},
      {R"([a])", R"([a-z]+)", R"(!)", R"(\p{L}+)", R"(\p{N})", R"(\s)", R"([가-힣])", R"(\p{P}+)",
       R"([一-龥]{2,})"},
  };
}

TEST(ClassRuns, CutsAsPcre2Does) {
  std::mt19937 rng(1);
  size_t cases = 0;
  for (const std::vector<std::string>& patterns : pattern_rows()) {
    const BothWays both(patterns);
    EXPECT_TRUE(std::ranges::any_of(both.joined.steps, [](const PreTokenizerStep& step) {
      return step.kind == PreTokenizerStep::Kind::kClassRuns;
    })) << patterns[0];
    for (int i = 0; i < 3000; ++i) {
      const std::string text = random_text(rng);
      ASSERT_EQ(pieces_of(both.joined, text), pieces_of(both.plain, text))
          << patterns[0] << " on " << text;
      ++cases;
    }
  }
  std::printf("[ cases ] texts cut both ways: %zu\n", cases);
}

TEST(ClassRuns, EveryCharacterIsInTheClassesThatPcre2Says) {
  size_t cases = 0;
  for (const char* name : {"deepseek-llm", "deepseek-coder", "deepseek-v3"}) {
    const BothWays both(splits_of(name));
    for (const std::string between : {"", "a", "1 "}) {
      std::string text;
      for (char32_t c = 0; c < 0x110000; ++c) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        append_utf8(text, c);
        text += between;
        if (c % 0x1000 != 0xfff) continue;
        ASSERT_EQ(pieces_of(both.joined, text), pieces_of(both.plain, text))
            << name << " up to " << static_cast<uint32_t>(c);
        text.clear();
        ++cases;
      }
    }
  }
  std::printf("[ cases ] texts of all characters: %zu\n", cases);
}

TEST(ClassRuns, JoinsStepsThatFollowOneAnother) {
  const auto joined = [](const std::vector<std::string>& patterns) {
    return BothWays(patterns).joined.steps.size();
  };
  EXPECT_EQ(joined(splits_of("deepseek-llm")), 1u);
  EXPECT_EQ(joined(splits_of("deepseek-v3")), 2u);
  EXPECT_EQ(joined(splits_of("gpt2")), 1u);
  EXPECT_EQ(joined({R"(\s)", R"(a|b)", R"(\s)"}), 3u);
  EXPECT_EQ(joined({"[a]", "[b]", "[c]", "[d]", "[e]", "[f]", "[g]", "[h]"}), 2u);
  EXPECT_EQ(joined(std::vector<std::string>(17, "[a]")), 2u);
  EXPECT_EQ(joined(std::vector<std::string>(40, "[a]")), 2u + 8u);
}

TEST(ClassRuns, OtherShapesAreLeftToPcre2) {
  size_t cases = 0;
  for (const char* pattern : {"",
                              "[a]*",
                              "[a]+?",
                              "[a]++",
                              "[a]{0,2}",
                              "[a]{2,}",
                              "[a]{1,65}",
                              "[a]{3,2}",
                              "[a][b]",
                              "[a]?[b]?",
                              "[a]??[b]+",
                              "[a]?",
                              "(?:[a]+)",
                              "(?i:[a])+",
                              "[[:alpha:]]+",
                              "[a&&b]+",
                              "[a",
                              "\\x{61",
                              "[a]{1,3}\\z",
                              "[a]\\z",
                              "[a]+(?=\\n)",
                              "[a]+$",
                              "^[a]+",
                              "a+",
                              ".",
                              "[a]|[b]"}) {
    EXPECT_FALSE(parse_class_run(pattern)) << pattern;
    ++cases;
  }
  const auto shape = parse_class_run("[\\p{L}]?\\x{20}{2,3}");
  ASSERT_TRUE(shape);
  EXPECT_EQ(shape->prefix, "[\\p{L}]");
  EXPECT_EQ(shape->main, "\\x{20}");
  EXPECT_EQ(shape->min, 2u);
  EXPECT_EQ(shape->max, 3u);
  EXPECT_EQ(parse_class_run("[a]+\\z")->end, ClassRunShape::End::kText);
  EXPECT_EQ(parse_class_run("[a]+(?=\\n|\\z)")->end, ClassRunShape::End::kLine);
  std::printf("[ cases ] patterns of other shapes: %zu\n", cases);
}

}  // namespace
}  // namespace axk1
