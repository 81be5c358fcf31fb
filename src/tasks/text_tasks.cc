// Counting in texts and lists, and edits of strings.
#include <algorithm>

#include "base/text.h"
#include "tasks/wording.h"

namespace axk1::tasks {
namespace {

std::span<const std::string_view> words_of(const Task& task) {
  return task.language == TaskLanguage::kKorean ? korean_words() : english_words();
}

// A few small letters, or, of half the Korean tasks, a few syllables: few of them, so that some
// occur several times.
std::string draw_string(Draw& draw, const Task& task, int64_t shortest, int64_t longest,
                        size_t kinds) {
  constexpr std::string_view kLetters[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                           "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                           "s", "t", "u", "v", "w", "x", "y", "z"};
  constexpr std::string_view kSyllables[] = {"가", "나", "다", "라", "마", "바", "사", "아", "자",
                                             "차", "카", "타", "파", "하", "고", "노", "도", "로",
                                             "모", "보", "소", "오", "조", "호", "구", "누", "두"};
  const bool hangul = task.language == TaskLanguage::kKorean && draw.one_in(2);
  using Words = std::span<const std::string_view>;
  const std::vector<std::string_view> some =
      draw.pick_several(hangul ? Words(kSyllables) : Words(kLetters), kinds);
  std::string text;
  for (int64_t left = draw.between(shortest, longest); left > 0; --left) text += draw.pick(some);
  return text;
}

std::string draw_word_or_string(Draw& draw, const Task& task) {
  if (draw.one_in(2)) return std::string(draw.pick(words_of(task)));
  return draw_string(draw, task, 3, 8, 6);
}

std::vector<std::string> draw_words(Draw& draw, const Task& task, size_t count) {
  std::vector<std::string> words;
  for (std::string_view word : draw.pick_several(words_of(task), count)) words.emplace_back(word);
  return words;
}

// "a 1, b 2, c 3".
std::string counted(std::span<const std::string> parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += cat(i ? ", " : "", parts[i], " ", i + 1);
  return text;
}

// The parts in a line, those equal to `what` with a running count: "b, a 1, n, a 2".
std::string counted_where(std::span<const std::string> parts, const std::string& what) {
  std::string text;
  int64_t count = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    text += cat(i ? ", " : "", parts[i]);
    if (parts[i] == what) text += cat(" ", ++count);
  }
  return text;
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

void make_count_characters(Draw& draw, Task& task) {
  const std::string word = draw_word_or_string(draw, task);
  const std::vector<std::string> parts = characters(word);
  task.problem = cat("count_characters ", word);
  task.question = ask(draw, task.language,
                      {"\"{w}\"{은/는} 몇 글자인가요?", "\"{w}\"의 글자 수를 세어 줘.",
                       "다음 문자열의 길이는? \"{w}\""},
                      {"How many characters are in \"{w}\"?", "Count the letters of \"{w}\".",
                       "What is the length of \"{w}\"?"},
                      {{"w", word}});
  task.reasoning = counted(parts);
  task.answer = cat(parts.size());
}

void make_count_letter(Draw& draw, Task& task) {
  const std::string text = draw.one_in(2) && task.language == TaskLanguage::kEnglish
                               ? std::string(draw.pick(english_words()))
                               : draw_string(draw, task, 5, 10, 4);
  const std::vector<std::string> parts = characters(text);
  const std::string letter = draw.pick(parts);
  task.problem = cat("count_letter ", letter, " ", text);
  task.question =
      ask(draw, task.language,
          {"\"{w}\"에 '{l}'{은/는} 몇 번 나오나요?", "'{l}'{이/가} \"{w}\"에 몇 개 있는지 세어 줘.",
           "\"{w}\"에서 글자 '{l}'의 개수는?"},
          {"How many times does '{l}' occur in \"{w}\"?", "Count the letter '{l}' in \"{w}\".",
           "How many '{l}' are there in \"{w}\"?"},
          {{"w", text}, {"l", letter}});
  task.reasoning = counted_where(parts, letter);
  task.answer = cat(std::ranges::count(parts, letter));
}

void make_count_words(Draw& draw, Task& task) {
  const std::vector<std::string> words = draw_words(draw, task, draw.between(3, 9));
  const std::string text = join(words, " ");
  task.problem = cat("count_words ", text);
  task.question = ask(draw, task.language,
                      {"다음은 몇 단어인가요? \"{t}\"", "\"{t}\"의 단어 수를 세어 줘.",
                       "띄어쓰기로 나누면 \"{t}\"{은/는} 몇 단어야?"},
                      {"How many words are in \"{t}\"?", "Count the words: \"{t}\"",
                       "What is the number of words in \"{t}\"?"},
                      {{"t", text}});
  task.reasoning = counted(words);
  task.answer = cat(words.size());
}

void make_count_items(Draw& draw, Task& task) {
  const std::vector<std::string> some = draw_words(draw, task, 3);
  std::vector<std::string> items;
  for (int64_t left = draw.between(4, 10); left > 0; --left) items.push_back(draw.pick(some));
  const std::string what = draw.pick(items), list = join(items, ", ");
  task.problem = cat("count_items ", what, " in ", list);
  task.question =
      ask(draw, task.language,
          {"다음 목록에서 {w}{은/는} 몇 번 나오나요? {t}",
           "목록: {t}\n이 목록에 {w}{이/가} 몇 개 있나요?", "{t} 중에서 {w}의 개수를 세어 줘."},
          {"How many times does {w} occur in this list? {t}", "List: {t}\nHow often is {w} in it?",
           "Count the items \"{w}\": {t}"},
          {{"w", what}, {"t", list}});
  task.reasoning = counted_where(items, what);
  task.answer = cat(std::ranges::count(items, what));
}

void make_reverse(Draw& draw, Task& task) {
  const std::string text = draw_word_or_string(draw, task);
  std::vector<std::string> parts = characters(text);
  task.problem = cat("reverse ", text);
  task.question =
      ask(draw, task.language,
          {"\"{t}\"{을/를} 거꾸로 써 줘.", "\"{t}\"의 글자 순서를 뒤집으세요.",
           "다음 문자열을 뒤집어 줘: {t}"},
          {"Reverse \"{t}\".", "Write \"{t}\" backwards.", "Spell this string in reverse: {t}"},
          {{"t", text}});
  task.reasoning = counted(parts) + "\n";
  std::ranges::reverse(parts);
  task.reasoning += join(parts, ", ");
  task.answer = join(parts, "");
}

void make_replace(Draw& draw, Task& task) {
  const std::string text = draw_string(draw, task, 4, 8, 4);
  std::vector<std::string> parts = characters(text);
  const std::string from = draw.pick(parts);
  constexpr std::string_view kNew[] = {"x", "y", "z", "가", "#", "*"};
  std::string to(draw.pick(kNew));
  if (to == from) to = "_";
  task.problem = cat("replace ", from, " ", to, " ", text);
  task.question =
      ask(draw, task.language,
          {"\"{t}\"에서 '{f}'{을/를} 모두 '{n}'{으로/로} 바꿔 줘.",
           "문자열 \"{t}\"의 '{f}' 자리에 모두 '{n}'{을/를} 넣으면?",
           "다음에서 '{f}'{을/를} '{n}'{으로/로} 치환하세요: {t}"},
          {"Replace every '{f}' in \"{t}\" with '{n}'.", "In \"{t}\", change each '{f}' to '{n}'.",
           "Substitute '{n}' for '{f}' in this string: {t}"},
          {{"t", text}, {"f", from}, {"n", to}});
  task.reasoning = join(parts, ", ") + "\n";
  std::ranges::replace(parts, from, to);
  task.reasoning += join(parts, ", ");
  task.answer = join(parts, "");
}

void make_sort(Draw& draw, Task& task) {
  const bool falling = draw.one_in(3), numbers = draw.one_in(2);
  std::vector<std::string> items;
  const int64_t count = draw.between(3, 6);
  if (numbers) {
    std::vector<int64_t> values;
    while (static_cast<int64_t>(values.size()) < count) {
      const int64_t value = draw.between(1, draw.one_in(2) ? 99 : 999);
      if (std::ranges::find(values, value) == values.end()) values.push_back(value);
    }
    for (int64_t value : values) items.push_back(cat(value));
  } else {
    items = draw_words(draw, task, static_cast<size_t>(count));
  }
  const std::string list = join(items, ", ");
  task.problem = cat("sort ", falling ? "falling " : "rising ", list);
  task.question =
      falling
          ? ask(draw, task.language,
                {numbers ? "큰 수부터 정렬해 줘: {t}" : "가나다 역순으로 정렬해 줘: {t}",
                 "내림차순으로 정렬하세요: {t}"},
                {numbers ? "Sort from largest to smallest: {t}"
                         : "Sort in reverse alphabetical order: {t}",
                 "Put these in descending order: {t}"},
                {{"t", list}})
          : ask(draw, task.language,
                {numbers ? "작은 수부터 정렬해 줘: {t}" : "가나다순으로 정렬해 줘: {t}",
                 "오름차순으로 정렬하세요: {t}"},
                {numbers ? "Sort from smallest to largest: {t}" : "Sort in alphabetical order: {t}",
                 "Put these in ascending order: {t}"},
                {{"t", list}});
  // Bytes of UTF-8 order as the syllables do; of numbers without leading zeros the longer is
  // larger.
  std::ranges::sort(items, [&](const std::string& x, const std::string& y) {
    const std::string& a = falling ? y : x;
    const std::string& b = falling ? x : y;
    return numbers && a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  for (size_t i = 0; i < items.size(); ++i) {
    task.reasoning += cat(i ? "\n" : "", i + 1, ": ", items[i]);
  }
  task.answer = join(items, ", ");
}

void make_letter_case(Draw& draw, Task& task) {
  std::string small(draw.one_in(2) ? draw.pick(english_words()) : "");
  if (small.empty()) {
    for (int64_t left = draw.between(3, 8); left > 0; --left) {
      small += static_cast<char>('a' + draw.below(26));
    }
  }
  if (draw.one_in(3)) small += cat(" ", draw.pick(english_words()));
  std::string large = small;
  std::ranges::transform(large, large.begin(), upper);
  const bool up = !draw.one_in(3);
  const std::string& from = up ? small : large;
  const std::string& to = up ? large : small;
  task.problem = cat("letter_case ", from);
  task.question =
      up ? ask(draw, task.language, {"\"{t}\"{을/를} 대문자로 바꿔 줘.", "대문자로 쓰세요: {t}"},
               {"Write \"{t}\" in upper case.", "Convert to capital letters: {t}"}, {{"t", from}})
         : ask(draw, task.language, {"\"{t}\"{을/를} 소문자로 바꿔 줘.", "소문자로 쓰세요: {t}"},
               {"Write \"{t}\" in lower case.", "Convert to small letters: {t}"}, {{"t", from}});
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == ' ') continue;
    task.reasoning += cat(i ? ", " : "", from[i], "→", to[i]);
  }
  task.answer = to;
}

}  // namespace axk1::tasks
