// Which type each class of tensors is stored as in a k1pack file (docs/formats.md, "Recipes").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/json.h"
#include "tensor/dtype.h"

namespace axk1 {

enum class TensorClass : uint8_t {
  kEmbedding,  // also the head when the two are one matrix
  kHead,
  kAttention,  // q_proj, q_a_proj, q_b_proj, kv_a_proj_with_mqa, o_proj; eh_proj of an MTP layer
  kKvB,        // kv_b_proj: never quantised, its absorbed form is read by columns
  kDenseMlp,   // gate_proj and up_proj of dense layers
  kDenseDown,
  kShared,
  kSharedDown,
  kRouted,
  kRoutedDown,
  kRouter,  // never quantised: it decides, and is small
  kVector,  // norms and the router's bias: always f32
};
inline constexpr size_t kNumTensorClasses = 12;

// "embedding", "head", "attention", "kv_b", "dense_mlp", "dense_down", ...
const char* tensor_class_name(TensorClass tensor_class);

// Of a tensor named as in a checkpoint with one tensor per expert.
TensorClass tensor_class_of(std::string_view name, std::span<const uint64_t> shape);

struct Recipe {
  std::string name;
  // By class; nothing: the type of the source is kept.
  std::array<std::optional<DType>, kNumTensorClasses> types;

  std::optional<DType>& operator[](TensorClass c) { return types[static_cast<size_t>(c)]; }
  const std::optional<DType>& operator[](TensorClass c) const {
    return types[static_cast<size_t>(c)];
  }

  // What a tensor becomes that is stored as `stored` now. Rows too short for a group of the
  // quantised types (tensor/packed.h) become bf16 instead.
  DType type_for(TensorClass tensor_class, std::span<const uint64_t> shape, DType stored) const;
};

inline constexpr const char* kDefaultRecipe = "q4";

// "q8", "q4", "q3", "bf16" or "keep" (changes nothing but the container). Throws Error(kUsage) for
// any other name, listing them.
Recipe named_recipe(std::string_view name);

// A JSON object: "base", the name of a recipe to begin with (default: kDefaultRecipe), and types
// ("q8", "q4", "q3", "bf16", "f32", "keep") by class. "dense_mlp", "shared" and "routed" are also
// the types of their down_proj unless "dense_down", "shared_down", "routed_down" say otherwise.
// Throws Error naming `source` for any other field or type, and for quantised types where a class
// does not take them.
Recipe parse_recipe(std::string_view text, const std::string& source);

// The types by class name.
json::object recipe_json(const Recipe& recipe);

}  // namespace axk1
