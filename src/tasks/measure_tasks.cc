// Units of measure, and amounts of Korean won.
#include "base/text.h"
#include "tasks/hangul_number.h"
#include "tasks/wording.h"

namespace axk1::tasks {
namespace {

struct UnitPair {
  std::string_view korean_large, korean_small, large, small;
  int64_t factor;  // small units in a large one
};

constexpr UnitPair kUnitPairs[] = {
    {"km", "m", "km", "m", 1000},           {"m", "cm", "m", "cm", 100},
    {"cm", "mm", "cm", "mm", 10},           {"kg", "g", "kg", "g", 1000},
    {"t", "kg", "t", "kg", 1000},           {"L", "mL", "L", "mL", 1000},
    {"시간", "분", "hours", "minutes", 60}, {"분", "초", "minutes", "seconds", 60},
    {"일", "시간", "days", "hours", 24},    {"주", "일", "weeks", "days", 7},
    {"피트", "인치", "feet", "inches", 12},
};
constexpr size_t kMetric = 6;  // the first of them: decimals are of use

// thousandths / 1000 as a decimal without zeros at its end.
std::string decimal(int64_t thousandths) {
  std::string text = cat(thousandths / 1000);
  if (const int64_t rest = thousandths % 1000) {
    text += cat(".", rest / 100, rest / 10 % 10, rest % 10);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string won(int64_t amount, const Task& task) {
  return with_commas(static_cast<uint64_t>(amount)) +
         (task.language == TaskLanguage::kKorean ? "원" : " won");
}

// Amounts as they occur: round ones more often than others.
int64_t draw_amount(Draw& draw) {
  int64_t digits = draw.between(1, 5), amount = 0;
  for (int64_t i = 0; i < digits; ++i) amount = amount * 10 + draw.between(i ? 0 : 1, 9);
  for (int64_t zeros = draw.between(digits < 3 ? 2 : 0, 4); zeros > 0; --zeros) amount *= 10;
  return amount;
}

// The amount in groups of four digits, each read: "1|2345: 만, 이천삼백사십오".
std::string grouped_reading(int64_t amount, bool groups_first) {
  std::string digits = cat(amount), cut;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i && (digits.size() - i) % 4 == 0) cut += '|';
    cut += digits[i];
  }
  const std::string read = hangul_number(static_cast<uint64_t>(amount));
  return groups_first ? cut + " → " + read : read + " → " + cut;
}

}  // namespace

void make_units(Draw& draw, Task& task) {
  const size_t which = draw.below(std::size(kUnitPairs));
  const UnitPair& pair = kUnitPairs[which];
  const bool korean = task.language == TaskLanguage::kKorean;
  const auto large = std::string(korean ? pair.korean_large : pair.large);
  const auto small = std::string(korean ? pair.korean_small : pair.small);
  const int64_t form = draw.between(0, 2);
  const bool tenths = which < kMetric && draw.one_in(3);
  const int64_t count = tenths ? draw.between(11, 999) * 100 : draw.between(2, 150) * 1000;
  const std::string in_large = decimal(count), in_small = decimal(count * pair.factor);
  if (form == 2 && !tenths) {
    const int64_t rest = draw.between(1, pair.factor - 1);
    const int64_t total = count / 1000 * pair.factor + rest;
    task.problem = cat("units ", in_large, pair.large, "+", rest, pair.small);
    task.question =
        ask(draw, task.language,
            {"{n}{l} {r}{s}{은/는} 모두 몇 {s}인가요?", "{n}{l} {r}{s}{을/를} {s} 단위로 바꿔 줘."},
            {"How many {s} are {n} {l} and {r} {s}?", "Convert {n} {l} and {r} {s} to {s}."},
            {{"n", in_large}, {"l", large}, {"r", cat(rest)}, {"s", small}});
    task.reasoning =
        cat(in_large, "×", pair.factor, "=", in_small, "\n", in_small, "+", rest, "=", total);
    task.answer = cat(total);
    return;
  }
  const bool down = form != 1;  // to the smaller unit
  const std::string from = down ? in_large : in_small;
  task.problem =
      cat("units ", from, down ? pair.large : pair.small, "=", pair.large, "/", pair.small);
  task.question = ask(draw, task.language,
                      {"{n}{f}{은/는} 몇 {t}인가요?", "{n}{f}{을/를} {t} 단위로 바꾸면 얼마야?",
                       "{t} 단위로 나타내세요: {n}{f}", "{n}{f} = ? {t}"},
                      {"How many {t} are {n} {f}?", "Convert {n} {f} to {t}.",
                       "What is {n} {f} in {t}?", "{n} {f} = ? {t}"},
                      {{"n", from}, {"f", down ? large : small}, {"t", down ? small : large}});
  task.answer = down ? in_small : in_large;
  task.reasoning = cat(korean ? cat("1", large, "=", pair.factor, small)
                              : cat("1 ", large, "=", pair.factor, " ", small),
                       "\n", from, down ? "×" : "÷", pair.factor, "=", task.answer);
}

void make_won_read(Draw& draw, Task& task) {
  const int64_t amount = draw_amount(draw);
  task.problem = cat("won_read ", amount);
  task.question = ask(draw, task.language,
                      {"{w}을 한글로 써 줘.", "{w}을 한글로 어떻게 읽나요?",
                       "금액 {w}을 한글로 표기하세요.", "{w}은 한글로 얼마인가요?"},
                      {"Write {w} in Korean words.", "How do you read {w} in Korean?",
                       "Spell the amount {w} in Hangul.", "Give {w} in Hangul numerals."},
                      {{"w", won(amount, task)}});
  task.reasoning = grouped_reading(amount, true);
  task.answer = hangul_number(static_cast<uint64_t>(amount)) + " 원";
}

void make_won_write(Draw& draw, Task& task) {
  const int64_t amount = draw_amount(draw);
  task.problem = cat("won_write ", amount);
  task.question = ask(draw, task.language,
                      {"{h} 원을 숫자로 써 줘.", "{h} 원은 숫자로 얼마인가요?",
                       "'{h} 원'을 아라비아 숫자로 표기하세요.", "숫자로 바꿔 줘: {h} 원"},
                      {"Write {h} 원 in digits.", "What is {h} 원 in numbers?",
                       "Convert the Korean amount {h} 원 to digits.", "In digits, please: {h} 원"},
                      {{"h", hangul_number(static_cast<uint64_t>(amount))}});
  task.reasoning = grouped_reading(amount, false);
  task.answer = won(amount, task);
}

void make_change(Draw& draw, Task& task) {
  struct Item {
    std::string_view korean, counter, english;
  };
  const std::vector<Item> items = {
      {"우유", "병", "bottles of milk"}, {"빵", "개", "loaves of bread"},
      {"공책", "권", "notebooks"},       {"연필", "자루", "pencils"},
      {"커피", "잔", "cups of coffee"},  {"김밥", "줄", "rolls of gimbap"},
      {"사과", "개", "apples"},          {"라면", "봉지", "packs of ramyeon"}};
  const Item item = draw.pick(items);
  const int64_t price = draw.between(5, 150) * 100, count = draw.between(2, 9);
  const int64_t total = price * count;
  int64_t paid = 1000;
  for (int64_t step : {5000, 10000, 20000, 50000, 100000, 200000}) {
    if (paid <= total) paid = step;
  }
  task.problem = cat("change ", price, " ", count, " ", paid);
  task.question =
      ask(draw, task.language,
          {"한 {c}에 {p}인 {i} {n}{c}{을/를} 사고 {w}을 냈습니다. 거스름돈은 얼마인가요?",
           "{i} 한 {c}{이/가} {p}이에요. {n}{c}{을/를} 사고 {w}을 내면 얼마를 돌려받나요?",
           "{w}으로 {p}짜리 {i} {n}{c}{을/를} 샀어요. 남은 돈은?"},
          {"You buy {n} {e} at {p} each and pay {w}. How much change do you get?",
           "I paid {w} for {n} {e} that cost {p} apiece. What is my change?",
           "{n} {e}, {p} each, paid with {w}: how much comes back?"},
          {{"c", std::string(item.counter)},
           {"i", std::string(item.korean)},
           {"e", std::string(item.english)},
           {"p", won(price, task)},
           {"n", cat(count)},
           {"w", won(paid, task)}});
  task.reasoning = cat(price, "×", count, "=", total, "\n", paid, "-", total, "=", paid - total);
  task.answer = won(paid - total, task);
}

void make_vat(Draw& draw, Task& task) {
  const int64_t net = draw.between(1, 999) * (draw.one_in(2) ? 1000 : 100), tax = net / 10;
  const int64_t total = net + tax;
  const int64_t form = draw.between(0, 3);
  const std::string asked[] = {cat(tax), cat(total), cat(net), cat(tax)};
  task.problem = cat("vat ", form < 2 ? "net " : "total ", net, " ", asked[form]);
  const std::initializer_list<Blank> blanks = {{"n", won(net, task)}, {"t", won(total, task)}};
  switch (form) {
    case 0:
      task.question = ask(draw, task.language,
                          {"공급가액이 {n}일 때 부가가치세(10%)는 얼마인가요?",
                           "{n}짜리 물건의 부가세 10%는 얼마야?"},
                          {"What is the 10% VAT on a net price of {n}?",
                           "A price is {n} before tax. How much is the VAT of 10%?"},
                          blanks);
      task.reasoning = cat(net, "÷10=", tax);
      break;
    case 1:
      task.question = ask(draw, task.language,
                          {"공급가액이 {n}일 때 부가가치세(10%)를 포함한 금액은 얼마인가요?",
                           "{n}에 부가세 10%를 더하면 모두 얼마야?"},
                          {"What is the total of a net price of {n} with 10% VAT?",
                           "Add 10% VAT to {n}. How much is it in all?"},
                          blanks);
      task.reasoning = cat(net, "÷10=", tax, "\n", net, "+", tax, "=", total);
      break;
    case 2:
      task.question = ask(draw, task.language,
                          {"부가가치세(10%)를 포함한 금액이 {t}일 때 공급가액은 얼마인가요?",
                           "부가세 10% 포함 {t}이면 부가세를 뺀 금액은 얼마야?"},
                          {"A price with 10% VAT is {t}. What is the net price?",
                           "{t} includes 10% VAT. How much is it without the tax?"},
                          blanks);
      task.reasoning = cat(total, "÷11=", tax, "\n", total, "-", tax, "=", net);
      break;
    default:
      task.question = ask(draw, task.language,
                          {"부가가치세(10%)를 포함한 금액이 {t}일 때 부가가치세는 얼마인가요?",
                           "부가세 10% 포함 {t}이면 그중 부가세는 얼마야?"},
                          {"A price with 10% VAT is {t}. How much of it is VAT?",
                           "{t} includes 10% VAT. How much is the tax?"},
                          blanks);
      task.reasoning = cat(total, "÷11=", tax);
  }
  task.answer = won(form == 1 ? total : form == 2 ? net : tax, task);
}

}  // namespace axk1::tasks
