// Walking the syntax tree.
#pragma once

#include "chat/jinja_ast.h"

namespace axk1::jinja {

// Calls f with every direct child of an expression.
template <class F>
void for_each_child(Expr& e, F&& f) {
  auto one = [&](ExprPtr& child) {
    if (child) f(*child);
  };
  auto call_args = [&](CallArgs& args) {
    for (ExprPtr& child : args.positional) one(child);
    for (auto& [name, child] : args.named) one(child);
    one(args.more_positional);
    one(args.more_named);
  };
  switch (e.kind) {
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      return;
    case ExprKind::kTuple:
    case ExprKind::kList:
      for (ExprPtr& child : static_cast<ListExpr&>(e).items) one(child);
      return;
    case ExprKind::kDict:
      for (auto& [key, value] : static_cast<DictExpr&>(e).items) {
        one(key);
        one(value);
      }
      return;
    case ExprKind::kUnary:
      one(static_cast<UnaryExpr&>(e).operand);
      return;
    case ExprKind::kBinary:
      one(static_cast<BinaryExpr&>(e).left);
      one(static_cast<BinaryExpr&>(e).right);
      return;
    case ExprKind::kAnd:
    case ExprKind::kOr:
      one(static_cast<LogicExpr&>(e).left);
      one(static_cast<LogicExpr&>(e).right);
      return;
    case ExprKind::kConcat:
      for (ExprPtr& child : static_cast<ConcatExpr&>(e).parts) one(child);
      return;
    case ExprKind::kCompare:
      one(static_cast<CompareExpr&>(e).first);
      for (auto& [op, child] : static_cast<CompareExpr&>(e).rest) one(child);
      return;
    case ExprKind::kConditional:
      one(static_cast<ConditionalExpr&>(e).test);
      one(static_cast<ConditionalExpr&>(e).then);
      one(static_cast<ConditionalExpr&>(e).otherwise);
      return;
    case ExprKind::kAttribute:
      one(static_cast<AttributeExpr&>(e).object);
      return;
    case ExprKind::kItem:
      one(static_cast<ItemExpr&>(e).object);
      one(static_cast<ItemExpr&>(e).key);
      return;
    case ExprKind::kSlice:
      one(static_cast<SliceExpr&>(e).object);
      one(static_cast<SliceExpr&>(e).start);
      one(static_cast<SliceExpr&>(e).stop);
      one(static_cast<SliceExpr&>(e).step);
      return;
    case ExprKind::kCall:
      one(static_cast<CallExpr&>(e).callee);
      call_args(static_cast<CallExpr&>(e).args);
      return;
    case ExprKind::kFilter:
    case ExprKind::kTest:
      one(static_cast<FilterExpr&>(e).value);
      call_args(static_cast<FilterExpr&>(e).args);
      return;
  }
}

}  // namespace axk1::jinja
