// Tokens to syntax tree, by the grammar of Jinja2 with the loop controls extension and the
// `generation` tag of Hugging Face transformers. Throws SyntaxError; include, import, from and
// extends are refused by name (kUnsupported).
#pragma once

#include <string_view>

#include "chat/jinja_ast.h"

namespace axk1::jinja {

Template parse(std::string_view source);

}  // namespace axk1::jinja
