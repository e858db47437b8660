// The folder of a meta-learner's state on the disk, as store.h draws it: who may use it, which
// format it has, where its database is, and what is in an experiment's folder before it runs. Not
// for the rows of the database (schema.h), nor for checkpoints (checkpoint.h). Functions without a
// state of their own; a folder belongs to one process, and in it to one thread at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/file.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Makes the folder or takes the one that is there, and removes what interrupted writes left in it.
// FAILED_PRECONDITION IN_USE when another process has it, TOO_NEW when a newer program wrote it;
// one that holds something else is refused and left as it is.
absl::StatusOr<std::unique_ptr<FileLock>> TakeStateFolder(const std::filesystem::path& folder);

// With PostgreSQL, where the lease decides who writes: several processes may have it, as long as
// they are of one database. For who leads.
absl::StatusOr<std::unique_ptr<FileLock>> ShareStateFolder(const std::filesystem::path& folder);
// Without taking it, or changing anything but that it is there: FAILED_PRECONDITION when it holds
// something else, or is of a newer program.
absl::Status CheckStateFolder(const std::filesystem::path& folder);
// FAILED_PRECONDITION when the folder says that it belongs to another store.
absl::Status CheckFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid);
absl::Status WriteFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid);

// Writes FORMAT, which makes the folder a state folder.
absl::Status WriteStateFormat(const std::filesystem::path& folder);

// The one in the folder, or elsewhere. Its schema is as it was left.
absl::StatusOr<std::unique_ptr<sql::Database>> OpenStateDatabase(const StoreOptions& options,
                                                                 bool read_only);

// In an experiment's folder as long as its row may not be written yet: what a crash leaves with it
// is of no experiment. A temporary name, so that nothing copies or lists it.
inline constexpr std::string_view kNewMark = ".new.0.tmp";

// The folder of an experiment that is about to have a row, with that mark. It is not synced:
// PrepareExperimentFolder does that.
absl::Status MakeNewFolder(const std::filesystem::path& folder);
// The row is there.
absl::Status RemoveNewMark(const std::filesystem::path& folder);
// Whether a folder below experiments/ holds nothing of an experiment: it has the mark, or nothing
// in it.
bool IsLeftByCreate(const std::filesystem::path& folder);

// What brings an experiment back when its row is lost: name, owner, create_time, the settings and
// the spec as it was created with, as text.
inline constexpr std::string_view kAboutFile = "experiment.txtpb";
absl::Status WriteAbout(const std::filesystem::path& folder, const v1::Experiment& experiment);
// In folders of older versions: what spec.txtpb says. NOT_FOUND when neither is there, DATA_LOSS
// when it cannot be read.
absl::StatusOr<v1::Experiment> ReadAbout(const std::filesystem::path& folder);

// For an experiment that is about to run: its folders, and both specs as text.
absl::Status PrepareExperimentFolder(const std::filesystem::path& folder,
                                     const std::string& submitted_spec,
                                     const std::string& merged_spec);

}  // namespace mentor::meta_learner
