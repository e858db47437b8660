// Results of experiments: points by outer update, and the index of checkpoints.
#include <chrono>
#include <cmath>
#include <string>

#include <absl/strings/str_format.h>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/resources/states.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

// These must run within a transaction.

// Returns the id of an experiment at work; FAILED_PRECONDITION in other states.
absl::StatusOr<std::string> RequireAtWork(StoreDatabase* database, std::string_view uid)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->writer_mutex) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                          database->GetByUid(database->writer.get(), uid));
  if (IsAtWork(experiment.state())) return sql::RequireId(experiment.name());
  return MakeError(Reason::kIllegalTransition,
                   absl::StrFormat("%s is %s: nothing more is written for it", experiment.name(),
                                   StateText(experiment.state())),
                   {{"state", std::string(StateText(experiment.state()))}});
}

absl::Status WritePoints(StoreDatabase* database, std::string_view uid, uint32_t step,
                         const std::map<std::string, double>& points, bool reproducible)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->writer_mutex) {
  for (const auto& [metric, value] : points) {
    if (reproducible) {
      auto old = database->writer->Query(
          "SELECT value, crc32c FROM points WHERE uid = ? AND metric = ? AND step = ?", uid, metric,
          step);
      MENTOR_ASSIGN_OR_RETURN(const bool found, old.Step());
      // What is damaged is written again, and says nothing about exactness.
      const bool is_known =
          found && sql::IsProvedPoint(old.Integer(1), uid, metric, step, old.Double(0));
      const double before = is_known ? old.Double(0) : value;
      if (before != value && !(std::isnan(before) && std::isnan(value))) {
        ++database->replay_mismatches;
        MENTOR_LOG(kError, "a replayed outer step computed another result: exactness is broken",
                   {{"experiment_uid", std::string(uid)},
                    {"metric", metric},
                    {"step", absl::StrFormat("%d", step)},
                    {"before", absl::StrFormat("%a", before)},
                    {"now", absl::StrFormat("%a", value)}});
      }
    }
    MENTOR_RETURN_IF_ERROR(sql::WritePoint(
        uid, metric, step, value, sql::PointCrc(uid, metric, step, value), database->writer.get()));
  }
  return absl::OkStatus();
}

// Says that a row is left out because it is not as it was written.
void LogDamaged(std::string_view what, std::string_view uid, int64_t step) {
  MENTOR_LOG_EVERY(std::chrono::seconds(10), kError,
                   "a row in the database is damaged, and left out",
                   {{"experiment_uid", uid}, {"what", Printable(what)}, {"step", step}});
}

// Steps through the index from name to name, since an experiment may have millions of points.
absl::StatusOr<std::set<std::string>> MetricsOf(StoreDatabase* database, std::string_view uid)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->reader_mutex) {
  std::set<std::string> metrics;
  while (true) {
    auto row = database->reader->Query(
        "SELECT metric FROM points WHERE uid = ? AND metric > ? ORDER BY metric LIMIT 1", uid,
        metrics.empty() ? std::string() : *metrics.rbegin());
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return metrics;
    metrics.insert(row.Text(0));
  }
}

absl::Status DeleteCheckpointRow(StoreDatabase* database, std::string_view uid, uint32_t step)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->writer_mutex) {
  return database->writer->Run("DELETE FROM checkpoints WHERE uid = ? AND outer_step = ?", uid,
                               step);
}

}  // namespace

absl::Status Results::RecordOuterStep(std::string_view uid, const OuterStep& step) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.commit.before_db")));
  std::string id;
  {
    const MutexLock lock(database_->writer_mutex);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(id, RequireAtWork(database_, uid));
    MENTOR_RETURN_IF_ERROR(
        WritePoints(database_, uid, step.step, step.results, /*reproducible=*/true));
    MENTOR_RETURN_IF_ERROR(
        WritePoints(database_, uid, step.step, step.timings, /*reproducible=*/false));
    if (step.checkpoint)
      MENTOR_RETURN_IF_ERROR(database_->WriteCheckpointRow(uid, *step.checkpoint));
    const int64_t now_ns = StoreDatabase::NowNs();
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->NextRevision());
    MENTOR_RETURN_IF_ERROR(database_->writer->Run(
        "UPDATE experiments SET progress = ?, update_time = ?, revision = ?, "
        "served_env_steps = served_env_steps + ? WHERE uid = ?",
        sql::Blob{step.progress.SerializeAsString()}, now_ns, revision, step.served_env_steps,
        uid));
    MENTOR_RETURN_IF_ERROR(sql::SealExperiment(uid, database_->writer.get()));
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment,
                            database_->GetWith(database_->writer.get(), id));
    *experiment.mutable_progress() = step.progress;
    MENTOR_RETURN_IF_ERROR(
        database_->WriteEvent(StoreEvent::Kind::kUpdated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.commit.in_db")));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
    // After the commit: otherwise readers would see progress that the database may not have, and
    // the next transition would keep it.
    const MutexLock live_lock(database_->live_mutex);
    database_->live[id].progress = step.progress;
  }
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.commit.before_ack")));
  database_->hub->Notify({.name = ExperimentName(id)});
  return absl::OkStatus();
}

absl::Status Results::RecordPoints(std::string_view uid, uint32_t step,
                                   const std::map<std::string, double>& results,
                                   const std::map<std::string, double>& timings) {
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  MENTOR_RETURN_IF_ERROR(RequireAtWork(database_, uid).status());
  MENTOR_RETURN_IF_ERROR(WritePoints(database_, uid, step, results, /*reproducible=*/true));
  MENTOR_RETURN_IF_ERROR(WritePoints(database_, uid, step, timings, /*reproducible=*/false));
  return writing->Commit();
}

absl::StatusOr<std::map<std::string, Series>> Results::Points(std::string_view uid,
                                                              const std::set<std::string>& metrics,
                                                              uint32_t step_min, uint32_t step_max,
                                                              uint32_t points_max) {
  std::map<std::string, Series> points;
  const MutexLock lock(database_->reader_mutex);
  // All metrics as of one moment.
  MENTOR_ASSIGN_OR_RETURN(const auto transaction,
                          sql::Transaction::BeginRead(database_->reader.get()));
  std::set<std::string> names = metrics;
  if (names.empty()) {
    MENTOR_ASSIGN_OR_RETURN(names, MetricsOf(database_, uid));
  }
  uint32_t last = step_max;  // The last step that is complete here.
  for (const std::string& metric : names) {
    auto rows = database_->reader->Query(
        "SELECT step, value, crc32c FROM points WHERE uid = ? AND metric = ? AND step >= ? AND "
        "step <= ? ORDER BY step LIMIT ?",
        uid, metric, step_min, last, points_max);
    Series series;
    uint32_t count = 0, read = 0;
    MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
      read = static_cast<uint32_t>(row.Integer(0));
      ++count;
      if (sql::IsProvedPoint(row.Integer(2), uid, metric, read, row.Double(1))) {
        series.emplace_back(read, row.Double(1));
      } else {
        LogDamaged(metric, uid, read);
      }
    }));
    if (count == points_max) last = read;
    if (!series.empty()) points[metric] = std::move(series);
  }
  for (auto& [metric, series] : points)
    std::erase_if(series, [last](const auto& point) { return point.first > last; });
  std::erase_if(points, [](const auto& entry) { return entry.second.empty(); });
  return points;
}

absl::StatusOr<std::map<std::string, Series>> Results::LastPoints(std::string_view uid) {
  std::map<std::string, Series> points;
  const MutexLock lock(database_->reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction,
                          sql::Transaction::BeginRead(database_->reader.get()));
  MENTOR_ASSIGN_OR_RETURN(const std::set<std::string> metrics, MetricsOf(database_, uid));
  for (const std::string& metric : metrics) {
    auto row = database_->reader->Query(
        "SELECT step, value, crc32c FROM points WHERE uid = ? AND metric = ? ORDER BY step DESC",
        uid, metric);
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      const auto step = static_cast<uint32_t>(row.Integer(0));
      if (sql::IsProvedPoint(row.Integer(2), uid, metric, step, row.Double(1))) {
        points[metric] = {{step, row.Double(1)}};
        break;
      }
      LogDamaged(metric, uid, step);
    }
  }
  return points;
}

absl::StatusOr<std::vector<CheckpointRow>> Results::Checkpoints(std::string_view uid) {
  std::vector<CheckpointRow> rows;
  const MutexLock lock(database_->reader_mutex);
  auto found = database_->reader->Query(
      sql::Select("checkpoints", "WHERE uid = ? ORDER BY outer_step"), uid);
  MENTOR_RETURN_IF_ERROR(found.ForEach([&](const sql::Query& row) {
    if (!sql::IsProved(sql::TableOf("checkpoints"), row)) {
      LogDamaged("checkpoint", uid, row.Integer(1));
      return;
    }
    CheckpointRow& read = rows.emplace_back();
    read.outer_step = static_cast<uint32_t>(row.Integer(1));
    read.path = files_->CheckpointFolder(uid) / CheckpointFileName(read.outer_step);
    read.size_bytes = static_cast<uint64_t>(row.Integer(2));
    read.sha256 = row.Text(3);
    read.state_hash = row.Text(4);
    read.create_time_ns = row.Integer(5);
    read.pinned = row.Integer(6) != 0;
  }));
  return rows;
}

absl::StatusOr<CheckpointRow> Results::PinCheckpoint(std::string_view uid, uint32_t step,
                                                     bool pinned) {
  {
    const MutexLock lock(database_->writer_mutex);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
    MENTOR_RETURN_IF_ERROR(database_->SetPinned(uid, step, pinned));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows, Checkpoints(uid));
  for (const CheckpointRow& row : rows) {
    if (row.outer_step == step) return row;
  }
  return MakeError(Reason::kNotFound,
                   absl::StrFormat("there is no checkpoint of outer update %d", step));
}

absl::StatusOr<std::vector<uint32_t>> Results::ReleaseCheckpoints(
    std::string_view uid, const std::vector<uint32_t>& steps) {
  std::vector<uint32_t> released;
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  for (const uint32_t step : steps) {
    MENTOR_ASSIGN_OR_RETURN(const bool pinned, database_->IsPinned(uid, step));
    if (pinned) continue;
    MENTOR_RETURN_IF_ERROR(DeleteCheckpointRow(database_, uid, step));
    released.push_back(step);
  }
  MENTOR_RETURN_IF_ERROR(writing->Commit());
  return released;
}

absl::Status Results::ReconcileCheckpoints(std::string_view uid,
                                           const std::vector<uint32_t>& steps_present,
                                           const std::vector<CheckpointInfo>& infos) {
  const std::set<uint32_t> present(steps_present.begin(), steps_present.end());
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  std::vector<uint32_t> gone;
  auto rows = database_->writer->Query("SELECT outer_step FROM checkpoints WHERE uid = ?", uid);
  MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
    const auto step = static_cast<uint32_t>(row.Integer(0));
    if (!present.contains(step)) gone.push_back(step);
  }));
  for (const uint32_t step : gone)
    MENTOR_RETURN_IF_ERROR(DeleteCheckpointRow(database_, uid, step));
  for (const CheckpointInfo& info : infos)
    MENTOR_RETURN_IF_ERROR(database_->WriteCheckpointRow(uid, info));
  return writing->Commit();
}

uint64_t Results::replay_mismatches() const {
  return database_->replay_mismatches;
}

}  // namespace mentor::meta_learner
