#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <postgresql/libpq-fe.h>

#include "common/check.h"
#include "common/history.h"
#include "common/log.h"
#include "common/status.h"
#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {
namespace {

// Key of the advisory lock: "mentor" in ASCII.
constexpr int64_t kLockKey = 0x6d656e746f72;

enum class Use {
  kRead,
  kLead,       // Waits some seconds for the lock.
  kTryToLead,  // Takes the lock only if it is free.
  kConnect,
};

// Types of PostgreSQL's catalogue (pg_type.dat).
constexpr Oid kBytes = 17, kInteger = 20, kText = 25, kDouble = 701;

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

// Replaces `?` outside of quotes by $1, $2, ...
std::string WithNumbers(const std::string& sql) {
  std::string text;
  bool quoted = false;
  int number = 0;
  for (const char c : sql) {
    if (c == '\'') quoted = !quoted;
    if (c == '?' && !quoted) {
      absl::StrAppend(&text, "$", ++number);
    } else {
      text += c;
    }
  }
  return text;
}

// Returns the SQLSTATE in libpq's message about a failed connection with PQERRORS_VERBOSE; empty:
// none. An example is "FATAL: 53300: sorry, too many clients already\nLOCATION: ...". Leaves only
// the words in `said`.
std::string TakeState(std::string* said) {
  constexpr size_t kState = 5;
  for (size_t at = said->find(":  "); at != said->npos; at = said->find(":  ", at + 1)) {
    const std::string state = said->substr(at + 3, kState);
    if (said->compare(at + 3 + state.size(), 2, ": ") != 0 ||
        !std::all_of(state.begin(), state.end(), absl::ascii_isalnum))
      continue;
    said->erase(at + 3, kState + 2);
    said->erase(std::min(said->find("\nLOCATION:"), said->size()));
    return state;
  }
  return "";
}

class PostgresDatabase : public Database {
 public:
  PostgresDatabase(PGconn* connection, Use use) : connection_(connection), use_(use) {}
  ~PostgresDatabase() override { PQfinish(connection_); }

  // Must run after the connection was made, or made again. A writer waits for the session's
  // advisory lock, and takes a fencing number when it first has the lock. If the number differs
  // after a reconnection, another process has written in between. Then returns FAILED_PRECONDITION
  // IN_USE for good.
  absl::Status Prepare();

  absl::Status Execute(const std::string& sql) override;
  absl::Status Begin() override;
  absl::Status BeginRead() override {
    MENTOR_RETURN_IF_ERROR(ConnectAgain());
    return Execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  }
  bool in_transaction() const override {
    const PGTransactionStatusType status = PQtransactionStatus(connection_);
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
  }
  absl::StatusOr<int> SchemaVersion() override;
  absl::Status SetSchemaVersion(int version) override {
    return Execute(
        absl::StrCat("CREATE TABLE IF NOT EXISTS schema_version(version BIGINT NOT NULL); "
                     "DELETE FROM schema_version; INSERT INTO schema_version(version) VALUES(",
                     version, ")"));
  }
  const Dialect& dialect() const override {
    static constexpr Dialect kDialect = {.serial = "BIGSERIAL PRIMARY KEY",
                                         .integer = "BIGINT",
                                         .real = "DOUBLE PRECISION",
                                         .text = "TEXT COLLATE \"C\"",
                                         .blob = "BYTEA",
                                         .empty_blob = "''",
                                         .without_rowid = ""};
    return kDialect;
  }
  int64_t Fence() const override { return fence_.value_or(0); }
  std::string name() const override {
    const auto text = [](const char* part) { return part == nullptr ? "" : std::string(part); };
    return absl::StrFormat("the PostgreSQL database '%s' at %s:%s", text(PQdb(connection_)),
                           text(PQhost(connection_)), text(PQport(connection_)));
  }

  // Reconnects a lost connection. Must run outside of a transaction.
  absl::Status ConnectAgain();
  // The same for a statement, unless Prepare itself is running.
  absl::Status ReadyOutside() { return preparing_ ? absl::OkStatus() : ConnectAgain(); }
  absl::Status Error(const PGresult* result) const;
  absl::Status InUse() const;

 protected:
  std::unique_ptr<Statement> Prepare(const std::string& sql) override;

 private:
  friend class PostgresStatement;
  // Returns OK when this session has the lock.
  absl::Status TakeLock();
  absl::Status TakeFence();
  // Releases the lock, which is useless here, so that the next leader need not wait for it.
  absl::Status LostTo(int64_t other);

  PGconn* const connection_;
  const Use use_;
  bool preparing_ = false;
  bool prepared_ = false;  // Prepare succeeded for this session.
  std::optional<int64_t> fence_;
  absl::Status lost_;  // Set once the database is lost; then nothing is tried again.
};

class PostgresStatement : public Statement {
 public:
  PostgresStatement(PostgresDatabase* database, std::string sql)
      : database_(database), sql_(std::move(sql)) {}

  void BindInteger(int64_t value) override { Bind(kInteger, absl::StrCat(value), false); }
  void BindDouble(double value) override {
    if (std::isnan(value)) {
      Bind(kDouble, std::nullopt, false);
    } else {
      Bind(kDouble, absl::StrFormat("%.17g", value), false);
    }
  }
  void BindText(std::string_view text) override {
    // PostgreSQL text cannot hold a zero byte; our texts have none.
    Bind(kText, std::string(text.substr(0, text.find('\0'))), false);
  }
  void BindBlob(std::string_view bytes) override { Bind(kBytes, std::string(bytes), true); }

  absl::StatusOr<bool> Step() override {
    if (result_ == nullptr) {
      if (!database_->in_transaction()) MENTOR_RETURN_IF_ERROR(database_->ReadyOutside());
      std::vector<const char*> values;
      std::vector<int> lengths;
      for (const auto& value : values_) {
        values.push_back(value ? value->data() : nullptr);
        lengths.push_back(value ? static_cast<int>(value->size()) : 0);
      }
      result_.reset(PQexecParams(database_->connection_, sql_.c_str(),
                                 static_cast<int>(values.size()), types_.data(), values.data(),
                                 lengths.data(), formats_.data(), /*resultFormat=*/0));
      const ExecStatusType status = PQresultStatus(result_.get());
      if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return database_->Error(result_.get());
    }
    return ++row_ < PQntuples(result_.get());
  }

  int64_t Integer(int column) const override {
    int64_t value = 0;
    if (!absl::SimpleAtoi(View(column), &value)) return 0;
    return value;
  }
  double Double(int column) const override {
    double value = 0;
    if (PQgetisnull(result_.get(), row_, column) != 0 || !absl::SimpleAtod(View(column), &value))
      return std::numeric_limits<double>::quiet_NaN();
    return value;
  }
  std::string Text(int column) const override {
    if (PQftype(result_.get(), column) != kBytes) return std::string(View(column));
    size_t length = 0;
    const std::unique_ptr<unsigned char, decltype(&PQfreemem)> bytes(
        PQunescapeBytea(
            reinterpret_cast<const unsigned char*>(PQgetvalue(result_.get(), row_, column)),
            &length),
        PQfreemem);
    MENTOR_CHECK(bytes != nullptr);  // Null only if out of memory.
    return {reinterpret_cast<const char*>(bytes.get()), length};
  }

 private:
  void Bind(Oid type, std::optional<std::string> value, bool binary) {
    types_.push_back(type);
    values_.push_back(std::move(value));
    formats_.push_back(binary ? 1 : 0);
  }
  absl::string_view View(int column) const {
    return {PQgetvalue(result_.get(), row_, column),
            static_cast<size_t>(PQgetlength(result_.get(), row_, column))};
  }

  PostgresDatabase* const database_;
  const std::string sql_;
  std::vector<Oid> types_;
  std::vector<std::optional<std::string>> values_;
  std::vector<int> formats_;
  Result result_{nullptr, PQclear};
  int row_ = -1;
};

absl::Status PostgresDatabase::Error(const PGresult* result) const {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  std::string said = result == nullptr ? PQerrorMessage(connection_) : PQresultErrorMessage(result);
  const std::string code = result == nullptr ? TakeState(&said) : state == nullptr ? "" : state;
  said.erase(said.find_last_not_of(" \n") + 1);
  const std::string what = absl::StrFormat("cannot use %s: %s", name(), said);
  if (code == "53300") {
    return absl::UnavailableError(
        what + "; wait until others end theirs, or let the server have more (max_connections)");
  }
  if (code == "3D000" || code.starts_with("28")) {
    return absl::FailedPreconditionError(
        what +
        "; correct user and database of the address, the password (PGPASSFILE, PGPASSWORD) or the "
        "server's pg_hba.conf");
  }
  if (code.starts_with("53")) {  // Insufficient resources.
    return MakeError(Reason::kDiskFull, what + "; give the database server room, then try again");
  }
  if (PQstatus(connection_) != CONNECTION_OK || code.starts_with("08") || code.starts_with("57")) {
    return absl::UnavailableError(what + "; is the database server running?");
  }
  if (code == "40001" || code == "40P01") return absl::UnavailableError(what);
  if (code == "55P03") return InUse();  // Lock timeout: only the advisory lock has one.
  if (code == "42501") {
    return absl::FailedPreconditionError(what +
                                         "; give this user the rights of the database's owner");
  }
  return absl::InternalError(what);
}

absl::Status PostgresDatabase::InUse() const {
  return MakeError(Reason::kInUse,
                   name() +
                       " is in use by another meta-learner; stop that one, give this one a "
                       "database of its own, or let it stand by with --standby");
}

absl::Status PostgresDatabase::Execute(const std::string& sql) {
  const Result result(PQexec(connection_, sql.c_str()), PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
    // A transaction in error answers COMMIT with a rollback, and OK.
    if (sql == "COMMIT" && std::string_view(PQcmdStatus(result.get())) == "ROLLBACK")
      return absl::InternalError(name() + ": a transaction in error was rolled back");
    return absl::OkStatus();
  }
  return Error(result.get());
}

absl::Status PostgresDatabase::Prepare() {
  prepared_ = false;
  preparing_ = true;
  const absl::Cleanup done = [this] { preparing_ = false; };
  MENTOR_RETURN_IF_ERROR(Execute("SET client_min_messages = warning; SET bytea_output = 'hex'"));
  // The session of a host that is cut off, and its lock, end after about six seconds. The server
  // ignores these settings for a local socket.
  MENTOR_RETURN_IF_ERROR(
      Execute("SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; "
              "SET tcp_keepalives_count = 4"));
  if (PQserverVersion(connection_) >= 120000)
    MENTOR_RETURN_IF_ERROR(Execute("SET tcp_user_timeout = 6000"));
  if (use_ == Use::kRead) {
    MENTOR_RETURN_IF_ERROR(Execute("SET default_transaction_read_only = on"));
  } else if (use_ == Use::kConnect) {
    // A beat need not survive a crash of the server.
    MENTOR_RETURN_IF_ERROR(Execute("SET synchronous_commit = off"));
  } else {
    MENTOR_RETURN_IF_ERROR(Execute("SET synchronous_commit = on"));
    // A writer that lost the fence must not wait for the lock.
    if (fence_) MENTOR_RETURN_IF_ERROR(TakeFence());
    const absl::Status locked = TakeLock();
    if (!locked.ok() && (!fence_ || ReasonOf(locked) != ReasonName(Reason::kInUse))) return locked;
    MENTOR_RETURN_IF_ERROR(TakeFence());
    // The fence is unchanged, so our own earlier session still has the lock.
    if (!locked.ok()) {
      return absl::UnavailableError(name() +
                                    " still keeps the connection that was cut, and with "
                                    "it our lock; waiting until it ends it");
    }
  }
  prepared_ = true;
  return absl::OkStatus();
}

absl::Status PostgresDatabase::TakeLock() {
  if (use_ == Use::kTryToLead && !fence_) {
    MENTOR_ASSIGN_OR_RETURN(
        const int64_t locked,
        Number("SELECT CASE WHEN pg_try_advisory_lock(?) THEN 1 ELSE 0 END", kLockKey));
    return locked == 1 ? absl::OkStatus() : InUse();
  }
  // A predecessor's lock ends with its session, a moment after its process.
  MENTOR_RETURN_IF_ERROR(Execute("SET lock_timeout = '5s'"));
  MENTOR_RETURN_IF_ERROR(Query("SELECT pg_advisory_lock(?)", kLockKey).Step().status());
  return Execute("SET lock_timeout = 0");
}

absl::Status PostgresDatabase::TakeFence() {
  if (fence_) {
    MENTOR_ASSIGN_OR_RETURN(const int64_t now, Number("SELECT number FROM fence"));
    return now == *fence_ ? absl::OkStatus() : LostTo(now);
  }
  // Statements sent together form one transaction.
  MENTOR_RETURN_IF_ERROR(
      Execute("CREATE TABLE IF NOT EXISTS fence(number BIGINT NOT NULL); "
              "INSERT INTO fence(number) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM fence); "
              "CREATE TABLE IF NOT EXISTS lease(number BIGINT NOT NULL, leader TEXT NOT NULL, "
              "beat BIGINT NOT NULL); "
              // Waits for transactions of the previous writer.
              "UPDATE fence SET number = number + 1; DELETE FROM lease; "
              "INSERT INTO lease(number, leader, beat) SELECT number, '', 0 FROM fence"));
  MENTOR_ASSIGN_OR_RETURN(fence_, Number("SELECT number FROM fence"));
  MENTOR_HISTORY("fences", {{"epoch", *fence_}});
  return absl::OkStatus();
}

absl::Status PostgresDatabase::LostTo(int64_t other) {
  lost_ =
      MakeError(Reason::kInUse,
                absl::StrFormat("%s was taken over by another meta-learner while the connection "
                                "was away (fencing number %d, ours is %d); stop one of them",
                                name(), other, *fence_));
  if (in_transaction()) Execute("ROLLBACK").IgnoreError();
  Execute("SELECT pg_advisory_unlock_all()").IgnoreError();
  return lost_;
}

absl::Status PostgresDatabase::Begin() {
  MENTOR_RETURN_IF_ERROR(ConnectAgain());
  MENTOR_RETURN_IF_ERROR(Execute("BEGIN"));
  // Locked to the end of the transaction: a new leader waits for it, or its number is seen here.
  auto fence = Query("SELECT number FROM fence FOR SHARE");
  absl::Status status = fence.Step().status();
  if (status.ok() && fence.Integer(0) != fence_) status = LostTo(fence.Integer(0));
  if (!status.ok()) Execute("ROLLBACK").IgnoreError();
  return status;
}

absl::Status PostgresDatabase::ConnectAgain() {
  MENTOR_RETURN_IF_ERROR(lost_);
  if (PQstatus(connection_) == CONNECTION_OK && prepared_) return absl::OkStatus();
  MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "the database is away; connecting again");
  // Also resets a live session that could not get the lock.
  PQreset(connection_);
  if (PQstatus(connection_) != CONNECTION_OK) return Error(nullptr);
  return Prepare();
}

std::unique_ptr<Statement> PostgresDatabase::Prepare(const std::string& sql) {
  return std::make_unique<PostgresStatement>(this, WithNumbers(sql));
}

absl::StatusOr<int> PostgresDatabase::SchemaVersion() {
  MENTOR_ASSIGN_OR_RETURN(
      const int64_t exists,
      Number("SELECT CASE WHEN to_regclass('schema_version') IS NULL THEN 0 ELSE 1 END"));
  if (exists == 0) return 0;
  MENTOR_ASSIGN_OR_RETURN(const int64_t version, Number("SELECT version FROM schema_version"));
  return static_cast<int>(version);
}

}  // namespace

bool IsPostgresAddress(std::string_view address) {
  return address.starts_with("postgresql://") || address.starts_with("postgres://");
}

namespace {

absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& address, Use use) {
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
      PQconninfoParse(address.c_str(), &error), PQconninfoFree);
  if (parsed == nullptr) {
    std::string why = error == nullptr ? "out of memory" : error;
    PQfreemem(error);
    why.erase(why.find_last_not_of(" \n") + 1);
    return absl::InvalidArgumentError(absl::StrFormat(
        "the address of the database is not one: %s; expected postgresql://USER@HOST:PORT/DATABASE",
        why));
  }
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) == "password" && option->val != nullptr) {
      return absl::InvalidArgumentError(
          "the address of the database has a password in it, which everybody on this machine can "
          "read; leave it out and put it into the file that PGPASSFILE names, or into PGPASSWORD");
    }
  }
  // Later words win, so the address overrides these defaults.
  const char* const words[] = {
      "connect_timeout",  "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
      "keepalives_count", "application_name", "dbname",          nullptr};
  const char* const values[] = {
      "5", "6000", "2", "1", "4", "mentor-meta-learner", address.c_str(), nullptr};
  PGconn* connection = PQconnectdbParams(words, values, /*expand_dbname=*/1);
  MENTOR_CHECK(connection != nullptr);  // Null only if out of memory.
  auto database = std::make_unique<PostgresDatabase>(connection, use);
  if (PQstatus(connection) != CONNECTION_OK) {
    // Connect again to get the SQLSTATE: the server's words are in its own language.
    const PGVerbosity words_alone = PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    PQreset(connection);
    if (PQstatus(connection) != CONNECTION_OK) return database->Error(nullptr);
    PQsetErrorVerbosity(connection, words_alone);
  }
  MENTOR_RETURN_IF_ERROR(database->Prepare());
  return database;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& address, bool read_only) {
  return Open(address, read_only ? Use::kRead : Use::kLead);
}

absl::StatusOr<std::unique_ptr<Database>> TryToLead(const std::string& address) {
  return Open(address, Use::kTryToLead);
}

absl::StatusOr<std::unique_ptr<Database>> ConnectPostgres(const std::string& address) {
  return Open(address, Use::kConnect);
}

std::string HoldsTheLock() {
  return absl::StrFormat(
      "locktype = 'advisory' AND granted AND objsubid = 1 AND classid = %d AND objid = %d AND "
      "database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      kLockKey >> 32, kLockKey & 0xffffffff);
}

}  // namespace mentor::meta_learner::sql
