// Methods of the built-in types other than str, and the dispatch of attribute access.
#include <algorithm>
#include <cmath>

#include "chat/jinja_methods.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

Value dict_get(Runtime&, const Value& self, const Args& args) {
  const Params p(args, "get", {"key", "default"}, 1);
  if (const Value* found = self.as<Dict>().find(p[0])) return *found;
  return p.has(1) ? p[1] : Value::none();
}
Value dict_items(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "items", {});
  return rt.view(self, DictView::Part::kItems);
}
Value dict_keys(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "keys", {});
  return rt.view(self, DictView::Part::kKeys);
}
Value dict_values(Runtime& rt, const Value& self, const Args& args) {
  Params(args, "values", {});
  return rt.view(self, DictView::Part::kValues);
}
Value same(Runtime&, const Value& self, const Args& args) {
  Params(args, "copy", {});
  return self;  // nothing can change it
}

Value sequence_index(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "index", {"value", "start", "stop"}, 1);
  const Values& items = self.as<List>().items;
  const int64_t n = static_cast<int64_t>(items.size());
  auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n); };
  const int64_t stop = clamp(p.integer(2, n));
  for (int64_t i = clamp(p.integer(1, 0)); i < stop; ++i) {
    rt.spend(1);
    if (equal(items[static_cast<size_t>(i)], p[0])) return Value::integer(i);
  }
  eval_fail(repr(rt, p[0]), " is not in ", type_name(self));
}
Value sequence_count(Runtime& rt, const Value& self, const Args& args) {
  const Params p(args, "count", {"value"}, 1);
  int64_t count = 0;
  for (const Value& item : self.as<List>().items) {
    rt.spend(1);
    count += equal(item, p[0]);
  }
  return Value::integer(count);
}

Value bit_length(Runtime&, const Value& self, const Args& args) {
  Params(args, "bit_length", {});
  const int64_t i = self.as_int();
  uint64_t magnitude = i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
  int64_t bits = 0;
  for (; magnitude; magnitude >>= 1) ++bits;
  return Value::integer(bits);
}
Value is_integer(Runtime&, const Value& self, const Args& args) {
  Params(args, "is_integer", {});
  return Value::boolean(std::isfinite(self.as_float()) &&
                        std::trunc(self.as_float()) == self.as_float());
}

Value cycler_next(Runtime&, const Value& self, const Args& args) {
  Params(args, "next", {});
  Cycler& cycler = self.as<Cycler>();
  Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}
Value cycler_reset(Runtime&, const Value& self, const Args& args) {
  Params(args, "reset", {});
  self.as<Cycler>().position = 0;
  return Value::none();
}

constexpr Method kDictMethods[] = {{"copy", same},
                                   {"get", dict_get},
                                   {"items", dict_items},
                                   {"keys", dict_keys},
                                   {"values", dict_values}};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr Method kListMethods[] = {
    {"copy", same}, {"count", sequence_count}, {"index", sequence_index}};
constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr Method kTupleMethods[] = {{"count", sequence_count}, {"index", sequence_index}};
constexpr Method kIntMethods[] = {{"bit_length", bit_length}, {"conjugate", same}};
constexpr Method kFloatMethods[] = {{"conjugate", same}, {"is_integer", is_integer}};
constexpr Method kCyclerMethods[] = {{"next", cycler_next}, {"reset", cycler_reset}};

Value method(Runtime& runtime, std::span<const Method> table, const Value& self,
             std::string_view name) {
  for (const Method& m : table) {
    if (m.name == name) return runtime.function(m.name, m.code, self);
  }
  return {};
}

Value or_refused(Runtime& runtime, Value found, std::span<const std::string_view> changes,
                 const Value& self, std::string_view name) {
  if (!found.is_missing()) return found;
  for (std::string_view change : changes) {
    if (change == name) {
      return runtime.undefined(
          cat("access to attribute '", name, "' of '", type_name(self), "' object is unsafe."));
    }
  }
  return {};
}

Value number_part(const Value& self, std::string_view name) {
  const bool whole = self.is_int();
  if (name == "real") return whole ? Value::integer(self.as_int()) : self;
  if (name == "imag") return whole ? Value::integer(0) : Value::number(0);
  if (whole && name == "numerator") return Value::integer(self.as_int());
  if (whole && name == "denominator") return Value::integer(1);
  return {};
}

Value range_part(const Value& self, std::string_view name) {
  const Range& range = self.as<Range>();
  if (name == "start") return Value::integer(range.start);
  if (name == "stop") return Value::integer(range.stop);
  if (name == "step") return Value::integer(range.step);
  return {};
}

}  // namespace

Value builtin_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kString:
      return method(runtime, string_methods(), object, name);
    case Type::kDict:
      return or_refused(runtime, method(runtime, kDictMethods, object, name), kDictChanges, object,
                        name);
    case Type::kList:
      return or_refused(runtime, method(runtime, kListMethods, object, name), kListChanges, object,
                        name);
    case Type::kTuple: {
      const List& tuple = object.as<List>();
      if (tuple.group && name == "grouper") return tuple.items[0];
      if (tuple.group && name == "list") return tuple.items[1];
      return method(runtime, kTupleMethods, object, name);
    }
    case Type::kBool:
    case Type::kInt: {
      Value part = number_part(object, name);
      return part.is_missing() ? method(runtime, kIntMethods, object, name) : part;
    }
    case Type::kFloat: {
      Value part = number_part(object, name);
      return part.is_missing() ? method(runtime, kFloatMethods, object, name) : part;
    }
    case Type::kRange:
      return range_part(object, name);
    case Type::kNamespace: {
      const Value* found = object.as<Namespace>().find(name);
      return found ? *found : Value();
    }
    case Type::kCycler:
      if (name == "current") return object.as<Cycler>().items[object.as<Cycler>().position];
      return method(runtime, kCyclerMethods, object, name);
    case Type::kJoiner:
      if (name == "sep") return object.as<Joiner>().separator;
      if (name == "used") return Value::boolean(object.as<Joiner>().used);
      return {};
    case Type::kLoop:
    case Type::kMacro:
      return runtime.object_attribute(object, name);
    case Type::kUndefined:
      require_defined(object);
      return {};
    default:
      return {};
  }
}

}  // namespace axk1::jinja
