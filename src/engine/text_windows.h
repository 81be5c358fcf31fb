// Reading a text through a model in windows of its context, so that every token of it is predicted
// exactly once: for perplexity, for comparing models, for calibration.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace axk1 {

struct TextOptions {
  size_t context = 0;       // tokens the model sees at most; 0: its context length
  size_t stride = 0;        // tokens predicted in one window, at most `context`; 0: as many
  bool begin_token = true;  // the first token is predicted from bos_token_id, where there is one
};

struct TextTokens {
  std::vector<TokenId> ids;  // at least two; the first is only read, all others are predicted
  size_t bytes = 0;          // of the text that the predicted tokens are
  bool used_begin_token = false;

  size_t num_predicted() const { return ids.size() - 1; }
};

// By the engine's own tokenizer. Special tokens in the text are text like any other; bytes that are
// not UTF-8 are tokens too. Without a begin token the first token is not predicted, and its bytes
// do not count. Throws Error(kInvalidInput) when nothing is left to predict, and kNotFound for an
// engine without a tokenizer.
TextTokens tokens_of_text(const Engine& engine, std::string_view text, bool begin_token);

// Tokens of one window: [first_input, first_target + num_targets - 1) is read, and the num_targets
// tokens from first_target on are predicted, each from what was read before it.
struct TextWindow {
  size_t first_input;
  size_t first_target;
  size_t num_targets;

  size_t input_end() const { return first_target + num_targets - 1; }
};

// Windows over `length` tokens of which the first is only read: every other token is predicted
// exactly once. A window predicts `stride` tokens (the last one what is left) and reads `context`
// tokens that end with the last but one of them, or all from the start. So with stride = context
// the windows overlap in no predicted token, and the first token of each sees one token (the
// rolling scheme of EleutherAI's lm-evaluation-harness); a smaller stride gives every token at
// least context - stride tokens to look at, for more work.
std::vector<TextWindow> text_windows(size_t length, size_t context, size_t stride);

// The same with the defaults of `options` filled in for engines that read together, the shortest
// context length of which is the limit. Throws Error(kInvalidInput) when options are out of range.
std::vector<TextWindow> text_windows(std::span<Engine* const> engines, size_t length,
                                     const TextOptions& options);

// Gets the logits of every engine, each [rows, vocab_size], valid during the call: row i predicts
// ids[first_target + i]. Returning false stops the reading.
using PredictionVisitor =
    std::function<bool(size_t first_target, size_t rows, std::span<const float* const> logits)>;

// Runs every engine over the same windows, chunk by chunk in turn, and shows the logits in slices
// of some 16 MiB, every predicted token once and in order. Engines have the same vocabulary size,
// and all ids are within it. False when `visit` stopped it.
bool predict_text(std::span<Engine* const> engines, std::span<const TokenId> ids,
                  std::span<const TextWindow> windows, const PredictionVisitor& visit);

}  // namespace axk1
