#include "server/openai_common.h"

#include "server/sse.h"

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

CompletionWriter::CompletionWriter(const RequestScope& scope, const char* id_prefix,
                                   const char* chunk_object, const StreamFields& stream)
    : model_(*scope.model),
      id_(cat(id_prefix, scope.id)),
      stream_(stream),
      created_(scope.now),
      chunk_object_(chunk_object) {}

json::object CompletionWriter::head(const char* object) const {
  json::object out;
  out["id"] = id_;
  out["object"] = object;
  out["created"] = created_;
  out["model"] = model_.names.front();
  return out;
}

void CompletionWriter::append_chunk(json::object choice, std::string& out) const {
  json::object chunk = head(chunk_object_);
  chunk["choices"] = json::array{std::move(choice)};
  if (stream_.include_usage) chunk["usage"] = nullptr;
  append_event(out, chunk);
}

void CompletionWriter::end(std::string& out) {
  if (stream_.include_usage) {
    json::object chunk = head(chunk_object_);
    chunk["choices"] = json::array();
    chunk["usage"] = usage_json(totals());
    append_event(out, chunk);
  }
  append_done(out);
}

void CompletionWriter::fail(const ApiError& error, std::string& out) {
  append_event(out, openai_error(error));
  append_done(out);
}

void CompletionWriter::ping(std::string& out) {
  append_comment(out, "ping");
}

}  // namespace axk1
