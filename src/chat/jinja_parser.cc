#include "chat/jinja_parser.h"

#include "chat/jinja_expr_parser.h"

namespace axk1::jinja {
namespace {

constexpr int kMaxBlockDepth = 100;

class Parser : ExprParser {
 public:
  using ExprParser::ExprParser;

  Template run() {
    Template out;
    out.body = body({});
    out.has_blocks = has_blocks_;
    return out;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  // Statements up to one of the `ends` tags (whose name stays the current token), or to the end of
  // the template when there are none.
  Body body(Ends ends) {
    if (++depth_ > kMaxBlockDepth) fail_here("blocks are nested too deeply");
    Body out;
    while (current().type != TokenType::kEof) {
      const Token& token = current();
      if (token.type == TokenType::kData) {
        take();
        out.push_back(std::make_unique<TextStmt>(token.at, token.text));
      } else if (token.type == TokenType::kVariableBegin) {
        take();
        ExprPtr value = tuple();
        expect(TokenType::kVariableEnd);
        const Position at = value->at;
        out.push_back(std::make_unique<OutputStmt>(at, std::move(value)));
      } else {
        expect(TokenType::kBlockBegin);
        for (std::string_view end : ends) {
          if (current().is_name(end)) {
            --depth_;
            return out;
          }
        }
        statement(out, ends);
        expect(TokenType::kBlockEnd);
      }
    }
    if (ends.size() > 0) {
      fail_here(cat("Unexpected end of template. Jinja was looking for the following tags: ",
                    listed(ends), "."));
    }
    --depth_;
    return out;
  }

  static std::string listed(Ends ends) {
    std::string out;
    for (std::string_view end : ends) {
      if (!out.empty()) out += " or ";
      out += cat("'", end, "'");
    }
    return out;
  }

  // The body of a tag, from the end of the tag on.
  Body tag_body(Ends ends) {
    skip_operator(":");
    expect(TokenType::kBlockEnd);
    return body(ends);
  }
  Body closed_body(std::string_view end) {
    Body out = tag_body({end});
    take();
    return out;
  }

  void statement(Body& out, Ends ends) {
    if (current().type != TokenType::kName) fail_here("tag name expected");
    const Token& tag = current();
    const std::string& name = tag.text;
    if (name == "for") {
      out.push_back(for_statement());
    } else if (name == "if") {
      out.push_back(if_statement());
    } else if (name == "set") {
      out.push_back(set_statement());
    } else if (name == "macro") {
      out.push_back(macro_statement());
    } else if (name == "call") {
      out.push_back(call_statement());
    } else if (name == "filter") {
      auto node = std::make_unique<FilterStmt>(take().at);
      node->filter = filters(nullptr, true);
      node->body = closed_body("endfilter");
      out.push_back(std::move(node));
    } else if (name == "with") {
      out.push_back(with_statement());
    } else if (name == "generation") {
      auto node = std::make_unique<WithStmt>(take().at);
      node->body = closed_body("endgeneration");
      out.push_back(std::move(node));
    } else if (name == "autoescape") {
      auto node = std::make_unique<WithStmt>(take().at);
      node->autoescape = expression();
      node->body = closed_body("endautoescape");
      out.push_back(std::move(node));
    } else if (name == "block") {
      out.push_back(block_statement());
    } else if (name == "print") {
      take();
      for (bool first = true; current().type != TokenType::kBlockEnd; first = false) {
        if (!first) expect_operator(",");
        ExprPtr value = expression();
        const Position at = value->at;
        out.push_back(std::make_unique<OutputStmt>(at, std::move(value)));
      }
    } else if (name == "break" || name == "continue") {
      if (loop_depth_ == 0) fail_here(cat("'", name, "' outside a loop"));
      out.push_back(std::make_unique<Stmt>(name == "break" ? StmtKind::kBreak : StmtKind::kContinue,
                                           take().at));
    } else if (name == "include" || name == "import" || name == "from" || name == "extends") {
      throw SyntaxError(tag.at, cat("'", name, "' is not supported: a chat template is one file"),
                        ErrorCode::kUnsupported);
    } else {
      fail_here(cat("Encountered unknown tag '", printable(name, 40), "'.",
                    ends.size() ? " Jinja was looking for the following tags: " : "",
                    ends.size() ? listed(ends) + "." : std::string()));
    }
  }

  StmtPtr for_statement() {
    auto node = std::make_unique<ForStmt>(take().at);
    node->target = assign_target("in", false);
    refuse_loop_target(*node->target);
    node->test_target = copy_target(*node->target);
    expect_name("in");
    node->iterable = tuple(false, "recursive");
    if (skip_name("if")) node->test = expression();
    node->recursive = skip_name("recursive");
    ++loop_depth_;
    node->body = tag_body({"endfor", "else"});
    --loop_depth_;
    if (take().text == "else") node->otherwise = closed_body("endfor");
    return node;
  }

  static void refuse_loop_target(const Expr& target) {
    if (target.kind == ExprKind::kTuple) {
      for (const ExprPtr& item : static_cast<const ListExpr&>(target).items) {
        refuse_loop_target(*item);
      }
    } else if (static_cast<const NameExpr&>(target).name == "loop") {
      throw SyntaxError(target.at, "Can't assign to special loop variable in for-loop target");
    }
  }

  static ExprPtr copy_target(const Expr& target) {
    if (target.kind == ExprKind::kTuple) {
      auto copy = std::make_unique<ListExpr>(ExprKind::kTuple, target.at);
      for (const ExprPtr& item : static_cast<const ListExpr&>(target).items) {
        copy->items.push_back(copy_target(*item));
      }
      return copy;
    }
    auto copy = std::make_unique<NameExpr>(target.at, static_cast<const NameExpr&>(target).name);
    copy->store = true;
    return copy;
  }

  StmtPtr if_statement() {
    auto node = std::make_unique<IfStmt>(take().at);
    while (true) {
      ExprPtr test = tuple(false);
      node->branches.emplace_back(std::move(test), tag_body({"elif", "else", "endif"}));
      const std::string& next = take().text;
      if (next == "elif") continue;
      if (next == "else") node->otherwise = closed_body("endif");
      return node;
    }
  }

  StmtPtr set_statement() {
    const Position at = take().at;
    ExprPtr target = assign_target({}, true);
    if (skip_operator("=")) {
      auto node = std::make_unique<SetStmt>(at);
      node->target = std::move(target);
      node->value = tuple();
      return node;
    }
    auto node = std::make_unique<SetBlockStmt>(at);
    node->target = std::move(target);
    node->filter = filters(nullptr, false);
    node->body = closed_body("endset");
    return node;
  }

  void signature(MacroStmt& node) {
    expect_operator("(");
    while (!current().is_operator(")")) {
      if (!node.params.empty()) expect_operator(",");
      node.params.push_back(target_name());
      if (skip_operator("=")) {
        node.defaults.push_back(expression());
      } else if (!node.defaults.empty()) {
        fail_here("non-default argument follows default argument");
      }
    }
    expect_operator(")");
  }

  // The body of a macro: loop controls cannot reach a loop around it.
  Body macro_body(std::string_view end) {
    const int outer = loop_depth_;
    loop_depth_ = 0;
    Body out = closed_body(end);
    loop_depth_ = outer;
    return out;
  }

  StmtPtr macro_statement() {
    auto node = std::make_unique<MacroStmt>(StmtKind::kMacro, take().at);
    node->name = target_name()->name;
    signature(*node);
    node->body = macro_body("endmacro");
    return node;
  }

  StmtPtr call_statement() {
    auto node = std::make_unique<MacroStmt>(StmtKind::kCall, take().at);
    if (current().is_operator("(")) signature(*node);
    const Position at = current().at;
    node->call = expression();
    if (node->call->kind != ExprKind::kCall) throw SyntaxError(at, "expected call");
    node->body = macro_body("endcall");
    return node;
  }

  StmtPtr with_statement() {
    auto node = std::make_unique<WithStmt>(take().at);
    while (current().type != TokenType::kBlockEnd) {
      if (!node->bindings.empty()) expect_operator(",");
      ExprPtr target = assign_target({}, false);
      expect_operator("=");
      node->bindings.emplace_back(std::move(target), expression());
    }
    node->body = closed_body("endwith");
    return node;
  }

  StmtPtr block_statement() {
    auto node = std::make_unique<BlockStmt>(take().at);
    node->name = expect(TokenType::kName).text;
    const bool scoped = skip_name("scoped");
    skip_name("required");
    if (scoped) {  // sees all the variables around it, as a scope does
      auto scope = std::make_unique<WithStmt>(node->at);
      scope->body = macro_body("endblock");
      skip_name(node->name);
      return scope;
    }
    has_blocks_ = true;
    node->body = macro_body("endblock");
    skip_name(node->name);
    return node;
  }

  int depth_ = 0;
  int loop_depth_ = 0;
  bool has_blocks_ = false;
};

}  // namespace

Template parse(std::string_view source) {
  return Parser(tokenize(source)).run();
}

}  // namespace axk1::jinja
