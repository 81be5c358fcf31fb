#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/utf8.h"
#include "tasks/generate.h"
#include "tasks/hangul_number.h"
#include "tasks/task.h"
#include "tasks/verify.h"
#include "tasks/wording.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

constexpr TaskLanguage kLanguages[] = {TaskLanguage::kKorean, TaskLanguage::kEnglish};
constexpr uint64_t kSeeds = 150;

void for_each_task(std::string_view kind, const std::function<void(const Task&)>& check) {
  for (TaskLanguage language : kLanguages) {
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const Task task = make_task(find_task_kind(kind), language, seed);
      SCOPED_TRACE(task.question + " -> " + task.answer);
      check(task);
    }
  }
}

// The whole numbers that a text has, commas within them left out.
std::vector<int64_t> numbers_in(std::string_view text) {
  std::vector<int64_t> numbers;
  bool inside = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = std::isdigit(static_cast<unsigned char>(text[i])) != 0;
    if (digit && !inside) numbers.push_back(0);
    if (digit) numbers.back() = numbers.back() * 10 + (text[i] - '0');
    const bool comma = inside && text[i] == ',' && i + 1 < text.size() &&
                       std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0;
    inside = digit || comma;
  }
  return numbers;
}

int64_t as_number(std::string_view text) {
  const int64_t sign = text.starts_with('-') ? -1 : 1;
  return sign * numbers_in(text).at(0);
}

TEST(Tasks, ArithmeticFromTheQuestion) {
  for_each_task("add", [](const Task& t) {
    const auto n = numbers_in(t.question);
    ASSERT_EQ(n.size(), 2u);
    EXPECT_EQ(t.answer, cat(n[0] + n[1]));
  });
  for_each_task("subtract", [](const Task& t) {
    auto n = numbers_in(t.question);
    ASSERT_EQ(n.size(), 2u);
    if (t.question.find(" from ") != std::string::npos || t.question.starts_with("Take")) {
      std::swap(n[0], n[1]);
    }
    EXPECT_EQ(t.answer, cat(n[0] - n[1]));
  });
  for_each_task("multiply", [](const Task& t) {
    const auto n = numbers_in(t.question);
    ASSERT_EQ(n.size(), 2u);
    EXPECT_EQ(t.answer, cat(n[0] * n[1]));
  });
  for_each_task("divide", [](const Task& t) {
    const auto n = numbers_in(t.question);
    ASSERT_EQ(n.size(), 2u);
    EXPECT_EQ(n[0] % n[1], 0);
    EXPECT_EQ(t.answer, cat(n[0] / n[1]));
    EXPECT_GE(n[0], 10);
    EXPECT_LT(n[0], 10000);
  });
}

// Value of sums, differences, products and quotients; NaN for what is no expression.
class Expression {
 public:
  explicit Expression(std::string_view text) : rest_(text) {}
  double value() {
    const double v = sum();
    return rest_.empty() ? v : std::nan("");
  }

 private:
  bool take(std::string_view sign) {
    if (!rest_.starts_with(sign)) return false;
    rest_.remove_prefix(sign.size());
    return true;
  }
  double sum() {
    double v = product();
    for (;;) {
      if (take("+")) {
        v += product();
      } else if (take("-")) {
        v -= product();
      } else {
        return v;
      }
    }
  }
  double product() {
    double v = factor();
    for (;;) {
      if (take("×")) {
        v *= factor();
      } else if (take("÷")) {
        v /= factor();
      } else {
        return v;
      }
    }
  }
  double factor() {
    if (take("-")) return -factor();
    if (take("(")) {
      const double v = sum();
      return take(")") ? v : std::nan("");
    }
    size_t used = 0;
    const std::string text(rest_.substr(0, rest_.find_first_not_of("0123456789.")));
    if (text.empty()) return std::nan("");
    const double v = std::stod(text, &used);
    rest_.remove_prefix(used);
    return v;
  }
  std::string_view rest_;
};

// Every equation of a working holds, and the last one gives the answer.
TEST(Tasks, WorkingsAreRight) {
  for (const char* kind :
       {"add", "subtract", "multiply", "divide", "units", "change", "vat", "days_between"}) {
    for_each_task(kind, [&](const Task& t) {
      std::string last;
      size_t equations = 0;
      for (size_t at = 0; at < t.reasoning.size();) {
        const size_t end = std::min(t.reasoning.find('\n', at), t.reasoning.size());
        std::string_view line = std::string_view(t.reasoning).substr(at, end - at);
        at = end + 1;
        if (std::string_view(kind) == "units" && line.starts_with("1")) {
          if (std::isnan(Expression(line.substr(0, line.find('='))).value())) continue;
        }
        while (!line.empty()) {  // "17÷6=2, 17-12=5" or "8+6=14: 4, carry 1"
          const size_t comma = std::min(line.find(", "), line.size());
          std::string_view equation = line.substr(0, comma);
          line.remove_prefix(std::min(line.size(), comma + 2));
          const size_t sign = equation.find('=');
          if (sign == std::string_view::npos) continue;  // "carry 1"
          last = equation.substr(sign + 1);
          std::string_view right = last;
          right = right.substr(0, right.find(": "));
          double left = Expression(equation.substr(0, sign)).value();
          if (std::string_view(kind) == "divide" && sign != equation.size() && !line.empty()) {
            left = std::floor(left);  // a step of a long division
          }
          EXPECT_DOUBLE_EQ(left, Expression(right).value()) << equation;
          ++equations;
        }
      }
      EXPECT_GE(equations, 1u) << t.reasoning;
      EXPECT_TRUE(is_right_answer(find_task_kind(kind), t.answer, last)) << t.reasoning;
    });
  }
}

TEST(Tasks, UnitsFromTheWorking) {
  const std::map<std::string, std::string> factors = {{"1km", "1000m"},
                                                      {"1m", "100cm"},
                                                      {"1cm", "10mm"},
                                                      {"1kg", "1000g"},
                                                      {"1t", "1000kg"},
                                                      {"1L", "1000mL"},
                                                      {"1시간", "60분"},
                                                      {"1분", "60초"},
                                                      {"1일", "24시간"},
                                                      {"1주", "7일"},
                                                      {"1피트", "12인치"},
                                                      {"1 km", "1000 m"},
                                                      {"1 m", "100 cm"},
                                                      {"1 cm", "10 mm"},
                                                      {"1 kg", "1000 g"},
                                                      {"1 t", "1000 kg"},
                                                      {"1 L", "1000 mL"},
                                                      {"1 hours", "60 minutes"},
                                                      {"1 minutes", "60 seconds"},
                                                      {"1 days", "24 hours"},
                                                      {"1 weeks", "7 days"},
                                                      {"1 feet", "12 inches"}};
  size_t seen = 0;
  for_each_task("units", [&](const Task& t) {
    const std::string line = t.reasoning.substr(0, t.reasoning.find('\n'));
    const auto known = factors.find(line.substr(0, line.find('=')));
    if (known == factors.end()) return;  // "2 hours and 5 minutes" begins with its product
    ++seen;
    EXPECT_EQ(line.substr(line.find('=') + 1), known->second);
  });
  EXPECT_GT(seen, kSeeds);
}

struct Ymd {
  int64_t y, m, d;
};

// Dates of a question: 2024-05-17, 2024년 5월 17일, May 17, 2024.
std::vector<Ymd> dates_in(const std::string& text) {
  const std::vector<std::string> months = {"January",   "February", "March",    "April",
                                           "May",       "June",     "July",     "August",
                                           "September", "October",  "November", "December"};
  std::string numbered = text;
  bool english = false;
  for (size_t m = 0; m < months.size(); ++m) {
    for (size_t at; (at = numbered.find(months[m] + " ")) != std::string::npos;) {
      numbered.replace(at, months[m].size(), cat(m + 1));
      english = true;
    }
  }
  const auto n = numbers_in(numbered);
  std::vector<Ymd> dates;
  for (size_t i = 0; i + 2 < n.size(); ++i) {
    if (english && n[i + 2] > 1900) {
      dates.push_back({n[i + 2], n[i], n[i + 1]});
      i += 2;
    } else if (!english && n[i] > 1900) {
      dates.push_back({n[i], n[i + 1], n[i + 2]});
      i += 2;
    }
  }
  return dates;
}

int64_t length_of(int64_t y, int64_t m) {
  if (m == 2) return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
  return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

Ymd next(Ymd date) {
  if (++date.d > length_of(date.y, date.m)) {
    date.d = 1;
    if (++date.m > 12) date.m = 1, ++date.y;
  }
  return date;
}

bool same(const Ymd& a, const Ymd& b) {
  return a.y == b.y && a.m == b.m && a.d == b.d;
}

// Zeller's congruence; 0 is Sunday.
int64_t zeller(Ymd date) {
  if (date.m < 3) date.m += 12, --date.y;
  const int64_t k = date.y % 100, j = date.y / 100;
  return (date.d + 13 * (date.m + 1) / 5 + k + k / 4 + j / 4 + 5 * j + 6) % 7;
}

const std::vector<std::string> kKoreanDays = {"일요일", "월요일", "화요일", "수요일",
                                              "목요일", "금요일", "토요일"};
const std::vector<std::string> kEnglishDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};

TEST(Tasks, DatesFromTheQuestion) {
  for_each_task("weekday", [](const Task& t) {
    const auto dates = dates_in(t.question);
    ASSERT_EQ(dates.size(), 1u);
    const auto& names = t.language == TaskLanguage::kKorean ? kKoreanDays : kEnglishDays;
    EXPECT_EQ(t.answer, names[zeller(dates[0])]);
    EXPECT_THAT(t.reasoning, ::testing::EndsWith(t.answer));
  });
  for_each_task("days_between", [](const Task& t) {
    const auto dates = dates_in(t.question);
    ASSERT_EQ(dates.size(), 2u);
    int64_t days = 0;
    for (Ymd at = dates[0]; !same(at, dates[1]) && days < 1000; at = next(at)) ++days;
    EXPECT_EQ(t.answer, cat(days));
  });
  for_each_task("date_after", [](const Task& t) {
    const auto dates = dates_in(t.question);
    ASSERT_EQ(dates.size(), 1u);
    std::vector<int64_t> n = numbers_in(t.question);
    const std::vector<int64_t> p = numbers_in(t.problem);
    const int64_t days = p.back();
    EXPECT_THAT(n, ::testing::Contains(days));
    Ymd at = dates[0];
    for (int64_t i = 0; i < days; ++i) at = next(at);
    const auto answer = dates_in(t.answer);
    ASSERT_EQ(answer.size(), 1u);
    EXPECT_TRUE(same(answer[0], at));
  });
  for_each_task("weekday_after", [](const Task& t) {
    const auto& names = t.language == TaskLanguage::kKorean ? kKoreanDays : kEnglishDays;
    const auto today = std::ranges::find_if(
        names, [&](const auto& name) { return t.question.find(name) != std::string::npos; });
    ASSERT_NE(today, names.end());
    const bool back = t.question.find("전") != std::string::npos ||
                      t.question.find(" ago") != std::string::npos ||
                      t.question.find(" before") != std::string::npos;
    int64_t at = today - names.begin();
    for (int64_t i = numbers_in(t.question).at(0); i > 0; --i) at = (at + (back ? 6 : 1)) % 7;
    EXPECT_EQ(t.answer, names[at]);
    EXPECT_THAT(t.reasoning, ::testing::EndsWith(t.answer));
  });
}

TEST(Tasks, MoneyFromTheQuestion) {
  for_each_task("won_read", [](const Task& t) {
    EXPECT_EQ(parse_hangul_number(t.answer.substr(0, t.answer.find(" 원"))),
              numbers_in(t.question).at(0));
    EXPECT_THAT(t.answer, HasSubstr(" 원"));
  });
  for_each_task("won_write", [](const Task& t) {
    EXPECT_THAT(t.question, HasSubstr(hangul_number(static_cast<uint64_t>(as_number(t.answer)))));
  });
  for_each_task("change", [](const Task& t) {
    auto n = numbers_in(t.question);
    ASSERT_EQ(n.size(), 3u);
    std::ranges::sort(n);  // count, price, what was paid
    EXPECT_EQ(as_number(t.answer), n[2] - n[0] * n[1]);
    EXPECT_GT(as_number(t.answer), 0);
  });
  for_each_task("vat", [](const Task& t) {
    auto n = numbers_in(t.question);
    std::erase(n, 10);
    ASSERT_EQ(n.size(), 1u);
    const int64_t answer = as_number(t.answer);
    // One of: the tax of a net price, a total; of a total its tax or net price. The wording tells.
    const auto says = [&](const char* text) { return t.question.find(text) != std::string::npos; };
    if (says("포함한 금액이") || says("포함 ") || says("includes") || says("with 10% VAT is")) {
      const bool net = says("공급가액은") || says("뺀") || says("net price?") || says("without");
      EXPECT_EQ(answer * 11, n[0] * (net ? 10 : 1));
    } else {
      const bool total = says("포함한") || says("더하면") || says("total") || says("in all");
      EXPECT_EQ(answer * 10, n[0] * (total ? 11 : 1));
    }
  });
}

// What stands behind the first `skip` words of a problem.
std::string rest_of(const std::string& problem, int skip) {
  size_t at = 0;
  for (; skip > 0; --skip) at = problem.find(' ', at) + 1;
  return problem.substr(at);
}

TEST(Tasks, TextsFromTheProblem) {
  for_each_task("reverse", [](const Task& t) {
    const std::string text = rest_of(t.problem, 1);
    EXPECT_THAT(t.question, HasSubstr(text));
    std::string back;
    for (size_t at = 0; at < text.size();) {
      const size_t length = decode_utf8(std::string_view(text).substr(at)).length;
      back.insert(0, text, at, length);
      at += length;
    }
    EXPECT_EQ(t.answer, back);
  });
  for_each_task("replace", [](const Task& t) {
    const size_t a = t.problem.find(' ') + 1, b = t.problem.find(' ', a) + 1;
    const size_t c = t.problem.find(' ', b) + 1;
    const std::string from = t.problem.substr(a, b - a - 1), to = t.problem.substr(b, c - b - 1);
    std::string text = t.problem.substr(c);
    EXPECT_THAT(t.question, HasSubstr(text));
    EXPECT_THAT(text, HasSubstr(from));
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
    EXPECT_EQ(t.answer, text);
  });
  for_each_task("sort", [](const Task& t) {
    const auto parts = [](const std::string& list) {
      std::vector<std::string> all;
      for (size_t at = 0; at <= list.size();) {
        const size_t end = std::min(list.find(", ", at), list.size());
        all.push_back(list.substr(at, end - at));
        at = end + 2;
      }
      return all;
    };
    const auto before = parts(rest_of(t.problem, 2)), after = parts(t.answer);
    EXPECT_THAT(t.question, HasSubstr(rest_of(t.problem, 2)));
    EXPECT_THAT(after, ::testing::UnorderedElementsAreArray(before));
    const bool falling = t.question.find("큰 수") != std::string::npos ||
                         t.question.find("역순") != std::string::npos ||
                         t.question.find("내림") != std::string::npos ||
                         t.question.find("descending") != std::string::npos ||
                         t.question.find("from largest") != std::string::npos ||
                         t.question.find("reverse") != std::string::npos;
    for (size_t i = 1; i < after.size(); ++i) {
      const bool digits = std::isdigit(static_cast<unsigned char>(after[0][0])) != 0;
      const bool less = digits ? as_number(after[i - 1]) < as_number(after[i])
                               : after[i - 1].compare(after[i]) < 0;
      EXPECT_EQ(less, !falling) << after[i - 1] << " " << after[i];
    }
  });
  for_each_task("letter_case", [](const Task& t) {
    const bool up = t.question.find("대문자") != std::string::npos ||
                    t.question.find("upper") != std::string::npos ||
                    t.question.find("capital") != std::string::npos;
    std::string text = rest_of(t.problem, 1);
    EXPECT_THAT(t.question, HasSubstr(text));
    for (char& c : text) {
      const auto u = static_cast<unsigned char>(c);
      c = static_cast<char>(up ? std::toupper(u) : std::tolower(u));
    }
    EXPECT_EQ(t.answer, text);
    EXPECT_NE(t.answer, rest_of(t.problem, 1));
  });
}

TEST(Tasks, CountsFromTheProblem) {
  const auto occurrences = [](const std::string& text, const std::string& what) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++count;
    return count;
  };
  for_each_task("count_characters", [](const Task& t) {
    const std::string text = rest_of(t.problem, 1);
    EXPECT_THAT(t.question, HasSubstr("\"" + text + "\""));
    size_t starts = 0;  // of UTF-8 sequences
    for (char c : text) starts += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    EXPECT_EQ(t.answer, cat(starts));
  });
  for_each_task("count_letter", [&](const Task& t) {
    const std::string text = rest_of(t.problem, 2), both = rest_of(t.problem, 1);
    const std::string letter = both.substr(0, both.find(' '));
    EXPECT_THAT(t.question, HasSubstr("\"" + text + "\""));
    EXPECT_THAT(t.question, HasSubstr("'" + letter + "'"));
    EXPECT_EQ(t.answer, cat(occurrences(text, letter)));
  });
  for_each_task("count_words", [&](const Task& t) {
    EXPECT_EQ(t.answer, cat(occurrences(t.problem, " ")));
    EXPECT_THAT(t.question, HasSubstr(rest_of(t.problem, 1)));
  });
  for_each_task("count_items", [&](const Task& t) {
    const std::string both = rest_of(t.problem, 1), list = rest_of(t.problem, 3);
    const std::string item = both.substr(0, both.find(' '));
    EXPECT_THAT(t.question, HasSubstr(list));
    EXPECT_EQ(t.answer, cat(occurrences(", " + list + ",", ", " + item + ",")));
  });
}

TEST(Tasks, ToolCallsFitTheirSchemas) {
  for_each_task("tool_call", [](const Task& t) {
    const json::value call = json::parse(t.answer, "answer");
    size_t found = 0;
    for (const json::value& tool : t.tools) {
      const json::value& function = tool.at("function");
      if (function.at("name") != call.at("name")) continue;
      ++found;
      const json::object& properties = function.at("parameters").at("properties").get_object();
      const json::object& arguments = call.at("arguments").get_object();
      EXPECT_EQ(arguments.size(), properties.size());
      for (const auto& [name, value] : arguments) {
        ASSERT_TRUE(properties.contains(name));
        const bool integer = properties.at(name).at("type") == "integer";
        EXPECT_EQ(value.is_int64(), integer);
        // What the request says is what is to be passed on.
        EXPECT_THAT(t.question, HasSubstr(value.is_string() ? std::string(value.get_string())
                                                            : cat(value.get_int64())));
      }
    }
    EXPECT_EQ(found, 1u);
    EXPECT_LE(t.tools.size(), 3u);
  });
}

TEST(Tasks, OwnAnswersAreRightAndOthersWrong) {
  for (const TaskKind& kind : task_kinds()) {
    std::string last;
    for_each_task(kind.name, [&](const Task& t) {
      EXPECT_TRUE(is_right_answer(kind, t.answer, "\n" + t.answer + " "));
      EXPECT_FALSE(is_right_answer(kind, t.answer, ""));
      EXPECT_FALSE(is_right_answer(kind, t.answer, t.answer + " 7"));
      EXPECT_FALSE(is_right_answer(kind, t.answer, t.question));
      if (!last.empty()) {
        const bool equal = kind.form == AnswerForm::kToolCall
                               ? json::parse(last, "a") == json::parse(t.answer, "b")
                               : last == t.answer;
        if (!equal && kind.form != AnswerForm::kDate && kind.form != AnswerForm::kNumber) {
          EXPECT_FALSE(is_right_answer(kind, t.answer, last)) << last;
        }
      }
      EXPECT_TRUE(is_valid_utf8(t.question) && is_valid_utf8(t.reasoning));
      EXPECT_EQ(t.question.find_first_of("{}"), std::string::npos);
      last = t.answer;
    });
  }
}

TEST(Tasks, SidesAndFilesShareNoProblem) {
  // A kind with few problems: both sides meet each of them, if they could.
  std::map<bool, std::set<std::string>> problems;
  for (bool held_out : {false, true}) {
    std::set<std::string> questions;
    generate_tasks(
        {.seed = held_out ? 2u : 1u,
         .count = held_out ? 40u : 1500u,
         .kinds = {"weekday_after", "counting"},
         .modes = {TaskMode::kNoThink},
         .held_out = held_out},
        [&](const json::object& row) {
          const AskedTask asked = read_task(row, "row");
          EXPECT_EQ(asked.held_out, held_out);
          const json::object& task = row.at("task").get_object();
          const Task made =
              make_task(*asked.kind, asked.language, task.at("seed").to_number<uint64_t>());
          EXPECT_EQ(made.question, std::string(asked.messages[0].at("content").get_string()));
          problems[held_out].insert(made.problem);
          EXPECT_TRUE(questions.insert(made.question).second) << made.question;
        });
  }
  for (const std::string& problem : problems[true]) EXPECT_FALSE(problems[false].contains(problem));
  EXPECT_GE(problems[true].size(), 20u);
}

TEST(Tasks, RowsAndTheirOrder) {
  const auto lines = [](uint64_t seed) {
    std::vector<std::string> all;
    generate_tasks({.seed = seed, .count = 44},
                   [&](const json::object& row) { all.push_back(json::to_text(row)); });
    return all;
  };
  const auto first = lines(1);
  EXPECT_EQ(first.size(), 88u);  // each question in both modes
  EXPECT_EQ(first, lines(1));
  EXPECT_NE(first, lines(2));
  std::set<std::string> kinds;
  for (size_t i = 0; i < first.size(); ++i) {
    const json::value row = json::parse(first[i], "row");
    const AskedTask asked = read_task(row, "row");
    kinds.insert(std::string(asked.kind->name));
    EXPECT_EQ(asked.mode, i % 2 ? TaskMode::kThink : TaskMode::kNoThink);
    const json::object& answer = row.at("messages").at(1).get_object();
    EXPECT_EQ(answer.contains("reasoning_content"), asked.mode == TaskMode::kThink);
    EXPECT_EQ(answer.contains("tool_calls"), asked.kind->form == AnswerForm::kToolCall);
    ASSERT_EQ(asked.messages.size(), 1u);
    EXPECT_EQ(asked.tools.empty(), asked.kind->form != AnswerForm::kToolCall);
  }
  EXPECT_EQ(kinds.size(), task_kinds().size());
}

std::string error_of(const TaskSetOptions& options) {
  try {
    generate_tasks(options, [](const json::object&) {});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Tasks, Errors) {
  EXPECT_THAT(error_of({.kinds = {"sums"}}), HasSubstr("found \"sums\", expected one of add, "));
  EXPECT_THAT(error_of({.languages = {}}), HasSubstr("at least one language"));
  EXPECT_THAT(error_of({.count = 100000, .kinds = {"weekday_after"}}),
              HasSubstr("has not enough different questions"));
}

TEST(Tasks, DamagedRows) {
  json::object row =
      task_row(make_task(find_task_kind("add"), TaskLanguage::kEnglish, 1), TaskMode::kThink);
  const auto error = [&](const char* field, const json::value& value) -> std::string {
    json::object damaged = row;
    damaged["task"].get_object()[field] = value;
    try {
      read_task(damaged, "x.jsonl:3");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error("kind", "sum"), HasSubstr("x.jsonl:3: task: kind of task: found \"sum\""));
  EXPECT_THAT(error("mode", "deep"), HasSubstr("no_think or think"));
  EXPECT_THAT(error("language", 3), HasSubstr("language"));
  row["messages"] = json::array();
  EXPECT_THAT(error("kind", "add"), HasSubstr("messages"));
}

TEST(Wording, ParticlesFollowTheSound) {
  using tasks::fill;
  EXPECT_EQ(fill("{a}{과/와} {b}{을/를}", {{"a", "사과"}, {"b", "수박"}}), "사과와 수박을");
  EXPECT_EQ(fill("{a}{으로/로}", {{"a", "연필"}}), "연필로");  // ㄹ
  EXPECT_EQ(fill("{a}{으로/로}", {{"a", "7"}}), "7로");
  EXPECT_EQ(fill("{a}{으로/로}", {{"a", "6"}}), "6으로");
  EXPECT_EQ(fill("{a}{을/를}", {{"a", "7"}}), "7을");
  EXPECT_EQ(fill("{a}{은/는}", {{"a", "5km"}}), "5km는");
  EXPECT_EQ(fill("{a}{은/는}", {{"a", "5kg"}}), "5kg은");
  EXPECT_EQ(fill("\"{a}\"{이/가}", {{"a", "달"}}), "\"달\"이");
}

}  // namespace
}  // namespace axk1
