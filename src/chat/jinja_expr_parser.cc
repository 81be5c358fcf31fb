#include "chat/jinja_expr_parser.h"

#include <algorithm>

namespace axk1::jinja {
namespace {

Value constant(std::string text) {
  return Value(Ref<Str>(new Str(nullptr, std::move(text), false)));
}

std::optional<CompareOp> compare_op(const Token& token) {
  if (token.type != TokenType::kOperator) return std::nullopt;
  if (token.text == "==") return CompareOp::kEq;
  if (token.text == "!=") return CompareOp::kNe;
  if (token.text == "<") return CompareOp::kLt;
  if (token.text == "<=") return CompareOp::kLe;
  if (token.text == ">") return CompareOp::kGt;
  if (token.text == ">=") return CompareOp::kGe;
  return std::nullopt;
}

}  // namespace

// Bounds the recursion of the parser itself.
class ExprParser::Nesting {
 public:
  explicit Nesting(ExprParser& parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxHeight) {
      --parser_.depth_;
      parser_.fail_here("the expression is nested too deeply");
    }
  }
  ~Nesting() { --parser_.depth_; }

 private:
  ExprParser& parser_;
};

const Token& ExprParser::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExprParser::skip_operator(std::string_view op) {
  if (!current().is_operator(op)) return false;
  take();
  return true;
}

bool ExprParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

Position ExprParser::expect_operator(std::string_view op) {
  if (!current().is_operator(op)) {
    fail_here(cat("expected token '", op, "', got '", describe(current()), "'"));
  }
  return take().at;
}

const Token& ExprParser::expect(TokenType type) {
  if (current().type != type) {
    Token wanted;
    wanted.type = type;
    const std::string name = type == TokenType::kName ? "name" : describe(wanted);
    fail_here(cat("expected token '", name, "', got '", describe(current()), "'"));
  }
  return take();
}

void ExprParser::expect_name(std::string_view name) {
  if (!current().is_name(name)) {
    fail_here(cat("expected token '", name, "', got '", describe(current()), "'"));
  }
  take();
}

void ExprParser::fail_here(const std::string& message) const {
  throw SyntaxError(current().at, message);
}

void ExprParser::adopt(Expr& parent, const ExprPtr& child) const {
  if (!child) return;
  parent.height = std::max(parent.height, child->height + 1);
  if (parent.height > kMaxHeight) {
    throw SyntaxError(parent.at, "the expression is nested too deeply");
  }
}

ExprPtr ExprParser::expression(bool with_conditional) {
  const Nesting nesting(*this);
  return with_conditional ? conditional() : logical_or();
}

ExprPtr ExprParser::conditional() {
  ExprPtr value = logical_or();
  while (current().is_name("if")) {
    auto node = std::make_unique<ConditionalExpr>(take().at);
    node->then = std::move(value);
    node->test = logical_or();
    if (skip_name("else")) {
      const Nesting nesting(*this);
      node->otherwise = conditional();
    }
    adopt(*node, node->then);
    adopt(*node, node->test);
    adopt(*node, node->otherwise);
    value = std::move(node);
  }
  return value;
}

ExprPtr ExprParser::logical_or() {
  ExprPtr left = logical_and();
  while (current().is_name("or")) {
    auto node = std::make_unique<LogicExpr>(ExprKind::kOr, take().at);
    node->left = std::move(left);
    node->right = logical_and();
    adopt(*node, node->left);
    adopt(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr ExprParser::logical_and() {
  ExprPtr left = logical_not();
  while (current().is_name("and")) {
    auto node = std::make_unique<LogicExpr>(ExprKind::kAnd, take().at);
    node->left = std::move(left);
    node->right = logical_not();
    adopt(*node, node->left);
    adopt(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr ExprParser::logical_not() {
  if (!current().is_name("not")) return comparison();
  const Nesting nesting(*this);
  auto node = std::make_unique<UnaryExpr>(take().at, UnaryOp::kNot);
  node->operand = logical_not();
  adopt(*node, node->operand);
  return node;
}

ExprPtr ExprParser::comparison() {
  ExprPtr first = sum();
  std::unique_ptr<CompareExpr> node;
  while (true) {
    std::optional<CompareOp> op = compare_op(current());
    const Position at = current().at;
    if (op) {
      take();
    } else if (skip_name("in")) {
      op = CompareOp::kIn;
    } else if (current().is_name("not") && look().is_name("in")) {
      take();
      take();
      op = CompareOp::kNotIn;
    } else {
      break;
    }
    if (!node) {
      node = std::make_unique<CompareExpr>(at);
      node->first = std::move(first);
      adopt(*node, node->first);
    }
    node->rest.emplace_back(*op, sum());
    adopt(*node, node->rest.back().second);
  }
  if (node) return node;
  return first;
}

ExprPtr ExprParser::binary(BinaryOp op, Position at, ExprPtr left, ExprPtr right) {
  auto node = std::make_unique<BinaryExpr>(at, op);
  node->left = std::move(left);
  node->right = std::move(right);
  adopt(*node, node->left);
  adopt(*node, node->right);
  return node;
}

ExprPtr ExprParser::sum() {
  ExprPtr left = concat();
  while (current().is_operator("+") || current().is_operator("-")) {
    const Token& op = take();
    const BinaryOp which = op.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    left = binary(which, op.at, std::move(left), concat());
  }
  return left;
}

ExprPtr ExprParser::concat() {
  ExprPtr first = product();
  if (!current().is_operator("~")) return first;
  auto node = std::make_unique<ConcatExpr>(current().at);
  adopt(*node, first);
  node->parts.push_back(std::move(first));
  while (skip_operator("~")) {
    node->parts.push_back(product());
    adopt(*node, node->parts.back());
  }
  return node;
}

ExprPtr ExprParser::product() {
  ExprPtr left = power();
  while (true) {
    const Token& op = current();
    BinaryOp which;
    if (op.is_operator("*")) {
      which = BinaryOp::kMul;
    } else if (op.is_operator("/")) {
      which = BinaryOp::kDiv;
    } else if (op.is_operator("//")) {
      which = BinaryOp::kFloorDiv;
    } else if (op.is_operator("%")) {
      which = BinaryOp::kMod;
    } else {
      return left;
    }
    take();
    left = binary(which, op.at, std::move(left), power());
  }
}

ExprPtr ExprParser::power() {
  ExprPtr left = unary();
  while (current().is_operator("**")) {
    const Position at = take().at;
    left = binary(BinaryOp::kPow, at, std::move(left), unary());
  }
  return left;
}

ExprPtr ExprParser::unary(bool with_filter) {
  ExprPtr node;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Nesting nesting(*this);
    const Token& op = take();
    auto sign =
        std::make_unique<UnaryExpr>(op.at, op.text == "-" ? UnaryOp::kNegate : UnaryOp::kPositive);
    sign->operand = unary(false);
    adopt(*sign, sign->operand);
    node = std::move(sign);
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filter_chain(std::move(node)) : std::move(node);
}

ExprPtr ExprParser::primary(bool with_namespace) {
  const Token& token = current();
  switch (token.type) {
    case TokenType::kName: {
      take();
      const std::string& name = token.text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        const bool value = name[0] == 't' || name[0] == 'T';
        return std::make_unique<ConstExpr>(token.at, Value::boolean(value));
      }
      if (name == "none" || name == "None") {
        return std::make_unique<ConstExpr>(token.at, Value::none());
      }
      if (with_namespace && skip_operator(".")) {
        return std::make_unique<NamespaceRefExpr>(token.at, name, expect(TokenType::kName).text);
      }
      return std::make_unique<NameExpr>(token.at, name);
    }
    case TokenType::kString: {
      std::string text;
      while (current().type == TokenType::kString) text += take().text;
      return std::make_unique<ConstExpr>(token.at, constant(std::move(text)));
    }
    case TokenType::kInteger:
      take();
      return std::make_unique<ConstExpr>(token.at, Value::integer(token.integer));
    case TokenType::kFloat:
      take();
      return std::make_unique<ConstExpr>(token.at, Value::number(token.number));
    case TokenType::kOperator:
      if (token.text == "(") {
        take();
        ExprPtr inner = tuple(true, {}, true);
        expect_operator(")");
        return inner;
      }
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      break;
    default:
      break;
  }
  fail_here(cat("unexpected '", describe(token), "'"));
}

bool ExprParser::at_tuple_end(std::string_view end_name) const {
  const Token& token = current();
  return token.type == TokenType::kVariableEnd || token.type == TokenType::kBlockEnd ||
         token.is_operator(")") || (!end_name.empty() && token.is_name(end_name));
}

ExprPtr ExprParser::tuple(bool with_conditional, std::string_view end_name,
                          bool explicit_parentheses) {
  auto node = std::make_unique<ListExpr>(ExprKind::kTuple, current().at);
  bool is_tuple = false;
  while (true) {
    if (!node->items.empty()) expect_operator(",");
    if (at_tuple_end(end_name)) break;
    node->items.push_back(expression(with_conditional));
    adopt(*node, node->items.back());
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) return std::move(node->items[0]);
    if (!explicit_parentheses) {
      fail_here(cat("Expected an expression, got '", describe(current()), "'"));
    }
  }
  return node;
}

ExprPtr ExprParser::simple_tuple(std::string_view end_name, bool with_namespace) {
  auto node = std::make_unique<ListExpr>(ExprKind::kTuple, current().at);
  bool is_tuple = false;
  while (true) {
    if (!node->items.empty()) expect_operator(",");
    if (at_tuple_end(end_name)) break;
    node->items.push_back(primary(with_namespace));
    adopt(*node, node->items.back());
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) return std::move(node->items[0]);
    fail_here(cat("Expected an expression, got '", describe(current()), "'"));
  }
  return node;
}

void ExprParser::mark_target(Expr& target) {
  switch (target.kind) {
    case ExprKind::kName:
      static_cast<NameExpr&>(target).store = true;
      return;
    case ExprKind::kNamespaceRef:
      return;
    case ExprKind::kTuple:
      for (ExprPtr& item : static_cast<ListExpr&>(target).items) mark_target(*item);
      return;
    default:
      throw SyntaxError(target.at, "can't assign to this expression");
  }
}

ExprPtr ExprParser::assign_target(std::string_view end_name, bool with_namespace) {
  ExprPtr target = simple_tuple(end_name, with_namespace);
  mark_target(*target);
  return target;
}

std::unique_ptr<NameExpr> ExprParser::target_name() {
  const Token& token = expect(TokenType::kName);
  static constexpr std::string_view kConstants[] = {"true",  "True", "false",
                                                    "False", "none", "None"};
  for (std::string_view constant_name : kConstants) {
    if (token.text == constant_name) {
      throw SyntaxError(token.at, cat("can't assign to '", token.text, "'"));
    }
  }
  auto name = std::make_unique<NameExpr>(token.at, token.text);
  name->store = true;
  return name;
}

ExprPtr ExprParser::list() {
  auto node = std::make_unique<ListExpr>(ExprKind::kList, expect_operator("["));
  while (!current().is_operator("]")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("]")) break;
    node->items.push_back(expression());
    adopt(*node, node->items.back());
  }
  expect_operator("]");
  return node;
}

ExprPtr ExprParser::dict() {
  auto node = std::make_unique<DictExpr>(expect_operator("{"));
  while (!current().is_operator("}")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("}")) break;
    ExprPtr key = expression();
    expect_operator(":");
    ExprPtr value = expression();
    adopt(*node, key);
    adopt(*node, value);
    node->items.emplace_back(std::move(key), std::move(value));
  }
  expect_operator("}");
  return node;
}

ExprPtr ExprParser::postfix(ExprPtr value) {
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      value = subscript(std::move(value));
    } else if (current().is_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExprParser::filter_chain(ExprPtr value) {
  while (true) {
    if (current().is_operator("|")) {
      value = filters(std::move(value), false);
    } else if (current().is_name("is")) {
      value = test(std::move(value));
    } else if (current().is_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExprParser::subscript(ExprPtr object) {
  const Token& opening = take();
  if (opening.text == ".") {
    const Token& token = take();
    if (token.type == TokenType::kName) {
      auto node = std::make_unique<AttributeExpr>(token.at, token.text);
      node->object = std::move(object);
      adopt(*node, node->object);
      return node;
    }
    if (token.type != TokenType::kInteger) {
      throw SyntaxError(token.at, "expected name or number");
    }
    auto node = std::make_unique<ItemExpr>(token.at);
    node->object = std::move(object);
    node->key = std::make_unique<ConstExpr>(token.at, Value::integer(token.integer));
    adopt(*node, node->object);
    return node;
  }

  struct Part {
    bool is_slice = false;
    ExprPtr start, stop, step;  // `start` is the expression when not a slice
  };
  auto part = [&] {
    Part p;
    if (!current().is_operator(":")) {
      p.start = expression();
      if (!current().is_operator(":")) return p;
    }
    p.is_slice = true;
    take();
    auto absent = [&] {
      return current().is_operator(":") || current().is_operator("]") || current().is_operator(",");
    };
    if (!absent()) p.stop = expression();
    if (skip_operator(":") && !absent()) p.step = expression();
    return p;
  };
  std::vector<Part> parts;
  while (!current().is_operator("]")) {
    if (!parts.empty()) expect_operator(",");
    parts.push_back(part());
    if (parts.back().is_slice && (parts.size() > 1 || current().is_operator(","))) {
      fail_here("slices inside a tuple index are not supported");
    }
  }
  expect_operator("]");
  if (parts.size() == 1 && parts[0].is_slice) {
    auto node = std::make_unique<SliceExpr>(opening.at);
    node->object = std::move(object);
    node->start = std::move(parts[0].start);
    node->stop = std::move(parts[0].stop);
    node->step = std::move(parts[0].step);
    for (const ExprPtr* child : {&node->object, &node->start, &node->stop, &node->step}) {
      adopt(*node, *child);
    }
    return node;
  }
  auto node = std::make_unique<ItemExpr>(opening.at);
  if (parts.size() == 1) {
    node->key = std::move(parts[0].start);
  } else {
    auto key = std::make_unique<ListExpr>(ExprKind::kTuple, opening.at);
    for (Part& p : parts) {
      adopt(*key, p.start);
      key->items.push_back(std::move(p.start));
    }
    node->key = std::move(key);
  }
  node->object = std::move(object);
  adopt(*node, node->object);
  adopt(*node, node->key);
  return node;
}

CallArgs ExprParser::call_args(Expr& owner) {
  CallArgs args;
  const Position opening = expect_operator("(");
  auto ensure = [&](bool ok) {
    if (!ok) throw SyntaxError(opening, "invalid syntax for function call expression");
  };
  bool first = true;
  while (!current().is_operator(")")) {
    if (!first) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    first = false;
    if (skip_operator("*")) {
      ensure(!args.more_positional && !args.more_named);
      args.more_positional = expression();
      adopt(owner, args.more_positional);
    } else if (skip_operator("**")) {
      ensure(!args.more_named);
      args.more_named = expression();
      adopt(owner, args.more_named);
    } else if (current().type == TokenType::kName && look().is_operator("=")) {
      ensure(!args.more_named);
      std::string name = take().text;
      take();
      args.named.emplace_back(std::move(name), expression());
      adopt(owner, args.named.back().second);
    } else {
      ensure(!args.more_positional && !args.more_named && args.named.empty());
      args.positional.push_back(expression());
      adopt(owner, args.positional.back());
    }
  }
  expect_operator(")");
  return args;
}

ExprPtr ExprParser::call(ExprPtr callee) {
  auto node = std::make_unique<CallExpr>(callee->at);
  node->callee = std::move(callee);
  adopt(*node, node->callee);
  node->args = call_args(*node);
  return node;
}

ExprPtr ExprParser::filters(ExprPtr value, bool start_inline) {
  while (current().is_operator("|") || start_inline) {
    if (!start_inline) take();
    start_inline = false;
    const Token& token = expect(TokenType::kName);
    std::string name = token.text;
    while (skip_operator(".")) name += "." + expect(TokenType::kName).text;
    auto node = std::make_unique<FilterExpr>(ExprKind::kFilter, token.at, std::move(name));
    node->value = std::move(value);
    adopt(*node, node->value);
    if (current().is_operator("(")) node->args = call_args(*node);
    value = std::move(node);
  }
  return value;
}

ExprPtr ExprParser::test(ExprPtr value) {
  const Position is_at = take().at;
  const bool negated = skip_name("not");
  const Token& token = expect(TokenType::kName);
  std::string name = token.text;
  while (skip_operator(".")) name += "." + expect(TokenType::kName).text;
  auto node = std::make_unique<FilterExpr>(ExprKind::kTest, token.at, std::move(name));
  node->value = std::move(value);
  adopt(*node, node->value);
  const Token& next = current();
  const bool argument = next.type == TokenType::kString || next.type == TokenType::kInteger ||
                        next.type == TokenType::kFloat || next.is_operator("[") ||
                        next.is_operator("{") ||
                        (next.type == TokenType::kName && next.text != "else" &&
                         next.text != "or" && next.text != "and");
  if (next.is_operator("(")) {
    node->args = call_args(*node);
  } else if (argument) {
    if (next.is_name("is")) fail_here("You cannot chain multiple tests with is");
    node->args.positional.push_back(postfix(primary()));
    adopt(*node, node->args.positional.back());
  }
  if (!negated) return node;
  auto negation = std::make_unique<UnaryExpr>(is_at, UnaryOp::kNot);
  negation->operand = std::move(node);
  adopt(*negation, negation->operand);
  return negation;
}

}  // namespace axk1::jinja
