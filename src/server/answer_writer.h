// From the deltas of completions to an API's JSON, one implementation per API. Pure: no clock, no
// socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/completion_service.h"
#include "io/json.h"
#include "server/api_error.h"

namespace axk1 {

// One request's answer. For one thread at a time. Either streamed (begin, push..., then end or
// fail; each appends server-sent events to `out`) or whole (push..., then whole()).
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  virtual void begin(std::string& out) = 0;
  // `choice` counts from 0 in the order of PreparedRequest::inputs. Not with an error in the delta.
  virtual void push(size_t choice, CompletionDelta&& delta, std::string& out) = 0;
  virtual void end(std::string& out) = 0;
  virtual void fail(const ApiError& error, std::string& out) = 0;
  // What keeps a silent stream open.
  virtual void ping(std::string& out) = 0;

  virtual json::object whole() = 0;
};

// A request, translated: what the engine is to compute and how the answer is written.
struct PreparedRequest {
  std::vector<CompletionInput> inputs;  // at least one
  std::unique_ptr<AnswerWriter> writer;
  bool stream = false;
  size_t prompt_tokens = 0;  // of all inputs, each prompt counted once
};

}  // namespace axk1
