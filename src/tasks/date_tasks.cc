// Weekdays and days of the Gregorian calendar, 1950 to 2049.
#include <chrono>

#include "base/text.h"
#include "tasks/wording.h"

namespace axk1::tasks {
namespace {

using std::chrono::sys_days, std::chrono::year_month_day, std::chrono::days;

constexpr std::string_view kWeekdays[2][7] = {
    {"일요일", "월요일", "화요일", "수요일", "목요일", "금요일", "토요일"},
    {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

struct Day {
  int64_t year, month, day;
};

Day day_of(sys_days at) {
  const year_month_day date(at);
  return {static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day())};
}

bool is_leap(int64_t year) {
  return std::chrono::year(static_cast<int>(year)).is_leap();
}

int64_t days_in(int64_t year, int64_t month) {
  constexpr int64_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[month - 1] + (month == 2 && is_leap(year));
}

std::string_view weekday_name(int64_t weekday, const Task& task) {
  return kWeekdays[task.language == TaskLanguage::kEnglish][weekday];
}

std::string two(int64_t n) {
  return cat(n < 10 ? "0" : "", n);
}

// A style is kept through a task: 0 the language's own, 1 ISO 8601.
std::string date_text(const Day& d, const Task& task, int64_t style) {
  if (style == 1) return cat(d.year, "-", two(d.month), "-", two(d.day));
  if (task.language == TaskLanguage::kKorean) {
    return cat(d.year, "년 ", d.month, "월 ", d.day, "일");
  }
  return cat(kMonths[d.month - 1], " ", d.day, ", ", d.year);
}

sys_days draw_day(Draw& draw) {
  constexpr sys_days kFirst = std::chrono::January / 1 / 1950, kEnd = std::chrono::July / 1 / 2048;
  return kFirst + days(draw.below(static_cast<uint64_t>((kEnd - kFirst).count())));
}

int64_t draw_style(Draw& draw) {
  return draw.one_in(3) ? 1 : 0;
}

std::string iso(const Day& d) {
  return cat(d.year, "-", two(d.month), "-", two(d.day));
}

}  // namespace

void make_weekday(Draw& draw, Task& task) {
  const sys_days at = draw_day(draw);
  const Day d = day_of(at);
  task.problem = cat("weekday ", iso(d));
  task.question = ask(draw, task.language,
                      {"{d}은 무슨 요일인가요?", "{d}의 요일을 알려 줘.", "{d}은 무슨 요일이야?"},
                      {"What day of the week is {d}?", "Which weekday was or will be {d}?",
                       "Tell me the weekday of {d}."},
                      {{"d", date_text(d, task, draw_style(draw))}});
  // The weekday is a sum modulo 7 of codes of century, year, month and day; 0 is Sunday.
  constexpr int64_t kMonthCodes[] = {0, 3, 3, 6, 1, 4, 6, 2, 5, 0, 3, 5};
  const int64_t yy = d.year % 100, century = d.year >= 2000 ? 6 : 0;
  const int64_t month = kMonthCodes[d.month - 1], leap = is_leap(d.year) && d.month < 3;
  const int64_t sum = yy + yy / 4 + century + month + d.day - leap;
  task.reasoning = cat(yy, "+", yy / 4, "=", yy + yy / 4, "\n", yy + yy / 4, "+", century, "+",
                       month, "+", d.day, leap ? "-1" : "", "=", sum, "\n", sum, "-", sum / 7 * 7,
                       "=", sum % 7, "\n", sum % 7, " → ", weekday_name(sum % 7, task));
  task.answer = weekday_name(std::chrono::weekday(at).c_encoding(), task);
}

void make_weekday_after(Draw& draw, Task& task) {
  const int64_t today = draw.between(0, 6), ahead = draw.between(2, 365);
  const bool back = draw.one_in(3);
  task.problem = cat("weekday_after ", today, back ? " -" : " ", ahead);
  const std::initializer_list<Blank> blanks = {{"w", std::string(weekday_name(today, task))},
                                               {"n", cat(ahead)}};
  task.question = back ? ask(draw, task.language,
                             {"오늘이 {w}이면 {n}일 전은 무슨 요일인가요?",
                              "오늘은 {w}이야. {n}일 전은 무슨 요일이었어?"},
                             {"Today is {w}. What weekday was it {n} days ago?",
                              "If today is {w}, which day of the week was {n} days before?"},
                             blanks)
                       : ask(draw, task.language,
                             {"오늘이 {w}이면 {n}일 뒤는 무슨 요일인가요?",
                              "오늘은 {w}이야. {n}일 후는 무슨 요일이야?"},
                             {"Today is {w}. What weekday will it be in {n} days?",
                              "If today is {w}, which day of the week comes {n} days later?"},
                             blanks);
  const int64_t rest = ahead % 7, then = ((today + (back ? -rest : rest)) % 7 + 7) % 7;
  task.reasoning = cat(ahead, "=7×", ahead / 7, "+", rest, "\n", weekday_name(today, task));
  for (int64_t i = 1; i <= rest; ++i) {
    task.reasoning += cat(", ", weekday_name(((today + (back ? -i : i)) % 7 + 7) % 7, task));
  }
  task.answer = weekday_name(then, task);
}

void make_days_between(Draw& draw, Task& task) {
  const sys_days from = draw_day(draw), to = from + days(draw.between(3, 300));
  const Day a = day_of(from), b = day_of(to);
  const int64_t style = draw_style(draw);
  task.problem = cat("days_between ", iso(a), " ", iso(b));
  task.question = ask(draw, task.language,
                      {"{a}부터 {b}까지는 며칠 차이인가요? (첫날은 세지 않음)",
                       "{a}에서 {b}까지 며칠 남았나요?", "{a}의 며칠 뒤가 {b}인가요?"},
                      {"How many days are there from {a} to {b}, not counting the first?",
                       "How many days after {a} is {b}?", "It is {a}. How many days until {b}?"},
                      {{"a", date_text(a, task, style)}, {"b", date_text(b, task, style)}});
  const int64_t count = (to - from).count();
  if (a.year == b.year && a.month == b.month) {
    task.reasoning = cat(b.day, "-", a.day, "=", count);
  } else {
    int64_t sum = days_in(a.year, a.month) - a.day;
    task.reasoning = cat(days_in(a.year, a.month), "-", a.day, "=", sum);
    for (int64_t year = a.year, month = a.month;;) {
      if (++month > 12) month = 1, ++year;
      const bool last = year == b.year && month == b.month;
      const int64_t more = last ? b.day : days_in(year, month);
      task.reasoning += cat("\n", sum, "+", more, "=", sum + more);
      sum += more;
      if (last) break;
    }
  }
  task.answer = cat(count);
}

void make_date_after(Draw& draw, Task& task) {
  const sys_days from = draw_day(draw);
  const int64_t ahead = draw.between(2, 200);
  const Day a = day_of(from);
  const int64_t style = draw_style(draw);
  task.problem = cat("date_after ", iso(a), " ", ahead);
  task.question =
      ask(draw, task.language,
          {"{a}의 {n}일 뒤는 며칠인가요?", "{a}에서 {n}일이 지나면 몇 년 몇 월 며칠이야?",
           "{a}부터 {n}일 후의 날짜를 알려 줘."},
          {"What date is {n} days after {a}?", "Add {n} days to {a}.",
           "It is {a}. What will be the date in {n} days?"},
          {{"a", date_text(a, task, style)}, {"n", cat(ahead)}});
  Day d{a.year, a.month, a.day + ahead};
  task.reasoning = cat(a.day, "+", ahead, "=", d.day);
  while (d.day > days_in(d.year, d.month)) {
    const int64_t length = days_in(d.year, d.month);
    task.reasoning += cat("\n", d.day, "-", length, "=", d.day - length);
    d.day -= length;
    if (++d.month > 12) d.month = 1, ++d.year;
  }
  task.reasoning += cat("\n", iso(d));
  task.answer = date_text(day_of(from + days(ahead)), task, style);
}

}  // namespace axk1::tasks
