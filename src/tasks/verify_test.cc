#include "tasks/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tasks/hangul_number.h"

namespace axk1 {
namespace {

bool right(const char* kind, std::string_view expected, std::string_view given) {
  return is_right_answer(find_task_kind(kind), expected, given);
}

TEST(Verify, Numbers) {
  EXPECT_TRUE(right("add", "12345", "12,345"));
  EXPECT_TRUE(right("add", "-7", " -7."));
  EXPECT_TRUE(right("units", "2.5", "2.50"));
  EXPECT_TRUE(right("units", "2500", "2500.0"));
  EXPECT_TRUE(right("change", "12,500원", "12500"));
  EXPECT_TRUE(right("change", "12,500 won", "₩12,500"));
  EXPECT_FALSE(right("add", "12345", "1234"));
  EXPECT_FALSE(right("add", "7", "-7"));
  EXPECT_FALSE(right("add", "7", "7 or 8"));
  EXPECT_FALSE(right("add", "7", "07"));
  EXPECT_FALSE(right("add", "7", "The answer is 7"));
  EXPECT_FALSE(right("add", "7", "-"));
  EXPECT_FALSE(right("add", "7", "7,"));
  EXPECT_FALSE(right("units", "2.5", "2.5.0"));
  EXPECT_FALSE(right("units", "25", "2.5"));
  EXPECT_FALSE(right("change", "500원", "원"));
}

TEST(Verify, HangulAmounts) {
  EXPECT_TRUE(right("won_read", "만 이천삼백사십오 원", "일만이천삼백사십오원"));
  EXPECT_TRUE(right("won_read", "만 이천삼백사십오 원", "만 이천삼백사십오"));
  EXPECT_FALSE(right("won_read", "만 이천삼백사십오 원", "12,345원"));
  EXPECT_FALSE(right("won_read", "만 이천삼백사십오 원", "이천삼백사십오 원"));
  EXPECT_FALSE(right("won_read", "만 이천삼백사십오 원", "만 이천삼백사십오 원입니다"));
}

TEST(Verify, Dates) {
  for (const char* given :
       {"2024-05-07", "2024-5-7", "2024년 5월 7일", "May 7, 2024", "2024년5월7일."}) {
    EXPECT_TRUE(right("date_after", "2024년 5월 7일", given)) << given;
  }
  for (const char* given :
       {"2024-05-08", "2024-07-05", "5월 7일", "May 7", "2024-05-07T", "May 2024"}) {
    EXPECT_FALSE(right("date_after", "May 7, 2024", given)) << given;
  }
}

TEST(Verify, Texts) {
  EXPECT_TRUE(right("weekday", "Monday", "monday."));
  EXPECT_FALSE(right("weekday", "Monday", "Tuesday"));
  EXPECT_TRUE(right("letter_case", "APPLE", "APPLE"));
  EXPECT_FALSE(right("letter_case", "APPLE", "apple"));
  EXPECT_FALSE(right("reverse", "cba", "abc"));
}

TEST(Verify, ToolCalls) {
  const char* expected = R"({"name":"f","arguments":{"a":1,"b":"서울"}})";
  EXPECT_TRUE(right("tool_call", expected, expected));
  EXPECT_TRUE(right("tool_call", expected,
                    "<tool_call>\n{\"arguments\": {\"b\": \"서울\", \"a\": 1}, \"name\": "
                    "\"f\"}\n</tool_call>"));
  for (const char* wrong :
       {"", "f", "{}", R"({"name":"f","arguments":{"a":1}})",
        R"({"name":"f","arguments":{"a":"1","b":"서울"}})",
        R"({"name":"g","arguments":{"a":1,"b":"서울"}})",
        R"({"name":"f","arguments":{"a":1,"b":"서울","c":2}})",
        R"({"name":"f","arguments":{"a":1,"b":"서울"},"id":3})",
        R"(<tool_call>{"name":"f","arguments":{"a":1,"b":"서울"}})",
        R"(ok <tool_call>{"name":"f","arguments":{"a":1,"b":"서울"}}</tool_call>)"}) {
    EXPECT_FALSE(right("tool_call", expected, wrong)) << wrong;
  }
}

TEST(Verify, RefusesAnAnswerThatIsNone) {
  EXPECT_THROW(right("add", "many", "7"), Error);
  EXPECT_THROW(right("tool_call", "{", "7"), Error);
}

TEST(HangulNumber, KnownOnes) {
  const std::pair<uint64_t, const char*> known[] = {
      {0, "영"},
      {7, "칠"},
      {10, "십"},
      {11, "십일"},
      {100, "백"},
      {1000, "천"},
      {1234, "천이백삼십사"},
      {10000, "만"},
      {12345, "만 이천삼백사십오"},
      {20000, "이만"},
      {100000, "십만"},
      {110000, "십일만"},
      {1000000, "백만"},
      {100000000, "일억"},
      {100010000, "일억 일만"},
      {1234567898, "십이억 삼천사백오십육만 칠천팔백구십팔"},  // of the rules of orthography
      {1000000000000, "일조"}};
  for (const auto& [number, text] : known) {
    EXPECT_EQ(hangul_number(number), text);
    EXPECT_EQ(parse_hangul_number(text), number) << text;
  }
  EXPECT_EQ(parse_hangul_number("일만"), 10000u);
  EXPECT_EQ(parse_hangul_number("일천일백"), 1100u);
}

TEST(HangulNumber, ReadsBackWhatItWrites) {
  for (uint64_t n = 1; n < 10000000000000000; n = n * 3 + n % 7 + 1) {
    EXPECT_EQ(parse_hangul_number(hangul_number(n)), n) << n;
  }
}

TEST(HangulNumber, RefusesOtherTexts) {
  for (const char* text : {"", " ", "원", "십백", "만억", "이이", "영영", "일영", "만만", "백만 만",
                           "12", "억", "천천", "이천 삼천", "일만 x"}) {
    EXPECT_FALSE(parse_hangul_number(text)) << text;
  }
}

}  // namespace
}  // namespace axk1
