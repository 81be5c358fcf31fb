// Building messages, without iostreams or a format library.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace axk1 {

namespace text_detail {
void append(std::string& out, std::string_view part);
void append(std::string& out, char part);
void append(std::string& out, bool part);
void append(std::string& out, int64_t part);
void append(std::string& out, uint64_t part);
void append(std::string& out, double part);  // shortest form that reads back the same

template <class T>
void append_any(std::string& out, const T& part) {
  if constexpr (std::same_as<T, bool> || std::same_as<T, char>) {
    append(out, part);
  } else if constexpr (std::signed_integral<T>) {
    append(out, static_cast<int64_t>(part));
  } else if constexpr (std::unsigned_integral<T>) {
    append(out, static_cast<uint64_t>(part));
  } else if constexpr (std::floating_point<T>) {
    append(out, static_cast<double>(part));
  } else {
    append(out, std::string_view(part));
  }
}
}  // namespace text_detail

// The parts (strings, characters, numbers, bools) one after the other.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (text_detail::append_any(out, parts), ...);
  return out;
}

// 1234567 -> "1,234,567".
std::string with_commas(uint64_t value);

// 1536 -> "1.50 KiB"; below 1 KiB plain bytes.
std::string human_bytes(uint64_t bytes);

// Text from outside made safe to print in one line: control characters and invalid UTF-8 as \xNN,
// cut to max_bytes with "...".
std::string printable(std::string_view untrusted, size_t max_bytes = 120);

// Without ASCII white space at either end.
std::string_view trimmed(std::string_view text);

// &, <, >, ' and " as character references, as Python's markupsafe writes them.
std::string html_escape(std::string_view text);

}  // namespace axk1
