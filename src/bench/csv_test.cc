#include "bench/csv.h"

#include <gtest/gtest.h>

namespace axk1 {
namespace {

TEST(BenchCsv, HeaderAloneWithoutRows) {
  EXPECT_EQ(bench_csv({}),
            "suite,name,value,unit,bytes,flops,roof_name,roof,roof_unit,achieved,share_of_roof,"
            "kernel,samples,passed_over\n");
}

TEST(BenchCsv, FieldsAreQuotedAndNumbersReadBack) {
  const BenchRow row{.suite = "decode",
                     .name = "decode 4 streams, depth \"64\"",
                     .value = 0.1,
                     .unit = "tok/s",
                     .bytes = 3e10,
                     .flops = 2,
                     .roof_name = "memory read",
                     .roof = 35.5,
                     .roof_unit = "GB/s",
                     .achieved = 1.0 / 3,
                     .share_of_roof = 0.25,
                     .samples = {0.1, 2},
                     .kernel = "avx512",
                     .passed_over = {{"amx", "only by name"}, {"b", "c"}}};
  const std::string text = bench_csv({&row, 1});
  EXPECT_EQ(text.substr(text.find('\n') + 1),
            "decode,\"decode 4 streams, depth \"\"64\"\"\",0.1,tok/s,3e+10,2,memory read,35.5,GB/s,"
            "0.3333333333333333,0.25,avx512,0.1 2,amx: only by name; b: c\n");
}

}  // namespace
}  // namespace axk1
