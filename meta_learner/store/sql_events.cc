// Reads all experiments at one revision, and the changes after it.
#include <algorithm>
#include <chrono>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/history.h"
#include "common/log.h"
#include "common/resources/states.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/sql_store.h"

namespace mentor::meta_learner {

absl::Status SqlStore::WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
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
  return writer_
      ->Query("INSERT INTO events(revision, uid, kind, time, experiment) VALUES(?, ?, ?, ?, ?)")
      .Bind(revision)
      .Bind(experiment.uid())
      .Bind(static_cast<int64_t>(kind))
      .Bind(now_ns)
      .BindBlob(sql::BytesOf(kept))
      .Run();
}

absl::StatusOr<ExperimentStore::Snapshot> SqlStore::ReadSnapshot(
    const std::set<std::string>& names) {
  Snapshot snapshot;
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sql::Transaction::BeginRead(reader_.get()));
  MENTOR_ASSIGN_OR_RETURN(snapshot.revision, RevisionOf(reader_.get()));
  if (names.empty()) {
    auto row = reader_->Query(
        absl::StrFormat("SELECT %s FROM experiments ORDER BY id", sql::kExperimentColumns));
    MENTOR_ASSIGN_OR_RETURN(snapshot.experiments, ReadAll(&row));
    return snapshot;
  }
  for (const std::string& name : names) {
    MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, GetWith(reader_.get(), id));
    snapshot.experiments.push_back(std::move(experiment));
  }
  return snapshot;
}

absl::StatusOr<std::vector<StoreEvent>> SqlStore::Events(int64_t after_revision, int limit) {
  std::vector<StoreEvent> events;
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sql::Transaction::BeginRead(reader_.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, RevisionOf(reader_.get()));
  int64_t compacted = 0;
  {
    auto row = reader_->Query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'compacted'");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (found) compacted = row.Integer(0);
  }
  if (after_revision < compacted || after_revision > revision) {
    return MakeError(absl::StatusCode::kOutOfRange, Reason::kWatchCompacted,
                     "the changes after this resume_token are not kept any more: list again, the "
                     "answer has a new token",
                     {{"oldest_revision", absl::StrCat(compacted)}});
  }
  auto row = reader_->Query(
      "SELECT e.revision, e.kind, e.experiment, x.spec FROM events e LEFT JOIN experiments x ON "
      "x.uid = e.uid WHERE e.revision > ? ORDER BY e.revision LIMIT ?");
  row.Bind(after_revision).Bind(int64_t{limit});
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return events;
    StoreEvent event{.revision = row.Integer(0),
                     .kind = static_cast<StoreEvent::Kind>(row.Integer(1)),
                     .experiment = {}};
    const std::string spec = row.Text(3);
    if (!event.experiment.ParseFromString(row.Text(2)) ||
        (!spec.empty() && !event.experiment.mutable_spec()->ParseFromString(spec))) {
      MENTOR_LOG_EVERY(std::chrono::seconds(60), kError,
                       "a stored change cannot be read; watchers do not hear of it",
                       {{"revision", event.revision}});
      continue;
    }
    events.push_back(std::move(event));
  }
}

absl::StatusOr<int64_t> SqlStore::Revision() {
  const MutexLock lock(reader_mutex_);
  return RevisionOf(reader_.get());
}

absl::Status SqlStore::CompactEvents(int64_t keep, int64_t older_than_ns) {
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, RevisionOf(writer_.get()));
  int64_t last_gone = std::max<int64_t>(0, revision - keep);
  {
    auto row = writer_->Query("SELECT MAX(revision) FROM events WHERE time < ?");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(NowNs() - older_than_ns).Step());
    if (found) last_gone = std::max(last_gone, row.Integer(0));
  }
  {
    auto row = writer_->Query("SELECT 1 FROM events WHERE revision <= ? LIMIT 1");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(last_gone).Step());
    if (!found) return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(
      writer_->Query("DELETE FROM events WHERE revision <= ?").Bind(last_gone).Run());
  MENTOR_RETURN_IF_ERROR(writer_
                             ->Query("INSERT INTO meta(key, value) VALUES('compacted', ?) ON "
                                     "CONFLICT(key) DO UPDATE SET value = excluded.value")
                             .Bind(std::to_string(last_gone))
                             .Run());
  return writing->Commit();
}

}  // namespace mentor::meta_learner
