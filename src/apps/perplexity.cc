#include "apps/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/check.h"

namespace axk1 {

double PerplexityResult::nats_per_token() const {
  return nats / static_cast<double>(tokens);
}

double PerplexityResult::bits_per_byte() const {
  return nats / std::numbers::ln2 / static_cast<double>(bytes);
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

PerplexityResult perplexity(Engine& engine, std::string_view text, const TextOptions& options,
                            const std::function<void(size_t done, size_t total)>& progress) {
  Engine* const self = &engine;
  const TextTokens tokens = tokens_of_text(engine, text, options.begin_token);
  const std::vector<TextWindow> windows = text_windows({&self, 1}, tokens.ids.size(), options);
  PerplexityResult result{.tokens = tokens.num_predicted(),
                          .bytes = tokens.bytes,
                          .used_begin_token = tokens.used_begin_token};
  std::vector<double> nats;
  size_t done = 0;
  predict_text({&self, 1}, tokens.ids, windows,
               [&](size_t first, size_t rows, std::span<const float* const> logits) {
                 nats.resize(rows);
                 negative_log_likelihoods(engine.pool(), {logits[0], rows * engine.vocab_size()},
                                          std::span<const TokenId>(tokens.ids).subspan(first, rows),
                                          nats);
                 for (const double x : nats) result.nats += x;
                 done += rows;
                 if (progress) progress(done, result.tokens);
                 return true;
               });
  AXK1_CHECK(done == result.tokens);
  return result;
}

}  // namespace axk1
