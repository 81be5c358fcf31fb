// One compiled pattern: PCRE2 behind the semantics of Oniguruma's find_iter (what Hugging Face's
// tokenizers split with). Works on valid UTF-8 only; the caller sees to that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/class_run.h"
#include "tokenizer/regex_translate.h"

namespace axk1 {

// Buffers for matching, and what matching may still cost. One per thread; serves any number of
// patterns, one scan at a time.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

  // Grants the costs of work on a text of that length, which may take many scans.
  void begin(size_t text_bytes);

 private:
  friend class RegexScan;
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

struct RegexMatch {
  size_t begin = 0, end = 0;
};

// Immutable; any thread may match with it.
class Regex {
 public:
  // Throws Error(kInvalidInput or kUnsupported) that shows the pattern.
  Regex(std::string_view pattern, RegexDialect dialect);
  // Matches exactly this text.
  static Regex literal(std::string_view text);
  // A pattern of PCRE2 itself whose cost is RegexCost::kConstant.
  static Regex pcre2(const std::string& pattern);

  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  RegexCost cost() const;
  // The pattern where it is as simple as that (tokenizer/class_run.h).
  const std::optional<ClassRunShape>& class_run() const;

 private:
  friend class RegexScan;
  Regex() = default;
  struct Codes;
  std::unique_ptr<Codes> codes_;
};

// The matches of a pattern in a text, from left to right, not overlapping. An empty match right
// behind the last match is passed over.
//
// Whatever the patterns, scans end within a time about linear in what RegexScratch::begin was told,
// or throw Error(kInvalidInput): patterns that may backtrack without bounds run on a budget of
// steps, the others (one pass over the rest of the text per match at worst) on one of processor
// time.
class RegexScan {
 public:
  // All three must outlive the scan.
  RegexScan(const Regex& regex, std::string_view text, RegexScratch& scratch);
  std::optional<RegexMatch> next();

 private:
  std::optional<RegexMatch> search(size_t from);

  const Regex& regex_;
  std::string_view text_;
  RegexScratch& scratch_;
  size_t at_ = 0;
  std::optional<size_t> last_end_;
};

}  // namespace axk1
