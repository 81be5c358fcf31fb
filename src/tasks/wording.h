// What the makers of tasks share: draws, sentences with blanks, Korean particles.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "tasks/task.h"

namespace axk1::tasks {

// What one task draws from. One thread.
class Draw {
 public:
  explicit Draw(uint64_t seed) : rng_(seed) {}
  uint64_t below(uint64_t n) { return rng_.next() % n; }
  int64_t between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low + 1)));
  }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::string_view pick(std::span<const std::string_view> from) { return from[below(from.size())]; }
  std::string_view pick(std::initializer_list<std::string_view> from) {
    return from.begin()[below(from.size())];
  }
  // `count` different ones, in the order drawn.
  std::vector<std::string_view> pick_several(std::span<const std::string_view> from, size_t count);

 private:
  Rng rng_;
};

using Blank = std::pair<std::string_view, std::string>;

// `pattern` with {name} replaced by its value and {과/와} by the first of the two when what stands
// before it ends in a consonant as it is spoken ({으로/로}: one other than ㄹ), else the second.
std::string fill(std::string_view pattern, std::initializer_list<Blank> blanks);

// One of the patterns of the task's language, filled.
std::string ask(Draw& draw, TaskLanguage language, std::initializer_list<std::string_view> korean,
                std::initializer_list<std::string_view> english,
                std::initializer_list<Blank> blanks);

// Characters (code points) of valid UTF-8.
std::vector<std::string> characters(std::string_view text);

std::string join(std::span<const std::string> parts, std::string_view between);

// Nouns.
std::span<const std::string_view> korean_words();
std::span<const std::string_view> english_words();

// Each writes problem, question, reasoning, answer and, of the last, tools.
void make_add(Draw& draw, Task& task);
void make_subtract(Draw& draw, Task& task);
void make_multiply(Draw& draw, Task& task);
void make_divide(Draw& draw, Task& task);
void make_units(Draw& draw, Task& task);
void make_weekday(Draw& draw, Task& task);
void make_weekday_after(Draw& draw, Task& task);
void make_days_between(Draw& draw, Task& task);
void make_date_after(Draw& draw, Task& task);
void make_won_read(Draw& draw, Task& task);
void make_won_write(Draw& draw, Task& task);
void make_change(Draw& draw, Task& task);
void make_vat(Draw& draw, Task& task);
void make_count_characters(Draw& draw, Task& task);
void make_count_letter(Draw& draw, Task& task);
void make_count_words(Draw& draw, Task& task);
void make_count_items(Draw& draw, Task& task);
void make_reverse(Draw& draw, Task& task);
void make_replace(Draw& draw, Task& task);
void make_sort(Draw& draw, Task& task);
void make_letter_case(Draw& draw, Task& task);
void make_tool_call(Draw& draw, Task& task);

}  // namespace axk1::tasks
