// API keys in an SQLite file: who may ask, how often, and on whose account. Secrets are kept as
// SHA-256 hashes; they are 256 random bits, so that no slow hash is needed to protect them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace axk1 {

class SqliteDatabase;

// 0: no limit.
struct KeyLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // of prompts and answers
  int64_t concurrent_requests = 0;
};

struct ApiKey {
  std::string id;      // public, for lists and logs
  std::string tenant;  // shares of the machine and cached prefixes are kept apart by it
  std::string name;
  KeyLimits limits;
  int64_t created_at = 0;             // seconds since 1970
  std::optional<int64_t> expires_at;  // not valid from then on
  std::optional<int64_t> revoked_at;
};

// One thread at a time. Other processes may change the file meanwhile.
class ApiKeys {
 public:
  // Opens the file; `create` makes it when it is not there, readable by its owner alone. Throws
  // Error(kNotFound, kIo, kInvalidInput) naming the file.
  ApiKeys(const std::string& path, bool create);
  ~ApiKeys();
  ApiKeys(const ApiKeys&) = delete;
  ApiKeys& operator=(const ApiKeys&) = delete;

  struct NewKey {
    std::string tenant;
    std::string name;
    KeyLimits limits;
    std::optional<int64_t> expires_at;
  };
  struct Created {
    std::string id;
    std::string secret;  // "sk-axk1-..."; not stored, cannot be read again
  };
  Created add(const NewKey& key, int64_t now);

  std::vector<ApiKey> list() const;

  // False when there is no such key, or it was revoked before.
  bool revoke(const std::string& id, int64_t now);

  // The valid key with this secret, from memory; null when there is none.
  std::shared_ptr<const ApiKey> find(std::string_view secret, int64_t now) const;

  // Takes over what other processes changed since. Cheap when nothing did.
  void refresh();

 private:
  void load();

  std::unique_ptr<SqliteDatabase> database_;
  std::unordered_map<std::string, std::shared_ptr<const ApiKey>> by_hash_;
  int64_t data_version_ = -1;
};

}  // namespace axk1
