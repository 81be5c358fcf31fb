// What built-in filters, tests, methods and operators need from the render they run in: the budget,
// makers of values, calls of template macros, and the clock. One per render, one thread.
#pragma once

#include <ctime>
#include <functional>
#include <initializer_list>
#include <optional>

#include "chat/jinja_value.h"

namespace axk1::jinja {

class Runtime {
 public:
  explicit Runtime(std::function<std::tm()> now) : now_(std::move(now)) {}
  virtual ~Runtime() = default;

  // Calls anything callable. Throws EvalError when it is not, or when the arguments do not fit.
  virtual Value call(const Value& callee, const Args& args) = 0;
  // loop.xxx, macro.xxx; missing when there is no such attribute.
  virtual Value object_attribute(const Value& object, std::string_view name) = 0;
  // repr() of a loop or a macro.
  virtual std::string describe(const Value& object) = 0;

  std::tm now() const { return now_(); }
  Budget* budget() { return &budget_; }
  void spend(uint64_t steps) { budget_.spend(steps); }

  Value str(std::string text, bool markup = false);
  Value str(std::string_view text) { return str(std::string(text)); }
  Value str(const char* text) { return str(std::string(text)); }
  Value list(Values items) { return sequence(Type::kList, std::move(items)); }
  Value tuple(Values items) { return sequence(Type::kTuple, std::move(items)); }
  Value sequence(Type type, Values items);
  Value group(Value grouper, Value items);
  Value dict(std::vector<Dict::Item> items);
  Value view(const Value& dict, DictView::Part part);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value iterator(std::string_view type_name, uint32_t source_depth, Iterator::Next next);
  bool advance(Iterator& iterator, Value& out);
  Value undefined(std::string why);
  Value undefined_name(std::string_view name);
  Value function(std::string_view name, Native code, Value self = {});
  Value make_namespace();

  // A JSON value as json.loads of Python would give it.
  Value from_json(const json::value& v);

 protected:
  Budget budget_;
  // Namespaces can form cycles; they are kept until the render ends, then emptied.
  std::vector<Ref<Namespace>> namespaces_;

 private:
  static constexpr int kMaxIteratorDepth = 500;
  int iterator_depth_ = 0;
  std::function<std::tm()> now_;
};

// Arguments of a built-in by the names of its parameters, as Python would bind them. Throws
// EvalError for a surplus, unknown or doubly given argument, or a missing one of the first
// `required`.
class Params {
 public:
  Params(const Args& args, std::string_view function, std::initializer_list<std::string_view> names,
         size_t required = 0);
  bool has(size_t i) const { return !values_[i].is_missing(); }
  const Value& operator[](size_t i) const { return values_[i]; }
  // Absent or None give the default.
  int64_t integer(size_t i, int64_t absent) const;
  bool flag(size_t i, bool absent) const;
  // Must be a string when given.
  const std::string& text(size_t i) const;
  std::optional<std::string_view> optional_text(size_t i) const;

 private:
  std::string_view function_;
  Values values_;
};

// The values of an iterable one by one. Throws EvalError when v cannot be iterated.
class Cursor {
 public:
  Cursor(Runtime& runtime, Value v);
  bool next(Value& out);

 private:
  Runtime& runtime_;
  Value source_;
  size_t at_ = 0;  // index, or byte offset in a string
};

Values to_vector(Runtime& runtime, const Value& iterable);

}  // namespace axk1::jinja
