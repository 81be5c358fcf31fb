#include "apps/compare.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

// The tokenizer of either will do where one has none. Where both have one they must agree on this
// text: ids of two different vocabularies of the same size would compare nonsense.
TextTokens shared_tokens(const Engine& reference, const Engine& other, std::string_view text,
                         bool begin_token) {
  if (reference.vocab_size() != other.vocab_size()) {
    fail(ErrorCode::kInvalidInput, "the vocabularies differ: ", reference.name(), " has ",
         reference.vocab_size(), " tokens, ", other.name(), " has ", other.vocab_size());
  }
  const bool both = reference.tokenizer() && other.tokenizer();
  TextTokens tokens = tokens_of_text(
      !reference.tokenizer() && other.tokenizer() ? other : reference, text, begin_token);
  if (!both) return tokens;
  std::vector<TokenId> theirs = other.tokenizer()->encode(text, {.parse_special = false});
  const std::span<const TokenId> ours =
      std::span<const TokenId>(tokens.ids).subspan(tokens.used_begin_token ? 1 : 0);
  const auto [mine, found] = std::ranges::mismatch(ours, theirs);
  if (mine != ours.end() || found != theirs.end()) {
    fail(ErrorCode::kInvalidInput, "the tokenizers of ", reference.name(), " and ", other.name(),
         " differ: from token ", mine - ours.begin(), " of the text on they give other ids");
  }
  return tokens;
}

}  // namespace

RowComparison compare_rows(std::span<const float> reference, std::span<const float> other,
                           TokenId target) {
  AXK1_CHECK(reference.size() == other.size() && !reference.empty());
  const size_t top_a = std::ranges::max_element(reference) - reference.begin();
  const size_t top_b = std::ranges::max_element(other) - other.begin();
  const double max_a = reference[top_a], max_b = other[top_b];
  // With a, b the logits, A = ln sum exp a and B likewise: sum of p (a - A - b + B)
  // = (sum of p (a - b)) - A + B, so one pass over both rows does.
  double sum_a = 0, sum_b = 0, difference = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double a = reference[i], b = other[i];
    const double weight = std::exp(a - max_a);
    sum_a += weight;
    sum_b += std::exp(b - max_b);
    difference += weight * (a - b);
  }
  const double log_a = max_a + std::log(sum_a), log_b = max_b + std::log(sum_b);
  RowComparison result;
  result.kl = difference / sum_a - log_a + log_b;
  if (result.kl < 0) result.kl = 0;  // by rounding only
  result.reference_nats = log_a - reference[static_cast<size_t>(target)];
  result.other_nats = log_b - other[static_cast<size_t>(target)];
  result.same_top1 = top_a == top_b;
  return result;
}

double ComparisonResult::perplexity_ratio() const {
  return std::exp(other_nats - reference_nats);
}

double quantile(std::span<double> values, double q) {
  AXK1_CHECK(!values.empty() && q > 0 && q <= 1);
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
  const auto at =
      values.begin() + static_cast<ptrdiff_t>(std::clamp(rank, size_t{1}, values.size()) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

ComparisonResult compare(Engine& reference, Engine& other, std::string_view text,
                         const TextOptions& options,
                         const std::function<bool(size_t done, size_t total)>& progress) {
  const TextTokens tokens = shared_tokens(reference, other, text, options.begin_token);
  const std::array<Engine*, 2> engines = {&reference, &other};
  const std::vector<TextWindow> windows = text_windows(engines, tokens.ids.size(), options);
  const size_t vocab = reference.vocab_size();
  ComparisonResult result{.total_tokens = tokens.num_predicted(), .bytes = tokens.bytes};
  std::vector<RowComparison> rows;
  std::vector<double> kl;
  kl.reserve(result.total_tokens);
  size_t num_same = 0;
  predict_text(engines, tokens.ids, windows,
               [&](size_t first, size_t count, std::span<const float* const> logits) {
                 rows.resize(count);
                 reference.pool().parallel_for(count, 1, [&](size_t begin, size_t end) {
                   for (size_t i = begin; i < end; ++i) {
                     rows[i] = compare_rows({logits[0] + i * vocab, vocab},
                                            {logits[1] + i * vocab, vocab}, tokens.ids[first + i]);
                   }
                 });
                 for (size_t i = 0; i < count; ++i) {
                   if (!std::isfinite(rows[i].kl)) {
                     fail(ErrorCode::kInvalidInput, "token ", first + i, " of the text: logits of ",
                          reference.name(), " or ", other.name(), " are not finite");
                   }
                   kl.push_back(rows[i].kl);
                   result.reference_nats += rows[i].reference_nats;
                   result.other_nats += rows[i].other_nats;
                   num_same += rows[i].same_top1;
                 }
                 return !progress || progress(kl.size(), result.total_tokens);
               });
  AXK1_CHECK(!kl.empty());
  const auto n = static_cast<double>(kl.size());
  result.tokens = kl.size();
  result.reference_nats /= n;
  result.other_nats /= n;
  result.top1_agreement = static_cast<double>(num_same) / n;
  for (const double x : kl) result.kl_mean += x / n;
  if (kl.size() > 1) {
    double squares = 0;
    for (const double x : kl) squares += (x - result.kl_mean) * (x - result.kl_mean);
    result.kl_mean_error = std::sqrt(squares / (n - 1) / n);
  }
  result.kl_median = quantile(kl, 0.5);
  result.kl_p99 = quantile(kl, 0.99);
  result.kl_p999 = quantile(kl, 0.999);
  result.kl_max = *std::ranges::max_element(kl);
  return result;
}

}  // namespace axk1
