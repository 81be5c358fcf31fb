// Numbers in Hangul, Sino-Korean: 12345 is 만 이천삼백사십오.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace axk1 {

// Below 10^16. Words are spaced at 만, 억 and 조 (Hangul orthography, article 44); 일 is left out
// before 십, 백, 천, and before 만 at the beginning.
std::string hangul_number(uint64_t number);

// Reads what hangul_number() writes; also with 일 where it is left out, and with other spacing.
// Nothing for any other text.
std::optional<uint64_t> parse_hangul_number(std::string_view text);

}  // namespace axk1
