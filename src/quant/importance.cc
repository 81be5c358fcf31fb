#include "quant/importance.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace axk1 {

std::optional<ExpertName> parse_expert_name(std::string_view tensor_name) {
  constexpr std::string_view kExperts = ".experts.";
  const size_t at = tensor_name.find(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = tensor_name.substr(at + kExperts.size());
  ExpertName name;
  const auto [end, error] =
      std::from_chars(rest.data(), rest.data() + rest.size(), name.expert_idx);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') return std::nullopt;
  name.group = tensor_name.substr(0, at + kExperts.size());
  name.group += rest.substr(static_cast<size_t>(end - rest.data()) + 1);
  return name;
}

Importance Importance::load(const std::string& path) {
  return Importance(path);
}

Importance::Importance(const std::string& path) : file_(path) {
  const auto format = metadata().find("format");
  if (format == metadata().end() || format->second != kImportanceFormat) {
    fail(ErrorCode::kInvalidInput, path, ": metadata \"format\" is ",
         format == metadata().end() ? "missing" : cat("\"", printable(format->second, 40), "\""),
         ", expected \"", kImportanceFormat, "\", what axk1 calibrate writes");
  }
  const auto tied = metadata().find("tied");
  tied_ = tied != metadata().end() && tied->second == "true";
  for (const TensorInfo& tensor : file_.tensors()) {
    if (tensor.name.ends_with(kImportanceSuffix)) {
      read_entry(tensor, tensor.name.substr(0, tensor.name.size() - kImportanceSuffix.size()));
    } else if (!tensor.name.ends_with(kImportanceRowsSuffix)) {
      fail(ErrorCode::kInvalidInput, path, ": tensor \"", printable(tensor.name),
           "\" is neither NAME", kImportanceSuffix, " nor NAME", kImportanceRowsSuffix);
    }
  }
}

void Importance::read_entry(const TensorInfo& values, const std::string& name) {
  const auto wrong = [&](const auto&... parts) {
    fail(ErrorCode::kInvalidInput, file_.path(), ": tensor \"", printable(values.name), "\" ",
         parts...);
  };
  Entry entry;
  entry.is_experts = values.shape.size() == 2;
  if (values.dtype != DType::kF32 || values.shape.empty() || values.shape.size() > 2) {
    wrong("is ", dtype_name(values.dtype), " ", shape_text(values.shape),
          ", expected F32 [in_features] or [experts, in_features]");
  }
  const uint64_t experts = entry.is_experts ? values.shape[0] : 1, columns = values.shape.back();
  const TensorInfo* rows = file_.find(name + std::string(kImportanceRowsSuffix));
  if (!rows || rows->dtype != DType::kI32 || rows->shape != std::vector<uint64_t>{experts}) {
    wrong("has no ", kImportanceRowsSuffix, " beside it of type I32 and shape [", experts, "]");
  }
  if (experts == 0 || columns == 0) wrong("is empty");

  const std::span<const std::byte> row_bytes = file_.bytes(*rows);
  for (uint64_t e = 0; e < experts; ++e) {
    int32_t count;
    std::memcpy(&count, row_bytes.data() + e * sizeof count, sizeof count);
    if (count < 0) wrong("has ", count, " rows at index ", e, ", expected none or more");
    entry.rows.push_back(static_cast<uint64_t>(count));
  }
  const std::span<const std::byte> bytes = file_.bytes(values);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(float) == 0) {
    entry.values = {reinterpret_cast<const float*>(bytes.data()), experts * columns};
  } else {
    entry.copy = file_.read_f32(values);
    entry.values = entry.copy;
  }
  for (uint64_t i = 0; i < experts * columns; ++i) {
    if (!std::isfinite(entry.values[i]) || entry.values[i] < 0) {
      wrong("has ", double{entry.values[i]}, " at index ", i, ", expected a mean of squares");
    }
  }
  uint64_t total = 0;
  std::vector<double> sums(columns);
  for (uint64_t e = 0; e < experts; ++e) {
    total += entry.rows[e];
    for (uint64_t c = 0; c < columns; ++c) {
      sums[c] += static_cast<double>(entry.rows[e]) * double{entry.values[e * columns + c]};
    }
  }
  entry.mean.resize(columns);
  for (uint64_t c = 0; c < columns && total; ++c) {
    entry.mean[c] = static_cast<float>(sums[c] / static_cast<double>(total));
  }
  entries_.emplace(name, std::move(entry));
}

Importance::Place Importance::place_of(std::string_view tensor_name) const {
  const auto lookup = [&](const std::string& name) -> Place {
    if (const auto at = entries_.find(name); at != entries_.end() && !at->second.is_experts) {
      return {&at->second, 0};
    }
    if (const auto expert = parse_expert_name(name)) {
      const auto at = entries_.find(expert->group);
      if (at != entries_.end() && at->second.is_experts &&
          expert->expert_idx < at->second.rows.size()) {
        return {&at->second, expert->expert_idx};
      }
    }
    return {};
  };
  const std::string name(tensor_name);
  if (const Place place = lookup(name); place.entry) return place;
  constexpr std::string_view kUp = ".up_proj.weight";
  if (name.ends_with(kUp)) {
    return lookup(name.substr(0, name.size() - kUp.size()) + ".gate_proj.weight");
  }
  if (tied_ && name == "model.embed_tokens.weight") return lookup("lm_head.weight");
  return {};
}

std::span<const float> Importance::find(std::string_view tensor_name) const {
  const auto [entry, expert_idx] = place_of(tensor_name);
  if (!entry) return {};
  const size_t columns = entry->num_columns();
  if (entry->rows[expert_idx]) return entry->values.subspan(expert_idx * columns, columns);
  for (const uint64_t rows : entry->rows) {
    if (rows) return entry->mean;
  }
  return {};
}

uint64_t Importance::num_rows(std::string_view tensor_name) const {
  const auto [entry, expert_idx] = place_of(tensor_name);
  return entry ? entry->rows[expert_idx] : 0;
}

}  // namespace axk1
