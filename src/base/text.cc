#include "base/text.h"

#include <array>
#include <charconv>
#include <cstdio>

#include "base/utf8.h"

namespace axk1 {
namespace text_detail {

void append(std::string& out, std::string_view part) {
  out.append(part);
}
void append(std::string& out, char part) {
  out.push_back(part);
}
void append(std::string& out, bool part) {
  out.append(part ? "true" : "false");
}

template <class T>
static void append_number(std::string& out, T value) {
  std::array<char, 32> digits;
  auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), result.ptr);
}

void append(std::string& out, int64_t part) {
  append_number(out, part);
}
void append(std::string& out, uint64_t part) {
  append_number(out, part);
}
void append(std::string& out, double part) {
  append_number(out, part);
}

}  // namespace text_detail

std::string with_commas(uint64_t value) {
  std::string digits = cat(value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(at, 1, ',');
  return digits;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1024) return cat(bytes, " B");
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  while (value >= 1023.995 && unit < 5) {  // what would be printed as 1024.00
    value /= 1024;
    ++unit;
  }
  std::array<char, 48> out;
  std::snprintf(out.data(), out.size(), "%.2f %s", value, kUnits[unit]);
  return out.data();
}

std::string printable(std::string_view untrusted, size_t max_bytes) {
  std::string out;
  size_t at = 0;
  while (at < untrusted.size()) {
    if (out.size() >= max_bytes) return out + "...";
    Utf8Char c = decode_utf8(untrusted.substr(at));
    bool control =
        c.valid && (c.code_point < 0x20 || (c.code_point >= 0x7f && c.code_point < 0xa0));
    if (c.valid && !control) {
      out.append(untrusted.substr(at, c.length));
    } else {
      for (size_t i = 0; i < c.length; ++i) {
        std::array<char, 8> hex;
        std::snprintf(hex.data(), hex.size(), "\\x%02x",
                      static_cast<unsigned>(static_cast<unsigned char>(untrusted[at + i])));
        out.append(hex.data());
      }
    }
    at += c.length;
  }
  return out;
}

std::string html_escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace axk1
