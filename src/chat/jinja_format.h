// Python's two ways of formatting: "%s and %d" % values, and "{} and {:>5}".format(values).
#pragma once

#include "chat/jinja_runtime.h"

namespace axk1::jinja {

// format % values: values is a tuple, a dict for %(name)s, or a single value.
Value format_percent(Runtime& runtime, const Value& format, const Value& values);

// format.format(*args, **kwargs), with the field access rules of the template language.
Value format_braces(Runtime& runtime, const Value& format, const Args& args);

// format(v, spec): the mini-language of PEP 3101 for str, int and float.
std::string format_value(Runtime& runtime, const Value& v, std::string_view spec);

// A float in C's %e, %f or %g with Python's spelling of inf and nan.
std::string fixed_text(double d, char conversion, int precision, bool alternate);

}  // namespace axk1::jinja
