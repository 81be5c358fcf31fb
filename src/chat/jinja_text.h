// Python's view of text on UTF-8: strings are sequences of code points, with Python's notion of
// white space, case and printability (Unicode data from utf8proc), and Python's number syntax.
// Every string passed in is valid UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace axk1::jinja {

size_t count_code_points(std::string_view text);

// The code point at byte `at`, which is moved past it.
char32_t next_code_point(std::string_view text, size_t& at);

// Byte offset of code point `index`, at most text.size().
size_t byte_offset(std::string_view text, size_t index);

bool is_space(char32_t c);      // str.isspace
bool is_printable(char32_t c);  // str.isprintable
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alnum(char32_t c);
bool is_word(char32_t c);  // \w of the re module
bool is_identifier_part(char32_t c);
bool is_identifier(std::string_view text);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string casefold(std::string_view text);
std::string title(std::string_view text);       // str.title
std::string capitalize(std::string_view text);  // str.capitalize
std::string swapcase(std::string_view text);
std::string reversed(std::string_view text);

enum class Side { kLeft, kRight, kBoth };
// str.strip and its like; without `chars`, white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side);

// Offset of the first or last occurrence at or after `from`, npos when there is none. Linear time.
size_t find_part(std::string_view text, std::string_view part, size_t from = 0);
size_t rfind_part(std::string_view text, std::string_view part);

// At most max_splits splits (all when negative). Without a separator: at runs of white space.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits);
std::vector<std::string_view> rsplit(std::string_view text,
                                     std::optional<std::string_view> separator, int64_t max_splits);
std::vector<std::string_view> splitlines(std::string_view text, bool keep_ends);

// repr(): quoted as Python quotes it.
std::string quoted(std::string_view text);

// repr() of a float: 1.0, 1e+16, inf.
std::string float_text(double d);

// int(text, base) and float(text) of Python; nothing when Python raises ValueError.
std::optional<int64_t> parse_int(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

}  // namespace axk1::jinja
