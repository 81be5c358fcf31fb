#include "chat/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "base/utf8.h"

namespace axk1::jinja {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// The unconditional multi-character mappings of Unicode's SpecialCasing.txt that texts contain.
const char* special_upper(char32_t c) {
  switch (c) {
    case 0xdf:
      return "SS";
    case 0x149:
      return "\xca\xbcN";
    case 0x1f0:
      return "J\xcc\x8c";
    case 0xfb00:
      return "FF";
    case 0xfb01:
      return "FI";
    case 0xfb02:
      return "FL";
    case 0xfb03:
      return "FFI";
    case 0xfb04:
      return "FFL";
    case 0xfb05:
    case 0xfb06:
      return "ST";
    default:
      return nullptr;
  }
}

const char* special_title(char32_t c) {
  switch (c) {
    case 0xdf:
      return "Ss";
    case 0xfb00:
      return "Ff";
    case 0xfb01:
      return "Fi";
    case 0xfb02:
      return "Fl";
    case 0xfb03:
      return "Ffi";
    case 0xfb04:
      return "Ffl";
    case 0xfb05:
    case 0xfb06:
      return "St";
    default:
      return special_upper(c);
  }
}

char32_t simple(utf8proc_int32_t (*map)(utf8proc_int32_t), char32_t c) {
  return static_cast<char32_t>(map(static_cast<utf8proc_int32_t>(c)));
}

void append_upper(std::string& out, char32_t c) {
  if (const char* special = special_upper(c)) {
    out += special;
  } else {
    append_utf8(out, simple(utf8proc_toupper, c));
  }
}

void append_title(std::string& out, char32_t c) {
  if (const char* special = special_title(c)) {
    out += special;
  } else {
    append_utf8(out, simple(utf8proc_totitle, c));
  }
}

bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || is_title(c);
}

// Lower case of the character that ends at `next`; a capital sigma at the end of a word is final.
void append_lower(std::string& out, char32_t c, std::string_view text, size_t at, size_t next) {
  if (c == 0x130) {
    out += "i\xcc\x87";
    return;
  }
  if (c == 0x3a3) {
    size_t before = at;
    bool after_letter = false;
    if (before > 0) {
      do --before;
      while (before > 0 && (static_cast<unsigned char>(text[before]) & 0xc0) == 0x80);
      after_letter = is_cased(next_code_point(text, before));
    }
    size_t after = next;
    const bool before_letter = next < text.size() && is_cased(next_code_point(text, after));
    append_utf8(out, after_letter && !before_letter ? 0x3c2 : 0x3c3);
    return;
  }
  append_utf8(out, simple(utf8proc_tolower, c));
}

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

size_t previous(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

}  // namespace

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  if (static_cast<unsigned char>(text[at]) < 0x80) return static_cast<unsigned char>(text[at++]);
  const Utf8Char c = decode_utf8(text.substr(at));
  at += c.length;
  return c.code_point;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    --index;
  }
  return at;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_upper(char32_t c) {
  return utf8proc_isupper(static_cast<utf8proc_int32_t>(c));
}
bool is_lower(char32_t c) {
  return utf8proc_islower(static_cast<utf8proc_int32_t>(c));
}
bool is_title(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LT;
}

bool is_alpha(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool is_decimal(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_ND;
}

bool is_digit(char32_t c) {
  if (is_decimal(c)) return true;
  return c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) ||
         (c >= 0x2474 && c <= 0x247c) || (c >= 0x2488 && c <= 0x2490);
}

bool is_numeric(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      break;
  }
  static constexpr char32_t kHan[] = {0x3007, 0x4e00, 0x4e03, 0x4e07, 0x4e09,
                                      0x4e5d, 0x4e8c, 0x4e94, 0x5104, 0x516b,
                                      0x516d, 0x5341, 0x5343, 0x56db, 0x767e};
  return std::binary_search(std::begin(kHan), std::end(kHan), c);
}

bool is_alnum(char32_t c) {
  return is_alpha(c) || is_digit(c) || is_numeric(c);
}
bool is_word(char32_t c) {
  return c == '_' || is_alnum(c);
}

bool is_identifier_start(char32_t c) {
  // Other_ID_Start of Unicode's PropList.txt behind the categories.
  return c == '_' || is_alpha(c) || category(c) == UTF8PROC_CATEGORY_NL || c == 0x1885 ||
         c == 0x1886 || c == 0x2118 || c == 0x212e || c == 0x309b || c == 0x309c;
}

bool is_identifier_part(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_ND:
      return true;
    default:
      break;
  }
  // Other_ID_Continue.
  return is_identifier_start(c) || c == 0xb7 || c == 0x387 || (c >= 0x1369 && c <= 0x1371) ||
         c == 0x19da;
}

bool is_identifier(std::string_view text) {
  if (text.empty()) return false;
  size_t at = 0;
  if (!is_identifier_start(next_code_point(text, at))) return false;
  while (at < text.size()) {
    if (!is_identifier_part(next_code_point(text, at))) return false;
  }
  return true;
}

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    append_lower(out, c, text, start, at);
  }
  return out;
}

std::string casefold(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c == 0xdf || c == 0x1e9e) {
      out += "ss";
    } else if (c == 0x3c2) {
      append_utf8(out, 0x3c3);
    } else {
      append_utf8(out, simple(utf8proc_tolower, c));
    }
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (in_word) {
      append_lower(out, c, text, start, at);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (start == 0) {
      append_title(out, c);
    } else {
      append_lower(out, c, text, start, at);
    }
  }
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (is_upper(c)) {
      append_lower(out, c, text, start, at);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_utf8(out, c);
    }
  }
  return out;
}

std::string reversed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t end = text.size(); end > 0;) {
    const size_t start = previous(text, end);
    out.append(text.substr(start, end - start));
    end = start;
  }
  return out;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side) {
  std::u32string set;
  if (chars) {
    for (size_t at = 0; at < chars->size();) set.push_back(next_code_point(*chars, at));
    std::sort(set.begin(), set.end());
  }
  auto drop = [&](char32_t c) {
    return chars ? std::binary_search(set.begin(), set.end(), c) : is_space(c);
  };
  if (side != Side::kRight) {
    while (!text.empty()) {
      size_t at = 0;
      if (!drop(next_code_point(text, at))) break;
      text.remove_prefix(at);
    }
  }
  if (side != Side::kLeft) {
    while (!text.empty()) {
      const size_t start = previous(text, text.size());
      size_t at = start;
      if (!drop(next_code_point(text, at))) break;
      text.remove_suffix(text.size() - start);
    }
  }
  return text;
}

size_t find_part(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at ? static_cast<size_t>(static_cast<const char*>(at) - text.data())
            : std::string_view::npos;
}

size_t rfind_part(std::string_view text, std::string_view part) {
  if (part.empty()) return text.size();
  if (part.size() == 1) return text.rfind(part[0]);
  // The first occurrence in the reversed text: memmem is linear where string_view::rfind is not.
  const std::string back(text.rbegin(), text.rend());
  const std::string back_part(part.rbegin(), part.rend());
  const size_t at = find_part(back, back_part);
  return at == std::string_view::npos ? at : text.size() - at - part.size();
}

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits) {
  std::vector<std::string_view> parts;
  auto may_split = [&] { return max_splits < 0 || parts.size() < static_cast<size_t>(max_splits); };
  if (separator) {
    size_t from = 0;
    while (may_split()) {
      const size_t at = find_part(text, *separator, from);
      if (at == std::string_view::npos) break;
      parts.push_back(text.substr(from, at - from));
      from = at + separator->size();
    }
    parts.push_back(text.substr(from));
    return parts;
  }
  for (text = strip(text, {}, Side::kLeft); !text.empty(); text = strip(text, {}, Side::kLeft)) {
    if (!may_split()) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    for (size_t at = 0; at < text.size(); end = at) {
      if (is_space(next_code_point(text, at))) break;
    }
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<std::string_view> rsplit(std::string_view text,
                                     std::optional<std::string_view> separator,
                                     int64_t max_splits) {
  if (max_splits < 0) return split(text, separator, -1);
  std::vector<std::string_view> parts;
  auto may_split = [&] { return parts.size() < static_cast<size_t>(max_splits); };
  if (separator) {
    // One reversed copy for all splits keeps this linear.
    const std::string back(text.rbegin(), text.rend());
    const std::string back_separator(separator->rbegin(), separator->rend());
    size_t end = text.size();
    while (may_split()) {
      const size_t at = find_part(back, back_separator, text.size() - end);
      if (at == std::string_view::npos) break;
      const size_t start = text.size() - at;
      parts.push_back(text.substr(start, end - start));
      end = start - separator->size();
    }
    parts.push_back(text.substr(0, end));
  } else {
    for (text = strip(text, {}, Side::kRight); !text.empty();
         text = strip(text, {}, Side::kRight)) {
      if (!may_split()) {
        parts.push_back(text);
        break;
      }
      size_t start = text.size();
      while (start > 0) {
        const size_t before = previous(text, start);
        size_t at = before;
        if (is_space(next_code_point(text, at))) break;
        start = before;
      }
      parts.push_back(text.substr(start));
      text.remove_suffix(text.size() - start);
    }
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> splitlines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(text, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(start, (keep_ends ? at : end) - start));
    start = at;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

std::string quoted(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out.append(text.substr(start, at - start));
    } else {
      const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
      out += '\\';
      out += digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
      for (int i = digits - 1; i >= 0; --i) out += kHex[c >> (4 * i) & 15];
    }
  }
  out += quote;
  return out;
}

}  // namespace axk1::jinja
