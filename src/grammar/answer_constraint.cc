// Answers that are JSON, or that contain calls in JSON.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "grammar/byte_constraint.h"
#include "grammar/constraints.h"
#include "grammar/grammar.h"
#include "grammar/json_cursor.h"
#include "grammar/token_mask.h"

namespace axk1 {
namespace {

struct Shared {
  std::shared_ptr<const GrammarVocabulary> vocabulary;
  std::shared_ptr<const Grammar> grammar;
  Frame frame;
  JsonStyle style;
};

constexpr std::string_view kShortEscapes = "\"\\/bfnrt";

class AnswerConstraint final : public ByteConstraint {
 public:
  explicit AnswerConstraint(std::shared_ptr<const Shared> shared)
      : shared_(std::move(shared)),
        tables_(&shared_->vocabulary->tables()),
        cursor_(*shared_->grammar, shared_->frame),
        mask_(*tables_) {}

  bool allows_all() const override {
    return !ended_ && cursor_.mode() == JsonCursor::Mode::kFree && misfits().empty();
  }

  void allowed(std::span<uint32_t> words) override {
    std::fill(words.begin(), words.end(), 0);
    if (ended_) {
      add_end_tokens(words);
      return;
    }
    if (cursor_.mode() == JsonCursor::Mode::kFree) {
      add_all(words);
      for (TokenId id : misfits()) {
        words[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
      }
      return;
    }
    if (last_ && last_->first.same_free_string(cursor_)) {
      std::copy(last_->second.begin(), last_->second.end(), words.begin());
      return;
    }
    mask_.add(cursor_, text_, *shared_->grammar, words);
    for (TokenId id : tables_->marks) {
      if (takes_mark(id)) set_token(words, id);
    }
    if (too_blank()) leave_out(tables_->blank_first, words);
    if (!shared_->style.unicode_escapes) {
      leave_out(tables_->unicode_escape, words);
      if (after_backslash_) leave_out(tables_->u_first, words);
      leave_out_beginnings_of_escapes(words);
    }
    const bool none = std::all_of(words.begin(), words.end(), [](uint32_t w) { return w == 0; });
    if (cursor_.can_end() || none) add_end_tokens(words);
    if (cursor_.string_is_free()) last_.emplace(cursor_, MaskWords(words.begin(), words.end()));
  }

  bool push(TokenId id) override {
    if (id < 0 || static_cast<size_t>(id) >= tables_->tokens.size()) return false;
    if (std::find(tables_->end_ids.begin(), tables_->end_ids.end(), id) != tables_->end_ids.end()) {
      if (!ended_ && !cursor_.can_end() && !nothing_fits()) return false;
      ended_ = true;
      return true;
    }
    if (ended_) return false;
    const GrammarVocabulary::Impl::Token& token = tables_->tokens[static_cast<size_t>(id)];
    const bool free = cursor_.mode() == JsonCursor::Mode::kFree;
    switch (token.kind) {
      case TokenKind::kNone:
      case TokenKind::kHidden:
        return free;  // no part of the text
      case TokenKind::kMark:
        if (!free && !takes_mark(id)) return false;
        break;
      case TokenKind::kText:
        break;
    }
    const bool between = !in_text();
    if (!free && ((too_blank() && has_token(tables_->blank_first, id)) ||
                  (!shared_->style.unicode_escapes &&
                   (token.bytes.ends_with('\\') || has_token(tables_->unicode_escape, id) ||
                    (after_backslash_ && has_token(tables_->u_first, id)))))) {
      MaskWords words(tables_->blank_first.size());
      allowed(words);
      if (!has_token(words, id)) return false;
    }
    if (!push_bytes(token.bytes)) return false;
    const bool blank = between && !in_text() && !token.bytes.empty() &&
                       std::all_of(token.bytes.begin(), token.bytes.end(), is_json_blank);
    blank_tokens_ = blank ? blank_tokens_ + 1 : 0;
    const auto mode = cursor_.mode();
    after_backslash_ = (mode == JsonCursor::Mode::kString || mode == JsonCursor::Mode::kKey) &&
                       !cursor_.in_plain_string() && token.bytes.ends_with('\\');
    return true;
  }

  bool push_bytes(std::string_view bytes) override {
    if (ended_) return false;
    JsonCursor next = cursor_;
    const size_t before = text_.size();
    for (char c : bytes) {
      if (!next.push(static_cast<uint8_t>(c), text_)) {
        text_.resize(std::min(before, text_.size()));
        return false;
      }
    }
    next.forget_text(text_);
    cursor_ = std::move(next);
    return true;
  }

  std::unique_ptr<TokenConstraint> clone() const override {
    auto copy = std::make_unique<AnswerConstraint>(shared_);
    copy->cursor_ = cursor_;
    copy->cursor_.unshare();
    copy->text_ = text_;
    copy->ended_ = ended_;
    copy->blank_tokens_ = blank_tokens_;
    copy->after_backslash_ = after_backslash_;
    return copy;
  }

 private:
  void add_end_tokens(std::span<uint32_t> words) const {
    for (TokenId id : tables_->end_ids) set_token(words, id);
  }

  // Where white space would be part of something else.
  bool in_text() const {
    switch (cursor_.mode()) {
      case JsonCursor::Mode::kFree:
      case JsonCursor::Mode::kOpen:
      case JsonCursor::Mode::kString:
      case JsonCursor::Mode::kKey:
      case JsonCursor::Mode::kClose:
        return true;
      default:
        return false;
    }
  }

  bool too_blank() const { return blank_tokens_ >= shared_->style.max_blank_tokens; }

  // Takes tokens out of the set, unless nothing else is in it.
  void leave_out(const MaskWords& tokens, std::span<uint32_t> words) const {
    bool more = cursor_.can_end();
    for (size_t i = 0; i < tokens.size() && !more; ++i) more = (words[i] & ~tokens[i]) != 0;
    if (!more) return;
    for (size_t i = 0; i < tokens.size(); ++i) words[i] &= ~tokens[i];
  }

  // Tokens behind which only uXXXX can come.
  void leave_out_beginnings_of_escapes(std::span<uint32_t> words) const {
    if (cursor_.string_is_free()) return;
    MaskWords found(words.size());
    bool any = false;
    for (TokenId id : tables_->backslash_last) {
      if (has_token(words, id) && only_unicode_follows(id)) {
        set_token(found, id);
        any = true;
      }
    }
    if (any) leave_out(found, words);
  }

  bool only_unicode_follows(TokenId id) const {
    const std::string& bytes = tables_->tokens[static_cast<size_t>(id)].bytes;
    return fits(bytes + 'u') && std::none_of(kShortEscapes.begin(), kShortEscapes.end(),
                                             [&](char c) { return fits(bytes + c); });
  }

  void add_all(std::span<uint32_t> words) const {
    const size_t n = tables_->tokens.size();
    std::fill_n(words.begin(), n / 32, UINT32_MAX);
    if (n % 32 != 0) words[n / 32] = (uint32_t{1} << (n % 32)) - 1;
  }

  bool fits(std::string_view bytes) const {
    JsonCursor next = cursor_;
    TextBuffer text = text_;
    return std::all_of(bytes.begin(), bytes.end(),
                       [&](char c) { return next.push(static_cast<uint8_t>(c), text); });
  }

  // In free text: tokens that begin a call and go on as no call does.
  std::vector<TokenId> misfits() const {
    std::vector<TokenId> out;
    for (TokenId id : tables_->completing(shared_->frame.open, cursor_.frame_match())) {
      if (!fits(tables_->tokens[static_cast<size_t>(id)].bytes)) out.push_back(id);
    }
    return out;
  }

  // A mark stands for its text only where that mark is due, whole.
  bool takes_mark(TokenId id) const {
    const std::string& bytes = tables_->tokens[static_cast<size_t>(id)].bytes;
    const bool due =
        (cursor_.mode() == JsonCursor::Mode::kBeforeCall && bytes == shared_->frame.open) ||
        (cursor_.mode() == JsonCursor::Mode::kDone && bytes == shared_->frame.close);
    return due && fits(bytes);
  }

  bool nothing_fits() {
    MaskWords words(token_mask_words(tables_->tokens.size()));
    mask_.add(cursor_, text_, *shared_->grammar, words);
    const auto& marks = tables_->marks;
    return std::all_of(words.begin(), words.end(), [](uint32_t w) { return w == 0; }) &&
           std::none_of(marks.begin(), marks.end(), [&](TokenId id) { return takes_mark(id); });
  }

  std::shared_ptr<const Shared> shared_;
  const GrammarVocabulary::Impl* tables_;
  JsonCursor cursor_;
  TextBuffer text_;
  bool ended_ = false;
  size_t blank_tokens_ = 0;       // the last so many brought white space between tokens of JSON
  bool after_backslash_ = false;  // in a string, of an escape
  TokenMask mask_;
  std::optional<std::pair<JsonCursor, MaskWords>> last_;  // of a free string
};

}  // namespace

std::unique_ptr<TokenConstraint> make_json_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, std::shared_ptr<const Grammar> grammar,
    const JsonStyle& style) {
  return std::make_unique<AnswerConstraint>(std::make_shared<const Shared>(
      Shared{std::move(vocabulary), std::move(grammar), Frame(), style}));
}

std::unique_ptr<TokenConstraint> make_tool_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, std::shared_ptr<const Grammar> calls,
    const ToolConstraintOptions& options) {
  if (options.open.empty() || options.close.empty()) {
    fail(ErrorCode::kInvalidInput, "tools: found an empty mark around calls");
  }
  Frame frame{true, options.required, options.parallel, options.open, options.close};
  return std::make_unique<AnswerConstraint>(std::make_shared<const Shared>(
      Shared{std::move(vocabulary), std::move(calls), std::move(frame), options.style}));
}

}  // namespace axk1
