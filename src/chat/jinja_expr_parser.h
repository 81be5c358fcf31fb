// The expression half of the parser, and the token stream both halves share.
#pragma once

#include <initializer_list>

#include "chat/jinja_ast.h"

namespace axk1::jinja {

class ExprParser {
 public:
  explicit ExprParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  // Deeper trees are refused: every later pass over the tree recurses.
  static constexpr uint32_t kMaxHeight = 250;

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take();  // the current token, which is passed
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  Position expect_operator(std::string_view op);
  const Token& expect(TokenType type);
  void expect_name(std::string_view name);
  [[noreturn]] void fail_here(const std::string& message) const;

  ExprPtr expression(bool with_conditional = true);
  // One expression, or a tuple without parentheses. Ends before `end_name` when that is given.
  ExprPtr tuple(bool with_conditional = true, std::string_view end_name = {},
                bool explicit_parentheses = false);
  // Names and tuples of names; ns.attribute too when asked for.
  ExprPtr assign_target(std::string_view end_name, bool with_namespace);
  std::unique_ptr<NameExpr> target_name();
  // Filters behind `value`, which is null for set blocks; for filter blocks the first has no |.
  ExprPtr filters(ExprPtr value, bool start_inline);

 private:
  class Nesting;

  ExprPtr conditional();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary(bool with_namespace = false);
  ExprPtr postfix(ExprPtr value);
  ExprPtr filter_chain(ExprPtr value);
  ExprPtr subscript(ExprPtr object);
  ExprPtr call(ExprPtr callee);
  ExprPtr test(ExprPtr value);
  ExprPtr list();
  ExprPtr dict();
  ExprPtr binary(BinaryOp op, Position at, ExprPtr left, ExprPtr right);
  CallArgs call_args(Expr& owner);
  bool at_tuple_end(std::string_view end_name) const;
  ExprPtr simple_tuple(std::string_view end_name, bool with_namespace);
  void mark_target(Expr& target);
  // Counts `child` into the height of `parent`.
  void adopt(Expr& parent, const ExprPtr& child) const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t depth_ = 0;
};

}  // namespace axk1::jinja
