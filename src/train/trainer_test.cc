#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "model/config.h"
#include "model/weights.h"
#include "testing/tiny_run.h"
#include "train/run_checkpoint.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Trained {
  TrainResult result;
  std::vector<std::string> messages;
  std::vector<StepMetrics> steps;
};

// Trains in `out`; stops after `stop_after` steps of this call, 0: never.
Trained train(const std::string& run_file, const std::string& out, bool resume = false,
              uint64_t stop_after = 0, GradientSum* ranks = nullptr) {
  Trained trained;
  uint64_t steps = 0;
  TrainerOptions options;
  options.out = out;
  options.resume = resume;
  options.num_threads = 1;
  options.ranks = ranks;
  options.stop = [&] { return ++steps == stop_after; };
  options.on_step = [&](const StepMetrics& m, uint64_t) { trained.steps.push_back(m); };
  options.on_message = [&](const std::string& text) { trained.messages.push_back(text); };
  trained.result = train_run(load_run_config(run_file), options);
  return trained;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string newest(const std::string& out) {
  const CheckpointFolder folder(out + "/checkpoints");
  return read_file(folder.file(folder.steps().back()));
}

std::string weights(const std::string& out) {
  return read_file(out + "/model/model.safetensors");
}

constexpr const char* kMtpModel = R"({"num_nextn_predict_layers": 1})";

TEST(Trainer, TrainsMultiTokenPredictionToTheBitAcrossStops) {
  const testing::TinyRun files;
  const std::string run = files.write_run("{}", "mtp.json", kMtpModel), out = files.path() + "/out";
  const Trained whole = train(run, out);
  ASSERT_TRUE(whole.steps.back().mtp_loss && whole.steps.back().held_out_mtp_loss);
  EXPECT_NEAR(*whole.steps[0].mtp_loss, std::log(259), 0.2);
  EXPECT_LT(*whole.steps.back().mtp_loss, 4.3);
  EXPECT_LT(*whole.steps.back().held_out_mtp_loss, 4.6);
  const ModelConfig config = load_model_config(out + "/model");
  const ModelWeights trained = load_weights(out + "/model", config);
  ASSERT_TRUE(trained.mtp);
  EXPECT_TRUE(trained.mtp->layer.is_moe);
  // The router's bias of that layer is balanced too.
  EXPECT_THAT(trained.mtp->layer.e_score_correction_bias, ::testing::Contains(::testing::Ne(0)));

  const std::string parts = files.path() + "/parts";
  train(run, parts, false, 7);
  train(run, parts, true);
  EXPECT_EQ(newest(parts), newest(out));
  EXPECT_EQ(weights(parts), weights(out));

  // The model itself learns as without, but for the gradients that come through its hidden states.
  const std::string off = files.path() + "/off";
  const Trained without =
      train(files.write_run(R"({"mtp_weight": 0})", "off.json", kMtpModel), off);
  EXPECT_FALSE(without.steps.back().mtp_loss);
  EXPECT_EQ(without.steps[0].loss, whole.steps[0].loss);
  EXPECT_NE(without.steps.back().loss, whole.steps.back().loss);
}

TEST(Trainer, RefusesAWeightOfMultiTokenPredictionThatIsNotThere) {
  const testing::TinyRun files;
  const std::string run = files.write_run(R"({"mtp_weight": 0.1})");
  EXPECT_THAT(error_of([&] { train(run, files.path() + "/out"); }),
              HasSubstr("mtp_weight: found 0.1, but the model has no layer"));
}

TEST(Trainer, LearnsAndLeavesAModel) {
  const testing::TinyRun files;
  const std::string out = files.path() + "/out";
  const Trained trained = train(files.write_run(), out);
  EXPECT_TRUE(trained.result.finished);
  ASSERT_EQ(trained.steps.size(), 24u);
  // Of 259 ids equally likely; after 24 steps it has at least learnt which bytes occur at all.
  EXPECT_NEAR(trained.steps[0].loss, std::log(259), 0.2);
  EXPECT_LT(trained.steps.back().loss, 4);
  ASSERT_TRUE(trained.steps.back().held_out_loss);
  EXPECT_LT(*trained.steps.back().held_out_loss, 4.5);
  EXPECT_GT(*trained.steps.back().bits_per_byte, 1);
  EXPECT_TRUE(trained.steps[9].held_out_loss);
  EXPECT_FALSE(trained.steps[10].held_out_loss);
  EXPECT_EQ(trained.steps.back().tokens, 24u * 128);
  EXPECT_EQ(trained.steps[16].stage, "stage 2");
  for (const StepMetrics& m : trained.steps) EXPECT_TRUE(std::isfinite(m.grad_norm)) << m.step;
  EXPECT_GT(trained.steps[0].router_entropy, 0.5);
  EXPECT_LT(trained.steps[0].router_entropy, std::log(4.0) + 1e-6);
  EXPECT_GT(trained.steps[0].flops_per_second, 0);
  for (const char* name :
       {"run.json", "metrics.jsonl", "report.html", "model/config.json", "model/model.safetensors",
        "model/tokenizer.json", "model/chat_template.jinja"}) {
    EXPECT_TRUE(file_exists(out + "/" + name)) << name;
  }
  EXPECT_THAT(CheckpointFolder(out + "/checkpoints").steps(), ElementsAre(20, 24));
  const ModelConfig config = load_model_config(out + "/model");
  EXPECT_EQ(config.vocab_size, 259) << "the tokenizer's";
  EXPECT_THAT(config.eos_token_ids, ElementsAre(testing::kImEnd, testing::kEndOfText));
}

TEST(Trainer, GoesOnToTheSameBits) {
  const testing::TinyRun files;
  const std::string run = files.write_run(), whole = files.path() + "/whole";
  train(run, whole);
  const std::string parts = files.path() + "/parts";
  EXPECT_EQ(train(run, parts, true, 3).messages.at(0),
            parts + ": no checkpoint to go on from; the run begins");
  const Trained second = train(run, parts, true, 9);
  EXPECT_FALSE(second.result.finished);
  EXPECT_EQ(second.result.steps_done, 12u);
  EXPECT_EQ(second.result.model, "");
  EXPECT_EQ(second.steps.front().step, 4u);
  // As after a kill: the newest checkpoint is older than the newest line of the metrics.
  std::filesystem::remove(CheckpointFolder(parts + "/checkpoints").file(12));
  const Trained third = train(run, parts, true);
  EXPECT_TRUE(third.result.finished);
  EXPECT_EQ(third.steps.front().step, 11u);
  EXPECT_TRUE(newest(parts) == newest(whole));
  EXPECT_TRUE(weights(parts) == weights(whole));
  const MetricsLog log(parts + "/metrics.jsonl", 1000), expected(whole + "/metrics.jsonl", 1000);
  ASSERT_EQ(log.history().size(), 24u);
  for (size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(log.history()[i].step, i + 1);
    EXPECT_EQ(log.history()[i].loss, expected.history()[i].loss);
    EXPECT_EQ(log.history()[i].held_out_loss, expected.history()[i].held_out_loss);
  }
  EXPECT_TRUE(train(run, parts, true).steps.empty()) << "nothing is left to do";
}

TEST(Trainer, GoesOnWithMuonAsWell) {
  const testing::TinyRun files;
  const std::string run = files.write_run(R"({"optimizer": {"kind": "muon"}})");
  const std::string whole = files.path() + "/whole", parts = files.path() + "/parts";
  EXPECT_LT(train(run, whole).steps.back().loss, 4.5);
  train(run, parts, false, 13);
  train(run, parts, true);
  EXPECT_TRUE(newest(parts) == newest(whole));
}

TEST(Trainer, ADamagedCheckpointFallsBackToTheOneBefore) {
  const testing::TinyRun files;
  const std::string run = files.write_run(), out = files.path() + "/out";
  train(run, out, false, 12);
  const std::string last = CheckpointFolder(out + "/checkpoints").file(12);
  std::string bytes = read_file(last);
  bytes[bytes.size() / 2] ^= 4;
  write_file_atomic(last, bytes);
  const Trained trained = train(run, out, true, 1);
  EXPECT_THAT(trained.messages.at(0), HasSubstr("the checkpoint before it is taken"));
  EXPECT_THAT(trained.messages.at(1), HasSubstr("going on after step 10 of 24"));
}

// Weights of 1e-4 give logits of nearly 0: all 259 ids are equally likely, within 1e-4 nats.
TEST(Trainer, InitialWeightsAreSpreadAsTheConfigSays) {
  const testing::TinyRun files;
  json::value run = json::parse(read_file(files.write_run()), "run");
  run.at("model").as_object()["initializer_range"] = 1e-4;
  const auto write = [&] {
    return files.write_run(json::to_text(json::object{{"model", run.at("model")}}), "narrow.json");
  };
  const Trained narrow = train(write(), files.path() + "/narrow", false, 1);
  EXPECT_NEAR(narrow.steps.at(0).loss, std::log(259), 1e-4);
  const Trained usual = train(files.write_run(), files.path() + "/usual", false, 1);
  EXPECT_GT(std::abs(usual.steps.at(0).loss - std::log(259)), 1e-4);
  run.at("model").as_object()["initializer_range"] = 0;
  EXPECT_THAT(error_of([&] { train(write(), files.path() + "/none"); }),
              HasSubstr("initializer_range"));
}

TEST(Trainer, RefusesWhatDoesNotBelongTogether) {
  const testing::TinyRun files;
  const std::string run = files.write_run(), out = files.path() + "/out";
  train(run, out, false, 2);
  EXPECT_THAT(error_of([&] { train(run, out); }), HasSubstr("has a run with checkpoints already"));
  const std::string other = files.write_run("{\"seed\": 2}", "other.json");
  EXPECT_THAT(error_of([&] { train(other, out, true); }),
              HasSubstr("its numbers would not be those"));
  const std::string kept = files.write_run("{\"eval\": {\"every\": 1}}", "same.json");
  EXPECT_EQ(train(kept, out, true, 1).steps.size(), 1u) << "eval may change";
  write_file_atomic(files.path() + "/text.jsonl",
                    "{\"text\": \"something else, long enough to train on\"}\n");
  EXPECT_THAT(error_of([&] { train(run, out, true); }), HasSubstr("the documents are not those"));

  const auto refused = [&](const std::string& changes) {
    return error_of([&] { train(files.write_run(changes, "bad.json"), files.path() + "/bad"); });
  };
  EXPECT_THAT(refused(R"({"document_end": "<eos>"})"), HasSubstr("has no token \"<eos>\""));
  EXPECT_THAT(refused(R"({"data": [{"name": "a", "files": "tokenizer.json.none"}]})"),
              HasSubstr("tokenizer.json.none"));
  EXPECT_THAT(
      refused(
          R"({"stages": [{"steps": 1, "sequence_length": 128, "batch_tokens": 128, "schedule": {"peak": 1}}]})"),
      HasSubstr("sequence_length 128, expected at most the model's max_position_embeddings 64"));
  write_file_atomic(files.path() + "/text.jsonl", "");
  EXPECT_THAT(refused("{}"), HasSubstr("source \"text\": found no documents to train on"));
}

TEST(Trainer, ARunThatSkipsEveryStepEnds) {
  const testing::TinyRun files;
  const std::string run = files.write_run(R"({"spike": {"factor": 1e-6, "window": 2}})");
  std::string what = error_of([&] { train(run, files.path() + "/out"); });
  EXPECT_THAT(what, HasSubstr("step 21: 20 steps in a row were skipped"));
}

TEST(Trainer, StartsFromACheckpoint) {
  const testing::TinyRun files;
  const std::string first = files.path() + "/first";
  train(files.write_run(), first);
  const Trained more = train(files.write_run(R"({"model": "first/model"})", "more.json"),
                             files.path() + "/more", false, 1);
  EXPECT_LT(more.steps[0].loss, 4);
}

// A run that begins with all layers of a model, cut out, goes as one that begins with the model.
TEST(Trainer, StartsFromWeightsThatAreCut) {
  const testing::TinyRun files;
  train(files.write_run(), files.path() + "/first");
  const auto loss_after = [&](const std::string& changes, const std::string& name) {
    return train(files.write_run(changes, name + ".json"), files.path() + "/" + name, false, 1);
  };
  const Trained whole = loss_after(R"({"model": "first/model"})", "whole");
  const Trained cut =
      loss_after(R"({"cut_from": {"model": "first/model", "layers": [0, 1]}})", "cut");
  EXPECT_NEAR(cut.steps[0].loss, whole.steps[0].loss, 1e-6);
  EXPECT_THAT(cut.messages, ::testing::Contains(HasSubstr("cut from layers 0, 1 of ")));
  EXPECT_THAT(error_of([&] {
                loss_after(R"({"model": "first/model", "cut_from": {"model": "first/model"}})",
                           "a");
              }),
              HasSubstr("goes with a model that is a config"));
  EXPECT_THAT(error_of([&] {
                loss_after(R"({"cut_from": {"model": "first/model", "layers": ["0"]}})", "b");
              }),
              HasSubstr("whole numbers"));
}

// Processes as threads that meet at every sum.
class Meeting {
 public:
  explicit Meeting(size_t size) : size_(size) {}

  template <class T>
  void sum(std::span<T> values, std::vector<std::vector<T>>& parts, size_t rank) {
    std::unique_lock lock(mutex_);
    parts.resize(size_);
    parts[rank].assign(values.begin(), values.end());
    meet(lock);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = 0;
      for (const auto& part : parts) values[i] += part[i];
    }
    meet(lock);
  }

  std::vector<std::vector<float>> floats;
  std::vector<std::vector<double>> doubles;

 private:
  void meet(std::unique_lock<std::mutex>& lock) {
    const size_t round = round_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++round_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return round_ != round; });
    }
  }

  size_t size_, arrived_ = 0, round_ = 0;
  std::mutex mutex_;
  std::condition_variable all_;
};

class ThreadRank final : public GradientSum {
 public:
  ThreadRank(Meeting& meeting, size_t rank, size_t size)
      : meeting_(meeting), rank_(rank), size_(size) {}
  size_t rank() const override { return rank_; }
  size_t size() const override { return size_; }
  void sum(std::span<float> values) override { meeting_.sum(values, meeting_.floats, rank_); }
  void sum(std::span<double> values) override { meeting_.sum(values, meeting_.doubles, rank_); }

 private:
  Meeting& meeting_;
  size_t rank_, size_;
};

// Two processes compute the same gradients but for the order of sums in f32: each of the 128 tokens
// of a step adds once, so an element is off by at most 128 u times the sum of what is added, taken
// as at most 100 times the gradient. With eps 0.01 AdamW moves a weight by at most lr / eps times
// that (its derivative), and clipping keeps the gradient's norm at 1: after k steps the loss is off
// by at most k * (lr / eps) * 128 * 2^-24 * 100. The first loss is a sum in double.
TEST(Trainer, TwoProcessesTrainAsOne) {
  const testing::TinyRun files;
  const std::string run = files.write_run(R"({"optimizer": {"eps": 0.01},
      "stages": [{"steps": 6, "sequence_length": 32, "batch_tokens": 128, "schedule": {"peak": 0.01}}]})",
                                          "mtp.json", kMtpModel);
  const Trained alone = train(run, files.path() + "/alone");
  Meeting meeting(2);
  Trained of_rank[2];
  std::thread other([&] {
    ThreadRank rank(meeting, 1, 2);
    of_rank[1] = train(run, files.path() + "/two", false, 0, &rank);
  });
  ThreadRank rank(meeting, 0, 2);
  of_rank[0] = train(run, files.path() + "/two", false, 0, &rank);
  other.join();
  ASSERT_EQ(of_rank[0].steps.size(), 6u);
  double worst = 0;
  for (size_t i = 0; i < 6; ++i) {
    const double expected = alone.steps[i].loss, found = of_rank[0].steps[i].loss;
    EXPECT_EQ(found, of_rank[1].steps[i].loss);
    const double bound =
        i == 0 ? 128 * 0x1p-52 * expected : static_cast<double>(i) * 128 * 0x1p-24 * 100;
    EXPECT_NEAR(found, expected, bound) << "step " << i + 1;
    EXPECT_NEAR(*of_rank[0].steps[i].mtp_loss, *alone.steps[i].mtp_loss, bound);
    worst = std::max(worst, std::abs(found - expected));
    EXPECT_EQ(of_rank[0].steps[i].dead_experts, alone.steps[i].dead_experts);
  }
  EXPECT_NEAR(*of_rank[0].steps.back().held_out_loss, *alone.steps.back().held_out_loss,
              6 * 128 * 0x1p-24 * 100);
  EXPECT_NEAR(*of_rank[0].steps.back().held_out_mtp_loss, *alone.steps.back().held_out_mtp_loss,
              6 * 128 * 0x1p-24 * 100);
  std::printf("[ cases ] largest difference of a loss between one and two processes: %.2g\n",
              worst);
}

}  // namespace
}  // namespace axk1
