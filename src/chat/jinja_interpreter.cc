#include "chat/jinja_interpreter.h"

#include "chat/jinja_builtins.h"
#include "chat/jinja_evaluator.h"
#include "chat/jinja_print.h"

namespace axk1::jinja {
namespace {

constexpr size_t kMaxOutputBytes = Budget::kMaxStringBytes;

// What a statement does to the loop around it.
enum class Flow : uint8_t { kNormal, kBreak, kContinue };

class Interpreter final : public Evaluator {
 public:
  Interpreter(const Template& tree, const json::object& variables, const json::object& defaults,
              const std::function<std::tm()>& now)
      : Evaluator(variables, defaults, now), tree_(tree) {}

  ~Interpreter() override {
    // Break the cycles of macros with the frames they were made in, and of namespaces.
    for (const Ref<Frame>& frame : captured_) frame->slots.clear();
    for (const Ref<Namespace>& ns : namespaces_) ns->attributes.clear();
  }

  std::string run() {
    std::string out;
    frame_ = new Frame(&budget_, nullptr, tree_.function.num_slots);
    enter(tree_.scope);
    execute(tree_.body, out);
    frame_->slots.clear();
    return out;
  }

 private:
  void append(std::string& out, std::string_view text) {
    if (text.size() > kMaxOutputBytes - std::min(out.size(), kMaxOutputBytes)) {
      eval_fail("the text is longer than ", kMaxOutputBytes, " bytes");
    }
    spend(1 + text.size() / 64);
    out += text;
  }

  Flow execute(const Body& body, std::string& out) {
    for (const StmtPtr& s : body) {
      const Flow flow = execute(*s, out);
      if (flow != Flow::kNormal) return flow;
    }
    return Flow::kNormal;
  }

  Flow execute(const Stmt& s, std::string& out) {
    switch (s.kind) {
      case StmtKind::kText:
        append(out, static_cast<const TextStmt&>(s).text);
        break;
      case StmtKind::kOutput:
        output(static_cast<const OutputStmt&>(s), out);
        break;
      case StmtKind::kIf:
        return if_stmt(static_cast<const IfStmt&>(s), out);
      case StmtKind::kFor:
        for_stmt(static_cast<const ForStmt&>(s), out);
        break;
      case StmtKind::kSet: {
        const auto& node = static_cast<const SetStmt&>(s);
        assign(*node.target, evaluate(*node.value), node.exported);
        break;
      }
      case StmtKind::kSetBlock:
        set_block(static_cast<const SetBlockStmt&>(s));
        break;
      case StmtKind::kMacro: {
        const auto& node = static_cast<const MacroStmt&>(s);
        slot(node.ref) = make_macro(node);
        if (node.exported) exported_[node.name] = slot(node.ref);
        break;
      }
      case StmtKind::kCall:
        call_block(static_cast<const MacroStmt&>(s), out);
        break;
      case StmtKind::kFilter:
        filter_block(static_cast<const FilterStmt&>(s), out);
        break;
      case StmtKind::kWith:
        return with_stmt(static_cast<const WithStmt&>(s), out);
      case StmtKind::kBlock:
        block_stmt(static_cast<const BlockStmt&>(s), out);
        break;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNormal;
  }

  void output(const OutputStmt& node, std::string& out) {
    const Value v = evaluate(*node.value);
    at_ = node.at;
    if (v.is_string()) {
      append(out, text_of(v));
    } else if (!v.is_undefined()) {
      append(out, to_str(*this, v));
    }
  }

  Flow if_stmt(const IfStmt& node, std::string& out) {
    const Nesting nesting(*this);
    for (const auto& [test, body] : node.branches) {
      if (truthy(evaluate(*test))) return execute(body, out);
    }
    return execute(node.otherwise, out);
  }

  void set_block(const SetBlockStmt& node) {
    const Nesting nesting(*this);
    enter(node.scope);
    std::string text;
    execute(node.body, text);
    Value v = str(std::move(text));
    if (node.filter) v = filtered(*node.filter, v);
    assign(*node.target, std::move(v), node.exported);
    leave(node.scope);
  }

  void filter_block(const FilterStmt& node, std::string& out) {
    const Nesting nesting(*this);
    enter(node.scope);
    std::string text;
    execute(node.body, text);
    const Value v = filtered(*node.filter, str(std::move(text)));
    append(out, to_str(*this, v));
    leave(node.scope);
  }

  Flow with_stmt(const WithStmt& node, std::string& out) {
    const Nesting nesting(*this);
    if (node.autoescape && truthy(evaluate(*node.autoescape))) {
      at_ = node.at;
      eval_fail("autoescape is not supported: chat templates are plain text");
    }
    Values values;
    for (const auto& [target, value] : node.bindings) values.push_back(evaluate(*value));
    enter(node.scope);
    for (size_t i = 0; i < values.size(); ++i) {
      assign(*node.bindings[i].first, std::move(values[i]), false);
    }
    const Flow flow = execute(node.body, out);
    leave(node.scope);
    return flow;
  }

  void block_stmt(const BlockStmt& node, std::string& out) {
    const Nesting nesting(*this);
    const FrameSwitch inside(*this, new Frame(&budget_, nullptr, node.function.num_slots));
    enter(node.scope);
    execute(node.body, out);
  }

  Value make_macro(const MacroStmt& node) {
    capture();
    return Value(Ref<Macro>(new Macro(&budget_, node, frame_)));
  }

  void capture() {
    if (frame_->captured) return;
    frame_->captured = true;
    captured_.push_back(frame_);
  }

  void call_block(const MacroStmt& node, std::string& out) {
    const Nesting nesting(*this);
    const auto& call_expr = static_cast<const CallExpr&>(*node.call);
    const Value callee = evaluate(*call_expr.callee);
    Args args = evaluate_args(call_expr.args);
    args.named.emplace_back("caller", make_macro(node));
    at_ = call_expr.at;
    append(out, to_str(*this, call(callee, args)));
  }

  Value call_macro(const Value& callee, const Args& args) override {
    const Nesting nesting(*this);
    const auto& macro = callee.as<Macro>();
    const MacroStmt& node = macro.stmt;
    const size_t num_params = node.params.size();
    const Position called_at = at_;

    Ref<Frame> frame(new Frame(&budget_, macro.frame, node.function.num_slots));
    std::vector<bool> used(args.named.size());
    auto named = [&](std::string_view name) {
      for (size_t i = 0; i < args.named.size(); ++i) {
        if (args.named[i].first == name) {
          used[i] = true;
          return args.named[i].second;
        }
      }
      return Value();
    };
    const size_t given = std::min(args.positional.size(), num_params);
    for (size_t i = 0; i < num_params; ++i) {
      frame->slots[node.params[i]->ref.slot] =
          i < given ? args.positional[i] : named(node.params[i]->name);
    }
    if (node.caller_slot) {
      const Value caller = named("caller");
      frame->slots[*node.caller_slot] =
          caller.is_missing() || caller.is_none() ? undefined("No caller defined") : caller;
    }
    const std::string shown = node.name.empty() ? "None" : cat("'", node.name, "'");
    std::vector<Dict::Item> more_named;
    for (size_t i = 0; i < args.named.size(); ++i) {
      if (used[i]) continue;
      const auto& [name, value] = args.named[i];
      if (node.kwargs_slot) {
        more_named.emplace_back(str(name), value);
      } else if (name == "caller") {
        eval_fail("macro ", shown,
                  " was invoked with two values for the special caller argument. This is most "
                  "likely a bug.");
      } else {
        eval_fail("macro ", shown, " takes no keyword argument '", name, "'");
      }
    }
    if (node.kwargs_slot) frame->slots[*node.kwargs_slot] = dict(std::move(more_named));
    if (node.varargs_slot) {
      frame->slots[*node.varargs_slot] = tuple(
          Values(args.positional.begin() + static_cast<ptrdiff_t>(given), args.positional.end()));
    } else if (args.positional.size() > num_params) {
      eval_fail("macro ", shown, " takes not more than ", num_params, " argument(s)");
    }

    const FrameSwitch inside(*this, frame);
    enter(node.scope);
    const size_t num_required = num_params - node.defaults.size();
    for (size_t i = 0; i < num_params; ++i) {
      Value& v = frame->slots[node.params[i]->ref.slot];
      if (!v.is_missing()) continue;
      v = i < num_required
              ? undefined(cat("parameter '", node.params[i]->name, "' was not provided"))
              : evaluate(*node.defaults[i - num_required]);
    }
    std::string text;
    execute(node.body, text);
    at_ = called_at;
    return str(std::move(text));
  }

  void for_stmt(const ForStmt& node, std::string& out) {
    const Nesting nesting(*this);
    const Value iterable = evaluate(*node.iterable);
    at_ = node.iterable->at;
    if (node.recursive) {
      capture();
      recursive_loop(node, iterable, 0, frame_, out);
    } else {
      run_loop(node, iterable, 0, nullptr, out);
    }
  }

  void recursive_loop(const ForStmt& node, const Value& iterable, int64_t depth0, Ref<Frame> around,
                      std::string& out) {
    const FrameSwitch inside(*this, new Frame(&budget_, around, node.function.num_slots));
    run_loop(node, iterable, depth0, around, out);
  }

  Value call_loop(const Value& callee, const Args& args) override {
    const Nesting nesting(*this);
    const Loop& loop = callee.as<Loop>();
    if (!loop.recursion) {
      eval_fail("The loop must have the 'recursive' marker to be called recursively.");
    }
    const Params p(args, "loop", {"iterable"}, 1);
    const Position called_at = at_;
    std::string text;
    recursive_loop(loop.stmt, p[0], loop.depth0 + 1, loop.recursion, text);
    at_ = called_at;
    return str(std::move(text));
  }

  void run_loop(const ForStmt& node, const Value& iterable, int64_t depth0, Ref<Frame> recursion,
                std::string& out) {
    const Ref<Loop> loop(new Loop(*this, node, iterable, depth0));
    loop->recursion = std::move(recursion);
    loop->frame = frame_.get();
    const LoopEnd end(*loop);
    // Jinja2 clears this at the end of a body, so that an iteration cut short by break or continue
    // does not count.
    bool nothing_done = true;
    Value item;
    while (next_item(*loop, item)) {
      assign(*node.target, item, false);
      slot({0, node.loop_slot}) = Value(loop);
      enter(node.body_scope);
      const Flow flow = execute(node.body, out);
      if (flow == Flow::kBreak) break;
      if (flow == Flow::kNormal) nothing_done = false;
    }
    end.now();
    leave(node.body_scope);
    if (nothing_done && !node.otherwise.empty()) {
      enter(node.else_scope);
      execute(node.otherwise, out);
      leave(node.else_scope);
    }
  }

  // Ends a loop even when an exception does. A template can keep the loop object, which must then
  // hold no value: its depth counts what it iterates over only, and it could come to hold itself.
  class LoopEnd {
   public:
    explicit LoopEnd(Loop& loop) : loop_(loop) {}
    ~LoopEnd() { now(); }
    LoopEnd(const LoopEnd&) = delete;
    LoopEnd& operator=(const LoopEnd&) = delete;
    void now() const {
      loop_.frame = nullptr;
      loop_.ahead.clear();
      loop_.before = loop_.current = Value();
      loop_.last_changed.reset();
    }

   private:
    Loop& loop_;
  };

  const Template& tree_;
  std::vector<Ref<Frame>> captured_;
};

}  // namespace

std::string render(const Template& tree, const json::object& variables,
                   const json::object& defaults, const std::function<std::tm()>& now) {
  Interpreter interpreter(tree, variables, defaults, now);
  try {
    return interpreter.run();
  } catch (const EvalError& e) {
    throw RenderError(interpreter.position(), e.what());
  }
}

}  // namespace axk1::jinja
