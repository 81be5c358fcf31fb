// deps: server tokenizer chat io
// The body of a request, behind a byte that picks the API: any bytes are an Error or inputs for the
// engine, and what those answer is JSON.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "server/anthropic_messages.h"
#include "server/constraint_cache.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openai_responses.h"
#include "server/text_endpoints.h"
#include "tokenizer/tokenizer_spec.h"

namespace {

using namespace axk1;  // NOLINT: a program of its own

// A vocabulary of single bytes, and a template that shows what it gets.
struct Model {
  Model()
      : tokenizer(read_tiktoken(ranks(), "bytes", "gpt2")),
        chat_template(ChatTemplate::from_source(
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n"
            "{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}{% endfor %}"
            "{% if tools %}{{ tools | tojson }}{% endif %}{% if enable_thinking %}<think>\n{% "
            "endif %}",
            "fuzz")) {
    served.names = {"m"};
    served.tokenizer = &tokenizer;
    served.chat_template = &chat_template;
    served.vocab_size = 256;
    served.context_length = 1 << 16;
    served.constraints = std::make_shared<ConstraintCache>(
        std::make_shared<GrammarVocabulary>(tokenizer, std::vector<TokenId>{0}));
  }

  static std::string ranks() {
    constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (int byte = 0; byte < 256; ++byte) {
      out += {kBase64[byte >> 2], kBase64[(byte & 3) << 4], '=', '='};
      out += cat(' ', byte, '\n');
    }
    return out;
  }

  Tokenizer tokenizer;
  ChatTemplate chat_template;
  ServedModel served;
};

void answer(PreparedRequest& request) {
  AXK1_CHECK(!request.inputs.empty());
  std::string out;
  if (request.stream) request.writer->begin(out);
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    AXK1_CHECK(!request.inputs[i].prompt.empty());
    CompletionDelta delta;
    delta.text = "</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    delta.ids = {65, 66};
    request.writer->push(i, std::move(delta), out);
    CompletionDelta last;
    last.finish_reason = FinishReason::kLength;
    request.writer->push(i, std::move(last), out);
  }
  if (request.stream) {
    request.writer->end(out);
    AXK1_CHECK(is_valid_utf8(out));
  } else {
    AXK1_CHECK(is_valid_utf8(json::to_text(request.writer->whole())));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Model model;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const RequestScope scope{.model = &model.served, .id = "fuzz"};
  using Prepare = PreparedRequest(const json::value&, const RequestScope&);
  constexpr Prepare* kPrepare[] = {prepare_chat, prepare_completions, prepare_responses,
                                   prepare_messages, prepare_score};
  using Endpoint = json::object(const json::value&, const ServedModel&);
  constexpr Endpoint* kEndpoints[] = {tokenize, detokenize, apply_template, count_message_tokens};
  try {
    const json::value request = json::parse(body, "request");
    const size_t api = data[0] % (std::size(kPrepare) + std::size(kEndpoints));
    if (api < std::size(kPrepare)) {
      PreparedRequest prepared = kPrepare[api](request, scope);
      answer(prepared);
    } else {
      json::to_text(kEndpoints[api - std::size(kPrepare)](request, model.served));
    }
  } catch (const Error& error) {
    AXK1_CHECK(is_valid_utf8(json::to_text(openai_error(api_error_of(error)))));
  }
  return 0;
}
