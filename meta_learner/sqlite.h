// A connection to an SQLite file, with statuses in place of return codes. Used by the store alone;
// one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

struct sqlite3;
struct sqlite3_stmt;

namespace mentor::meta_learner::sqlite {

class Database;

// One execution of a statement. Bind in order, then Step until it says false. Errors of Bind are
// kept until Step.
//
//   auto query = database.Query("SELECT state FROM experiments WHERE id = ?");
//   query.Bind(id);
//   MENTOR_ASSIGN_OR_RETURN(const bool found, query.Step());
class Query {
 public:
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();  // Resets the statement, so that the connection may use it again.

  Query& Bind(int64_t value);
  Query& Bind(double value);  // NaN becomes NULL.
  Query& Bind(std::string_view text);
  Query& BindBlob(std::string_view bytes);

  // True: a row is there. False: done.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  int64_t Integer(int column) const;
  double Double(int column) const;     // NULL becomes NaN.
  std::string Text(int column) const;  // Text or blob.

 private:
  friend class Database;
  Query(Database* database, sqlite3_stmt* statement, int rc)
      : database_(database), statement_(statement), rc_(rc) {}

  Database* const database_;
  sqlite3_stmt* statement_;
  int rc_;
  int bound_ = 0;
};

class Database {
 public:
  // Opens or creates the file (a reader: opens only) and sets the pragmas of every connection.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::filesystem::path& path,
                                                        bool read_only);
  ~Database();

  // One or more statements without parameters or rows.
  absl::Status Execute(const std::string& sql);
  // The text is the key under which the compiled statement is kept.
  sqlite::Query Query(const std::string& sql);
  // Rows that the last statement changed.
  int64_t changes() const;
  int64_t last_row_id() const;
  bool in_transaction() const;

 private:
  friend class sqlite::Query;
  Database(std::filesystem::path path, sqlite3* connection)
      : path_(std::move(path)), connection_(connection) {}
  absl::Status Error(std::string_view doing, int rc) const;

  const std::filesystem::path path_;
  sqlite3* const connection_;
  std::map<std::string, sqlite3_stmt*> statements_;
};

// BEGIN IMMEDIATE .. COMMIT; rolls back when it ends without Commit.
class Transaction {
 public:
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Database* database);
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* const database_;
};

}  // namespace mentor::meta_learner::sqlite
