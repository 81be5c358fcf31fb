// What tokenizers ask of Unicode: categories as Rust's char methods define them, normal forms.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace axk1 {

bool is_whitespace(char32_t c);   // char::is_whitespace, the White_Space property
bool is_numeric(char32_t c);      // char::is_numeric: categories Nd, Nl, No
bool is_punctuation(char32_t c);  // ASCII punctuation, or a category P*
bool is_mark(char32_t c);         // a category M*
// \w of Rust's regex: alphabetic, marks, decimal digits, connectors, the two joiners.
bool is_word(char32_t c);

// char::to_lowercase of every character (no context: a final sigma is like any other).
std::string lowercase(std::string_view valid_utf8);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Unicode Standard Annex 15, tables of utf8proc. Linear time, whatever the text.
std::string normalize(std::string_view valid_utf8, NormalForm form);
// A quick look: true only if normalising changes nothing.
bool is_normalized(std::string_view valid_utf8, NormalForm form);

// Bytes at the front of text that are valid UTF-8.
size_t valid_utf8_prefix(std::string_view text);

}  // namespace axk1
