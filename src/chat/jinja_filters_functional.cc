// Filters on numbers, and those that apply another filter or test; the dispatch by name.
#include <algorithm>
#include <cmath>
#include <memory>

#include "chat/jinja_builtins.h"
#include "chat/jinja_format.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

// int(d) of Python; nothing where it raises.
std::optional<int64_t> whole(double d) {
  if (std::isnan(d) || std::isinf(d)) return std::nullopt;
  if (std::abs(d) >= 9.2e18) eval_fail("the integer part of ", d, " does not fit in 64 bits");
  return static_cast<int64_t>(d);
}

Value to_int(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "int", {"default", "base"});
  const Value absent = p.has(0) ? p[0] : Value::integer(0);
  require_defined(value);
  if (value.is_int()) return Value::integer(value.as_int());
  if (value.is(Type::kFloat)) {
    const std::optional<int64_t> i = whole(value.as_float());
    if (!i && std::isinf(value.as_float())) eval_fail("cannot convert float infinity to integer");
    return i ? Value::integer(*i) : absent;
  }
  if (!value.is_string()) return absent;
  const int64_t base = p.integer(1, 10);
  if (base != 0 && (base < 2 || base > 36)) return absent;
  rt.spend(text_of(value).size() / 16);
  if (const auto i = parse_int(text_of(value), static_cast<int>(base))) return Value::integer(*i);
  if (const auto d = parse_float(text_of(value))) {
    if (const auto i = whole(*d)) return Value::integer(*i);
  }
  return absent;
}

Value to_float(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "float", {"default"});
  require_defined(value);
  if (value.is_number()) return Value::number(value.as_float());
  if (value.is_string()) {
    rt.spend(text_of(value).size() / 16);
    if (const auto d = parse_float(text_of(value))) return Value::number(*d);
  }
  return p.has(0) ? p[0] : Value::number(0);
}

Value absolute(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "abs", {});
  require_defined(value);
  if (value.is(Type::kFloat)) return Value::number(std::fabs(value.as_float()));
  if (!value.is_int()) eval_fail("bad operand type for abs(): '", type_name(value), "'");
  return value.as_int() < 0 ? negate(rt, value) : Value::integer(value.as_int());
}

// round(value, precision) of Python: half to even, on the exact binary value.
Value rounded(double d, int64_t precision) {
  if (!std::isfinite(d) || precision > 320) return Value::number(d);
  if (precision < -308) return Value::number(std::copysign(0.0, d));
  if (precision >= 0) {
    return Value::number(*parse_float(fixed_text(d, 'f', static_cast<int>(precision), false)));
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return Value::number(std::nearbyint(d / scale) * scale);
}

Value round(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "round", {"precision", "method"});
  const std::string method = p.has(1) ? p.text(1) : "common";
  const int64_t precision = p.integer(0, 0);
  if (method != "common" && method != "ceil" && method != "floor") {
    eval_fail("method must be common, ceil or floor");
  }
  require_defined(value);
  if (!value.is_number()) eval_fail("type ", type_name(value), " doesn't define __round__ method");
  if (method == "common") {
    if (value.is(Type::kFloat)) return rounded(value.as_float(), precision);
    if (precision >= 0) return Value::integer(value.as_int());
    if (precision < -18) return Value::integer(0);
    // Half to even among the multiples of the power of ten.
    const int64_t scale =
        binary(rt, BinaryOp::kPow, Value::integer(10), Value::integer(-precision)).as_int();
    const int64_t i = value.as_int();
    const int64_t rest =
        binary(rt, BinaryOp::kMod, Value::integer(i), Value::integer(scale)).as_int();
    const int64_t below = i - rest;
    const bool up = rest * 2 > scale || (rest * 2 == scale && (below / scale) % 2 != 0);
    return binary(rt, BinaryOp::kAdd, Value::integer(below), Value::integer(up ? scale : 0));
  }
  const Value scale = binary(rt, BinaryOp::kPow, Value::integer(10), Value::integer(precision));
  const Value scaled = binary(rt, BinaryOp::kMul, value, scale);
  const double d = method == "ceil" ? std::ceil(scaled.as_float()) : std::floor(scaled.as_float());
  const std::optional<int64_t> i = whole(d);
  if (!i) eval_fail("cannot round ", float_text(d));
  return binary(rt, BinaryOp::kDiv, Value::integer(*i), scale);
}

Value default_value(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "default", {"default_value", "boolean"});
  if (value.is_undefined() || (p.flag(1, false) && !truthy(value))) {
    return p.has(0) ? p[0] : rt.str("");
  }
  return value;
}

Value attr(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "attr", {"name"}, 1);
  require_defined(value);
  Value found = builtin_attribute(rt, value, p.text(0));
  return found.is_missing() ? rt.undefined(cat("'", type_name(value), " object' has no attribute ",
                                               quoted(p.text(0))))
                            : found;
}

// The depth of an iterator that holds on to a value and to arguments.
uint32_t depth_of(const Value& value, const Args& args) {
  uint32_t depth = value.depth();
  for (const Value& v : args.positional) depth = std::max(depth, v.depth());
  for (const auto& [name, v] : args.named) depth = std::max(depth, v.depth());
  return depth + 1;
}

Value map(Runtime& rt, const Value& value, const Args& args) {
  if (!truthy(value)) return rt.iterator("generator", 0, [](Value&) { return false; });
  auto cursor = std::make_shared<Cursor>(rt, value);
  const uint32_t depth = depth_of(value, args);
  if (args.positional.empty()) {
    const Params p(args, "map", {"attribute", "default"});
    if (!p.has(0)) eval_fail("map requires a filter argument");
    const Value path = p[0];
    const Value absent = p.has(1) ? p[1] : Value::none();
    return rt.iterator("generator", depth, [&rt, cursor, path, absent](Value& out) {
      if (!cursor->next(out)) return false;
      out = attribute_path(rt, out, path, absent);
      return true;
    });
  }
  if (!args.positional[0].is_string()) eval_fail("map: the name of the filter must be a string");
  Args rest = args;
  const Value name = args.positional[0];
  rest.positional.erase(rest.positional.begin());
  return rt.iterator("generator", depth, [&rt, cursor, name, rest = std::move(rest)](Value& out) {
    if (!cursor->next(out)) return false;
    out = call_filter(rt, text_of(name), out, rest);
    return true;
  });
}

// select, reject, selectattr and rejectattr.
template <bool kKeep, bool kAttribute>
Value chosen(Runtime& rt, const Value& value, const Args& args) {
  if (!truthy(value)) return rt.iterator("generator", 0, [](Value&) { return false; });
  constexpr size_t kSkip = kAttribute ? 1 : 0;
  if (args.positional.size() < kSkip) eval_fail("Missing parameter for attribute name");
  const Value path = kAttribute ? args.positional[0] : Value::none();
  Value test;  // missing: the truth of the value
  Args rest;
  if (args.positional.size() > kSkip) {
    test = args.positional[kSkip];
    if (!test.is_string()) eval_fail("the name of the test must be a string");
    rest.positional.assign(args.positional.begin() + kSkip + 1, args.positional.end());
    rest.named = args.named;
  }
  auto cursor = std::make_shared<Cursor>(rt, value);
  return rt.iterator("generator", depth_of(value, args),
                     [&rt, cursor, path, test, rest = std::move(rest)](Value& out) {
                       while (cursor->next(out)) {
                         const Value v = attribute_path(rt, out, path, Value::none());
                         const bool holds =
                             test.is_missing() ? truthy(v) : call_test(rt, text_of(test), v, rest);
                         if (holds == kKeep) return true;
                       }
                       return false;
                     });
}

constexpr Filter kNumberFilters[] = {
    {"abs", absolute}, {"float", to_float}, {"int", to_int}, {"round", round}};

constexpr Filter kFunctionalFilters[] = {
    {"attr", attr},
    {"d", default_value},
    {"default", default_value},
    {"map", map},
    {"reject", chosen<false, false>},
    {"rejectattr", chosen<false, true>},
    {"select", chosen<true, false>},
    {"selectattr", chosen<true, true>},
};

}  // namespace

std::span<const Filter> number_filters() {
  return kNumberFilters;
}
std::span<const Filter> functional_filters() {
  return kFunctionalFilters;
}

Native find_filter(std::string_view name) {
  for (const auto& table :
       {text_filters(), sequence_filters(), functional_filters(), number_filters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return filter.apply;
    }
  }
  return nullptr;
}

Value call_filter(Runtime& rt, std::string_view name, const Value& value, const Args& args) {
  rt.spend(1);
  const Native filter = find_filter(name);
  if (!filter) eval_fail("No filter named '", printable(name, 60), "'.");
  return filter(rt, value, args);
}

bool call_test(Runtime& rt, std::string_view name, const Value& value, const Args& args) {
  rt.spend(1);
  for (const Test& test : tests()) {
    if (test.name == name) return test.holds(rt, value, args);
  }
  eval_fail("No test named '", printable(name, 60), "'.");
}

}  // namespace axk1::jinja
