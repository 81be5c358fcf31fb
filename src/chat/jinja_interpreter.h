// Renders a compiled template.
#pragma once

#include <ctime>
#include <functional>

#include "chat/jinja_ast.h"

namespace axk1::jinja {

// An error of a render, at the place in the template where it happened.
class RenderError : public std::runtime_error {
 public:
  RenderError(Position where, const std::string& message)
      : std::runtime_error(message), at(where) {}
  Position at;
};

// `variables` win over `defaults` of the same name. Throws RenderError. Safe to call from several
// threads at once with the same tree.
std::string render(const Template& tree, const json::object& variables,
                   const json::object& defaults, const std::function<std::tm()>& now);

}  // namespace axk1::jinja
