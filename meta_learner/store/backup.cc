#include "meta_learner/store/backup.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/bundle.h"
#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/sealed.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/bundle_shelf.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

using sql::Database;

constexpr std::string_view kBackupFormat = "mentor-backup 2\n";
// Its manifest has no first line that proves the others.
constexpr std::string_view kUnsealedFormat = "mentor-backup 1\n";
constexpr char kDatabaseFile[] = "mentor.db";
constexpr uint64_t kBackupManifestBytesMax = uint64_t{1} << 30;

// Copies all rows. Must run within transactions of both databases.
absl::Status CopyAllRows(Database* from, Database* to) {
  MENTOR_RETURN_IF_ERROR(to->Execute("DELETE FROM meta"));
  for (const sql::Table& table : sql::Tables())
    MENTOR_RETURN_IF_ERROR(sql::CopyRows(table, "", "", from, to));
  return absl::OkStatus();
}

absl::Status RequireEmpty(const std::filesystem::path& folder, std::string_view what) {
  std::error_code error;
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_empty(folder, error)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is not empty: choose a new folder for the %s", folder.string(), what));
  }
  return MakeFolders(folder);
}

// Copies a file and returns its SHA-256. Returns NOT_FOUND when the file has gone.
absl::StatusOr<std::string> CopyFile(const std::filesystem::path& from,
                                     const std::filesystem::path& to, BackupSummary* summary) {
  // Checkpoints are some megabytes; the largest one fitted into memory when it was written.
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(from, UINT64_MAX / 2));
  MENTOR_RETURN_IF_ERROR(MakeFolders(to.parent_path()));
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(to, bytes));
  ++summary->files;
  summary->bytes += bytes.size();
  return Sha256Hex(bytes);
}

// Returns the files of one experiment except its checkpoints.
std::vector<std::filesystem::path> OtherFiles(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  auto entry = std::filesystem::recursive_directory_iterator(folder, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    if (entry->path() == folder / "checkpoints") {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file(error) && !entry->is_symlink(error) &&
               !IsTemporaryName(entry->path().filename().string())) {
      files.push_back(entry->path().lexically_relative(folder));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string PrefixOf(const std::string& uid) {
  return "experiments/" + uid + "/";
}
// The checkpoint's name in the manifest.
std::string CheckpointName(const std::string& uid, int64_t step) {
  return PrefixOf(uid) + "checkpoints/" + CheckpointFileName(static_cast<uint32_t>(step));
}

// Copies the folder of one experiment and adds its files to the manifest. Must copy the newest
// checkpoint.
absl::Status CopyExperiment(const std::filesystem::path& from, const std::filesystem::path& to,
                            const std::string& prefix, Manifest* manifest, BackupSummary* summary) {
  for (const std::filesystem::path& file : OtherFiles(from)) {
    const auto hash = CopyFile(from / file, to / file, summary);
    if (absl::IsNotFound(hash.status())) continue;  // The file was rotated or removed meanwhile.
    MENTOR_RETURN_IF_ERROR(hash.status());
    (*manifest)[prefix + file.string()] = *hash;
  }
  // During the copy, retention may remove old checkpoints and new ones may appear. A second pass
  // copies the new ones, so that the newest checkpoint is always included.
  std::set<uint32_t> done;
  std::error_code error;
  for (int look = 0; look < 2; ++look) {
    const auto steps = ListCheckpoints(from / "checkpoints");
    if (absl::IsNotFound(steps.status())) return absl::OkStatus();
    MENTOR_RETURN_IF_ERROR(steps.status());
    for (auto step = steps->rbegin(); step != steps->rend(); ++step) {
      if (!done.insert(*step).second) continue;
      const std::filesystem::path name =
          std::filesystem::path("checkpoints") / CheckpointFileName(*step);
      if (std::filesystem::is_directory(from / name, error)) continue;
      const auto hash = CopyFile(from / name, to / name, summary);
      if (absl::IsNotFound(hash.status())) continue;
      MENTOR_RETURN_IF_ERROR(hash.status());
      if (const absl::Status whole = ReadCheckpointOf(to / name, {}).status(); !whole.ok()) {
        return WithSuffix(whole, absl::StrFormat("; it is a copy of %s: move that out of the state "
                                                 "if no run wrote it there, else restore a backup",
                                                 (from / name).string()));
      }
      (*manifest)[prefix + name.string()] = *hash;
    }
  }
  return absl::OkStatus();
}

absl::Status CopyBundle(const std::filesystem::path& from, const std::filesystem::path& to,
                        const std::string& digest, Manifest* manifest, BackupSummary* summary) {
  const std::string about = digest + ".txtpb", prefix = std::string(kBundlesFolder) + "/";
  MENTOR_ASSIGN_OR_RETURN((*manifest)[prefix + about], CopyFile(from / about, to / about, summary));
  MENTOR_ASSIGN_OR_RETURN(const BundleManifest bundle, VerifyBundle(from / digest, digest));
  for (const BundleFile& file : bundle.files) {
    const std::string name = digest + "/" + file.path;
    MENTOR_ASSIGN_OR_RETURN(const std::string hash, CopyFile(from / name, to / name, summary));
    if (hash != file.sha256) return absl::DataLossError(name + " changed while it was copied");
    (*manifest)[prefix + name] = hash;
  }
  return absl::OkStatus();
}

// Copies the whole bundles. The lists of files are copied first. A bundle that is removed meanwhile
// is left out: no experiment can name it when it is removed.
absl::Status CopyBundles(const StoreOptions& source, const std::filesystem::path& folder,
                         Manifest* manifest, BackupSummary* summary) {
  const std::filesystem::path from = source.folder / kBundlesFolder, to = folder / kBundlesFolder;
  const auto names = NamesIn(from);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(names.status());
  std::error_code error;
  for (const std::filesystem::path name : *names) {
    const std::string digest = name.stem();
    if (name.extension() != ".txtpb" || !IsBundleDigest(digest)) continue;
    BackupSummary size;
    Manifest copied;
    const absl::Status status = CopyBundle(from, to, digest, &copied, &size);
    if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
      std::filesystem::remove_all(to / digest, error);
      std::filesystem::remove(to / (digest + ".txtpb"), error);
      // The bucket has the files.
      if (source.objects != nullptr || !std::filesystem::exists(from / (digest + ".txtpb"), error))
        continue;
      if (absl::IsDataLoss(status)) return status;
      return MakeError(Reason::kDataLoss,
                       absl::StrFormat("the files of %s are missing, so the backup would not be "
                                       "whole: push the bundle again, or delete it",
                                       BundleName(digest)));
    }
    MENTOR_RETURN_IF_ERROR(status);
    manifest->merge(copied);
    summary->files += size.files;
    summary->bytes += size.bytes;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Uids(Database* database) {
  return sql::FirstColumn(database, "SELECT uid FROM experiments ORDER BY number");
}

// Removes from the copied database what the service removed while files were copied, so that the
// copy names only existing files. Returns false when the whole experiment has gone. Returns
// DATA_LOSS if the service still names a checkpoint whose file is missing, unless a bucket has it.
absl::StatusOr<bool> FollowRemovals(const std::string& uid, const StoreOptions& source,
                                    const Manifest& copied, Database* from, Database* to) {
  MENTOR_ASSIGN_OR_RETURN(const bool there,
                          from->Query("SELECT uid FROM experiments WHERE uid = ?", uid).Step());
  if (!there) {
    MENTOR_RETURN_IF_ERROR(to->Run("DELETE FROM experiments WHERE uid = ?", uid));
    return false;
  }
  std::vector<int64_t> missing;
  auto steps =
      to->Query("SELECT outer_step FROM checkpoints WHERE uid = ? ORDER BY outer_step", uid);
  MENTOR_RETURN_IF_ERROR(steps.ForEach([&](const sql::Query& row) {
    if (!copied.contains(CheckpointName(uid, row.Integer(0)))) missing.push_back(row.Integer(0));
  }));
  for (const int64_t step : missing) {
    MENTOR_ASSIGN_OR_RETURN(
        const bool named,
        from->Query("SELECT uid FROM checkpoints WHERE uid = ? AND outer_step = ?", uid, step)
            .Step());
    if (!named) {
      MENTOR_RETURN_IF_ERROR(
          to->Run("DELETE FROM checkpoints WHERE uid = ? AND outer_step = ?", uid, step));
    } else if (source.objects == nullptr) {
      return MakeError(
          Reason::kDataLoss,
          absl::StrFormat("%s is missing, so the backup would not be whole: put it back, delete "
                          "its experiment, or name the bucket that has it with --objects",
                          (source.folder / CheckpointName(uid, step)).string()));
    }
  }
  return true;
}

absl::Status NotWhole(const std::string& what) {
  return MakeError(Reason::kDataLoss, what + "; use another backup");
}

absl::StatusOr<Manifest> ReadManifest(const std::filesystem::path& folder, bool* is_sealed) {
  const std::string format = ReadFile(folder / "FORMAT", 1000).value_or("");
  *is_sealed = format == kBackupFormat;
  if (!*is_sealed && format != kUnsealedFormat) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s holds no whole backup: it has no FORMAT that says 'mentor-backup 1' or "
                        "'mentor-backup 2'",
                        folder.string()));
  }
  const std::filesystem::path file = folder / "MANIFEST";
  MENTOR_ASSIGN_OR_RETURN(std::string text, ReadFile(file, kBackupManifestBytesMax));
  if (*is_sealed) {
    auto lines = Unsealed(text, file);
    if (!lines.ok() || !IsSealed(text)) {
      return NotWhole(file.string() +
                      " is cut or changed: its first line is not the SHA-256 of the others");
    }
    text = *std::move(lines);
  }
  MENTOR_ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(text));
  if (!manifest.contains(kDatabaseFile))
    return NotWhole(absl::StrCat(file.string(), " does not name ", kDatabaseFile));
  for (const auto& [name, expected] : manifest) {
    MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(folder / name, UINT64_MAX / 2));
    if (Sha256Hex(bytes) != expected) {
      return NotWhole((folder / name).string() +
                      " is not what was written: its SHA-256 differs from the manifest");
    }
  }
  return manifest;
}

// Returns DATA_LOSS unless the manifest names the file of every checkpoint in the database.
absl::Status CheckCheckpoints(const Manifest& manifest, const std::filesystem::path& folder,
                              Database* database) {
  auto rows = database->Query(sql::Select("checkpoints", "ORDER BY uid, outer_step"));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return absl::OkStatus();
    const std::string name = CheckpointName(rows.Text(0), rows.Integer(1)), hash = rows.Text(3);
    // The store leaves out rows without proof, too.
    if (!sql::IsProved(sql::TableOf("checkpoints"), rows)) continue;
    if (!manifest.contains(name) || !ReadCheckpointOf(folder / name, {.sha256 = hash}).ok()) {
      return NotWhole(absl::StrFormat("%s names no %s with the SHA-256 %s, as the database does",
                                      (folder / "MANIFEST").string(), name, hash));
    }
  }
}

}  // namespace

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  Manifest manifest;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    // The format of sha256sum.
    if (line.size() < 67 || line.substr(64, 2) != "  ")
      return absl::DataLossError("MANIFEST has a line that is damaged");
    const std::filesystem::path name = line.substr(66);
    if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end())
      return absl::DataLossError("MANIFEST names a file outside of the backup: " + name.string());
    if (!manifest.emplace(name.string(), line.substr(0, 64)).second)
      return absl::DataLossError("MANIFEST names a file twice: " + name.string());
  }
  return manifest;
}

absl::StatusOr<BackupSummary> BackUp(const StoreOptions& source,
                                     const std::filesystem::path& folder) {
  BackupSummary summary;
  const auto format = ReadFile(source.folder / "FORMAT", 1000);
  if (!format.ok()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is not a state folder of a meta-learner: it has no FORMAT", source.folder.string()));
  }
  MENTOR_RETURN_IF_ERROR(RequireEmpty(folder, "backup"));
  MENTOR_ASSIGN_OR_RETURN(const auto from, OpenStateDatabase(source, /*read_only=*/true));
  MENTOR_ASSIGN_OR_RETURN(const int version, from->SchemaVersion());
  if (version != sql::SchemaVersionKnown()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is of schema version %d, this program knows %d: start its meta-learner once with this "
        "program, or use the program that wrote it",
        from->name(), version, sql::SchemaVersionKnown()));
  }
  Manifest manifest;
  {
    MENTOR_ASSIGN_OR_RETURN(const auto to,
                            sql::OpenSqlite(folder / kDatabaseFile, /*read_only=*/false));
    MENTOR_RETURN_IF_ERROR(sql::Migrate(to.get(), folder));
    {
      MENTOR_ASSIGN_OR_RETURN(const auto reading, sql::Transaction::BeginRead(from.get()));
      MENTOR_ASSIGN_OR_RETURN(const auto writing, sql::Transaction::Begin(to.get()));
      MENTOR_RETURN_IF_ERROR(CopyAllRows(from.get(), to.get()));
      MENTOR_RETURN_IF_ERROR(writing->Commit());
    }
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.backup.before_files")));
    // Before the experiments that name the bundles: FollowRemovals handles experiments that are
    // deleted meanwhile.
    MENTOR_RETURN_IF_ERROR(CopyBundles(source, folder, &manifest, &summary));
    MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> uids, Uids(to.get()));
    for (const std::string& uid : uids) {
      const std::string prefix = PrefixOf(uid);
      Manifest copied;
      BackupSummary size;
      MENTOR_RETURN_IF_ERROR(
          CopyExperiment(source.folder / prefix, folder / prefix, prefix, &copied, &size));
      MENTOR_ASSIGN_OR_RETURN(const bool there,
                              FollowRemovals(uid, source, copied, from.get(), to.get()));
      if (!there) {
        MENTOR_RETURN_IF_ERROR(RemoveAll(folder / prefix));
        continue;
      }
      manifest.merge(copied);
      summary.files += size.files;
      summary.bytes += size.bytes;
      ++summary.experiments;
    }
    // Makes the database one file without a log beside it.
    MENTOR_RETURN_IF_ERROR(to->Query("PRAGMA journal_mode=DELETE").Step().status());
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string database,
                          ReadFile(folder / kDatabaseFile, UINT64_MAX / 2));
  manifest[kDatabaseFile] = Sha256Hex(database);
  ++summary.files;
  summary.bytes += database.size();
  std::string text;
  for (const auto& [name, hash] : manifest) absl::StrAppend(&text, hash, "  ", name, "\n");
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / "MANIFEST", Sealed(text)));
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / "FORMAT", kBackupFormat));
  return summary;
}

absl::StatusOr<BackupSummary> Restore(const std::filesystem::path& folder,
                                      const StoreOptions& target) {
  bool is_sealed = false;
  MENTOR_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(folder, &is_sealed));
  MENTOR_RETURN_IF_ERROR(RequireEmpty(target.folder, "state"));
  BackupSummary summary;
  // Work on a copy, since opening a database writes files beside it.
  const std::filesystem::path copy = target.folder / "backup.db";
  std::error_code error;
  absl::Cleanup remove_copy = [&] {
    for (const char* name : {"backup.db", "backup.db-wal", "backup.db-shm"})
      std::filesystem::remove(target.folder / name, error);
  };
  std::filesystem::copy_file(folder / kDatabaseFile, copy, error);
  if (error) return FileError("cannot copy", folder / kDatabaseFile, error.value());
  summary.files = 1;
  summary.bytes = std::filesystem::file_size(copy, error);
  if (error) return FileError("cannot look at", copy, error.value());
  {
    MENTOR_ASSIGN_OR_RETURN(const auto from, sql::OpenSqlite(copy, /*read_only=*/false));
    MENTOR_RETURN_IF_ERROR(sql::Migrate(from.get(), target.folder));
    // A bucket may have what an earlier version's manifest does not name.
    if (!is_sealed && target.objects == nullptr)
      MENTOR_RETURN_IF_ERROR(CheckCheckpoints(manifest, folder, from.get()));
    MENTOR_ASSIGN_OR_RETURN(const auto to, OpenStateDatabase(target, /*read_only=*/false));
    MENTOR_RETURN_IF_ERROR(sql::Migrate(to.get(), target.folder));
    MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> there, Uids(to.get()));
    if (!there.empty()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s has %d experiments already: restore into an empty database",
                          to->name(), there.size()));
    }
    MENTOR_ASSIGN_OR_RETURN(const auto reading, sql::Transaction::BeginRead(from.get()));
    MENTOR_ASSIGN_OR_RETURN(const auto writing, sql::Transaction::Begin(to.get()));
    MENTOR_RETURN_IF_ERROR(CopyAllRows(from.get(), to.get()));
    // The restored state is a new store: tokens of the old store must not resume watches here.
    MENTOR_RETURN_IF_ERROR(to->Run("UPDATE meta SET value = ? WHERE key = 'store_uid'", NewUuid()));
    if (!target.database.empty()) {
      // The rows brought their numbers, so set the sequence behind them.
      auto next = to->Query(
          "SELECT setval(pg_get_serial_sequence('experiments', 'number'), "
          "(SELECT COALESCE(MAX(number), 0) + 1 FROM experiments), false)");
      MENTOR_RETURN_IF_ERROR(next.Step().status());
    }
    MENTOR_RETURN_IF_ERROR(writing->Commit());
    MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> uids, Uids(to.get()));
    summary.experiments = static_cast<int64_t>(uids.size());
  }
  std::move(remove_copy).Invoke();
  for (const auto& [name, hash] : manifest) {
    if (name == kDatabaseFile) continue;
    MENTOR_ASSIGN_OR_RETURN(const std::string copied,
                            CopyFile(folder / name, target.folder / name, &summary));
    if (copied != hash) return absl::DataLossError(name + " changed while it was restored");
  }
  MENTOR_RETURN_IF_ERROR(MakeFolders(target.folder / "experiments"));
  // Last, since only this file makes it a state folder.
  MENTOR_RETURN_IF_ERROR(WriteStateFormat(target.folder));
  return summary;
}

}  // namespace mentor::meta_learner
