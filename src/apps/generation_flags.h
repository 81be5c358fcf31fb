// Command-line options for how an answer is made, and what holds where none is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"

namespace CLI {
class App;
}

namespace axk1 {

struct GenerationFlags {
  std::optional<double> temperature, top_p, min_p;
  std::optional<double> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  size_t max_tokens = 0;  // 0: until the context is full
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// `flags` must outlive the parsing.
void add_generation_flags(CLI::App& command, GenerationFlags& flags);

// --think and --no-think; `thinking` stays empty when neither is given, and must outlive the
// parsing.
void add_thinking_flags(CLI::App& command, std::optional<bool>& thinking);

// What generation_config.json says; where it says nothing, the defaults of the OpenAI API
// (temperature 1, nothing cut). "do_sample": false is greedy.
SamplingOptions default_sampling(const GenerationDefaults& defaults);

// default_sampling of the engine's model, with the flags over it. Without --seed the seed is drawn
// anew. Throws Error(kUsage) for values out of range.
GenerateOptions generate_options(const Engine& engine, const GenerationFlags& flags);

// A seed from the system, small enough to be copied by hand.
uint64_t draw_seed();

}  // namespace axk1
