#include "bench/csv.h"

#include "base/text.h"

namespace axk1 {
namespace {

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (const char c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

std::string bench_csv(std::span<const BenchRow> rows) {
  std::string out =
      "suite,name,value,unit,bytes,flops,roof_name,roof,roof_unit,achieved,share_of_roof,kernel,"
      "samples,passed_over\n";
  for (const BenchRow& row : rows) {
    std::string samples;
    for (const double sample : row.samples) samples += cat(samples.empty() ? "" : " ", sample);
    std::string passed_over;
    for (const auto& [kernel, reason] : row.passed_over) {
      passed_over += cat(passed_over.empty() ? "" : "; ", kernel, ": ", reason);
    }
    out += cat(quoted(row.suite), ",", quoted(row.name), ",", row.value, ",", quoted(row.unit), ",",
               row.bytes, ",", row.flops, ",", quoted(row.roof_name), ",", row.roof, ",",
               quoted(row.roof_unit), ",", row.achieved, ",", row.share_of_roof, ",",
               quoted(row.kernel), ",", samples, ",", quoted(passed_over), "\n");
  }
  return out;
}

}  // namespace axk1
