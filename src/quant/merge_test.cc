#include "quant/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/bf16.h"
#include "base/error.h"
#include "base/rng.h"
#include "formats/safetensors_dir.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "model/checkpoint.h"
#include "model/config_json.h"
#include "testing/shared_data.h"
#include "testing/tiny_config.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

struct ModelFiles {
  DType dtype = DType::kBF16;
  std::string changes = "{}";  // of the config
  std::string drop;            // the tensor to leave out
  std::string widen;           // the tensor to add a row or element to
  size_t shards = 1;
};

// A model directory of random values; returns its path.
std::string make_model(const std::string& dir, uint64_t seed, const ModelFiles& files = {}) {
  const ModelConfig config = testing::tiny_config(files.changes);
  std::filesystem::create_directories(dir);
  write_file_atomic(dir + "/config.json", json::to_text(model_config_json(config)));
  write_file_atomic(dir + "/chat_template.jinja", cat("template of ", seed));
  Rng rng(seed);
  std::vector<std::vector<TensorSpec>> specs(files.shards);
  size_t count = 0;
  for (const CheckpointTensor& tensor : expected_tensors(config)) {
    if (tensor.name == files.drop) continue;
    const bool bias = tensor.name.ends_with("e_score_correction_bias");
    TensorSpec spec{tensor.name, bias ? DType::kF32 : files.dtype, tensor.shape};
    if (tensor.name == files.widen) ++spec.shape[0];
    specs[count++ % files.shards].push_back(spec);
  }
  json::object weight_map;
  for (size_t s = 0; s < files.shards; ++s) {
    const std::string name =
        files.shards == 1 ? "model.safetensors" : cat("model-", s, ".safetensors");
    SafetensorsWriter out(cat(dir, "/", name), specs[s], {{"format", "pt"}});
    for (const TensorSpec& spec : specs[s]) {
      weight_map[spec.name] = name;
      uint64_t size = 1;
      for (uint64_t extent : spec.shape) size *= extent;
      std::vector<float> values(size);
      std::vector<uint16_t> narrow(size);
      for (uint64_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>(rng.normal());
        narrow[i] = spec.dtype == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      }
      if (spec.dtype == DType::kF32) {
        out.append_f32(spec.name, values);
      } else {
        out.append(spec.name, std::as_bytes(std::span(narrow)));
      }
    }
    out.finish();
  }
  if (files.shards > 1) {
    write_file_atomic(dir + "/model.safetensors.index.json",
                      json::to_text(json::object{{"weight_map", weight_map}}));
  }
  return dir;
}

std::vector<float> values_of(const std::vector<SafetensorsFile>& files, const std::string& name) {
  for (const SafetensorsFile& file : files) {
    if (const TensorInfo* tensor = file.find(name)) return file.read_f32(*tensor);
  }
  return {};
}

TEST(Merge, EveryTensorIsTheWeightedMean) {
  const TempDir dir;
  const std::string a = make_model(dir.path() + "/a", 1, {.shards = 2});
  const std::string b = make_model(dir.path() + "/b", 2, {.dtype = DType::kF16});
  const std::string out = dir.path() + "/out";
  const MergeResult result = merge_models(a, b, out, {.weight = 0.25});
  EXPECT_EQ(result.num_files, 2u);

  const auto from_a = open_safetensors_dir(a), from_b = open_safetensors_dir(b);
  const auto merged = open_safetensors_dir(out);
  size_t tensors = 0;
  for (const SafetensorsFile& file : from_a) {
    for (const TensorInfo& tensor : file.tensors()) {
      const auto x = values_of(from_a, tensor.name), y = values_of(from_b, tensor.name);
      const auto z = values_of(merged, tensor.name);
      ASSERT_EQ(z.size(), x.size()) << tensor.name;
      for (size_t i = 0; i < x.size(); ++i) {
        const float mean = 0.75f * x[i] + 0.25f * y[i];
        const float expected = tensor.dtype == DType::kF32 ? mean : bf16_to_f32(f32_to_bf16(mean));
        ASSERT_EQ(z[i], expected) << tensor.name;
      }
      ++tensors;
    }
  }
  EXPECT_EQ(result.num_tensors, tensors);
  const Checkpoint checkpoint = open_checkpoint(out);  // whole, with its config
  EXPECT_EQ(checkpoint.config.hidden_size, 20);
  EXPECT_EQ(read_file(out + "/chat_template.jinja"), "template of 1");
}

TEST(Merge, EndsOfTheScaleAreTheModelsThemselves) {
  const TempDir dir;
  const std::string a = make_model(dir.path() + "/a", 1), b = make_model(dir.path() + "/b", 2);
  merge_models(a, b, dir.path() + "/zero", {.weight = 0});
  merge_models(a, b, dir.path() + "/one", {.weight = 1});
  EXPECT_EQ(read_file(dir.path() + "/zero/model.safetensors"), read_file(a + "/model.safetensors"));
  EXPECT_EQ(read_file(dir.path() + "/one/model.safetensors"), read_file(b + "/model.safetensors"));
}

TEST(Merge, RefusalsNameWhatDisagrees) {
  const TempDir dir;
  const std::string a = make_model(dir.path() + "/a", 1);
  const auto error = [&](const std::string& b, const MergeOptions& options = {}) -> std::string {
    try {
      merge_models(a, b, dir.path() + "/out", options);
    } catch (const Error& e) {
      EXPECT_FALSE(file_exists(dir.path() + "/out"));
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error(make_model(dir.path() + "/b1", 2, {.drop = "model.norm.weight"})),
              HasSubstr("model.norm.weight: only in " + a));
  EXPECT_THAT(error(make_model(dir.path() + "/b2", 2, {.widen = "model.norm.weight"})),
              HasSubstr("model.norm.weight: [20] in " + a + ", [21] in "));
  EXPECT_THAT(error(make_model(dir.path() + "/b3", 2, {.changes = "{\"hidden_size\": 22}"})),
              HasSubstr("b3/config.json: hidden_size: found 22, expected 20 as in " + a));
  EXPECT_THAT(error(dir.path() + "/nothing"), HasSubstr("expected a Hugging Face directory"));
  EXPECT_THAT(error(a, {.weight = 1.5}), HasSubstr("weight 1.5, expected 0 to 1"));
  write_file_atomic(a + "/tokenizer.json", "{}");
  const std::string b4 = make_model(dir.path() + "/b4", 2);
  write_file_atomic(b4 + "/tokenizer.json", "{ }");
  EXPECT_THAT(error(b4), HasSubstr("b4/tokenizer.json: is not the tokenizer of "));
  std::filesystem::create_directories(dir.path() + "/out2");
  EXPECT_THROW(merge_models(a, a, dir.path() + "/out2"), Error);
}

}  // namespace
}  // namespace axk1
