// How a text is cut into the pieces that byte-pair encoding works on: the pre-tokenizers of Hugging
// Face's tokenizers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/class_run.h"
#include "tokenizer/regex.h"

namespace axk1 {

// What becomes of the matches of a cut.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct PreTokenizerStep {
  enum class Kind {
    kSplit,   // at the matches of `pattern`, or (`invert`) at what lies between them
    kDigits,  // at numeric characters
    kPunctuation,
    kWhitespaceSplit,
    kPrefixSpace,  // not a cut: a space put before every piece that begins with none
    kBytes,        // not a cut: every byte as its character (byte_to_char)
    kClassRuns,    // several kSplit with kIsolated in one (join_class_runs)
  };
  Kind kind = Kind::kSplit;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
  std::optional<Regex> pattern;
  std::shared_ptr<const ClassRuns> class_runs;
};

// Buffers of one cut after the other. One per thread.
struct PreTokenizerScratch {
  std::vector<Piece> pieces;  // the result, into `text`
  std::string_view text;

  struct Span {
    size_t begin, end;
    bool match;
  };
  std::vector<Piece> previous;
  std::vector<Span> spans;
  std::vector<uint8_t> classes;
  std::string rewritten[2];
};

// Steps run one after the other, each on the pieces of the last. Immutable once filled.
struct PreTokenizer {
  std::vector<PreTokenizerStep> steps;
  // The model reads bytes as their characters: a kBytes step behind all others, left out of `steps`
  // so that the model can do it with a table.
  bool bytes_last = false;

  // Puts every row of steps that cut at simple patterns into one step with the same effect.
  void join_class_runs();

  // Leaves the non-empty pieces of the text, in order, in scratch.pieces and scratch.text. The text
  // must outlive their use.
  void run(std::string_view valid_utf8, RegexScratch& regex, PreTokenizerScratch& scratch) const;
};

}  // namespace axk1
