// Suites of axk1 bench that have a file of their own.
#pragma once

#include <string>

#include "bench/draft_bench.h"
#include "engine/engine.h"

namespace axk1 {

// Prints what drafts are worth for the requests of a file of JSON lines, as axk1 run --jsonl takes
// them. Throws Error(kUsage) without a file.
void run_draft_suite(Engine& engine, const std::string& requests, const DraftBenchOptions& options,
                     bool json);

}  // namespace axk1
