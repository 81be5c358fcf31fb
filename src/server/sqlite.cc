#include "server/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr int kBusyTimeoutMs = 5000;  // another process may hold the lock for a write

}  // namespace

SqliteStatement::SqliteStatement(SqliteDatabase& database, std::string_view sql)
    : database_(database) {
  const int code = sqlite3_prepare_v2(database_.handle_, sql.data(), static_cast<int>(sql.size()),
                                      &statement_, nullptr);
  if (code != SQLITE_OK) database_.throw_error(code);
}

SqliteStatement::~SqliteStatement() {
  sqlite3_finalize(statement_);
}

SqliteStatement& SqliteStatement::bind(int64_t value) {
  const int code = sqlite3_bind_int64(statement_, ++bound_, value);
  if (code != SQLITE_OK) database_.throw_error(code);
  return *this;
}

SqliteStatement& SqliteStatement::bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() ? text.data() : "";
  const int code =
      sqlite3_bind_text64(statement_, ++bound_, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) database_.throw_error(code);
  return *this;
}

SqliteStatement& SqliteStatement::bind(const std::optional<std::string>& text) {
  if (text) return bind(std::string_view(*text));
  const int code = sqlite3_bind_null(statement_, ++bound_);
  if (code != SQLITE_OK) database_.throw_error(code);
  return *this;
}

bool SqliteStatement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.throw_error(code);
  return false;
}

int64_t SqliteStatement::run() {
  while (step()) {
  }
  return sqlite3_changes64(database_.handle_);
}

int64_t SqliteStatement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string SqliteStatement::text(int column) const {
  const unsigned char* data = sqlite3_column_text(statement_, column);
  if (!data) return {};
  return {reinterpret_cast<const char*>(data),
          static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

std::optional<std::string> SqliteStatement::optional_text(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return text(column);
}

SqliteDatabase::SqliteDatabase(const std::string& path, int32_t application_id, int version,
                               std::string_view create)
    : path_(path) {
  // SQLite would let everybody read a new file; its log takes over the permissions of the file.
  if (path != ":memory:") {
    const int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
  }
  const int code =
      sqlite3_open_v2(path.c_str(), &handle_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  try {
    if (code != SQLITE_OK) throw_error(code);
    sqlite3_busy_timeout(handle_, kBusyTimeoutMs);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    run("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON");

    const auto known = [&] {
      const int64_t mark = pragma("PRAGMA application_id");
      const int64_t found = pragma("PRAGMA user_version");
      if (mark == 0 && found == 0 && pragma("SELECT count(*) FROM sqlite_schema") == 0)
        return false;
      if (mark != application_id) {
        fail(ErrorCode::kInvalidInput, path_, ": a database of another program (application id ",
             mark, ", expected ", application_id, ")");
      }
      if (found != version) {
        fail(ErrorCode::kUnsupported, path_, ": found version ", found, ", expected ", version);
      }
      return true;
    };
    if (known()) {
      run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      return;
    }
    run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    SqliteTransaction transaction(*this);
    if (known()) return;  // another process was faster
    run(create);
    run(cat("PRAGMA application_id = ", application_id, "; PRAGMA user_version = ", version));
    transaction.commit();
  } catch (...) {
    sqlite3_close_v2(handle_);
    throw;
  }
}

SqliteDatabase::~SqliteDatabase() {
  sqlite3_close_v2(handle_);
}

void SqliteDatabase::run(std::string_view sql) {
  const int code = sqlite3_exec(handle_, std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_error(code);
}

int64_t SqliteDatabase::pragma(std::string_view sql) {
  SqliteStatement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

void SqliteDatabase::throw_error(int code) const {
  const char* why = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  switch (code & 0xff) {  // the rest of the code is detail
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // our statements are right: the tables are not what they should be
    case SQLITE_MISMATCH:
      fail(ErrorCode::kIo, path_, ": ", why, ", expected an undamaged SQLite database");
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      AXK1_CHECK(false);
    default:
      break;
  }
  fail(ErrorCode::kIo, path_, ": ", why);
}

SqliteTransaction::SqliteTransaction(SqliteDatabase& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

SqliteTransaction::~SqliteTransaction() {
  // Some errors have rolled it back already; then there is nothing to do.
  if (open_) sqlite3_exec(database_.handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void SqliteTransaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace axk1
