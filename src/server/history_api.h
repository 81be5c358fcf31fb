// The history over HTTP, without HTTP: what GET /api/conversations and so on mean. The paths and
// the JSON are described in docs/web.md.
#pragma once

#include <string>
#include <string_view>

#include "server/history.h"

namespace axk1 {

struct HistoryRequest {
  std::string_view method;  // "GET", ...
  std::string_view path;    // decoded, "/api/..."
  std::string_view query;   // what follows "?", as it came
  std::string_view tenant;
  std::string_view body;
};

struct HistoryResponse {
  int status = 200;
  std::string body;      // JSON; empty with 204
  std::string filename;  // not empty: to be saved under this name
};

// Answers every request; what is wrong with it, or with the file, is in the response, in the form
// of the OpenAI API's errors. Any thread; blocks on the disk.
HistoryResponse answer_history(History& history, const HistoryRequest& request);

}  // namespace axk1
