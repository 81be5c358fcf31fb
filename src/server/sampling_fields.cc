#include "server/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"

namespace axk1 {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 31;
constexpr size_t kMaxStops = 64;

float get_float(const json::ObjectReader& reader, const char* field, float absent) {
  return static_cast<float>(reader.number_or(field, double{absent}));
}

std::vector<std::pair<TokenId, float>> logit_bias(const json::ObjectReader& reader,
                                                  const json::value& v) {
  constexpr const char* kExpected = "an object of token id -> number from -100 to 100";
  if (!v.is_object()) reader.wrong("logit_bias", v, kExpected);
  std::vector<std::pair<TokenId, float>> biases;
  for (const auto& entry : v.get_object()) {
    const std::string_view key = entry.key();
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      reader.refuse("logit_bias",
                    cat("found the key \"", printable(key), "\", expected ", kExpected));
    }
    if (!entry.value().is_number()) reader.wrong("logit_bias", entry.value(), kExpected);
    const double bias = entry.value().to_number<double>();
    if (!(bias >= -100 && bias <= 100)) reader.wrong("logit_bias", entry.value(), kExpected);
    biases.emplace_back(id, static_cast<float>(bias));
  }
  return biases;
}

void read_logprobs(const json::ObjectReader& reader, int64_t most, GenerateOptions& generate) {
  const json::value* logprobs = reader.find("logprobs");
  if (logprobs && logprobs->is_bool()) {
    generate.top_logprobs = logprobs->get_bool() ? 0 : -1;
  } else if (logprobs) {
    generate.top_logprobs = static_cast<int>(reader.get_int("logprobs", 0, most));
  }
  if (!reader.find("top_logprobs")) return;
  const int64_t count = reader.get_int("top_logprobs", 0, most);
  if (generate.top_logprobs >= 0) {
    generate.top_logprobs = static_cast<int>(count);
  } else if (count > 0) {
    reader.refuse("top_logprobs", "needs logprobs: true");
  }
}

}  // namespace

std::vector<TokenId> read_token_ids(const json::ObjectReader& reader, std::string_view field,
                                    const json::value& v) {
  if (!v.is_array()) reader.wrong(field, v, "an array of token ids");
  std::vector<TokenId> ids;
  ids.reserve(v.get_array().size());
  for (const json::value& id : v.get_array()) {
    if (!id.is_int64() || id.get_int64() < 0 ||
        id.get_int64() > std::numeric_limits<TokenId>::max()) {
      reader.wrong(field, id, "token ids (integers from 0)");
    }
    ids.push_back(static_cast<TokenId>(id.get_int64()));
  }
  return ids;
}

std::vector<std::string> read_stop_texts(const json::ObjectReader& reader, std::string_view field,
                                         const json::value& v) {
  std::vector<std::string> stops;
  const auto take = [&](const json::value& text) {
    if (!text.is_string()) reader.wrong(field, text, "a string or an array of strings");
    if (text.get_string().empty()) reader.refuse(field, "an empty text would stop at once");
    stops.emplace_back(text.get_string());
  };
  if (v.is_array()) {
    if (v.get_array().size() > kMaxStops) reader.wrong(field, v, "at most 64 strings");
    for (const json::value& text : v.get_array()) take(text);
  } else {
    take(v);
  }
  return stops;
}

void refuse_unless_neutral(const json::ObjectReader& reader, std::span<const NeutralField> fields) {
  for (const NeutralField& field : fields) {
    const json::value* found = reader.find(field.name);
    if (!found || *found == boost::json::parse(field.neutral)) continue;
    reader.refuse(
        field.name,
        cat("not computed here",
            field.neutral == std::string_view("null") ? "" : cat(" but for ", field.neutral)),
        ErrorCode::kUnsupported);
  }
}

GenerateOptions read_generate_options(const json::ObjectReader& reader,
                                      const GenerateOptions& defaults,
                                      const SamplingLimits& limits) {
  GenerateOptions generate = defaults;
  SamplingOptions& sampling = generate.sampling;
  sampling.temperature = get_float(reader, "temperature", sampling.temperature);
  sampling.top_p = get_float(reader, "top_p", sampling.top_p);
  sampling.min_p = get_float(reader, "min_p", sampling.min_p);
  sampling.presence_penalty = get_float(reader, "presence_penalty", sampling.presence_penalty);
  sampling.frequency_penalty = get_float(reader, "frequency_penalty", sampling.frequency_penalty);
  sampling.repetition_penalty =
      get_float(reader, "repetition_penalty", sampling.repetition_penalty);
  // vLLM's -1 for "all" is taken too.
  const int64_t top_k = reader.int_or("top_k", sampling.top_k, -1, INT32_MAX);
  sampling.top_k = static_cast<int32_t>(std::max(top_k, int64_t{0}));
  if (reader.find("seed")) {
    sampling.seed = static_cast<uint64_t>(reader.get_int("seed", INT64_MIN, INT64_MAX));
  }
  if (const json::value* bias = reader.find("logit_bias")) {
    sampling.logit_bias = logit_bias(reader, *bias);
  }
  const char* max_field =
      reader.find("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  if (reader.find(max_field)) {
    generate.max_tokens =
        static_cast<size_t>(reader.get_int(max_field, limits.min_max_tokens, kMaxTokens));
  }
  if (const json::value* stop = reader.find("stop")) {
    generate.stop = read_stop_texts(reader, "stop", *stop);
  }
  if (const json::value* ids = reader.find("stop_token_ids")) {
    generate.stop_ids = read_token_ids(reader, "stop_token_ids", *ids);
  }
  generate.ignore_eos = reader.bool_or("ignore_eos", generate.ignore_eos);
  read_logprobs(reader, limits.max_logprobs, generate);
  return generate;
}

}  // namespace axk1
