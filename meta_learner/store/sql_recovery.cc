#include "meta_learner/store/sql_recovery.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

// Most log lines about one kind of loss at one start.
constexpr size_t kNamedMax = 100;
// How long a start or a takeover waits for a bucket that does not answer.
constexpr std::chrono::seconds kBucketPatience{10};
const std::string kAboutKey(kAboutFile);

}  // namespace

absl::Status Recovery::Check(bool folders_need_rows) {
  MENTOR_ASSIGN_OR_RETURN(std::vector<std::string> without_row, FoldersWithoutRow());
  MENTOR_RETURN_IF_ERROR(RemoveLeftByCreate(&without_row));
  if (folders_need_rows) {
    MENTOR_RETURN_IF_ERROR(LeaveOutGhosts(&without_row));
    MENTOR_RETURN_IF_ERROR(RefuseWithoutRow(without_row));
  }
  if (files_->objects() == nullptr) return NameLostCheckpoints();
  return folders_need_rows ? RefuseObjectsWithoutRow() : absl::OkStatus();
}

absl::StatusOr<std::set<std::string>> Recovery::UidsOfRows() {
  const MutexLock lock(database_->reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> uids,
                          sql::FirstColumn(database_->reader.get(), "SELECT uid FROM experiments"));
  return std::set<std::string>(uids.begin(), uids.end());
}

absl::StatusOr<std::vector<std::string>> Recovery::FoldersWithoutRow() {
  MENTOR_ASSIGN_OR_RETURN(const std::set<std::string> rows, UidsOfRows());
  std::vector<std::string> without;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          NamesIn(files_->folder() / "experiments"));
  for (const std::string& uid : names) {
    const std::filesystem::path folder = files_->ExperimentFolder(uid);
    std::error_code ignored;
    // Skip foreign entries.
    if (!IsUuid(uid) || !std::filesystem::is_directory(folder, ignored)) continue;
    if (rows.contains(uid)) {
      MENTOR_RETURN_IF_ERROR(RemoveNewMark(folder));
      MENTOR_RETURN_IF_ERROR(TakeOthersRights(folder));
    } else {
      without.push_back(uid);
    }
  }
  return without;
}

absl::Status Recovery::RemoveLeftByCreate(std::vector<std::string>* without_row) {
  for (const std::string& uid : *without_row) {
    if (!IsLeftByCreate(files_->ExperimentFolder(uid))) continue;
    MENTOR_RETURN_IF_ERROR(RemoveAll(files_->ExperimentFolder(uid)));
    MENTOR_LOG(kInfo, "removed the folder of an experiment that was never answered with OK",
               {{"uid", uid}});
  }
  std::erase_if(*without_row, [this](const std::string& uid) {
    std::error_code error;
    return !std::filesystem::exists(files_->ExperimentFolder(uid), error);
  });
  return absl::OkStatus();
}

absl::Status Recovery::LeaveOutGhosts(std::vector<std::string>* without_row) {
  if (without_row->empty()) return absl::OkStatus();
  std::set<std::string> ghosts;
  {
    const MutexLock lock(database_->reader_mutex);
    auto rows = database_->reader->Query(sql::Select("experiments", "ORDER BY uid"));
    MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
      if (IsGhost(row)) ghosts.insert(ExperimentName(row.Text(sql::kIdColumn)));
    }));
  }
  std::erase_if(*without_row, [&](const std::string& uid) {
    const auto about = ReadAbout(files_->ExperimentFolder(uid));
    if (!about.ok() || !ghosts.contains(about->name())) return false;
    MENTOR_LOG(kError, "the row of an experiment is damaged; lists leave it out, reindex mends it",
               {{"name", about->name()}, {"uid", uid}});
    return true;
  });
  return absl::OkStatus();
}

bool Recovery::IsGhost(const sql::Query& row) const {
  std::error_code error;
  return absl::IsDataLoss(sql::ExperimentOf(row).status()) &&
         !std::filesystem::exists(files_->ExperimentFolder(row.Text(sql::kUidColumn)), error);
}

absl::Status Recovery::RefuseWithoutRow(const std::vector<std::string>& without_row) const {
  if (without_row.empty()) return absl::OkStatus();
  for (size_t i = 0; i < without_row.size() && i < kNamedMax; ++i) {
    const auto about = ReadAbout(files_->ExperimentFolder(without_row[i]));
    MENTOR_LOG(kError, "the folder of an experiment is in no row of the database",
               {{"folder", files_->ExperimentFolder(without_row[i]).string()},
                {"name", about.ok() ? about->name() : ""}});
  }
  return MakeError(
      Reason::kDataLoss,
      absl::StrFormat(
          "%s: %d experiments have a folder and no row in the database (the log names them; the "
          "first is %s): the database or its log was lost, or --database is another one. Restore a "
          "backup, name the right database, or bring them back from their folders with "
          "'mentor-meta-learner --state %s reindex'",
          files_->folder().string(), without_row.size(), without_row[0],
          files_->folder().string()));
}

absl::Status Recovery::NameLostCheckpoints() {
  struct Known {
    std::string uid, id;
    int64_t count = 0, newest = 0;
  };
  std::vector<Known> known;
  {
    const MutexLock lock(database_->reader_mutex);
    auto rows = database_->reader->Query(
        "SELECT x.uid, x.id, count(*), MAX(c.outer_step) FROM checkpoints c JOIN experiments x ON "
        "x.uid = c.uid GROUP BY x.uid, x.id ORDER BY x.id");
    MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
      known.push_back({.uid = row.Text(0),
                       .id = row.Text(1),
                       .count = row.Integer(2),
                       .newest = row.Integer(3)});
    }));
  }
  size_t named = 0;
  for (const Known& one : known) {
    std::error_code error;
    if (std::filesystem::is_directory(files_->CheckpointFolder(one.uid), error)) continue;
    if (named++ == kNamedMax) break;
    MENTOR_LOG(kWarning, "the checkpoints of an experiment are gone: their folder is not there",
               {{"name", ExperimentName(one.id)},
                {"folder", files_->CheckpointFolder(one.uid).string()},
                {"checkpoints", one.count},
                {"newest", one.newest}});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Recovery::RowsUnreadable() {
  std::vector<std::string> uids;
  const MutexLock lock(database_->reader_mutex);
  auto row = database_->reader->Query(sql::Select("experiments", "ORDER BY uid"));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return uids;
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, database_->Read(row, &experiment));
    const std::string uid = row.Text(sql::kUidColumn);
    std::error_code error;
    // A damaged UID leads to no folder: that folder has no row.
    if (!readable && IsUuid(uid) && std::filesystem::exists(files_->ExperimentFolder(uid), error))
      uids.push_back(uid);
  }
}

absl::StatusOr<Recovery::Checkpoints> Recovery::CheckpointsOf(const std::string& uid) {
  std::map<uint32_t, CheckpointInfo> infos;
  std::set<std::string> spec_hashes;
  const std::filesystem::path folder = files_->CheckpointFolder(uid);
  if (const auto steps = ListCheckpoints(folder); steps.ok()) {
    for (const uint32_t step : *steps) {
      CheckpointInfo info;
      const auto checkpoint = ReadCheckpointOf(folder / CheckpointFileName(step), {}, &info);
      // Damaged files are moved away when the experiment continues.
      if (!checkpoint.ok()) continue;
      infos[step] = std::move(info);
      spec_hashes.insert(checkpoint->spec_hash);
    }
  }
  if (spec_hashes.size() > 1) {
    return MakeError(Reason::kDataLoss,
                     absl::StrFormat("%s holds whole checkpoints of different specs, with the "
                                     "hashes %s; move away those that do not belong there",
                                     folder.string(), absl::StrJoin(spec_hashes, " and ")));
  }
  if (files_->objects() != nullptr) {
    ExperimentObjects objects(files_->objects(), uid, nullptr);
    MENTOR_RETURN_IF_ERROR(objects.Look());
    for (const uint32_t step : objects.Steps()) {
      const auto manifest = objects.Manifest(step);
      if (absl::IsDataLoss(manifest.status())) continue;
      MENTOR_RETURN_IF_ERROR(manifest.status());
      infos[step] = {.path = folder / CheckpointFileName(step),
                     .outer_step = step,
                     .size_bytes = manifest->size_bytes(),
                     .sha256 = manifest->sha256(),
                     .state_hash = manifest->state_hash()};
    }
  }
  // A fresh machine has none of the bucket's checkpoints yet.
  for (auto step = infos.rbegin(); spec_hashes.empty() && step != infos.rend(); ++step) {
    const auto file = files_->OpenCheckpoint(uid, step->first);
    if (absl::IsDataLoss(file.status()) || absl::IsNotFound(file.status())) continue;
    MENTOR_RETURN_IF_ERROR(file.status());
    MENTOR_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpointOf(*file, {}));
    spec_hashes.insert(checkpoint.spec_hash);
  }
  Checkpoints found;
  if (!spec_hashes.empty()) found.spec_hash = *spec_hashes.begin();
  for (auto& [step, info] : infos) found.infos.push_back(std::move(info));
  return found;
}

absl::StatusOr<std::vector<std::string>> Recovery::ObjectsWithoutRow(
    const std::atomic<bool>* cancel) {
  MENTOR_ASSIGN_OR_RETURN(const std::set<std::string> rows, UidsOfRows());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> deletions, database_->Deletions());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> there,
                          files_->objects()->ListFolders(kExperimentsPrefix, cancel));
  std::vector<std::string> without;
  for (const std::string& uid : there) {
    if (!IsUuid(uid) || rows.contains(uid) ||
        std::find(deletions.begin(), deletions.end(), uid) != deletions.end())
      continue;
    // Without this object, the others came from a process that had lost the database, after the
    // deletion.
    const auto about = files_->objects()->Get(absl::StrCat(kExperimentsPrefix, uid, "/", kAboutKey),
                                              kSpecBytesMax * 8, cancel);
    if (absl::IsNotFound(about.status())) continue;
    MENTOR_RETURN_IF_ERROR(about.status());
    without.push_back(uid);
  }
  return without;
}

absl::Status Recovery::RefuseObjectsWithoutRow() {
  std::atomic<bool> given_up = false;
  const std::jthread timer([&](const std::stop_token& stop) {
    if (!StopRequestedWithin(stop, kBucketPatience)) given_up = true;
  });
  const auto found = ObjectsWithoutRow(&given_up);
  if (absl::IsUnavailable(found.status()) || absl::IsCancelled(found.status())) {
    // Start anyway: one process must lead, and experiments wait for the bucket on their own. But if
    // there are no rows, the database may be lost, and only the bucket can tell.
    MENTOR_ASSIGN_OR_RETURN(const std::set<std::string> rows, UidsOfRows());
    if (rows.empty()) return absl::UnavailableError(found.status().message());
    MENTOR_LOG(kWarning,
               "the bucket is silent: whether it has experiments without a row is not known",
               {{"bucket", files_->objects()->name()}, {"why", found.status()}});
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(found.status());
  const std::vector<std::string>& without = *found;
  if (without.empty()) return absl::OkStatus();
  return MakeError(
      Reason::kDataLoss,
      absl::StrFormat(
          "%s: %d experiments have objects and no row in the database (the first is %s): the "
          "database was lost, or --database or --objects is another service's. Restore a backup, "
          "name the right ones, or bring them back from their objects with 'mentor-meta-learner "
          "--state %s --objects %s reindex'",
          files_->objects()->name(), without.size(), without[0], files_->folder().string(),
          files_->objects()->name()));
}

absl::Status Recovery::FetchFoldersWithoutRow() {
  if (files_->objects() == nullptr) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> without, ObjectsWithoutRow(nullptr));
  for (const std::string& uid : without)
    MENTOR_RETURN_IF_ERROR(files_->OpenFile(uid, kAboutKey, nullptr, /*again=*/false).status());
  return absl::OkStatus();
}

absl::Status Recovery::BringBackOne(Reindexed* one, bool has_row) {
  const std::string& uid = one->uid;
  MENTOR_ASSIGN_OR_RETURN(const Checkpoints checkpoints, CheckpointsOf(uid));
  Remembered remembered(files_->ExperimentFolder(uid));
  MENTOR_RETURN_IF_ERROR(remembered.ReadFolder());
  if (has_row) {
    const MutexLock lock(database_->reader_mutex);
    auto row = database_->reader->Query(sql::Select("experiments", "WHERE uid = ?"), uid);
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (found) remembered.ReadRow(row);
  }
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment row,
                          remembered.Choose(checkpoints.spec_hash, &one->spec_from));
  row.set_uid(uid);
  row.set_state(v1::Experiment::STATE_PAUSED);
  row.set_pause_reason(v1::Experiment::PAUSE_REASON_USER);
  if (row.owner().empty()) row.set_owner(std::string(kLocalOwner));
  if (row.priority() == v1::PRIORITY_UNSPECIFIED) row.set_priority(v1::PRIORITY_NORMAL);
  // The deadline may have passed, and must not fail the experiment now.
  row.clear_deadline();
  const std::vector<CheckpointInfo>& infos = checkpoints.infos;
  row.mutable_progress()->set_outer_updates(infos.empty() ? 0 : infos.back().outer_step);
  row.mutable_progress()->set_outer_updates_total(WithDefaults(row.spec()).rule().outer_updates());
  row.mutable_progress()->set_seconds_left(-1);
  MENTOR_ASSIGN_OR_RETURN(one->experiment, WriteRow(std::move(row), has_row, infos));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Recovery::NameFor(const v1::Experiment& row) {
  const std::string id = ExperimentIdOf(row.name()).value_or("");
  bool is_free = IsExperimentId(id), is_ghost = false;
  {
    auto same = database_->writer->Query(sql::Select("experiments", "WHERE id = ?"), id);
    MENTOR_ASSIGN_OR_RETURN(const bool found, same.Step());
    is_ghost = found && IsGhost(same);
    is_free = is_free && (!found || is_ghost || same.Text(sql::kUidColumn) == row.uid());
  }
  if (!is_free) return ExperimentName("exp-" + UuidBase32(row.uid(), 10));
  if (is_ghost) {
    MENTOR_RETURN_IF_ERROR(database_->writer->Run("DELETE FROM experiments WHERE id = ?", id));
  }
  return ExperimentName(id);
}

absl::StatusOr<v1::Experiment> Recovery::WriteRow(v1::Experiment row, bool has_row,
                                                  const std::vector<CheckpointInfo>& infos) {
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  const int64_t now_ns = StoreDatabase::NowNs();
  MENTOR_ASSIGN_OR_RETURN(const std::string name, NameFor(row));
  row.set_name(name);
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->NextRevision());
  if (has_row) {
    // Update the row in place, since metrics refer to it.
    const v1::ExperimentSpec spec = WithDefaults(row.spec());
    MENTOR_RETURN_IF_ERROR(database_->writer->Run(
        "UPDATE experiments SET id = ?, owner = ?, submitted_spec = ?, spec = ?, spec_hash = ?, "
        "state = ?, error = '', progress = ?, create_time = ?, update_time = ?, start_time = 0, "
        "end_time = 0, revision = ?, priority = ?, deadline = 0, expire_time = 0, served_env_steps "
        "= 0, details = ? WHERE uid = ?",
        id, row.owner(), sql::Blob{row.spec().SerializeAsString()},
        sql::Blob{spec.SerializeAsString()}, SpecHash(spec), row.state(),
        sql::Blob{row.progress().SerializeAsString()},
        sql::Nanoseconds(row.has_create_time(), row.create_time()), now_ns, revision,
        row.priority(), sql::Blob{StableBytes(sql::DetailsOf(row))}, row.uid()));
    MENTOR_RETURN_IF_ERROR(sql::SealExperiment(row.uid(), database_->writer.get()));
  } else {
    MENTOR_RETURN_IF_ERROR(database_->InsertRow(row, now_ns, revision));
  }
  for (const CheckpointInfo& info : infos)
    MENTOR_RETURN_IF_ERROR(database_->WriteCheckpointRow(row.uid(), info));
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment,
                          database_->GetWith(database_->writer.get(), id));
  MENTOR_RETURN_IF_ERROR(
      database_->WriteEvent(has_row ? StoreEvent::Kind::kUpdated : StoreEvent::Kind::kCreated,
                            revision, now_ns, experiment));
  MENTOR_RETURN_IF_ERROR(writing->Commit());
  return experiment;
}

absl::StatusOr<std::vector<Reindexed>> Recovery::BringBack() {
  MENTOR_RETURN_IF_ERROR(FetchFoldersWithoutRow());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> without_row, FoldersWithoutRow());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> unreadable, RowsUnreadable());
  std::vector<Reindexed> done;
  for (const std::string& uid : unreadable) {
    Reindexed& one = done.emplace_back();
    one.uid = uid;
    one.status = BringBackOne(&one, /*has_row=*/true);
  }
  for (const std::string& uid : without_row) {
    Reindexed& one = done.emplace_back();
    one.uid = uid;
    one.status = BringBackOne(&one, /*has_row=*/false);
    if (one.status.ok()) continue;
    // Put aside only folders with missing or damaged files, not those with I/O errors.
    if (!absl::IsNotFound(one.status) && !absl::IsDataLoss(one.status)) return one.status;
    const std::filesystem::path lost = files_->folder() / "lost";
    MENTOR_RETURN_IF_ERROR(MakeFolders(lost));
    std::error_code error;
    std::filesystem::rename(files_->ExperimentFolder(uid), lost / uid, error);
    if (error) return FileError("cannot move", files_->ExperimentFolder(uid), error.value());
  }
  std::sort(done.begin(), done.end(),
            [](const Reindexed& a, const Reindexed& b) { return a.uid < b.uid; });
  return done;
}

}  // namespace mentor::meta_learner
