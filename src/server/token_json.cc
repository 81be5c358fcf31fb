#include "server/token_json.h"

#include <algorithm>

#include "base/utf8.h"

namespace axk1 {

double finite_logprob(float logprob) {
  return std::max(double{logprob}, -9999.0);
}

std::string token_text(const Tokenizer& tokenizer, TokenId id) {
  return utf8_lossy(tokenizer.token_bytes(id));
}

json::object token_json(const Tokenizer* tokenizer, const TokenLogprob& token) {
  json::object out;
  out["id"] = token.id;
  if (tokenizer) {
    const std::string_view bytes = tokenizer->token_bytes(token.id);
    out["token"] = utf8_lossy(bytes);
    json::array list;
    list.reserve(bytes.size());
    for (const char byte : bytes) list.push_back(int64_t{static_cast<unsigned char>(byte)});
    out["bytes"] = std::move(list);
  }
  out["logprob"] = finite_logprob(token.logprob);
  return out;
}

json::object step_json(const Tokenizer* tokenizer, const StepLogprobs& step) {
  json::object out = token_json(tokenizer, step.chosen);
  json::array top;
  top.reserve(step.top.size());
  for (const TokenLogprob& other : step.top) top.push_back(token_json(tokenizer, other));
  out["top_logprobs"] = std::move(top);
  return out;
}

json::array steps_json(const Tokenizer* tokenizer, std::span<const StepLogprobs> steps) {
  json::array out;
  out.reserve(steps.size());
  for (const StepLogprobs& step : steps) out.push_back(step_json(tokenizer, step));
  return out;
}

}  // namespace axk1
