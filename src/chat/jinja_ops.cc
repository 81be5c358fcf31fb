#include "chat/jinja_ops.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/text.h"
#include "chat/jinja_format.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

const char* symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "** or pow()";
  }
  return "?";
}

[[noreturn]] void unsupported(BinaryOp op, const Value& a, const Value& b) {
  eval_fail("unsupported operand type(s) for ", symbol(op), ": '", type_name(a), "' and '",
            type_name(b), "'");
}

[[noreturn]] void overflow() {
  eval_fail("an integer result does not fit in 64 bits");
}

int64_t floor_div(int64_t a, int64_t b) {
  if (b == -1) {
    if (a == INT64_MIN) overflow();
    return -a;
  }
  const int64_t quotient = a / b;
  return a % b != 0 && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
}

// Python's float modulo: the result has the sign of the divisor.
double float_mod(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double float_floor_div(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && ((b < 0) != (rest < 0))) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

int64_t int_pow(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

Value integers(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return Value::integer(result);
    case BinaryOp::kDiv:
      if (b == 0) eval_fail("division by zero");
      // Rounded once: the extended type holds both operands exactly.
      return Value::number(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOp::kFloorDiv:
      if (b == 0) eval_fail("integer division or modulo by zero");
      return Value::integer(floor_div(a, b));
    case BinaryOp::kMod:
      if (b == 0) eval_fail("integer modulo by zero");
      return Value::integer(floor_mod(a, b));
    case BinaryOp::kPow:
      if (b >= 0) return Value::integer(int_pow(a, b));
      if (a == 0) eval_fail("0.0 cannot be raised to a negative power");
      return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  return Value::none();
}

Value floats(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::number(a + b);
    case BinaryOp::kSub:
      return Value::number(a - b);
    case BinaryOp::kMul:
      return Value::number(a * b);
    case BinaryOp::kDiv:
      if (b == 0) eval_fail("float division by zero");
      return Value::number(a / b);
    case BinaryOp::kFloorDiv:
      if (b == 0) eval_fail("float floor division by zero");
      return Value::number(float_floor_div(a, b));
    case BinaryOp::kMod:
      if (b == 0) eval_fail("float modulo");
      return Value::number(float_mod(a, b));
    case BinaryOp::kPow: {
      if (a == 0 && b < 0) eval_fail("0.0 cannot be raised to a negative power");
      if (a < 0 && std::trunc(b) != b && std::isfinite(a))
        eval_fail("complex numbers are not supported");
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        eval_fail("(34, 'Numerical result out of range')");
      }
      return Value::number(result);
    }
  }
  return Value::none();
}

Value repeat(Runtime& runtime, const Value& v, int64_t count) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  if (v.is_string()) {
    const std::string& text = text_of(v);
    if (!text.empty() && times > Budget::kMaxStringBytes / text.size()) {
      eval_fail("a string repeated ", count, " times is too long");
    }
    std::string out;
    out.reserve(text.size() * times);
    for (size_t i = 0; i < times && !text.empty(); ++i) out += text;
    return runtime.str(std::move(out), v.as<Str>().markup);
  }
  const Values& items = v.as<List>().items;
  if (!items.empty() && times > (size_t{1} << 20) / items.size()) {
    eval_fail("a list repeated ", count, " times is too long");
  }
  runtime.spend(items.size() * times);
  Values out;
  out.reserve(items.size() * times);
  for (size_t i = 0; i < times && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return runtime.sequence(v.type(), std::move(out));
}

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    const bool x = a.as<Str>().markup, y = b.as<Str>().markup;
    if (x == y) return runtime.str(text_of(a) + text_of(b), x);
    return runtime.str(
        (x ? text_of(a) : html_escape(text_of(a))) + (y ? text_of(b) : html_escape(text_of(b))),
        true);
  }
  if (a.is_sequence() && a.type() == b.type()) {
    Values items = a.as<List>().items;
    const Values& more = b.as<List>().items;
    items.insert(items.end(), more.begin(), more.end());
    return runtime.sequence(a.type(), std::move(items));
  }
  if (a.is_string()) {
    eval_fail("can only concatenate str (not \"", type_name(b), "\") to str");
  }
  if (a.is_sequence()) {
    eval_fail("can only concatenate ", type_name(a), " (not \"", type_name(b), "\") to ",
              type_name(a));
  }
  unsupported(BinaryOp::kAdd, a, b);
}

// -1, 0 or 1; for types that Python can order.
int order(CompareOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_int() && b.is_int()) return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int();
    const long double x = a.is_int() ? static_cast<long double>(a.as_int()) : a.as_float();
    const long double y = b.is_int() ? static_cast<long double>(b.as_int()) : b.as_float();
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;  // 2: a NaN is in no order
  }
  if (a.is_string() && b.is_string()) {
    // UTF-8 sorts as its code points do.
    const int c = text_of(a).compare(text_of(b));
    return c < 0 ? -1 : c > 0;
  }
  if (a.is_sequence() && a.type() == b.type()) {
    const Values& x = a.as<List>().items;
    const Values& y = b.as<List>().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equal(x[i], y[i])) return order(op, x[i], y[i]);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size();
  }
  require_defined(a);
  require_defined(b);
  const char* sign = op == CompareOp::kLt   ? "<"
                     : op == CompareOp::kLe ? "<="
                     : op == CompareOp::kGt ? ">"
                                            : ">=";
  eval_fail("'", sign, "' not supported between instances of '", type_name(a), "' and '",
            type_name(b), "'");
}

// Where a Python index points in a sequence of n, nothing when outside.
std::optional<size_t> position(int64_t index, size_t n) {
  const int64_t size = static_cast<int64_t>(n);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return static_cast<size_t>(index);
}

// The item, or missing when there is none.
Value plain_item(Runtime& runtime, const Value& object, const Value& key) {
  switch (object.type()) {
    case Type::kDict: {
      if (key.is(Type::kList) || key.is(Type::kDict)) return {};
      const Value* found = key.is_string() ? object.as<Dict>().find(std::string_view(text_of(key)))
                                           : object.as<Dict>().find(key);
      return found ? *found : Value();
    }
    case Type::kList:
    case Type::kTuple: {
      if (!key.is_int()) return {};
      const Values& items = object.as<List>().items;
      const auto at = position(key.as_int(), items.size());
      return at ? items[*at] : Value();
    }
    case Type::kString: {
      if (!key.is_int()) return {};
      const Str& s = object.as<Str>();
      const auto at = position(key.as_int(), s.length);
      if (!at) return {};
      if (s.is_ascii()) return runtime.str(s.text.substr(*at, 1), s.markup);
      runtime.spend(s.text.size() / 32);
      const size_t start = byte_offset(s.text, *at);
      size_t end = start;
      next_code_point(s.text, end);
      return runtime.str(s.text.substr(start, end - start), s.markup);
    }
    case Type::kRange: {
      if (!key.is_int()) return {};
      const Range& range = object.as<Range>();
      const auto at = position(key.as_int(), static_cast<size_t>(range.length));
      return at ? Value::integer(range.start + static_cast<int64_t>(*at) * range.step) : Value();
    }
    case Type::kUndefined:
      require_defined(object);
      return {};
    default:
      return {};
  }
}

std::string no_such(Runtime& runtime, const Value& object, const Value& key) {
  const std::string owner = object.is_none() ? "None" : cat(type_name(object), " object");
  if (key.is_string()) return cat("'", owner, "' has no attribute ", repr(runtime, key));
  return cat(owner, " has no element ", repr(runtime, key));
}

}  // namespace

void require_defined(const Value& v) {
  if (v.is_undefined()) eval_fail(v.as<Undefined>().message);
}

Value binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_int() && b.is_int()) return integers(op, a.as_int(), b.as_int());
    return floats(op, a.as_float(), b.as_float());
  }
  if (op == BinaryOp::kMod && a.is_string()) return format_percent(runtime, a, b);
  require_defined(a);
  require_defined(b);
  if (op == BinaryOp::kAdd) return add(runtime, a, b);
  if (op == BinaryOp::kMul) {
    if ((a.is_string() || a.is_sequence()) && b.is_int()) return repeat(runtime, a, b.as_int());
    if ((b.is_string() || b.is_sequence()) && a.is_int()) return repeat(runtime, b, a.as_int());
    if (a.is_string() || a.is_sequence()) {
      eval_fail("can't multiply sequence by non-int of type '", type_name(b), "'");
    }
  }
  unsupported(op, a, b);
}

Value negate(Runtime&, const Value& v) {
  require_defined(v);
  if (v.is_int()) {
    if (v.as_int() == INT64_MIN) overflow();
    return Value::integer(-v.as_int());
  }
  if (v.is(Type::kFloat)) return Value::number(-v.as_float());
  eval_fail("bad operand type for unary -: '", type_name(v), "'");
}

Value positive(const Value& v) {
  require_defined(v);
  if (v.is_int()) return Value::integer(v.as_int());
  if (v.is(Type::kFloat)) return v;
  eval_fail("bad operand type for unary +: '", type_name(v), "'");
}

bool compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEq:
      return equal(a, b);
    case CompareOp::kNe:
      return !equal(a, b);
    case CompareOp::kLt:
      return order(op, a, b) == -1;
    case CompareOp::kLe: {
      const int o = order(op, a, b);
      return o == -1 || o == 0;
    }
    case CompareOp::kGt:
      return order(op, a, b) == 1;
    case CompareOp::kGe: {
      const int o = order(op, a, b);
      return o == 1 || o == 0;
    }
    case CompareOp::kIn:
      return contains(runtime, b, a);
    case CompareOp::kNotIn:
      return !contains(runtime, b, a);
  }
  return false;
}

bool less(const Value& a, const Value& b) {
  return order(CompareOp::kLt, a, b) == -1;
}

void sort_by(Runtime& runtime, Values& values, const Values& keys, bool reverse) {
  runtime.spend(values.size() * 4);
  std::vector<size_t> order_of(values.size());
  std::iota(order_of.begin(), order_of.end(), size_t{0});
  std::stable_sort(order_of.begin(), order_of.end(), [&](size_t x, size_t y) {
    runtime.spend(1);
    return reverse ? less(keys[y], keys[x]) : less(keys[x], keys[y]);
  });
  Values sorted;
  sorted.reserve(values.size());
  for (size_t i : order_of) sorted.push_back(std::move(values[i]));
  values = std::move(sorted);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString:
      if (!item.is_string()) {
        eval_fail("'in <string>' requires string as left operand, not ", type_name(item));
      }
      runtime.spend(text_of(container).size() / 64);
      return find_part(text_of(container), text_of(item)) != std::string::npos;
    case Type::kDict:
      return container.as<Dict>().find(item) != nullptr;
    case Type::kDictView:
      if (container.as<DictView>().part == DictView::Part::kKeys) {
        return container.as<DictView>().dict->find(item) != nullptr;
      }
      break;
    case Type::kUndefined:
      return false;
    case Type::kList:
    case Type::kTuple:
    case Type::kRange:
    case Type::kIterator:
      break;
    default:
      eval_fail("argument of type '", type_name(container), "' is not iterable");
  }
  Value candidate;
  for (Cursor cursor(runtime, container); cursor.next(candidate);) {
    if (equal(candidate, item)) return true;
  }
  return false;
}

size_t length_of(Runtime& runtime, const Value& v) {
  switch (v.type()) {
    case Type::kString:
      return v.as<Str>().length;
    case Type::kList:
    case Type::kTuple:
      return v.as<List>().items.size();
    case Type::kDict:
      return v.as<Dict>().items().size();
    case Type::kDictView:
      return v.as<DictView>().dict->items().size();
    case Type::kRange:
      return static_cast<size_t>(v.as<Range>().length);
    case Type::kUndefined:
      return 0;
    case Type::kLoop: {
      const Value length = runtime.object_attribute(v, "length");
      return static_cast<size_t>(length.as_int());
    }
    default:
      eval_fail("object of type '", type_name(v), "' has no len()");
  }
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  Value found = plain_item(runtime, object, key);
  if (found.is_missing() && key.is_string()) {
    found = builtin_attribute(runtime, object, text_of(key));
  }
  return found.is_missing() ? runtime.undefined(no_such(runtime, object, key)) : found;
}

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (name.starts_with("__")) {  // what every Python object has, and the sandbox withholds
    return runtime.undefined(cat("access to attribute '", printable(name, 60), "' of '",
                                 type_name(object), "' object is unsafe."));
  }
  require_defined(object);
  Value found = builtin_attribute(runtime, object, name);
  if (found.is_missing() && object.is(Type::kDict)) {
    if (const Value* item = object.as<Dict>().find(name)) return *item;
  }
  return found.is_missing() ? runtime.undefined(no_such(runtime, object, runtime.str(name)))
                            : found;
}

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  require_defined(object);
  const bool is_range = object.is(Type::kRange);
  if (!object.is_string() && !object.is_sequence() && !is_range) {
    if (object.is(Type::kDict)) eval_fail("unhashable type: 'slice'");
    eval_fail("'", type_name(object), "' object is not subscriptable");
  }
  auto bound = [&](const Value& v, int64_t absent) {
    if (v.is_missing() || v.is_none()) return absent;
    if (!v.is_int()) {
      eval_fail("slice indices must be integers or None or have an __index__ method");
    }
    return v.as_int();
  };
  const int64_t by = bound(step, 1);
  if (by == 0) eval_fail("slice step cannot be zero");
  const int64_t n = static_cast<int64_t>(length_of(runtime, object));
  auto clamp = [&](int64_t i) {
    if (i < 0) i = std::max<int64_t>(i + n, by > 0 ? 0 : -1);
    return std::min(i, by > 0 ? n : n - 1);
  };
  const bool no_start = start.is_missing() || start.is_none();
  const bool no_stop = stop.is_missing() || stop.is_none();
  const int64_t from = no_start ? (by > 0 ? 0 : n - 1) : clamp(bound(start, 0));
  const int64_t to = no_stop ? (by > 0 ? n : -1) : clamp(bound(stop, 0));
  // __int128: `to - from` and steps near the 64-bit limits stay exact.
  const __int128 span = by > 0 ? __int128{to} - from : __int128{from} - to;
  const __int128 stride = by > 0 ? __int128{by} : -__int128{by};
  const size_t count = span <= 0 ? 0 : static_cast<size_t>((span - 1) / stride + 1);
  auto at = [&](size_t k) { return static_cast<size_t>(from + static_cast<int64_t>(k) * by); };

  if (object.is_string()) {
    const Str& s = object.as<Str>();
    if (count == 0) return runtime.str(std::string(), s.markup);
    if (by == 1) {
      if (s.is_ascii()) return runtime.str(s.text.substr(at(0), count), s.markup);
      runtime.spend(s.text.size() / 32);
      const size_t begin = byte_offset(s.text, at(0));
      const size_t size = byte_offset(std::string_view(s.text).substr(begin), count);
      return runtime.str(s.text.substr(begin, size), s.markup);
    }
    runtime.spend(s.text.size() / 8);
    std::vector<size_t> starts;  // of every code point, and the end
    for (size_t i = 0; i < s.text.size(); next_code_point(s.text, i)) starts.push_back(i);
    starts.push_back(s.text.size());
    std::string out;
    for (size_t k = 0; k < count; ++k) {
      out.append(s.text, starts[at(k)], starts[at(k) + 1] - starts[at(k)]);
    }
    return runtime.str(std::move(out), s.markup);
  }
  if (is_range) {
    const Range& range = object.as<Range>();
    auto narrow = [](__int128 i) {
      if (i < INT64_MIN || i > INT64_MAX) overflow();
      return static_cast<int64_t>(i);
    };
    return runtime.range(narrow(range.start + __int128{from} * range.step),
                         narrow(range.start + __int128{to} * range.step),
                         narrow(__int128{range.step} * by));
  }
  const Values& items = object.as<List>().items;
  Values out;
  out.reserve(count);
  for (size_t k = 0; k < count; ++k) out.push_back(items[at(k)]);
  return runtime.sequence(object.type(), std::move(out));
}

}  // namespace axk1::jinja
