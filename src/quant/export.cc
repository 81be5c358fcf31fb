#include "quant/export.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/bf16.h"
#include "base/bits.h"
#include "base/error.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "model/widen.h"
#include "quant/convert.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceRows = 32 * kPanelRows;

bool exact_in_bf16(const CheckpointTensor& tensor) {
  std::vector<float> values(tensor.shape[0]);
  widen_rows(tensor.dtype, tensor.bytes.data(), 1, values.size(), values.data());
  return std::ranges::all_of(values, [](float v) { return bf16_to_f32(f32_to_bf16(v)) == v; });
}

DType exported_type(const CheckpointTensor& tensor) {
  if (is_quantized(tensor.dtype)) return DType::kBF16;
  if (tensor.shape.size() != 1 || tensor.dtype != DType::kF32) return tensor.dtype;
  const bool is_bias = tensor.name.ends_with(".e_score_correction_bias");
  return !is_bias && exact_in_bf16(tensor) ? DType::kBF16 : DType::kF32;
}

struct Shard {
  std::string file;
  std::vector<const CheckpointTensor*> tensors;
  std::vector<TensorSpec> specs;
  uint64_t bytes = 0;
};

std::vector<Shard> cut(const Checkpoint& source, uint64_t max_bytes) {
  std::vector<Shard> shards(1);
  for (const CheckpointTensor& tensor : source.tensors) {
    const DType dtype = exported_type(tensor);
    uint64_t bytes = dtype_bytes(dtype);
    for (uint64_t extent : tensor.shape) bytes *= extent;
    if (!shards.back().tensors.empty() && shards.back().bytes + bytes > max_bytes) {
      shards.emplace_back();
    }
    shards.back().tensors.push_back(&tensor);
    shards.back().specs.push_back({tensor.name, dtype, tensor.shape});
    shards.back().bytes += bytes;
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64] = "model.safetensors";
    if (shards.size() > 1) {
      std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    }
    shards[i].file = name;
  }
  return shards;
}

class ShardWriter {
 public:
  ShardWriter(const Shard& shard, const std::string& path, ThreadPool& pool)
      : shard_(shard),
        writer_(path, shard.specs, {{"format", "pt"}}),
        pool_(pool),
        scratch_(static_cast<size_t>(pool.num_threads())) {}

  template <class Progress>
  void write(Progress&& progress) {
    for (size_t t = 0; t < shard_.tensors.size(); ++t) {
      const CheckpointTensor& tensor = *shard_.tensors[t];
      const size_t cols = tensor.shape.back();
      const size_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
      for (size_t first = 0; first < rows; first += kPieceRows) {
        const size_t count = std::min(kPieceRows, rows - first);
        piece(tensor, shard_.specs[t].dtype, first, count, cols);
        writer_.append(tensor.name, piece_);
        release_mapped(tensor.bytes.subspan(matrix_bytes(tensor.dtype, first, cols),
                                            matrix_bytes(tensor.dtype, count, cols)));
        progress(piece_.size());
      }
    }
    writer_.finish();
  }

 private:
  void piece(const CheckpointTensor& tensor, DType dtype, size_t first, size_t count, size_t cols) {
    const std::byte* from = tensor.bytes.data() + matrix_bytes(tensor.dtype, first, cols);
    piece_.resize(matrix_bytes(dtype, count, cols));
    if (dtype == tensor.dtype) {
      std::memcpy(piece_.data(), from, piece_.size());
      return;
    }
    pool_.parallel_tasks(ceil_div(count, kPanelRows), [&](size_t panel, int thread_idx) {
      const size_t row = panel * kPanelRows, n = std::min(kPanelRows, count - row) * cols;
      std::vector<float>& x = scratch_[static_cast<size_t>(thread_idx)];
      x.resize(n);
      widen_rows(tensor.dtype, from + matrix_bytes(tensor.dtype, row, cols), n / cols, cols,
                 x.data());
      for (size_t i = 0; i < n; ++i) {  // all that changes its type becomes bf16
        const uint16_t bits = f32_to_bf16(x[i]);
        std::memcpy(piece_.data() + 2 * (row * cols + i), &bits, sizeof bits);
      }
    });
  }

  const Shard& shard_;
  SafetensorsWriter writer_;
  ThreadPool& pool_;
  std::vector<std::byte> piece_;
  std::vector<std::vector<float>> scratch_;  // [threads]
};

std::string config_text(const Checkpoint& source, DType dtype) {
  const std::string place = source.files.place("config.json");
  json::value config = json::parse(source.files.read("config.json", 16 << 20), place);
  json::object& fields = config.as_object();
  const char* name = dtype == DType::kF32   ? "float32"
                     : dtype == DType::kF16 ? "float16"
                                            : "bfloat16";
  fields[fields.contains("torch_dtype") && !fields.contains("dtype") ? "torch_dtype" : "dtype"] =
      name;
  return json::to_text(config) + "\n";
}

void write_small_files(const Checkpoint& source, const std::vector<Shard>& shards, DType dtype,
                       const std::string& dir) {
  for (const auto& [name, bytes] : members_of(source.files)) {
    const fs::path path = fs::path(dir) / name;
    fs::create_directories(path.parent_path());
    write_file_atomic(path.string(), name == "config.json" ? config_text(source, dtype) : bytes);
  }
  if (shards.size() == 1) return;
  json::object weight_map;
  uint64_t total = 0;
  for (const Shard& shard : shards) {
    for (const TensorSpec& spec : shard.specs) weight_map[spec.name] = shard.file;
    total += shard.bytes;
  }
  const json::object index{{"metadata", {{"total_size", total}}},
                           {"weight_map", std::move(weight_map)}};
  write_file_atomic(dir + "/model.safetensors.index.json", json::to_text(index) + "\n");
}

}  // namespace

ExportResult export_safetensors(const Checkpoint& source, const std::string& dir,
                                const ExportOptions& options, ThreadPool& pool) {
  if (file_exists(dir)) {
    fail(ErrorCode::kIo, dir, ": is there already, expected a directory to make");
  }
  const std::vector<Shard> shards = cut(source, options.max_shard_bytes);
  ExportResult result{.num_files = shards.size()};
  for (const Shard& shard : shards) result.tensor_bytes += shard.bytes;
  const std::string part = dir + ".part";
  try {
    fs::remove_all(part);  // of a run that was interrupted
    fs::create_directories(part);
    uint64_t done = 0;
    for (const Shard& shard : shards) {
      ShardWriter(shard, part + "/" + shard.file, pool).write([&](uint64_t bytes) {
        done += bytes;
        if (options.progress) options.progress(done, result.tensor_bytes);
      });
    }
    write_small_files(source, shards, exported_type(source.tensors.front()), part);
    fs::rename(part, dir);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorCode::kIo, error.path1().string(), ": ", error.code().message());
  }
  return result;
}

}  // namespace axk1
