#include <CLI/CLI.hpp>
#include "apps/commands.h"
namespace axk1 {
void add_inspect_command(CLI::App& app) {
  CLI::App* cmd = app.add_subcommand("inspect", "Print what a model is made of");
  (void)cmd;
}
}  // namespace axk1
