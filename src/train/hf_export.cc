#include "train/hf_export.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/bf16.h"
#include "base/error.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "model/config_json.h"

namespace axk1 {
namespace {

constexpr size_t kValuesAtOnce = size_t{1} << 20;

// Appends values in the type of the file, some at a time.
void append(SafetensorsWriter& out, const std::string& name, DType dtype,
            std::span<const float> values) {
  if (dtype == DType::kF32) return out.append_f32(name, values);
  std::vector<uint16_t> narrow;
  for (size_t at = 0; at < values.size(); at += kValuesAtOnce) {
    const auto part = values.subspan(at, std::min(kValuesAtOnce, values.size() - at));
    narrow.resize(part.size());
    std::transform(part.begin(), part.end(), narrow.begin(), f32_to_bf16);
    out.append(name, std::as_bytes(std::span(narrow)));
  }
}

}  // namespace

void export_huggingface(const ParamStore& params, const std::string& dir,
                        const ExportOptions& options) {
  if (options.dtype != DType::kBF16 && options.dtype != DType::kF32) {
    fail(ErrorCode::kUsage, "export: cannot write weights as ", dtype_name(options.dtype),
         ", expected bf16 or f32");
  }
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) fail(ErrorCode::kIo, dir, ": cannot be made: ", error.message());

  const ParamLayout& layout = params.layout();
  ModelConfig config = params.config();
  config.dtype = options.dtype;
  const std::vector<NamedSlice> slices = layout.slices(options.fused_experts);
  std::vector<TensorSpec> specs;
  for (const NamedSlice& slice : slices) specs.push_back({slice.name, options.dtype, slice.shape});
  std::vector<std::string> unapplied;
  const auto hidden = static_cast<uint64_t>(config.hidden_size);
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    if (layout.layers[i].is_moe) {
      specs.push_back({layout.router_bias_names[i],
                       DType::kF32,
                       {static_cast<uint64_t>(config.n_routed_experts)}});
    } else if (config.has_post_mlp_norm) {
      unapplied.push_back(cat("model.layers.", i, ".post_mlp_layernorm.weight"));
      specs.push_back({unapplied.back(), options.dtype, {hidden}});
    }
  }
  SafetensorsWriter out(dir + "/model.safetensors", specs, {{"format", "pt"}});
  for (const NamedSlice& slice : slices) {
    append(out, slice.name, options.dtype, params.values().subspan(slice.offset, slice.size));
  }
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    const LayerParams& layer = layout.layers[i];
    if (layer.is_moe) {
      out.append_f32(layout.router_bias_names[i], params.router_bias(layer.moe_idx));
    }
  }
  const std::vector<float> ones(hidden, 1.0f);
  for (const std::string& name : unapplied) append(out, name, options.dtype, ones);
  out.finish();
  write_file_atomic(dir + "/config.json", json::to_text(model_config_json(config)) + "\n");
}

}  // namespace axk1
