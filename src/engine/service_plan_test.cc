#include "engine/service_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "base/error.h"
#include "engine/batching_service.h"
#include "engine/fake_model.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

Engine& nano() {
  static Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 1});
  return engine;
}

std::string refusal(const StepModel& model, const ServicePlanOptions& options, ErrorCode code) {
  try {
    plan_service(model, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "taken";
}

TEST(ServicePlan, TermsAreWhatTheyStandFor) {
  const auto model = make_engine_model(nano());
  const ServicePlan plan =
      plan_service(*model, {.max_sequences = 4, .max_memory = uint64_t{1} << 40});
  // 6 layers of 96 + 32 numbers in bf16, 64 positions.
  EXPECT_EQ(plan.block_bytes, 6u * 128 * 2 * 64);
  EXPECT_EQ(plan.num_blocks, 2u * 4 * 2048 / 64);  // there is memory for all that is wanted
  EXPECT_EQ(plan.cache, plan.num_blocks * plan.block_bytes);
  EXPECT_EQ(plan.logits, 16u * 16384 * 4);
  EXPECT_EQ(plan.weights,
            read_file(testing::testdata("../models/nano-v0/model.safetensors")).size());
  EXPECT_EQ(plan.scratch, nano().forward().scratch_bytes());
  EXPECT_EQ(plan.total(),
            plan.weights + plan.scratch + plan.process + plan.logits + plan.tables + plan.cache);
}

TEST(ServicePlan, TheCacheTakesWhatIsLeftAndNoMore) {
  const auto model = make_engine_model(nano());
  const ServicePlan most =
      plan_service(*model, {.max_sequences = 64, .max_memory = uint64_t{1} << 40});
  const uint64_t limit = most.total() - most.cache / 2;
  const ServicePlan plan = plan_service(*model, {.max_sequences = 64, .max_memory = limit});
  EXPECT_LT(plan.num_blocks, most.num_blocks);
  EXPECT_LE(plan.total(), limit);
  EXPECT_GT(plan.total(), limit - limit / 16);
}

TEST(ServicePlan, RefusesWithTheArithmetic) {
  const auto model = make_engine_model(nano());
  const ServicePlan plan = plan_service(*model, {.max_memory = uint64_t{1} << 40});
  const std::string message =
      refusal(*model, {.max_memory = plan.weights + plan.process}, ErrorCode::kOutOfMemory);
  for (const char* term : {"weights: ", "scratch: ", "process: ", "logits: ", "tables: ", "cache: ",
                           "32 blocks of 64 tokens", "sum: ", "limit: "}) {
    EXPECT_THAT(message, HasSubstr(term));
  }
  EXPECT_THAT(message, HasSubstr(with_commas(plan.weights)));
  EXPECT_THAT(refusal(*model, {.kv_memory = 5 * plan.block_bytes}, ErrorCode::kOutOfMemory),
              HasSubstr("does not hold one sequence of 2048 tokens"));
  EXPECT_THAT(refusal(*model, {.max_memory = uint64_t{1} << 31, .kv_memory = uint64_t{1} << 31},
                      ErrorCode::kOutOfMemory),
              HasSubstr("does not fit"));
  EXPECT_THAT(refusal(*model, {.kv_memory = UINT64_MAX}, ErrorCode::kOutOfMemory),
              HasSubstr("limit"));
  EXPECT_THAT(refusal(*model, {.max_sequences = 0}, ErrorCode::kInvalidInput),
              HasSubstr("max_sequences"));
  EXPECT_THAT(refusal(*model, {.max_sequences = 100000}, ErrorCode::kInvalidInput),
              HasSubstr("max_sequences"));
  EXPECT_THAT(refusal(*model, {.context_tokens = 4096}, ErrorCode::kInvalidInput),
              HasSubstr("context_tokens"));
}

// Memory of this process that is no file's: mapped weights have a term of their own.
uint64_t resident_bytes() {
  const std::string text = read_file("/proc/self/status", 65536);
  unsigned long kib = 0;
  const size_t at = text.find("RssAnon:");
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(sscanf(text.c_str() + at, "RssAnon: %lu", &kib), 1);
  return uint64_t{kib} * 1024;
}

// Sanitizers keep memory of their own beside every allocation, so this one is not for them.
TEST(ServicePlan, PredictsWhatIsReservedSlow) {
  nano();
  const uint64_t before = resident_bytes();
  const auto service = make_batching_service(
      nano(), {.max_sequences = 16, .max_memory = uint64_t{1} << 40, .kv_memory = 300 << 20});
  const double added = static_cast<double>(resident_bytes() - before);
  const double planned = static_cast<double>(service->plan().added());
  EXPECT_NEAR(added / planned, 1, 0.02);
  printf("[ plan ] predicted %.0f bytes, resident %.0f bytes (%.2f %%)\n", planned, added,
         100 * added / planned);
}

}  // namespace
}  // namespace axk1
