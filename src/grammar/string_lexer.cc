#include "grammar/string_lexer.h"

#include <algorithm>
#include <string_view>

#include "grammar/text_dfa.h"

namespace axk1 {
namespace {

constexpr uint32_t kFirstSurrogate = 0xd800, kFirstLow = 0xdc00, kBehindSurrogates = 0xe000;

int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

StringLexer::Result StringLexer::push(uint8_t byte, uint32_t& code_point) {
  switch (state_) {
    case State::kPlain:
      if (byte == '"') return Result::kClose;
      if (byte == '\\') {
        state_ = State::kEscape;
        return Result::kMore;
      }
      if (byte < 0x20) return Result::kReject;
      if (byte < 0x80) {
        code_point = byte;
        return Result::kChar;
      }
      state_ = State::kUtf8;
      if (byte >= 0xc2 && byte <= 0xdf) {
        count_ = 1;
        value_ = byte & 0x1f;
        least_ = 0x80;
      } else if (byte >= 0xe0 && byte <= 0xef) {
        count_ = 2;
        value_ = byte & 0x0f;
        least_ = 0x800;
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        count_ = 3;
        value_ = byte & 0x07;
        least_ = 0x10000;
      } else {
        return Result::kReject;
      }
      return Result::kMore;
    case State::kUtf8:
      if ((byte & 0xc0) != 0x80) return Result::kReject;
      value_ = value_ << 6 | (byte & 0x3f);
      if (--count_ > 0) return possible().empty() ? Result::kReject : Result::kMore;
      state_ = State::kPlain;
      code_point = value_;
      if (code_point < least_ || code_point > kMaxCodePoint ||
          (code_point >= kFirstSurrogate && code_point < kBehindSurrogates)) {
        return Result::kReject;
      }
      return Result::kChar;
    case State::kEscape: {
      state_ = State::kPlain;
      static constexpr std::string_view kEscapes = "\"\\/bfnrt";
      static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
      if (byte == 'u') {
        state_ = State::kHex;
        count_ = 4;
        value_ = 0;
        return Result::kMore;
      }
      const size_t which = kEscapes.find(static_cast<char>(byte));
      if (which == std::string_view::npos) return Result::kReject;
      code_point = static_cast<uint8_t>(kMeanings[which]);
      return Result::kChar;
    }
    case State::kHex:
    case State::kLowHex: {
      const int digit = hex_digit(byte);
      if (digit < 0) return Result::kReject;
      value_ = value_ * 16 + static_cast<uint32_t>(digit);
      if (--count_ > 0) return possible().empty() ? Result::kReject : Result::kMore;
      const bool high = value_ >= kFirstSurrogate && value_ < kFirstLow;
      const bool low = value_ >= kFirstLow && value_ < kBehindSurrogates;
      if (state_ == State::kLowHex) {
        if (!low) return Result::kReject;
        code_point = 0x10000 + ((high_ - kFirstSurrogate) << 10) + (value_ - kFirstLow);
      } else {
        if (low) return Result::kReject;
        if (high) {
          high_ = value_;
          state_ = State::kLowBackslash;
          return Result::kMore;
        }
        code_point = value_;
      }
      state_ = State::kPlain;
      return Result::kChar;
    }
    case State::kLowBackslash:
      if (byte != '\\') return Result::kReject;
      state_ = State::kLowU;
      return Result::kMore;
    case State::kLowU:
      if (byte != 'u') return Result::kReject;
      state_ = State::kLowHex;
      count_ = 4;
      value_ = 0;
      return Result::kMore;
  }
  return Result::kReject;
}

// The characters that the bytes so far can still become.
StringLexer::Ranges StringLexer::possible() const {
  Ranges out;
  const auto add = [&](uint32_t lo, uint32_t hi) {
    if (lo <= hi) out.push_back({lo, hi});
  };
  const auto add_scalar_values = [&](uint32_t lo, uint32_t hi) {
    add(lo, std::min(hi, kFirstSurrogate - 1));
    add(std::max(lo, kBehindSurrogates), hi);
  };
  switch (state_) {
    case State::kPlain:
    case State::kEscape:
      add_scalar_values(0, kMaxCodePoint);
      break;
    case State::kUtf8: {
      const uint32_t shift = 6u * count_;
      const uint32_t lo = value_ << shift;
      add_scalar_values(std::max(lo, least_), std::min(lo + (1u << shift) - 1, kMaxCodePoint));
      break;
    }
    case State::kHex: {
      const uint32_t shift = 4u * count_;
      const uint32_t lo = value_ << shift, hi = lo + (1u << shift) - 1;
      add_scalar_values(lo, hi);
      const uint32_t first = std::max(lo, kFirstSurrogate), last = std::min(hi, kFirstLow - 1);
      if (first <= last) {
        add(0x10000 + ((first - kFirstSurrogate) << 10),
            0x10000 + ((last - kFirstSurrogate) << 10) + 0x3ff);
      }
      break;
    }
    case State::kLowBackslash:
    case State::kLowU:
    case State::kLowHex: {
      const uint32_t base = 0x10000 + ((high_ - kFirstSurrogate) << 10);
      if (state_ != State::kLowHex) {
        add(base, base + 0x3ff);
        break;
      }
      const uint32_t shift = 4u * count_;
      const uint32_t lo = std::max(value_ << shift, kFirstLow);
      const uint32_t hi = std::min((value_ << shift) + (1u << shift) - 1, kBehindSurrogates - 1);
      if (lo <= hi) add(base + (lo - kFirstLow), base + (hi - kFirstLow));
      break;
    }
  }
  return out;
}

}  // namespace axk1
