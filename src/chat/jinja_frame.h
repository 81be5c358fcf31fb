// What the interpreter keeps besides values: frames, macros and loops.
#pragma once

#include <deque>

#include "chat/jinja_ast.h"

namespace axk1::jinja {

// The variables of one call of a macro, of a recursive loop's body, of a block or of the template.
struct Frame : boost::intrusive_ref_counter<Frame> {
  Frame(Budget* b, Ref<Frame> outer, size_t num_slots) : budget(b), parent(std::move(outer)) {
    budget->hold(num_slots * sizeof(Value) + sizeof(Frame));
    held = num_slots * sizeof(Value) + sizeof(Frame);
    slots.resize(num_slots);
  }
  ~Frame() { budget->release(held); }

  Budget* budget;
  size_t held = 0;
  const Ref<Frame> parent;
  Values slots;
  bool captured = false;  // a macro refers to it: cleared when the render ends
};

struct Macro : Object {
  Macro(Budget* budget, const MacroStmt& macro_stmt, Ref<Frame> around)
      : Object(Type::kMacro, budget, sizeof(*this)), stmt(macro_stmt), frame(std::move(around)) {}
  const MacroStmt& stmt;
  const Ref<Frame> frame;
};

// The `loop` of a running for loop; hands out its items one by one.
struct Loop : Object {
  Loop(Runtime& runtime, const ForStmt& for_stmt, const Value& iterable, int64_t depth_from_0)
      : Object(Type::kLoop, runtime.budget(), sizeof(*this), iterable.depth() + 1),
        stmt(for_stmt),
        source(iterable),
        cursor(runtime, iterable),
        depth0(depth_from_0) {}
  const ForStmt& stmt;
  const Value source;
  Cursor cursor;
  const int64_t depth0;
  Ref<Frame> recursion;     // the frame around a recursive loop, else null
  Frame* frame = nullptr;   // where the test of the loop is evaluated; null once the loop has ended
  std::deque<Value> ahead;  // items taken from the cursor before their turn
  int64_t index0 = -1;
  std::optional<int64_t> length;
  Value before, current;
  std::optional<Values> last_changed;
};

}  // namespace axk1::jinja
