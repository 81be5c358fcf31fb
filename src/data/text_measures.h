// What filters ask about a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace axk1 {

// The text as duplicates are compared: NFC, lower case, each run of white space one space, none at
// the ends. Valid UTF-8 only.
std::string normalise_for_comparison(std::string_view valid_utf8);

size_t count_characters(std::string_view valid_utf8);

// The share of Hangul (syllables and letters) among letters; 0 without letters.
double hangul_share(std::string_view valid_utf8);

// ISO 639 code ("ko", "en", ...) of the language that CLD2 takes most of the text for, or "" when
// it is not sure, as with short texts.
std::string detect_language(std::string_view valid_utf8);

// Hashes of the text's shingles: 5 units one after the other, of all units that it has where those
// are fewer. A unit is a syllable of Hangul or a character of Han or kana by itself, and a run of
// other letters and digits together; everything else only separates. `normalised` comes from
// normalise_for_comparison. Not sorted; empty for a text without units.
inline constexpr size_t kShingleUnits = 5;
std::vector<uint64_t> shingle_hashes(std::string_view normalised);

}  // namespace axk1
