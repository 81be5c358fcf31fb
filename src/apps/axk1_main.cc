// The program: finds the subcommand, runs it, turns errors into exit codes (0, 1 error, 2 usage).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <new>
#include <string_view>

#include "apps/commands.h"
#include "base/error.h"

int main(int argc, char** argv) {
  CLI::App app("axk1: run, measure and train models of the A.X K1 architecture", "axk1");
  app.set_version_flag("--version", "axk1 " AXK1_VERSION);
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);

  axk1::add_chat_command(app);
  axk1::add_run_command(app);
  axk1::add_serve_command(app);
  axk1::add_keys_command(app);
  axk1::add_inspect_command(app);
  axk1::add_convert_command(app);
  axk1::add_merge_command(app);
  axk1::add_logits_command(app);
  axk1::add_template_command(app);
  axk1::add_tokenize_command(app);
  axk1::add_perplexity_command(app);
  axk1::add_compare_command(app);
  axk1::add_eval_command(app);
  axk1::add_calibrate_command(app);
  axk1::add_schema_command(app);
  axk1::add_bench_command(app);
  axk1::add_train_command(app);
  axk1::add_distil_command(app);
  axk1::add_rl_command(app);
  axk1::add_train_tokenizer_command(app);
  axk1::add_data_command(app);

  try {
    // CLI11 would only say that a subcommand is missing.
    const std::string_view first = argc > 1 ? argv[1] : "-";
    const auto named = [&](const CLI::App* command) { return command->get_name() == first; };
    if (!first.starts_with('-') && std::ranges::none_of(app.get_subcommands(nullptr), named)) {
      axk1::fail(axk1::ErrorCode::kUsage, "unknown command \"", axk1::printable(first),
                 "\"; axk1 --help lists them");
    }
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const axk1::Error& error) {
    std::fprintf(stderr, "axk1: %s\n", error.what());
    return error.code() == axk1::ErrorCode::kUsage ? 2 : 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "axk1: out of memory\n");
    return 1;
  }
  return 0;
}
