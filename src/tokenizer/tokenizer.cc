#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

// Behind a longer text the buffers, some four times its length, are freed.
constexpr size_t kKeepScratchBytes = 1 << 20;

// Everything that encoding writes to. Handed from one call to the next, so that the cache stays
// warm.
struct EncodeScratch {
  RegexScratch regex;
  PreTokenizerScratch pre;
  BpeScratch bpe;
  std::vector<AddedTokenMatcher::Part> parts, inner_parts;
  std::string normalized;
};

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec&& s);

  void encode_text(std::string_view text, bool parse_special, EncodeScratch& scratch,
                   std::vector<TokenId>& out) const;
  void encode_valid(std::string_view text, bool parse_special, EncodeScratch& scratch,
                    std::vector<TokenId>& out) const;
  void encode_pieces(std::string_view text, EncodeScratch& scratch,
                     std::vector<TokenId>& out) const;
  std::vector<TokenId> run_templates(std::vector<TokenId> ids) const;
  bool is_special(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < special.size() && special[static_cast<size_t>(id)];
  }

  TokenizerSpec spec;
  Bpe bpe;
  TokenDecoder decoder;
  AddedTokenMatcher raw_tokens, normalized_tokens;
  std::unordered_map<std::string_view, TokenId> added_by_content;  // views spec.added
  std::vector<bool> special;                                       // by id
  bool bytes_as_text = false;  // some step but not the model writes bytes as their characters
  size_t vocab_size = 0;

  mutable std::mutex scratch_mutex;
  mutable std::vector<std::unique_ptr<EncodeScratch>> idle_scratch;  // guarded by scratch_mutex
};

// Checks that ids and texts of the added tokens agree with the vocabulary and each other, then
// builds the tables.
Tokenizer::Impl::Impl(TokenizerSpec&& s)
    : spec(std::move(s)),
      bpe(spec.vocabulary, spec.merges, spec.bpe),
      decoder(std::move(spec.decoder)) {
  spec.merges = {};
  spec.pre_tokenizer.join_class_runs();
  bytes_as_text = std::ranges::any_of(
                      spec.normalizer.steps,
                      [](const auto& step) { return step.kind == NormalizerStep::Kind::kBytes; }) ||
                  std::ranges::any_of(spec.pre_tokenizer.steps, [](const auto& step) {
                    return step.kind == PreTokenizerStep::Kind::kBytes;
                  });
  vocab_size = spec.vocabulary.size();
  std::unordered_map<TokenId, const AddedToken*> by_id;
  RegexScratch scratch;
  for (const AddedToken& token : spec.added) {
    const std::string shown = printable(token.content);
    if (token.id < 0 || token.id > kMaxTokenId) {
      fail(ErrorCode::kInvalidInput, spec.source, ": added token \"", shown, "\" has id ", token.id,
           ", expected 0 to ", kMaxTokenId);
    }
    const auto in_vocabulary = spec.vocabulary.find(token.content);
    if (in_vocabulary && *in_vocabulary != token.id) {
      fail(ErrorCode::kInvalidInput, spec.source, ": added token \"", shown, "\" has id ", token.id,
           ", but the vocabulary gives it ", *in_vocabulary);
    }
    if (!in_vocabulary && spec.vocabulary.has(token.id)) {
      fail(ErrorCode::kInvalidInput, spec.source, ": added token \"", shown, "\" has id ", token.id,
           ", which is that of \"", printable(spec.vocabulary.text(token.id)), "\"");
    }
    const auto [same_text, fresh] = added_by_content.emplace(token.content, token.id);
    const auto [same_id, fresh_id] = by_id.emplace(token.id, &token);
    if (fresh != fresh_id || same_text->second != token.id) {
      fail(ErrorCode::kInvalidInput, spec.source, ": added token \"", shown, "\" with id ",
           token.id, " disagrees with another added token \"", printable(same_id->second->content),
           "\" with id ", fresh ? token.id : same_text->second);
    }
    if (!fresh || token.content.empty()) continue;
    vocab_size = std::max(vocab_size, static_cast<size_t>(token.id) + 1);
    if (token.special) {
      if (special.size() <= static_cast<size_t>(token.id)) special.resize(token.id + size_t{1});
      special[static_cast<size_t>(token.id)] = true;
    }
    if (!token.normalized) {
      raw_tokens.add(token.content, token);
      continue;
    }
    scratch.begin(token.content.size());
    std::string buffer;
    const std::string_view pattern = is_valid_utf8(token.content)
                                         ? spec.normalizer.apply(token.content, scratch, buffer)
                                         : token.content;
    if (!pattern.empty()) normalized_tokens.add(pattern, token);
  }
  for (size_t id = 0; id < vocab_size; ++id) {
    const auto token = static_cast<TokenId>(id);
    const auto added = by_id.find(token);
    if (added != by_id.end()) {
      decoder.add(token, added->second->content, spec.added_literally);
    } else if (spec.vocabulary.has(token)) {
      decoder.add(token, spec.vocabulary.text(token), false);
    }
  }
}

void Tokenizer::Impl::encode_pieces(std::string_view text, EncodeScratch& scratch,
                                    std::vector<TokenId>& out) const {
  spec.pre_tokenizer.run(text, scratch.regex, scratch.pre);
  bpe.encode(scratch.pre.text, scratch.pre.pieces, scratch.bpe, out);
}

void Tokenizer::Impl::encode_valid(std::string_view text, bool parse_special,
                                   EncodeScratch& scratch, std::vector<TokenId>& out) const {
  if (!spec.normalizer.empty()) {
    text = spec.normalizer.apply(text, scratch.regex, scratch.normalized);
  }
  if (normalized_tokens.empty()) {
    encode_pieces(text, scratch, out);
    return;
  }
  normalized_tokens.split(text, parse_special, scratch.inner_parts);
  for (const auto& part : scratch.inner_parts) {
    if (part.id >= 0) {
      out.push_back(part.id);
    } else {
      encode_pieces(text.substr(part.begin, part.end - part.begin), scratch, out);
    }
  }
}

void Tokenizer::Impl::encode_text(std::string_view text, bool parse_special, EncodeScratch& scratch,
                                  std::vector<TokenId>& out) const {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    if (valid > 0) encode_valid(text.substr(0, valid), parse_special, scratch, out);
    text.remove_prefix(valid);
    size_t invalid = 0;
    while (invalid < text.size()) {
      const Utf8Char c = decode_utf8(text.substr(invalid));
      if (c.valid) break;
      invalid += c.length;
    }
    if (invalid > 0) {
      const std::string as_text =
          bytes_as_text ? bytes_to_text(text.substr(0, invalid)) : std::string();
      const std::string_view piece = bytes_as_text ? as_text : text;
      const Piece all{0, bytes_as_text ? as_text.size() : invalid};
      bpe.encode(piece, {&all, 1}, scratch.bpe, out);
    }
    text.remove_prefix(invalid);
  }
}

std::vector<TokenId> Tokenizer::Impl::run_templates(std::vector<TokenId> ids) const {
  for (const PostTemplate& post : spec.post) {
    std::vector<TokenId> result;
    for (const PostTemplateItem& item : post) {
      const std::vector<TokenId>& part = item.sequence ? ids : item.ids;
      result.insert(result.end(), part.begin(), part.end());
    }
    ids = std::move(result);
  }
  return ids;
}

Tokenizer::Tokenizer(TokenizerSpec spec) : impl_(std::make_unique<Impl>(std::move(spec))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::unique_ptr<EncodeScratch> scratch;
  {
    std::lock_guard lock(impl_->scratch_mutex);
    if (!impl_->idle_scratch.empty()) {
      scratch = std::move(impl_->idle_scratch.back());
      impl_->idle_scratch.pop_back();
    }
  }
  if (!scratch) scratch = std::make_unique<EncodeScratch>();

  scratch->regex.begin(text.size());
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 8);
  impl_->raw_tokens.split(text, options.parse_special, scratch->parts);
  for (const auto& part : scratch->parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      impl_->encode_text(text.substr(part.begin, part.end - part.begin), options.parse_special,
                         *scratch, ids);
    }
  }
  if (text.size() <= kKeepScratchBytes) {
    std::lock_guard lock(impl_->scratch_mutex);
    impl_->idle_scratch.push_back(std::move(scratch));
  }
  return options.add_special ? impl_->run_templates(std::move(ids)) : ids;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  return impl_->decoder.bytes(id);
}
bool Tokenizer::is_special(TokenId id) const {
  return impl_->is_special(id);
}
size_t Tokenizer::vocab_size() const {
  return impl_->vocab_size;
}

std::optional<TokenId> Tokenizer::find(std::string_view content) const {
  const auto added = impl_->added_by_content.find(content);
  if (added != impl_->added_by_content.end()) return added->second;
  return impl_->spec.vocabulary.find(content);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  const TokenDecoder& decoder = impl_->decoder;
  const DecoderRules& rules = decoder.rules();
  std::string text, run;  // run: fallback bytes so far, which are valid together or not at all
  auto end_run = [&] {
    if (is_valid_utf8(run)) {
      text += run;
    } else {
      for (size_t i = 0; i < run.size(); ++i) append_utf8(text, 0xfffd);
    }
    run.clear();
  };
  bool first = true;
  for (const TokenId id : ids) {
    if (!decoder.has(id) || (skip_special && impl_->is_special(id))) continue;
    if (decoder.is_fallback_byte(id)) {
      run += decoder.bytes(id);
      continue;
    }
    if (!run.empty()) end_run();
    if (rules.spaces_between && !first) text += ' ';
    text += decoder.bytes(id);
    first = false;
  }
  end_run();
  if (!is_valid_utf8(text)) text = utf8_lossy(text);
  return std::string(strip_ends(text, rules.whole));
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {
  restart();
}

void StreamDecoder::restart() {
  first_ = true;
  pending_.clear();
  held_.clear();
  strip_start_ = tokenizer_.impl_->decoder.rules().whole.start;
}

// Applies the strip rule for the whole text to a part of it: valid UTF-8 that is not the last.
std::string StreamDecoder::finish(std::string text) {
  const StripRule& rule = tokenizer_.impl_->decoder.rules().whole;
  if (rule.stop == 0 && strip_start_ == 0) return text;
  std::string content;
  append_utf8(content, rule.content);
  std::string_view rest = text;
  while (strip_start_ > 0 && !rest.empty()) {
    if (!rest.starts_with(content)) {
      strip_start_ = 0;
      break;
    }
    rest.remove_prefix(content.size());
    --strip_start_;
  }
  std::string out = held_ + std::string(rest);
  size_t end = out.size();
  for (size_t i = 0; i < rule.stop && std::string_view(out).substr(0, end).ends_with(content);
       ++i) {
    end -= content.size();
  }
  held_ = out.substr(end);
  out.resize(end);
  return out;
}

std::string StreamDecoder::push(TokenId id) {
  const TokenDecoder& decoder = tokenizer_.impl_->decoder;
  if (!decoder.has(id) || (skip_special_ && tokenizer_.is_special(id))) return {};
  if (decoder.rules().spaces_between && !first_) pending_ += ' ';
  first_ = false;
  pending_ += decoder.bytes(id);
  const size_t whole = pending_.size() - incomplete_utf8_tail(pending_);
  std::string text = utf8_lossy(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return finish(std::move(text));
}

std::string StreamDecoder::flush() {
  std::string text = finish(utf8_lossy(pending_));
  restart();
  return text;
}

}  // namespace axk1
