#include "server/api_error.h"

#include <new>

#include "base/utf8.h"

namespace axk1 {
namespace {

const char* openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::value(utf8_lossy(text));
}

}  // namespace

ApiError api_error_of(const std::exception& error) {
  if (const auto* api = dynamic_cast<const ApiError*>(&error)) return *api;
  if (dynamic_cast<const std::bad_alloc*>(&error)) {
    return {503, "out_of_memory", "not enough memory for this request", {.retry_after_seconds = 1}};
  }
  const auto* known = dynamic_cast<const Error*>(&error);
  if (!known) return {500, "internal_error", "the server failed to answer this request"};
  const auto* field = dynamic_cast<const json::FieldError*>(&error);
  ApiError::Details details{.param = field ? field->field() : ""};
  switch (known->code()) {
    case ErrorCode::kInvalidInput:
    case ErrorCode::kUsage:
      return {400, "invalid_value", known->what(), details};
    case ErrorCode::kUnsupported:
      return {400, "unsupported_value", known->what(), details};
    case ErrorCode::kNotFound:
      return {400, "not_available", known->what(), details};
    case ErrorCode::kOutOfMemory:
      return {503, "out_of_memory", known->what(), {.retry_after_seconds = 1}};
    case ErrorCode::kIo:
      break;
  }
  return {500, "internal_error", "the server failed to answer this request"};
}

json::object openai_error(const ApiError& error) {
  json::object inner;
  inner["message"] = utf8_lossy(error.what());
  inner["type"] = openai_type(error.status());
  inner["param"] = text_or_null(error.param());
  inner["code"] = text_or_null(error.api_code());
  json::object out;
  out["error"] = std::move(inner);
  return out;
}

json::object anthropic_error(const ApiError& error, const std::string& request_id) {
  json::object inner;
  inner["type"] = anthropic_type(error.status());
  inner["message"] = utf8_lossy(error.what());
  json::object out;
  out["type"] = "error";
  out["error"] = std::move(inner);
  out["request_id"] = text_or_null(request_id);
  return out;
}

int anthropic_status(const ApiError& error) {
  return error.status() == 503 ? 529 : error.status();
}

}  // namespace axk1
