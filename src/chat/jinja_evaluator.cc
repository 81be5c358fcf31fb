#include "chat/jinja_evaluator.h"

#include "chat/jinja_builtins.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {

Value Evaluator::evaluate(const Expr& e) {
  const Nesting nesting(*this);
  spend(1);
  switch (e.kind) {
    case ExprKind::kConst:
      return static_cast<const ConstExpr&>(e).value;
    case ExprKind::kName:
      return evaluate_name(static_cast<const NameExpr&>(e));
    case ExprKind::kNamespaceRef:
      break;  // a target only
    case ExprKind::kTuple:
    case ExprKind::kList:
      return evaluate_list(static_cast<const ListExpr&>(e));
    case ExprKind::kDict:
      return evaluate_dict(static_cast<const DictExpr&>(e));
    case ExprKind::kUnary:
      return evaluate_unary(static_cast<const UnaryExpr&>(e));
    case ExprKind::kBinary:
      return evaluate_binary(static_cast<const BinaryExpr&>(e));
    case ExprKind::kConcat:
      return evaluate_concat(static_cast<const ConcatExpr&>(e));
    case ExprKind::kCompare:
      return evaluate_compare(static_cast<const CompareExpr&>(e));
    case ExprKind::kAnd: {
      Value left = evaluate(*static_cast<const LogicExpr&>(e).left);
      return truthy(left) ? evaluate(*static_cast<const LogicExpr&>(e).right) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*static_cast<const LogicExpr&>(e).left);
      return truthy(left) ? left : evaluate(*static_cast<const LogicExpr&>(e).right);
    }
    case ExprKind::kConditional:
      return evaluate_conditional(static_cast<const ConditionalExpr&>(e));
    case ExprKind::kAttribute: {
      const Value object = evaluate(*static_cast<const AttributeExpr&>(e).object);
      at_ = e.at;
      return get_attribute(*this, object, static_cast<const AttributeExpr&>(e).name);
    }
    case ExprKind::kItem:
      return evaluate_item(static_cast<const ItemExpr&>(e));
    case ExprKind::kSlice:
      return evaluate_slice(static_cast<const SliceExpr&>(e));
    case ExprKind::kCall:
      return evaluate_call(static_cast<const CallExpr&>(e));
    case ExprKind::kFilter:
    case ExprKind::kTest: {
      const auto& filter = static_cast<const FilterExpr&>(e);
      return apply_filter(filter, evaluate(*filter.value));
    }
  }
  return Value::none();
}

Value Evaluator::evaluate_name(const NameExpr& e) {
  const Value& v = slot(e.ref);
  if (!v.is_missing()) return v;
  return undefined_name(e.name);
}

Value Evaluator::evaluate_list(const ListExpr& e) {
  Values items;
  items.reserve(e.items.size());
  for (const ExprPtr& item : e.items) items.push_back(evaluate(*item));
  at_ = e.at;
  return sequence(e.kind == ExprKind::kTuple ? Type::kTuple : Type::kList, std::move(items));
}

Value Evaluator::evaluate_dict(const DictExpr& e) {
  std::vector<Dict::Item> items;
  items.reserve(e.items.size());
  for (const auto& [key, value] : e.items) {
    Value k = evaluate(*key);
    items.emplace_back(std::move(k), evaluate(*value));
  }
  at_ = e.at;
  return dict(std::move(items));
}

Value Evaluator::evaluate_unary(const UnaryExpr& e) {
  const Value v = evaluate(*e.operand);
  at_ = e.at;
  switch (e.op) {
    case UnaryOp::kNot:
      return Value::boolean(!truthy(v));
    case UnaryOp::kNegate:
      return negate(*this, v);
    case UnaryOp::kPositive:
      return positive(v);
  }
  return Value::none();
}

Value Evaluator::evaluate_binary(const BinaryExpr& e) {
  const Value left = evaluate(*e.left);
  const Value right = evaluate(*e.right);
  at_ = e.at;
  return binary(*this, e.op, left, right);
}

Value Evaluator::evaluate_concat(const ConcatExpr& e) {
  std::string out;
  for (const ExprPtr& part : e.parts) {
    const Value v = evaluate(*part);
    at_ = e.at;
    append_str(*this, out, v);
  }
  return str(std::move(out));
}

Value Evaluator::evaluate_compare(const CompareExpr& e) {
  Value left = evaluate(*e.first);
  for (const auto& [op, operand] : e.rest) {
    Value right = evaluate(*operand);
    at_ = e.at;
    if (!compare(*this, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Evaluator::evaluate_conditional(const ConditionalExpr& e) {
  if (truthy(evaluate(*e.test))) return evaluate(*e.then);
  if (e.otherwise) return evaluate(*e.otherwise);
  return undefined(cat("the inline if-expression on line ", e.at.line,
                       " evaluated to false and no else section was defined."));
}

Value Evaluator::evaluate_item(const ItemExpr& e) {
  const Value object = evaluate(*e.object);
  const Value key = evaluate(*e.key);
  at_ = e.at;
  return get_item(*this, object, key);
}

Value Evaluator::evaluate_slice(const SliceExpr& e) {
  const Value object = evaluate(*e.object);
  const Value start = e.start ? evaluate(*e.start) : Value();
  const Value stop = e.stop ? evaluate(*e.stop) : Value();
  const Value step = e.step ? evaluate(*e.step) : Value();
  at_ = e.at;
  return get_slice(*this, object, start, stop, step);
}

Args Evaluator::evaluate_args(const CallArgs& args) {
  Args out;
  out.positional.reserve(args.positional.size());
  for (const ExprPtr& arg : args.positional) out.positional.push_back(evaluate(*arg));
  if (args.more_positional) {
    const Value more = evaluate(*args.more_positional);
    for (Value& v : to_vector(*this, more)) out.positional.push_back(std::move(v));
  }
  for (const auto& [name, arg] : args.named) out.named.emplace_back(name, evaluate(*arg));
  if (args.more_named) {
    const Value more = evaluate(*args.more_named);
    if (!more.is(Type::kDict))
      eval_fail("argument after ** must be a mapping, not ", type_name(more));
    for (const auto& [key, v] : more.as<Dict>().items()) {
      if (!key.is_string()) eval_fail("keywords must be strings");
      for (const auto& [name, value] : out.named) {
        if (name == text_of(key)) {
          eval_fail("got multiple values for keyword argument '", name, "'");
        }
      }
      out.named.emplace_back(text_of(key), v);
    }
  }
  return out;
}

Value Evaluator::evaluate_call(const CallExpr& e) {
  const Value callee = evaluate(*e.callee);
  const Args args = evaluate_args(e.args);
  at_ = e.at;
  return call(callee, args);
}

Value Evaluator::call(const Value& callee, const Args& args) {
  spend(1);
  switch (callee.type()) {
    case Type::kFunction: {
      const Function& f = callee.as<Function>();
      return f.call(*this, f.self, args);
    }
    case Type::kMacro:
      return call_macro(callee, args);
    case Type::kLoop:
      return call_loop(callee, args);
    case Type::kJoiner: {
      Params(args, "joiner", {});
      Joiner& joiner = callee.as<Joiner>();
      if (joiner.used) return joiner.separator;
      joiner.used = true;
      return str("");
    }
    default:
      break;
  }
  require_defined(callee);
  eval_fail("'", type_name(callee), "' object is not callable");
}

Value Evaluator::apply_filter(const FilterExpr& e, const Value& v) {
  const Args args = evaluate_args(e.args);
  at_ = e.at;
  if (e.kind == ExprKind::kTest) return Value::boolean(call_test(*this, e.name, v, args));
  return call_filter(*this, e.name, v, args);
}

Value Evaluator::filtered(const Expr& filter, const Value& v) {
  const Nesting nesting(*this);
  const auto& node = static_cast<const FilterExpr&>(filter);
  return apply_filter(node, node.value ? filtered(*node.value, v) : v);
}

Value& Evaluator::slot(SlotRef ref) {
  Frame* frame = frame_.get();
  for (uint32_t i = 0; i < ref.hops; ++i) frame = frame->parent.get();
  return frame->slots[ref.slot];
}

void Evaluator::enter(const ScopeInfo& scope) {
  spend(scope.loads.size());
  for (const Load& load : scope.loads) {
    Value& v = frame_->slots[load.slot];
    switch (load.kind) {
      case Load::Kind::kMissing:
        v = Value();
        break;
      case Load::Kind::kResolve:
        v = resolve(load.name);
        break;
      case Load::Kind::kAlias:
        v = slot(load.outer);
        break;
    }
  }
}

void Evaluator::leave(const ScopeInfo& scope) {
  for (uint32_t i : scope.slots) frame_->slots[i] = Value();
}

Value Evaluator::resolve(const std::string& name) {
  const auto set = exported_.find(name);
  if (set != exported_.end()) return set->second;
  const auto known = resolved_.find(name);
  if (known != resolved_.end()) return known->second;
  Value v;
  if (const json::value* given = variables_.if_contains(name)) {
    v = from_json(*given);
  } else if (const json::value* preset = defaults_.if_contains(name)) {
    v = from_json(*preset);
  } else if (const Native global = find_global(name)) {
    v = function("function", global);
  }
  return resolved_.emplace(name, std::move(v)).first->second;
}

void Evaluator::assign(const Expr& target, Value v, bool exported) {
  switch (target.kind) {
    case ExprKind::kName: {
      const auto& name = static_cast<const NameExpr&>(target);
      if (exported) exported_[name.name] = v;
      slot(name.ref) = std::move(v);
      return;
    }
    case ExprKind::kNamespaceRef: {
      const auto& ref = static_cast<const NamespaceRefExpr&>(target);
      const Value ns = slot(ref.ref);
      at_ = target.at;
      if (!ns.is(Type::kNamespace)) eval_fail("cannot assign attribute on non-namespace object");
      ns.as<Namespace>().set(ref.attribute, std::move(v));
      return;
    }
    default:
      unpack(static_cast<const ListExpr&>(target), v, exported);
  }
}

void Evaluator::unpack(const ListExpr& targets, const Value& v, bool exported) {
  at_ = targets.at;
  if (!v.is_sequence() && !v.is_string() && !v.is(Type::kDict) && !v.is(Type::kDictView) &&
      !v.is(Type::kRange) && !v.is(Type::kIterator) && !v.is_undefined()) {
    eval_fail("cannot unpack non-iterable ", type_name(v), " object");
  }
  const size_t wanted = targets.items.size();
  Values items;
  Value item;
  for (Cursor cursor(*this, v); cursor.next(item);) {
    if (items.size() == wanted) eval_fail("too many values to unpack (expected ", wanted, ")");
    items.push_back(std::move(item));
  }
  if (items.size() < wanted) {
    eval_fail("not enough values to unpack (expected ", wanted, ", got ", items.size(), ")");
  }
  for (size_t i = 0; i < wanted; ++i) assign(*targets.items[i], std::move(items[i]), exported);
}

// The next item that passes the loop's test.
bool Evaluator::pull(Loop& loop, Value& out) {
  if (!loop.frame) return false;
  while (loop.cursor.next(out)) {
    if (!loop.stmt.test) return true;
    const FrameSwitch inside(*this, Ref<Frame>(loop.frame));
    assign(*loop.stmt.test_target, out, false);
    enter(loop.stmt.test_scope);
    const bool passes = truthy(evaluate(*loop.stmt.test));
    leave(loop.stmt.test_scope);
    if (passes) return true;
  }
  return false;
}

bool Evaluator::peek(Loop& loop) {
  if (loop.ahead.empty()) {
    Value item;
    if (!pull(loop, item)) return false;
    loop.ahead.push_back(std::move(item));
  }
  return true;
}

bool Evaluator::next_item(Loop& loop, Value& out) {
  if (!peek(loop)) return false;
  out = std::move(loop.ahead.front());
  loop.ahead.pop_front();
  ++loop.index0;
  loop.before = std::move(loop.current);
  loop.current = out;
  return true;
}

int64_t Evaluator::loop_length(Loop& loop) {
  if (!loop.length) {
    if (!loop.stmt.test && !loop.source.is(Type::kIterator)) {
      loop.length = static_cast<int64_t>(length_of(*this, loop.source));
    } else {
      for (Value item; pull(loop, item);) loop.ahead.push_back(std::move(item));
      loop.length = loop.index0 + 1 + static_cast<int64_t>(loop.ahead.size());
    }
  }
  return *loop.length;
}

Value Evaluator::loop_cycle(Runtime&, const Value& self, const Args& args) {
  if (!args.named.empty()) eval_fail("cycle() takes no keyword arguments");
  if (args.positional.empty()) eval_fail("no items for cycling given");
  const auto at = static_cast<size_t>(self.as<Loop>().index0) % args.positional.size();
  return args.positional[at];
}

Value Evaluator::loop_changed(Runtime&, const Value& self, const Args& args) {
  if (!args.named.empty()) eval_fail("changed() takes no keyword arguments");
  Loop& loop = self.as<Loop>();
  bool same = loop.last_changed && loop.last_changed->size() == args.positional.size();
  for (size_t i = 0; same && i < args.positional.size(); ++i) {
    same = equal((*loop.last_changed)[i], args.positional[i]);
  }
  if (!same && loop.frame) loop.last_changed = args.positional;
  return Value::boolean(!same);
}

Value Evaluator::loop_attribute(const Value& object, std::string_view name) {
  Loop& loop = object.as<Loop>();
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(!peek(loop));
  if (name == "length") return Value::integer(loop_length(loop));
  if (name == "revindex") return Value::integer(loop_length(loop) - loop.index0);
  if (name == "revindex0") return Value::integer(loop_length(loop) - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") {
    return loop.index0 == 0 || loop.before.is_missing() ? undefined("there is no previous item")
                                                        : loop.before;
  }
  if (name == "nextitem")
    return peek(loop) ? loop.ahead.front() : undefined("there is no next item");
  if (name == "cycle") return function("cycle", loop_cycle, object);
  if (name == "changed") return function("changed", loop_changed, object);
  return {};
}

Value Evaluator::macro_attribute(const Macro& macro, std::string_view name) {
  const MacroStmt& stmt = macro.stmt;
  if (name == "name") return stmt.name.empty() ? Value::none() : str(stmt.name);
  if (name == "arguments") {
    Values names;
    for (const auto& param : stmt.params) names.push_back(str(param->name));
    return tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value::boolean(stmt.kwargs_slot.has_value());
  if (name == "catch_varargs") return Value::boolean(stmt.varargs_slot.has_value());
  if (name == "caller") return Value::boolean(stmt.caller_slot.has_value());
  return {};
}

Value Evaluator::object_attribute(const Value& object, std::string_view name) {
  return object.is(Type::kLoop) ? loop_attribute(object, name)
                                : macro_attribute(object.as<Macro>(), name);
}

std::string Evaluator::describe(const Value& object) {
  if (object.is(Type::kLoop)) {
    Loop& loop = object.as<Loop>();
    return cat("<LoopContext ", loop.index0 + 1, "/", loop_length(loop), ">");
  }
  const std::string& name = object.as<Macro>().stmt.name;
  return name.empty() ? "<Macro anonymous>" : "<Macro " + quoted(name) + ">";
}

}  // namespace axk1::jinja
