// The golden cases: small checkpoints and what the official implementation computes from them
// (testdata/README.md).
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "io/json.h"
#include "kernels/registry.h"
#include "model/forward.h"
#include "testing/shared_data.h"

namespace axk1::testing {

inline const std::vector<std::string> kGoldenCases = {"g1-grouped-yarn", "g2-fused-bias",
                                                      "g3-dense", "g4-deepseek-v3"};

// A checkpoint ready to run, with what it needs.
struct LoadedModel {
  LoadedModel(const std::string& dir, DType dtype, const std::string& kernel_name, int num_threads,
              const ForwardOptions& options = {})
      : config(load_model_config(dir)),
        weights(load_weights(dir, config, {.dtype = dtype})),
        kernels(select_kernels(kernel_name, cpu_features())),
        pool(num_threads),
        forward(config, weights, kernels, pool, options) {}

  KvCache new_cache(size_t num_tokens) const {
    KvCache cache(config, forward.cache_dtype());
    cache.reserve(num_tokens);
    return cache;
  }

  ModelConfig config;
  ModelWeights weights;
  KernelTable kernels;
  ThreadPool pool;
  Forward forward;
};

struct GoldenCase {
  explicit GoldenCase(const std::string& name)
      : dir(testdata("golden/" + name)),
        document(json::parse(read_file(dir + "/case.json"), dir + "/case.json")),
        expected(dir + "/expected.safetensors") {}

  std::vector<int32_t> ids(const char* field) const {
    std::vector<int32_t> out;
    for (const json::value& id : document.at(field).as_array()) {
      out.push_back(static_cast<int32_t>(id.as_int64()));
    }
    return out;
  }
  std::vector<float> tensor(const std::string& name) const {
    const TensorInfo* info = expected.find(name);
    return info ? expected.read_f32(*info) : std::vector<float>();
  }

  std::vector<int32_t> indices(const std::string& name) const {
    const std::span<const std::byte> bytes = expected.bytes(*expected.find(name));
    std::vector<int32_t> out(bytes.size() / sizeof(int32_t));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }

  std::string dir;
  json::value document;
  SafetensorsFile expected;
};

// Keeps everything that the forward pass shows, one run after the other appended.
class Recorder : public ForwardObserver {
 public:
  void hidden(size_t, std::span<const float> x) override { append(hiddens, x); }
  void attn_out(size_t, std::span<const float> x) override { append(attn_outs, x); }
  void mlp_out(size_t, std::span<const float> x) override { append(mlp_outs, x); }
  void router(size_t, std::span<const float> logits, std::span<const int32_t> indices,
              std::span<const float> weights) override {
    append(router_logits, logits);
    router_indices.insert(router_indices.end(), indices.begin(), indices.end());
    append(router_weights, weights);
  }

  std::vector<float> hiddens, attn_outs, mlp_outs, router_logits, router_weights;
  std::vector<int32_t> router_indices;

 private:
  static void append(std::vector<float>& out, std::span<const float> x) {
    out.insert(out.end(), x.begin(), x.end());
  }
};

// Logits [ids, vocab] of one sequence, read in chunks of at most `chunk` tokens.
inline std::vector<float> run_whole(LoadedModel& model, const std::vector<int32_t>& ids,
                                    size_t chunk, ForwardObserver* observer = nullptr) {
  KvCache cache = model.new_cache(ids.size());
  std::vector<float> logits;
  for (size_t at = 0; at < ids.size(); at += chunk) {
    const size_t count = std::min(chunk, ids.size() - at);
    const SequenceInput input{
        .tokens = {ids.data() + at, count}, .cache = &cache, .all_logits = true};
    model.forward.run({&input, 1}, observer);
    const std::span<const float> rows = model.forward.logits(0, count);
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

}  // namespace axk1::testing
