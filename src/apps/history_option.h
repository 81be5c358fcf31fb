// Where `axk1 serve` keeps the chat page's conversations.
#pragma once

#include <memory>
#include <string>

#include "server/history.h"

namespace axk1 {

struct HistoryOption {
  std::string file;   // --history; empty: default_history_file()
  bool none = false;  // --no-history
};

// $XDG_DATA_HOME/axk1/history.sqlite, or that below HOME/.local/share (XDG Base Directory
// Specification 0.8); "" without either. Null stands for a variable that is not set.
std::string default_history_file(const char* xdg_data_home, const char* home);

// Null with --no-history, and when the default file cannot be used, which is then said in
// `warning`. A file that was named must work: throws Error.
std::unique_ptr<History> open_history(const HistoryOption& option, std::string& warning);

}  // namespace axk1
