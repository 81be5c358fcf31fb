#include "quant/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "base/bf16.h"
#include "base/error.h"
#include "formats/safetensors_dir.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "model/plan.h"
#include "model/widen.h"
#include "quant/export.h"
#include "quant/quantize.h"
#include "quant/synthetic.h"
#include "tensor/packed.h"
#include "testing/golden.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::testdata;

struct Values {
  DType dtype;
  std::vector<uint64_t> shape;
  std::vector<float> x;
  std::string bytes;
};

// By name, whatever the container.
std::map<std::string, Values> values_of(const Checkpoint& checkpoint) {
  std::map<std::string, Values> all;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const size_t cols = tensor.shape.back();
    const size_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
    Values v{tensor.dtype, tensor.shape, std::vector<float>(rows * cols), {}};
    widen_rows(tensor.dtype, tensor.bytes.data(), rows, cols, v.x.data());
    v.bytes.assign(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    all[tensor.name] = std::move(v);
  }
  return all;
}

std::vector<std::string> models() {
  std::vector<std::string> paths = {testdata("../models/nano-v0")};
  for (const std::string& name : testing::kGoldenCases) paths.push_back(testdata("golden/" + name));
  return paths;
}

PackResult convert(const std::string& from, const std::string& to, const char* recipe) {
  ThreadPool pool(2);
  return convert_to_k1pack(open_checkpoint(from), to, {.recipe = named_recipe(recipe)}, pool);
}

template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Every tensor of every model, in every recipe: exactly what rounding it panel by panel gives.
TEST(Convert, EveryTensorIsWhatTheRecipeSays) {
  const TempDir dir;
  size_t cases = 0;
  for (const std::string& model : models()) {
    const Checkpoint source = open_checkpoint(model);
    const auto expected = values_of(source);
    for (const char* name : {"q8", "q4", "q3", "bf16", "keep"}) {
      SCOPED_TRACE(model + " " + name);
      if (std::string_view(name) == "q3" && model.ends_with("nano-v0")) continue;  // slow
      const std::string path = dir.path() + "/m.k1pack";
      std::filesystem::remove(path);
      convert(model, path, name);
      const Checkpoint packed = open_checkpoint(path);
      const auto found = values_of(packed);
      ASSERT_EQ(found.size(), expected.size());
      EXPECT_EQ(packed.summary.parameters, source.summary.parameters);
      const Recipe recipe = named_recipe(name);
      for (const auto& [tensor, from] : expected) {
        const Values& to = found.at(tensor);
        ASSERT_EQ(to.shape, from.shape) << tensor;
        const TensorClass tensor_class = tensor_class_of(tensor, from.shape);
        ASSERT_EQ(to.dtype, recipe.type_for(tensor_class, from.shape, from.dtype)) << tensor;
        if (to.dtype == from.dtype) {
          EXPECT_EQ(to.bytes, from.bytes) << tensor;
        } else if (is_quantized(to.dtype)) {
          const size_t cols = from.shape[1];
          std::string panels(matrix_bytes(to.dtype, from.shape[0], cols), '\0');
          for (size_t r = 0; r < from.shape[0]; r += kPanelRows) {
            quantize_panel(to.dtype, from.x.data() + r * cols,
                           std::min(kPanelRows, from.shape[0] - r), cols, {},
                           panels.data() + r / kPanelRows * panel_bytes(to.dtype, cols));
          }
          EXPECT_TRUE(to.bytes == panels) << tensor;
        } else {
          for (size_t i = 0; i < from.x.size(); ++i) {
            const float x = from.x[i];
            ASSERT_EQ(to.x[i], to.dtype == DType::kF32 ? x : bf16_to_f32(f32_to_bf16(x)));
          }
        }
        ++cases;
      }
    }
  }
  std::printf("[ cases ] converted tensors: %zu\n", cases);
}

// A model that keeps its types computes the same bits from a k1pack file, mapped or read.
TEST(Convert, KeptTypesComputeTheSameBits) {
  const TempDir dir;
  for (const std::string& name : testing::kGoldenCases) {
    const testing::GoldenCase golden(name);
    const std::string path = dir.path() + "/" + name + ".k1pack";
    convert(golden.dir, path, "keep");
    const std::vector<int32_t> ids = golden.ids("ids");
    testing::LoadedModel original(golden.dir, DType::kF32, "", 1), packed(path, DType::kF32, "", 1);
    EXPECT_EQ(testing::run_whole(packed, ids, 8), testing::run_whole(original, ids, 8)) << name;
    const ModelWeights read = load_weights(path, load_model_config(path),
                                           {.dtype = DType::kF32, .load = K1PackLoad::kRead});
    Forward forward(original.config, read, original.kernels, original.pool);
    const auto last_logits = [&](Forward& of) {
      KvCache cache = original.new_cache(ids.size());
      const SequenceInput input{.tokens = ids, .cache = &cache};
      of.run({&input, 1});
      const std::span<const float> logits = of.logits(0, 1);
      return std::vector<float>(logits.begin(), logits.end());
    };
    EXPECT_EQ(last_logits(forward), last_logits(original.forward)) << name;
  }
}

TEST(Convert, BackToSafetensors) {
  const TempDir dir;
  ThreadPool pool(2);
  size_t cases = 0;
  for (const std::string& model : models()) {
    const uint64_t whole = open_checkpoint(model).summary.weight_bytes;
    for (const uint64_t shard_bytes : {2 * whole, whole / 3}) {
      const std::string name = dir.path() + cat("/m", cases++);
      SCOPED_TRACE(model);
      convert(model, name + ".k1pack", "keep");
      const ExportResult result = export_safetensors(open_checkpoint(name + ".k1pack"), name,
                                                     {.max_shard_bytes = shard_bytes}, pool);
      EXPECT_EQ(result.num_files > 1, shard_bytes < whole);
      EXPECT_EQ(open_safetensors_dir(name).size(), result.num_files);
      const Checkpoint before = open_checkpoint(model), after = open_checkpoint(name);
      EXPECT_EQ(load_model_config(name).dtype, before.tensors.front().dtype);
      const auto expected = values_of(before), found = values_of(after);
      ASSERT_EQ(found.size(), expected.size());
      for (const auto& [tensor, from] : expected) {
        EXPECT_EQ(found.at(tensor).x, from.x) << tensor;
        if (from.shape.size() == 2) {
          EXPECT_EQ(found.at(tensor).dtype, from.dtype) << tensor;
        }
      }
      for (const char* file : {"tokenizer.json", "generation_config.json", "chat_template.jinja"}) {
        EXPECT_EQ(after.files.contains(file), before.files.contains(file)) << file;
      }
    }
  }
  std::printf("[ cases ] round trips to safetensors: %zu\n", cases);
}

TEST(Convert, MultiTokenPredictionGoesThereAndBack) {
  const TempDir dir;
  ThreadPool pool(2);
  ModelConfig config = load_model_config(testdata("golden/g1-grouped-yarn"));
  config.num_nextn_predict_layers = 1;
  const std::string first = dir.path() + "/m.k1pack", hf = dir.path() + "/hf";
  write_synthetic_k1pack(config, first, {.recipe = named_recipe("bf16")}, pool);
  export_safetensors(open_checkpoint(first), hf, {}, pool);
  const Checkpoint source = open_checkpoint(hf);
  EXPECT_EQ(source.summary.mtp_parameters, count_mtp_parameters(config));
  EXPECT_EQ(source.config.num_nextn_predict_layers, 1);
  const auto expected = values_of(open_checkpoint(first)), found = values_of(source);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, from] : expected) EXPECT_EQ(found.at(name).x, from.x) << name;
  const std::string packed = dir.path() + "/q4.k1pack";
  convert(hf, packed, "q4");
  const ModelWeights weights = load_weights(packed, load_model_config(packed));
  ASSERT_TRUE(weights.mtp);
  EXPECT_EQ(weights.mtp->eh_proj.dtype, DType::kQ4);
  EXPECT_EQ(weights.mtp->layer.experts[2].down.dtype, DType::kQ4);
  EXPECT_EQ(weights.mtp->layer.router.dtype, DType::kBF16);
  EXPECT_EQ(weights.mtp->norm, load_weights(hf, config).mtp->norm);
}

TEST(Convert, QuantisedBackToBf16) {
  const TempDir dir;
  ThreadPool pool(2);
  const std::string pack = dir.path() + "/m.k1pack", hf = dir.path() + "/hf";
  convert(testdata("golden/g1-grouped-yarn"), pack, "q4");
  export_safetensors(open_checkpoint(pack), hf, {}, pool);
  const auto quantised = values_of(open_checkpoint(pack)), back = values_of(open_checkpoint(hf));
  size_t matrices = 0;
  for (const auto& [name, from] : quantised) {
    if (!is_quantized(from.dtype)) continue;
    ++matrices;
    EXPECT_EQ(back.at(name).dtype, DType::kBF16);
    for (size_t i = 0; i < from.x.size(); ++i) {
      ASSERT_EQ(back.at(name).x[i], bf16_to_f32(f32_to_bf16(from.x[i]))) << name;
    }
  }
  EXPECT_GT(matrices, 10u);
  EXPECT_THAT(error_of([&] { export_safetensors(open_checkpoint(pack), hf, {}, pool); }),
              HasSubstr("is there already"));
}

TEST(Convert, FromOnePackToAnother) {
  const TempDir dir;
  const std::string model = testdata("golden/g2-fused-bias");
  convert(model, dir.path() + "/keep.k1pack", "keep");
  convert(dir.path() + "/keep.k1pack", dir.path() + "/a.k1pack", "q4");
  convert(model, dir.path() + "/b.k1pack", "q4");
  convert(dir.path() + "/b.k1pack", dir.path() + "/c.k1pack", "keep");
  const auto a = values_of(open_checkpoint(dir.path() + "/a.k1pack"));
  const auto b = values_of(open_checkpoint(dir.path() + "/b.k1pack"));
  const auto c = values_of(open_checkpoint(dir.path() + "/c.k1pack"));
  for (const auto& [name, values] : b) {
    EXPECT_EQ(a.at(name).bytes, values.bytes) << name;
    EXPECT_EQ(c.at(name).bytes, values.bytes) << name;
  }
}

TEST(Convert, ImportanceReachesTheRightMatrix) {
  const TempDir dir;
  ThreadPool pool(1);
  const Checkpoint source = open_checkpoint(testdata("golden/g1-grouped-yarn"));
  const std::string chosen = "model.layers.0.self_attn.o_proj.weight";
  std::vector<float> weights;
  ConvertOptions options;
  options.importance = [&](std::string_view name) -> std::span<const float> {
    if (name != chosen) return {};
    for (const CheckpointTensor& tensor : source.tensors) {
      if (tensor.name == chosen) weights.assign(tensor.shape[1], 1.0f);
    }
    for (size_t i = 0; i < weights.size(); i += 2) weights[i] = 50;
    return weights;
  };
  convert_to_k1pack(source, dir.path() + "/a.k1pack", options, pool);
  options.importance = {};
  convert_to_k1pack(source, dir.path() + "/b.k1pack", options, pool);
  const auto a = values_of(open_checkpoint(dir.path() + "/a.k1pack"));
  const auto b = values_of(open_checkpoint(dir.path() + "/b.k1pack"));
  for (const auto& [name, values] : a) {
    EXPECT_EQ(values.bytes != b.at(name).bytes, name == chosen) << name;
  }
  std::vector<float> wrong(3, 1.0f);
  options.importance = [&](std::string_view) { return std::span<const float>(wrong); };
  EXPECT_THAT(error_of([&] { convert_to_k1pack(source, dir.path() + "/c.k1pack", options, pool); }),
              HasSubstr("has 3 columns, expected"));
}

TEST(Convert, ValueThatIsNotFinite) {
  const TempDir dir;
  const std::string from = testdata("golden/g3-dense");
  std::vector<TensorSpec> specs;
  std::map<std::string, std::string> bytes;
  for (const SafetensorsFile& file : open_safetensors_dir(from)) {
    for (const TensorInfo& info : file.tensors()) {
      specs.push_back({info.name, DType::kF32, info.shape});
      std::vector<float> x = file.read_f32(info);
      if (info.name == "model.layers.1.mlp.up_proj.weight") {
        x[2 * info.shape[1] + 5] = std::nanf("");
      }
      bytes[info.name].assign(reinterpret_cast<const char*>(x.data()), 4 * x.size());
    }
  }
  SafetensorsWriter writer(dir.path() + "/model.safetensors", specs);
  for (const auto& [name, text] : bytes) writer.append(name, std::as_bytes(std::span(text)));
  writer.finish();
  dir.write("config.json", read_file(from + "/config.json"));
  const std::string out = dir.path() + "/m.k1pack";
  EXPECT_THAT(error_of([&] { convert(dir.path(), out, "q4"); }),
              HasSubstr("\"model.layers.1.mlp.up_proj.weight\" has nan in row 2, column 5"));
  EXPECT_FALSE(file_exists(out));
}

TEST(Synthetic, HasTheShapeAndLoads) {
  const TempDir dir;
  ThreadPool pool(2);
  size_t cases = 0;
  for (const std::string& name : testing::kGoldenCases) {
    const ModelConfig config = load_model_config(testdata("golden/" + name));
    for (const char* recipe : {"q4", "q3", "bf16", "keep"}) {
      SCOPED_TRACE(name + " " + recipe);
      const std::string path = dir.path() + cat("/", cases++, ".k1pack");
      write_synthetic_k1pack(config, path, {.recipe = named_recipe(recipe)}, pool);
      const ModelWeights weights = load_weights(path, load_model_config(path));
      EXPECT_EQ(weights.summary.has_router_bias, config.num_moe_layers() > 0);
      const ParameterCounts counts = count_parameters(config);
      EXPECT_EQ(weights.summary.parameters, counts.total() - counts.unapplied_norms);
      verify_k1pack(K1PackFile(path), pool);
      double power = 0;
      size_t count = 0;
      for (const auto& [tensor, values] : values_of(open_checkpoint(path))) {
        if (values.shape.size() != 2) continue;
        for (float x : values.x) power += x * x;
        count += values.x.size();
      }
      EXPECT_NEAR(std::sqrt(power / static_cast<double>(count)), 0.02, 0.001);
      const std::string again = dir.path() + "/again.k1pack";
      write_synthetic_k1pack(config, again, {.recipe = named_recipe(recipe)}, pool);
      EXPECT_EQ(read_file(again), read_file(path)) << "the same seed gives the same file";
    }
  }
  std::printf("[ cases ] synthetic files: %zu\n", cases);
}

}  // namespace
}  // namespace axk1
