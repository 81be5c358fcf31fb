#include "tokenizer/token_decoder.h"

#include <algorithm>

#include "base/utf8.h"

namespace axk1 {
namespace {

std::optional<char> fallback_byte(std::string_view text) {  // of "<0x0A>"
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  int value = 0;
  for (char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

std::string replace_matches(const std::string& text, const DecoderStep& step,
                            RegexScratch& scratch) {
  if (!is_valid_utf8(text)) return text;
  std::string out;
  size_t copied = 0;
  scratch.begin(text.size());
  RegexScan scan(*step.pattern, text, scratch);
  while (const auto match = scan.next()) {
    out.append(text, copied, match->begin - copied).append(step.text);
    copied = match->end;
  }
  return out.append(text, copied);
}

}  // namespace

std::string_view strip_ends(std::string_view text, const StripRule& rule) {
  std::string content;
  append_utf8(content, rule.content);
  for (size_t i = 0; i < rule.start && text.starts_with(content); ++i) {
    text.remove_prefix(content.size());
  }
  for (size_t i = 0; i < rule.stop && text.ends_with(content); ++i) {
    text.remove_suffix(content.size());
  }
  return text;
}

void TokenDecoder::add(TokenId id, std::string_view text, bool literally) {
  if (entries_.size() <= static_cast<size_t>(id)) entries_.resize(static_cast<size_t>(id) + 1);
  Entry& entry = entries_[id];
  entry = {bytes_.size(), 0, true, false};
  std::string result(text);
  if (!literally) {
    for (const DecoderStep& step : rules_.per_token) {
      result = step.pattern ? replace_matches(result, step, scratch_)
                            : std::string(strip_ends(result, step.strip));
    }
    if (rules_.bytes) {
      if (auto bytes = text_to_bytes(result)) result = std::move(*bytes);
    } else if (rules_.byte_fallback) {
      if (const auto byte = fallback_byte(result)) {
        result.assign(1, *byte);
        entry.fallback_byte = true;
      }
    }
  }
  entry.length = static_cast<uint32_t>(result.size());
  bytes_ += result;
}

}  // namespace axk1
