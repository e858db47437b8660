#include "meta_learner/sqlite.h"

#include <cmath>
#include <limits>
#include <utility>

#include <absl/strings/str_format.h>
#include <sqlite3.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::meta_learner::sqlite {

Query::Query(Query&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      rc_(other.rc_),
      bound_(other.bound_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::Bind(int64_t value) {
  if (rc_ == SQLITE_OK) rc_ = sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Query& Query::Bind(double value) {
  if (rc_ == SQLITE_OK) rc_ = sqlite3_bind_double(statement_, ++bound_, value);
  return *this;
}

Query& Query::Bind(std::string_view text) {
  if (rc_ == SQLITE_OK) {
    rc_ = sqlite3_bind_text64(statement_, ++bound_, text.data() ? text.data() : "", text.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

Query& Query::BindBlob(std::string_view bytes) {
  if (rc_ == SQLITE_OK) {
    rc_ = sqlite3_bind_blob64(statement_, ++bound_, bytes.data() ? bytes.data() : "", bytes.size(),
                              SQLITE_TRANSIENT);
  }
  return *this;
}

absl::StatusOr<bool> Query::Step() {
  if (rc_ == SQLITE_OK) rc_ = sqlite3_step(statement_);
  if (rc_ == SQLITE_ROW) {
    rc_ = SQLITE_OK;
    return true;
  }
  if (rc_ == SQLITE_DONE) return false;
  return database_->Error("cannot use", rc_);
}

absl::Status Query::Run() {
  const auto row = Step();
  MENTOR_CHECK(!row.ok() || !*row);
  return row.status();
}

int64_t Query::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Query::Double(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL)
    return std::numeric_limits<double>::quiet_NaN();
  return sqlite3_column_double(statement_, column);
}

std::string Query::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int length = sqlite3_column_bytes(statement_, column);
  return length == 0 ? "" : std::string(static_cast<const char*>(bytes), length);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path,
                                                         bool read_only) {
  sqlite3* connection = nullptr;
  const int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int rc = sqlite3_open_v2(path.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  MENTOR_CHECK(connection != nullptr);  // Only without memory.
  std::unique_ptr<Database> database(new Database(path, connection));
  if (rc != SQLITE_OK) return database->Error("cannot open", rc);
  sqlite3_extended_result_codes(connection, 1);
  MENTOR_RETURN_IF_ERROR(database->Execute(
      "PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF"));
  if (!read_only) {
    auto mode = database->Query("PRAGMA journal_mode=WAL");
    MENTOR_ASSIGN_OR_RETURN(const bool row, mode.Step());
    if (!row || mode.Text(0) != "wal") {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s: this file system does not allow SQLite's WAL mode; choose a local disk",
          path.string()));
    }
    MENTOR_RETURN_IF_ERROR(
        database->Execute("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000"));
  }
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::Status Database::Execute(const std::string& sql) {
  const int rc = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? absl::OkStatus() : Error("cannot use", rc);
}

sqlite::Query Database::Query(const std::string& sql) {
  sqlite3_stmt*& statement = statements_[sql];
  int rc = SQLITE_OK;
  if (statement == nullptr) {
    rc = sqlite3_prepare_v3(connection_, sql.c_str(), static_cast<int>(sql.size()),
                            SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  } else {
    MENTOR_CHECK(!sqlite3_stmt_busy(statement));  // One execution of a statement at a time.
  }
  return {this, statement, rc};
}

int64_t Database::changes() const {
  return sqlite3_changes64(connection_);
}
int64_t Database::last_row_id() const {
  return sqlite3_last_insert_rowid(connection_);
}
bool Database::in_transaction() const {
  return sqlite3_get_autocommit(connection_) == 0;
}

absl::Status Database::Error(std::string_view doing, int rc) const {
  const std::string what = absl::StrFormat("%s %s: %s (%s)", doing, path_.string(),
                                           sqlite3_errmsg(connection_), sqlite3_errstr(rc));
  switch (rc & 0xff) {
    case SQLITE_FULL:
      return MakeError(absl::StatusCode::kResourceExhausted, Reason::kDiskFull,
                       what + "; free space on this file system, then try again");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(what +
                                    "; another program has it open: close that, then try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(absl::StatusCode::kDataLoss, Reason::kDataLoss,
                       what + "; restore the state folder from a backup, or start with a new one");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::FailedPreconditionError(
          what + "; give this user the right to write there, or choose another folder");
    case SQLITE_IOERR:
      return absl::UnavailableError(what + "; look at the system's log and the state of the disk");
    default:
      return absl::InternalError(what);
  }
}

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database* database) {
  MENTOR_RETURN_IF_ERROR(database->Execute("BEGIN IMMEDIATE"));
  return std::unique_ptr<Transaction>(new Transaction(database));
}

absl::Status Transaction::Commit() {
  return database_->Execute("COMMIT");
}

Transaction::~Transaction() {
  // SQLite itself rolls back after some errors.
  if (database_->in_transaction()) database_->Execute("ROLLBACK").IgnoreError();
}

}  // namespace mentor::meta_learner::sqlite
