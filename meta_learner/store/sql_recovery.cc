// The folders below experiments/ and the rows of the database are held against each other.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "common/log.h"
#include "common/uuid.h"
#include "meta_learner/store/sql_store.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {

absl::StatusOr<std::vector<std::string>> SqlStore::FoldersWithoutRow() {
  std::set<std::string> rows;
  {
    const MutexLock lock(reader_mutex_);
    auto row = reader_->Query("SELECT uid FROM experiments");
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      rows.insert(row.Text(0));
    }
  }
  std::vector<std::string> without;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_ / "experiments", error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string uid = entry->path().filename();
    std::error_code ignored;
    // What is named otherwise was put there by somebody else.
    if (!IsUuid(uid) || !entry->is_directory(ignored)) continue;
    if (rows.contains(uid)) {
      MENTOR_RETURN_IF_ERROR(RemoveNewMark(entry->path()));
    } else {
      without.push_back(uid);
    }
  }
  if (error) return FileError("cannot list", folder_ / "experiments", error.value());
  std::sort(without.begin(), without.end());
  return without;
}

absl::Status SqlStore::RemoveLeftByCreate(std::vector<std::string>* without_row) {
  for (const std::string& uid : *without_row) {
    if (!IsLeftByCreate(ExperimentFolder(uid))) continue;
    std::error_code error;
    std::filesystem::remove_all(ExperimentFolder(uid), error);
    if (error) return FileError("cannot remove", ExperimentFolder(uid), error.value());
    MENTOR_LOG(kInfo, "removed the folder of an experiment that was never answered with OK",
               {{"uid", uid}});
  }
  std::erase_if(*without_row, [this](const std::string& uid) {
    std::error_code error;
    return !std::filesystem::exists(ExperimentFolder(uid), error);
  });
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
