#include "server/api_keys.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "base/utf8.h"
#include "io/file.h"
#include "server/sqlite.h"

namespace axk1 {
namespace {

constexpr const char* kPrefix = "sk-axk1-";
constexpr int32_t kApplicationId = 0x61786b6b;  // "axkk"
constexpr int kVersion = 1;
constexpr const char* kSchema = R"(
  CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,  -- SHA-256 of the secret, hexadecimal
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    requests_per_minute INTEGER NOT NULL,  -- limits: 0 is none
    tokens_per_minute INTEGER NOT NULL,
    concurrent_requests INTEGER NOT NULL,
    created_at INTEGER NOT NULL,  -- times: seconds since 1970
    expires_at INTEGER NOT NULL,  -- 0: never
    revoked_at INTEGER NOT NULL   -- 0: not
  ) STRICT;
)";
constexpr const char* kSelect =
    "SELECT id, tenant, name, requests_per_minute, tokens_per_minute, concurrent_requests, "
    "created_at, expires_at, revoked_at, hash FROM keys ORDER BY created_at, id";

std::string sha256(std::string_view text) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : hash) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

// `count` characters of [0-9A-Za-z], each drawn evenly.
std::string random_text(size_t count) {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string out;
  while (out.size() < count) {
    unsigned char byte;
    if (RAND_bytes(&byte, 1) != 1) fail(ErrorCode::kIo, "the system gives no random numbers");
    if (byte < 4 * kLetters.size()) out += kLetters[byte % kLetters.size()];
  }
  return out;
}

std::optional<int64_t> time_or_none(int64_t seconds) {
  if (seconds == 0) return std::nullopt;
  return seconds;
}

ApiKey read_key(const SqliteStatement& row) {
  ApiKey key;
  key.id = row.text(0);
  key.tenant = row.text(1);
  key.name = row.text(2);
  key.limits = {.requests_per_minute = row.integer(3),
                .tokens_per_minute = row.integer(4),
                .concurrent_requests = row.integer(5)};
  key.created_at = row.integer(6);
  key.expires_at = time_or_none(row.integer(7));
  key.revoked_at = time_or_none(row.integer(8));
  return key;
}

void check_text(const std::string& text, const char* what) {
  if (text.empty() || text.size() > 128 || !is_valid_utf8(text)) {
    fail(ErrorCode::kInvalidInput, what, ": found \"", printable(text),
         "\", expected 1 to 128 bytes of text");
  }
}

// The file, made readable by its owner alone before anything is in it.
const std::string& existing_file(const std::string& path, bool create) {
  if (file_exists(path)) return path;
  if (!create) fail(ErrorCode::kNotFound, path, ": there is no such file of keys");
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) fail(ErrorCode::kIo, path, ": cannot be created: ", std::strerror(errno));
  ::close(fd);
  return path;
}

}  // namespace

ApiKeys::ApiKeys(const std::string& path, bool create)
    : database_(std::make_unique<SqliteDatabase>(existing_file(path, create), kApplicationId,
                                                 kVersion, kSchema)) {
  refresh();
}

ApiKeys::~ApiKeys() = default;

ApiKeys::Created ApiKeys::add(const NewKey& key, int64_t now) {
  check_text(key.tenant, "tenant");
  if (!key.name.empty()) check_text(key.name, "name");
  const Created created{.id = "key_" + random_text(12), .secret = kPrefix + random_text(43)};
  SqliteStatement(*database_, "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)")
      .bind(std::string_view(created.id))
      .bind(std::string_view(sha256(created.secret)))
      .bind(std::string_view(key.tenant))
      .bind(std::string_view(key.name))
      .bind(key.limits.requests_per_minute)
      .bind(key.limits.tokens_per_minute)
      .bind(key.limits.concurrent_requests)
      .bind(now)
      .bind(key.expires_at.value_or(0))
      .run();
  load();
  return created;
}

std::vector<ApiKey> ApiKeys::list() const {
  std::vector<ApiKey> keys;
  SqliteStatement rows(*database_, kSelect);
  while (rows.step()) keys.push_back(read_key(rows));
  return keys;
}

bool ApiKeys::revoke(const std::string& id, int64_t now) {
  const int64_t changed =
      SqliteStatement(*database_,
                      "UPDATE keys SET revoked_at = ?1 WHERE id = ?2 AND revoked_at = 0")
          .bind(now)
          .bind(std::string_view(id))
          .run();
  load();
  return changed > 0;
}

std::shared_ptr<const ApiKey> ApiKeys::find(std::string_view secret, int64_t now) const {
  // Looked up by hash: how long this takes tells nothing of the secrets that are there.
  const auto found = by_hash_.find(sha256(secret));
  if (found == by_hash_.end()) return nullptr;
  const ApiKey& key = *found->second;
  if (key.revoked_at || (key.expires_at && now >= *key.expires_at)) return nullptr;
  return found->second;
}

void ApiKeys::refresh() {
  SqliteStatement version(*database_, "PRAGMA data_version");
  version.step();
  if (version.integer(0) == data_version_) return;
  data_version_ = version.integer(0);
  load();
}

void ApiKeys::load() {
  by_hash_.clear();
  SqliteStatement rows(*database_, kSelect);
  while (rows.step()) by_hash_[rows.text(9)] = std::make_shared<const ApiKey>(read_key(rows));
}

}  // namespace axk1
