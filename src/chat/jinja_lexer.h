// Template source to tokens, as Jinja2's lexer does it with trim_blocks and lstrip_blocks on, the
// settings under which Hugging Face transformers runs chat templates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace axk1::jinja {

struct Position {
  uint32_t line = 1;    // 1-based
  uint32_t column = 1;  // 1-based, in code points
};

// An error in the source of a template, before the template's name is known.
class SyntaxError : public std::runtime_error {
 public:
  SyntaxError(Position where, const std::string& message, ErrorCode what = ErrorCode::kInvalidInput)
      : std::runtime_error(message), at(where), code(what) {}
  Position at;
  ErrorCode code;
};

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEof,
};

struct Token {
  TokenType type = TokenType::kEof;
  Position at;
  std::string text;  // data; name; the value of a string; the operator
  int64_t integer = 0;
  double number = 0;

  bool is_operator(std::string_view op) const { return type == TokenType::kOperator && text == op; }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

// All tokens, the last of them kEof. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source);

// What the token is, for messages.
std::string describe(const Token& token);

}  // namespace axk1::jinja
