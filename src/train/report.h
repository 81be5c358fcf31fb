// A run as a page with curves, in one file without scripts.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "train/metrics.h"

namespace axk1 {

struct RunReport {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // name, value: a table at the top
};

// HTML with one SVG picture for each measure. Text is escaped. Curves of more steps than
// kReportPoints show the mean of neighbouring steps.
inline constexpr size_t kReportPoints = 800;
std::string report_html(const RunReport& report, std::span<const StepMetrics> history);

}  // namespace axk1
