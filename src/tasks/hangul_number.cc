#include "tasks/hangul_number.h"

#include <array>

#include "base/check.h"

namespace axk1 {
namespace {

constexpr std::array<std::string_view, 10> kDigits = {"영", "일", "이", "삼", "사",
                                                      "오", "육", "칠", "팔", "구"};
constexpr std::array<std::string_view, 4> kSmallUnits = {"", "십", "백", "천"};
constexpr std::array<std::string_view, 4> kLargeUnits = {"", "만", "억", "조"};
constexpr uint64_t kGroup = 10000;

std::string group_text(uint64_t group) {
  std::string text;
  for (size_t place = 4, unit = 1000; place-- > 0; unit /= 10) {
    const uint64_t digit = group / unit % 10;
    if (digit == 0) continue;
    if (digit > 1 || place == 0) text += kDigits[digit];
    text += kSmallUnits[place];
  }
  return text;
}

// The index of the word that `text` begins with, which is taken off it.
template <size_t N>
std::optional<size_t> take(std::string_view& text, const std::array<std::string_view, N>& words) {
  for (size_t i = 1; i < N; ++i) {
    if (text.starts_with(words[i])) {
      text.remove_prefix(words[i].size());
      return i;
    }
  }
  return std::nullopt;
}

// A number below 10,000; 0 when `text` does not begin with one.
uint64_t take_group(std::string_view& text) {
  constexpr uint64_t kPowers[] = {1, 10, 100, 1000};
  uint64_t sum = 0;
  for (size_t above = 4; above > 0;) {
    std::string_view rest = text;
    const std::optional<size_t> digit = take(rest, kDigits);
    const std::optional<size_t> unit = take(rest, kSmallUnits);
    if (!digit && !unit) break;
    const size_t place = unit.value_or(0);
    if (place >= above) break;  // units come in falling order
    sum += digit.value_or(1) * kPowers[place];
    text = rest;
    above = place;
  }
  return sum;
}

}  // namespace

std::string hangul_number(uint64_t number) {
  AXK1_CHECK(number < kGroup * kGroup * kGroup * kGroup);
  if (number == 0) return std::string(kDigits[0]);
  std::string text;
  for (size_t i = 4; i-- > 0;) {
    uint64_t group = number;
    for (size_t k = 0; k < i; ++k) group /= kGroup;
    group %= kGroup;
    if (group == 0) continue;
    const bool bare = i == 1 && group == 1 && text.empty();  // 만, not 일만
    if (!text.empty()) text += ' ';
    if (!bare) text += group_text(group);
    text += kLargeUnits[i];
  }
  return text;
}

std::optional<uint64_t> parse_hangul_number(std::string_view spaced) {
  std::string packed;
  for (char c : spaced) {
    if (c != ' ') packed += c;
  }
  if (packed == kDigits[0]) return 0;
  std::string_view text = packed;
  if (text.empty()) return std::nullopt;
  uint64_t sum = 0;
  for (size_t above = 4; !text.empty();) {
    uint64_t group = take_group(text);
    const size_t unit = take(text, kLargeUnits).value_or(0);
    if (unit >= above) return std::nullopt;
    if (group == 0) {
      if (unit != 1 || sum != 0) return std::nullopt;  // only 만 stands for itself
      group = 1;
    }
    for (size_t k = 0; k < unit; ++k) group *= kGroup;
    sum += group;
    above = unit;
  }
  return sum;
}

}  // namespace axk1
