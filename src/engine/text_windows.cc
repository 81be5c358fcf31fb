#include "engine/text_windows.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr size_t kMaxLogits = size_t{4} << 20;  // of one slice: 16 MiB

}  // namespace

TextTokens tokens_of_text(const Engine& engine, std::string_view text, bool begin_token) {
  const Tokenizer& tokenizer = engine.require_tokenizer();
  TextTokens tokens;
  tokens.ids = tokenizer.encode(text, {.parse_special = false});
  tokens.bytes = text.size();
  tokens.used_begin_token = begin_token && engine.config().bos_token_id.has_value();
  if (tokens.used_begin_token) {
    tokens.ids.insert(tokens.ids.begin(), *engine.config().bos_token_id);
  } else if (!tokens.ids.empty()) {
    tokens.bytes -= std::min(tokens.bytes, tokenizer.token_bytes(tokens.ids[0]).size());
  }
  if (tokens.ids.size() < 2) fail(ErrorCode::kInvalidInput, "the text has no token to predict");
  for (const TokenId id : tokens.ids) {
    if (id < 0 || static_cast<size_t>(id) >= engine.vocab_size()) {
      fail(ErrorCode::kInvalidInput, "the tokenizer gives id ", id, ", outside the vocabulary of ",
           engine.vocab_size());
    }
  }
  return tokens;
}

std::vector<TextWindow> text_windows(size_t length, size_t context, size_t stride) {
  AXK1_CHECK(stride >= 1 && stride <= context);
  std::vector<TextWindow> windows;
  for (size_t target = 1; target < length; target += stride) {
    const size_t end = std::min(length, target + stride);
    const size_t last_input_end = end - 1;
    const size_t first_input = last_input_end > context ? last_input_end - context : 0;
    windows.push_back({first_input, target, end - target});
  }
  return windows;
}

std::vector<TextWindow> text_windows(std::span<Engine* const> engines, size_t length,
                                     const TextOptions& options) {
  AXK1_CHECK(!engines.empty());
  const Engine& shortest =
      **std::ranges::min_element(engines, {}, [](const Engine* e) { return e->context_length(); });
  const size_t context = options.context ? options.context : shortest.context_length();
  const size_t stride = options.stride ? options.stride : context;
  if (context > shortest.context_length()) {
    fail(ErrorCode::kInvalidInput, "context: found ", context, ", expected at most ",
         shortest.context_length(), ", the context length of ", shortest.name());
  }
  if (stride > context) {
    fail(ErrorCode::kInvalidInput, "stride: found ", stride, ", expected at most the context of ",
         context);
  }
  return text_windows(length, context, stride);
}

bool predict_text(std::span<Engine* const> engines, std::span<const TokenId> ids,
                  std::span<const TextWindow> windows, const PredictionVisitor& visit) {
  AXK1_CHECK(!engines.empty());
  const size_t vocab = engines[0]->vocab_size();
  size_t chunk = engines[0]->forward().options().max_batch_tokens;
  size_t longest = 0;
  for (const TextWindow& w : windows) longest = std::max(longest, w.input_end() - w.first_input);
  std::vector<KvCache> caches;
  for (Engine* engine : engines) {
    AXK1_CHECK(engine->vocab_size() == vocab);
    chunk = std::min(chunk, engine->forward().options().max_batch_tokens);
    caches.emplace_back(engine->config(), engine->forward().cache_dtype());
    caches.back().reserve(longest);
  }
  const size_t slice = std::max(size_t{1}, kMaxLogits / vocab);
  std::vector<const float*> logits(engines.size());
  for (const TextWindow& window : windows) {
    for (KvCache& cache : caches) cache.truncate(0);
    for (size_t begin = window.first_input; begin < window.input_end();) {
      const size_t count = std::min(window.input_end() - begin, chunk);
      // Row i of the run predicts token begin + i + 1.
      const size_t first_row =
          std::min(count, window.first_target - 1 - std::min(begin, window.first_target - 1));
      for (size_t e = 0; e < engines.size(); ++e) {
        const SequenceInput input{.tokens = ids.subspan(begin, count),
                                  .cache = &caches[e],
                                  .all_logits = first_row < count};
        engines[e]->forward().run({&input, 1});
      }
      for (size_t row = first_row; row < count;) {
        const size_t rows = std::min(slice, count - row);
        for (size_t e = 0; e < engines.size(); ++e) {
          logits[e] = engines[e]->forward().logits(row, rows).data();
        }
        if (!visit(begin + row + 1, rows, logits)) return false;
        row += rows;
      }
      begin += count;
    }
  }
  return true;
}

}  // namespace axk1
