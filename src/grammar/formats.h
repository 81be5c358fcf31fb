// The values of the keyword `format` that are asserted.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "grammar/schema_node.h"

namespace axk1 {

// The strings of the format, or of a part of it where the whole cannot be told by an automaton (see
// docs/structured-output.md); nothing for a format that is not known.
std::optional<StringRule> string_rule_of_format(std::string_view format);

}  // namespace axk1
