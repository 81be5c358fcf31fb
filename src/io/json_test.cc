#include "io/json.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace axk1 {
namespace {

std::string error_of(std::string_view text) {
  try {
    json::parse(text, "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Json, KeepsKeyOrderAndNumberKinds) {
  const json::value v =
      json::parse(R"({"b": 1, "a": [1.0, -2, 18446744073709551615], "c": "한"})", "t");
  EXPECT_EQ(json::to_text(v), R"({"b":1,"a":[1E0,-2,18446744073709551615],"c":"한"})");
}

TEST(Json, DoublesAreRoundedCorrectly) {
  for (const double value : {1e-6, 1e308, 0.1, 1.7976931348623157e308, 2.2250738585072014e-308,
                             5e-324, 123456.789e-5, 9007199254740993.0, -1e-300}) {
    const json::value v = json::parse(cat(value), "t");
    EXPECT_EQ(v.to_number<double>(), value);
    EXPECT_EQ(json::parse(json::to_text(json::value(value)), "t").to_number<double>(), value);
  }
  EXPECT_EQ(json::parse("1e-400", "t").get_double(), 0.0);
  EXPECT_NE(error_of("1e309").find("exponent overflow"), std::string::npos);
  EXPECT_NE(error_of("[-1e999]").find("exponent overflow"), std::string::npos);
}

TEST(Json, NamesThePlaceOfDamage) {
  EXPECT_EQ(error_of("{\"a\": 1,\n \"b\" 2}").substr(0, 23), "t.json: line 2, column ");
  EXPECT_NE(error_of(R"({"a": 1, "b": {"x": 1, "x": 2}})").find("key \"x\" occurs twice"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"a": 1)").find("ends before the value does"), std::string::npos);
  EXPECT_NE(error_of("").find("ends before"), std::string::npos);
  EXPECT_NE(error_of("{} x").find("line 1, column 4"), std::string::npos);
  EXPECT_NE(error_of("\"\xff\""), "");
  EXPECT_NE(error_of(std::string(300, '[') + std::string(300, ']')), "");
  EXPECT_EQ(error_of(std::string(200, '[') + std::string(200, ']')), "");
  EXPECT_EQ(error_of(R"({"a": {"x": 1}, "b": {"x": 1}})"), "");
}

TEST(Json, LongKeysAreComparedWhole) {
  const std::string key(5000, 'k');
  EXPECT_NE(error_of("{\"" + key + "\":1,\"" + key + "\":2}"), "");
  EXPECT_EQ(error_of("{\"" + key + "\":1,\"" + key + "x\":2}"), "");
  EXPECT_NE(error_of(R"({"\u0061": 1, "a": 2})").find("occurs twice"), std::string::npos);
}

TEST(Json, ObjectReaderSaysWhatWasFound) {
  const json::value v = json::parse(R"({"n": 5, "s": "x", "z": null, "f": 10000.0})", "t");
  const json::ObjectReader reader(v, "config.json");
  EXPECT_EQ(reader.get_int("n", 0, 10), 5);
  EXPECT_EQ(reader.get_int("f", 0, 100000), 10000);
  EXPECT_EQ(reader.int_or("z", 7, 0, 10), 7);
  try {
    reader.get_int("s", 1, 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 R"(config.json: field "s": found "x", expected an integer from 1 to 4)");
  }
}

}  // namespace
}  // namespace axk1
