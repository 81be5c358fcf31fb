#include "io/errno_error.h"

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace axk1 {

void fail_errno(const std::string& path, const char* what) {
  const int error = errno;
  fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path, ": cannot ", what, ": ",
       std::strerror(error));
}

}  // namespace axk1
