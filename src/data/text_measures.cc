#include "data/text_measures.h"

// cld2's header leaves these to others.
#include <cstdio>
#include <cstring>
// clang-format off
#include <cld2/public/compact_lang_det.h>
// clang-format on
#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "io/checksum.h"
#include "tokenizer/unicode.h"

namespace axk1 {
namespace {

bool is_letter(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_hangul(char32_t c) {
  return (c >= 0xac00 && c <= 0xd7a3) ||  // syllables
         (c >= 0x1100 && c <= 0x11ff) || (c >= 0x3131 && c <= 0x318e) ||
         (c >= 0xa960 && c <= 0xa97c) || (c >= 0xd7b0 && c <= 0xd7fb);
}

// Scripts without spaces between words, or whose words change their endings.
bool stands_alone(char32_t c) {
  return is_hangul(c) || (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

template <class Body>
void for_each_character(std::string_view text, Body body) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(at));
    body(c.code_point, text.substr(at, c.length));
    at += c.length;
  }
}

}  // namespace

std::string normalise_for_comparison(std::string_view text) {
  const std::string composed = normalize(text, NormalForm::kNfc);
  std::string out;
  bool space = false;
  for_each_character(lowercase(composed), [&](char32_t c, std::string_view bytes) {
    if (is_whitespace(c)) {
      space = !out.empty();
      return;
    }
    if (space) out += ' ';
    space = false;
    out += bytes;
  });
  return out;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

double hangul_share(std::string_view text) {
  size_t letters = 0, hangul = 0;
  for_each_character(text, [&](char32_t c, std::string_view) {
    if (!is_letter(c)) return;
    ++letters;
    hangul += is_hangul(c);
  });
  return letters ? static_cast<double>(hangul) / static_cast<double>(letters) : 0;
}

std::string detect_language(std::string_view text) {
  // The first part says enough, and keeps the cost of long texts down.
  constexpr size_t kMaxBytes = 16 << 10;
  if (text.size() > kMaxBytes) {
    text = text.substr(0, kMaxBytes);
    text.remove_suffix(incomplete_utf8_tail(text));
  }
  bool reliable = false;
  CLD2::Language languages[3];
  int percents[3], text_bytes = 0;
  const CLD2::Language language =
      CLD2::DetectLanguageSummary(text.data(), static_cast<int>(text.size()), true, languages,
                                  percents, &text_bytes, &reliable);
  if (!reliable || language == CLD2::UNKNOWN_LANGUAGE) return "";
  return CLD2::LanguageCode(language);
}

std::vector<uint64_t> shingle_hashes(std::string_view text) {
  std::vector<uint64_t> units;
  size_t begin = 0, at = 0;
  const auto end_run = [&] {
    if (begin < at) units.push_back(checksum64(text.substr(begin, at - begin)));
  };
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    const bool alone = stands_alone(c);
    if (alone || !(is_letter(c) || is_mark(c) || is_numeric(c))) {
      end_run();
      if (alone) units.push_back(checksum64(bytes));
      begin = at + bytes.size();
    }
    at += bytes.size();
  });
  end_run();
  std::vector<uint64_t> hashes;
  if (units.empty()) return hashes;
  const size_t length = std::min(kShingleUnits, units.size());
  for (size_t i = 0; i + length <= units.size(); ++i) {
    hashes.push_back(checksum64(std::as_bytes(std::span(units).subspan(i, length))));
  }
  return hashes;
}

}  // namespace axk1
