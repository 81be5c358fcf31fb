#include "chat/jinja_wrap.h"

#include <algorithm>

#include "base/utf8.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

using Text = std::u32string;

// textwrap knows the ASCII white space only.
bool blank(char32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0d);
}

Text decoded(std::string_view text) {
  Text out;
  for (size_t at = 0; at < text.size();) out.push_back(next_code_point(text, at));
  return out;
}

// A word cut behind its hyphens: at least two letters before, a letter behind.
void push_word(std::vector<Text>& chunks, const Text& word, bool at_hyphens) {
  size_t start = 0;
  auto letter = [&](size_t i) {
    return i < word.size() && is_word(word[i]) && !is_decimal(word[i]);
  };
  for (size_t i = 0; at_hyphens && i + 1 < word.size(); ++i) {
    if (word[i] != '-') continue;
    size_t run = i;
    while (run < word.size() && word[run] == '-') ++run;
    if (run - i >= 2) {  // an em-dash is a chunk of its own between words
      if (i > start && run < word.size()) {
        chunks.push_back(word.substr(start, i - start));
        chunks.push_back(word.substr(i, run - i));
        start = run;
      }
      i = run - 1;
    } else if (i >= start + 2 && letter(i - 1) && letter(i - 2) && letter(i + 1) && letter(i + 2)) {
      chunks.push_back(word.substr(start, i + 1 - start));
      start = i + 1;
    }
  }
  if (start < word.size()) chunks.push_back(word.substr(start));
}

std::vector<Text> chunks_of(const Text& text, bool at_hyphens) {
  std::vector<Text> chunks;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const bool space = blank(text[at]);
    while (end < text.size() && blank(text[end]) == space) ++end;
    if (space) {
      chunks.push_back(text.substr(at, end - at));
    } else {
      push_word(chunks, text.substr(at, end - at), at_hyphens);
    }
    at = end;
  }
  return chunks;
}

bool all_blank(const Text& text) {
  return std::all_of(text.begin(), text.end(), blank);
}

std::string encoded(const std::vector<Text>& chunks) {
  std::string out;
  for (const Text& chunk : chunks) {
    for (char32_t c : chunk) append_utf8(out, c);
  }
  return out;
}

}  // namespace

std::vector<std::string> wrap(std::string_view text, const WrapStyle& style) {
  std::vector<Text> chunks = chunks_of(decoded(text), style.break_on_hyphens);
  std::reverse(chunks.begin(), chunks.end());
  std::vector<std::string> lines;
  while (!chunks.empty()) {
    std::vector<Text> line;
    size_t length = 0;
    if (!lines.empty() && all_blank(chunks.back())) chunks.pop_back();
    while (!chunks.empty() && length + chunks.back().size() <= style.width) {
      length += chunks.back().size();
      line.push_back(std::move(chunks.back()));
      chunks.pop_back();
    }
    if (!chunks.empty() && chunks.back().size() > style.width) {
      Text& word = chunks.back();
      if (style.break_long_words) {
        size_t room = style.width - length;
        if (style.break_on_hyphens && room > 0) {
          const size_t hyphen = word.rfind(U'-', room - 1);
          const bool text_before =
              hyphen != Text::npos && hyphen > 0 &&
              std::any_of(word.begin(), word.begin() + static_cast<ptrdiff_t>(hyphen),
                          [](char32_t c) { return c != '-'; });
          if (text_before) room = hyphen + 1;
        }
        line.push_back(word.substr(0, room));
        word.erase(0, room);
      } else if (line.empty()) {
        line.push_back(std::move(word));
        chunks.pop_back();
      }
    }
    if (!line.empty() && all_blank(line.back())) line.pop_back();
    if (!line.empty()) lines.push_back(encoded(line));
  }
  return lines;
}

}  // namespace axk1::jinja
