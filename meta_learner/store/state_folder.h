// The state folder of a meta-learner; store.h shows its layout. Locks the folder, checks its
// format, opens its database, and prepares experiment folders before a run. Database rows are in
// schema.h, checkpoints in checkpoint.h. Functions without state; a folder belongs to one process,
// and to one thread at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/file.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Holds a folder until its end.
using FolderLock = std::vector<std::unique_ptr<FileLock>>;

// Creates or locks the folder, and removes leftovers of interrupted writes. Returns
// FAILED_PRECONDITION IN_USE when another process has it, TOO_NEW when a newer program wrote it. A
// foreign folder is refused and not changed.
absl::StatusOr<FolderLock> TakeStateFolder(const std::filesystem::path& folder);

// The same with PostgreSQL, for the leader. Several processes of one database may share the folder,
// since the lease decides which one writes.
absl::StatusOr<FolderLock> ShareStateFolder(const std::filesystem::path& folder);
// Creates the folder if it is missing, without locking it. Returns FAILED_PRECONDITION when it is a
// foreign folder, or a newer program wrote it.
absl::Status CheckStateFolder(const std::filesystem::path& folder);
// Returns FAILED_PRECONDITION when the folder belongs to another store.
absl::Status CheckFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid);
absl::Status WriteFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid);

// Writes FORMAT, which makes the folder a state folder.
absl::Status WriteStateFormat(const std::filesystem::path& folder);

// Opens the database in the folder or at options.database. Does not migrate its schema.
absl::StatusOr<std::unique_ptr<sql::Database>> OpenStateDatabase(const StoreOptions& options,
                                                                 bool read_only);

// Mark in an experiment's folder until its row is written. A folder that a crash leaves with the
// mark belongs to no experiment. The name is temporary, so that nothing copies or lists it.
inline constexpr std::string_view kNewMark = ".new.0.tmp";

// Makes the folder of a new experiment, with the mark. Does not sync; PrepareExperimentFolder does.
absl::Status MakeNewFolder(const std::filesystem::path& folder);
// Must be called when the row is written.
absl::Status RemoveNewMark(const std::filesystem::path& folder);
// True if a folder below experiments/ belongs to no experiment: it has the mark or is empty.
bool IsLeftByCreate(const std::filesystem::path& folder);

// File that restores an experiment whose row is lost. Holds name, owner, create_time, settings and
// the spec as created, as sealed text (common/sealed.h).
inline constexpr std::string_view kAboutFile = "experiment.txtpb";
// The specs of an experiment that has run.
inline constexpr std::string_view kSpecFile = "spec.txtpb", kMergedSpecFile = "merged.txtpb";
absl::Status WriteAbout(const std::filesystem::path& folder, const v1::Experiment& experiment);
// Reads kAboutFile, or a file with a spec. Returns NOT_FOUND when it is missing, DATA_LOSS when it
// is not as it was written, or has another UID than the folder's name.
absl::StatusOr<v1::Experiment> ReadAbout(const std::filesystem::path& folder);
absl::StatusOr<v1::ExperimentSpec> ReadSpecFile(const std::filesystem::path& file);
// Takes the rights of others from files of an experiment that earlier versions gave them.
absl::Status TakeOthersRights(const std::filesystem::path& folder);

// Returns the step of the newest checkpoint that the SQLite database says to be in
// STATE/experiments/UID; 0 without one, or when the database cannot be read.
uint32_t NewestRecorded(const std::filesystem::path& experiment);

// Makes the folders of an experiment that is about to run, and writes both specs as text.
absl::Status PrepareExperimentFolder(const std::filesystem::path& folder,
                                     const std::string& submitted_spec,
                                     const std::string& merged_spec);

}  // namespace mentor::meta_learner
