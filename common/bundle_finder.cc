#include "common/bundle_finder.h"

#include <map>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/mutex.h"

namespace mentor {
namespace {

struct ProcessFinder {
  Mutex mutex;
  BundleFinder finder ABSL_GUARDED_BY(mutex);
};

ProcessFinder& OfProcess() {
  static auto* const finder = new ProcessFinder;  // Threads may search while the process exits.
  return *finder;
}

BundleFinder CurrentFinder() {
  ProcessFinder& process = OfProcess();
  const MutexLock lock(process.mutex);
  return process.finder;
}

}  // namespace

void SetBundleFinder(BundleFinder finder) {
  ProcessFinder& process = OfProcess();
  const MutexLock lock(process.mutex);
  process.finder = std::move(finder);
}

void AddBundleFinder(BundleFinder finder) {
  SetBundleFinder([finder = std::move(finder), before = CurrentFinder()](const std::string& digest)
                      -> absl::StatusOr<std::shared_ptr<const HeldBundle>> {
    auto found = finder(digest);
    return absl::IsNotFound(found.status()) && before ? before(digest) : found;
  });
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> FindBundle(std::string_view name) {
  MENTOR_ASSIGN_OR_RETURN(const std::string digest, ParseBundleName(name));
  const BundleFinder finder = CurrentFinder();
  if (finder) return finder(digest);
  return absl::FailedPreconditionError(absl::StrFormat(
      "there is no bundle %s here; give its folder with --bundle", BundleName(digest)));
}

absl::StatusOr<BundleManifest> OfferFolder(const std::filesystem::path& folder,
                                           std::vector<std::string>* left_out) {
  MENTOR_ASSIGN_OR_RETURN(BundleManifest manifest, ReadBundle(folder, left_out));
  const auto held = std::make_shared<const HeldBundle>(folder, manifest);
  SetBundleFinder([held, before = CurrentFinder()](const std::string& digest)
                      -> absl::StatusOr<std::shared_ptr<const HeldBundle>> {
    if (digest == held->manifest().digest) return held;
    if (before) return before(digest);
    return absl::NotFoundError(absl::StrFormat(
        "there is no bundle %s here, only %s (%s); give the right folder with --bundle",
        BundleName(digest), BundleName(held->manifest().digest), held->folder().string()));
  });
  return manifest;
}

void OfferBundlesIn(const std::filesystem::path& folder) {
  struct Known {
    Mutex mutex;
    std::map<std::string, std::weak_ptr<const HeldBundle>> held ABSL_GUARDED_BY(mutex);
  };
  SetBundleFinder(
      [folder, known = std::make_shared<Known>(), before = CurrentFinder()](
          const std::string& digest) -> absl::StatusOr<std::shared_ptr<const HeldBundle>> {
        const MutexLock lock(known->mutex);
        if (auto held = known->held[digest].lock()) return held;
        auto manifest = VerifyBundle(folder / digest, digest);
        if ((absl::IsNotFound(manifest.status()) || absl::IsDataLoss(manifest.status())) &&
            before) {
          // A damaged bundle is replaced by one that the user gives explicitly.
          auto other = before(digest);
          if (other.ok() || absl::IsNotFound(manifest.status())) return other;
        }
        MENTOR_RETURN_IF_ERROR(manifest.status());
        auto held = std::make_shared<const HeldBundle>(folder / digest, *std::move(manifest));
        known->held[digest] = held;
        return held;
      });
}

}  // namespace mentor
