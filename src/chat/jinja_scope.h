// Decides where every variable of a template lives, by Jinja2's rules (its idtracking): loops,
// macros, blocks and `with` have scopes of their own, `if` has none; a name that a scope assigns
// starts there with the value it has further out; a macro sees the variables around it as they are
// when it is called.
#pragma once

#include "chat/jinja_ast.h"

namespace axk1::jinja {

// Fills in every SlotRef, ScopeInfo and FunctionInfo, and the free names. Throws SyntaxError.
void resolve_scopes(Template& tree);

}  // namespace axk1::jinja
