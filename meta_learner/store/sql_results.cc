// Results of experiments: points by outer update, and the index of checkpoints.
#include <cmath>

#include <absl/strings/str_format.h>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/resources/states.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/sql_store.h"

namespace mentor::meta_learner {

absl::StatusOr<std::string> SqlStore::RequireAtWork(std::string_view uid) {
  auto row = writer_->Query("SELECT id, state FROM experiments WHERE uid = ?");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(uid).Step());
  if (!found) return sql::NoSuchExperiment(uid);
  const State state = static_cast<State>(row.Integer(1));
  if (!IsAtWork(state)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
                     absl::StrFormat("experiments/%s is %s: nothing more is written for it",
                                     row.Text(0), StateText(state)),
                     {{"state", std::string(StateText(state))}});
  }
  return row.Text(0);
}

absl::Status SqlStore::WritePoints(std::string_view uid, uint32_t step,
                                   const std::map<std::string, double>& points, bool reproducible) {
  for (const auto& [metric, value] : points) {
    if (reproducible) {
      auto old =
          writer_->Query("SELECT value FROM points WHERE uid = ? AND metric = ? AND step = ?");
      MENTOR_ASSIGN_OR_RETURN(const bool found,
                              old.Bind(uid).Bind(metric).Bind(int64_t{step}).Step());
      const double before = found ? old.Double(0) : value;
      if (before != value && !(std::isnan(before) && std::isnan(value))) {
        ++replay_mismatches_;
        MENTOR_LOG(kError, "a replayed outer step computed another result: exactness is broken",
                   {{"experiment_uid", std::string(uid)},
                    {"metric", metric},
                    {"step", absl::StrFormat("%d", step)},
                    {"before", absl::StrFormat("%a", before)},
                    {"now", absl::StrFormat("%a", value)}});
      }
    }
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("INSERT INTO points(uid, metric, step, value) VALUES(?, ?, ?, ?) ON "
                    "CONFLICT(uid, metric, step) DO UPDATE SET value = excluded.value")
            .Bind(uid)
            .Bind(metric)
            .Bind(int64_t{step})
            .Bind(value)
            .Run());
  }
  return absl::OkStatus();
}

absl::Status SqlStore::WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info) {
  return writer_
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

absl::Status SqlStore::RecordOuterStep(std::string_view uid, const OuterStep& step) {
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_db")));
  std::string id;
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(id, RequireAtWork(uid));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.results, /*reproducible=*/true));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.timings, /*reproducible=*/false));
    if (step.checkpoint) MENTOR_RETURN_IF_ERROR(WriteCheckpointRow(uid, *step.checkpoint));
    const int64_t now_ns = NowNs();
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("UPDATE experiments SET progress = ?, update_time = ?, revision = ?, "
                    "served_env_steps = served_env_steps + ? WHERE uid = ?")
            .BindBlob(step.progress.SerializeAsString())
            .Bind(now_ns)
            .Bind(revision)
            .Bind(static_cast<int64_t>(step.served_env_steps))
            .Bind(uid)
            .Run());
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, GetWith(writer_.get(), id));
    *experiment.mutable_progress() = step.progress;
    MENTOR_RETURN_IF_ERROR(WriteEvent(StoreEvent::Kind::kUpdated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.in_db")));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
    // After the commit: otherwise readers would see progress that the database may not have, and
    // the next transition would keep it.
    const MutexLock live_lock(live_mutex_);
    live_[id].progress = step.progress;
  }
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_ack")));
  hub_->Notify({.name = ExperimentName(id)});
  return absl::OkStatus();
}

absl::Status SqlStore::RecordPoints(std::string_view uid, uint32_t step,
                                    const std::map<std::string, double>& results,
                                    const std::map<std::string, double>& timings) {
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  MENTOR_RETURN_IF_ERROR(RequireAtWork(uid).status());
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, results, /*reproducible=*/true));
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, timings, /*reproducible=*/false));
  return writing->Commit();
}

absl::StatusOr<std::map<std::string, Series>> SqlStore::Points(std::string_view uid,
                                                               const std::set<std::string>& metrics,
                                                               uint32_t step_min,
                                                               uint32_t step_max) {
  std::map<std::string, Series> points;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT metric, step, value FROM points WHERE uid = ? AND step >= ? AND step <= ? ORDER BY "
      "metric, step");
  row.Bind(uid).Bind(int64_t{step_min}).Bind(int64_t{step_max});
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return points;
    std::string metric = row.Text(0);
    if (!metrics.empty() && !metrics.contains(metric)) continue;
    points[std::move(metric)].emplace_back(static_cast<uint32_t>(row.Integer(1)), row.Double(2));
  }
}

absl::StatusOr<std::vector<CheckpointRow>> SqlStore::Checkpoints(std::string_view uid) {
  std::vector<CheckpointRow> rows;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT outer_step, size_bytes, sha256, state_hash, create_time, pinned FROM checkpoints "
      "WHERE uid = ? ORDER BY outer_step");
  row.Bind(uid);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return rows;
    CheckpointRow& read = rows.emplace_back();
    read.outer_step = static_cast<uint32_t>(row.Integer(0));
    read.path = CheckpointFolder(uid) / CheckpointFileName(read.outer_step);
    read.size_bytes = static_cast<uint64_t>(row.Integer(1));
    read.sha256 = row.Text(2);
    read.state_hash = row.Text(3);
    read.create_time_ns = row.Integer(4);
    read.pinned = row.Integer(5) != 0;
  }
}

absl::StatusOr<CheckpointRow> SqlStore::PinCheckpoint(std::string_view uid, uint32_t step,
                                                      bool pinned) {
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("UPDATE checkpoints SET pinned = ? WHERE uid = ? AND outer_step = ?")
            .Bind(int64_t{pinned})
            .Bind(uid)
            .Bind(int64_t{step})
            .Run());
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows, Checkpoints(uid));
  for (const CheckpointRow& row : rows) {
    if (row.outer_step == step) return row;
  }
  return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                   absl::StrFormat("there is no checkpoint of outer update %d", step));
}

absl::Status SqlStore::DeleteCheckpointRow(std::string_view uid, uint32_t step) {
  return writer_->Query("DELETE FROM checkpoints WHERE uid = ? AND outer_step = ?")
      .Bind(uid)
      .Bind(int64_t{step})
      .Run();
}

absl::StatusOr<std::vector<uint32_t>> SqlStore::ReleaseCheckpoints(
    std::string_view uid, const std::vector<uint32_t>& steps) {
  std::vector<uint32_t> released;
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  for (const uint32_t step : steps) {
    bool pinned = false;
    {
      auto row = writer_->Query("SELECT pinned FROM checkpoints WHERE uid = ? AND outer_step = ?");
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(uid).Bind(int64_t{step}).Step());
      pinned = found && row.Integer(0) != 0;
    }
    if (pinned) continue;
    MENTOR_RETURN_IF_ERROR(DeleteCheckpointRow(uid, step));
    released.push_back(step);
  }
  MENTOR_RETURN_IF_ERROR(writing->Commit());
  return released;
}

absl::Status SqlStore::ReconcileCheckpoints(std::string_view uid,
                                            const std::vector<uint32_t>& steps_present,
                                            const std::vector<CheckpointInfo>& infos) {
  const std::set<uint32_t> present(steps_present.begin(), steps_present.end());
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  std::vector<uint32_t> gone;
  {
    auto row = writer_->Query("SELECT outer_step FROM checkpoints WHERE uid = ?");
    row.Bind(uid);
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      const auto step = static_cast<uint32_t>(row.Integer(0));
      if (!present.contains(step)) gone.push_back(step);
    }
  }
  for (const uint32_t step : gone) MENTOR_RETURN_IF_ERROR(DeleteCheckpointRow(uid, step));
  for (const CheckpointInfo& info : infos) MENTOR_RETURN_IF_ERROR(WriteCheckpointRow(uid, info));
  return writing->Commit();
}

}  // namespace mentor::meta_learner
