#include "tasks/generate.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "io/checksum.h"

namespace axk1 {
namespace {

// Draws in a row that were all of questions written before, or of the other side.
constexpr uint64_t kMaxAttempts = 5000;
// JSON numbers of other readers are doubles.
constexpr uint64_t kSeedMask = (uint64_t{1} << 53) - 1;

std::vector<const TaskKind*> chosen_kinds(const std::vector<std::string>& names) {
  std::vector<const TaskKind*> chosen;
  for (const TaskKind& kind : task_kinds()) {
    const auto names_it = [&](const std::string& name) {
      return name == kind.name || name == kind.group;
    };
    if (names.empty() || std::ranges::any_of(names, names_it)) chosen.push_back(&kind);
  }
  for (const std::string& name : names) {
    if (std::ranges::find(task_kinds(), name, &TaskKind::group) == task_kinds().end()) {
      find_task_kind(name);
    }
  }
  return chosen;
}

}  // namespace

void generate_tasks(const TaskSetOptions& options, const std::function<void(json::object)>& write) {
  const std::vector<const TaskKind*> kinds = chosen_kinds(options.kinds);
  if (options.languages.empty() || options.modes.empty()) {
    fail(ErrorCode::kInvalidInput, "generated tasks: expected at least one language and one mode");
  }
  std::unordered_set<uint64_t> written;  // hashes of questions
  for (uint64_t i = 0; i < options.count; ++i) {
    const TaskKind& kind = *kinds[i % kinds.size()];
    const TaskLanguage language = options.languages[i / kinds.size() % options.languages.size()];
    for (uint64_t attempt = 0;; ++attempt) {
      if (attempt == kMaxAttempts) {
        fail(ErrorCode::kInvalidInput, "generated tasks: ", kind.name, " in ",
             language_name(language), options.held_out ? ", held out," : "",
             " has not enough different questions for a count of ", options.count, ": after ", i,
             ", ", kMaxAttempts, " more were none of them new");
      }
      const uint64_t seed = checksum64(cat(options.seed, " ", i, " ", attempt)) & kSeedMask;
      const Task task = make_task(kind, language, seed);
      if (task.held_out != options.held_out) continue;
      std::string question = task.question;
      for (const json::value& tool : task.tools) question += json::to_text(tool);
      if (!written.insert(checksum64(question)).second) continue;
      for (TaskMode mode : options.modes) write(task_row(task, mode));
      break;
    }
  }
}

}  // namespace axk1
