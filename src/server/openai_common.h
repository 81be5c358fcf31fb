// What the OpenAI endpoints share.
#pragma once

#include <string>

#include "engine/completion_service.h"
#include "io/json.h"
#include "server/answer_writer.h"
#include "server/served_model.h"

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

// How chat and text completions begin every object and end a stream.
class CompletionWriter : public AnswerWriter {
 public:
  void end(std::string& out) override;
  void fail(const ApiError& error, std::string& out) override;
  void ping(std::string& out) override;

 protected:
  // `chunk_object` is what a chunk of a stream is called.
  CompletionWriter(const RequestScope& scope, const char* id_prefix, const char* chunk_object,
                   const StreamFields& stream);

  json::object head(const char* object) const;  // id, object, created, model
  // A chunk with this one choice.
  void append_chunk(json::object choice, std::string& out) const;
  virtual UsageTotals totals() const = 0;

  const ServedModel& model_;
  const std::string id_;
  const StreamFields stream_;

 private:
  const int64_t created_;
  const char* const chunk_object_;
};

}  // namespace axk1
