#include "meta_learner/store/state_folder.h"

#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/printable.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"

namespace mentor::meta_learner {
namespace {

constexpr std::string_view kStateFormat = "mentor-state 1\n", kFormatName = "mentor-state ";
constexpr std::string_view kStoreFile = "STORE";
constexpr uint64_t kAboutBytesMax = kSpecBytesMax * 8;

absl::Status OtherFormat(const std::filesystem::path& file, std::string_view format) {
  const std::string remedy = absl::StrFormat(
      "restore it from a backup, or, if the folder is a state folder of this version, write "
      "'mentor-state 1' and a line end into it");
  uint32_t version = 0;
  if (format.starts_with(kFormatName)) {
    const std::string_view number = format.substr(kFormatName.size());
    std::from_chars(number.data(), number.data() + number.size(), version);
  }
  if (version > 1 && format == absl::StrFormat("%s%d\n", kFormatName, version)) {
    return MakeError(
        Reason::kTooNew,
        absl::StrFormat("%s is of version 'mentor-state %d', this program knows 'mentor-state 1': "
                        "use the newer program, or another folder; if no newer program has used "
                        "it, %s is damaged: %s",
                        file.parent_path().string(), version, file.string(), remedy));
  }
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is damaged: it holds '%s' and not 'mentor-state 1'; %s",
                                   file.string(), Printable(format.substr(0, 60)), remedy));
}

// Returns true for a state folder, false for an empty one, and an error for anything else. Only
// reads.
absl::StatusOr<bool> IsStateFolder(const std::filesystem::path& folder) {
  // List before looking for FORMAT: another process may write FORMAT meanwhile, and then other
  // files.
  std::string other;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (name != "LOCK" && !IsTemporaryName(name)) other = name;
  }
  if (error) return FileError("cannot read", folder, error.value());
  const std::filesystem::path file = folder / "FORMAT";
  const auto format = ReadFile(file, 1000);
  if (format.ok()) {
    if (*format == kStateFormat) return true;
    return OtherFormat(file, *format);
  }
  if (format.status().code() != absl::StatusCode::kNotFound) return format.status();
  if (other.empty()) return false;
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s is not empty (it has %s) and is not a state folder: choose a new or empty one",
      folder.string(), other));
}

absl::StatusOr<FolderLock> TakeLocks(const std::filesystem::path& folder, FileLock::Kind kind) {
  // Also check before locking, so that a foreign folder gets no LOCK.
  MENTOR_RETURN_IF_ERROR(CheckStateFolder(folder));
  FolderLock lock(2);
  MENTOR_ASSIGN_OR_RETURN(
      lock[0], FileLock::Acquire(folder / "LOCK", "mentor run or mentor-meta-learner", kind));
  MENTOR_ASSIGN_OR_RETURN(const bool is_state_folder, IsStateFolder(folder));
  if (!is_state_folder) MENTOR_RETURN_IF_ERROR(WriteStateFormat(folder));
  // A removed LOCK lets nobody else in: a folder without FORMAT is refused.
  MENTOR_ASSIGN_OR_RETURN(lock[1], FileLock::Acquire(folder / "FORMAT", /*holder=*/"", kind));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "experiments"));
  return lock;
}

}  // namespace

absl::StatusOr<FolderLock> TakeStateFolder(const std::filesystem::path& folder) {
  return TakeLocks(folder, FileLock::Kind::kExclusive);
}

absl::StatusOr<FolderLock> ShareStateFolder(const std::filesystem::path& folder) {
  return TakeLocks(folder, FileLock::Kind::kShared);
}

absl::Status CheckStateFolder(const std::filesystem::path& folder) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  return IsStateFolder(folder).status();
}

absl::Status CheckFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid) {
  const auto found = ReadFile(folder / kStoreFile, 1000);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(found.status());
  if (*found == store_uid + "\n") return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s belongs to another database: its file STORE and this database name different stores; "
      "give "
      "the right --database or --state, or bring its experiments into this database with "
      "'mentor-meta-learner --state %s --database ... reindex'",
      folder.string(), folder.string()));
}

absl::Status WriteFolderIsOf(const std::filesystem::path& folder, const std::string& store_uid) {
  const auto found = ReadFile(folder / kStoreFile, 1000);
  if (found.ok() && *found == store_uid + "\n") return absl::OkStatus();
  return WriteFileAtomically(folder / kStoreFile, store_uid + "\n");
}

absl::Status WriteStateFormat(const std::filesystem::path& folder) {
  return WriteFileAtomically(folder / "FORMAT", kStateFormat);
}

absl::StatusOr<std::unique_ptr<sql::Database>> OpenStateDatabase(const StoreOptions& options,
                                                                 bool read_only) {
  if (options.database.empty()) return sql::OpenSqlite(options.folder / "mentor.db", read_only);
  if (options.try_only && !read_only) return sql::TryToLead(options.database);
  return sql::OpenPostgres(options.database, read_only);
}

absl::Status MakeNewFolder(const std::filesystem::path& folder) {
  if (mkdir(folder.c_str(), 0700) != 0) return FileError("cannot make folder", folder, errno);
  const std::filesystem::path mark = folder / kNewMark;
  if (OpenFile(mark, O_WRONLY | O_CREAT).get() < 0) return FileError("cannot make", mark, errno);
  return absl::OkStatus();
}

absl::Status RemoveNewMark(const std::filesystem::path& folder) {
  return RemoveAll(folder / kNewMark);
}

bool IsLeftByCreate(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / kNewMark, error) ||
         (std::filesystem::is_empty(folder, error) && !error);
}

absl::Status WriteAbout(const std::filesystem::path& folder, const v1::Experiment& experiment) {
  // Not synced: only needed if the database loses its rows.
  const std::filesystem::path path = folder / kAboutFile;
  MENTOR_RETURN_IF_ERROR(sql::MakePrivate(path));
  std::ofstream file(path);
  file << SealedText(experiment);
  file.close();
  return file ? absl::OkStatus() : FileError("cannot write", path, errno);
}

absl::StatusOr<v1::Experiment> ReadAbout(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kAboutFile;
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file, kAboutBytesMax));
  MENTOR_ASSIGN_OR_RETURN(const std::string text, Unsealed(bytes, file));
  v1::Experiment experiment;
  std::string what;
  if (!google::protobuf::TextFormat::ParseFromString(text, &experiment) || !experiment.has_spec()) {
    what = "damaged: it cannot be read";
  } else if (!experiment.uid().empty() && experiment.uid() != folder.filename().string()) {
    what = "of another experiment, with the UID " + Printable(experiment.uid()) +
           ": it was copied or moved";
  } else {
    return experiment;
  }
  return MakeError(Reason::kDataLoss, absl::StrCat(file.string(), " is ", what));
}

absl::StatusOr<v1::ExperimentSpec> ReadSpecFile(const std::filesystem::path& file) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kSpecBytesMax * 4));
  auto spec = LoadSpec(text);
  if (spec.ok()) return spec;
  return MakeError(Reason::kDataLoss, absl::StrFormat("%s is not a spec of this build: %s",
                                                      file.string(), spec.status().message()));
}

absl::Status TakeOthersRights(const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    std::error_code gone;
    const std::filesystem::file_status status =
        std::filesystem::symlink_status(folder / name, gone);
    if (!gone && std::filesystem::is_regular_file(status))
      MENTOR_RETURN_IF_ERROR(sql::MakePrivate(folder / name));
  }
  return absl::OkStatus();
}

uint32_t NewestRecorded(const std::filesystem::path& experiment) {
  const std::filesystem::path file = experiment.parent_path().parent_path() / "mentor.db";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return 0;
  const auto database = sql::OpenSqliteToLook(file);
  if (!database.ok()) return 0;
  auto row = (*database)->Query(
      sql::Select("checkpoints", "WHERE uid = ? ORDER BY outer_step DESC LIMIT 1"),
      experiment.filename().string());
  const bool known = row.Step().value_or(false) && sql::IsProved(sql::TableOf("checkpoints"), row);
  return known ? static_cast<uint32_t>(row.Integer(1)) : 0;
}

absl::Status PrepareExperimentFolder(const std::filesystem::path& folder,
                                     const std::string& submitted_spec,
                                     const std::string& merged_spec) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "checkpoints"));
  MENTOR_RETURN_IF_ERROR(SyncFolder(folder.parent_path()));  // MakeNewFolder did not.
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  for (const auto& [name, bytes] :
       {std::pair(kSpecFile, &submitted_spec), std::pair(kMergedSpecFile, &merged_spec)}) {
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
