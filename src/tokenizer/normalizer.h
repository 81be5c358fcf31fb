// What is done to a text before it is cut: the normalisers of Hugging Face's tokenizers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace axk1 {

struct NormalizerStep {
  enum class Kind {
    kForm,  // to `form`
    kLowercase,
    kReplace,       // every match of `pattern` by `text`
    kPrepend,       // `text` put before a text that is not empty
    kStrip,         // white space taken off the `left` and `right`
    kStripAccents,  // marks taken out
    kBytes,         // every byte as its character (byte_to_char)
  };
  Kind kind = Kind::kForm;
  NormalForm form = NormalForm::kNfc;
  std::optional<Regex> pattern;
  std::string text;
  bool left = true, right = true;
};

// Steps run one after the other. Immutable once filled.
struct Normalizer {
  std::vector<NormalizerStep> steps;

  bool empty() const { return steps.empty(); }
  // The normalised text: the text itself when no step changes it, else written to `buffer`.
  std::string_view apply(std::string_view valid_utf8, RegexScratch& scratch,
                         std::string& buffer) const;
};

}  // namespace axk1
