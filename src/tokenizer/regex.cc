#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;

// Greedy repeats of one character need no stack, so this is for repeated groups only.
constexpr size_t kJitStackStartBytes = 32 << 10, kJitStackMaxBytes = 4 << 20;
constexpr uint32_t kHeapLimitKib = 64 << 10;  // without JIT

// Steps of a guarded search: a pattern that looks at each character a few dozen times passes.
constexpr uint64_t kFixedSteps = 10'000'000, kStepsPerByte = 200;

// Processor time of a scan without step counting. Ordinary patterns need some 10 ns a byte.
constexpr double kFixedSeconds = 1, kSecondsPerByte = 1e-6;
constexpr uint32_t kSearchesPerTimeCheck = 256;
constexpr size_t kWindowBytes = 256;

double thread_seconds() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Code compile(const std::string& pattern, uint32_t options, std::string_view shown) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options,
                          &error, &offset, nullptr));
  if (!code) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    fail(ErrorCode::kInvalidInput, "pattern \"", printable(shown),
         "\": ", reinterpret_cast<const char*>(message.data()));
  }
  // Fails where JIT is not available; matching then interprets.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

struct StepBudget {
  uint64_t left = 0;
  size_t last_position = 0;
};

// Called before each item of a guarded pattern: charges the distance moved since the last call, so
// that long repeats of one character are paid for too.
int charge_steps(pcre2_callout_block* block, void* data) {
  StepBudget& budget = *static_cast<StepBudget*>(data);
  const size_t position = block->current_position;
  const size_t moved = position > budget.last_position ? position - budget.last_position
                                                       : budget.last_position - position;
  budget.last_position = position;
  if (moved + 1 > budget.left) return PCRE2_ERROR_CALLOUT;
  budget.left -= moved + 1;
  return 0;
}

}  // namespace

struct RegexScratch::Buffers {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(kJitStackStartBytes, kJitStackMaxBytes, nullptr);
  StepBudget budget;
  size_t text_bytes = 0;
  uint32_t searches = 0;
  double start_seconds = -1;  // processor time of this thread at the first check

  Buffers() {
    if (!match || !context || !stack) {
      release();
      throw std::bad_alloc();
    }
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    pcre2_set_callout(context, charge_steps, &budget);
  }
  ~Buffers() { release(); }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  void release() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  // `costly`: the search before may have looked at the whole text many times.
  bool out_of_time(bool costly) {
    if (++searches % kSearchesPerTimeCheck != 0 && !costly) return false;
    const double now = thread_seconds();
    if (start_seconds < 0) start_seconds = now;
    return now - start_seconds > kFixedSeconds + kSecondsPerByte * static_cast<double>(text_bytes);
  }
};

RegexScratch::RegexScratch() : buffers_(std::make_unique<Buffers>()) {}
RegexScratch::~RegexScratch() = default;

void RegexScratch::begin(size_t text_bytes) {
  Buffers& buffers = *buffers_;
  buffers.text_bytes = text_bytes;
  buffers.searches = 0;
  buffers.start_seconds = -1;
  buffers.budget.left = kFixedSteps + kStepsPerByte * text_bytes;
  pcre2_set_match_limit(
      buffers.context, static_cast<uint32_t>(std::min<uint64_t>(buffers.budget.left, 0xffffffffu)));
}

// Which of them a search uses:
//   kConstant   `plain`: a start that fails is cheap.
//   kLinear     `plain`, for kWindowBytes of starts at a time: each of them could look at the whole
//               rest of the text, so the time is checked between windows.
//   kUnbounded  `guarded`, which counts its steps.
struct Regex::Codes {
  std::string shown;
  RegexCost cost;
  Code plain;
  bool plain_is_jit = false;
  Code guarded;  // calls charge_steps before each item of the pattern
  std::optional<ClassRunShape> class_run;
};

Regex::Regex(std::string_view pattern, RegexDialect dialect) {
  const TranslatedRegex translated = translate_regex(pattern, dialect);
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK;
  codes_ = std::make_unique<Codes>();
  codes_->shown = pattern;
  codes_->cost = translated.cost;
  codes_->class_run = parse_class_run(translated.pattern);
  if (translated.cost == RegexCost::kUnbounded) {
    // Start-of-match optimisations would search ahead without calling back.
    codes_->guarded = compile(translated.pattern,
                              kOptions | PCRE2_AUTO_CALLOUT | PCRE2_NO_START_OPTIMIZE, pattern);
    return;
  }
  const uint32_t window = translated.cost == RegexCost::kLinear ? PCRE2_USE_OFFSET_LIMIT : 0;
  codes_->plain = compile(translated.pattern, kOptions | window, pattern);
  size_t jit_bytes = 0;
  pcre2_pattern_info(codes_->plain.get(), PCRE2_INFO_JITSIZE, &jit_bytes);
  codes_->plain_is_jit = jit_bytes > 0;
}

Regex Regex::literal(std::string_view text) {
  Regex regex;
  regex.codes_ = std::make_unique<Codes>();
  regex.codes_->shown = text;
  regex.codes_->cost = RegexCost::kConstant;
  regex.codes_->plain = compile(std::string(text), PCRE2_UTF | PCRE2_LITERAL, text);
  return regex;
}

Regex Regex::pcre2(const std::string& pattern) {
  Regex regex;
  regex.codes_ = std::make_unique<Codes>();
  regex.codes_->shown = pattern;
  regex.codes_->cost = RegexCost::kConstant;
  regex.codes_->plain = compile(pattern, PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, pattern);
  return regex;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

RegexCost Regex::cost() const {
  return codes_->cost;
}

const std::optional<ClassRunShape>& Regex::class_run() const {
  return codes_->class_run;
}

RegexScan::RegexScan(const Regex& regex, std::string_view text, RegexScratch& scratch)
    : regex_(regex), text_(text), scratch_(scratch) {}

std::optional<RegexMatch> RegexScan::search(size_t from) {
  RegexScratch::Buffers& buffers = *scratch_.buffers_;
  const Regex::Codes& codes = *regex_.codes_;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text_.data());
  const bool in_windows = codes.cost == RegexCost::kLinear;
  int result = PCRE2_ERROR_NOMATCH;
  for (bool again = false; result == PCRE2_ERROR_NOMATCH; again = true) {
    if (buffers.out_of_time(again)) {
      fail(ErrorCode::kInvalidInput, "pattern \"", printable(codes.shown),
           "\": takes too long on a text of ", buffers.text_bytes, " bytes");
    }
    const size_t limit = std::min(from + kWindowBytes, text_.size());
    pcre2_set_offset_limit(buffers.context, in_windows ? limit : PCRE2_UNSET);
    if (codes.plain_is_jit) {  // the same as pcre2_match without checking its arguments again
      result = pcre2_jit_match(codes.plain.get(), subject, text_.size(), from, 0, buffers.match,
                               buffers.context);
    } else {
      buffers.budget.last_position = from;
      result = pcre2_match(codes.plain ? codes.plain.get() : codes.guarded.get(), subject,
                           text_.size(), from, PCRE2_NO_UTF_CHECK, buffers.match, buffers.context);
    }
    if (!in_windows || limit == text_.size()) break;
    from = limit;
    while (from < text_.size() && (static_cast<unsigned char>(text_[from]) & 0xc0) == 0x80) ++from;
  }
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(result, message.data(), message.size());
    fail(ErrorCode::kInvalidInput, "pattern \"", printable(codes.shown),
         "\": gives up on a text of ", text_.size(), " bytes: ",
         result == PCRE2_ERROR_CALLOUT ? "it needs too many steps"
                                       : reinterpret_cast<const char*>(message.data()));
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(buffers.match);
  AXK1_CHECK(offsets[0] <= offsets[1] && offsets[1] <= text_.size());
  return RegexMatch{offsets[0], offsets[1]};
}

std::optional<RegexMatch> RegexScan::next() {
  while (at_ <= text_.size()) {
    const auto match = search(at_);
    if (!match) {
      at_ = text_.size() + 1;
      return std::nullopt;
    }
    if (match->begin == match->end && last_end_ == match->end) {
      at_ += at_ < text_.size() ? decode_utf8(text_.substr(at_)).length : 1;
      continue;
    }
    at_ = match->end;
    last_end_ = match->end;
    return match;
  }
  return std::nullopt;
}

}  // namespace axk1
