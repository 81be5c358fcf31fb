// axk1 serve: the model over HTTP.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/generation_flags.h"
#include "apps/history_option.h"
#include "apps/model_options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "data/tokenizer_hash.h"
#include "engine/batching_service.h"
#include "io/checksum.h"
#include "server/api_server.h"
#include "server/constraint_cache.h"
#include "server/web_routes.h"

namespace axk1 {
namespace {

struct ServeArguments {
  ModelOptions model;
  GenerationFlags generation;
  std::vector<std::string> names;
  std::string keys;
  bool allow_anonymous = false;
  std::string access_log;
  std::string prefix_file;
  HistoryOption history;
  bool no_page = false;
  ServiceOptions service;
  double max_memory_gib = 0, kv_memory_gib = 0;
  ApiServerOptions server;
  double body_mib = 8;
  double header_timeout = 10, body_timeout = 60, idle_timeout = 120, write_timeout = 60;
  double request_timeout = 0, drain_grace = 0.5, drain_limit = 60;
};

std::chrono::milliseconds millis(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

// A connection is a file: as many as the system lets this process have.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

ApiServerOptions server_options(const ServeArguments& arguments) {
  ApiServerOptions options = arguments.server;
  options.http.max_body_bytes = static_cast<size_t>(arguments.body_mib * (1 << 20));
  options.http.header_timeout = millis(arguments.header_timeout);
  options.http.body_timeout = millis(arguments.body_timeout);
  options.http.idle_timeout = millis(arguments.idle_timeout);
  options.http.write_timeout = millis(arguments.write_timeout);
  options.generation.request_timeout = millis(arguments.request_timeout);
  options.drain_grace = millis(arguments.drain_grace);
  options.drain_limit = millis(arguments.drain_limit);
  options.version = AXK1_VERSION;
  const bool keyless = arguments.keys.empty();
  const bool loopback = is_loopback(options.http.address);
  if (keyless && !loopback && !arguments.allow_anonymous) {
    fail(ErrorCode::kUsage, "--host ", options.http.address,
         " is open to others: name a file of keys with --keys (see axk1 keys), or say "
         "--allow-anonymous");
  }
  if (options.http.tls_certificate.empty() != options.http.tls_key.empty()) {
    fail(ErrorCode::kUsage, "--tls-cert and --tls-key go together");
  }
  options.origins.loopback_host_only = keyless && loopback && !arguments.allow_anonymous;
  return options;
}

ServedModel served_model(const Engine& engine, const ServeArguments& arguments) {
  ServedModel model;
  model.names = arguments.names;
  if (model.names.empty()) model.names.push_back(engine.name());
  model.tokenizer = engine.tokenizer();
  model.chat_template = engine.chat_template();
  model.vocab_size = engine.vocab_size();
  model.context_length = engine.context_length();
  if (arguments.service.context_tokens > 0) {
    model.context_length = std::min(model.context_length, arguments.service.context_tokens);
  }
  if (model.tokenizer) {
    model.tokenizer_hash = checksum_text(tokenizer_hash(arguments.model.model));
    model.constraints = std::make_shared<ConstraintCache>(std::make_shared<GrammarVocabulary>(
        *model.tokenizer, engine.eos_token_ids(), engine.vocab_size()));
  }
  model.defaults = generate_options(engine, arguments.generation);
  model.created = std::time(nullptr);
  return model;
}

void serve(const ServeArguments& arguments) {
  ApiServerOptions options = server_options(arguments);
  raise_file_limit();
  std::unique_ptr<ApiKeys> keys;
  if (!arguments.keys.empty()) keys = std::make_unique<ApiKeys>(arguments.keys, false);
  options.keys = keys.get();
  std::unique_ptr<AccessLog> log;
  if (!arguments.access_log.empty()) log = std::make_unique<AccessLog>(arguments.access_log);
  options.access_log = log.get();

  Engine engine(arguments.model.model, engine_options(arguments.model));
  const ServedModel model = served_model(engine, arguments);
  ServiceOptions service_options = arguments.service;
  constexpr double kGib = 1 << 30;
  service_options.max_memory = static_cast<uint64_t>(arguments.max_memory_gib * kGib);
  service_options.kv_memory = static_cast<uint64_t>(arguments.kv_memory_gib * kGib);
  const std::unique_ptr<BatchingService> service = make_batching_service(engine, service_options);
  if (!arguments.prefix_file.empty()) {
    const BatchingService::Loaded loaded = service->load_prefixes(arguments.prefix_file);
    if (!loaded.message.empty()) std::cerr << "axk1: " << loaded.message << "\n";
  }

  std::unique_ptr<History> history;
  if (!arguments.no_page) {
    std::string warning;
    history = open_history(arguments.history, warning);
    if (!warning.empty()) std::cerr << "axk1: " << warning << "\n";
  }

  ApiServer server(model, *service, options);
  if (!arguments.no_page) add_web_routes(server);
  if (history) add_history_routes(server, *history);
  print_out(cat("listening on ", server.url(), "\n"));
  const ApiServer::End end = server.run();
  if (!arguments.prefix_file.empty()) service->save_prefixes(arguments.prefix_file);
  if (end == ApiServer::End::kCutOff) {
    fail(ErrorCode::kIo, "ended before every request was answered");
  }
}

void add_page(CLI::App& command, ServeArguments& arguments) {
  const char* group = "Chat page";
  command
      .add_option("--history", arguments.history.file,
                  "SQLite file of its conversations (default: axk1/history.sqlite in the user's "
                  "data folder)")
      ->group(group);
  command.add_flag("--no-history", arguments.history.none, "Keep no conversations")->group(group);
  command.add_flag("--no-page", arguments.no_page, "No page and no history, the API only")
      ->group(group);
}

void add_limits(CLI::App& command, ServeArguments& arguments) {
  const char* group = "Limits";
  HttpServerOptions& http = arguments.server.http;
  const auto add = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->group(group)->capture_default_str();
  };
  add("--max-connections", http.max_connections, "More are answered 503");
  add("--max-header-bytes", http.max_header_bytes, "Longer heads are answered 431");
  add("--max-body", arguments.body_mib, "MiB; longer bodies are answered 413");
  add("--max-unread-bytes", http.max_unread_bytes,
      "Of a stream that its client does not read, before it is cancelled");
  add("--max-choices", arguments.server.limits.max_choices, "Answers of one request");
  add("--max-logprobs", arguments.server.limits.max_logprobs, "Alternatives per token");
  add("--header-timeout", arguments.header_timeout, "Seconds for the head of a request");
  add("--body-timeout", arguments.body_timeout, "Seconds for its body");
  add("--idle-timeout", arguments.idle_timeout, "Seconds between requests of a connection");
  add("--write-timeout", arguments.write_timeout, "Seconds for a write to make progress");
  add("--request-timeout", arguments.request_timeout, "Seconds for an answer; 0: no limit");
  add("--drain-grace", arguments.drain_grace,
      "Seconds after SIGTERM in which new requests are still taken");
  add("--drain-limit", arguments.drain_limit,
      "Seconds after SIGTERM until running requests are cut off");
}

void add_service(CLI::App& command, ServeArguments& arguments) {
  const char* group = "Engine";
  ServiceOptions& service = arguments.service;
  const auto add = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->group(group)->capture_default_str();
  };
  add("--max-sequences", service.max_sequences, "Answers computed together");
  add("--max-queue", service.max_queue, "Requests waiting besides them; more are answered 503");
  add("--context", service.context_tokens, "Longest prompt and answer together; 0: the model's");
  add("--max-memory", arguments.max_memory_gib, "GiB of this process; 0: the machine's");
  add("--kv-memory", arguments.kv_memory_gib, "GiB of cache blocks; 0: what is left");
  add("--prefill-tokens", service.prefill_tokens, "Of one step; 0: as many as a step takes");
  add("--draft-tokens", service.draft_tokens, "Most drafts of one answer and step");
  command.add_flag("!--no-prefix-cache", service.prefix_cache, "Forget prompts at once")
      ->group(group);
  command.add_flag("!--no-drafts", service.drafts, "Propose no tokens")->group(group);
  command
      .add_flag("!--no-mtp", service.mtp,
                "Propose none by the model's layer of multi-token prediction")
      ->group(group);
  command
      .add_option("--prefix-cache-file", arguments.prefix_file,
                  "Load what the prefix cache held, and save it at the end")
      ->group(group);
  command
      .add_flag("--null-model", service.null_model,
                "Compute nothing, answer a fixed text: to measure the server")
      ->group(group);
}

}  // namespace

void add_serve_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP");
  const auto arguments = std::make_shared<ServeArguments>();
  add_model_options(*command, arguments->model, ModelArgument::kRequired);
  HttpServerOptions& http = arguments->server.http;
  command->add_option("--host", http.address, "IP address to listen on")->capture_default_str();
  command->add_option("--port", http.port, "Port; 0: any free one")->capture_default_str();
  command->add_option("--model-name", arguments->names,
                      "What requests call the model; several may be given (default: the folder's)");
  command->add_option("--keys", arguments->keys, "File of API keys (axk1 keys); without: no key");
  command->add_flag("--allow-anonymous", arguments->allow_anonymous,
                    "Listen beyond this machine without keys");
  command->add_flag("--open-metrics", arguments->server.open_metrics, "/metrics needs no key");
  command->add_option("--tls-cert", http.tls_certificate, "PEM file with the certificate chain");
  command->add_option("--tls-key", http.tls_key, "PEM file with its private key");
  command->add_option(
      "--cors-origin", arguments->server.origins.allowed,
      "Web pages that may use the server, such as https://chat.example.com; *: all");
  command->add_option("--access-log", arguments->access_log,
                      "File for a JSON line per request, without prompts; -: stderr");
  add_page(*command, *arguments);
  add_limits(*command, *arguments);
  add_service(*command, *arguments);
  add_generation_flags(*command, arguments->generation);
  command->footer(
      "The first line on stdout names the address. SIGTERM finishes what runs and ends; a second "
      "one ends now.\ndocs/server.md describes the API.\n\n"
      "Example:\n"
      "  build/release/axk1 serve models/nano-v1 --port 8080\n");
  command->callback([arguments] { serve(*arguments); });
}

}  // namespace axk1
