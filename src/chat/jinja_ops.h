// Operators and item access with Python's semantics. All throw EvalError with Python's message.
#pragma once

#include "chat/jinja_runtime.h"

namespace axk1::jinja {

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

Value binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b);
Value negate(Runtime& runtime, const Value& v);
Value positive(const Value& v);
bool compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b);

// a < b of Python, for sorting.
bool less(const Value& a, const Value& b);
// A stable sort by `keys` (one for each value), as sorted() does.
void sort_by(Runtime& runtime, Values& values, const Values& keys, bool reverse);

bool contains(Runtime& runtime, const Value& container, const Value& item);
size_t length_of(Runtime& runtime, const Value& v);  // len()

// obj[key] of the template language: item, else attribute, else undefined.
Value get_item(Runtime& runtime, const Value& object, const Value& key);
// obj.name of the template language: attribute, else item, else undefined.
Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
// obj[start:stop:step]; missing or None for an absent bound.
Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step);

// The attribute of a built-in type (a method bound to the object, mostly); missing when there is
// none. Those that would change a list or dict give an undefined value that says so.
Value builtin_attribute(Runtime& runtime, const Value& object, std::string_view name);

// Throws with the message of v when it is undefined.
void require_defined(const Value& v);

}  // namespace axk1::jinja
