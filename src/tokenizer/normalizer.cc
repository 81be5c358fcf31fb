#include "tokenizer/normalizer.h"

#include "base/utf8.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {
namespace {

std::string replace(std::string_view text, const NormalizerStep& step, RegexScratch& scratch) {
  std::string out;
  size_t copied = 0;
  RegexScan scan(*step.pattern, text, scratch);
  while (const auto match = scan.next()) {
    out.append(text.substr(copied, match->begin - copied)).append(step.text);
    copied = match->end;
  }
  return out.append(text.substr(copied));
}

std::string strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (!is_whitespace(c.code_point)) break;
    text.remove_prefix(c.length);
  }
  while (right && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    if (!is_whitespace(decode_utf8(text.substr(start)).code_point)) break;
    text.remove_suffix(text.size() - start);
  }
  return std::string(text);
}

std::string strip_marks(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (!is_mark(c.code_point)) out.append(text.substr(0, c.length));
    text.remove_prefix(c.length);
  }
  return out;
}

}  // namespace

std::string Normalizer::apply(std::string_view valid_utf8, RegexScratch& scratch) const {
  std::string text(valid_utf8);
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::kForm:
        text = normalize(text, step.form);
        break;
      case NormalizerStep::Kind::kLowercase:
        text = lowercase(text);
        break;
      case NormalizerStep::Kind::kReplace:
        if (!text.empty()) text = replace(text, step, scratch);
        break;
      case NormalizerStep::Kind::kPrepend:
        if (!text.empty()) text.insert(0, step.text);
        break;
      case NormalizerStep::Kind::kStrip:
        text = strip(text, step.left, step.right);
        break;
      case NormalizerStep::Kind::kStripAccents:
        text = strip_marks(text);
        break;
      case NormalizerStep::Kind::kBytes:
        text = bytes_to_text(text);
        break;
    }
  }
  return text;
}

}  // namespace axk1
