#include "tasks/verify.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "tasks/hangul_number.h"

namespace axk1 {
namespace {

bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text = trimmed(text.substr(0, text.size() - end.size()));
  return true;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The number written one way: no commas, no zeros behind the point; nothing for any other text.
std::optional<std::string> plain_number(std::string_view text) {
  text = trimmed(text);
  for (std::string_view currency : {"원", "won", "KRW"}) {
    if (take_end(text, currency)) break;
  }
  constexpr std::string_view kWonSign = "₩";
  if (text.starts_with(kWonSign)) text.remove_prefix(kWonSign.size());
  std::string number;
  bool point = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool inside =
        i > 0 && i + 1 < text.size() && is_digit(text[i - 1]) && is_digit(text[i + 1]);
    if (is_digit(c) || (c == '-' && i == 0 && text.size() > 1)) {
      number += c;
    } else if (c == '.' && inside && !point) {
      point = true;
      number += c;
    } else if (c != ',' || !inside || point) {
      return std::nullopt;
    }
  }
  if (number.empty()) return std::nullopt;
  if (point) {
    number.erase(number.find_last_not_of('0') + 1);
    if (number.back() == '.') number.pop_back();
  }
  return number;
}

std::optional<uint64_t> hangul_amount(std::string_view text) {
  text = trimmed(text);
  take_end(text, "원");
  return parse_hangul_number(text);
}

std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 4 && is_digit(text[digits])) {
    number = number * 10 + (text[digits++] - '0');
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

using Date = std::array<int64_t, 3>;  // year, month, day

// Three numbers with these texts before, between and after them, spaces left out.
std::optional<Date> numbers_between(std::string_view text,
                                    const std::array<std::string_view, 3>& after) {
  Date date{};
  for (size_t i = 0; i < 3; ++i) {
    text = trimmed(text);
    const std::optional<int64_t> number = take_number(text);
    if (!number || !text.starts_with(after[i])) return std::nullopt;
    text.remove_prefix(after[i].size());
    date[i] = *number;
  }
  return text.empty() ? std::optional(date) : std::nullopt;
}

std::optional<Date> date_of(std::string_view text) {
  constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
  text = trimmed(text);
  if (const auto date = numbers_between(text, {"-", "-", ""})) return date;
  if (const auto date = numbers_between(text, {"년", "월", "일"})) return date;
  for (size_t m = 0; m < std::size(kMonths); ++m) {
    if (!text.starts_with(kMonths[m])) continue;
    text = trimmed(text.substr(kMonths[m].size()));
    const std::optional<int64_t> day = take_number(text);
    if (!day || !text.starts_with(",")) return std::nullopt;
    text = trimmed(text.substr(1));
    const std::optional<int64_t> year = take_number(text);
    if (!year || !text.empty()) return std::nullopt;
    return Date{*year, static_cast<int64_t>(m) + 1, *day};
  }
  return std::nullopt;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Whether the values are equal, objects in any order of keys.
bool is_call(std::string_view given, const json::value& expected) {
  constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
  given = trimmed(given);
  if (given.starts_with(kOpen)) {
    given.remove_prefix(kOpen.size());
    if (!take_end(given, kClose)) return false;
  }
  try {
    const json::value call = json::parse(trimmed(given), "call");
    if (!call.is_object() || call.get_object().size() != 2) return false;
    return call == expected;  // of objects: whatever the order of their keys
  } catch (const Error&) {
    return false;
  }
}

template <class T>
bool is_same(const T& expected, const T& given, std::string_view text) {
  if (!expected) {
    fail(ErrorCode::kInvalidInput, "answer of a task: found \"", printable(text),
         "\", which is not of the form of its kind");
  }
  return expected == given;
}

}  // namespace

bool is_right_answer(const TaskKind& kind, std::string_view expected, std::string_view given) {
  given = trimmed(given);
  if (kind.form == AnswerForm::kToolCall) {
    return is_call(given, json::parse(expected, "answer of a task"));
  }
  if (given == trimmed(expected)) return true;
  take_end(given, ".");
  switch (kind.form) {
    case AnswerForm::kNumber:
      return is_same(plain_number(expected), plain_number(given), expected);
    case AnswerForm::kHangulNumber:
      return is_same(hangul_amount(expected), hangul_amount(given), expected);
    case AnswerForm::kDate:
      return is_same(date_of(expected), date_of(given), expected);
    default:
      return kind.group == "dates" ? lower(given) == lower(expected) : given == expected;
  }
}

AskedTask read_task(const json::value& row, const std::string& source) {
  const json::ObjectReader reader(row, source);
  const json::value& task = reader.get("task");
  const json::ObjectReader fields(task, source + ": task");
  AskedTask asked;
  try {
    asked.kind = &find_task_kind(fields.get_string("kind"));
  } catch (const Error& error) {
    fail(error.code(), source, ": task: ", error.what());
  }
  const auto one_of = [&](const char* field, std::string_view first, std::string_view second) {
    const std::string text = fields.get_string(field);
    if (text != first && text != second) {
      fields.wrong(field, fields.get(field), cat(first, " or ", second));
    }
    return text == second;
  };
  asked.language = one_of("language", "ko", "en") ? TaskLanguage::kEnglish : TaskLanguage::kKorean;
  asked.mode = one_of("mode", "no_think", "think") ? TaskMode::kThink : TaskMode::kNoThink;
  asked.held_out = fields.bool_or("held_out", false);
  asked.answer = fields.get_string("answer");
  const json::value& messages = reader.get("messages");
  if (!messages.is_array()) reader.wrong("messages", messages, "an array");
  asked.messages = messages.get_array();
  const auto is_answer = [&](const json::value& message) {
    return json::ObjectReader(message, source + ": messages").get_string("role") == "assistant";
  };
  if (!asked.messages.empty() && is_answer(asked.messages.back())) asked.messages.pop_back();
  if (asked.messages.empty()) reader.refuse("messages", "expected a question");
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    asked.tools = tools->get_array();
  }
  return asked;
}

}  // namespace axk1
