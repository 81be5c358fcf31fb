#include "grammar/grammar_vocabulary.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "grammar/vocabulary_tables.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

constexpr std::array<std::string_view, 4> kMarks = {"<think>", "</think>", "<tool_call>",
                                                    "</tool_call>"};
// Sets for strings with so many characters to come; more make no difference to most tokens, and to
// the longest ones only that they are not offered.
constexpr size_t kMaxInteriorLength = 128;

std::vector<GrammarVocabulary::Impl::Token> tokens_of(const Tokenizer& tokenizer,
                                                      size_t vocab_size) {
  if (vocab_size == 0) vocab_size = tokenizer.vocab_size();
  std::vector<GrammarVocabulary::Impl::Token> tokens(vocab_size);
  for (size_t i = 0; i < std::min(vocab_size, tokenizer.vocab_size()); ++i) {
    const auto id = static_cast<TokenId>(i);
    tokens[i].bytes = tokenizer.token_bytes(id);
    if (tokens[i].bytes.empty()) continue;
    const bool mark = std::find(kMarks.begin(), kMarks.end(), tokens[i].bytes) != kMarks.end();
    tokens[i].kind = mark                       ? TokenKind::kMark
                     : tokenizer.is_special(id) ? TokenKind::kHidden
                                                : TokenKind::kText;
  }
  return tokens;
}

std::vector<GrammarVocabulary::Impl::Token> tokens_of(std::vector<std::string> bytes) {
  std::vector<GrammarVocabulary::Impl::Token> tokens(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool mark = std::find(kMarks.begin(), kMarks.end(), bytes[i]) != kMarks.end();
    tokens[i].kind = bytes[i].empty() ? TokenKind::kNone
                     : mark           ? TokenKind::kMark
                                      : TokenKind::kText;
    tokens[i].bytes = std::move(bytes[i]);
  }
  return tokens;
}

}  // namespace

GrammarVocabulary::Impl::Impl(std::vector<Token> tokens_in, std::vector<TokenId> end_ids_in)
    : tokens(std::move(tokens_in)), end_ids(std::move(end_ids_in)) {
  for (TokenId id : end_ids) {
    if (id < 0 || static_cast<size_t>(id) >= tokens.size()) {
      fail(ErrorCode::kInvalidInput, "vocabulary: end token ", id, " is not below its size ",
           tokens.size());
    }
    tokens[static_cast<size_t>(id)].kind = TokenKind::kHidden;
  }
  std::vector<std::pair<std::string_view, TokenId>> texts, closers, behind;
  std::vector<std::pair<std::vector<uint32_t>, TokenId>> inside;
  std::vector<std::vector<TokenId>> by_length(kMaxInteriorLength + 1);
  interior_all.resize((tokens.size() + 31) / 32);
  for (MaskWords* words : {&blank_first, &unicode_escape, &u_first}) {
    words->resize(interior_all.size());
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (tokens[i].kind == TokenKind::kMark) marks.push_back(id);
    if (tokens[i].kind == TokenKind::kMark || tokens[i].kind == TokenKind::kText) {
      sorted.push_back(id);
    }
    if (tokens[i].kind != TokenKind::kText) continue;
    const std::string_view bytes = tokens[i].bytes;
    texts.emplace_back(bytes, id);
    if (!bytes.empty() && is_json_blank(bytes[0])) set_token(blank_first, id);
    if (bytes.find("\\u") != std::string_view::npos) set_token(unicode_escape, id);
    if (bytes.starts_with('u')) set_token(u_first, id);
    if (bytes.ends_with('\\')) backslash_last.push_back(id);
    StringLexer lexer;
    std::vector<uint32_t> chars;
    StringLexer::Result result = StringLexer::Result::kMore;
    size_t at = 0;
    while (at < bytes.size() && result != StringLexer::Result::kReject &&
           result != StringLexer::Result::kClose) {
      uint32_t c = 0;
      result = lexer.push(static_cast<uint8_t>(bytes[at++]), c);
      if (result == StringLexer::Result::kChar) chars.push_back(c);
    }
    if (result == StringLexer::Result::kReject) continue;
    if (result == StringLexer::Result::kClose) {
      closers.emplace_back(bytes, id);
      if (at == bytes.size()) {
        closing_last.push_back(id);
      } else {
        behind.emplace_back(bytes.substr(at), id);
      }
      continue;
    }
    set_token(interior_all, id);
    const size_t length = chars.size() + !lexer.plain();
    (length <= kMaxInteriorLength ? by_length[length] : interior_long).push_back(id);
    if (lexer.plain()) {
      inside.emplace_back(std::move(chars), id);
    } else if (chars.empty()) {
      interior.root_tails.push_back({id, lexer.possible()});
    } else {
      interior.tails.push_back({id, lexer.possible()});
      inside.emplace_back(std::move(chars), -static_cast<TokenId>(interior.tails.size()));
    }
  }
  all = TokenTrie::of_bytes(texts);
  closing = TokenTrie::of_bytes(closers);
  after_closing = TokenTrie::of_bytes(behind);
  interior.trie = TokenTrie::build(std::move(inside));
  interior.find_chars();
  MaskWords words(interior_all.size());
  for (const std::vector<TokenId>& ids : by_length) {
    for (TokenId id : ids) set_token(words, id);
    interior_up_to.push_back(words);
  }
  std::sort(sorted.begin(), sorted.end(), [&](TokenId a, TokenId b) {
    return tokens[static_cast<size_t>(a)].bytes < tokens[static_cast<size_t>(b)].bytes;
  });
}

const std::vector<TokenId>& GrammarVocabulary::Impl::containing(std::string_view text) const {
  const std::lock_guard lock(mutex_);
  const auto found = containing_.find(text);
  if (found != containing_.end()) return found->second;
  std::vector<TokenId> ids;
  for (TokenId id : sorted) {
    if (tokens[static_cast<size_t>(id)].bytes.find(text) != std::string::npos) ids.push_back(id);
  }
  return containing_.emplace(std::string(text), std::move(ids)).first->second;
}

std::span<const TokenId> GrammarVocabulary::Impl::beginning_with(std::string_view text) const {
  const auto bytes = [&](TokenId id) {
    return std::string_view(tokens[static_cast<size_t>(id)].bytes);
  };
  const auto first = std::lower_bound(
      sorted.begin(), sorted.end(), text,
      [&](TokenId id, std::string_view t) { return bytes(id).substr(0, t.size()) < t; });
  const auto last = std::upper_bound(
      first, sorted.end(), text,
      [&](std::string_view t, TokenId id) { return t < bytes(id).substr(0, t.size()); });
  return {first, last};
}

std::vector<TokenId> GrammarVocabulary::Impl::completing(std::string_view mark,
                                                         size_t match) const {
  std::vector<TokenId> ids = containing(mark);
  const std::string_view come = mark.substr(0, match);
  for (size_t n = 1; n <= match; ++n) {
    if (!come.ends_with(mark.substr(0, n))) continue;
    const std::span<const TokenId> more = beginning_with(mark.substr(n));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

GrammarVocabulary::GrammarVocabulary(const Tokenizer& tokenizer, std::vector<TokenId> end_ids,
                                     size_t vocab_size)
    : impl_(std::make_unique<const Impl>(tokens_of(tokenizer, vocab_size), std::move(end_ids))) {}

GrammarVocabulary::GrammarVocabulary(std::vector<std::string> bytes, std::vector<TokenId> end_ids)
    : impl_(std::make_unique<const Impl>(tokens_of(std::move(bytes)), std::move(end_ids))) {}

GrammarVocabulary::~GrammarVocabulary() = default;

size_t GrammarVocabulary::vocab_size() const {
  return impl_->tokens.size();
}

const std::vector<TokenId>& GrammarVocabulary::end_ids() const {
  return impl_->end_ids;
}

}  // namespace axk1
