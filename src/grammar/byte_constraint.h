// Constraints that can be told bytes instead of tokens: those of this folder, to each other.
#pragma once

#include <memory>
#include <string_view>

#include "grammar/token_constraint.h"

namespace axk1 {

class ByteConstraint : public TokenConstraint {
 public:
  // Takes bytes as if tokens had brought them. False, and nothing changes, when they are not
  // allowed.
  virtual bool push_bytes(std::string_view bytes) = 0;
};

}  // namespace axk1
