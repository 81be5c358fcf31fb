#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/safetensors.h"
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
  const SafetensorsFile before(nano + "/model.safetensors"), after(out + "/model.safetensors");
  EXPECT_EQ(after.tensors().size(), before.tensors().size());
  for (const TensorInfo& tensor : before.tensors()) {
    const TensorInfo* merged = after.find(tensor.name);
    ASSERT_TRUE(merged) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(after.bytes(*merged), before.bytes(tensor))) << tensor.name;
  }
  EXPECT_EQ(read_file(out + "/tokenizer.json"), read_file(nano + "/tokenizer.json"));
  EXPECT_EQ(axk1({"merge", nano, nano, out}).exit_code, 1) << "it is there already";
  EXPECT_EQ(axk1({"merge", nano, nano, out + "2", "--weight", "2"}).exit_code, 2);
}

}  // namespace
}  // namespace axk1
