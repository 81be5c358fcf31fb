// Errors that bad input or the environment cause. A message says what was read, what was found,
// what was expected. Thrown by libraries, caught in main (exit code), request handlers and workers.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "base/text.h"

namespace axk1 {

enum class ErrorCode {
  kInvalidInput,  // bytes, JSON, a template or a request that is wrong in itself
  kUnsupported,   // well-formed, but asks for something we do not compute
  kNotFound,      // a file, tensor or name that is missing
  kIo,            // the operating system refused: open, read, write, map
  kOutOfMemory,   // a reservation that does not fit
  kUsage,         // wrong command line
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Throws Error(code, cat(parts...)).
template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, cat(parts...));
}

}  // namespace axk1
