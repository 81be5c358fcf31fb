// SQLite with errors as Error and handles that close themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace axk1 {

class SqliteDatabase;

// One prepared statement. Belongs to the thread that uses its database.
class SqliteStatement {
 public:
  // Throws Error when `sql` is not one statement of this database's tables.
  SqliteStatement(SqliteDatabase& database, std::string_view sql);
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  // Parameters ?1, ?2, ... in the order of the calls.
  SqliteStatement& bind(int64_t value);
  SqliteStatement& bind(std::string_view text);
  SqliteStatement& bind(const std::optional<std::string>& text);  // NULL when empty

  // True: the next row can be read. False: there are no more.
  bool step();
  // For statements without rows. Returns how many rows they changed.
  int64_t run();

  // Columns of the current row, from 0.
  int64_t integer(int column) const;
  std::string text(int column) const;
  std::optional<std::string> optional_text(int column) const;

 private:
  SqliteDatabase& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// A connection. One thread at a time. A file that is damaged, or that the disk, its locks or memory
// keep from being used, is Error(kIo) naming the file.
class SqliteDatabase {
 public:
  // Opens or creates the file (":memory:" is one that is nowhere), with write-ahead log, foreign
  // keys, and deleted content overwritten. application_id marks the file as ours: a file with
  // another mark (kInvalidInput) or version (kUnsupported) is refused. `create` is run, in one
  // transaction, in a file that is still empty.
  SqliteDatabase(const std::string& path, int32_t application_id, int version,
                 std::string_view create);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  void run(std::string_view sql);  // statements without parameters and rows

  [[noreturn]] void throw_error(int code) const;

 private:
  friend class SqliteStatement;
  friend class SqliteTransaction;
  int64_t pragma(std::string_view sql);

  std::string path_;
  sqlite3* handle_ = nullptr;
};

// Writes of this connection until commit(), all or none of them. The write lock is taken at once.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(SqliteDatabase& database);
  ~SqliteTransaction();  // rolls back what was not committed
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;

  void commit();

 private:
  SqliteDatabase& database_;
  bool open_ = true;
};

}  // namespace axk1
