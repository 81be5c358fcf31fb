// axk1 bench drafts: what guessing ahead is worth on a file of requests.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "apps/bench_suites.h"
#include "apps/completion_request.h"
#include "apps/progress.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "bench/draft_bench.h"
#include "bench/median.h"
#include "io/file.h"
#include "io/json.h"

namespace axk1 {
namespace {

std::vector<DraftRequest> read_requests(const Engine& engine, const std::string& path) {
  const std::string text = read_file(path, uint64_t{1} << 28);
  std::vector<DraftRequest> requests;
  size_t line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string source = cat(path, ": line ", ++line);
    if (end > at) {
      const CompletionRequest request = parse_completion_request(
          json::parse(std::string_view(text).substr(at, end - at), source), source, {});
      std::string rendered;
      requests.push_back({prompt_tokens(engine, request, &rendered), request.generate});
    }
    at = end + 1;
  }
  if (requests.empty()) fail(ErrorCode::kInvalidInput, path, ": has no requests");
  return requests;
}

void print_rows(const std::vector<DraftBenchRow>& rows) {
  print_out("drafts          tok/s  speed-up  accepted  tokens a step\n");
  for (const DraftBenchRow& row : rows) {
    char line[160];
    std::snprintf(line, sizeof line, "%-12s %8.0f  %8.2f  %6.1f %%  %13.2f\n", row.name.c_str(),
                  median(row.tokens_per_second), median(row.speed_up), 100 * row.acceptance(),
                  static_cast<double>(row.tokens) / static_cast<double>(row.steps));
    print_out(line);
  }
}

void print_json(const std::vector<DraftBenchRow>& rows) {
  json::array out;
  for (const DraftBenchRow& row : rows) {
    out.push_back(
        {{"suite", "drafts"},
         {"name", row.name},
         {"value", median(row.tokens_per_second)},
         {"unit", "tok/s"},
         {"samples", json::array(row.tokens_per_second.begin(), row.tokens_per_second.end())},
         {"speed_up", median(row.speed_up)},
         {"tokens", row.tokens},
         {"steps", row.steps},
         {"draft_tokens", row.drafts},
         {"accepted_tokens", row.accepted}});
  }
  print_out(json::to_text(json::object{{"rows", std::move(out)}}) + "\n");
}

}  // namespace

void run_draft_suite(Engine& engine, const std::string& requests, const DraftBenchOptions& options,
                     bool json) {
  if (requests.empty()) {
    fail(ErrorCode::kUsage, "bench drafts: --requests is missing, expected a file of requests");
  }
  std::unique_ptr<Progress> progress;
  const std::vector<DraftBenchRow> rows = bench_drafts(
      engine, read_requests(engine, requests), options, [&](size_t done, size_t total) {
        if (!progress) progress = std::make_unique<Progress>("measuring", "passes", total);
        progress->update(done);
      });
  progress.reset();
  json ? print_json(rows) : print_rows(rows);
}

}  // namespace axk1
