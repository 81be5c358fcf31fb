// The tests of Jinja2: what stands behind `is`.
#include "chat/jinja_builtins.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

template <bool (*kHolds)(const Value&)>
bool plain(Runtime&, const Value& v, const Args& args) {
  Params(args, "test", {});
  return kHolds(v);
}

bool is_defined(const Value& v) {
  return !v.is_undefined();
}
bool is_undefined(const Value& v) {
  return v.is_undefined();
}
bool is_none(const Value& v) {
  return v.is_none();
}
bool is_boolean(const Value& v) {
  return v.is(Type::kBool);
}
bool is_true(const Value& v) {
  return v.is(Type::kBool) && v.as_bool();
}
bool is_false(const Value& v) {
  return v.is(Type::kBool) && !v.as_bool();
}
bool is_integer(const Value& v) {
  return v.is(Type::kInt);
}
bool is_float(const Value& v) {
  return v.is(Type::kFloat);
}
bool is_number(const Value& v) {
  return v.is_number();
}
bool is_string(const Value& v) {
  return v.is_string();
}
bool is_mapping(const Value& v) {
  return v.is(Type::kDict);
}
bool is_escaped(const Value& v) {
  return v.is_string() && v.as<Str>().markup;
}
bool is_callable(const Value& v) {
  return v.is(Type::kFunction) || v.is(Type::kMacro) || v.is(Type::kLoop) || v.is(Type::kJoiner) ||
         v.is_undefined();
}
bool is_sequence(const Value& v) {
  return v.is_string() || v.is_sequence() || v.is(Type::kDict) || v.is(Type::kRange) ||
         v.is_undefined();
}
bool is_iterable(const Value& v) {
  return is_sequence(v) || v.is(Type::kDictView) || v.is(Type::kIterator) || v.is(Type::kLoop);
}

bool odd(Runtime& rt, const Value& v, const Args& args) {
  Params(args, "odd", {});
  return equal(binary(rt, BinaryOp::kMod, v, Value::integer(2)), Value::integer(1));
}
bool even(Runtime& rt, const Value& v, const Args& args) {
  Params(args, "even", {});
  return equal(binary(rt, BinaryOp::kMod, v, Value::integer(2)), Value::integer(0));
}
bool divisibleby(Runtime& rt, const Value& v, const Args& args) {
  const Params p(args, "divisibleby", {"num"}, 1);
  return equal(binary(rt, BinaryOp::kMod, v, p[0]), Value::integer(0));
}

// islower and isupper of str(v): a cased character, and none of the other case.
template <bool (*kWanted)(char32_t), bool (*kOther)(char32_t)>
bool cased(Runtime&, const Value& v, const Args& args) {
  Params(args, "test", {});
  if (!v.is_string()) return false;
  const std::string& text = text_of(v);
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (kOther(c)) return false;
    any = any || kWanted(c);
  }
  return any;
}

template <CompareOp kOp>
bool compared(Runtime& rt, const Value& v, const Args& args) {
  const Params p(args, "test", {"other"}, 1);
  return compare(rt, kOp, v, p[0]);
}

bool sameas(Runtime&, const Value& v, const Args& args) {
  const Params p(args, "sameas", {"other"}, 1);
  if (v.type() != p[0].type()) return false;
  return v.object() && !v.is_string() ? v.object() == p[0].object() : equal(v, p[0]);
}

bool names_filter(Runtime&, const Value& v, const Args& args) {
  Params(args, "filter", {});
  return v.is_string() && find_filter(text_of(v)) != nullptr;
}
bool names_test(Runtime&, const Value& v, const Args& args) {
  Params(args, "test", {});
  if (!v.is_string()) return false;
  for (const Test& test : tests()) {
    if (test.name == text_of(v)) return true;
  }
  return false;
}

constexpr Test kTests[] = {
    {"!=", compared<CompareOp::kNe>},
    {"<", compared<CompareOp::kLt>},
    {"<=", compared<CompareOp::kLe>},
    {"==", compared<CompareOp::kEq>},
    {">", compared<CompareOp::kGt>},
    {">=", compared<CompareOp::kGe>},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", divisibleby},
    {"eq", compared<CompareOp::kEq>},
    {"equalto", compared<CompareOp::kEq>},
    {"escaped", plain<is_escaped>},
    {"even", even},
    {"false", plain<is_false>},
    {"filter", names_filter},
    {"float", plain<is_float>},
    {"ge", compared<CompareOp::kGe>},
    {"greaterthan", compared<CompareOp::kGt>},
    {"gt", compared<CompareOp::kGt>},
    {"in", compared<CompareOp::kIn>},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", compared<CompareOp::kLe>},
    {"lessthan", compared<CompareOp::kLt>},
    {"lower", cased<is_lower, is_upper>},
    {"lt", compared<CompareOp::kLt>},
    {"mapping", plain<is_mapping>},
    {"ne", compared<CompareOp::kNe>},
    {"none", plain<is_none>},
    {"number", plain<is_number>},
    {"odd", odd},
    {"sameas", sameas},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_string>},
    {"test", names_test},
    {"true", plain<is_true>},
    {"undefined", plain<is_undefined>},
    {"upper", cased<is_upper, is_lower>},
};

}  // namespace

std::span<const Test> tests() {
  return kTests;
}

}  // namespace axk1::jinja
