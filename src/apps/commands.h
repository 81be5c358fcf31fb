// The subcommands of axk1. Each add_* puts one on `app`; its callback does the work and throws
// Error on failure. Results go to stdout; progress, warnings and errors to stderr.
#pragma once

namespace CLI {
class App;
}

namespace axk1 {

void add_bench_command(CLI::App& app);
void add_calibrate_command(CLI::App& app);
void add_chat_command(CLI::App& app);
void add_compare_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_data_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_keys_command(CLI::App& app);
void add_logits_command(CLI::App& app);
void add_template_command(CLI::App& app);
void add_merge_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_train_command(CLI::App& app);
void add_distil_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_rl_command(CLI::App& app);
void add_perplexity_command(CLI::App& app);
void add_run_command(CLI::App& app);
void add_schema_command(CLI::App& app);
void add_serve_command(CLI::App& app);
void add_train_tokenizer_command(CLI::App& app);

}  // namespace axk1
