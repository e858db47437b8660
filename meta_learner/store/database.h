// Database interface of the store: one connection, statements with `?` for values, transactions.
// SQLite (sqlite.cc) and PostgreSQL (postgres.cc) implement it; the store's SQL works with both.
// Used only by the store, by one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/check.h"

namespace mentor::meta_learner::sql {

// Implementation of one execution of a statement. Columns count from 0.
class Statement {
 public:
  virtual ~Statement() = default;
  virtual void BindInteger(int64_t value) = 0;
  virtual void BindDouble(double value) = 0;  // NaN becomes NULL.
  virtual void BindText(std::string_view text) = 0;
  virtual void BindBlob(std::string_view bytes) = 0;
  virtual absl::StatusOr<bool> Step() = 0;
  virtual int64_t Integer(int column) const = 0;
  virtual double Double(int column) const = 0;     // NULL becomes NaN.
  virtual std::string Text(int column) const = 0;  // Text or blob.
};

// A value for a column of bytes.
struct Blob {
  std::string bytes;
};

// One execution of a statement. Bind in order, then Step until it returns false. Step returns the
// errors of Bind.
//
//   auto query = database->Query("SELECT state FROM experiments WHERE id = ?", id);
//   MENTOR_ASSIGN_OR_RETURN(const bool found, query.Step());
class Query {
 public:
  explicit Query(std::unique_ptr<Statement> statement) : statement_(std::move(statement)) {}

  // Numbers, enumerators, texts and Blobs.
  template <typename... Values>
  Query& Bind(const Values&... values) {
    (BindOne(values), ...);
    return *this;
  }
  // Returns true if there is a row, false at the end.
  absl::StatusOr<bool> Step() { return statement_->Step(); }
  // Executes a statement without rows.
  absl::Status Run();
  // Calls `use(row)` for each row that is left.
  template <typename Use>
  absl::Status ForEach(const Use& use) {
    auto found = Step();
    for (; found.ok() && *found; found = Step()) use(*this);
    return found.status();
  }

  int64_t Integer(int column) const { return statement_->Integer(column); }
  double Double(int column) const { return statement_->Double(column); }
  std::string Text(int column) const { return statement_->Text(column); }

 private:
  template <typename Value>
  void BindOne(const Value& value) {
    if constexpr (std::is_same_v<Value, Blob>) {
      statement_->BindBlob(value.bytes);
    } else if constexpr (std::is_floating_point_v<Value>) {
      statement_->BindDouble(value);
    } else if constexpr (std::is_integral_v<Value> || std::is_enum_v<Value>) {
      statement_->BindInteger(static_cast<int64_t>(value));
    } else {
      statement_->BindText(value);
    }
  }

  std::unique_ptr<Statement> statement_;
};

// SQL words of the schema that differ between databases.
struct Dialect {
  std::string_view serial;         // Row number, assigned by the database.
  std::string_view integer;        // 64 bits.
  std::string_view real;           // float64.
  std::string_view text;           // Compared byte by byte.
  std::string_view blob;           // Bytes.
  std::string_view empty_blob;     // A literal.
  std::string_view without_rowid;  // Suffix of a table stored in key order.
};

class Database {
 public:
  virtual ~Database() = default;

  // Executes one or more statements without parameters or rows.
  virtual absl::Status Execute(const std::string& sql) = 0;
  template <typename... Values>
  sql::Query Query(const std::string& sql, const Values&... values) {
    return std::move(sql::Query(Prepare(sql)).Bind(values...));
  }
  // Returns the first column of the first row; 0 without one.
  template <typename... Values>
  absl::StatusOr<int64_t> Number(const std::string& sql, const Values&... values) {
    sql::Query query = Query(sql, values...);
    MENTOR_ASSIGN_OR_RETURN(const bool found, query.Step());
    return found ? query.Integer(0) : 0;
  }
  // Executes one statement without rows.
  template <typename... Values>
  absl::Status Run(const std::string& sql, const Values&... values) {
    return Query(sql, values...).Run();
  }

  // Begins a write transaction; see Transaction.
  virtual absl::Status Begin() = 0;
  // Begins a read transaction: all reads until its end see the same moment.
  virtual absl::Status BeginRead() = 0;
  absl::Status Commit() { return Execute("COMMIT"); }
  virtual bool in_transaction() const = 0;

  // Returns the schema version; 0 in a new database.
  virtual absl::StatusOr<int> SchemaVersion() = 0;
  // Must run within a transaction.
  virtual absl::Status SetSchemaVersion(int version) = 0;
  virtual const Dialect& dialect() const = 0;
  // Moves committed data from a log beside the database's file into the file, as far as readers
  // allow, without waiting. Must run outside of transactions.
  virtual absl::Status EmptyLog() { return absl::OkStatus(); }
  // Returns the fencing number of this writer (below); 0 where a file lock decides.
  virtual int64_t Fence() const { return 0; }
  // Returns path or address without secrets, for messages to people.
  virtual std::string name() const = 0;

 protected:
  virtual std::unique_ptr<Statement> Prepare(const std::string& sql) = 0;
};

// Returns the first column of all rows that `sql` selects. `sql` must have no parameters.
absl::StatusOr<std::vector<std::string>> FirstColumn(Database* database, const std::string& sql);

// A transaction; the destructor rolls back without Commit.
class Transaction {
 public:
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Database* database);
  static absl::StatusOr<std::unique_ptr<Transaction>> BeginRead(Database* database);
  ~Transaction();
  absl::Status Commit() { return database_->Commit(); }

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* const database_;
};

// ---- SQLite: a file of the state folder.

// Opens or creates the file; a reader only opens it. A writer makes the file and SQLite's files
// beside it readable by the user only, even where an older version left more rights.
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     bool read_only);
// Opens a file for a short look, whether or not a process works on it, and makes no files beside
// it. Do not keep it open: what it reads may be wrong once a writer begins.
absl::StatusOr<std::unique_ptr<Database>> OpenSqliteToLook(const std::filesystem::path& path);
// Makes sure that a file exists with mode 0600, without changing its contents. Call before SQLite
// creates the file.
absl::Status MakePrivate(const std::filesystem::path& path);

// ---- PostgreSQL. Only one meta-learner writes into a database: it holds a session advisory lock,
// and each of its transactions checks the fencing number. A lost connection is an UNAVAILABLE
// error; the next statement outside of a transaction reconnects. lease.h decides which process
// leads when several share the database.
//
//   fence(number)               raised by each new writer
//   lease(number, leader, beat) the writer of that number: its address, and a count that it
//                               raises; a separate table, since transactions lock the row of
//                               `fence`, and older versions know only `fence`

// True for "postgresql://..." and "postgres://...".
bool IsPostgresAddress(std::string_view address);
// `address` is a connection URI of libpq without a password. Passwords belong in PGPASSFILE or
// PGPASSWORD, since all users can read command lines. Returns FAILED_PRECONDITION IN_USE when
// another meta-learner has the database.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& address, bool read_only);
// The same for writing, but does not wait for a predecessor's session to end.
absl::StatusOr<std::unique_ptr<Database>> TryToLead(const std::string& address);
// Returns a connection for the lease: it does not lead, but may write.
absl::StatusOr<std::unique_ptr<Database>> ConnectPostgres(const std::string& address);
// Returns a condition on pg_locks that selects the sessions that hold the lock.
std::string HoldsTheLock();

}  // namespace mentor::meta_learner::sql
