// What an API answers instead of a result, and how each API writes it.
#pragma once

#include <exception>
#include <string>

#include "base/error.h"
#include "io/json.h"

namespace axk1 {

// An Error with the HTTP status and the fields that OpenAI's and Anthropic's error objects carry.
class ApiError : public Error {
 public:
  struct Details {
    std::string param;               // the request's field, "" when it is none
    double retry_after_seconds = 0;  // 0: no Retry-After
  };

  ApiError(int status, std::string code, const std::string& message)
      : ApiError(status, std::move(code), message, Details{}) {}
  ApiError(int status, std::string code, const std::string& message, Details details)
      : Error(ErrorCode::kInvalidInput, message),
        status_(status),
        api_code_(std::move(code)),
        details_(std::move(details)) {}

  int status() const { return status_; }
  const std::string& api_code() const { return api_code_; }  // "" when there is none
  const std::string& param() const { return details_.param; }
  double retry_after_seconds() const { return details_.retry_after_seconds; }

 private:
  int status_;
  std::string api_code_;
  Details details_;
};

// What a caught exception means for the client: wrong input is 400 with the field it names, memory
// that is not there 503, anything else 500 without its text.
ApiError api_error_of(const std::exception& error);

// {"error": {"message", "type", "param", "code"}}.
json::object openai_error(const ApiError& error);

// {"type": "error", "error": {"type", "message"}, "request_id"}.
json::object anthropic_error(const ApiError& error, const std::string& request_id);

// The status that Anthropic's clients expect: 529 for an overloaded server.
int anthropic_status(const ApiError& error);

}  // namespace axk1
