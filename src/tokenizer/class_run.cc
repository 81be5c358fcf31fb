#include "tokenizer/class_run.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/regex.h"

namespace axk1 {
namespace {

constexpr size_t kMaxCount = 64;  // of a repeat with a limit
constexpr char32_t kNumCodePoints = 0x110000, kAtOnce = 0x10000;

// Takes "[...]" or "\x{...}" from the front. Inside brackets the translation writes every special
// character as an escape, so the first ']' ends the class.
std::optional<std::string> take_class(std::string_view& rest) {
  size_t end = std::string_view::npos;
  if (rest.starts_with('[')) {
    end = rest.find(']');
    if (rest.substr(0, end).find_first_of("[&", 1) != std::string_view::npos) return std::nullopt;
  } else if (rest.starts_with("\\x{")) {
    end = rest.find('}');
  }
  if (end == std::string_view::npos) return std::nullopt;
  std::string taken(rest.substr(0, end + 1));
  rest.remove_prefix(end + 1);
  return taken;
}

// Takes "{n,m}" from the front.
bool take_counts(std::string_view& rest, size_t& min, size_t& max) {
  const size_t end = rest.find('}');
  if (end == std::string_view::npos) return false;
  const char* const stop = rest.data() + end;
  const auto first = std::from_chars(rest.data() + 1, stop, min);
  if (first.ec != std::errc() || first.ptr == stop || *first.ptr != ',') return false;
  const auto second = std::from_chars(first.ptr + 1, stop, max);
  if (second.ec != std::errc() || second.ptr != stop) return false;
  rest.remove_prefix(end + 1);
  return min >= 1 && min <= max && max <= kMaxCount;
}

// The classes of all shapes, each once.
std::vector<std::string> classes_of(std::span<const ClassRunShape> shapes) {
  std::vector<std::string> classes;
  for (const ClassRunShape& shape : shapes) {
    for (const std::string* name : {&shape.prefix, &shape.main}) {
      if (!name->empty() && std::ranges::find(classes, *name) == classes.end()) {
        classes.push_back(*name);
      }
    }
  }
  return classes;
}

}  // namespace

std::optional<ClassRunShape> parse_class_run(std::string_view translated) {
  ClassRunShape shape;
  std::optional<std::string> taken = take_class(translated);
  if (!taken) return std::nullopt;
  if (translated.starts_with('?')) {
    translated.remove_prefix(1);
    shape.prefix = *taken;
    taken = take_class(translated);
    if (!taken) return std::nullopt;
  }
  shape.main = *taken;
  if (translated.starts_with('+')) {
    translated.remove_prefix(1);
  } else if (translated.starts_with('{')) {
    if (!take_counts(translated, shape.min, shape.max)) return std::nullopt;
  } else {
    shape.max = 1;
  }
  if (translated.empty()) return shape;
  if (shape.min != 1 || shape.max != 0) return std::nullopt;  // an end may cut a run short
  if (translated == "\\z") {
    shape.end = ClassRunShape::End::kText;
  } else if (translated == "(?=\\n|\\z)") {
    shape.end = ClassRunShape::End::kLine;
  } else {
    return std::nullopt;
  }
  return shape;
}

size_t ClassRuns::num_classes(std::span<const ClassRunShape> shapes) {
  return classes_of(shapes).size();
}

ClassRuns::ClassRuns(std::span<const ClassRunShape> shapes)
    : page_of_(kNumCodePoints / kPageChars), pages_(1) {
  const std::vector<std::string> classes = classes_of(shapes);
  AXK1_CHECK(classes.size() <= kMaxClasses && shapes.size() <= kMaxRuns);
  const auto bit_of = [&](const std::string& name) {
    const size_t idx = static_cast<size_t>(std::ranges::find(classes, name) - classes.begin());
    return static_cast<uint8_t>(name.empty() ? 0 : 1 << idx);
  };
  for (const ClassRunShape& shape : shapes) {
    runs_.push_back({.prefix = bit_of(shape.prefix),
                     .main = bit_of(shape.main),
                     .min = shape.min,
                     .max = shape.max ? shape.max : SIZE_MAX,
                     .end = shape.end});
  }

  // PCRE2 itself finds the characters of a class, in a text of all there are.
  std::vector<Regex> regexes;
  for (const std::string& name : classes) regexes.push_back(Regex::pcre2(name + "+"));
  RegexScratch scratch;
  std::string text;
  std::vector<Page> pages(kAtOnce / kPageChars);
  for (char32_t first = 0; first < kNumCodePoints; first += kAtOnce) {
    text.clear();
    for (char32_t c = first; c < first + kAtOnce; ++c) {
      if (c < 0xd800 || c > 0xdfff) append_utf8(text, c);
    }
    std::ranges::fill(pages, Page{});
    for (size_t i = 0; i < classes.size(); ++i) {
      scratch.begin(text.size());
      RegexScan scan(regexes[i], text, scratch);
      while (const auto match = scan.next()) {
        // The characters of a match follow one another, but for the surrogates.
        char32_t c = decode_utf8(std::string_view(text).substr(match->begin)).code_point;
        for (size_t at = match->begin; at < match->end; ++c) {
          if (c == 0xd800) c = 0xe000;
          pages[(c - first) / kPageChars][c % kPageChars] |= static_cast<uint8_t>(1 << i);
          at += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        }
      }
    }
    for (size_t i = 0; i < pages.size(); ++i) add_page(first / kPageChars + i, pages[i]);
  }
}

// Pages that equal the one before them or the empty one share its memory: most do.
void ClassRuns::add_page(size_t page_idx, const Page& page) {
  if (page == pages_[0]) return;
  if (page != pages_.back()) pages_.push_back(page);
  page_of_[page_idx] = static_cast<uint16_t>(pages_.size() - 1);
}

// The bits of every byte's character.
void ClassRuns::classify(std::string_view text, std::vector<uint8_t>& classes) const {
  classes.resize(text.size());
  uint8_t* out = classes.data();
  const Page& ascii = pages_[page_of_[0]];
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t at = 0; at < text.size();) {
    const char32_t lead = byte(at);
    if (lead < 0x80) {
      out[at++] = ascii[lead];
      continue;
    }
    const auto tail = [&](size_t i) { return char32_t{byte(at + i)} & 0x3f; };
    const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    AXK1_CHECK(at + length <= text.size());
    const char32_t c = length == 2   ? (lead & 0x1f) << 6 | tail(1)
                       : length == 3 ? (lead & 0x0f) << 12 | tail(1) << 6 | tail(2)
                                     : (lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
    const uint8_t bits = bits_of(c);
    out[at] = bits;
    for (size_t i = 1; i < length; ++i) out[at + i] = bits | kContinues;
    at += length;
  }
}

// One call of cut(): positions count from the start of the piece.
struct ClassRuns::Cut {
  std::span<const Run> runs;
  std::string_view text;
  const uint8_t* classes;
  size_t offset;  // of the piece
  std::vector<Piece>& out;

  // Cuts [begin, end) by the runs from `run_idx` on.
  void cut(size_t run_idx, size_t begin, size_t end) {
    uint8_t present = 0;
    for (size_t i = begin; i < end; ++i) present |= classes[i];
    while (run_idx < runs.size() && !(present & runs[run_idx].main)) ++run_idx;
    if (run_idx == runs.size()) {
      out.push_back({offset + begin, offset + end});
      return;
    }
    const Run& run = runs[run_idx];
    size_t done = begin;
    for (size_t at = begin; at < end;) {
      const size_t match_end = match(run, at, end);
      if (match_end == at) {
        at = next_start(run, at, end);
        continue;
      }
      if (done < at) cut(run_idx + 1, done, at);
      cut(run_idx + 1, at, match_end);
      at = done = match_end;
    }
    if (done < end) cut(run_idx + 1, done, end);
  }

 private:
  size_t next_char(size_t at, size_t end) const {
    do {
      ++at;
    } while (at < end && classes[at] & kContinues);
    return at;
  }

  // Where the match that begins at `at` ends; `at` when there is none.
  size_t match(const Run& run, size_t at, size_t end) const {
    if (classes[at] & run.prefix) {
      const size_t begin = next_char(at, end);
      const size_t stop = run_end(run, begin, end);
      if (stop > begin) return stop;
    }
    return run_end(run, at, end);
  }

  // The next place where a match could begin. No later start in a run ends where one before it
  // could not.
  size_t next_start(const Run& run, size_t at, size_t end) const {
    const uint8_t either = run.prefix | run.main;
    if (run.end != ClassRunShape::End::kAnywhere) {
      while (at + 1 < end && classes[at] & run.main && classes[at + 1] & run.main) ++at;
    }
    at = next_char(at, end);
    while (at < end && !(classes[at] & either)) ++at;
    return at;
  }

  // Where the run that begins at `begin` may end; `begin` when it may not, or is too short.
  size_t run_end(const Run& run, size_t begin, size_t end) const {
    size_t at = begin;
    if (run.max == SIZE_MAX) {
      while (at < end && classes[at] & run.main) ++at;
    } else {
      size_t count = 0;
      for (; at < end && classes[at] & run.main && count < run.max; ++count) {
        at = next_char(at, end);
      }
      if (count < run.min) return begin;
    }
    if (run.end == ClassRunShape::End::kAnywhere || at == end) return at;
    if (run.end == ClassRunShape::End::kText) return begin;
    while (at > begin && text[at] != '\n') --at;
    return at;
  }
};

void ClassRuns::cut(std::string_view text, Piece piece, std::vector<uint8_t>& classes,
                    std::vector<Piece>& out) const {
  const std::string_view inside = text.substr(piece.begin, piece.end - piece.begin);
  if (inside.empty()) return;
  classify(inside, classes);
  Cut{runs_, inside, classes.data(), piece.begin, out}.cut(0, 0, inside.size());
}

}  // namespace axk1
