#include "apps/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr size_t kMaxLogits = size_t{4} << 20;  // of one slice: 16 MiB

}  // namespace

double PerplexityResult::nats_per_token() const {
  return nats / static_cast<double>(tokens);
}

double PerplexityResult::bits_per_byte() const {
  return nats / std::numbers::ln2 / static_cast<double>(bytes);
}

std::vector<PerplexityWindow> perplexity_windows(size_t length, size_t context, size_t stride) {
  AXK1_CHECK(stride >= 1 && stride <= context);
  std::vector<PerplexityWindow> windows;
  for (size_t target = 1; target < length; target += stride) {
    const size_t end = std::min(length, target + stride);
    const size_t last_input_end = end - 1;
    const size_t first_input = last_input_end > context ? last_input_end - context : 0;
    windows.push_back({first_input, target, end - target});
  }
  return windows;
}

void negative_log_likelihoods(ThreadPool& pool, std::span<const float> logits,
                              std::span<const TokenId> targets, std::span<double> nats) {
  AXK1_CHECK(targets.size() == nats.size());
  if (targets.empty()) return;
  const size_t vocab = logits.size() / targets.size();
  AXK1_CHECK(vocab * targets.size() == logits.size());
  pool.parallel_for(targets.size(), 1, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const std::span<const float> x = logits.subspan(row * vocab, vocab);
      const double max = *std::max_element(x.begin(), x.end());
      double sum = 0;
      for (const float logit : x) sum += std::exp(logit - max);
      nats[row] = max + std::log(sum) - x[static_cast<size_t>(targets[row])];
    }
  });
}

PerplexityResult perplexity(Engine& engine, std::string_view text, const PerplexityOptions& options,
                            const std::function<void(size_t done, size_t total)>& progress) {
  const size_t context = options.context ? options.context : engine.context_length();
  const size_t stride = options.stride ? options.stride : context;
  if (context > engine.context_length()) {
    fail(ErrorCode::kInvalidInput, "context: found ", context, ", expected at most ",
         engine.context_length(), ", the context length of ", engine.name());
  }
  if (stride > context) {
    fail(ErrorCode::kInvalidInput, "stride: found ", stride, ", expected at most the context of ",
         context);
  }

  const Tokenizer& tokenizer = engine.require_tokenizer();
  std::vector<TokenId> ids = tokenizer.encode(text, {.parse_special = false});
  PerplexityResult result;
  result.bytes = text.size();
  result.used_begin_token = options.begin_token && engine.config().bos_token_id.has_value();
  if (result.used_begin_token) {
    ids.insert(ids.begin(), *engine.config().bos_token_id);
  } else if (!ids.empty()) {
    result.bytes -= std::min(result.bytes, tokenizer.token_bytes(ids[0]).size());
  }
  if (ids.size() < 2) fail(ErrorCode::kInvalidInput, "the text has no token to predict");
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= engine.vocab_size()) {
      fail(ErrorCode::kInvalidInput, "the tokenizer gives id ", id, ", outside the vocabulary of ",
           engine.vocab_size());
    }
  }
  result.tokens = ids.size() - 1;

  Forward& forward = engine.forward();
  KvCache cache(engine.config(), forward.cache_dtype());
  cache.reserve(std::min(context, ids.size()));
  const size_t slice = std::max(size_t{1}, kMaxLogits / engine.vocab_size());
  std::vector<double> nats;
  size_t done = 0;
  for (const PerplexityWindow& window : perplexity_windows(ids.size(), context, stride)) {
    cache.truncate(0);
    const size_t input_end = window.first_target + window.num_targets - 1;
    for (size_t begin = window.first_input; begin < input_end;) {
      const size_t count = std::min(input_end - begin, forward.options().max_batch_tokens);
      // Row i of the run predicts token begin + i + 1.
      const size_t first_row =
          std::min(count, window.first_target - 1 - std::min(begin, window.first_target - 1));
      const SequenceInput input{.tokens = std::span<const TokenId>(ids).subspan(begin, count),
                                .cache = &cache,
                                .all_logits = first_row < count};
      forward.run({&input, 1});
      for (size_t row = first_row; row < count;) {
        const size_t rows = std::min(slice, count - row);
        nats.resize(rows);
        negative_log_likelihoods(engine.pool(), forward.logits(row, rows),
                                 std::span<const TokenId>(ids).subspan(begin + row + 1, rows),
                                 nats);
        for (const double x : nats) result.nats += x;
        row += rows;
        done += rows;
        if (progress) progress(done, result.tokens);
      }
      begin += count;
    }
  }
  AXK1_CHECK(done == result.tokens);
  return result;
}

}  // namespace axk1
