#include "tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <random>
#include <string>

#include "base/utf8.h"

namespace axk1 {
namespace {

std::string by_utf8proc(const std::string& text, NormalForm form) {
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compat = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  utf8proc_uint8_t* result = nullptr;
  const int options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                      (compat ? UTF8PROC_COMPAT : 0);
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                                   static_cast<utf8proc_option_t>(options));
  std::string out(reinterpret_cast<char*>(result), static_cast<size_t>(length));
  std::free(result);
  return out;
}

TEST(Normalize, AgreesWithUtf8proc) {
  std::mt19937 random(7);
  // Ranges where normal forms do something, and some where they do not.
  const std::pair<char32_t, char32_t> ranges[] = {
      {0x20, 0x7e},     {0xc0, 0x17f},    {0x300, 0x36f},   {0x370, 0x3ff},    {0x900, 0x9ff},
      {0x1100, 0x11ff}, {0x1e00, 0x1fff}, {0x2100, 0x214f}, {0x3040, 0x30ff},  {0xac00, 0xd7a3},
      {0xf900, 0xfaff}, {0xfb00, 0xfdff}, {0xff00, 0xffef}, {0x1d15e, 0x1d1c0}};
  size_t cases = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t length = random() % 12; length > 0; --length) {
      const auto [low, high] = ranges[random() % std::size(ranges)];
      append_utf8(text, low + static_cast<char32_t>(random() % (high - low + 1)));
    }
    for (const NormalForm form :
         {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd}) {
      const std::string expected = by_utf8proc(text, form);
      ASSERT_EQ(normalize(text, form), expected) << text;
      ASSERT_TRUE(text == expected || !is_normalized(text, form)) << text;
      ++cases;
    }
  }
  std::printf("[ cases ] normal forms of random texts: %zu\n", cases);
}

TEST(Normalize, EverySingleCharacter) {
  for (char32_t c = 1; c < 0x30000; ++c) {
    if (c == 0xd800) c = 0xe000;
    std::string text = "a";
    append_utf8(text, c);
    text += "\u0301";
    for (const NormalForm form : {NormalForm::kNfc, NormalForm::kNfkd}) {
      ASSERT_EQ(normalize(text, form), by_utf8proc(text, form)) << static_cast<uint32_t>(c);
    }
  }
}

TEST(Normalize, ManyMarksInTheWrongOrderTakeLinearTime) {
  std::string text = "a", sorted = "\u00e1";
  constexpr int kMarks = 200'000;
  for (int i = 0; i < kMarks; ++i) text += "\u0301";  // above, class 230
  for (int i = 0; i < kMarks; ++i) text += "\u0316";  // below, class 220: belongs in front
  const std::string result = normalize(text, NormalForm::kNfc);
  EXPECT_EQ(result.size(), text.size() - 1);  // a and one mark became one character of two bytes
  EXPECT_EQ(result.substr(0, 4), "\u00e1\u0316");
}

TEST(Unicode, Lowercase) {
  EXPECT_EQ(lowercase("ABC 가 ÀΣ"), "abc 가 àσ");
  EXPECT_EQ(lowercase("\u0130"), "i\u0307");
  EXPECT_EQ(lowercase("ΟΔΟΣ"), "οδοσ");  // no final sigma: characters are mapped one by one
}

TEST(Unicode, ValidPrefix) {
  const std::string good = "abcdefgh가나다é😀 xyz";
  EXPECT_EQ(valid_utf8_prefix(good), good.size());
  for (const std::string bad : {"\xff", "\x80", "\xc0\x80", "\xed\xa0\x80", "\xe1\x80",
                                "\xf5\x80\x80\x80", "\xe2\x28\xa1", "\xf0\x9f\x98"}) {
    for (size_t at : {size_t{0}, size_t{3}, size_t{8}, size_t{11}, good.size()}) {
      EXPECT_EQ(valid_utf8_prefix(good.substr(0, at) + bad + "z"), at) << at;
    }
  }
}

TEST(Unicode, Categories) {
  EXPECT_TRUE(is_numeric(U'½') && is_numeric(U'Ⅷ') && is_numeric(U'٣') && !is_numeric(U'a'));
  EXPECT_FALSE(is_numeric(U'一'));  // a number by value, not by category
  EXPECT_TRUE(is_punctuation(U'$') && is_punctuation(U'。') && !is_punctuation(U'€'));
  EXPECT_TRUE(is_whitespace(0x3000) && is_whitespace(0x85) && !is_whitespace(0x200b));
  EXPECT_TRUE(is_word(U'_') && is_word(U'가') && is_word(0x200d) && !is_word(U'-'));
}

}  // namespace
}  // namespace axk1
