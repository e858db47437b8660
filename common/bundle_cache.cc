#include "common/bundle_cache.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace mentor {
namespace {

namespace fs = std::filesystem;

// Delay after which a bundle may be out of use.
constexpr std::chrono::seconds kUseEnds{1};

class LockedFolder {
 public:
  // `how`: flags of flock(2). UNAVAILABLE if LOCK_NB is set and another process holds the lock.
  // NOT_FOUND if the folder does not exist, or not any more.
  static absl::StatusOr<LockedFolder> Lock(const fs::path& path, int how) {
    while (true) {
      LockedFolder folder;
      folder.open_ = OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (folder.open_.get() < 0) return FileError("cannot open", path, errno);
      if (TEMP_FAILURE_RETRY(flock(folder.open_.get(), how)) != 0)
        return FileError("cannot lock", path, errno);
      // The folder may have been renamed and created again while this thread waited.
      if (folder.IsAt(path)) return folder;
    }
  }
  // True if the folder is (still) at `path`.
  bool IsAt(const fs::path& path) const {
    struct stat locked {};
    struct stat there {};
    return fstat(open_.get(), &locked) == 0 && lstat(path.c_str(), &there) == 0 &&
           locked.st_ino == there.st_ino && locked.st_dev == there.st_dev;
  }
  // Records the use, for the order of removal.
  void Touch() const { futimens(open_.get(), nullptr); }

 private:
  OpenedFile open_;
};

// A folder with a unique name, removed with its contents in the destructor.
class TemporaryPlace {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryPlace>> Make(const fs::path& cache,
                                                              const std::string& digest) {
    while (true) {
      std::string name = cache / ("." + digest + "-XXXXXX");
      if (mkdtemp(name.data()) == nullptr) return FileError("cannot make", name, errno);
      auto lock = LockedFolder::Lock(name, LOCK_EX);
      // A cleanup may have removed the folder before it was locked.
      if (absl::IsNotFound(lock.status())) continue;
      MENTOR_RETURN_IF_ERROR(lock.status());
      return std::unique_ptr<TemporaryPlace>(new TemporaryPlace(name, *std::move(lock)));
    }
  }
  ~TemporaryPlace() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path bundle() const { return path_ / "bundle"; }

 private:
  TemporaryPlace(fs::path path, LockedFolder lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  const fs::path path_;
  const LockedFolder lock_;
};

absl::Status RenameFolder(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return FileError("cannot rename to", to, errno);
  return absl::OkStatus();
}

// Removes a bundle unless it is in use; returns false if it is in use.
absl::StatusOr<bool> RemoveUnused(const fs::path& cache, const std::string& digest) {
  // Created first, so that no lock is held for longer than a rename.
  MENTOR_ASSIGN_OR_RETURN(const auto place, TemporaryPlace::Make(cache, digest));
  const auto lock = LockedFolder::Lock(cache / digest, LOCK_EX | LOCK_NB);
  if (absl::IsNotFound(lock.status())) return true;
  if (!lock.ok()) return false;
  MENTOR_RETURN_IF_ERROR(RenameFolder(cache / digest, place->bundle()));
  return true;
}

uint64_t BytesIn(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  auto entry = fs::recursive_directory_iterator(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    if (entry->is_regular_file(gone)) bytes += entry->file_size(gone);
  }
  return bytes;
}

// Removes the remains of writers that were killed.
absl::Status RemoveRests(const fs::path& cache) {
  MENTOR_ASSIGN_OR_RETURN(const auto names, NamesIn(cache));
  for (const std::string& name : names) {
    if (!name.starts_with('.')) continue;
    const auto lock = LockedFolder::Lock(cache / name, LOCK_EX | LOCK_NB);
    std::error_code ignored;
    if (lock.ok()) fs::remove_all(cache / name, ignored);
  }
  return absl::OkStatus();
}

class CachedBundle final : public HeldBundle {
 public:
  CachedBundle(fs::path folder, BundleManifest manifest, LockedFolder lock)
      : HeldBundle(std::move(folder), std::move(manifest)), lock_(std::move(lock)) {}

  // False once the cache has been emptied.
  bool IsThere() const { return lock_.IsAt(folder()); }

 private:
  const LockedFolder lock_;
};

absl::Status NotCached(const std::string& digest) {
  return absl::NotFoundError(absl::StrFormat(
      "bundle %s is not in the cache; push it with `mentorctl bundles push`", BundleName(digest)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BundleCache>> BundleCache::Open(Options options) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(options.folder));
  // The folder may be a link.
  std::error_code error;
  options.folder = fs::canonical(options.folder, error);
  if (error) return FileError("cannot look at", options.folder, error.value());
  struct stat facts {};
  if (stat(options.folder.c_str(), &facts) != 0)
    return FileError("cannot look at", options.folder, errno);
  if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the cache of bundles %s belongs to user %d, who could change what is simulated; name a "
        "folder of your own with --bundle_cache, or set HOME",
        options.folder.string(), facts.st_uid));
  }
  MENTOR_RETURN_IF_ERROR(RemoveRests(options.folder));
  return std::unique_ptr<BundleCache>(new BundleCache(std::move(options)));
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleCache::Find(const std::string& digest) {
  return FindOrFetch(digest, nullptr);
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleCache::FindOrFetch(
    const std::string& digest, const Fetch& fetch) {
  if (!IsBundleDigest(digest)) return ParseBundleName(BundleName(digest)).status();
  std::shared_ptr<Search> search;
  {
    MutexLock lock(mutex_);
    if (const auto known = open_.find(digest); known != open_.end()) {
      auto held = known->second.lock();
      if (held != nullptr && static_cast<const CachedBundle&>(*held).IsThere()) return held;
    }
    std::shared_ptr<Search>& running = searches_[digest];
    if (running != nullptr) {
      search = running;
      while (!search->done) changed_.Wait(lock);
      return search->found;
    }
    search = running = std::make_shared<Search>();
  }
  auto found = Look(digest, fetch);
  const MutexLock lock(mutex_);
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  if (found.ok()) open_[digest] = *found;
  search->found = found;
  search->done = true;
  searches_.erase(digest);
  changed_.NotifyAll();
  return found;
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleCache::Look(const std::string& digest,
                                                                    const Fetch& fetch) const {
  auto found = OpenFolder(digest);
  if (!absl::IsNotFound(found.status()) || !fetch) return found;
  MENTOR_ASSIGN_OR_RETURN(const Fetched fetched, fetch(digest));
  MENTOR_RETURN_IF_ERROR(Write(digest, fetched));
  return OpenFolder(digest);
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleCache::OpenFolder(
    const std::string& digest) const {
  const fs::path folder = options_.folder / digest;
  absl::Status damage;
  {
    auto lock = LockedFolder::Lock(folder, LOCK_SH);
    if (absl::IsNotFound(lock.status())) return NotCached(digest);
    MENTOR_RETURN_IF_ERROR(lock.status());
    auto manifest = VerifyBundle(folder, digest);
    if (manifest.ok()) {
      lock->Touch();
      return std::make_shared<const CachedBundle>(folder, *std::move(manifest), *std::move(lock));
    }
    damage = manifest.status();
  }
  // Errors of the disk may be temporary, so the bundle stays.
  if (!absl::IsDataLoss(damage)) return damage;
  MENTOR_LOG(kWarning, "a bundle in the cache is damaged; removing it",
             {{"bundle", BundleName(digest)}, {"why", damage}});
  MENTOR_ASSIGN_OR_RETURN(const bool removed, RemoveUnused(options_.folder, digest));
  return removed ? NotCached(digest) : damage;
}

absl::Status BundleCache::Write(const std::string& digest, const Fetched& fetched) const {
  if (fetched.manifest.digest != digest) {
    return absl::DataLossError(
        absl::StrFormat("requested %s, received %s; run one build everywhere", BundleName(digest),
                        BundleName(fetched.manifest.digest)));
  }
  MENTOR_RETURN_IF_ERROR(MakeFolders(options_.folder));
  MENTOR_RETURN_IF_ERROR(RemoveRests(options_.folder));
  {
    // Checked already here, before all its bytes are fetched.
    MENTOR_ASSIGN_OR_RETURN(const LockedFolder lock, LockedFolder::Lock(options_.folder, LOCK_EX));
    MENTOR_RETURN_IF_ERROR(MakeRoom(fetched.manifest.bytes()));
  }
  MENTOR_ASSIGN_OR_RETURN(const auto place, TemporaryPlace::Make(options_.folder, digest));
  MENTOR_RETURN_IF_ERROR(WriteBundle(fetched.manifest, fetched.source, place->bundle()));
  if (const auto error = MENTOR_FAILPOINT("bundle_cache.before_rename"))
    return absl::UnavailableError(*error);
  // One process at a time, so that two do not use the same space.
  MENTOR_ASSIGN_OR_RETURN(const LockedFolder lock, LockedFolder::Lock(options_.folder, LOCK_EX));
  const fs::path folder = options_.folder / digest;
  std::error_code error;
  // Another process was faster; its bundle is equivalent and is verified on opening.
  if (fs::exists(folder, error)) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(MakeRoom(fetched.manifest.bytes()));
  MENTOR_RETURN_IF_ERROR(RenameFolder(place->bundle(), folder));
  return SyncFolder(options_.folder);
}

absl::Status BundleCache::MakeRoom(uint64_t bytes) const {
  if (bytes > options_.bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("a bundle of %d bytes does not fit into %s, where %d are allowed; raise "
                        "--bundle_cache_mb",
                        bytes, options_.folder.string(), options_.bytes_max));
  }
  struct Entry {
    fs::file_time_type used;
    std::string digest;
    uint64_t bytes = 0;
  };
  std::vector<Entry> entries;
  uint64_t total = bytes;
  MENTOR_ASSIGN_OR_RETURN(const auto names, NamesIn(options_.folder));
  for (const std::string& name : names) {
    if (!IsBundleDigest(name)) continue;
    std::error_code error;
    entries.push_back({.used = fs::last_write_time(options_.folder / name, error),
                       .digest = name,
                       .bytes = BytesIn(options_.folder / name)});
    total += entries.back().bytes;
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.used, a.digest) < std::tie(b.used, b.digest);
  });
  for (const Entry& entry : entries) {
    if (total <= options_.bytes_max) break;
    MENTOR_ASSIGN_OR_RETURN(const bool removed, RemoveUnused(options_.folder, entry.digest));
    if (removed) total -= entry.bytes;
  }
  if (total <= options_.bytes_max) return absl::OkStatus();
  return WithRetryDelay(
      absl::ResourceExhaustedError(absl::StrFormat(
          "a bundle of %d bytes does not fit into %s: %d bytes are in use, %d are allowed; raise "
          "--bundle_cache_mb, or run fewer different tasks at once",
          bytes, options_.folder.string(), total - bytes, options_.bytes_max)),
      kUseEnds);
}

}  // namespace mentor
