#include "meta_learner/store/store_database.h"

#include <absl/strings/str_format.h>

#include "common/log.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "meta_learner/store/sql_rows.h"

namespace mentor::meta_learner {

absl::StatusOr<std::string> StoreUidOf(sql::Database* database) {
  auto row = database->Query("SELECT value FROM meta WHERE key = 'store_uid'");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::DataLossError(database->name() + ": the store has no identity");
  return row.Text(0);
}

absl::Status StoreDatabase::Start() {
  const MutexLock locked(reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(store_uid, StoreUidOf(reader.get()));
  return absl::OkStatus();
}

int64_t StoreDatabase::NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status StoreDatabase::Hit(const std::optional<std::string>& error) {
  if (!error) return absl::OkStatus();
  const std::string what = "failpoint: " + *error;
  if (*error == "ENOSPC")
    return MakeError(absl::StatusCode::kResourceExhausted, Reason::kDiskFull, what);
  return absl::UnavailableError(what);
}

absl::StatusOr<v1::Experiment> StoreDatabase::FromRow(const sql::Query& row) {
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, sql::ExperimentOf(row));
  if (const std::optional<Live> now = LiveOf(row.Text(1)); now && IsAtWork(experiment.state())) {
    experiment.set_activity(now->activity);
    *experiment.mutable_progress() = now->progress;
  }
  return experiment;
}

absl::StatusOr<v1::Experiment> StoreDatabase::GetWith(sql::Database* database,
                                                      const std::string& id) {
  auto row = database->Query(
      absl::StrFormat("SELECT %s FROM experiments WHERE id = ?", sql::kExperimentColumns));
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return sql::NoSuchExperiment(ExperimentName(id));
  return FromRow(row);
}

absl::StatusOr<bool> StoreDatabase::Read(const sql::Query& row, v1::Experiment* experiment) {
  auto read = FromRow(row);
  if (read.ok()) {
    *experiment = *std::move(read);
    return true;
  }
  if (!absl::IsDataLoss(read.status())) return read.status();
  const std::string id = row.Text(1);
  bool first = false;
  {
    const MutexLock locked(live_mutex);
    first = unreadable.insert(id).second;
  }
  if (first) {
    MENTOR_LOG(kError, "the row of an experiment cannot be read; lists leave it out",
               {{"name", ExperimentName(id)}, {"uid", row.Text(0)}, {"why", read.status()}});
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
  auto row = database->Query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'revision'");
  MENTOR_RETURN_IF_ERROR(row.Step().status());
  return row.Integer(0);
}

absl::StatusOr<int64_t> StoreDatabase::NextRevision() {
  auto next = writer->Query(
      "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'revision' "
      "RETURNING value");
  MENTOR_ASSIGN_OR_RETURN(const bool found, next.Step());
  MENTOR_CHECK(found);
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
  return writer
      ->Query(
          "INSERT INTO experiments(uid, id, submitted_spec, spec, spec_hash, state, progress, "
          "create_time, update_time, revision, owner, priority, deadline, details) VALUES(?, ?, ?, "
          "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(row.uid())
      .Bind(id)
      .BindBlob(row.spec().SerializeAsString())
      .BindBlob(spec.SerializeAsString())
      .Bind(SpecHash(spec))
      .Bind(int64_t{row.state()})
      .BindBlob(row.progress().SerializeAsString())
      .Bind(sql::Nanoseconds(row.has_create_time(), row.create_time()))
      .Bind(now_ns)
      .Bind(revision)
      .Bind(row.owner())
      .Bind(int64_t{row.priority()})
      .Bind(sql::Nanoseconds(row.has_deadline(), row.deadline()))
      .BindBlob(sql::BytesOf(sql::DetailsOf(row)))
      .Run();
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
  return writer
      ->Query("INSERT INTO events(revision, uid, kind, time, experiment) VALUES(?, ?, ?, ?, ?)")
      .Bind(revision)
      .Bind(experiment.uid())
      .Bind(static_cast<int64_t>(kind))
      .Bind(now_ns)
      .BindBlob(sql::BytesOf(kept))
      .Run();
}

absl::Status StoreDatabase::WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info) {
  return writer
      ->Query(
          "INSERT INTO checkpoints(uid, outer_step, size_bytes, sha256, state_hash, create_time) "
          "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(uid, outer_step) DO UPDATE SET size_bytes = "
          "excluded.size_bytes, sha256 = excluded.sha256, state_hash = excluded.state_hash")
      .Bind(uid)
      .Bind(int64_t{info.outer_step})
      .Bind(static_cast<int64_t>(info.size_bytes))
      .Bind(info.sha256)
      .Bind(info.state_hash)
      .Bind(NowNs())
      .Run();
}

}  // namespace mentor::meta_learner
