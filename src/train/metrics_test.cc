#include "train/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "io/file.h"
#include "testing/shared_data.h"
#include "train/report.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StepMetrics at_step(uint64_t step) {
  StepMetrics m;
  m.step = step;
  m.stage = "main";
  m.loss = 5 - 0.001 * static_cast<double>(step);
  m.learning_rate = 1e-3;
  m.grad_norm = 0.5;
  m.tokens = step * 64;
  m.tokens_per_second = 1000;
  m.dead_experts = 2;
  m.router_entropy = 1.5;
  if (step % 5 == 0) {
    m.held_out_loss = 4.5;
    m.bits_per_byte = 2.25;
  }
  return m;
}

TEST(Metrics, LineGoesThereAndBack) {
  StepMetrics m = at_step(10);
  m.grad_norm = std::nan("");
  m.skipped = true;
  m.skipped_steps = 3;
  const StepMetrics back =
      StepMetrics::from_json(json::parse(json::to_text(m.to_json()), "x"), "x");
  EXPECT_EQ(json::to_text(back.to_json()), json::to_text(m.to_json()));
  EXPECT_TRUE(std::isnan(back.grad_norm));
  EXPECT_EQ(back.held_out_loss, 4.5);
  EXPECT_FALSE(StepMetrics::from_json(json::parse(json::to_text(at_step(1).to_json()), "x"), "x")
                   .held_out_loss);
  EXPECT_FALSE(back.rl);
  m.rl = {.reward = 0.25, .accuracy = 0.5, .ratio = 1.5, .held_out_reward = 0.75};
  const StepMetrics of_rl =
      StepMetrics::from_json(json::parse(json::to_text(m.to_json()), "x"), "x");
  ASSERT_TRUE(of_rl.rl);
  EXPECT_EQ(of_rl.rl->ratio, 1.5);
  EXPECT_EQ(of_rl.rl->held_out_reward, 0.75);
  EXPECT_EQ(json::to_text(of_rl.to_json()), json::to_text(m.to_json()));
  EXPECT_THROW(StepMetrics::from_json(json::object{{"step", 1}}, "x"), Error);
}

TEST(Metrics, AResumedLogHasEveryStepOnce) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/metrics.jsonl";
  {
    MetricsLog log(path, 0);
    for (uint64_t step = 1; step <= 12; ++step) log.append(at_step(step));
    log.flush_to_disk();
  }
  const std::string whole = read_file(path);
  for (size_t cut = 0; cut <= whole.size(); cut += 331) {
    write_file_atomic(path, whole.substr(0, cut));
    const auto lines = static_cast<uint64_t>(
        std::count(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(cut), '\n'));
    const uint64_t checkpoint = std::min<uint64_t>(lines, 8);
    {
      MetricsLog log(path, checkpoint);
      EXPECT_EQ(log.history().size(), checkpoint);
      for (uint64_t step = checkpoint + 1; step <= 12; ++step) log.append(at_step(step));
      EXPECT_EQ(log.history().size(), 12u);
    }
    ASSERT_EQ(read_file(path), whole) << "cut at " << cut;
  }
  write_file_atomic(path, "{\"step\": 1}\n");
  EXPECT_THROW(MetricsLog(path, 5), Error);
  EXPECT_THROW(MetricsLog(dir.path() + "/no/metrics.jsonl", 0), Error);
}

TEST(Report, IsOneFileWithItsCurves) {
  std::vector<StepMetrics> history;
  for (uint64_t step = 1; step <= 3000; ++step) history.push_back(at_step(step));
  history[7].grad_norm = std::nan("");
  const std::string html =
      report_html({.title = "a <b> & c", .facts = {{"model", "18 \"M\""}}}, history);
  EXPECT_THAT(html, HasSubstr("<h1>a &lt;b&gt; &amp; c</h1>"));
  EXPECT_THAT(html, HasSubstr("18 &#34;M&#34;"));
  EXPECT_THAT(html, HasSubstr("Held-out bits per byte"));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("http")));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  // 3000 steps in groups of four.
  const size_t path = html.find("fill=\"none\" stroke=\"#2f6fdb\"");
  const size_t start = html.rfind("<path d=\"", path);
  EXPECT_EQ(std::count(html.begin() + static_cast<ptrdiff_t>(start),
                       html.begin() + static_cast<ptrdiff_t>(path), 'L'),
            749);
  EXPECT_LT(html.size(), 200'000u);
  // The loss falls from top left to bottom right.
  EXPECT_THAT(html.substr(start, path - start), HasSubstr("M62.0 12.0L"));
  EXPECT_THAT(html.substr(start, path - start), HasSubstr("L628.0 214.0\""));
  EXPECT_THAT(report_html({.title = "empty"}, {}), Not(HasSubstr("<svg")));
  const StepMetrics one = at_step(5);
  EXPECT_THAT(report_html({}, {&one, 1}), HasSubstr("<circle"));
}

}  // namespace
}  // namespace axk1
