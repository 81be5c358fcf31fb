// Server-sent events (HTML standard, section 9.2).
#pragma once

#include <string>
#include <string_view>

#include "io/json.h"

namespace axk1 {

inline constexpr const char* kSseContentType = "text/event-stream; charset=utf-8";

// "data: {...}\n\n". JSON text has no line breaks of its own.
void append_event(std::string& out, const json::object& data);
// "event: name\ndata: {...}\n\n".
void append_event(std::string& out, std::string_view name, const json::object& data);
// The mark that OpenAI's clients wait for.
void append_done(std::string& out);
// A comment, which clients ignore and proxies count as life.
void append_comment(std::string& out, std::string_view text);

}  // namespace axk1
