#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

constexpr char32_t kNumCodePoints = 0x110000;

// One bit per code point: can it stand anywhere without normalisation changing it or anything
// around it together with what stands before? (Quick_Check=Yes and combining class 0, UAX 15
// section 9.) What follows it may still combine with it.
using StableSet = std::array<uint64_t, kNumCodePoints / 64>;

int form_options(NormalForm form) {
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  return UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
}

bool composes(NormalForm form) {
  return form == NormalForm::kNfc || form == NormalForm::kNfkc;
}

// The full decomposition of one character, 18 code points at most (U+FDFA under NFKD).
struct Decomposition {
  std::array<utf8proc_int32_t, 32> points;
  size_t count;
};
Decomposition decompose(char32_t c, int options) {
  Decomposition result{};
  int last_boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), result.points.data(),
                              static_cast<utf8proc_ssize_t>(result.points.size()),
                              static_cast<utf8proc_option_t>(options), &last_boundary);
  AXK1_CHECK(count >= 0 && static_cast<size_t>(count) <= result.points.size());
  result.count = static_cast<size_t>(count);
  return result;
}

int combining_class(char32_t c) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

void compose(std::vector<utf8proc_int32_t>& points) {
  const auto count =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  AXK1_CHECK(count >= 0);
  points.resize(static_cast<size_t>(count));
}

std::unique_ptr<const StableSet> build_stable_set(NormalForm form) {
  auto set = std::make_unique<StableSet>();
  set->fill(~uint64_t{0});
  auto clear = [&](char32_t c) { (*set)[c / 64] &= ~(uint64_t{1} << (c % 64)); };
  const int options = form_options(form);
  std::vector<utf8proc_int32_t> points;
  // The ideographs, and what lies behind the last compatibility ideograph, have neither classes nor
  // decompositions. Hangul syllables are whole in the composed forms; their vowels and finals are
  // tails of compositions.
  for (char32_t c = 0x80; c < 0x2fa20; ++c) {
    if (c == 0x3400) c = 0x4dc0;
    if (c == 0x4e00) c = 0xa000;
    if (c == 0x20000) c = 0x2f800;
    if (c == 0xac00) {
      for (; c < 0xd7a4; ++c) {
        if (!composes(form)) clear(c);
      }
      for (char32_t jamo = 0x1161; jamo <= 0x11c2 && composes(form); ++jamo) clear(jamo);
      c = 0xe000;
    }
    if (combining_class(c) != 0) clear(c);
    const Decomposition parts = decompose(c, options);
    if (parts.count == 1 && parts.points[0] == static_cast<utf8proc_int32_t>(c)) continue;
    if (composes(form)) {
      points.assign(parts.points.begin(), parts.points.begin() + parts.count);
      compose(points);
      if (points.size() != 1 || points[0] != static_cast<utf8proc_int32_t>(c)) clear(c);
      // What can be the tail of a composition combines with what stands before it.
      for (size_t i = 1; i < parts.count; ++i) clear(static_cast<char32_t>(parts.points[i]));
    } else {
      clear(c);
    }
  }
  return set;
}

const StableSet& stable_set(NormalForm form) {
  // Built when a tokenizer first asks; the initialisation of statics is thread-safe.
  switch (form) {
    case NormalForm::kNfc: {
      static const auto set = build_stable_set(NormalForm::kNfc);
      return *set;
    }
    case NormalForm::kNfd: {
      static const auto set = build_stable_set(NormalForm::kNfd);
      return *set;
    }
    case NormalForm::kNfkc: {
      static const auto set = build_stable_set(NormalForm::kNfkc);
      return *set;
    }
    case NormalForm::kNfkd:
      break;
  }
  static const auto set = build_stable_set(NormalForm::kNfkd);
  return *set;
}

bool is_stable(const StableSet& set, char32_t c) {
  return set[c / 64] >> (c % 64) & 1;
}

// Normalises text that must not be split from what surrounds it. utf8proc_map is not used: it sorts
// marks by insertion, which is quadratic in their number.
void normalize_run(std::string_view text, NormalForm form, std::string& out) {
  std::vector<utf8proc_int32_t> points;
  const int options = form_options(form);
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    text.remove_prefix(c.length);
    const Decomposition parts = decompose(c.code_point, options);
    points.insert(points.end(), parts.points.begin(), parts.points.begin() + parts.count);
  }
  auto class_of = [](utf8proc_int32_t c) { return combining_class(static_cast<char32_t>(c)); };
  for (size_t i = 0; i < points.size();) {
    if (class_of(points[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < points.size() && class_of(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + static_cast<ptrdiff_t>(i),
                     points.begin() + static_cast<ptrdiff_t>(end),
                     [&](auto a, auto b) { return class_of(a) < class_of(b); });
    i = end;
  }
  if (composes(form)) compose(points);
  for (const auto point : points) append_utf8(out, static_cast<char32_t>(point));
}

}  // namespace

bool is_whitespace(char32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) ||
           (c >= 0x7b && c <= 0x7e);
  }
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool is_word(char32_t c) {
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_ME) ||
         kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d ||
         (c >= 0x24b6 && c <= 0x24e9) ||                                      // Other_Alphabetic
         (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||  // that are symbols
         (c >= 0x1f170 && c <= 0x1f189);
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    text.remove_prefix(c.length);
    if (c.code_point == 0x130) {  // the one character whose lower case is two (SpecialCasing.txt)
      out += "i\xcc\x87";
    } else {
      append_utf8(out, static_cast<char32_t>(
                           utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code_point))));
    }
  }
  return out;
}

bool is_normalized(std::string_view text, NormalForm form) {
  const StableSet& stable = stable_set(form);
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    char32_t c;
    if (lead >= 0xe0 && lead < 0xf0) {
      c = static_cast<char32_t>(lead & 0x0f) << 12 |
          static_cast<char32_t>(text[at + 1] & 0x3f) << 6 |
          static_cast<char32_t>(text[at + 2] & 0x3f);
      at += 3;
    } else {
      const Utf8Char decoded = decode_utf8(text.substr(at));
      c = decoded.code_point;
      at += decoded.length;
    }
    if (!is_stable(stable, c)) return false;
  }
  return true;
}

std::string normalize(std::string_view text, NormalForm form) {
  const StableSet& stable = stable_set(form);
  std::string out;
  size_t copied = 0;  // text before this is in out
  size_t last = 0;    // where the last stable character begins
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      last = at++;
      continue;
    }
    const Utf8Char c = decode_utf8(text.substr(at));
    if (is_stable(stable, c.code_point)) {
      last = at;
      at += c.length;
      continue;
    }
    // From the last stable character up to the next one.
    size_t end = at + c.length;
    while (end < text.size()) {
      const Utf8Char follower = decode_utf8(text.substr(end));
      if (is_stable(stable, follower.code_point)) break;
      end += follower.length;
    }
    last = std::max(last, copied);
    out.append(text.substr(copied, last - copied));
    normalize_run(text.substr(last, end - last), form, out);
    copied = last = at = end;
  }
  if (copied == 0 && out.empty()) return std::string(text);
  out.append(text.substr(copied));
  return out;
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size()) {
      uint64_t eight;
      std::memcpy(&eight, text.data() + at, 8);
      const uint64_t high = eight & 0x8080808080808080u;
      if (high == 0) {
        at += 8;
        continue;
      }
      at += static_cast<size_t>(std::countr_zero(high)) / 8;
    } else if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    // Hangul and most other letters of three bytes (lead E1 to EC) need no further look.
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead >= 0xe1 && lead <= 0xec && at + 3 <= text.size() &&
        (static_cast<unsigned char>(text[at + 1]) & 0xc0) == 0x80 &&
        (static_cast<unsigned char>(text[at + 2]) & 0xc0) == 0x80) {
      at += 3;
      continue;
    }
    const Utf8Char c = decode_utf8(text.substr(at));
    if (!c.valid) return at;
    at += c.length;
  }
  return at;
}

}  // namespace axk1
