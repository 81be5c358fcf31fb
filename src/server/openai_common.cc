#include "server/openai_common.h"

namespace axk1 {

json::object usage_json(const UsageTotals& totals) {
  json::object out;
  out["prompt_tokens"] = totals.prompt_tokens;
  out["completion_tokens"] = totals.completion_tokens;
  out["total_tokens"] = totals.prompt_tokens + totals.completion_tokens;
  out["prompt_tokens_details"] = json::object{{"cached_tokens", totals.cached_tokens}};
  json::object details{{"reasoning_tokens", totals.reasoning_tokens}};
  if (totals.draft_tokens > 0) {
    details["accepted_prediction_tokens"] = totals.accepted_tokens;
    details["rejected_prediction_tokens"] = totals.draft_tokens - totals.accepted_tokens;
  }
  out["completion_tokens_details"] = std::move(details);
  return out;
}

StreamFields read_stream_fields(const json::ObjectReader& reader) {
  StreamFields out;
  out.stream = reader.bool_or("stream", false);
  if (const json::value* options = reader.find("stream_options")) {
    const json::ObjectReader inner(*options, cat(reader.source(), ": stream_options"));
    if (!out.stream) reader.refuse("stream_options", "needs stream: true");
    out.include_usage = inner.bool_or("include_usage", false);
  }
  return out;
}

}  // namespace axk1
