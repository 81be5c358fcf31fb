// The values of a template: Python's, as far as chat templates can see them. Strings, lists, tuples
// and dicts never change once made (the sandbox templates run in forbids it), so values are shared
// freely inside one render. A value belongs to one render and one thread; only the constants of a
// compiled template are shared by several, and those are read-only.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/json.h"

namespace axk1::jinja {

// What evaluation throws inside the engine; the interpreter adds the place and turns it into a
// TemplateError.
class EvalError : public std::runtime_error {
 public:
  explicit EvalError(const std::string& message) : std::runtime_error(message) {}
};

template <class... Parts>
[[noreturn]] void eval_fail(const Parts&... parts) {
  throw EvalError(cat(parts...));
}

enum class Type : uint8_t {
  kMissing,  // no value at all; never seen by a template
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kDictView,
  kRange,
  kIterator,
  kNamespace,
  kFunction,
  kMacro,
  kLoop,
  kCycler,
  kJoiner,
};

// What one render may use: memory held at once, and work done in total. Exceeding either is an
// EvalError, so that a hostile template ends.
class Budget {
 public:
  static constexpr uint64_t kMaxLiveBytes = uint64_t{512} << 20;
  static constexpr uint64_t kMaxSteps = 50'000'000;
  static constexpr size_t kMaxStringBytes = size_t{64} << 20;

  void hold(size_t bytes) {
    if (bytes > kMaxLiveBytes - live_bytes_) eval_fail("the template needs more than 512 MiB");
    live_bytes_ += bytes;
  }
  void release(size_t bytes) { live_bytes_ -= bytes; }
  void spend(uint64_t steps) {
    if (steps > kMaxSteps - steps_) eval_fail("the template takes too long: it was stopped");
    steps_ += steps;
  }

 private:
  uint64_t live_bytes_ = 0;
  uint64_t steps_ = 0;
};

// Base of everything that lives on the heap. `depth` is 1 + the depth of what it contains; bounding
// it bounds every recursion over values, destruction included.
class Object : public boost::intrusive_ref_counter<Object> {
 public:
  static constexpr uint32_t kMaxDepth = 400;

  Object(Type type, Budget* budget, size_t bytes, uint32_t depth = 0);
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const Type type;
  const uint32_t depth;

 private:
  Budget* budget_;  // null for constants of the template
  size_t bytes_;
};

template <class T>
using Ref = boost::intrusive_ptr<T>;

class Value {
 public:
  Value() = default;
  static Value none() { return Value(Type::kNone, 0); }
  static Value boolean(bool b) { return Value(Type::kBool, b); }
  static Value integer(int64_t i) { return Value(Type::kInt, i); }
  static Value number(double d) {
    Value v;
    v.type_ = Type::kFloat;
    v.float_ = d;
    return v;
  }
  template <class T>
  Value(Ref<T> object) : type_(object->type), object_(std::move(object)) {}  // NOLINT(*explicit*)

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_missing() const { return type_ == Type::kMissing; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_int() const { return type_ == Type::kInt || type_ == Type::kBool; }  // as in Python
  bool is_number() const { return is_int() || type_ == Type::kFloat; }
  bool is_sequence() const { return type_ == Type::kList || type_ == Type::kTuple; }

  bool as_bool() const { return int_ != 0; }
  int64_t as_int() const { return int_; }
  double as_float() const { return type_ == Type::kFloat ? float_ : static_cast<double>(int_); }
  template <class T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const Object* object() const { return object_.get(); }
  uint32_t depth() const { return object_ ? object_->depth : 0; }

 private:
  Value(Type type, int64_t i) : type_(type), int_(i) {}

  Type type_ = Type::kMissing;
  union {
    int64_t int_ = 0;
    double float_;
  };
  Ref<Object> object_;
};

using Values = std::vector<Value>;

// Text is valid UTF-8. `markup` marks what |safe and |escape made.
struct Str : Object {
  Str(Budget* budget, std::string utf8, bool is_markup);
  const std::string text;
  const size_t length;  // code points
  const bool markup;
  bool is_ascii() const { return length == text.size(); }
};

struct Undefined : Object {
  Undefined(Budget* budget, std::string why)
      : Object(Type::kUndefined, budget, sizeof(*this) + why.size()), message(std::move(why)) {}
  const std::string message;  // what to say when it is used
};

// A list or a tuple. `group` tuples are those of |groupby: .grouper and .list name their parts.
struct List : Object {
  List(Type type, Budget* budget, Values values, bool is_group = false);
  const Values items;
  const bool group;
};

// Keeps insertion order. Built once by the constructor: later equal keys replace the value of the
// first. Throws EvalError for a key that cannot be hashed.
struct Dict : Object {
  using Item = std::pair<Value, Value>;
  Dict(Budget* budget, std::vector<Item> pairs);
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Item>& items() const { return items_; }

 private:
  size_t position(const Value& key, size_t hash) const;
  std::vector<Item> items_;
  std::unordered_multimap<size_t, size_t> index_;  // hash -> position, when there are many
};

struct DictView : Object {
  enum class Part : uint8_t { kKeys, kValues, kItems };
  DictView(Budget* budget, Ref<Dict> of, Part which)
      : Object(Type::kDictView, budget, sizeof(*this), of->depth + 1),
        dict(std::move(of)),
        part(which) {}
  const Ref<Dict> dict;
  const Part part;
};

struct Range : Object {
  Range(Budget* budget, int64_t first, int64_t end, int64_t by);
  const int64_t start, stop, step;
  const int64_t length;
};

// A Python generator or iterator: gives its values once, as they are asked for.
struct Iterator : Object {
  using Next = std::function<bool(Value&)>;  // false at the end
  Iterator(Budget* budget, std::string_view name, uint32_t source_depth, Next step)
      : Object(Type::kIterator, budget, sizeof(*this) + 64, source_depth + 1),
        type_name(name),
        next(std::move(step)) {}
  const std::string_view type_name;
  Next next;
};

struct Namespace : Object {
  explicit Namespace(Budget* budget) : Object(Type::kNamespace, budget, sizeof(*this)) {}
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
  std::vector<std::pair<std::string, Value>> attributes;
};

struct Cycler : Object {
  Cycler(Budget* budget, Values values);
  const Values items;
  size_t position = 0;
};

struct Joiner : Object {
  Joiner(Budget* budget, Value sep)
      : Object(Type::kJoiner, budget, sizeof(*this), sep.depth() + 1), separator(std::move(sep)) {}
  const Value separator;
  bool used = false;
};

struct Args {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Runtime;
using Native = Value (*)(Runtime&, const Value& self, const Args&);

// A built-in function, or a method bound to `self`.
struct Function : Object {
  Function(Budget* budget, std::string_view what, Native code, Value bound)
      : Object(Type::kFunction, budget, sizeof(*this), bound.depth() + 1),
        name(what),
        call(code),
        self(std::move(bound)) {}
  const std::string_view name;  // a literal
  const Native call;
  const Value self;
};

// Python's name of the type: "str", "list", "Undefined", ...
std::string_view type_name(const Value& v);

bool truthy(const Value& v);
bool equal(const Value& a, const Value& b);
size_t hash_of(const Value& v);  // throws for what Python cannot hash

inline const std::string& text_of(const Value& v) {
  return v.as<Str>().text;
}

}  // namespace axk1::jinja
