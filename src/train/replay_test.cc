// Ten steps of AdamW against the official implementation's.
#include "train/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "formats/safetensors.h"
#include "io/file.h"
#include "kernels/registry.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Distance {
  double rms = 0, max = 0, rms_expected = 0;
};

Distance distance(const std::vector<float>& found, const std::vector<float>& expected) {
  Distance d;
  for (size_t i = 0; i < found.size(); ++i) {
    const double off = double{found[i]} - expected[i];
    d.rms += off * off;
    d.max = std::max(d.max, std::abs(off));
    d.rms_expected += double{expected[i]} * expected[i];
  }
  d.rms = std::sqrt(d.rms / static_cast<double>(found.size()));
  d.rms_expected = std::sqrt(d.rms_expected / static_cast<double>(found.size()));
  return d;
}

// Every kStride-th element of a tensor: what the repository carries of the official results.
constexpr size_t kStride = 13;

std::vector<float> sampled(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  if (!info) return {};
  const std::vector<float> all = file.read_f32(*info);
  std::vector<float> out;
  for (size_t i = 0; i < all.size(); i += kStride) out.push_back(all[i]);
  return out;
}

struct Worst {
  double gradient = 0, weight = 0, weight_max = 0;
};

void compare_gradient(const std::string& name, const std::vector<float>& found,
                      const std::vector<float>& expected, Worst& worst) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  const Distance d = distance(found, expected);
  // As in train_model_test.cc: 2e-6 on either side.
  EXPECT_LE(d.rms, 5e-6 * d.rms_expected) << name;
  worst.gradient = std::max(worst.gradient, d.rms / d.rms_expected);
}

// AdamW divides a gradient by its own size. So where one is lost in rounding (its size below 1e-5
// of the tensor's RMS: that share of elements, in each of ten steps), a step of lr = 1e-3 may go
// the other way; everywhere else steps agree as gradients do. In the mean square, over the way of
// some 5 lr that weights went: 2 sqrt(1e-4) / 5 = 4e-3.
void compare_weight(const std::string& name, const std::vector<float>& found,
                    const std::vector<float>& expected, const std::vector<float>& start,
                    Worst& worst) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  const Distance d = distance(found, expected), way = distance(start, expected);
  EXPECT_LE(d.rms, 4e-3 * way.rms) << name;
  EXPECT_LE(d.max, 10 * 2e-3) << name;
  worst.weight = std::max(worst.weight, d.rms / way.rms);
  worst.weight_max = std::max(worst.weight_max, d.max);
}

TEST(Replay, TenStepsMatchTheOfficialOnesSlow) {
  const std::string dir = testing::testdata("golden/g2-fused-bias");
  const json::value document = json::parse(read_file(dir + "/case.json"), "case.json");
  const json::object& training = document.at("training").as_object();
  const testing::TempDir out;
  const KernelTable kernels = select_kernels("", cpu_features());
  ThreadPool pool(2);
  const ReplayResult result = replay_training(dir, out.path(), kernels, pool, DType::kF32);
  EXPECT_THAT(result.notes, ::testing::IsEmpty());

  const json::array& losses = training.at("losses").as_array();
  const json::array& norms = training.at("gradient_norms_before_clip").as_array();
  ASSERT_EQ(result.losses.size(), losses.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    // Means of some hundred cross-entropies; logits agree to 4e-5 of their RMS
    // (model/golden_test.cc), independent errors of which a mean keeps a tenth.
    EXPECT_NEAR(result.losses[i], losses[i].as_double(), 2e-5) << i;
    EXPECT_NEAR(result.gradient_norms[i], norms[i].as_double(), 1e-4) << i;
  }
  const json::value written = json::parse(read_file(out.path() + "/losses.json"), "losses.json");
  EXPECT_EQ(written.as_array().size(), losses.size());

  const SafetensorsFile gradients(out.path() + "/gradients.safetensors");
  const SafetensorsFile after(out.path() + "/after.safetensors");
  const SafetensorsFile start(dir + "/model.safetensors");
  const SafetensorsFile sample(dir + "/training-sample.safetensors");
  Worst worst;
  for (const TensorInfo& info : sample.tensors()) {
    const size_t slash = info.name.find('/');
    const std::string name = info.name.substr(slash + 1);
    if (info.name.starts_with("gradients/")) {
      compare_gradient(name, sampled(gradients, name), sample.read_f32(info), worst);
    } else {
      compare_weight(name, sampled(after, name), sample.read_f32(info), sampled(start, name),
                     worst);
    }
  }
  EXPECT_EQ(gradients.tensors().size() + after.tensors().size(), sample.tensors().size());
  std::printf(
      "[ replay ] gradients off by %.2g of their RMS, weights by %.2g of their way, at most "
      "%.2g\n",
      worst.gradient, worst.weight, worst.weight_max);

  const std::string shared = testing::shared_path("golden/g2-fused-bias");
  if (shared.empty()) return;
  const SafetensorsFile all_gradients(shared + "/gradients.safetensors");
  const SafetensorsFile all_after(shared + "/after-10-steps.safetensors");
  for (const TensorInfo& info : all_after.tensors()) {
    const TensorInfo* found = after.find(info.name);
    ASSERT_NE(found, nullptr) << info.name;
    EXPECT_EQ(found->shape, info.shape) << info.name;
    compare_gradient(info.name, gradients.read_f32(*gradients.find(info.name)),
                     all_gradients.read_f32(*all_gradients.find(info.name)), worst);
    compare_weight(info.name, after.read_f32(*found), all_after.read_f32(info),
                   start.read_f32(*start.find(info.name)), worst);
  }
}

ReplaySettings settings(const std::string& fields) {
  const json::value training =
      json::parse(R"({"batches": [[[1, 2]]], )" + fields + "}", "training");
  return parse_replay_case(training, "case").settings;
}

TEST(Replay, ReadsSettingsFromTextAndFields) {
  const auto numbers = [](const ReplaySettings& s) {
    return std::vector<double>{s.lr,        s.adamw.beta1,        s.adamw.beta2,
                               s.adamw.eps, s.adamw.weight_decay, s.max_gradient_norm};
  };
  const std::vector<std::string> same = {
      R"("optimizer": "AdamW lr 2e-3 betas 0.8/0.99 eps 1e-7, decoupled decay 0.2 on tensors of 2 or more dimensions, 0 on norms; gradient clipping to global norm 0.5; loss = mean")",
      R"("optimizer": "torch.optim.AdamW(lr=0.002, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.2), clip_grad_norm_ 0.5")",
      R"("optimizer": {"name": "AdamW", "lr": 0.002, "betas": [0.8, 0.99], "eps": 1e-7, "weight_decay": 0.2, "max_norm": 0.5})",
      R"("optimizer": "AdamW lr 9 betas 0.8/0.99", "lr": 0.002, "eps": 1e-7, "weight_decay": 0.2, "clip": 0.5)"};
  for (const std::string& fields : same) {
    const ReplaySettings s = settings(fields);
    EXPECT_THAT(numbers(s), ElementsAre(2e-3, 0.8, 0.99, 1e-7, 0.2, 0.5)) << fields;
    EXPECT_THAT(s.notes, ::testing::IsEmpty()) << fields;
  }
  const ReplaySettings bare = settings(R"("optimizer": "AdamW, learning rate 1e-4")");
  EXPECT_THAT(numbers(bare), ElementsAre(1e-4, 0.9, 0.999, 1e-8, 0.01, 0));
  EXPECT_EQ(bare.notes.size(), 4u);
  EXPECT_THAT(bare.notes[0], HasSubstr("no betas understood; 0.9 and 0.999"));
}

std::string refusal(const std::string& training) {
  try {
    parse_replay_case(json::parse(training, "training"), "case");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Replay, RefusesWhatItCannotDo) {
  EXPECT_THAT(refusal(R"({"batches": [[[1, 2]]], "optimizer": "SGD lr 1"})"),
              HasSubstr("expected AdamW"));
  EXPECT_THAT(refusal(R"({"batches": [[[1, 2]]], "optimizer": "AdamW lr 1 warmup 10"})"),
              HasSubstr("warmup"));
  EXPECT_THAT(refusal(R"({"batches": [[[1, 2]]], "optimizer": "AdamW"})"),
              HasSubstr("learning rate"));
  EXPECT_THAT(refusal(R"({"batches": [[[1]]], "lr": 1})"), HasSubstr("at least two"));
  EXPECT_THAT(refusal(R"({"batches": [[["a", 2]]], "lr": 1})"), HasSubstr("batches"));
  EXPECT_THAT(refusal(R"({"batches": [], "lr": 1})"), HasSubstr("batches"));
  EXPECT_THAT(refusal(R"({"batches": [[[1, 2]]], "lr": "x"})"), HasSubstr("lr"));
}

TEST(Replay, ShortRowsAreFilledUp) {
  const json::value training =
      json::parse(R"({"batches": [[[1, 2, 3], [4, 5]], [6, 7]], "lr": 1})", "training");
  const ReplayCase replay = parse_replay_case(training, "case");
  ASSERT_EQ(replay.batches.size(), 2u);
  EXPECT_THAT(replay.batches[0].inputs, ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(replay.batches[0].targets, ElementsAre(2, 3, 5, -1));
  EXPECT_THAT(replay.batches[0].positions, ElementsAre(0, 1, 0, 1));
  EXPECT_EQ(replay.batches[1].rows, 1u);
}

}  // namespace
}  // namespace axk1
