// UTF-8 as Unicode 15 chapter 3.9 (table 3-7) defines it: no overlong forms, no surrogates, nothing
// above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace axk1 {

struct Utf8Char {
  char32_t code_point = 0;  // U+FFFD when not valid
  size_t length = 0;        // bytes used; for invalid input the maximal subpart (at least 1)
  bool valid = false;
  bool truncated = false;  // not valid only because the text ends: more bytes could complete it
};

// The first character of text, which must not be empty.
Utf8Char decode_utf8(std::string_view text);

// Appends the UTF-8 form. A surrogate or a value above U+10FFFF is written as U+FFFD.
void append_utf8(std::string& out, char32_t code_point);

bool is_valid_utf8(std::string_view text);

// Invalid sequences replaced by U+FFFD, one for each maximal subpart (the practice of Unicode
// chapter 3.9, and what Python's and Rust's lossy decoding do).
std::string utf8_lossy(std::string_view bytes);

// Bytes at the end of text that begin a character but do not complete it: 0 to 3.
size_t incomplete_utf8_tail(std::string_view text);

}  // namespace axk1
