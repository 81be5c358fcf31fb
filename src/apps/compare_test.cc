#include "apps/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

const std::string kModel = testing::testdata("../models/nano-v0");
const std::string kText =
    "한국의 수도는 서울이다. 바다는 넓고 산은 높다. The sea is wide, and 2 + 3 = 5. <|im_end|> 끝.";

// nano-v0 with a random low mantissa bit of every weight flipped, `skip` naming files to leave out.
void write_perturbed(const testing::TempDir& dir, const std::string& skip = "") {
  for (const auto& entry : std::filesystem::directory_iterator(kModel)) {
    const std::string name = entry.path().filename();
    if (!skip.empty() && name.starts_with(skip)) continue;
    std::string bytes = read_file(entry.path());
    if (name == "model.safetensors") {
      const SafetensorsFile file(entry.path());
      Rng rng(1);
      for (size_t at = file.header().data_start; at + 2 <= bytes.size(); at += 2) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.next() % 5));
      }
    }
    dir.write(name, bytes);
  }
}

std::vector<long double> log_softmax(std::span<const float> logits) {
  long double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<long double>(x));
  std::vector<long double> out;
  for (const float x : logits) out.push_back(x - std::log(sum));
  return out;
}

TEST(CompareRows, EqualsThePlainSum) {
  Rng rng(7);
  size_t cases = 0;
  for (const size_t vocab : {1, 2, 3, 100, 1000}) {
    for (const double distance : {0.0, 1e-6, 1e-2, 1.0, 20.0}) {
      std::vector<float> a(vocab), b(vocab);
      for (size_t i = 0; i < vocab; ++i) {
        a[i] = static_cast<float>(8 * rng.normal());
        b[i] = a[i] + static_cast<float>(distance * rng.normal());
      }
      const auto target = static_cast<TokenId>(rng.next() % vocab);
      const RowComparison found = compare_rows(a, b, target);
      const std::vector<long double> p = log_softmax(a), q = log_softmax(b);
      long double kl = 0;
      for (size_t i = 0; i < vocab; ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
      // Sums of magnitude up to 100 in double.
      EXPECT_NEAR(found.kl, static_cast<double>(kl), 1e-12);
      EXPECT_NEAR(found.reference_nats, static_cast<double>(-p[static_cast<size_t>(target)]),
                  1e-12);
      EXPECT_NEAR(found.other_nats, static_cast<double>(-q[static_cast<size_t>(target)]), 1e-12);
      const auto top = [](const auto& x) { return std::ranges::max_element(x) - x.begin(); };
      EXPECT_EQ(found.same_top1, top(a) == top(b));
      if (a == b) {
        EXPECT_EQ(found.kl, 0);
      }
      EXPECT_GE(found.kl, 0);
      ++cases;
    }
  }
  std::printf("[ cases ] rows compared: %zu\n", cases);
}

TEST(CompareRows, ExtremeLogits) {
  const std::vector<float> a = {1e4f, -1e4f, 0}, b = {-1e4f, 1e4f, 0};
  EXPECT_NEAR(compare_rows(a, b, 0).kl, 2e4, 1e-9);
  EXPECT_FALSE(compare_rows(a, b, 0).same_top1);
  EXPECT_EQ(compare_rows(a, a, 0).kl, 0);
  std::vector<float> bad = a;
  bad[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(compare_rows(bad, a, 0).kl));
  EXPECT_TRUE(std::isnan(compare_rows(a, bad, 0).kl));
  // Equal logits: the lowest id counts.
  const std::vector<float> tie = {1, 2, 2}, second = {0, 5, 1}, third = {0, 1, 5};
  EXPECT_TRUE(compare_rows(tie, second, 0).same_top1);
  EXPECT_FALSE(compare_rows(tie, third, 0).same_top1);
}

TEST(Quantile, IsTheNearestRank) {
  std::vector<double> values;
  for (int i = 1000; i > 0; --i) values.push_back(i);
  EXPECT_EQ(quantile(values, 0.5), 500);
  EXPECT_EQ(quantile(values, 0.99), 990);
  EXPECT_EQ(quantile(values, 0.999), 999);
  EXPECT_EQ(quantile(values, 1), 1000);
  std::vector<double> one = {3};
  EXPECT_EQ(quantile(one, 0.999), 3);
}

const EngineOptions kExact = {.num_threads = 2, .dtype = DType::kF32, .prefill_tokens = 7};

TEST(Compare, AModelAgainstItselfIsExactlyTheSame) {
  size_t cases = 0;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    EngineOptions options = kExact;
    options.dtype = dtype;
    Engine a(kModel, options);
    options.num_threads = 1;
    Engine b(kModel, options);
    for (const size_t context : {0, 16}) {
      const ComparisonResult r = compare(a, b, kText, {.context = context});
      EXPECT_EQ(r.kl_mean, 0);
      EXPECT_EQ(r.kl_mean_error, 0);
      EXPECT_EQ(r.kl_p999, 0);
      EXPECT_EQ(r.kl_max, 0);
      EXPECT_EQ(r.top1_agreement, 1);
      EXPECT_EQ(r.perplexity_ratio(), 1);
      EXPECT_EQ(r.tokens, r.total_tokens);
      EXPECT_EQ(r.bytes, kText.size());
      ++cases;
    }
  }
  std::printf("[ cases ] models against themselves: %zu\n", cases);
}

// Sessions give the logits here, token by token, and sums run the plain way.
TEST(Compare, PerturbedWeightsGiveWhatAPlainComputationGives) {
  const testing::TempDir dir;
  write_perturbed(dir);
  Engine a(kModel, kExact), b(dir.path(), kExact);
  std::vector<TokenId> ids = a.require_tokenizer().encode(kText, {.parse_special = false});
  ids.insert(ids.begin(), *a.config().bos_token_id);
  size_t cases = 0;
  for (const auto& [context, stride] :
       std::vector<std::pair<size_t, size_t>>{{512, 512}, {16, 5}}) {
    const ComparisonResult r = compare(a, b, kText, {.context = context, .stride = stride});
    std::vector<double> kl;
    double nats_a = 0, nats_b = 0, same = 0;
    for (const TextWindow& w : text_windows(ids.size(), context, stride)) {
      Session x(a), y(b);
      for (size_t i = w.first_input; i < w.input_end(); ++i) {
        x.append(ids[i]);
        y.append(ids[i]);
        if (i + 1 < w.first_target) continue;
        const std::vector<long double> p = log_softmax(x.logits()), q = log_softmax(y.logits());
        long double sum = 0;
        for (size_t v = 0; v < p.size(); ++v) sum += std::exp(p[v]) * (p[v] - q[v]);
        kl.push_back(static_cast<double>(sum));
        nats_a -= static_cast<double>(p[static_cast<size_t>(ids[i + 1])]);
        nats_b -= static_cast<double>(q[static_cast<size_t>(ids[i + 1])]);
        same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
      }
    }
    std::ranges::sort(kl);
    const auto n = static_cast<double>(kl.size());
    double mean = 0;
    for (const double value : kl) mean += value / n;
    // Logits of chunks and of single tokens differ by roundings of f32 sums, about 1e-5.
    constexpr double kTolerance = 3e-5;
    ASSERT_EQ(r.tokens, kl.size());
    EXPECT_GT(r.kl_mean, 10 * kTolerance);
    EXPECT_NEAR(r.kl_mean, mean, kTolerance);
    EXPECT_NEAR(r.kl_median, kl[(kl.size() + 1) / 2 - 1], kTolerance);
    EXPECT_NEAR(r.kl_p999, kl.back(), kTolerance);
    EXPECT_NEAR(r.kl_max, kl.back(), kTolerance);
    EXPECT_NEAR(r.top1_agreement, same / n, 1e-12);
    EXPECT_LT(r.top1_agreement, 1);
    EXPECT_NEAR(r.perplexity_ratio(), std::exp((nats_b - nats_a) / n), kTolerance);
    cases += kl.size();
  }
  std::printf("[ cases ] positions compared with a plain computation: %zu\n", cases);
}

TEST(Compare, StopsWhenToldAndSaysHowFarItCame) {
  Engine a(kModel, kExact);
  Engine b(kModel, kExact);
  size_t calls = 0;
  const ComparisonResult r = compare(a, b, kText, {}, [&](size_t done, size_t total) {
    EXPECT_GT(total, done);
    EXPECT_EQ(done, 7 * ++calls);
    return calls < 2;
  });
  EXPECT_EQ(r.tokens, 14u);
  EXPECT_GT(r.total_tokens, r.tokens);
}

TEST(CompareCommand, JsonAndTable) {
  const testing::TempDir dir, text;
  write_perturbed(dir, "tokenizer");  // A's tokenizer serves both
  const std::string file = text.write("text.txt", kText);
  const ProcessResult result = axk1({"compare", kModel, dir.path(), "--text", file, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json::object out = json::parse(result.out, "output").as_object();
  EXPECT_GT(out.at("kl_mean").as_double(), 0);
  EXPECT_LE(out.at("kl_mean").as_double(), out.at("kl_p999").as_double());
  EXPECT_LT(out.at("top1_agreement").as_double(), 1);
  EXPECT_GT(out.at("perplexity_ratio").as_double(), 0);
  EXPECT_GT(out.at("tokens").as_int64(), 30);
  EXPECT_TRUE(out.at("complete").as_bool());
  for (const char* field : {"bits_per_weight_a", "bits_per_weight_b"}) {
    EXPECT_NEAR(out.at(field).as_double(), 16, 0.01) << field;
  }
  EXPECT_EQ(out.at("bits_per_weight").as_array().size(), 2u);

  const ProcessResult swapped = axk1({"compare", dir.path(), kModel, "--text", file, "--json"});
  EXPECT_EQ(swapped.exit_code, 0) << swapped.err;
  EXPECT_NEAR(json::parse(swapped.out, "output").at("perplexity_ratio").as_double() *
                  out.at("perplexity_ratio").as_double(),
              1, 1e-12);
  EXPECT_THAT(axk1({"compare", kModel, kModel, "--text", file}).out, HasSubstr("top-1 agreement"));
}

TEST(CompareCommand, Errors) {
  const testing::TempDir dir;
  const std::string file = dir.write("text.txt", kText);
  const auto expect = [&](std::vector<std::string> args, int code, const std::string& part) {
    args.insert(args.begin(), "compare");
    const ProcessResult result = axk1(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(result.out, "");
  };
  const std::string golden = testing::testdata("golden/g1-grouped-yarn");
  expect({kModel, golden, "--text", file}, 1, "vocabularies differ");
  expect({golden, golden, "--text", file}, 1, "tokenizer");
  expect({kModel, kModel, "--text", "/no/such"}, 1, "/no/such");
  expect({kModel, "/no/such/model", "--text", file}, 1, "/no/such/model");
  expect({kModel, kModel, "--text", dir.write("empty", "")}, 1, "empty");
  expect({kModel, kModel, "--text", dir.write("short", "a"), "--no-begin-token"}, 1, "no token");
  expect({kModel, kModel, "--text", file, "--context", "4096"}, 1, "2048");
  expect({kModel, kModel, "--text", file, "--context", "4", "--stride", "5"}, 1, "stride");
  expect({kModel, kModel}, 2, "--text");
  expect({kModel}, 2, "");
  std::printf("[ cases ] refused comparisons: 10\n");
}

TEST(CompareCommand, OtherIdsForTheSameTextAreRefused) {
  const testing::TempDir dir;
  write_perturbed(dir);
  json::value tokenizer = json::parse(read_file(kModel + "/tokenizer.json"), "tokenizer.json");
  tokenizer.at("model").at("merges").as_array().clear();
  dir.write("tokenizer.json", json::to_text(tokenizer));
  const ProcessResult result =
      axk1({"compare", kModel, dir.path(), "--text", dir.write("text.txt", kText)});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("other ids"));
}

TEST(CompareCommand, CtrlCPrintsWhatThereIs) {
  const testing::TempDir dir;
  std::string text;
  for (int i = 0; i < 20000; ++i) text += kText;
  testing::Terminal terminal({testing::program_path("axk1"), "compare", kModel, kModel, "--text",
                              dir.write("text.txt", text), "--json", "--threads", "1"});
  ASSERT_TRUE(terminal.wait_to_show("comparing")) << terminal.shown();
  terminal.type("\x03");
  EXPECT_TRUE(terminal.wait_to_show("\"complete\":false")) << terminal.shown();
  EXPECT_TRUE(terminal.wait_to_show("interrupted after"));
  EXPECT_EQ(terminal.wait_for_exit(), 1);
}

}  // namespace
}  // namespace axk1
