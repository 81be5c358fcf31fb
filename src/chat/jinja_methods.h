// Tables of the methods that values have.
#pragma once

#include <span>
#include <string_view>

#include "chat/jinja_runtime.h"

namespace axk1::jinja {

struct Method {
  std::string_view name;
  Native code;
};

std::span<const Method> string_methods();

// str.replace(old, with, count); all occurrences when count is negative.
Value replace_text(Runtime& runtime, std::string_view text, std::string_view old,
                   std::string_view with, int64_t count);
// str.ljust, center, rjust for align '<', '^', '>'.
Value pad_text(Runtime& runtime, const Value& text, int64_t width, std::string_view fill,
               char align);

}  // namespace axk1::jinja
