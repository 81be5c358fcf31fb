// What the OpenAI endpoints share.
#pragma once

#include "engine/completion_service.h"
#include "io/json.h"

namespace axk1 {

// Sums over the choices of a request: prompts count once per prompt.
struct UsageTotals {
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;
  size_t completion_tokens = 0;
  size_t reasoning_tokens = 0;
  size_t draft_tokens = 0;
  size_t accepted_tokens = 0;
};

// OpenAI's usage object with prompt_tokens_details and completion_tokens_details.
json::object usage_json(const UsageTotals& totals);

struct StreamFields {
  bool stream = false;
  bool include_usage = false;
};

// `stream` and `stream_options`.
StreamFields read_stream_fields(const json::ObjectReader& reader);

}  // namespace axk1
