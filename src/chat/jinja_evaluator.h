// The expression half of the interpreter.
#pragma once

#include <map>

#include "chat/jinja_frame.h"

namespace axk1::jinja {

class Evaluator : public Runtime {
 public:
  Evaluator(const json::object& variables, const json::object& defaults,
            const std::function<std::tm()>& now)
      : Runtime(now), variables_(variables), defaults_(defaults) {}

  Value call(const Value& callee, const Args& args) override;
  Value object_attribute(const Value& object, std::string_view name) override;
  std::string describe(const Value& object) override;

  // Where evaluation is; after an EvalError, where it failed.
  Position position() const { return at_; }

 protected:
  // Bounds the recursion of the interpreter.
  class Nesting {
   public:
    explicit Nesting(Evaluator& e) : evaluator_(e) {
      if (++evaluator_.depth_ > kMaxDepth) {
        --evaluator_.depth_;
        eval_fail("maximum recursion depth exceeded");
      }
    }
    ~Nesting() { --evaluator_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    static constexpr int kMaxDepth = 1200;
    Evaluator& evaluator_;
  };

  // Makes `frame` the current one until the end of the scope.
  class FrameSwitch {
   public:
    FrameSwitch(Evaluator& e, Ref<Frame> frame) : evaluator_(e), outer_(std::move(e.frame_)) {
      e.frame_ = std::move(frame);
    }
    ~FrameSwitch() { evaluator_.frame_ = std::move(outer_); }
    FrameSwitch(const FrameSwitch&) = delete;
    FrameSwitch& operator=(const FrameSwitch&) = delete;

   private:
    Evaluator& evaluator_;
    Ref<Frame> outer_;
  };

  Value evaluate(const Expr& e);
  Args evaluate_args(const CallArgs& args);
  // A chain of filters whose innermost value is `v`.
  Value filtered(const Expr& filter, const Value& v);
  void assign(const Expr& target, Value v, bool exported);
  Value& slot(SlotRef ref);
  void enter(const ScopeInfo& scope);
  void leave(const ScopeInfo& scope);
  bool next_item(Loop& loop, Value& out);

  virtual Value call_macro(const Value& callee, const Args& args) = 0;
  virtual Value call_loop(const Value& callee, const Args& args) = 0;

  Ref<Frame> frame_;
  Position at_;
  std::map<std::string, Value, std::less<>> exported_;  // set at the top level, for blocks

 private:
  Value evaluate_name(const NameExpr& e);
  Value evaluate_list(const ListExpr& e);
  Value evaluate_dict(const DictExpr& e);
  Value evaluate_unary(const UnaryExpr& e);
  Value evaluate_binary(const BinaryExpr& e);
  Value evaluate_concat(const ConcatExpr& e);
  Value evaluate_compare(const CompareExpr& e);
  Value evaluate_conditional(const ConditionalExpr& e);
  Value evaluate_item(const ItemExpr& e);
  Value evaluate_slice(const SliceExpr& e);
  Value evaluate_call(const CallExpr& e);
  Value apply_filter(const FilterExpr& e, const Value& v);
  Value resolve(const std::string& name);
  void unpack(const ListExpr& targets, const Value& v, bool exported);
  bool pull(Loop& loop, Value& out);
  bool peek(Loop& loop);
  int64_t loop_length(Loop& loop);
  Value loop_attribute(const Value& object, std::string_view name);
  Value macro_attribute(const Macro& macro, std::string_view name);
  static Value loop_cycle(Runtime& rt, const Value& self, const Args& args);
  static Value loop_changed(Runtime& rt, const Value& self, const Args& args);

  const json::object& variables_;
  const json::object& defaults_;
  std::map<std::string, Value, std::less<>> resolved_;  // converted variables
  int depth_ = 0;
};

}  // namespace axk1::jinja
