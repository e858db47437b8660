#include <cerrno>
#include <limits>
#include <map>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/status.h"
#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {
namespace {

constexpr char kPatience[] = "PRAGMA busy_timeout=5000";

class SqliteDatabase : public Database {
 public:
  SqliteDatabase(std::filesystem::path path, sqlite3* connection)
      : path_(std::move(path)), connection_(connection) {}
  ~SqliteDatabase() override {
    for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    sqlite3_close(connection_);
  }

  absl::Status Open(bool read_only);

  absl::Status Execute(const std::string& sql) override {
    const int rc = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
    return rc == SQLITE_OK ? absl::OkStatus() : Error("cannot use", rc);
  }
  absl::Status Begin() override { return Execute("BEGIN IMMEDIATE"); }
  absl::Status BeginRead() override { return Execute("BEGIN"); }
  bool in_transaction() const override { return sqlite3_get_autocommit(connection_) == 0; }

  absl::StatusOr<int> SchemaVersion() override {
    MENTOR_ASSIGN_OR_RETURN(const int64_t version, Number("PRAGMA user_version"));
    return static_cast<int>(version);
  }
  absl::Status SetSchemaVersion(int version) override {
    return Execute(absl::StrCat("PRAGMA user_version=", version));
  }
  absl::Status EmptyLog() override {
    // Without a timeout: if a reader uses old pages, move only what is possible now.
    MENTOR_RETURN_IF_ERROR(Execute("PRAGMA busy_timeout=0"));
    absl::Status moved;
    {
      auto checkpoint = Query("PRAGMA wal_checkpoint(TRUNCATE)");
      moved = checkpoint.Step().status();
    }
    MENTOR_RETURN_IF_ERROR(Execute(kPatience));
    return moved;
  }
  const Dialect& dialect() const override {
    static constexpr Dialect kDialect = {.serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
                                         .integer = "INTEGER",
                                         .real = "REAL",
                                         .text = "TEXT",
                                         .blob = "BLOB",
                                         .empty_blob = "x''",
                                         .without_rowid = "WITHOUT ROWID"};
    return kDialect;
  }
  std::string name() const override { return path_.string(); }

  absl::Status Error(std::string_view doing, int rc) const;

 protected:
  std::unique_ptr<Statement> Prepare(const std::string& sql) override;

 private:
  const std::filesystem::path path_;
  sqlite3* const connection_;
  std::map<std::string, sqlite3_stmt*> statements_;  // Compiled statements by text.
};

class SqliteStatement : public Statement {
 public:
  SqliteStatement(SqliteDatabase* database, sqlite3_stmt* statement, int rc)
      : database_(database), statement_(statement), rc_(rc) {}
  ~SqliteStatement() override {
    if (statement_ == nullptr) return;  // The statement could not be compiled.
    // The connection reuses the statement.
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  void BindInteger(int64_t value) override {
    if (rc_ == SQLITE_OK) rc_ = sqlite3_bind_int64(statement_, ++bound_, value);
  }
  void BindDouble(double value) override {
    if (rc_ == SQLITE_OK) rc_ = sqlite3_bind_double(statement_, ++bound_, value);
  }
  void BindText(std::string_view text) override {
    if (rc_ != SQLITE_OK) return;
    rc_ = sqlite3_bind_text64(statement_, ++bound_, text.data() ? text.data() : "", text.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  void BindBlob(std::string_view bytes) override {
    if (rc_ != SQLITE_OK) return;
    rc_ = sqlite3_bind_blob64(statement_, ++bound_, bytes.data() ? bytes.data() : "", bytes.size(),
                              SQLITE_TRANSIENT);
  }
  absl::StatusOr<bool> Step() override {
    if (rc_ == SQLITE_OK) rc_ = sqlite3_step(statement_);
    if (rc_ == SQLITE_ROW) {
      rc_ = SQLITE_OK;
      return true;
    }
    if (rc_ == SQLITE_DONE) return false;
    return database_->Error("cannot use", rc_);
  }

  int64_t Integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  double Double(int column) const override {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL)
      return std::numeric_limits<double>::quiet_NaN();
    return sqlite3_column_double(statement_, column);
  }
  std::string Text(int column) const override {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int length = sqlite3_column_bytes(statement_, column);
    return length == 0 ? "" : std::string(static_cast<const char*>(bytes), length);
  }

 private:
  SqliteDatabase* const database_;
  sqlite3_stmt* const statement_;
  int rc_;
  int bound_ = 0;
};

std::unique_ptr<Statement> SqliteDatabase::Prepare(const std::string& sql) {
  sqlite3_stmt*& statement = statements_[sql];
  int rc = SQLITE_OK;
  if (statement == nullptr) {
    rc = sqlite3_prepare_v3(connection_, sql.c_str(), static_cast<int>(sql.size()),
                            SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  } else {
    MENTOR_CHECK(!sqlite3_stmt_busy(statement));  // A statement executes once at a time.
  }
  return std::make_unique<SqliteStatement>(this, statement, rc);
}

absl::Status SqliteDatabase::Open(bool read_only) {
  sqlite3_extended_result_codes(connection_, 1);
  MENTOR_RETURN_IF_ERROR(Execute(kPatience));
  MENTOR_RETURN_IF_ERROR(Execute("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF"));
  if (read_only) return absl::OkStatus();
  auto mode = Query("PRAGMA journal_mode=WAL");
  MENTOR_ASSIGN_OR_RETURN(const bool row, mode.Step());
  if (!row || mode.Text(0) != "wal") {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: this file system does not allow SQLite's WAL mode; choose a local disk",
        path_.string()));
  }
  return Execute("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=200");
}

absl::Status SqliteDatabase::Error(std::string_view doing, int rc) const {
  const std::string what = absl::StrFormat("%s %s: %s (%s)", doing, path_.string(),
                                           sqlite3_errmsg(connection_), sqlite3_errstr(rc));
  switch (rc & 0xff) {
    case SQLITE_FULL:
      return MakeError(Reason::kDiskFull,
                       what + "; free space on this file system, then try again");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(what +
                                    "; another program has it open: close that, then try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(
          Reason::kDataLoss,
          what +
              "; restore the state folder from a backup, or move this file away and bring "
              "the experiments back from their folders with 'mentor-meta-learner "
              "--state DIR reindex'");
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

absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     const std::string& name, int flags,
                                                     bool read_only) {
  sqlite3* connection = nullptr;
  const int rc = sqlite3_open_v2(name.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  MENTOR_CHECK(connection != nullptr);  // Null only if out of memory.
  auto database = std::make_unique<SqliteDatabase>(path, connection);
  if (rc != SQLITE_OK) return database->Error("cannot open", rc);
  MENTOR_RETURN_IF_ERROR(database->Open(read_only));
  return database;
}

}  // namespace

absl::Status MakePrivate(const std::filesystem::path& path) {
  constexpr mode_t kPrivate = 0600;
  // Never opens an existing file: closing it would drop the locks of this process's connections.
  if (OpenFile(path, O_RDWR | O_CREAT | O_EXCL, kPrivate).get() >= 0) return absl::OkStatus();
  if (errno != EEXIST) return FileError("cannot make", path, errno);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return FileError("cannot look at", path, errno);
  if ((info.st_mode & 0077) != 0 && chmod(path.c_str(), kPrivate) != 0)
    return FileError("cannot take others' rights from", path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     bool read_only) {
  if (!read_only) {
    // SQLite gives its side files the database's mode, but only when it creates them.
    MENTOR_RETURN_IF_ERROR(MakePrivate(path));
    for (const char* suffix : {"-wal", "-shm"}) {
      const std::filesystem::path beside = path.string() + suffix;
      std::error_code error;
      if (std::filesystem::exists(beside, error)) MENTOR_RETURN_IF_ERROR(MakePrivate(beside));
    }
  }
  const int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  return OpenSqlite(path, path.string(), flags, read_only);
}

absl::StatusOr<std::unique_ptr<Database>> OpenSqliteToLook(const std::filesystem::path& path) {
  // A log beside the file belongs to a process at work, or to one that was killed. Without a log
  // SQLite would make one, and leave it there.
  std::error_code error;
  if (std::filesystem::exists(path.string() + "-wal", error))
    return OpenSqlite(path, /*read_only=*/true);
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '/';
    absl::StrAppend(
        &uri, plain ? std::string(1, c) : absl::StrFormat("%%%02x", static_cast<unsigned char>(c)));
  }
  return OpenSqlite(path, uri + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                    /*read_only=*/true);
}

}  // namespace mentor::meta_learner::sql
