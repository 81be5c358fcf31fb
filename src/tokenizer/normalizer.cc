#include "tokenizer/normalizer.h"

#include "base/text.h"
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

std::string_view Normalizer::apply(std::string_view text, RegexScratch& scratch,
                                   std::string& buffer) const {
  using Kind = NormalizerStep::Kind;
  for (const NormalizerStep& step : steps) {
    if (text.empty()) break;
    std::string result;
    switch (step.kind) {
      case Kind::kForm:
        if (is_normalized(text, step.form)) continue;
        result = normalize(text, step.form);
        break;
      case Kind::kLowercase:
        result = lowercase(text);
        break;
      case Kind::kReplace:
        result = replace(text, step, scratch);
        break;
      case Kind::kPrepend:
        result = cat(step.text, text);
        break;
      case Kind::kStrip:
        result = strip(text, step.left, step.right);
        break;
      case Kind::kStripAccents:
        result = strip_marks(text);
        break;
      case Kind::kBytes:
        result = bytes_to_text(text);
        break;
    }
    buffer = std::move(result);
    text = buffer;
  }
  return text;
}

}  // namespace axk1
