// AXK1_CHECK(condition): aborts with file and line when the program itself is wrong. Never for
// anything that bytes, flags, files or the machine can cause: that is an Error (base/error.h).
#pragma once

namespace axk1 {

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace axk1

#define AXK1_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::axk1::check_failed(__FILE__, __LINE__, #condition))
