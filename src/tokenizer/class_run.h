// The simplest patterns of pre-tokenizers, runs of characters of one class as in "\s?\p{L}+", done
// without a regular-expression engine: several of them, one after the other, in one pass.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"

namespace axk1 {

// What such a pattern consists of, each class as a PCRE2 pattern of one character.
struct ClassRunShape {
  std::string prefix;       // of at most one character before the run; empty: none
  std::string main;         // of the run
  size_t min = 1, max = 0;  // characters of the run; max 0: no limit
  enum class End { kAnywhere, kText, kLine };  // where the run must end; a line before its \n
  End end = End::kAnywhere;
};

// The shape of a translated pattern (tokenizer/regex_translate.h), or nothing when it is of another
// kind.
std::optional<ClassRunShape> parse_class_run(std::string_view translated);

// Cuts at the matches of one pattern, then each part at those of the next, and so on; every match
// is a piece (SplitBehavior::kIsolated). The matches are PCRE2's: leftmost, repeats greedy. Which
// characters a class holds is asked of PCRE2 at construction (some milliseconds for each class),
// so the two agree on every character. Constant once made: any thread may cut.
class ClassRuns {
 public:
  // Classes that differ, prefixes counted; patterns.
  static constexpr size_t kMaxClasses = 7, kMaxRuns = 16;
  static size_t num_classes(std::span<const ClassRunShape> shapes);

  // At least one, and no more than the limits.
  explicit ClassRuns(std::span<const ClassRunShape> shapes);

  // Appends the parts of text[piece] to `out`, in order. `text` is valid UTF-8, cut between
  // characters; `classes` is scratch memory. Time is linear in the piece for each pattern.
  void cut(std::string_view text, Piece piece, std::vector<uint8_t>& classes,
           std::vector<Piece>& out) const;

 private:
  // A set of characters is a bit; the last bit tells the bytes of a character that do not begin it.
  static constexpr uint8_t kContinues = 0x80;
  static constexpr size_t kPageChars = 256;
  using Page = std::array<uint8_t, kPageChars>;

  struct Run {
    uint8_t prefix = 0, main = 0;  // bits
    size_t min = 1, max = SIZE_MAX;
    ClassRunShape::End end = ClassRunShape::End::kAnywhere;
  };
  struct Cut;

  void add_page(size_t page_idx, const Page& page);
  uint8_t bits_of(char32_t c) const { return pages_[page_of_[c / kPageChars]][c % kPageChars]; }
  void classify(std::string_view text, std::vector<uint8_t>& classes) const;

  std::vector<Run> runs_;
  std::vector<uint16_t> page_of_;  // [code points / kPageChars]
  std::vector<Page> pages_;        // bits of each character
};

}  // namespace axk1
