#include "base/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

using namespace std::string_literals;

TEST(Text, CatTakesEveryKindOfPart) {
  const std::string name = "x";
  EXPECT_EQ(cat(), "");
  EXPECT_EQ(cat("a", 'b', name, std::string_view("cd")), "abxcd");
  EXPECT_EQ(cat(true, false), "truefalse");
  EXPECT_EQ(cat(int8_t{-5}, ' ', uint8_t{200}, ' ', int16_t{-300}), "-5 200 -300");
  EXPECT_EQ(cat(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(cat(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(cat(1e-6, ' ', 0.1, ' ', 2.0, ' ', 0.5f), "1e-06 0.1 2 0.5");
  EXPECT_EQ(cat("a\0b"s), "a\0b"s);
}

TEST(Text, Commas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(518983059456), "518,983,059,456");
  EXPECT_EQ(with_commas(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(Text, HumanBytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.00 MiB");  // not 1024.00 KiB
  EXPECT_EQ(human_bytes(1037966118912), "966.68 GiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16.00 EiB");
}

TEST(Text, PrintableIsOneSafeLine) {
  EXPECT_EQ(printable("한국어 ok"), "한국어 ok");
  EXPECT_EQ(printable("a\n\x1b[31m\x7f"), "a\\x0a\\x1b[31m\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // U+009B also starts terminal commands
  EXPECT_EQ(printable("\xff\xed\xa0\x80"), "\\xff\\xed\\xa0\\x80");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("12345", 5), "12345");
  EXPECT_EQ(printable("123456", 5), "12345...");
  EXPECT_EQ(printable("가나다", 5), "가나...");  // never cuts a character
}

TEST(Bits, OverflowIsSeen) {
  EXPECT_EQ(checked_mul(1ull << 32, 1ull << 31), 1ull << 63);
  EXPECT_EQ(checked_mul(1ull << 32, 1ull << 32), std::nullopt);
  EXPECT_EQ(checked_mul(0, UINT64_MAX), 0u);
  EXPECT_EQ(checked_mul(UINT64_MAX, 1), UINT64_MAX);
  EXPECT_EQ(checked_add(UINT64_MAX, 0), UINT64_MAX);
  EXPECT_EQ(checked_add(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(ceil_div(0, 4), 0u);
  EXPECT_EQ(ceil_div(8, 4), 2u);
  EXPECT_EQ(ceil_div(9, 4), 3u);
  EXPECT_EQ(round_up(9, 4), 12u);
}

TEST(ErrorType, CarriesCodeAndMessage) {
  try {
    fail(ErrorCode::kUnsupported, "config.json: found ", 3, ", expected ", 2.5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(error.what(), "config.json: found 3, expected 2.5");
  }
}

TEST(CheckDeathTest, NamesTheConditionAndAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(AXK1_CHECK(1 + 1 == 3),
               "text_test.cc:[0-9]+: internal error, check failed: 1 \\+ 1");
  AXK1_CHECK(1 + 1 == 2);
}

}  // namespace
}  // namespace axk1
