// A model for tests of the service: what follows depends on every token before, through what the
// cache holds, so that any mistake with blocks shows in the answers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "engine/step_model.h"

namespace axk1::testing {

struct FakeModelOptions {
  size_t vocab_size = 50;
  size_t context_tokens = 512;
  size_t step_tokens = 48;
  // Only the last token decides, so that answers go round in circles.
  bool repetitive = false;
  uint64_t seed = 1;
  // A clock that steps move on: by this many seconds, and this many for each row.
  double step_seconds = 0, row_seconds = 0;
  // Not 0: multi-token prediction, of which one guess in so many is wrong; 1: every one. A run of
  // it takes mtp_seconds, or a tenth where nobody wants a guess.
  uint64_t mtp_wrong = 0;
  double mtp_seconds = 0;
};

class FakeModel : public StepModel {
 public:
  explicit FakeModel(const FakeModelOptions& options = {}) : options_(options) {
    config_.num_hidden_layers = 1;
    config_.kv_lora_rank = 2;  // two f32: room for the state
  }

  AnswerModel answer_model() const override {
    return {
        .eos = eos_, .vocab_size = options_.vocab_size, .context_tokens = options_.context_tokens};
  }
  size_t max_step_tokens() const override { return options_.step_tokens; }
  ModelMemory memory() const override { return {}; }
  KvCache new_cache() const override {
    return KvCache(config_, CacheDType::kF32, has_mtp() ? 1 : 0);
  }
  size_t block_bytes() const override { return new_cache().block_bytes(); }
  uint64_t fingerprint() const override { return options_.seed; }

  // The state behind a token, given the one before it; a line begins with the seed.
  uint64_t next_state(uint64_t state, TokenId token) const {
    return options_.repetitive ? part_of(token) : state + part_of(token);
  }
  std::vector<float> logits_of(uint64_t state) const {
    std::vector<float> logits(options_.vocab_size);
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = static_cast<float>(mix(state + (i + 1) * 0x5851f42d4c957f2du) % 4096) / 512;
    }
    return logits;
  }

  void run(std::span<const SequenceInput> batch) override {
    {
      std::unique_lock lock(mutex_);
      released_.wait(lock, [&] { return !held_; });
    }
    size_t rows = 0;
    states_.clear();
    row_states_.clear();
    for (const SequenceInput& input : batch) {
      KvCache& cache = *input.cache;
      AXK1_CHECK(cache.capacity() >= cache.length() + input.tokens.size());
      uint64_t state = options_.seed;  // the sum of what every row of the cache says
      for (size_t p = 0; p < cache.length(); ++p) {
        uint64_t part;
        std::memcpy(&part, cache.row(0, p), sizeof part);
        state += part;
      }
      for (size_t i = 0; i < input.tokens.size(); ++i) {
        const size_t position = cache.length() + i;
        state = next_state(state, input.tokens[i]);
        const uint64_t part = part_of(input.tokens[i]);
        std::memcpy(cache.row(0, position), &part, sizeof part);
        row_states_.push_back(state);
        AXK1_CHECK(input.all_hidden == has_mtp());
        if (input.all_logits || i + 1 == input.tokens.size()) states_.push_back(state);
      }
      rows += input.tokens.size();
      cache.advance(input.tokens.size());
    }
    AXK1_CHECK(rows <= options_.step_tokens && rows > 0);
    now_ = now_ + options_.step_seconds + options_.row_seconds * static_cast<double>(rows);
    if (fail_next_) {
      fail_next_ = false;
      fail(ErrorCode::kIo, "the model was told to fail");
    }
  }
  std::span<const float> logits(size_t first_row, size_t count) override {
    AXK1_CHECK(first_row + count <= states_.size());
    logits_.clear();
    for (size_t i = 0; i < count; ++i) {
      const std::vector<float> row = logits_of(states_[first_row + i]);
      logits_.insert(logits_.end(), row.begin(), row.end());
    }
    return logits_;
  }
  void reserve_logits(size_t) override {}

  // The state behind the next token is known as soon as that token is. The cache row of a position
  // holds that token's part, and must for all positions before; but for the last one of a block,
  // which may be shared with a line that goes on otherwise.
  bool has_mtp() const override { return options_.mtp_wrong > 0; }
  void run_mtp(std::span<const MtpInput> batch) override {
    std::vector<uint64_t> rows;
    states_.clear();
    for (const MtpInput& input : batch) {
      KvCache& cache = *input.cache;
      AXK1_CHECK(!input.tokens.empty());
      AXK1_CHECK(input.position + input.tokens.size() <= cache.capacity());
      const auto part_at = [&](size_t layer, size_t position) {
        uint64_t part;
        std::memcpy(&part, cache.row(layer, position), sizeof part);
        return part;
      };
      // Rows in one run with others of their sequence need not be there yet.
      const size_t end = input.logits ? std::min(input.position, cache.length() - 1) : 0;
      for (size_t p = 0; p < end; ++p) {
        if (p % kLatentBlockTokens == kLatentBlockTokens - 1) continue;
        AXK1_CHECK(part_at(1, p) == part_at(0, p + 1));
      }
      for (size_t i = 0; i < input.tokens.size(); ++i) {
        const size_t position = input.position + i;
        const uint64_t part = part_of(input.tokens[i]);
        if (position + 1 < cache.length()) AXK1_CHECK(part == part_at(0, position + 1));
        std::memcpy(cache.row(1, position), &part, sizeof part);
        uint64_t before;
        if (input.hidden) {
          std::memcpy(&before, input.hidden + i * hidden_size(), sizeof before);
        } else {
          AXK1_CHECK(input.first_row + i < row_states_.size());
          before = row_states_[input.first_row + i];
        }
        const uint64_t state = next_state(before, input.tokens[i]);
        if (!input.logits || i + 1 < input.tokens.size()) continue;
        rows.push_back(state);
        states_.push_back(mix(state) % options_.mtp_wrong ? state : ~state);
      }
    }
    row_states_ = std::move(rows);
    now_ = now_ + options_.mtp_seconds;
  }

  size_t hidden_size() const override { return sizeof(uint64_t) / sizeof(float); }
  void copy_hidden(size_t first_row, size_t count, float* to) const override {
    AXK1_CHECK(first_row + count <= row_states_.size());
    std::memcpy(to, row_states_.data() + first_row, count * sizeof(uint64_t));
  }

  // Steps begin but do not go on until release().
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    released_.notify_all();
  }
  void fail_next_step() { fail_next_ = true; }
  double now() const { return now_; }

 private:
  uint64_t part_of(TokenId token) const {
    return mix(options_.seed * 1000003 + static_cast<uint64_t>(token));
  }
  static uint64_t mix(uint64_t x) {  // SplitMix64
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }

  FakeModelOptions options_;
  ModelConfig config_;
  std::vector<TokenId> eos_ = {0};
  std::vector<uint64_t> states_;      // of the rows that get logits
  std::vector<uint64_t> row_states_;  // of every row
  std::vector<float> logits_;
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  std::atomic<bool> fail_next_ = false;
  std::atomic<double> now_ = 0;
};

}  // namespace axk1::testing
