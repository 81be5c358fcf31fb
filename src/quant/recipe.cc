#include "quant/recipe.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

constexpr const char* kClassNames[kNumTensorClasses] = {
    "embedding", "head",        "attention", "kv_b",        "dense_mlp", "dense_down",
    "shared",    "shared_down", "routed",    "routed_down", "router",    "vector"};

struct TypeName {
  const char* name;
  std::optional<DType> dtype;
};
constexpr TypeName kTypeNames[] = {{"q8", DType::kQ8},   {"q4", DType::kQ4},
                                   {"q3", DType::kQ3},   {"bf16", DType::kBF16},
                                   {"f32", DType::kF32}, {"keep", std::nullopt}};

struct NamedRecipe {
  const char* name;
  std::optional<DType> embedding, head, attention, kv_b, dense, shared, routed;
};
constexpr auto kQ8 = DType::kQ8, kQ4 = DType::kQ4, kQ3 = DType::kQ3, kBF16 = DType::kBF16;
constexpr NamedRecipe kNamedRecipes[] = {
    // name   embed  head   attention kv_b   dense  shared routed
    {"q8", kQ8, kQ8, kQ8, kBF16, kQ8, kQ8, kQ8},
    {"q4", kQ8, kQ8, kQ4, kBF16, kQ4, kQ4, kQ4},
    {"q3", kQ8, kQ4, kQ4, kBF16, kQ4, kQ4, kQ3},
    {"bf16", kBF16, kBF16, kBF16, kBF16, kBF16, kBF16, kBF16},
    {"keep", {}, {}, {}, {}, {}, {}, {}},
};

constexpr std::pair<TensorClass, TensorClass> kDownOf[] = {
    {TensorClass::kDenseMlp, TensorClass::kDenseDown},
    {TensorClass::kShared, TensorClass::kSharedDown},
    {TensorClass::kRouted, TensorClass::kRoutedDown}};

bool takes_quantized(TensorClass tensor_class) {
  return tensor_class != TensorClass::kKvB && tensor_class != TensorClass::kRouter;
}

const char* type_name(std::optional<DType> dtype) {
  for (const TypeName& type : kTypeNames) {
    if (type.dtype == dtype) return type.name;
  }
  return "?";
}

}  // namespace

const char* tensor_class_name(TensorClass tensor_class) {
  return kClassNames[static_cast<size_t>(tensor_class)];
}

TensorClass tensor_class_of(std::string_view name, std::span<const uint64_t> shape) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  const bool down = name.ends_with(".down_proj.weight");
  if (shape.size() < 2) return TensorClass::kVector;
  if (name == "model.embed_tokens.weight") return TensorClass::kEmbedding;
  if (name == "lm_head.weight") return TensorClass::kHead;
  if (has(".self_attn.kv_b_proj.")) return TensorClass::kKvB;
  if (has(".self_attn.") || name.ends_with(".eh_proj.weight")) return TensorClass::kAttention;
  if (name.ends_with(".mlp.gate.weight")) return TensorClass::kRouter;
  if (has(".mlp.shared_experts.")) return down ? TensorClass::kSharedDown : TensorClass::kShared;
  if (has(".mlp.experts.")) return down ? TensorClass::kRoutedDown : TensorClass::kRouted;
  return down ? TensorClass::kDenseDown : TensorClass::kDenseMlp;
}

DType Recipe::type_for(TensorClass tensor_class, std::span<const uint64_t> shape,
                       DType stored) const {
  if (tensor_class == TensorClass::kVector) return DType::kF32;
  const DType wanted = (*this)[tensor_class].value_or(stored);
  const bool too_short = is_quantized(wanted) && shape.back() < kGroupCols;
  return too_short ? DType::kBF16 : wanted;
}

Recipe named_recipe(std::string_view name) {
  std::string names;
  for (const NamedRecipe& found : kNamedRecipes) {
    names += cat(names.empty() ? "" : ", ", found.name);
    if (name != found.name) continue;
    Recipe recipe{.name = found.name};
    recipe[TensorClass::kEmbedding] = found.embedding;
    recipe[TensorClass::kHead] = found.head;
    recipe[TensorClass::kAttention] = found.attention;
    recipe[TensorClass::kKvB] = found.kv_b;
    recipe[TensorClass::kDenseMlp] = recipe[TensorClass::kDenseDown] = found.dense;
    recipe[TensorClass::kShared] = recipe[TensorClass::kSharedDown] = found.shared;
    recipe[TensorClass::kRouted] = recipe[TensorClass::kRoutedDown] = found.routed;
    recipe[TensorClass::kVector] = DType::kF32;
    return recipe;
  }
  fail(ErrorCode::kUsage, "found recipe \"", printable(name), "\", expected one of ", names);
}

Recipe parse_recipe(std::string_view text, const std::string& source) {
  const json::value document = json::parse(text, source);
  const json::ObjectReader reader(document, source);
  Recipe recipe;
  const std::string base = reader.string_or("base", kDefaultRecipe);
  try {
    recipe = named_recipe(base);
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidInput, source, ": field \"base\": ", error.what());
  }
  recipe.name = base + ", changed";
  for (const auto& [key, value] : reader.fields()) {
    if (key == "base") continue;
    const auto at = std::ranges::find(kClassNames, std::string_view(key));
    const auto tensor_class = static_cast<TensorClass>(at - kClassNames);
    if (at == std::end(kClassNames) || tensor_class == TensorClass::kVector) {
      std::string names;
      for (size_t i = 0; i + 1 < kNumTensorClasses; ++i) names += cat(", ", kClassNames[i]);
      fail(ErrorCode::kInvalidInput, source, ": unknown field \"", printable(key),
           "\", expected base", names);
    }
    const std::string type = reader.get_string(key);
    const auto known = std::ranges::find(kTypeNames, type, &TypeName::name);
    if (known == std::end(kTypeNames)) {
      reader.wrong(key, value, "q8, q4, q3, bf16, f32 or keep");
    }
    if (known->dtype && is_quantized(*known->dtype) && !takes_quantized(tensor_class)) {
      reader.wrong(key, value, "bf16, f32 or keep: this class is never quantised");
    }
    recipe[tensor_class] = known->dtype;
  }
  for (const auto& [both, down] : kDownOf) {
    if (reader.find(tensor_class_name(both)) && !reader.find(tensor_class_name(down))) {
      recipe[down] = recipe[both];
    }
  }
  return recipe;
}

json::object recipe_json(const Recipe& recipe) {
  json::object out;
  for (size_t i = 0; i < kNumTensorClasses; ++i) out[kClassNames[i]] = type_name(recipe.types[i]);
  return out;
}

}  // namespace axk1
