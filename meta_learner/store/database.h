// A database as the store needs it: one connection, statements with `?` for values, transactions.
// SQLite (sqlite.h) and PostgreSQL (postgres.h) are behind it; the store's SQL is what both
// understand. Used by the store alone; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::meta_learner::sql {

// What a database does for one execution of a statement. Columns count from 0.
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

// One execution of a statement. Bind in order, then Step until it says false. Errors of Bind are
// kept until Step.
//
//   auto query = database->Query("SELECT state FROM experiments WHERE id = ?");
//   MENTOR_ASSIGN_OR_RETURN(const bool found, query.Bind(id).Step());
class Query {
 public:
  explicit Query(std::unique_ptr<Statement> statement) : statement_(std::move(statement)) {}

  Query& Bind(int64_t value) {
    statement_->BindInteger(value);
    return *this;
  }
  Query& Bind(double value) {
    statement_->BindDouble(value);
    return *this;
  }
  Query& Bind(std::string_view text) {
    statement_->BindText(text);
    return *this;
  }
  Query& BindBlob(std::string_view bytes) {
    statement_->BindBlob(bytes);
    return *this;
  }
  // True: a row is there. False: done.
  absl::StatusOr<bool> Step() { return statement_->Step(); }
  // For statements without rows.
  absl::Status Run();

  int64_t Integer(int column) const { return statement_->Integer(column); }
  double Double(int column) const { return statement_->Double(column); }
  std::string Text(int column) const { return statement_->Text(column); }

 private:
  std::unique_ptr<Statement> statement_;
};

// Words that differ: types of columns in the schema.
struct Dialect {
  std::string_view serial;         // A row's number, given by the database.
  std::string_view integer;        // 64 bits.
  std::string_view real;           // float64.
  std::string_view text;           // Compared byte by byte.
  std::string_view blob;           // Bytes.
  std::string_view empty_blob;     // A literal.
  std::string_view without_rowid;  // Behind a table whose key is its order on disk.
};

class Database {
 public:
  virtual ~Database() = default;

  // One or more statements without parameters or rows.
  virtual absl::Status Execute(const std::string& sql) = 0;
  sql::Query Query(const std::string& sql) { return sql::Query(Prepare(sql)); }

  // For writers; see Transaction.
  virtual absl::Status Begin() = 0;
  // For readers: all that is read until End is of one moment.
  virtual absl::Status BeginRead() = 0;
  absl::Status Commit() { return Execute("COMMIT"); }
  virtual bool in_transaction() const = 0;

  // Version of the schema; 0 in a new database.
  virtual absl::StatusOr<int> SchemaVersion() = 0;
  // Within a transaction.
  virtual absl::Status SetSchemaVersion(int version) = 0;
  virtual const Dialect& dialect() const = 0;
  // Where what is committed stands in a log beside the database's file: moves it into the file, as
  // far as nobody reads there, and waits for nobody. Outside of transactions.
  virtual absl::Status EmptyLog() { return absl::OkStatus(); }
  // The number of this writer among those that ever led (postgres.h); 0 where a file's lock
  // decides.
  virtual int64_t Fence() const { return 0; }
  // For messages to people: path or address, nothing secret.
  virtual std::string name() const = 0;

 protected:
  virtual std::unique_ptr<Statement> Prepare(const std::string& sql) = 0;
};

// All of the first column of what `sql`, without values, selects.
absl::StatusOr<std::vector<std::string>> FirstColumn(Database* database, const std::string& sql);

// Rolls back when it ends without Commit.
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

}  // namespace mentor::meta_learner::sql
