#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

namespace axk1 {
namespace {

using namespace std::string_literals;

bool is_scalar(uint32_t c) {
  return c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
}

TEST(Utf8, EveryCodePointComesBack) {
  int scalars = 0;
  for (uint32_t c = 0; c <= 0x110000; ++c) {
    std::string text;
    append_utf8(text, c);
    if (!is_scalar(c)) {
      ASSERT_EQ(text, "\xef\xbf\xbd") << c;
      continue;
    }
    ++scalars;
    const Utf8Char back = decode_utf8(text);
    ASSERT_TRUE(back.valid && !back.truncated) << c;
    ASSERT_EQ(back.code_point, c);
    ASSERT_EQ(back.length, text.size());
    ASSERT_EQ(text.size(), c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u);
    for (size_t cut = 1; cut < text.size(); ++cut) {  // each prefix is a beginning, not an error
      const Utf8Char part = decode_utf8(std::string_view(text).substr(0, cut));
      ASSERT_TRUE(!part.valid && part.truncated) << c;
      ASSERT_EQ(part.length, cut) << c;
      ASSERT_EQ(incomplete_utf8_tail("x" + text.substr(0, cut)), cut) << c;
    }
    ASSERT_EQ(incomplete_utf8_tail(text), 0u) << c;
  }
  EXPECT_EQ(scalars, 0x110000 - 0x800);
  std::printf("[ cases ] utf8 code points: %d\n", scalars);
}

// Written from the other side than the decoder: by computing what the bytes would stand for and
// refusing what has a shorter form, is a surrogate or lies beyond the last code point.
bool valid_by_value(const std::string& s) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  for (size_t i = 1; i < s.size(); ++i) {
    if ((byte(i) & 0xc0) != 0x80) return false;
  }
  const unsigned lead = byte(0);
  const uint32_t tail1 = s.size() > 1 ? byte(1) & 0x3f : 0,
                 tail2 = s.size() > 2 ? byte(2) & 0x3f : 0;
  if (s.size() == 1) return lead < 0x80;
  if (s.size() == 2) return lead >> 5 == 6 && (lead & 0x1f) << 6 >= 0x80;
  if (s.size() == 3) {
    const uint32_t c = (lead & 0x0f) << 12 | tail1 << 6 | tail2;
    return lead >> 4 == 14 && c >= 0x800 && is_scalar(c);
  }
  const uint32_t c = (lead & 0x07) << 18 | tail1 << 12 | tail2 << 6 | (byte(3) & 0x3fu);
  return lead >> 3 == 30 && c >= 0x10000 && is_scalar(c);
}

TEST(Utf8, EveryShortSequenceIsJudgedByItsValue) {
  size_t cases = 0;
  auto check = [&](const std::string& s) {
    const Utf8Char c = decode_utf8(s);
    ASSERT_EQ(c.valid && c.length == s.size(), valid_by_value(s))
        << ::testing::PrintToString(std::vector<int>(s.begin(), s.end()));
    ASSERT_GE(c.length, 1u);
    ASSERT_LE(c.length, s.size());
    ASSERT_TRUE(c.valid || c.code_point == 0xfffd);
    ++cases;
  };
  for (int a = 0; a < 256; ++a) {
    check(std::string{static_cast<char>(a)});
    for (int b = 0; b < 256; ++b) check(std::string{static_cast<char>(a), static_cast<char>(b)});
  }
  // The edges of every range that a byte of a longer sequence may lie in.
  const std::vector<int> edges = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                  0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xff};
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (int c : edges) {
        check(std::string{static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)});
        if (a < 0xe0) continue;
        for (int d : edges) {
          check(std::string{static_cast<char>(a), static_cast<char>(b), static_cast<char>(c),
                            static_cast<char>(d)});
        }
      }
    }
  }
  std::printf("[ cases ] utf8 sequences: %zu\n", cases);
}

// One U+FFFD for each maximal subpart: the examples of Unicode 15, tables 3-8 to 3-11.
TEST(Utf8, LossyReplacesMaximalSubparts) {
  const std::string r = "\xef\xbf\xbd";
  auto times = [&](int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += r;
    return out;
  };
  EXPECT_EQ(utf8_lossy("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), times(8) + "A");
  EXPECT_EQ(utf8_lossy("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), times(8) + "A");
  EXPECT_EQ(utf8_lossy("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), times(5) + "A" + times(2) + "B");
  EXPECT_EQ(utf8_lossy("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), times(4) + "A");
  EXPECT_EQ(utf8_lossy("가\xea\xb0"), "가" + r);
  EXPECT_EQ(utf8_lossy("a\0b"s), "a\0b"s);
  EXPECT_EQ(utf8_lossy(""), "");
}

TEST(Utf8, ValidityOfWholeTexts) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("한국어 \xf0\x9f\x98\x80 \0 x"s));
  EXPECT_FALSE(is_valid_utf8("한국\xec"));
  EXPECT_FALSE(is_valid_utf8("\x80"));
  EXPECT_FALSE(is_valid_utf8("ok\xff"));
}

TEST(Utf8, IncompleteTail) {
  EXPECT_EQ(incomplete_utf8_tail(""), 0u);
  EXPECT_EQ(incomplete_utf8_tail("ab"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("ab\x80"), 0u);  // a stray byte completes nothing
  EXPECT_EQ(incomplete_utf8_tail("ab\x80\x80\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("ab\xc0"), 0u);  // never a lead byte
  EXPECT_EQ(incomplete_utf8_tail("ab\xf5"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("ab\xe0\x80"), 0u);  // already overlong
  EXPECT_EQ(incomplete_utf8_tail("ab\xed\xa0"), 0u);  // already a surrogate
  EXPECT_EQ(incomplete_utf8_tail("\xf0\x9f\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_tail("\xf0\x9f\x98\x80"), 0u);
}

}  // namespace
}  // namespace axk1
