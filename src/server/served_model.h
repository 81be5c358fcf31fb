// What the server needs to know of the model it serves: names, texts, limits; no weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chat/template.h"
#include "engine/generate.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {

class ConstraintCache;

// Constant while the server runs; any thread.
struct ServedModel {
  std::vector<std::string> names;        // what requests may call it; answers use the first
  const Tokenizer* tokenizer = nullptr;  // null: token ids only
  const ChatTemplate* chat_template = nullptr;
  size_t vocab_size = 0;
  std::string tokenizer_hash;  // by which a student knows its teacher's tokenizer; may be empty
  size_t context_length = 0;
  std::shared_ptr<ConstraintCache> constraints;  // null without tokenizer
  GenerateOptions defaults;                      // for what a request leaves open
  int64_t created = 0;                           // seconds since 1970

  // Throw ApiError(400) when the model has none.
  const Tokenizer& require_tokenizer() const;
  const ChatTemplate& require_chat_template() const;
};

// What is the same for every request of a server.
struct ApiLimits {
  int max_choices = 128;   // n, and the prompts of one request
  int max_logprobs = 128;  // alternatives per token
};

// What a request is translated with.
struct RequestScope {
  const ServedModel* model = nullptr;
  ApiLimits limits;
  std::string tenant;
  std::string id;     // unique: ids of answers are made of it
  int64_t now = 0;    // seconds since 1970
  uint64_t seed = 0;  // for requests without one
};

// Throws ApiError(404, "model_not_found") when the request names another model. A request that
// names none means this one.
void check_model_name(const json::ObjectReader& reader, const ServedModel& model);

// What there is of an answer that is to be continued; no text: it was still thinking.
struct BegunAnswer {
  std::string reasoning, text;
};

struct RenderedPrompt {
  std::vector<TokenId> ids;
  bool opens_thinking = false;  // it ends inside the reasoning
};

// A conversation through the chat template: its text, and the tokens of that.
std::string render_text(const ServedModel& model, const json::object& variables);
//
// With `begun` the answer goes on after it, as the model wrote it: behind the prompt, inside the
// reasoning when the prompt opens that.
RenderedPrompt render_prompt(const ServedModel& model, const json::object& variables,
                             const BegunAnswer& begun = {});

// Throws ApiError(400, "context_length_exceeded") when the prompt leaves no room for a token.
void check_prompt_length(const ServedModel& model, size_t num_tokens);

}  // namespace axk1
