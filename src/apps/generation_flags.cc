#include "apps/generation_flags.h"

#include <CLI/CLI.hpp>
#include <random>

#include "base/error.h"

namespace axk1 {

void add_generation_flags(CLI::App& command, GenerationFlags& flags) {
  const char* group = "Sampling (defaults: the model's generation_config.json)";
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->group(group);
  };
  add("--temperature", flags.temperature, "0 always takes the most likely token");
  add("--top-k", flags.top_k, "Keep the K most likely tokens; 0: all");
  add("--top-p", flags.top_p, "Keep the fewest most likely tokens whose probabilities reach P");
  add("--min-p", flags.min_p, "Keep tokens with at least P times the largest probability");
  add("--repetition-penalty", flags.repetition_penalty,
      "Divide the scores of tokens seen in prompt and answer; 1: off");
  add("--presence-penalty", flags.presence_penalty, "Subtract from tokens in the answer, -2 to 2");
  add("--frequency-penalty", flags.frequency_penalty,
      "Subtract for each occurrence in the answer, -2 to 2");
  add("--seed", flags.seed, "Same seed, same text (default: a new one each time)");
  add("--max-tokens", flags.max_tokens, "Most tokens of an answer; 0: until the context is full");
  add("--stop", flags.stop, "Text that ends the answer; may be given several times")
      ->allow_extra_args(false);
  command.add_flag("--ignore-eos", flags.ignore_eos, "Go on past the model's end tokens")
      ->group(group);
}

void add_thinking_flags(CLI::App& command, std::optional<bool>& thinking) {
  CLI::Option* think = command.add_flag_callback(
      "--think", [&thinking] { thinking = true; }, "Think before answering");
  command
      .add_flag_callback(
          "--no-think", [&thinking] { thinking = false; },
          "Answer at once (without either: what the chat template does by itself)")
      ->excludes(think);
}

SamplingOptions default_sampling(const GenerationDefaults& defaults) {
  SamplingOptions sampling;
  if (defaults.temperature) sampling.temperature = static_cast<float>(*defaults.temperature);
  if (defaults.top_p) sampling.top_p = static_cast<float>(*defaults.top_p);
  if (defaults.top_k) sampling.top_k = *defaults.top_k;
  if (defaults.min_p) sampling.min_p = static_cast<float>(*defaults.min_p);
  if (defaults.repetition_penalty) {
    sampling.repetition_penalty = static_cast<float>(*defaults.repetition_penalty);
  }
  if (defaults.do_sample == false) sampling.temperature = 0;
  return sampling;
}

GenerateOptions generate_options(const Engine& engine, const GenerationFlags& flags) {
  GenerateOptions options;
  SamplingOptions& sampling = options.sampling;
  sampling = default_sampling(engine.generation_defaults());
  const auto take = [](const std::optional<double>& flag, float& value) {
    if (flag) value = static_cast<float>(*flag);
  };
  take(flags.temperature, sampling.temperature);
  take(flags.top_p, sampling.top_p);
  take(flags.min_p, sampling.min_p);
  take(flags.repetition_penalty, sampling.repetition_penalty);
  take(flags.presence_penalty, sampling.presence_penalty);
  take(flags.frequency_penalty, sampling.frequency_penalty);
  if (flags.top_k) sampling.top_k = *flags.top_k;
  sampling.seed = flags.seed ? *flags.seed : draw_seed();
  try {
    check_sampling_options(sampling, engine.vocab_size());
  } catch (const Error& error) {
    throw Error(ErrorCode::kUsage, error.what());
  }
  options.max_tokens = flags.max_tokens;
  options.stop = flags.stop;
  options.ignore_eos = flags.ignore_eos;
  return options;
}

uint64_t draw_seed() {
  return std::random_device{}();
}

}  // namespace axk1
