#include "apps/history_option.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace axk1 {

std::string default_history_file(const char* xdg_data_home, const char* home) {
  constexpr const char* kFile = "/axk1/history.sqlite";
  if (xdg_data_home && *xdg_data_home == '/') return std::string(xdg_data_home) + kFile;
  if (home && *home == '/') return std::string(home) + "/.local/share" + kFile;
  return "";
}

std::unique_ptr<History> open_history(const HistoryOption& option, std::string& warning) {
  if (option.none) return nullptr;
  if (!option.file.empty()) return std::make_unique<History>(option.file);
  const std::string file = default_history_file(std::getenv("XDG_DATA_HOME"), std::getenv("HOME"));
  if (file.empty()) {
    warning = "conversations are not kept: neither XDG_DATA_HOME nor HOME is set (see --history)";
    return nullptr;
  }
  try {
    std::error_code ignored;  // opening the file says what is wrong
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    if (std::filesystem::create_directories(folder, ignored)) {
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
    }
    return std::make_unique<History>(file);
  } catch (const Error& error) {
    warning = std::string("conversations are not kept: ") + error.what();
    return nullptr;
  }
}

}  // namespace axk1
