#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/unicode.h"

namespace axk1 {
namespace {

// The last character of a text that is not empty; only as good as the UTF-8 is.
Utf8Char last_char(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && text.size() - start < 4 &&
         (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) {
    --start;
  }
  Utf8Char c = decode_utf8(text.substr(start));
  if (!c.valid || start + c.length != text.size()) c = {0xfffd, 1, false, false};
  return c;
}

}  // namespace

void AddedTokenMatcher::add(std::string_view pattern, const AddedToken& token) {
  uint32_t at = 0;
  for (unsigned char byte : pattern) {
    auto& children = nodes_[at].children;
    const auto found = std::ranges::find(children, byte, &Child::byte);
    if (found != children.end()) {
      at = found->node;
      continue;
    }
    const auto fresh = static_cast<uint32_t>(nodes_.size());
    children.push_back({byte, fresh});
    nodes_.emplace_back();
    at = fresh;
  }
  first_bytes_[static_cast<unsigned char>(pattern[0])] = true;
  if (nodes_[at].token < 0) nodes_[at].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokenMatcher::Found AddedTokenMatcher::longest_at(std::string_view text) const {
  Found found;
  uint32_t at = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto& children = nodes_[at].children;
    const auto child =
        std::ranges::find(children, static_cast<unsigned char>(text[i]), &Child::byte);
    if (child == children.end()) break;
    at = child->node;
    if (nodes_[at].token >= 0) found = {nodes_[at].token, i + 1};
  }
  return found;
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special,
                              std::vector<Part>& parts) const {
  parts.clear();
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    if (!first_bytes_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Found found = longest_at(text.substr(at));
    if (found.token < 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + found.length;
    at = end;
    const AddedToken& token = tokens_[static_cast<size_t>(found.token)];
    if (token.special && !parse_special) continue;
    if (token.single_word) {
      const bool word_before = begin > 0 && is_word(last_char(text.substr(0, begin)).code_point);
      const bool word_after =
          end < text.size() && is_word(decode_utf8(text.substr(end)).code_point);
      if (word_before || word_after) continue;
    }
    begin = std::max(begin, done);  // white space before it may be taken already
    if (token.lstrip) {
      while (begin > done) {
        const Utf8Char c = last_char(text.substr(0, begin));
        if (!is_whitespace(c.code_point)) break;
        begin -= c.length;
      }
    }
    if (token.rstrip) {
      while (end < text.size()) {
        const Utf8Char c = decode_utf8(text.substr(end));
        if (!is_whitespace(c.code_point)) break;
        end += c.length;
      }
    }
    if (done < begin) parts.push_back({done, begin, -1});
    parts.push_back({begin, std::max(end, done), token.id});
    done = std::max(end, done);
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
}

}  // namespace axk1
