// Errors of system calls on files.
#pragma once

#include <string>

namespace axk1 {

// Throws Error "PATH: cannot WHAT: <what errno says>": kNotFound for ENOENT, otherwise kIo.
[[noreturn]] void fail_errno(const std::string& path, const char* what);

}  // namespace axk1
