// The same answer however the work is cut: chunks, batches, threads, and the two forms of
// attention.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "testing/golden.h"

namespace axk1 {
namespace {

using testing::GoldenCase;
using testing::LoadedModel;
using testing::run_whole;

struct Param {
  std::string name;
  DType dtype;
  CacheDType cache;
};

void PrintTo(const Param& param, std::ostream* out) {
  *out << param.name << " " << dtype_name(param.dtype) << ", cache "
       << cache_dtype_name(param.cache);
}

std::vector<Param> every_case() {
  std::vector<Param> params;
  for (const std::string& name : testing::kGoldenCases) {
    params.push_back({name, DType::kF32, CacheDType::kF32});
    params.push_back({name, DType::kBF16, CacheDType::kBF16});
    params.push_back({name, DType::kBF16, CacheDType::kI8});
    params.push_back({name, DType::kF32, CacheDType::kBF16});
  }
  return params;
}

class Equivalence : public ::testing::TestWithParam<Param> {
 protected:
  Equivalence() : golden_(GetParam().name), ids_(golden_.ids("ids")) {}

  LoadedModel load(const std::string& kernels, int num_threads, MlaForm form) {
    return LoadedModel(golden_.dir, GetParam().dtype, kernels, num_threads,
                       {.mla_form = form, .cache_dtype = GetParam().cache});
  }

  GoldenCase golden_;
  std::vector<int32_t> ids_;
};

INSTANTIATE_TEST_SUITE_P(Cases, Equivalence, ::testing::ValuesIn(every_case()),
                         [](const auto& test) {
                           std::string name = test.param.name + "_" + dtype_name(test.param.dtype) +
                                              "_" + cache_dtype_name(test.param.cache);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], b[i]) << what << ", value " << i;
}

// Equality is shown by the build without sanitizers; with them one size reads what there is to
// read.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kChunks[] = {7};
#else
constexpr size_t kChunks[] = {1, 7, 64};
#endif

// Row invariance of the kernels makes these equal to the last bit, with one form of attention.
TEST_P(Equivalence, ChunksAndSingleStepsEqualTheWholePrompt) {
  for (const std::string_view table : available_kernel_names(cpu_features())) {
    for (MlaForm form : {MlaForm::kAbsorbed, MlaForm::kExpanded}) {
      LoadedModel model = load(std::string(table), 2, form);
      const std::vector<float> whole = run_whole(model, ids_, ids_.size());
      for (size_t chunk : kChunks) {
        expect_same_bits(run_whole(model, ids_, chunk), whole, "chunk");
      }
    }
  }
}

TEST_P(Equivalence, BatchEqualsAlone) {
  for (const std::string_view table : available_kernel_names(cpu_features())) {
    LoadedModel model = load(std::string(table), 2, MlaForm::kAbsorbed);
    const std::vector<float> whole = run_whole(model, ids_, ids_.size());
    const auto vocab = static_cast<size_t>(model.config.vocab_size);

    // Prompts of different lengths, all prefixes of the same text, then one more step together.
    const std::vector<size_t> lengths = {1, 5, 33, ids_.size() - 1};
    std::vector<KvCache> caches;
    std::vector<SequenceInput> batch;
    for (size_t length : lengths) caches.push_back(model.new_cache(length + 1));
    for (size_t i = 0; i < lengths.size(); ++i) {
      batch.push_back({.tokens = {ids_.data(), lengths[i]}, .cache = &caches[i]});
    }
    for (size_t step : {0, 1}) {
      model.forward.run(batch);
      ASSERT_EQ(model.forward.num_logit_rows(), lengths.size());
      const auto logits = model.forward.logits(0, lengths.size());
      for (size_t i = 0; i < lengths.size(); ++i) {
        const size_t row = lengths[i] - 1 + step;
        for (size_t v = 0; v < vocab; ++v) {
          ASSERT_EQ(logits[i * vocab + v], whole[row * vocab + v])
              << table << ": sequence " << i << ", step " << step << ", token " << v;
        }
        batch[i].tokens = {ids_.data() + lengths[i], 1};
      }
    }
  }
}

TEST_P(Equivalence, ThreadsDoNotMatter) {
  for (const std::string_view table : available_kernel_names(cpu_features())) {
    for (MlaForm form : {MlaForm::kAbsorbed, MlaForm::kExpanded}) {
      LoadedModel one = load(std::string(table), 1, form);
      const std::vector<float> alone = run_whole(one, ids_, 40);
      for (int num_threads : {2, 3}) {
        LoadedModel more = load(std::string(table), num_threads, form);
        expect_same_bits(run_whole(more, ids_, 40), alone, "threads");
      }
    }
  }
}

// Different sums of the same products. In f32 they differ by rounding; in bf16 a choice of the
// router may flip, so there the plain model is the judge (golden_test.cc).
TEST_P(Equivalence, AbsorbedEqualsExpanded) {
  if (GetParam().cache != CacheDType::kF32) GTEST_SKIP() << "skipped: compared in f32 only";
  LoadedModel absorbed = load("", 2, MlaForm::kAbsorbed);
  LoadedModel expanded = load("", 2, MlaForm::kExpanded);
  const std::vector<float> a = run_whole(absorbed, ids_, ids_.size());
  const std::vector<float> b = run_whole(expanded, ids_, ids_.size());
  double sum = 0;
  for (float x : a) sum += double{x} * x;
  const double rms = std::sqrt(sum / static_cast<double>(a.size()));
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - b[i]));
  EXPECT_LE(worst, 4e-5 * rms);  // as derived in golden_test.cc
  EXPECT_GT(worst, 0) << "the two forms are the same code";
}

// Forgetting the end of a line and going on another way leaves no trace of the old one.
TEST_P(Equivalence, TruncatedCacheForgets) {
  LoadedModel model = load("", 2, MlaForm::kAbsorbed);
  std::vector<int32_t> other = ids_;
  for (size_t i = 20; i < other.size(); ++i) other[i] = (other[i] + 1) % 300;
  KvCache cache = model.new_cache(ids_.size());
  SequenceInput input{.tokens = other, .cache = &cache};
  model.forward.run({&input, 1});
  cache.truncate(20);
  input.tokens = {ids_.data() + 20, ids_.size() - 20};
  model.forward.run({&input, 1});
  const auto row = model.forward.logits(0, 1);
  const std::vector<float> logits(row.begin(), row.end());
  const std::vector<float> whole = run_whole(model, ids_, ids_.size());
  expect_same_bits(logits, {whole.end() - static_cast<std::ptrdiff_t>(logits.size()), whole.end()},
                   "tail");
}

}  // namespace
}  // namespace axk1
