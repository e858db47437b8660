#include "meta_learner/store/sql_store.h"

#include <utility>

#include <absl/strings/str_format.h>

#include "common/log.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

absl::StatusOr<std::string> StoreUidOf(sql::Database* database) {
  auto row = database->Query("SELECT value FROM meta WHERE key = 'store_uid'");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::DataLossError(database->name() + ": the store has no identity");
  return row.Text(0);
}

absl::StatusOr<std::unique_ptr<SqlStore>> Open(const StoreOptions& options,
                                               bool folders_need_rows) {
  SqlStore::Parts parts = {
      .folder = options.folder, .objects = options.objects, .on_lost = options.on_lost};
  if (options.database.empty()) {
    MENTOR_ASSIGN_OR_RETURN(parts.lock, TakeStateFolder(options.folder));
    MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/false));
    MENTOR_RETURN_IF_ERROR(sql::Migrate(parts.writer.get(), options.folder));
  } else {
    // Take the lease before the folder: another leader may still use the folder until then.
    MENTOR_RETURN_IF_ERROR(CheckStateFolder(options.folder));
    MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/false));
    parts.keeper = std::make_unique<LeaseKeeper>(options.database, parts.writer->Fence(),
                                                 options.advertise, options.on_lost);
    MENTOR_RETURN_IF_ERROR(sql::Migrate(parts.writer.get(), options.folder));
    MENTOR_ASSIGN_OR_RETURN(const std::string uid, StoreUidOf(parts.writer.get()));
    if (folders_need_rows) MENTOR_RETURN_IF_ERROR(CheckFolderIsOf(options.folder, uid));
    MENTOR_ASSIGN_OR_RETURN(parts.lock, ShareStateFolder(options.folder));
  }
  MENTOR_ASSIGN_OR_RETURN(parts.reader, OpenStateDatabase(options, /*read_only=*/true));
  auto store = std::make_unique<SqlStore>(std::move(parts));
  MENTOR_RETURN_IF_ERROR(store->Start(folders_need_rows));
  if (!options.database.empty())
    MENTOR_RETURN_IF_ERROR(WriteFolderIsOf(options.folder, store->store_uid()));
  return store;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(const StoreOptions& options,
                                                           OpenError* error) {
  absl::StatusOr<std::unique_ptr<ExperimentStore>> store =
      Open(options, /*folders_need_rows=*/true);
  if (error != nullptr) {
    const std::string reason = ReasonOf(store.status());
    *error = store.ok()                              ? OpenError::kNone
             : reason == ReasonName(Reason::kInUse)  ? OpenError::kInUse
             : reason == ReasonName(Reason::kTooNew) ? OpenError::kTooNew
                                                     : OpenError::kOther;
  }
  return store;
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error) {
  return OpenStore(StoreOptions{.folder = state_folder}, error);
}

absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options) {
  MENTOR_ASSIGN_OR_RETURN(const auto store, Open(options, /*folders_need_rows=*/false));
  return store->BringBack();
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStoreToRead(const StoreOptions& options) {
  SqlStore::Parts parts = {.folder = options.folder, .objects = options.objects};
  MENTOR_ASSIGN_OR_RETURN(parts.reader, OpenStateDatabase(options, /*read_only=*/true));
  MENTOR_RETURN_IF_ERROR(sql::CheckSchema(parts.reader.get()));
  MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/true));
  auto store = std::make_unique<SqlStore>(std::move(parts));
  MENTOR_RETURN_IF_ERROR(store->StartToRead());
  return store;
}

absl::Status SqlStore::StartToRead() {
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(store_uid_, StoreUidOf(reader_.get()));
  return CheckFolderIsOf(folder_, store_uid_);
}

absl::Status SqlStore::Start(bool folders_need_rows) {
  {
    const MutexLock lock(reader_mutex_);
    MENTOR_ASSIGN_OR_RETURN(store_uid_, StoreUidOf(reader_.get()));
  }
  MENTOR_HISTORY("leads", {{"store", store_uid_}});
  if (objects_ != nullptr) {
    object_deletions_ = std::make_unique<ObjectDeletions>(
        objects_.get(), [this] { return Deletions(); },
        [this](const std::string& uid) { return ForgetDeletion(uid); });
  }
  MENTOR_RETURN_IF_ERROR(FinishDeletions());
  MENTOR_ASSIGN_OR_RETURN(std::vector<std::string> without_row, FoldersWithoutRow());
  MENTOR_RETURN_IF_ERROR(RemoveLeftByCreate(&without_row));
  if (folders_need_rows) MENTOR_RETURN_IF_ERROR(RefuseWithoutRow(without_row));
  if (objects_ == nullptr) {
    MENTOR_RETURN_IF_ERROR(NameLostCheckpoints());
  } else if (folders_need_rows) {
    MENTOR_RETURN_IF_ERROR(RefuseObjectsWithoutRow());
  }
  // On a full disk this may fail, which is not an error.
  if (const absl::Status emptied = EmptyLog(); !emptied.ok())
    MENTOR_LOG(kWarning, "the database's log could not be emptied", {{"why", emptied}});
  return absl::OkStatus();
}

int64_t SqlStore::NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status SqlStore::Hit(const std::optional<std::string>& error) {
  if (!error) return absl::OkStatus();
  const std::string what = "failpoint: " + *error;
  if (*error == "ENOSPC")
    return MakeError(absl::StatusCode::kResourceExhausted, Reason::kDiskFull, what);
  return absl::UnavailableError(what);
}

absl::StatusOr<v1::Experiment> SqlStore::FromRow(const sql::Query& row) {
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, sql::ExperimentOf(row));
  if (const std::optional<Live> live = LiveOf(row.Text(1)); live && IsAtWork(experiment.state())) {
    experiment.set_activity(live->activity);
    *experiment.mutable_progress() = live->progress;
  }
  return experiment;
}

absl::StatusOr<v1::Experiment> SqlStore::GetWith(sql::Database* database, const std::string& id) {
  auto row = database->Query(
      absl::StrFormat("SELECT %s FROM experiments WHERE id = ?", sql::kExperimentColumns));
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return sql::NoSuchExperiment(ExperimentName(id));
  return FromRow(row);
}

absl::StatusOr<bool> SqlStore::Read(const sql::Query& row, v1::Experiment* experiment) {
  auto read = FromRow(row);
  if (read.ok()) {
    *experiment = *std::move(read);
    return true;
  }
  if (!absl::IsDataLoss(read.status())) return read.status();
  const std::string id = row.Text(1);
  bool first = false;
  {
    const MutexLock lock(live_mutex_);
    first = unreadable_.insert(id).second;
  }
  if (first) {
    MENTOR_LOG(kError, "the row of an experiment cannot be read; lists leave it out",
               {{"name", ExperimentName(id)}, {"uid", row.Text(0)}, {"why", read.status()}});
  }
  return false;
}

absl::StatusOr<std::vector<v1::Experiment>> SqlStore::ReadAll(sql::Query* row) {
  std::vector<v1::Experiment> experiments;
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row->Step());
    if (!found) return experiments;
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, Read(*row, &experiment));
    if (readable) experiments.push_back(std::move(experiment));
  }
}

absl::StatusOr<int64_t> SqlStore::RevisionOf(sql::Database* database) {
  auto row = database->Query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'revision'");
  MENTOR_RETURN_IF_ERROR(row.Step().status());
  return row.Integer(0);
}

absl::StatusOr<int64_t> SqlStore::NextRevision() {
  auto next = writer_->Query(
      "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'revision' "
      "RETURNING value");
  MENTOR_ASSIGN_OR_RETURN(const bool found, next.Step());
  MENTOR_CHECK(found);
  const int64_t revision = next.Integer(0);
  revision_ = revision;
  MENTOR_RETURN_IF_ERROR(next.Run());
  return revision;
}

std::optional<SqlStore::Live> SqlStore::LiveOf(const std::string& id) {
  const MutexLock lock(live_mutex_);
  const auto live = live_.find(id);
  if (live == live_.end()) return std::nullopt;
  return live->second;
}

absl::Status SqlStore::PrepareFolder(std::string_view uid) {
  // A former leader that wakes up still reads the new leader's experiments. It must not touch their
  // files.
  MENTOR_RETURN_IF_ERROR(Leads());
  std::string submitted, merged;
  {
    const MutexLock lock(reader_mutex_);
    auto row = reader_->Query("SELECT submitted_spec, spec FROM experiments WHERE uid = ?");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(uid).Step());
    if (!found) return sql::NoSuchExperiment(uid);
    submitted = row.Text(0);
    merged = row.Text(1);
  }
  return PrepareExperimentFolder(ExperimentFolder(uid), submitted, merged);
}

absl::Status SqlStore::SetProgress(std::string_view name, std::string_view activity,
                                   const v1::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  if (!LiveOf(id)) {
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Get(name));
    if (!IsAtWork(experiment.state())) return absl::OkStatus();  // The report came too late.
  }
  {
    const MutexLock lock(live_mutex_);
    live_[id] = {std::string(activity), progress};
  }
  hub_->Notify({.name = std::string(name), .durable = false});
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
