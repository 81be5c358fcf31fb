// Reasoning in front of a constrained answer.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "grammar/byte_constraint.h"
#include "grammar/constraints.h"
#include "grammar/vocabulary_tables.h"

namespace axk1 {
namespace {

class ThinkingConstraint final : public ByteConstraint {
 public:
  ThinkingConstraint(std::shared_ptr<const GrammarVocabulary> vocabulary, ThinkingOptions options,
                     std::unique_ptr<TokenConstraint> inner)
      : vocabulary_(std::move(vocabulary)),
        tables_(&vocabulary_->tables()),
        options_(std::make_shared<const ThinkingOptions>(std::move(options))),
        inner_(std::move(inner)),
        state_(options_->in_reasoning ? State::kReasoning
               : options_->may_open   ? State::kMayOpen
                                      : State::kAnswer) {
    if (state_ == State::kMayOpen && inner_) untouched_ = inner_->clone();
  }

  bool allows_all() const override {
    switch (state_) {
      case State::kMayOpen:
        return inner_alive_ && (!inner_ || inner_->allows_all());
      case State::kReasoning:
        return !inner_ && !over_budget();
      case State::kAnswer:
        return !inner_ || inner_->allows_all();
    }
    return false;
  }

  void allowed(std::span<uint32_t> words) override {
    if (state_ == State::kAnswer) {
      answer_allowed(words);
    } else if (state_ == State::kMayOpen) {
      std::fill(words.begin(), words.end(), 0);
      if (inner_alive_) answer_allowed(words);
      for (TokenId id : tables_->sorted) {
        if (opens(bytes_of(id))) set_token(words, id);
      }
    } else if (over_budget()) {
      std::fill(words.begin(), words.end(), 0);
      for (TokenId id : closing_tokens()) set_token(words, id);
    } else {
      add_all(words);
      if (!inner_) return;
      for (TokenId id : tables_->end_ids) clear(words, id);
      for (TokenId id : tables_->completing(options_->close, match_)) {
        if (!behind_close_fits(bytes_of(id))) clear(words, id);
      }
    }
  }

  bool push(TokenId id) override {
    if (id < 0 || static_cast<size_t>(id) >= tables_->tokens.size()) return false;
    if (state_ == State::kAnswer) return !inner_ || inner_->push(id);
    const TokenKind kind = tables_->tokens[static_cast<size_t>(id)].kind;
    const bool text = kind == TokenKind::kText || kind == TokenKind::kMark;
    if (state_ == State::kMayOpen) {
      const bool opening = text && opens(bytes_of(id));
      const bool answering = inner_alive_ && (!inner_ || inner_->push(id));
      if (!opening && !answering) return false;
      inner_alive_ = answering;
      if (opening) return push_opening(bytes_of(id));
      state_ = State::kAnswer;
      return true;
    }
    if (over_budget()) {
      const std::vector<TokenId> closing = closing_tokens();
      if (std::find(closing.begin(), closing.end(), id) == closing.end()) return false;
    }
    const auto& ends = tables_->end_ids;
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) return !inner_;
    if (text && !push_reasoning(bytes_of(id))) return false;
    ++num_tokens_;
    return true;
  }

  bool push_bytes(std::string_view bytes) override {
    if (state_ == State::kReasoning) return push_reasoning(bytes);
    if (state_ == State::kMayOpen) return false;
    return push_inner(*this, bytes);
  }

  std::unique_ptr<TokenConstraint> clone() const override {
    auto copy = std::make_unique<ThinkingConstraint>(vocabulary_, *options_,
                                                     inner_ ? inner_->clone() : nullptr);
    copy->options_ = options_;
    copy->untouched_ = untouched_ ? untouched_->clone() : nullptr;
    copy->state_ = state_;
    copy->opened_ = opened_;
    copy->inner_alive_ = inner_alive_;
    copy->match_ = match_;
    copy->num_tokens_ = num_tokens_;
    return copy;
  }

 private:
  enum class State {
    kMayOpen,  // nothing but white space, and perhaps the beginning of `open`, has come
    kReasoning,
    kAnswer,
  };

  std::string_view bytes_of(TokenId id) const {
    return tables_->tokens[static_cast<size_t>(id)].bytes;
  }
  bool over_budget() const { return options_->budget && num_tokens_ >= *options_->budget; }

  static void clear(std::span<uint32_t> words, TokenId id) {
    words[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
  }
  void add_all(std::span<uint32_t> words) const {
    const size_t n = tables_->tokens.size();
    std::fill(words.begin(), words.end(), 0);
    std::fill_n(words.begin(), n / 32, UINT32_MAX);
    if (n % 32 != 0) words[n / 32] = (uint32_t{1} << (n % 32)) - 1;
  }
  void answer_allowed(std::span<uint32_t> words) {
    if (inner_) {
      inner_->allowed(words);
    } else {
      add_all(words);
    }
  }

  // The bytes of `open` that have come, with the token: white space first, then its beginning.
  // Nothing when the token does not fit.
  bool opens(std::string_view bytes) const {
    size_t n = opened_;
    for (char c : bytes) {
      if (n == options_->open.size()) return true;  // what follows is reasoning
      if (n == 0 && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
      if (c != options_->open[n]) return false;
      ++n;
    }
    return true;
  }

  bool push_opening(std::string_view bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (opened_ == 0 && bytes[i] != options_->open[0]) continue;
      if (++opened_ < options_->open.size()) continue;
      state_ = State::kReasoning;
      inner_ = std::move(untouched_);
      return push_reasoning(bytes.substr(i + 1));
    }
    return true;
  }

  // How far the mark has come after these bytes, and where in them it is complete (npos: not).
  std::pair<size_t, size_t> match_close(std::string_view bytes) const {
    const std::string& mark = options_->close;
    size_t match = match_;
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string come = mark.substr(0, match) + bytes[i];
      while (!mark.starts_with(come)) come.erase(0, 1);
      match = come.size();
      if (match == mark.size()) return {match, i + 1};
    }
    return {match, std::string_view::npos};
  }

  static bool push_inner(ThinkingConstraint& to, std::string_view bytes) {
    if (!to.inner_ || bytes.empty()) return true;
    auto* inner = dynamic_cast<ByteConstraint*>(to.inner_.get());
    return inner && inner->push_bytes(bytes);
  }

  bool behind_close_fits(std::string_view bytes) const {
    const size_t end = match_close(bytes).second;
    if (end >= bytes.size()) return true;
    const std::unique_ptr<TokenConstraint> trial = inner_->clone();
    auto* inner = dynamic_cast<ByteConstraint*>(trial.get());
    return inner && inner->push_bytes(bytes.substr(end));
  }

  bool push_reasoning(std::string_view bytes) {
    const auto [match, end] = match_close(bytes);
    if (end == std::string_view::npos) {
      match_ = match;
      return true;
    }
    if (!push_inner(*this, bytes.substr(end))) return false;
    match_ = 0;
    state_ = State::kAnswer;
    return true;
  }

  // Beyond the budget: the mark's own token, or those that spell the rest of it.
  std::vector<TokenId> closing_tokens() const {
    const std::string_view rest = std::string_view(options_->close).substr(match_);
    std::vector<TokenId> ids;
    for (size_t n = rest.size(); n > 0; --n) {
      for (TokenId id : tables_->beginning_with(rest.substr(0, n))) {
        if (bytes_of(id).size() == n) ids.push_back(id);
      }
      if (n == options_->close.size() && !ids.empty()) break;
    }
    return ids;
  }

  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  const GrammarVocabulary::Impl* tables_;
  std::shared_ptr<const ThinkingOptions> options_;
  std::unique_ptr<TokenConstraint> inner_;      // null: everything
  std::unique_ptr<TokenConstraint> untouched_;  // for kMayOpen: inner before the answer began
  State state_;
  size_t opened_ = 0;        // bytes of `open` that have come
  bool inner_alive_ = true;  // kMayOpen: what has come may also be the answer
  size_t match_ = 0;         // bytes of `close` that the reasoning ends with
  size_t num_tokens_ = 0;    // of the reasoning
};

}  // namespace

std::unique_ptr<TokenConstraint> make_thinking_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, const ThinkingOptions& options,
    std::unique_ptr<TokenConstraint> inner) {
  if (options.open.empty() || options.close.empty()) {
    fail(ErrorCode::kInvalidInput, "thinking: found an empty mark around the reasoning");
  }
  return std::make_unique<ThinkingConstraint>(std::move(vocabulary), options, std::move(inner));
}

}  // namespace axk1
