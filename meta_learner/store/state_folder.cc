#include "meta_learner/store/state_folder.h"

#include <string_view>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/store/postgres.h"
#include "meta_learner/store/sqlite.h"

namespace mentor::meta_learner {
namespace {

constexpr std::string_view kStateFormat = "mentor-state 1\n";

absl::Status TooNew(std::string_view what, std::string_view found, std::string_view known) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, Reason::kTooNew,
      absl::StrFormat(
          "%s is of version %s, this program knows %s: use the newer program, or another folder",
          what, found, known));
}

absl::Status CheckStateFormat(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "FORMAT";
  const auto format = ReadFile(file, 1000);
  if (format.ok()) {
    if (*format == kStateFormat) return absl::OkStatus();
    std::string shown = format->substr(0, 60);
    shown.erase(shown.find_last_not_of(" \n") + 1);
    return TooNew(folder.string(), "'" + shown + "'", "'mentor-state 1'");
  }
  if (format.status().code() != absl::StatusCode::kNotFound) return format.status();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name == "LOCK" || IsTemporaryName(name)) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is not empty (it has %s) and is not a state folder: choose a new or empty one",
        folder.string(), name));
  }
  return WriteStateFormat(folder);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> TakeStateFolder(const std::filesystem::path& folder) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                          FileLock::Acquire(folder / "LOCK", "mentor run or mentor-meta-learner"));
  MENTOR_RETURN_IF_ERROR(CheckStateFormat(folder));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "experiments"));
  return lock;
}

absl::Status WriteStateFormat(const std::filesystem::path& folder) {
  return WriteFileAtomically(folder / "FORMAT", kStateFormat);
}

absl::StatusOr<std::unique_ptr<sql::Database>> OpenStateDatabase(const StoreOptions& options,
                                                                 bool read_only) {
  return options.database.empty() ? sql::OpenSqlite(options.folder / "mentor.db", read_only)
                                  : sql::OpenPostgres(options.database, read_only);
}

absl::Status PrepareExperimentFolder(const std::filesystem::path& folder,
                                     const std::string& submitted_spec,
                                     const std::string& merged_spec) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "checkpoints"));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  for (const auto& [name, bytes] :
       {std::pair("spec.txtpb", &submitted_spec), std::pair("merged.txtpb", &merged_spec)}) {
    v1::ExperimentSpec spec;
    if (!spec.ParseFromString(*bytes)) return absl::DataLossError("a stored spec cannot be read");
    const std::string text = PrintSpec(spec);
    if (const auto there = ReadFile(folder / name, kSpecBytesMax * 4); there.ok() && *there == text)
      continue;
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, text));
  }
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
