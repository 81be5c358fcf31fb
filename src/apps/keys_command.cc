// axk1 keys: makes, lists and revokes the API keys of axk1 serve.
#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>

#include "apps/commands.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "io/json.h"
#include "server/api_keys.h"

namespace axk1 {
namespace {

struct KeysArguments {
  std::string file;
  ApiKeys::NewKey key;
  double expires_days = 0;
  std::string id;
  bool json = false;
};

json::value time_json(const std::optional<int64_t>& seconds) {
  if (!seconds) return nullptr;
  return *seconds;
}

json::object key_json(const ApiKey& key) {
  json::object out;
  out["id"] = key.id;
  out["tenant"] = key.tenant;
  out["name"] = key.name;
  out["requests_per_minute"] = key.limits.requests_per_minute;
  out["tokens_per_minute"] = key.limits.tokens_per_minute;
  out["concurrent_requests"] = key.limits.concurrent_requests;
  out["created_at"] = key.created_at;
  out["expires_at"] = time_json(key.expires_at);
  out["revoked_at"] = time_json(key.revoked_at);
  return out;
}

void create(const KeysArguments& arguments) {
  ApiKeys keys(arguments.file, true);
  const int64_t now = std::time(nullptr);
  ApiKeys::NewKey key = arguments.key;
  if (arguments.expires_days > 0) {
    key.expires_at = now + static_cast<int64_t>(arguments.expires_days * 86400);
  }
  const ApiKeys::Created created = keys.add(key, now);
  if (arguments.json) {
    print_out(json::to_text(json::object{{"id", created.id}, {"key", created.secret}}) + "\n");
  } else {
    print_out(created.secret + "\n");
  }
}

void list(const KeysArguments& arguments) {
  const ApiKeys keys(arguments.file, false);
  json::array all;
  for (const ApiKey& key : keys.list()) {
    if (arguments.json) {
      all.push_back(key_json(key));
      continue;
    }
    const int64_t now = std::time(nullptr);
    const char* state = key.revoked_at                             ? "revoked"
                        : key.expires_at && now >= *key.expires_at ? "expired"
                                                                   : "valid";
    print_out(
        cat(key.id, "  ", state, "  ", printable(key.tenant), "  ", printable(key.name), "\n"));
  }
  if (arguments.json) print_out(json::to_text(json::object{{"keys", std::move(all)}}) + "\n");
}

void revoke(const KeysArguments& arguments) {
  ApiKeys keys(arguments.file, false);
  if (!keys.revoke(arguments.id, std::time(nullptr))) {
    fail(ErrorCode::kNotFound, arguments.file, ": no valid key has the id ",
         printable(arguments.id));
  }
}

}  // namespace

void add_keys_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("keys", "Make, list and revoke API keys of axk1 serve");
  command->require_subcommand(1);
  const auto arguments = std::make_shared<KeysArguments>();
  const auto add = [&](const char* name, const char* help) {
    CLI::App* sub = command->add_subcommand(name, help);
    sub->add_option("FILE", arguments->file, "File of keys")->required();
    return sub;
  };
  CLI::App* make = add("create", "Make a key and print it: it cannot be read again");
  ApiKeys::NewKey& key = arguments->key;
  make->add_option("--tenant", key.tenant, "On whose account")->required();
  make->add_option("--name", key.name, "What it is for");
  const auto limit = [&](const char* name, int64_t& value, const char* help) {
    make->add_option(name, value, help)->check(CLI::NonNegativeNumber)->capture_default_str();
  };
  limit("--requests-per-minute", key.limits.requests_per_minute, "0: no limit");
  limit("--tokens-per-minute", key.limits.tokens_per_minute, "Of prompts and answers; 0: no limit");
  limit("--concurrent-requests", key.limits.concurrent_requests, "0: no limit");
  make->add_option("--expires-days", arguments->expires_days, "Days until it ends; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  make->add_flag("--json", arguments->json, "Print one JSON object");
  make->callback([arguments] { create(*arguments); });

  CLI::App* show = add("list", "List keys, without their secrets");
  show->add_flag("--json", arguments->json, "Print one JSON object");
  show->callback([arguments] { list(*arguments); });

  CLI::App* end = add("revoke", "End a key; running servers notice within seconds");
  end->add_option("ID", arguments->id, "Its id, as listed")->required();
  end->callback([arguments] { revoke(*arguments); });
}

}  // namespace axk1
