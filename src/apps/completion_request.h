// A request for one answer as a JSON object, fields named as in the OpenAI API.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "io/json.h"

namespace axk1 {

// Exactly one of:
//   prompt       text, used as it is: special tokens in it are recognised, and what the tokenizer
//                itself puts around a text is added
//   prompt_ids   token ids
//   messages     a conversation for the model's chat template, with `tools`, `enable_thinking` and
//                any other template variable in `chat_template_kwargs`
struct CompletionRequest {
  std::optional<std::string> prompt;
  std::optional<std::vector<TokenId>> prompt_ids;
  std::optional<json::object> template_variables;
  GenerateOptions generate;
};

// Reads, besides the above, the fields of server/sampling_fields.h; what is absent or null comes
// from `defaults`. Fields of the OpenAI API and of vLLM that would change the answer and are not
// computed for lines of a file (response_format, n, ...) are refused by name; other fields are
// ignored. Throws Error naming `source`, field, what was found and what was expected.
CompletionRequest parse_completion_request(const json::value& request, const std::string& source,
                                           const GenerateOptions& defaults);

// The prompt as ids. `rendered` gets the text of a chat prompt, else "".
std::vector<TokenId> prompt_tokens(const Engine& engine, const CompletionRequest& request,
                                   std::string* rendered);

// The answer as a JSON object: `text` (for `messages` without the reasoning), `reasoning` (for
// `messages`; "" without), `ids` (with the end token), `finish_reason` ("stop" | "length"), `usage`
// {prompt_tokens, completion_tokens, total_tokens}, `seed`, and when asked for `logprobs`
// {content: [{id, token, logprob, bytes, top_logprobs: [{id, token, logprob, bytes}]}]}.
// Computed in a session of its own, so that an answer depends on nothing but its request.
json::object complete(Engine& engine, const CompletionRequest& request);

}  // namespace axk1
