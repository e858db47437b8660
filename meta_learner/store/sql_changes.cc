// Creates, changes and deletes experiments, each in one transaction with one revision.
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "common/uuid.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/state_folder.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

constexpr int64_t kRequestKeptNs = int64_t{24} * 3600 * 1'000'000'000;

// Each caller has its own space of request_ids.
std::string RequestKey(const NewExperiment& experiment) {
  return experiment.owner + "/" + experiment.request_id;
}

absl::StatusOr<std::optional<v1::Experiment>> AnsweredBefore(StoreDatabase* database,
                                                             const NewExperiment& experiment,
                                                             int64_t now_ns)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->writer_mutex) {
  if (experiment.request_id.empty()) return std::nullopt;
  // Versions before 0.2.0 wrote the bare id.
  auto row = database->writer->Query(
      sql::Select(
          "requests",
          "WHERE request_id IN (?, ?) AND expire_time > ? ORDER BY length(request_id) DESC"),
      RequestKey(experiment), experiment.request_id, now_ns);
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::nullopt;
  v1::Experiment response;
  if (!sql::IsProved(sql::TableOf("requests"), row) || !response.ParseFromString(row.Text(2))) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat("the answer to the request_id %s is damaged in the database; look whether "
                        "the experiment exists, else take a new request_id",
                        experiment.request_id));
  }
  if (row.Text(1) != experiment.request_hash) {
    return MakeError(
        Reason::kRequestIdReused,
        absl::StrFormat("request_id %s was used for another request; take a new one for each",
                        experiment.request_id));
  }
  return response;
}

absl::Status RememberAnswer(StoreDatabase* database, const NewExperiment& submitted,
                            const v1::Experiment& answer, int64_t now_ns)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->writer_mutex) {
  if (submitted.request_id.empty()) return absl::OkStatus();
  sql::Database* const writer = database->writer.get();
  MENTOR_RETURN_IF_ERROR(writer->Run("DELETE FROM requests WHERE expire_time <= ?", now_ns));
  MENTOR_RETURN_IF_ERROR(writer->Run(
      "INSERT INTO requests(request_id, body_hash, response, expire_time) VALUES(?, ?, ?, ?)",
      RequestKey(submitted), submitted.request_hash, sql::Blob{answer.SerializeAsString()},
      now_ns + kRequestKeptNs));
  return sql::Seal(sql::TableOf("requests"), {RequestKey(submitted)}, writer);
}

// The row of a new experiment, before its progress is known.
v1::Experiment NewRow(const NewExperiment& submitted, const std::string& uid, const std::string& id,
                      int64_t now_ns) {
  v1::Experiment row = sql::DetailsOf(submitted.experiment);
  row.clear_warnings();
  row.set_uid(uid);
  row.set_name(ExperimentName(id));
  row.set_owner(submitted.owner);
  row.set_state(S::STATE_QUEUED);
  row.set_priority(submitted.experiment.priority() == v1::PRIORITY_UNSPECIFIED
                       ? v1::PRIORITY_NORMAL
                       : submitted.experiment.priority());
  if (submitted.experiment.has_deadline())
    *row.mutable_deadline() = submitted.experiment.deadline();
  *row.mutable_create_time() = TimeUtil::NanosecondsToTimestamp(now_ns);
  *row.mutable_spec() = submitted.experiment.spec();
  return row;
}

}  // namespace

absl::Status CheckEtag(std::string_view name, std::string_view expected, std::string_view found) {
  if (expected.empty() || expected == found) return absl::OkStatus();
  return MakeError(
      Reason::kEtagMismatch,
      absl::StrFormat("%s has changed in between; read it again, then repeat", name),
      {{"expected", std::string(expected.substr(0, 100))}, {"found", std::string(found)}});
}

absl::Status CheckStorage(std::string_view owner, const OwnerUsage& usage, int64_t bytes_max) {
  if (bytes_max == 0 || usage.checkpoint_bytes < bytes_max) return absl::OkStatus();
  return MakeError(
      Reason::kQuotaExceeded,
      absl::StrFormat("'%s' has %d bytes of checkpoints, %d are allowed; delete experiments "
                      "(mentorctl delete NAME), or ask for a larger --max_storage_per_owner_gb",
                      owner, usage.checkpoint_bytes, bytes_max),
      {{"owner", std::string(owner)}});
}

absl::StatusOr<std::optional<v1::Experiment>> Records::Answered(const NewExperiment& experiment) {
  const MutexLock lock(database_->writer_mutex);
  return AnsweredBefore(database_, experiment, StoreDatabase::NowNs());
}

absl::StatusOr<v1::Experiment> Records::Create(const NewExperiment& submitted) {
  const v1::ExperimentSpec spec = WithDefaults(submitted.experiment.spec());
  v1::Experiment experiment;
  {
    const MutexLock lock(database_->writer_mutex);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
    const int64_t now_ns = StoreDatabase::NowNs();
    MENTOR_ASSIGN_OR_RETURN(std::optional<v1::Experiment> answer,
                            AnsweredBefore(database_, submitted, now_ns));
    if (answer) return *std::move(answer);

    const std::string uid = NewUuid();
    const std::string id = submitted.id.empty() ? "exp-" + UuidBase32(uid, 10) : submitted.id;
    MENTOR_ASSIGN_OR_RETURN(
        const bool taken,
        database_->writer->Query("SELECT 1 FROM experiments WHERE id = ?", id).Step());
    if (taken) {
      return MakeError(
          Reason::kAlreadyExists,
          absl::StrFormat("experiments/%s exists already; choose another id, or leave it out", id),
          {{"name", ExperimentName(id)}});
    }
    // Until the commit, a crash leaves only a folder with a mark, and an error leaves nothing.
    const std::filesystem::path folder = files_->ExperimentFolder(uid);
    absl::Cleanup remove_folder = [&folder] {
      std::error_code ignored;
      std::filesystem::remove_all(folder, ignored);
    };
    MENTOR_RETURN_IF_ERROR(MakeNewFolder(folder));
    if (submitted.fill_folder) {
      MENTOR_RETURN_IF_ERROR(submitted.fill_folder(uid, folder));
      MENTOR_RETURN_IF_ERROR(SyncFolder(folder.parent_path()));
    }
    v1::Experiment row = NewRow(submitted, uid, id, now_ns);
    MENTOR_RETURN_IF_ERROR(WriteAbout(folder, row));
    if (submitted.fill_folder) {
      // The progress of a clone begins at its checkpoint.
      MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> steps,
                              ListCheckpoints(folder / "checkpoints"));
      if (!steps.empty()) row.mutable_progress()->set_outer_updates(steps.back());
    }
    row.mutable_progress()->set_outer_updates_total(spec.rule().outer_updates());
    row.mutable_progress()->set_seconds_left(-1);
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->NextRevision());
    MENTOR_RETURN_IF_ERROR(database_->InsertRow(row, now_ns, revision));
    MENTOR_ASSIGN_OR_RETURN(experiment, database_->GetWith(database_->writer.get(), id));
    MENTOR_RETURN_IF_ERROR(
        database_->WriteEvent(StoreEvent::Kind::kCreated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(RememberAnswer(database_, submitted, experiment, now_ns));
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.create.before_commit")));
    // A commit with a lost answer may have succeeded, so keep the folder; the next start decides.
    std::move(remove_folder).Cancel();
    MENTOR_RETURN_IF_ERROR(writing->Commit());
    // If the mark stays, the next start or the first run removes it.
    RemoveNewMark(folder).IgnoreError();
  }
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.create.after_commit")));
  database_->hub->Notify({.name = experiment.name()});
  return experiment;
}

absl::StatusOr<v1::Experiment> Records::Change(std::string_view name, std::string_view etag,
                                               const Edit& edit) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  v1::Experiment experiment;
  {
    const MutexLock lock(database_->writer_mutex);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment before,
                            database_->GetWith(database_->writer.get(), id));
    MENTOR_RETURN_IF_ERROR(CheckEtag(before.name(), etag, before.etag()));
    experiment = before;
    MENTOR_RETURN_IF_ERROR(edit(&experiment));
    if (StableBytes(experiment) == StableBytes(before)) return before;
    const State from = before.state(), to = experiment.state();
    MENTOR_CHECK(from == to || IsLegalTransition(from, to));
    if (to != S::STATE_PAUSED && to != S::STATE_PAUSING) experiment.clear_pause_reason();
    const bool keeps_error = to == S::STATE_FAILED ||
                             (to == S::STATE_QUEUED && from != S::STATE_PAUSED) ||
                             to == S::STATE_CANCELLING || to == S::STATE_CANCELLED ||
                             experiment.pause_reason() == S::PAUSE_REASON_STORAGE_QUOTA;
    const bool moved = from != to || experiment.pause_reason() != before.pause_reason();
    if (moved && !keeps_error) experiment.clear_error();
    if (!IsAtWork(to)) {
      experiment.mutable_progress()->clear_env_steps_per_second();
      experiment.mutable_progress()->set_seconds_left(to == S::STATE_SUCCEEDED ? 0 : -1);
    }
    const int64_t now_ns = StoreDatabase::NowNs();
    int64_t start_ns = sql::Nanoseconds(before.has_start_time(), before.start_time());
    int64_t end_ns = sql::Nanoseconds(before.has_end_time(), before.end_time());
    if (to == S::STATE_RUNNING && start_ns == 0) start_ns = now_ns;
    if (IsFinal(to) && !IsFinal(from)) end_ns = now_ns;
    const int64_t ttl_ns = TimeUtil::DurationToNanoseconds(experiment.retention().ttl());
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->NextRevision());
    MENTOR_RETURN_IF_ERROR(database_->writer->Run(
        "UPDATE experiments SET state = ?, error = '', progress = ?, update_time = ?, start_time = "
        "?, end_time = ?, revision = ?, priority = ?, deadline = ?, expire_time = ?, "
        "served_env_steps = ?, details = ? WHERE id = ?",
        to, sql::Blob{experiment.progress().SerializeAsString()}, now_ns, start_ns, end_ns,
        revision, experiment.priority(),
        sql::Nanoseconds(experiment.has_deadline(), experiment.deadline()),
        IsFinal(to) && ttl_ns > 0 ? end_ns + ttl_ns : int64_t{0}, experiment.served_env_steps(),
        sql::Blob{StableBytes(sql::DetailsOf(experiment))}, id));
    MENTOR_RETURN_IF_ERROR(sql::SealExperiment(before.uid(), database_->writer.get()));
    MENTOR_ASSIGN_OR_RETURN(experiment, database_->GetWith(database_->writer.get(), id));
    MENTOR_RETURN_IF_ERROR(
        database_->WriteEvent(StoreEvent::Kind::kUpdated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.transition.before_commit")));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
    if (!IsAtWork(to)) {
      const MutexLock live_lock(database_->live_mutex);
      database_->live.erase(id);
    }
  }
  database_->hub->Notify({.name = experiment.name()});
  return experiment;
}

absl::StatusOr<v1::Experiment> Records::Transition(std::string_view name,
                                                   const std::set<State>& from, State to,
                                                   const absl::Status& error) {
  for (const State state : from) MENTOR_CHECK(IsLegalTransition(state, to));
  return Change(name, "", [&](v1::Experiment* experiment) -> absl::Status {
    if (!from.contains(experiment->state())) {
      const std::string allowed = absl::StrJoin(
          from, ", ", [](std::string* out, State state) { out->append(StateText(state)); });
      return MakeError(
          Reason::kIllegalTransition,
          absl::StrFormat("%s is %s; it can become %s only from %s", experiment->name(),
                          StateText(experiment->state()), StateText(to), allowed),
          {{"state", std::string(StateText(experiment->state()))},
           {"verb", std::string(StateText(to))}});
    }
    experiment->set_state(to);
    if (!error.ok()) *experiment->mutable_error() = StatusToProto(error);
    return absl::OkStatus();
  });
}

absl::Status Records::DeleteIf(std::string_view name, std::string_view etag, const Check& check) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  v1::Experiment experiment;
  {
    const MutexLock lock(database_->writer_mutex);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(experiment, database_->GetWith(database_->writer.get(), id));
    MENTOR_RETURN_IF_ERROR(CheckEtag(experiment.name(), etag, experiment.etag()));
    if (check) MENTOR_RETURN_IF_ERROR(check(experiment));
    if (!IsFinal(experiment.state())) {
      return MakeError(Reason::kIllegalTransition,
                       absl::StrFormat("%s is %s; cancel it first, or delete it with force",
                                       experiment.name(), StateText(experiment.state())),
                       {{"state", std::string(StateText(experiment.state()))}, {"verb", "delete"}});
    }
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->NextRevision());
    MENTOR_RETURN_IF_ERROR(
        database_->writer->Run("INSERT INTO deletions(uid) VALUES(?)", experiment.uid()));
    MENTOR_RETURN_IF_ERROR(
        database_->writer->Run("DELETE FROM experiments WHERE uid = ?", experiment.uid()));
    MENTOR_RETURN_IF_ERROR(database_->WriteEvent(StoreEvent::Kind::kDeleted, revision,
                                                 StoreDatabase::NowNs(), experiment));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  database_->hub->Notify({.name = experiment.name()});
  if (const absl::Status removed = RemoveFiles(experiment.uid()); !removed.ok()) {
    MENTOR_LOG(kWarning, "files of a deleted experiment are left; the next start removes them",
               {{"experiment", experiment.name()}, {"why", removed}});
  }
  return absl::OkStatus();
}

absl::Status Records::SetProgress(std::string_view name, std::string_view activity,
                                  const v1::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  if (!database_->LiveOf(id)) {
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Get(name));
    if (!IsAtWork(experiment.state())) return absl::OkStatus();  // The report came too late.
  }
  {
    const MutexLock lock(database_->live_mutex);
    database_->live[id] = {std::string(activity), progress};
  }
  database_->hub->Notify({.name = std::string(name), .durable = false});
  return absl::OkStatus();
}

std::vector<v1::Experiment> Records::AtWork() {
  std::vector<v1::Experiment> at_work;
  const MutexLock lock(database_->live_mutex);
  for (const auto& [id, live] : database_->live) {
    v1::Experiment& experiment = at_work.emplace_back();
    experiment.set_name(ExperimentName(id));
    experiment.set_activity(live.activity);
    *experiment.mutable_progress() = live.progress;
  }
  return at_work;
}

std::unique_ptr<Records::Subscription> Records::Subscribe(ChangeHub::Callback callback) {
  return database_->hub->Add(std::move(callback));
}

absl::Status Records::EmptyLog() {
  const MutexLock lock(database_->writer_mutex);
  return database_->writer->EmptyLog();
}

void Records::OnCommit(std::function<void(double)> callback) {
  const MutexLock lock(database_->writer_mutex);
  database_->on_commit = std::move(callback);
}

absl::Status Records::RemoveFiles(std::string_view uid) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.delete.before_files")));
  if (!IsUuid(uid)) {
    // An empty one would remove every folder.
    MENTOR_LOG(kError, "a row in the database is damaged, and left out",
               {{"what", "deletion"}, {"uid", Printable(uid)}});
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(RemoveAll(files_->ExperimentFolder(uid)));
  if (object_deletions_ == nullptr) return ForgetDeletion(uid);
  object_deletions_->Wake();  // The bucket's objects are deleted later.
  return absl::OkStatus();
}

absl::Status Records::ForgetDeletion(std::string_view uid) {
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  MENTOR_RETURN_IF_ERROR(database_->writer->Run("DELETE FROM deletions WHERE uid = ?", uid));
  return writing->Commit();
}

absl::Status Records::FinishDeletions() {
  if (files_->objects() != nullptr && object_deletions_ == nullptr) {
    object_deletions_ = std::make_unique<ObjectDeletions>(
        files_->objects(), [this] { return database_->Deletions(); },
        [this](const std::string& uid) { return ForgetDeletion(uid); });
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> uids, database_->Deletions());
  for (const std::string& uid : uids) MENTOR_RETURN_IF_ERROR(RemoveFiles(uid));
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
