#include "quant/merge.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/bf16.h"
#include "base/error.h"
#include "formats/safetensors_dir.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "io/json.h"
#include "io/named_files.h"
#include "model/config_json.h"
#include "model/widen.h"
#include "quant/convert.h"

namespace axk1 {
namespace {

namespace fs = std::filesystem;

constexpr size_t kValuesAtOnce = size_t{1} << 20;
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kMaxSmallFileBytes = 1 << 28;

// What config.json says, but for the type that weights are stored in.
json::object architecture(const NamedFiles& files) {
  json::object config = model_config_json(load_model_config(files));
  config.erase("dtype");
  return config;
}

void check_configs(const NamedFiles& a, const NamedFiles& b) {
  const json::object of_a = architecture(a), of_b = architecture(b);
  const auto text = [](const json::object& config, std::string_view field) {
    const json::value* value = config.if_contains(field);
    return value ? json::to_text(*value) : std::string("nothing");
  };
  const auto compare = [&](const json::object& fields) {
    for (const auto& [key, value] : fields) {
      const std::string_view field(key.data(), key.size());
      if (text(of_a, field) != text(of_b, field)) {
        fail(ErrorCode::kInvalidInput, b.place("config.json"), ": ", field, ": found ",
             printable(text(of_b, field)), ", expected ", printable(text(of_a, field)), " as in ",
             a.place("config.json"));
      }
    }
  };
  compare(of_a);
  compare(of_b);
  const char* tokenizer = "tokenizer.json";
  if (a.contains(tokenizer) && b.contains(tokenizer) &&
      a.read(tokenizer, kMaxSmallFileBytes) != b.read(tokenizer, kMaxSmallFileBytes)) {
    fail(ErrorCode::kInvalidInput, b.place(tokenizer), ": is not the tokenizer of ",
         a.place(tokenizer));
  }
}

struct Located {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
};

Located find(const std::vector<SafetensorsFile>& files, std::string_view name) {
  for (const SafetensorsFile& file : files) {
    if (const TensorInfo* info = file.find(name)) return {&file, info};
  }
  return {};
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

// All tensors that do not agree, the first few by name.
void check_tensors(const std::vector<SafetensorsFile>& a, const std::string& path_a,
                   const std::vector<SafetensorsFile>& b, const std::string& path_b) {
  constexpr size_t kNamed = 5;
  std::string named;
  size_t count = 0;
  const auto note = [&](const std::string& name, const std::string& what) {
    if (++count <= kNamed) named += cat(named.empty() ? "" : "; ", name, ": ", what);
  };
  for (const SafetensorsFile& file : a) {
    for (const TensorInfo& tensor : file.tensors()) {
      const Located other = find(b, tensor.name);
      if (!other.info) {
        note(tensor.name, cat("only in ", path_a));
      } else if (other.info->shape != tensor.shape) {
        note(tensor.name, cat(shape_text(tensor.shape), " in ", path_a, ", ",
                              shape_text(other.info->shape), " in ", path_b));
      } else if (!is_float(tensor.dtype) || !is_float(other.info->dtype)) {
        note(tensor.name,
             cat(dtype_name(tensor.dtype), " in ", path_a, ", ", dtype_name(other.info->dtype),
                 " in ", path_b, ", expected F32, BF16 or F16"));
      }
    }
  }
  for (const SafetensorsFile& file : b) {
    for (const TensorInfo& tensor : file.tensors()) {
      if (!find(a, tensor.name).info) note(tensor.name, cat("only in ", path_b));
    }
  }
  if (count == 0) return;
  fail(ErrorCode::kInvalidInput, "cannot merge ", path_a, " and ", path_b, ": ", named,
       count > kNamed ? cat("; and ", count - kNamed, " more tensors") : "");
}

class Merger {
 public:
  explicit Merger(double weight) : weight_(static_cast<float>(weight)) {}

  // Calls write(bytes) with pieces of the merged tensor, of the type of `a`.
  template <class Write>
  void merge(const Located& a, const Located& b, Write&& write) {
    const std::span<const std::byte> bytes_a = a.file->bytes(*a.info);
    const std::span<const std::byte> bytes_b = b.file->bytes(*b.info);
    const size_t size_a = dtype_bytes(a.info->dtype), size_b = dtype_bytes(b.info->dtype);
    const uint64_t total = a.info->num_elements();
    for (uint64_t at = 0; at < total; at += kValuesAtOnce) {
      const size_t n = std::min<uint64_t>(kValuesAtOnce, total - at);
      const auto part_a = bytes_a.subspan(at * size_a, n * size_a);
      const auto part_b = bytes_b.subspan(at * size_b, n * size_b);
      x_.resize(n);
      y_.resize(n);
      widen_rows(a.info->dtype, part_a.data(), 1, n, x_.data());
      widen_rows(b.info->dtype, part_b.data(), 1, n, y_.data());
      for (size_t i = 0; i < n; ++i) x_[i] = (1 - weight_) * x_[i] + weight_ * y_[i];
      write(narrowed(a.info->dtype));
      release_mapped(part_a);
      release_mapped(part_b);
    }
  }

 private:
  std::span<const std::byte> narrowed(DType dtype) {
    if (dtype == DType::kF32) return std::as_bytes(std::span(x_));
    narrow_.resize(x_.size());
    std::ranges::transform(x_, narrow_.begin(), dtype == DType::kBF16 ? f32_to_bf16 : f32_to_f16);
    return std::as_bytes(std::span(narrow_));
  }

  float weight_;
  std::vector<float> x_, y_;
  std::vector<uint16_t> narrow_;
};

}  // namespace

MergeResult merge_models(const std::string& a, const std::string& b, const std::string& dir,
                         const MergeOptions& options) {
  if (!(options.weight >= 0 && options.weight <= 1)) {
    fail(ErrorCode::kUsage, "merge: weight ", options.weight, ", expected 0 to 1");
  }
  for (const std::string& path : {a, b}) {
    if (!is_directory(path)) {
      fail(ErrorCode::kInvalidInput, path, ": expected a Hugging Face directory");
    }
  }
  if (file_exists(dir)) {
    fail(ErrorCode::kIo, dir, ": is there already, expected a directory to make");
  }
  const NamedFiles small_files(a);
  check_configs(small_files, NamedFiles(b));
  const std::vector<SafetensorsFile> files_a = open_safetensors_dir(a);
  const std::vector<SafetensorsFile> files_b = open_safetensors_dir(b);
  check_tensors(files_a, a, files_b, b);

  MergeResult result{.num_files = files_a.size()};
  uint64_t total = 0;
  for (const SafetensorsFile& file : files_a) {
    for (const TensorInfo& tensor : file.tensors()) total += tensor.size_bytes;
  }
  const std::string part = dir + ".part";
  Merger merger(options.weight);
  try {
    fs::remove_all(part);  // of a run that was interrupted
    fs::create_directories(part);
    for (const SafetensorsFile& file : files_a) {
      std::vector<TensorSpec> specs;
      for (const TensorInfo& t : file.tensors()) specs.push_back({t.name, t.dtype, t.shape});
      SafetensorsWriter out(cat(part, "/", fs::path(file.path()).filename().string()), specs,
                            file.header().metadata);
      for (const TensorInfo& tensor : file.tensors()) {
        merger.merge({&file, &tensor}, find(files_b, tensor.name),
                     [&](std::span<const std::byte> bytes) {
                       out.append(tensor.name, bytes);
                       result.tensor_bytes += bytes.size();
                       if (options.progress) options.progress(result.tensor_bytes, total);
                     });
        ++result.num_tensors;
      }
      out.finish();
    }
    for (const auto& [name, bytes] : members_of(small_files)) {
      const fs::path path = fs::path(part) / name;
      fs::create_directories(path.parent_path());
      write_file_atomic(path.string(), bytes);
    }
    if (files_a.size() > 1) {
      write_file_atomic(cat(part, "/", kIndex), read_file(cat(a, "/", kIndex)));
    }
    fs::rename(part, dir);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorCode::kIo, error.path1().string(), ": ", error.code().message());
  }
  return result;
}

}  // namespace axk1
