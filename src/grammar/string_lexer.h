// The inside of a JSON string: bytes to characters.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>

namespace axk1 {

// RFC 8259 section 7, behind the opening quote. Surrogate escapes come in pairs only, so that every
// string is Unicode text.
class StringLexer {
 public:
  enum class Result : uint8_t {
    kReject,
    kMore,   // inside a character
    kChar,   // a character is complete
    kClose,  // the closing quote
  };
  struct Range {
    uint32_t lo, hi;  // code points, both included
  };
  using Ranges = boost::container::static_vector<Range, 3>;

  // After kReject and kClose the lexer is of no use.
  Result push(uint8_t byte, uint32_t& code_point);
  bool plain() const { return state_ == State::kPlain; }  // between characters
  // The characters that can come next, or that the bytes so far can still become.
  Ranges possible() const;

 private:
  enum class State : uint8_t { kPlain, kEscape, kHex, kLowBackslash, kLowU, kLowHex, kUtf8 };

  State state_ = State::kPlain;
  uint8_t count_ = 0;   // hexadecimal digits or continuation bytes to come
  uint32_t value_ = 0;  // read so far
  uint32_t least_ = 0;  // UTF-8: the smallest code point of this many bytes
  uint32_t high_ = 0;   // the high surrogate
};

}  // namespace axk1
