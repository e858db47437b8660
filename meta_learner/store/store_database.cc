#include "meta_learner/store/store_database.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include "common/log.h"
#include "common/printable.h"
#include "common/resources/states.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"

namespace mentor::meta_learner {

absl::StatusOr<std::string> StoreUidOf(sql::Database* database) {
  auto row = database->Query("SELECT value FROM meta WHERE key = 'store_uid'");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::DataLossError(database->name() + ": the store has no identity");
  return row.Text(0);
}

namespace {

absl::Status NoRevision(const sql::Database& database, std::string_view found) {
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is damaged: the revision of the store is '%s'; restore the "
                                   "state from a backup, or move the database away and bring the "
                                   "experiments back without their metrics with "
                                   "'mentor-meta-learner --state DIR reindex'",
                                   database.name(), Printable(found)));
}

// Changes are numbered from this value on, and no two may have one number.
absl::Status CheckRevision(sql::Database* database) {
  int64_t revision = 0;
  MENTOR_ASSIGN_OR_RETURN(const int64_t last_change,
                          database->Number("SELECT MAX(revision) FROM events"));
  auto row = database->Query("SELECT value FROM meta WHERE key = 'revision'");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoRevision(*database, "");
  const std::string text = row.Text(0);
  if (!absl::SimpleAtoi(text, &revision) || revision < last_change)
    return NoRevision(*database, text);
  return absl::OkStatus();
}

}  // namespace

absl::Status StoreDatabase::Start() {
  const MutexLock locked(reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(store_uid, StoreUidOf(reader.get()));
  return CheckRevision(reader.get());
}

absl::StatusOr<v1::Experiment> StoreDatabase::FromRow(const sql::Query& row) {
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, sql::ExperimentOf(row));
  if (const std::optional<Live> now = LiveOf(row.Text(sql::kIdColumn));
      now && IsAtWork(experiment.state())) {
    experiment.set_activity(now->activity);
    *experiment.mutable_progress() = now->progress;
  }
  return experiment;
}

absl::StatusOr<v1::Experiment> StoreDatabase::GetWith(sql::Database* database,
                                                      const std::string& id) {
  auto row = database->Query(sql::Select("experiments", "WHERE id = ?"), id);
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return sql::NoSuchExperiment(ExperimentName(id));
  return FromRow(row);
}

absl::StatusOr<v1::Experiment> StoreDatabase::GetByUid(sql::Database* database,
                                                       std::string_view uid) {
  auto row = database->Query(sql::Select("experiments", "WHERE uid = ?"), uid);
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return sql::NoSuchExperiment(uid);
  return FromRow(row);
}

absl::StatusOr<bool> StoreDatabase::Read(const sql::Query& row, v1::Experiment* experiment) {
  auto read = FromRow(row);
  if (read.ok()) {
    *experiment = *std::move(read);
    return true;
  }
  if (!absl::IsDataLoss(read.status())) return read.status();
  const std::string id = row.Text(sql::kIdColumn);
  bool first = false;
  {
    const MutexLock locked(live_mutex);
    first = unreadable.insert(id).second;
  }
  if (first) {
    MENTOR_LOG(kError, "the row of an experiment cannot be read; lists leave it out",
               {{"name", Printable(ExperimentName(id))},
                {"uid", Printable(row.Text(sql::kUidColumn))},
                {"why", read.status()}});
  }
  return false;
}

absl::StatusOr<std::vector<v1::Experiment>> StoreDatabase::ReadAll(sql::Query* row) {
  std::vector<v1::Experiment> experiments;
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row->Step());
    if (!found) return experiments;
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, Read(*row, &experiment));
    if (readable) experiments.push_back(std::move(experiment));
  }
}

absl::StatusOr<int64_t> StoreDatabase::RevisionOf(sql::Database* database) {
  return database->Number("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'revision'");
}

absl::StatusOr<int64_t> StoreDatabase::NextRevision() {
  auto next = writer->Query(
      "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'revision' "
      "RETURNING value");
  MENTOR_ASSIGN_OR_RETURN(const bool found, next.Step());
  if (!found) return NoRevision(*writer, "");
  last_revision = next.Integer(0);
  MENTOR_RETURN_IF_ERROR(next.Run());
  return last_revision;
}

std::optional<StoreDatabase::Live> StoreDatabase::LiveOf(const std::string& id) {
  const MutexLock locked(live_mutex);
  const auto found = live.find(id);
  if (found == live.end()) return std::nullopt;
  return found->second;
}

absl::Status StoreDatabase::InsertRow(const v1::Experiment& row, int64_t now_ns, int64_t revision) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(row.name()));
  const v1::ExperimentSpec spec = WithDefaults(row.spec());
  auto insert = writer->Query(
      "INSERT INTO experiments(uid, id, submitted_spec, spec, spec_hash, state, progress, "
      "create_time, update_time, revision, owner, priority, deadline, details) VALUES(?, ?, ?, "
      "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      row.uid(), id, sql::Blob{row.spec().SerializeAsString()}, sql::Blob{spec.SerializeAsString()},
      SpecHash(spec), row.state(), sql::Blob{row.progress().SerializeAsString()},
      sql::Nanoseconds(row.has_create_time(), row.create_time()), now_ns, revision, row.owner(),
      row.priority(), sql::Nanoseconds(row.has_deadline(), row.deadline()),
      sql::Blob{StableBytes(sql::DetailsOf(row))});
  MENTOR_RETURN_IF_ERROR(insert.Run());
  return sql::SealExperiment(row.uid(), writer.get());
}

absl::StatusOr<std::vector<std::string>> StoreDatabase::Deletions() {
  const MutexLock locked(reader_mutex);
  return sql::FirstColumn(reader.get(), "SELECT uid FROM deletions ORDER BY uid");
}

absl::Status StoreDatabase::WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
                                       const v1::Experiment& experiment) {
  MENTOR_HISTORY("writes", {{"revision", revision},
                            {"etag", sql::EtagOf(revision)},
                            {"kind", static_cast<int>(kind)},
                            {"experiment", experiment.name()},
                            {"uid", experiment.uid()},
                            {"state", StateText(experiment.state())}});
  v1::Experiment kept = experiment;
  kept.set_etag(sql::EtagOf(revision));
  kept.clear_activity();
  // Specs of existing experiments are in their rows.
  if (kind != StoreEvent::Kind::kDeleted) kept.clear_spec();
  MENTOR_RETURN_IF_ERROR(
      writer->Run("INSERT INTO events(revision, uid, kind, time, experiment) VALUES(?, ?, ?, ?, ?)",
                  revision, experiment.uid(), kind, now_ns, sql::Blob{StableBytes(kept)}));
  return sql::Seal(sql::TableOf("events"), {revision}, writer.get());
}

namespace {

sql::RowKey CheckpointKey(std::string_view uid, uint32_t step) {
  return {std::string(uid), int64_t{step}};
}

}  // namespace

absl::Status StoreDatabase::WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info) {
  MENTOR_ASSIGN_OR_RETURN(const bool pinned, IsPinned(uid, info.outer_step));
  MENTOR_RETURN_IF_ERROR(writer->Run(
      "INSERT INTO checkpoints(uid, outer_step, size_bytes, sha256, state_hash, "
      "create_time, pinned) VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(uid, outer_step) "
      "DO UPDATE SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256, "
      "state_hash = excluded.state_hash, pinned = excluded.pinned",
      uid, info.outer_step, info.size_bytes, info.sha256, info.state_hash, NowNs(), pinned));
  return sql::Seal(sql::TableOf("checkpoints"), CheckpointKey(uid, info.outer_step), writer.get());
}

absl::StatusOr<bool> StoreDatabase::IsPinned(std::string_view uid, uint32_t step) {
  auto row =
      writer->Query(sql::Select("checkpoints", "WHERE uid = ? AND outer_step = ?"), uid, step);
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return false;
  constexpr int kPinned = 6;
  return row.Integer(kPinned) != 0 || !sql::IsProved(sql::TableOf("checkpoints"), row);
}

absl::Status StoreDatabase::SetPinned(std::string_view uid, uint32_t step, bool pinned) {
  {
    auto row =
        writer->Query(sql::Select("checkpoints", "WHERE uid = ? AND outer_step = ?"), uid, step);
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found || !sql::IsProved(sql::TableOf("checkpoints"), row)) return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(writer->Run(
      "UPDATE checkpoints SET pinned = ? WHERE uid = ? AND outer_step = ?", pinned, uid, step));
  return sql::Seal(sql::TableOf("checkpoints"), CheckpointKey(uid, step), writer.get());
}

}  // namespace mentor::meta_learner
