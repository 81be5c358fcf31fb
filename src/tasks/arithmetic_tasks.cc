// Sums, differences, products and quotients of numbers of two to four digits, worked out digit by
// digit as at school.
#include <algorithm>

#include "base/text.h"
#include "tasks/wording.h"

namespace axk1::tasks {
namespace {

int64_t power_of_ten(int64_t exponent) {
  int64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

int64_t with_digits(Draw& draw, int64_t digits) {
  return draw.between(power_of_ten(digits - 1), power_of_ten(digits) - 1);
}

std::string_view carry_word(const Task& task) {
  return task.language == TaskLanguage::kKorean ? "올림" : "carry";
}

// The column addition of two numbers, from the last digit: "8+6=14: 4, carry 1".
std::string column_sum(int64_t a, int64_t b, const Task& task) {
  std::string text;
  for (int64_t carry = 0, x = a, y = b; x || y;) {
    const int64_t digit_x = x % 10, digit_y = y % 10, sum = digit_x + digit_y + carry;
    text += cat(digit_x, "+", digit_y, carry ? "+1" : "", "=", sum);
    x /= 10, y /= 10;
    carry = sum >= 10;
    const bool more = x || y;
    if (carry && more) text += cat(": ", sum % 10, ", ", carry_word(task), " 1");
    text += '\n';
  }
  return text + cat(a, "+", b, "=", a + b);
}

// a >= b.
std::string column_difference(int64_t a, int64_t b, const Task& task) {
  const std::string_view borrow_word = task.language == TaskLanguage::kKorean ? "빌림" : "borrow";
  std::string text;
  for (int64_t borrow = 0, x = a, y = b; x || y; x /= 10, y /= 10) {
    const int64_t top = x % 10, low = y % 10;
    const bool borrows = top - borrow < low;
    text += cat(top + (borrows ? 10 : 0), borrow ? "-1" : "", "-", low, "=",
                top + (borrows ? 10 : 0) - borrow - low);
    if (borrows) text += cat(", ", borrow_word, " 1");
    text += '\n';
    borrow = borrows;
  }
  return text + cat(a, "-", b, "=", a - b);
}

// a times one digit.
std::string column_product(int64_t a, int64_t digit, const Task& task) {
  std::string text;
  for (int64_t carry = 0, x = a; x; x /= 10) {
    const int64_t product = x % 10 * digit + carry;
    text += cat(x % 10, "×", digit, carry ? cat("+", carry) : "", "=", product);
    carry = product / 10;
    if (carry && x >= 10) text += cat(": ", product % 10, ", ", carry_word(task), " ", carry);
    text += '\n';
  }
  return text + cat(a, "×", digit, "=", a * digit);
}

std::string question(Draw& draw, const Task& task, int64_t a, int64_t b, std::string_view sign,
                     std::initializer_list<std::string_view> korean,
                     std::initializer_list<std::string_view> english) {
  std::string text =
      draw.one_in(3) ? ask(draw, task.language,
                           {"{a} {s} {b} = ?", "{a} {s} {b}의 값은?", "계산해 줘: {a} {s} {b}",
                            "{a}{s}{b}{을/를} 계산하세요."},
                           {"{a} {s} {b} = ?", "Compute {a} {s} {b}.", "What is {a} {s} {b}?",
                            "Calculate: {a}{s}{b}"},
                           {{"a", cat(a)}, {"b", cat(b)}, {"s", std::string(sign)}})
                     : ask(draw, task.language, korean, english, {{"a", cat(a)}, {"b", cat(b)}});
  if (draw.one_in(4)) {
    text += ask(draw, task.language, {" 숫자만 답해 줘.", " 답만 쓰세요."},
                {" Answer with the number only.", " Just the number, please."}, {});
  }
  return text;
}

}  // namespace

void make_add(Draw& draw, Task& task) {
  const int64_t a = with_digits(draw, draw.between(2, 4));
  const int64_t b = with_digits(draw, draw.between(2, 4));
  task.problem = cat("add ", std::min(a, b), " ", std::max(a, b));
  task.question =
      question(draw, task, a, b, "+",
               {"{a}{과/와} {b}의 합은 얼마인가요?", "{a}에 {b}{을/를} 더하면?",
                "{a} 더하기 {b}{은/는} 얼마야?", "{a}{과/와} {b}{을/를} 더한 값을 구하세요.",
                "책이 {a}권 있는데 {b}권이 더 들어왔어요. 모두 몇 권인가요?"},
               {"What is the sum of {a} and {b}?", "Add {b} to {a}.", "How much is {a} plus {b}?",
                "Find the total of {a} and {b}.",
                "A shop has {a} books and gets {b} more. How many books does it have now?"});
  task.reasoning = column_sum(a, b, task);
  task.answer = cat(a + b);
}

void make_subtract(Draw& draw, Task& task) {
  int64_t a = with_digits(draw, draw.between(2, 4));
  int64_t b = with_digits(draw, draw.between(2, 4));
  if (a < b && !draw.one_in(6)) std::swap(a, b);
  task.problem = cat("subtract ", a, " ", b);
  task.question = question(draw, task, a, b, "-",
                           {"{a}에서 {b}{을/를} 빼면?", "{a} 빼기 {b}{은/는} 얼마인가요?",
                            "{a}에서 {b}{을/를} 뺀 값을 구하세요.", "{a} 빼기 {b}{은/는}?"},
                           {"Subtract {b} from {a}.", "How much is {a} minus {b}?",
                            "What is left when {b} is taken from {a}?", "Take {b} away from {a}."});
  task.reasoning = a >= b ? column_difference(a, b, task)
                          : cat(a, "-", b, "=-(", b, "-", a, ")\n", column_difference(b, a, task),
                                "\n", a, "-", b, "=", a - b);
  task.answer = cat(a - b);
}

void make_multiply(Draw& draw, Task& task) {
  const int64_t digits_a = draw.between(2, 4);
  const int64_t a = with_digits(draw, digits_a);
  const int64_t b = with_digits(draw, draw.between(2, std::min<int64_t>(3, 6 - digits_a)));
  task.problem = cat("multiply ", std::min(a, b), " ", std::max(a, b));
  task.question = question(
      draw, task, a, b, draw.one_in(2) ? "×" : "*",
      {"{a} 곱하기 {b}{은/는} 얼마인가요?", "{a}{과/와} {b}의 곱은?", "{a}에 {b}{을/를} 곱하면?",
       "한 상자에 {a}개씩 {b}상자가 있어요. 모두 몇 개인가요?"},
      {"What is {a} times {b}?", "Find the product of {a} and {b}.", "Multiply {a} by {b}.",
       "There are {b} boxes with {a} pens each. How many pens are there?"});
  int64_t sum = 0;
  for (int64_t place = 1, rest = b; rest; place *= 10, rest /= 10) {
    const int64_t digit = rest % 10;
    if (digit == 0) continue;
    const int64_t part = a * digit * place;
    task.reasoning += column_product(a, digit, task);
    if (place > 1) task.reasoning += cat("\n", a, "×", digit * place, "=", part);
    task.reasoning += '\n';
    if (sum) task.reasoning += column_sum(sum, part, task) + "\n";
    sum += part;
  }
  task.reasoning += cat(a, "×", b, "=", a * b);
  task.answer = cat(a * b);
}

void make_divide(Draw& draw, Task& task) {
  const int64_t b = draw.between(2, draw.one_in(2) ? 9 : 99);
  const int64_t quotient =
      draw.between(std::max<int64_t>(2, (10 + b - 1) / b), std::min<int64_t>(999, 9999 / b));
  const int64_t a = b * quotient;
  task.problem = cat("divide ", a, " ", b);
  task.question =
      question(draw, task, a, b, draw.one_in(2) ? "÷" : "/",
               {"{a}{을/를} {b}{으로/로} 나누면?", "{a} 나누기 {b}{은/는} 얼마인가요?",
                "{a}{을/를} {b}{으로/로} 나눈 몫은?",
                "사탕 {a}개를 {b}명에게 똑같이 나누어 주면 한 명이 몇 개를 받나요?"},
               {"Divide {a} by {b}.", "How much is {a} divided by {b}?",
                "What is the quotient of {a} and {b}?",
                "{a} sweets are shared equally among {b} children. How many does each get?"});
  int64_t left = 0;
  bool began = false;
  for (int64_t place = power_of_ten(3); place; place /= 10) {
    if (a < place) continue;
    left = left * 10 + a / place % 10;
    const int64_t digit = left / b;
    began |= digit > 0;
    if (!began) continue;
    task.reasoning +=
        cat(left, "÷", b, "=", digit, ", ", left, "-", digit * b, "=", left - digit * b, "\n");
    left -= digit * b;
  }
  task.reasoning += cat(a, "÷", b, "=", quotient);
  task.answer = cat(quotient);
}

}  // namespace axk1::tasks
