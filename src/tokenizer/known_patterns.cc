#include "tokenizer/known_patterns.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace axk1 {
namespace {

// openai/gpt-2 encoder.py; ByteLevel of Hugging Face's tokenizers.
constexpr std::string_view kGpt2Split =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// openai/tiktoken openai_public.py.
constexpr std::string_view kCl100kSplit =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200kSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// tokenizer.json of Qwen2.
constexpr std::string_view kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// tokenizer.json of Mistral's Tekken vocabularies.
constexpr std::string_view kTekkenSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// tokenizer.json of DeepSeek LLM, Coder and V3. Characters that NFC would change are escaped.
constexpr std::string_view kDeepSeekLatin =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1f7d}ᾀ-ᾴᾶ-ᾼ\x{1fbe}ῂ-ῄῆ-ῌῐ-\x{1fd3}ῖ-\x{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kDeepSeekCjk = R"([一-龥ࠀ-一가-퟿]+)";
constexpr std::string_view kDeepSeek3Cjk = R"([一-龥぀-ゟ゠-ヿ]+)";
constexpr std::string_view kDeepSeek3Rest =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kGpt2{kGpt2Split};
constexpr std::array kCl100k{kCl100kSplit};
constexpr std::array kO200k{kO200kSplit};
constexpr std::array kQwen2{kQwen2Split};
constexpr std::array kTekken{kTekkenSplit};
constexpr std::array kDeepSeekLlm{
    std::string_view(R"([\r\n])"), kDeepSeekLatin, kDeepSeekPunctuation,
    std::string_view(R"(\s+$)"),   kDeepSeekCjk,   std::string_view(R"(\p{N}+)")};
constexpr std::array kDeepSeekCoder{std::string_view(R"([\r\n])"), std::string_view(R"(\s?\p{L}+)"),
                                    std::string_view(R"(\s?\p{P}+)"), kDeepSeekCjk,
                                    std::string_view(R"(\p{N})")};
constexpr std::array kDeepSeek3{std::string_view(R"(\p{N}{1,3})"), kDeepSeek3Cjk, kDeepSeek3Rest};
constexpr std::array kSmollm{std::string_view(R"(\p{N})"), kGpt2Split};
constexpr std::array kFalcon{std::string_view(R"([\p{P}$+<=>^~|`]+)"), kGpt2Split,
                             std::string_view(R"([0-9][0-9][0-9])")};
// What llama.cpp takes when a file names nothing.
constexpr std::array kGgmlDefault{std::string_view(R"([\p{P}$+<=>^~|]+)"), kGpt2Split,
                                  std::string_view(R"(\p{N}+)"),
                                  std::string_view(R"([0-9][0-9][0-9])")};

constexpr KnownPattern kNamed[] = {
    {"gpt2", kGpt2},
    {"cl100k", kCl100k},
    {"o200k", kO200k},
    {"qwen2", kQwen2},
    {"llama3", kCl100k},
    {"tekken", kTekken},
    {"smollm", kSmollm},
    {"falcon", kFalcon},
    {"deepseek-llm", kDeepSeekLlm},
    {"deepseek-v3", kDeepSeek3},
    {"deepseek-coder", kDeepSeekCoder},
    {"r50k", kGpt2},
    {"p50k", kGpt2},
    {"gpt-2", kGpt2},
    {"r50k_base", kGpt2},
    {"p50k_base", kGpt2},
    {"cl100k_base", kCl100k},
    {"o200k_base", kO200k},
};
constexpr size_t kNumShownNames = 11;

constexpr KnownPattern kGgmlPre[] = {
    {"default", kGgmlDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"gigachat", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"a.x-4.0", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"jais", kGpt2},
    {"trillion", kGpt2},
    {"exaone4", kGpt2},
    {"llama3", kCl100k},
    {"llama-v3", kCl100k},
    {"llama-bpe", kCl100k},
    {"falcon3", kCl100k},
    {"falcon-h1", kCl100k},
    {"pixtral", kCl100k},
    {"midm-2.0", kCl100k},
    {"lfm2", kCl100k},
    {"dbrx", kCl100k},
    {"smaug-bpe", kCl100k},
    {"glm4", kCl100k},
    {"chatglm-bpe", kCl100k},
    {"qwen2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"stablelm2", kQwen2},
    {"megrez", kQwen2},
    {"hunyuan", kQwen2},
    {"grok-2", kQwen2},
    {"deepseek-llm", kDeepSeekLlm},
    {"deepseek-coder", kDeepSeekCoder},
    {"deepseek-v3", kDeepSeek3},
    {"hunyuan-dense", kDeepSeek3},
    {"gpt-4o", kO200k},
    {"llama4", kO200k},
    {"tekken", kTekken},
    {"smollm", kSmollm},
    {"starcoder", kSmollm},
    {"refact", kSmollm},
    {"command-r", kSmollm},
    {"codeshell", kSmollm},
    {"exaone", kSmollm},
    {"minerva-7b", kSmollm},
    {"falcon", kFalcon},
};

void set_bytes(TokenizerSpec& spec) {
  spec.pre_tokenizer.bytes_last = true;
  spec.bpe.bytes = true;
  spec.decoder.bytes = true;
}

void add_split(TokenizerSpec& spec, std::string_view pattern, RegexDialect dialect) {
  PreTokenizerStep step;
  step.pattern.emplace(pattern, dialect);
  spec.pre_tokenizer.steps.push_back(std::move(step));
}

}  // namespace

const KnownPattern* find_known_pattern(std::string_view name) {
  const auto found = std::ranges::find(kNamed, name, &KnownPattern::name);
  return found != std::end(kNamed) ? found : nullptr;
}

const KnownPattern* find_ggml_pre(std::string_view pre) {
  const auto found = std::ranges::find(kGgmlPre, pre, &KnownPattern::name);
  return found != std::end(kGgmlPre) ? found : nullptr;
}

std::string known_pattern_names() {
  std::string names;
  for (size_t i = 0; i < kNumShownNames; ++i) names += cat(i ? ", " : "", kNamed[i].name);
  return names;
}

void use_byte_level(TokenizerSpec& spec, const KnownPattern& known) {
  for (std::string_view split : known.splits) add_split(spec, split, RegexDialect::kOniguruma);
  set_bytes(spec);
}

void use_byte_level(TokenizerSpec& spec, std::string_view pattern) {
  if (const KnownPattern* known = find_known_pattern(pattern)) {
    use_byte_level(spec, *known);
    return;
  }
  add_split(spec, pattern, RegexDialect::kRust);
  set_bytes(spec);
}

}  // namespace axk1
