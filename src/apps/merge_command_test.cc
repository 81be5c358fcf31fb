#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

TEST(MergeCommand, OfAModelWithItselfIsTheModel) {
  const testing::TempDir dir;
  const std::string nano = testing::testdata("../models/nano-v0"), out = dir.path() + "/out";
  const ProcessResult result = axk1({"merge", nano, nano, out, "--weight", "0.5"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("out: "));
  EXPECT_TRUE(read_file(out + "/model.safetensors") == read_file(nano + "/model.safetensors"));
  EXPECT_EQ(read_file(out + "/tokenizer.json"), read_file(nano + "/tokenizer.json"));
  EXPECT_EQ(axk1({"merge", nano, nano, out}).exit_code, 1) << "it is there already";
  EXPECT_EQ(axk1({"merge", nano, nano, out + "2", "--weight", "2"}).exit_code, 2);
}

}  // namespace
}  // namespace axk1
