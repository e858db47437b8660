#include "meta_learner/store/schema.h"

#include <algorithm>
#include <set>
#include <variant>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/row_digest.h"

namespace mentor::meta_learner::sql {
namespace {

// One entry per version: entry i migrates from version i to i + 1. Entries are only added, never
// changed. Words in braces come from the dialect.
constexpr std::string_view kMigrations[] = {
    R"sql(
CREATE TABLE meta(
  key {text} PRIMARY KEY,
  value {text} NOT NULL) {without_rowid};
CREATE TABLE experiments(
  number {serial},                             -- Order of creation.
  uid {text} NOT NULL UNIQUE,
  id {text} NOT NULL UNIQUE,
  submitted_spec {blob} NOT NULL,              -- mentor.v1.ExperimentSpec
  spec {blob} NOT NULL,                        -- The same with every default.
  spec_hash {text} NOT NULL,
  state {integer} NOT NULL,                    -- mentor.v1.Experiment.State
  error {text} NOT NULL DEFAULT '',            -- Version 1 only; since then in details.
  progress {blob} NOT NULL DEFAULT {empty_blob},  -- mentor.v1.Progress
  create_time {integer} NOT NULL,              -- Nanoseconds of Unix time, here and below.
  update_time {integer} NOT NULL,
  start_time {integer} NOT NULL DEFAULT 0,     -- 0: not yet.
  end_time {integer} NOT NULL DEFAULT 0,
  revision {integer} NOT NULL);                -- Of the store, when the row last changed.
CREATE INDEX experiments_by_state ON experiments(state, number);
CREATE TABLE requests(
  request_id {text} PRIMARY KEY,
  body_hash {text} NOT NULL,
  response {blob} NOT NULL,                    -- mentor.v1.Experiment as it was answered.
  expire_time {integer} NOT NULL) {without_rowid};
CREATE INDEX requests_by_expire_time ON requests(expire_time);
CREATE TABLE checkpoints(
  uid {text} NOT NULL REFERENCES experiments(uid) ON DELETE CASCADE,
  outer_step {integer} NOT NULL,
  size_bytes {integer} NOT NULL,
  sha256 {text} NOT NULL,
  state_hash {text} NOT NULL,
  create_time {integer} NOT NULL,
  PRIMARY KEY(uid, outer_step)) {without_rowid};
CREATE TABLE points(
  uid {text} NOT NULL REFERENCES experiments(uid) ON DELETE CASCADE,
  metric {text} NOT NULL,
  step {integer} NOT NULL,
  value {real},                                -- NULL: not a number.
  PRIMARY KEY(uid, metric, step)) {without_rowid};
)sql",
    R"sql(
ALTER TABLE experiments ADD COLUMN owner {text} NOT NULL DEFAULT 'local';
ALTER TABLE experiments ADD COLUMN priority {integer} NOT NULL DEFAULT 2;     -- mentor.v1.Priority
ALTER TABLE experiments ADD COLUMN deadline {integer} NOT NULL DEFAULT 0;     -- 0: none.
ALTER TABLE experiments ADD COLUMN expire_time {integer} NOT NULL DEFAULT 0;  -- 0: never.
ALTER TABLE experiments ADD COLUMN served_env_steps {integer} NOT NULL DEFAULT 0;
-- mentor.v1.Experiment: the fields that have no column.
ALTER TABLE experiments ADD COLUMN details {blob} NOT NULL DEFAULT {empty_blob};
CREATE INDEX experiments_in_queue ON experiments(state, priority, owner, number);
CREATE INDEX experiments_by_deadline ON experiments(deadline);
CREATE INDEX experiments_by_expire_time ON experiments(expire_time);
ALTER TABLE checkpoints ADD COLUMN pinned {integer} NOT NULL DEFAULT 0;
CREATE TABLE events(
  revision {integer} PRIMARY KEY,
  uid {text} NOT NULL,
  kind {integer} NOT NULL,                     -- StoreEvent.Kind
  time {integer} NOT NULL,
  experiment {blob} NOT NULL);                 -- After the change, without the spec unless deleted.
CREATE TABLE deletions(
  uid {text} PRIMARY KEY) {without_rowid};     -- Whose files are still to be removed.
)sql",
    R"sql(
-- Proofs of what a row says (row_digest.h).
ALTER TABLE experiments ADD COLUMN digest {text} NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN digest {text} NOT NULL DEFAULT '';
ALTER TABLE checkpoints ADD COLUMN digest {text} NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN digest {text} NOT NULL DEFAULT '';
ALTER TABLE points ADD COLUMN crc32c {integer} NOT NULL DEFAULT -1;  -- -1: of an earlier version.
)sql"};
// Rows get their digests on the way from this version to the next.
constexpr int kVersionWithoutDigests = 2;
constexpr int kSchemaVersion = static_cast<int>(std::size(kMigrations));

std::string InDialect(std::string_view sql, const Dialect& dialect) {
  return absl::StrReplaceAll(absl::string_view(sql.data(), sql.size()),
                             {{"{serial}", dialect.serial.data()},
                              {"{integer}", dialect.integer.data()},
                              {"{real}", dialect.real.data()},
                              {"{text}", dialect.text.data()},
                              {"{blob}", dialect.blob.data()},
                              {"{empty_blob}", dialect.empty_blob.data()},
                              {"{without_rowid}", dialect.without_rowid.data()}});
}

}  // namespace

int SchemaVersionKnown() {
  return kSchemaVersion;
}

namespace {

// Returns the version, or FAILED_PRECONDITION TOO_NEW if a newer program made it.
absl::StatusOr<int> KnownVersion(Database* database) {
  MENTOR_ASSIGN_OR_RETURN(const int found, database->SchemaVersion());
  if (found <= kSchemaVersion) return found;
  return MakeError(
      Reason::kTooNew,
      absl::StrFormat("%s is of version %d, this program knows %d: use the newer program, or "
                      "another folder or database",
                      database->name(), found, kSchemaVersion));
}

}  // namespace

absl::Status CheckSchema(Database* database) {
  MENTOR_ASSIGN_OR_RETURN(const int found, KnownVersion(database));
  if (found == kSchemaVersion) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrFormat("%s is of version %d, this program reads %d; the next leader changes that",
                      database->name(), found, kSchemaVersion));
}

namespace {

// True if a row of an earlier version has the spec that it was created with.
bool HasItsSpec(const Query& row) {
  v1::ExperimentSpec spec;
  return spec.ParseFromString(row.Text(1)) && SpecHash(spec) == row.Text(2);
}

// Gives digests to the rows of an earlier version, as they are. Only the specs of experiments have
// a hash to be checked against: a row that differs gets no digest, so it stays unreadable.
absl::Status SealAllRows(Database* database) {
  std::set<std::string> doubtful;
  auto experiments = database->Query("SELECT uid, spec, spec_hash FROM experiments");
  MENTOR_RETURN_IF_ERROR(experiments.ForEach([&](const Query& row) {
    if (!HasItsSpec(row)) doubtful.insert(row.Text(0));
  }));
  for (const Table& table : Tables()) {
    if (table.key.empty()) continue;
    MENTOR_ASSIGN_OR_RETURN(const std::vector<RowKey> keys, KeysOf(table, database));
    for (const RowKey& key : keys) {
      const bool is_experiment = table.name == "experiments";
      if (is_experiment && doubtful.contains(std::get<std::string>(key[0]))) continue;
      MENTOR_RETURN_IF_ERROR(Seal(table, key, database));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Migrate(Database* database, const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const int found, KnownVersion(database));
  const auto file = folder / "mentor.db";
  if (found > 0 && found < kSchemaVersion && database->name() == file.string()) {
    const auto copy = folder / absl::StrFormat("mentor.db.v%d", found);
    std::filesystem::remove(copy);
    MENTOR_RETURN_IF_ERROR(MakePrivate(copy));
    MENTOR_RETURN_IF_ERROR(database->Run("VACUUM INTO ?", copy.string()));
  }
  for (int version = found; version < kSchemaVersion; ++version) {
    MENTOR_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database));
    MENTOR_RETURN_IF_ERROR(database->Execute(InDialect(kMigrations[version], database->dialect())));
    if (version == 0) {
      MENTOR_RETURN_IF_ERROR(
          database->Run("INSERT INTO meta(key, value) VALUES('store_uid', ?)", NewUuid()));
      MENTOR_RETURN_IF_ERROR(
          database->Execute("INSERT INTO meta(key, value) VALUES('revision', '0')"));
    }
    if (version == kVersionWithoutDigests) MENTOR_RETURN_IF_ERROR(SealAllRows(database));
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.migrate.step")));
    MENTOR_RETURN_IF_ERROR(database->SetSchemaVersion(version + 1));
    MENTOR_RETURN_IF_ERROR(transaction->Commit());
  }
  return absl::OkStatus();
}

const std::vector<Table>& Tables() {
  static const std::vector<Table> tables = {
      {"meta", "key, value", "tt"},
      {"experiments",
       "number, uid, id, submitted_spec, spec, spec_hash, state, error, progress, create_time, "
       "update_time, start_time, end_time, revision, owner, priority, deadline, expire_time, "
       "served_env_steps, details, digest",
       "ittbbtitbiiiiitiiiibt", "uid"},
      {"requests", "request_id, body_hash, response, expire_time, digest", "ttbit", "request_id"},
      {"checkpoints",
       "uid, outer_step, size_bytes, sha256, state_hash, create_time, pinned, digest", "tiittiit",
       "uid, outer_step"},
      {"points", "uid, metric, step, value, crc32c", "ttiri"},
      {"events", "revision, uid, kind, time, experiment, digest", "itiibt", "revision"},
      {"deletions", "uid", "t"},
  };
  return tables;
}

const Table& TableOf(std::string_view name) {
  const auto& tables = Tables();
  const auto found = std::find_if(tables.begin(), tables.end(),
                                  [&](const Table& table) { return table.name == name; });
  MENTOR_CHECK(found != tables.end());
  return *found;
}

std::string Select(std::string_view table, std::string_view condition) {
  return absl::StrCat("SELECT ", std::string(TableOf(table).columns), " FROM ", std::string(table),
                      " ", std::string(condition));
}

void BindValue(char type, const Query& row, int column, Query* to) {
  switch (type) {
    case 'i':
      to->Bind(row.Integer(column));
      break;
    case 'r':
      to->Bind(row.Double(column));
      break;
    case 't':
      to->Bind(row.Text(column));
      break;
    default:
      to->Bind(Blob{row.Text(column)});
  }
}

absl::Status CopyRows(const Table& table, std::string_view key, std::string_view value,
                      Database* from, Database* to) {
  const std::string columns(table.columns), name(table.name);
  const std::vector<std::string> names = absl::StrSplit(columns, ", ");
  auto row =
      from->Query(absl::StrCat("SELECT ", columns, " FROM ", name,
                               key.empty() ? "" : absl::StrCat(" WHERE ", std::string(key), " = ?"),
                               " ORDER BY ", names[0]));
  if (!key.empty()) row.Bind(value);
  const std::string insert =
      absl::StrCat("INSERT INTO ", name, "(", columns, ") VALUES(",
                   absl::StrJoin(std::vector<std::string>(table.types.size(), "?"), ", "), ")");
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return absl::OkStatus();
    auto copy = to->Query(insert);
    for (size_t i = 0; i < table.types.size(); ++i)
      BindValue(table.types[i], row, static_cast<int>(i), &copy);
    MENTOR_RETURN_IF_ERROR(copy.Run());
  }
}

}  // namespace mentor::meta_learner::sql
