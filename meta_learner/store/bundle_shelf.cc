#include "meta_learner/store/bundle_shelf.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/resources/names.h"
#include "common/sealed.h"
#include "common/status.h"
#include "meta_learner/store/experiment_objects.h"

namespace mentor::meta_learner {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBundleAboutBytesMax = 4 << 20;
constexpr size_t kBundlePartBytes = 64 << 20;
constexpr size_t kUnfinishedShown = 3;
// Unfinished pushes of one owner. The list of each is read when a new push begins.
constexpr size_t kUnfinishedMax = 1000;
constexpr size_t kDigestSize = 64, kOwnerHashSize = 16;
constexpr auto kUploadKept = std::chrono::hours(24);
// How long a bucket that did not answer is not asked again, if local files suffice.
constexpr auto kBucketAwayFor = std::chrono::minutes(1);
constexpr char kUploads[] = "uploads";
constexpr std::string_view kAbout = ".txtpb";
constexpr std::string_view kPart = ".part";
constexpr char kBundleObjects[] = "bundles/";

std::string PartKey(const std::string& digest, size_t part) {
  return absl::StrFormat("%s%s/%04d", kBundleObjects, digest, part);
}
std::string AboutKey(const std::string& digest) {
  return kBundleObjects + digest + "/about";
}

absl::Status NoBundle(const std::string& digest) {
  return MakeError(Reason::kNotFound,
                   absl::StrFormat("there is no bundle %s; push it with `mentorctl bundles push`",
                                   BundleName(digest)),
                   {{"name", BundleResource(digest)}});
}

v1::PushBundleResponse Pushed(uint64_t next, uint64_t size, bool complete = false) {
  v1::PushBundleResponse response;
  response.set_next_offset(next);
  response.set_size_bytes(size);
  response.set_complete(complete);
  return response;
}

BundleManifest ManifestOf(const v1::Bundle& bundle, const std::string& digest) {
  return ManifestFromProto(digest, bundle.files());
}

v1::Bundle AboutBundle(const BundleManifest& manifest, const std::string& owner) {
  v1::Bundle bundle;
  bundle.set_name(BundleResource(manifest.digest));
  FilesToProto(manifest, bundle.mutable_files());
  bundle.set_size_bytes(manifest.bytes());
  bundle.set_file_count(static_cast<uint32_t>(manifest.files.size()));
  bundle.set_owner(owner);
  return bundle;
}

absl::StatusOr<v1::Bundle> ParseAbout(const std::string& text, const std::string& digest,
                                      const std::string& where) {
  v1::Bundle bundle;
  const auto whole = Unsealed(text, where);
  if (whole.ok() && google::protobuf::TextFormat::ParseFromString(*whole, &bundle) &&
      CheckManifest(ManifestOf(bundle, digest)).empty()) {
    return bundle;
  }
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s cannot be read; push %s again", where, BundleName(digest)));
}

absl::StatusOr<v1::Bundle> ReadAboutFile(const fs::path& path, const std::string& digest) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kBundleAboutBytesMax));
  return ParseAbout(text, digest, path.string());
}

uint64_t SizeOrZero(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

// Returns the digests of the files HEX.txtpb in a folder.
absl::StatusOr<std::vector<std::string>> AboutsIn(const fs::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  std::vector<std::string> digests;
  for (const fs::path entry : names) {
    if (entry.extension() == kAbout && IsBundleDigest(entry.stem().string()))
      digests.push_back(entry.stem());
  }
  return digests;
}

// Uploads are named HEX.OWNER.
std::string OwnerSuffix(const std::string& owner) {
  return "." + Sha256Hex(owner).substr(0, kOwnerHashSize);
}
std::string DigestOfUpload(const std::string& upload) {
  return upload.substr(0, kDigestSize);
}
absl::StatusOr<std::vector<std::string>> UploadsIn(const fs::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  std::vector<std::string> uploads;
  for (const fs::path entry : names) {
    const std::string name = entry.stem();
    if (entry.extension() == kAbout && name.size() == kDigestSize + 1 + kOwnerHashSize &&
        IsBundleDigest(DigestOfUpload(name)))
      uploads.push_back(name);
  }
  return uploads;
}

// The turn for an owner's quota; never equal to a digest.
std::string OwnerTurn(const std::string& owner) {
  return "owner " + owner;
}

// A source that reads a whole file.
BundleSource PartSource(fs::path path) {
  return [path = std::move(path)](uint64_t offset) -> absl::StatusOr<std::string> {
    const OpenedFile file = OpenFile(path, O_RDONLY);
    if (file.get() < 0) return FileError("cannot open", path, errno);
    return ReadAt(file, offset, 1 << 20, path);
  };
}

absl::Status WritePart(const fs::path& path, uint64_t offset, std::string_view data) {
  const OpenedFile file = OpenFile(path, O_WRONLY | O_CREAT | O_NOFOLLOW);
  if (file.get() < 0) return FileError("cannot open", path, errno);
  return WriteAt(file, offset, data, path);
}

}  // namespace

BundleShelf::Turn::Turn(BundleShelf* shelf, std::set<std::string> digests)
    : shelf_(shelf), digests_(std::move(digests)) {
  MutexLock lock(shelf_->mutex_);
  const auto is_busy = [this](const std::string& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                           shelf_->mutex_) { return shelf_->busy_.contains(digest); };
  while (std::any_of(digests_.begin(), digests_.end(), is_busy)) shelf_->turn_ends_.Wait(lock);
  shelf_->busy_.insert(digests_.begin(), digests_.end());
}

BundleShelf::Turn::Turn(BundleShelf* shelf, const std::string& digest, IfFree) : shelf_(shelf) {
  const MutexLock lock(shelf_->mutex_);
  if (shelf_->busy_.insert(digest).second) digests_.insert(digest);
}

BundleShelf::Turn::~Turn() {
  const MutexLock lock(shelf_->mutex_);
  for (const std::string& digest : digests_) shelf_->busy_.erase(digest);
  shelf_->turn_ends_.NotifyAll();
}

void BundleShelf::Stop() {
  stopping_ = true;
}

absl::Status BundleShelf::OfBucket(const absl::Status& status) const {
  if (absl::IsCancelled(status)) return absl::UnavailableError("this process is stopping");
  return AsStorage(status);
}

bool BundleShelf::IsDurable(const std::string& digest) {
  const MutexLock lock(mutex_);
  return durable_.contains(digest);
}
bool BundleShelf::IsBucketAway() {
  const MutexLock lock(mutex_);
  return std::chrono::steady_clock::now() < bucket_away_until_;
}
void BundleShelf::SetBucketAway() {
  const MutexLock lock(mutex_);
  bucket_away_until_ = std::chrono::steady_clock::now() + kBucketAwayFor;
}
void BundleShelf::SetDurable(const std::string& digest) {
  const MutexLock lock(mutex_);
  durable_.insert(digest);
}
void BundleShelf::Forget(const std::string& digest) {
  const MutexLock lock(mutex_);
  held_.erase(digest);
  known_.erase(digest);
}

absl::Status BundleShelf::GoesOn(const Cancel* cancel) const {
  if (stopping_) return absl::UnavailableError("this process is stopping");
  if (cancel != nullptr && *cancel) return absl::CancelledError("no caller waits for it any more");
  return absl::OkStatus();
}

fs::path BundleShelf::FolderOf(const std::string& digest) const {
  return options_.folder / digest;
}
fs::path BundleShelf::AboutOf(const std::string& digest) const {
  return options_.folder / (digest + std::string(kAbout));
}
fs::path BundleShelf::UploadOf(const std::string& upload, std::string_view kind) const {
  return options_.folder / kUploads / (upload + std::string(kind));
}

absl::StatusOr<std::vector<std::string>> BundleShelf::UploadsOf(const std::string& digest) const {
  MENTOR_ASSIGN_OR_RETURN(std::vector<std::string> uploads, UploadsIn(options_.folder / kUploads));
  std::erase_if(uploads, [&](const std::string& each) { return DigestOfUpload(each) != digest; });
  return uploads;
}

absl::StatusOr<std::unique_ptr<BundleShelf>> BundleShelf::Open(Options options) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(options.folder / kUploads));
  for (const fs::path& folder : {options.folder, options.folder / kUploads}) {
    MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
    std::error_code ignored;
    for (const std::string& name : names) {
      // An unfinished file or folder that a crash left.
      if (name.starts_with('.')) fs::remove_all(folder / name, ignored);
    }
  }
  std::unique_ptr<BundleShelf> shelf(new BundleShelf(std::move(options)));
  MENTOR_RETURN_IF_ERROR(shelf->RemoveOldUploads());
  return shelf;
}

absl::Status BundleShelf::RemoveOldUploads() {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          NamesIn(options_.folder / kUploads));
  for (const std::string& name : names) {
    const fs::path entry = options_.folder / kUploads / name;
    // Skip bundles with a turn: their push may be about to resume.
    const Turn turn(this, DigestOfUpload(entry.stem()), Turn::IfFree());
    std::error_code ignored;
    const auto age = fs::file_time_type::clock::now() - fs::last_write_time(entry, ignored);
    if (!turn.digests().empty() && age > kUploadKept) fs::remove(entry, ignored);
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Bundle> BundleShelf::ReadAbout(const std::string& digest) {
  auto about = ReadAboutFile(AboutOf(digest), digest);
  if (options_.objects == nullptr)
    return absl::IsNotFound(about.status()) ? NoBundle(digest) : std::move(about);
  if (about.ok() && (IsDurable(digest) || IsBucketAway())) return about;
  const auto text = options_.objects->Get(AboutKey(digest), kBundleAboutBytesMax, &stopping_);
  if (absl::IsNotFound(text.status())) {
    if (absl::IsNotFound(about.status())) return NoBundle(digest);
    MENTOR_RETURN_IF_ERROR(about.status());
    MENTOR_RETURN_IF_ERROR(MakeDurable(*about, digest));
    return about;
  }
  if (about.ok() && !text.ok()) {
    SetBucketAway();
    return about;
  }
  MENTOR_RETURN_IF_ERROR(OfBucket(text.status()));
  MENTOR_ASSIGN_OR_RETURN(v1::Bundle bundle, ParseAbout(*text, digest, AboutKey(digest)));
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(AboutOf(digest), *text));
  SetDurable(digest);
  return bundle;
}

// The bundle was pushed here before there was a bucket, or was deleted by another leader.
absl::Status BundleShelf::MakeDurable(const v1::Bundle& about, const std::string& digest) {
  if (!VerifyBundle(FolderOf(digest), digest).ok()) return NoBundle(digest);
  MENTOR_RETURN_IF_ERROR(PutObjects(ManifestOf(about, digest), SealedText(about), nullptr));
  SetDurable(digest);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> BundleShelf::Digests() {
  MENTOR_ASSIGN_OR_RETURN(std::vector<std::string> digests, AboutsIn(options_.folder));
  if (options_.objects == nullptr) return digests;
  const auto more = options_.objects->ListFolders(kBundleObjects, &stopping_);
  MENTOR_RETURN_IF_ERROR(OfBucket(more.status()));
  for (const std::string& digest : *more) {
    if (IsBundleDigest(digest)) digests.push_back(digest);
  }
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  return digests;
}

absl::StatusOr<v1::Bundle> BundleShelf::Get(const std::string& digest) {
  const Turn turn(this, {digest});
  return ReadAbout(digest);
}

absl::StatusOr<v1::Bundle> BundleShelf::Get(const Turn& turn) {
  return ReadAbout(*turn.digests().begin());
}

absl::StatusOr<std::vector<std::string>> BundleShelf::Pushers(const Turn& turn) {
  const std::string& digest = *turn.digests().begin();
  MENTOR_ASSIGN_OR_RETURN(const auto uploads, UploadsOf(digest));
  std::vector<std::string> owners;
  for (const std::string& upload : uploads) {
    const auto about = ReadAboutFile(UploadOf(upload, kAbout), digest);
    if (about.ok()) owners.push_back(about->owner());
  }
  return owners;
}

void BundleShelf::EndPush(const Turn& turn, const std::string& owner) {
  RemoveUpload(*turn.digests().begin() + OwnerSuffix(owner));
}

absl::StatusOr<BundleShelf::Known> BundleShelf::Look(const std::string& digest) {
  {
    const MutexLock lock(mutex_);
    if (const auto known = known_.find(digest); known != known_.end()) return known->second;
  }
  const Turn turn(this, digest, Turn::IfFree());
  const bool is_busy = turn.digests().empty();
  auto about = is_busy ? ReadAboutFile(AboutOf(digest), digest) : ReadAbout(digest);
  MENTOR_RETURN_IF_ERROR(about.status());
  Known found{.bundle = *std::move(about)};
  found.disk_bytes = ManifestOf(found.bundle, digest).disk_bytes();
  found.bundle.clear_files();
  if (!is_busy && (options_.objects == nullptr || IsDurable(digest))) {
    const MutexLock lock(mutex_);
    known_[digest] = found;
  }
  return found;
}

absl::StatusOr<std::vector<v1::Bundle>> BundleShelf::List() {
  MENTOR_ASSIGN_OR_RETURN(const auto digests, Digests());
  std::vector<v1::Bundle> bundles;
  for (const std::string& digest : digests) {
    auto known = Look(digest);
    if (absl::IsNotFound(known.status())) continue;  // In the bucket without its `about` object.
    MENTOR_RETURN_IF_ERROR(known.status());
    bundles.push_back(std::move(known->bundle));
  }
  return bundles;
}

absl::Status BundleShelf::CheckQuota(const BundleManifest& manifest, const std::string& owner) {
  if (options_.owner_bytes_max == 0) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(RemoveOldUploads());
  // By digest, since a bundle whose push is just ending is in both places.
  std::map<std::string, uint64_t> sizes;
  std::vector<std::string> unfinished;
  MENTOR_ASSIGN_OR_RETURN(const auto uploads, UploadsIn(options_.folder / kUploads));
  for (const std::string& upload : uploads) {
    if (!upload.ends_with(OwnerSuffix(owner))) continue;
    const std::string digest = DigestOfUpload(upload);
    const auto about = ReadAboutFile(UploadOf(upload, kAbout), digest);
    if (!about.ok()) continue;
    const BundleManifest begun = ManifestOf(*about, digest);
    sizes[digest] = begun.disk_bytes();
    unfinished.push_back(BundleTitle(begun));
  }
  if (unfinished.size() >= kUnfinishedMax) {
    return MakeError(
        Reason::kQuotaExceeded,
        absl::StrFormat("'%s' has begun %d pushes; end some of them, or delete them with "
                        "`mentorctl bundles delete`: %s",
                        owner, unfinished.size(), unfinished[0]),
        {{"owner", owner}});
  }
  MENTOR_ASSIGN_OR_RETURN(const auto whole, Digests());
  for (const std::string& digest : whole) {
    if (digest == manifest.digest) continue;  // It is being repaired.
    const auto known = Look(digest);
    if (known.ok() && known->bundle.owner() == owner) sizes[digest] = known->disk_bytes;
  }
  uint64_t bytes = manifest.disk_bytes();
  for (const auto& [digest, size] : sizes) bytes += size;
  if (bytes <= options_.owner_bytes_max) return absl::OkStatus();
  if (unfinished.size() > kUnfinishedShown) unfinished.resize(kUnfinishedShown);
  return MakeError(
      Reason::kQuotaExceeded,
      absl::StrFormat("with this bundle '%s' would have %d bytes of bundles, each file and "
                      "folder counted with 4096 more; %d are allowed; delete some with `mentorctl "
                      "bundles delete`%s%s",
                      owner, bytes, options_.owner_bytes_max,
                      unfinished.empty() ? "" : ", which also ends pushes that broke off: ",
                      absl::StrJoin(unfinished, ", ")),
      {{"owner", owner}});
}

absl::StatusOr<v1::PushBundleResponse> BundleShelf::Begin(const BundleManifest& manifest,
                                                          const std::string& owner,
                                                          const Cancel* cancel) {
  MENTOR_RETURN_IF_ERROR(ToStatus(CheckManifest(manifest)));
  const std::string& digest = manifest.digest;
  const std::string upload = digest + OwnerSuffix(owner);
  const Turn turn(this, {digest});
  MENTOR_RETURN_IF_ERROR(GoesOn(cancel));
  // A push repairs a damaged bundle, so verify the bundle again, here and in the bucket.
  Forget(digest);
  if (const absl::Status there = FindInTurn(digest).status(); there.ok()) {
    RemoveUpload(upload);
    return Pushed(manifest.bytes(), manifest.bytes(), /*complete=*/true);
  } else if (absl::IsNotFound(there)) {
    // Another meta-learner has removed the bundle, so its owner is not kept.
    std::error_code ignored;
    fs::remove(AboutOf(digest), ignored);
  } else if (!absl::IsDataLoss(there)) {
    return there;
  }
  if (auto begun = ReadAboutFile(UploadOf(upload, kAbout), digest); begun.ok()) {
    const uint64_t next = std::min(SizeOrZero(UploadOf(upload, kPart)), begun->size_bytes());
    if (next < begun->size_bytes()) return Pushed(next, begun->size_bytes());
    return Finish(*std::move(begun), digest, upload, cancel);
  }
  const v1::Bundle bundle = AboutBundle(manifest, owner);
  {
    // Held from the check of the quota until the push has begun. A thread with the owner's turn
    // waits for no other turn.
    const Turn own(this, {OwnerTurn(owner)});
    MENTOR_RETURN_IF_ERROR(CheckQuota(manifest, owner));
    RemoveUpload(upload);
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(UploadOf(upload, kAbout), SealedText(bundle)));
  }
  if (manifest.bytes() == 0) return Finish(bundle, digest, upload, cancel);
  return Pushed(0, manifest.bytes());
}

absl::StatusOr<v1::PushBundleResponse> BundleShelf::Add(const std::string& digest,
                                                        const std::string& owner, uint64_t offset,
                                                        std::string_view data,
                                                        const Cancel* cancel) {
  const std::string upload = digest + OwnerSuffix(owner);
  const Turn turn(this, {digest});
  MENTOR_RETURN_IF_ERROR(GoesOn(cancel));
  auto begun = ReadAboutFile(UploadOf(upload, kAbout), digest);
  if (absl::IsNotFound(begun.status())) {
    // The answer to the last piece was lost, or another owner finished first.
    if (const auto about = ReadAbout(digest); about.ok())
      return Pushed(about->size_bytes(), about->size_bytes(), /*complete=*/true);
    return absl::FailedPreconditionError(absl::StrFormat(
        "'%s' has not begun to push %s; begin with its list of files", owner, BundleName(digest)));
  }
  MENTOR_RETURN_IF_ERROR(begun.status());
  const uint64_t size = begun->size_bytes();
  uint64_t next = std::min(SizeOrZero(UploadOf(upload, kPart)), size);
  if (offset > next) {
    return absl::OutOfRangeError(
        absl::StrFormat("offset is %d, but only %d bytes of %s are here; go on at %d", offset, next,
                        BundleTitle(ManifestOf(*begun, digest)), next));
  }
  if (offset + data.size() > size) {
    return BadField("data", absl::StrFormat("ends at %d, but the files have %d bytes; push the "
                                            "bundle again",
                                            offset + data.size(), size));
  }
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("bundle_shelf.write")));
  if (const uint64_t there = next - offset; there < data.size()) {
    data.remove_prefix(there);
    MENTOR_RETURN_IF_ERROR(WritePart(UploadOf(upload, kPart), next, data));
    next += data.size();
  }
  if (next < size) return Pushed(next, size);
  return Finish(*std::move(begun), digest, upload, cancel);
}

absl::Status BundleShelf::WriteFiles(const BundleManifest& manifest, const BundleSource& source,
                                     const Cancel* cancel) {
  const fs::path folder = FolderOf(manifest.digest);
  const fs::path temporary = options_.folder / ("." + manifest.digest);
  std::error_code error;
  fs::remove_all(temporary, error);
  MENTOR_RETURN_IF_ERROR(WriteBundle(manifest, source, temporary, [&] { return GoesOn(cancel); }));
  fs::remove_all(folder, error);  // Damaged, or from an earlier attempt.
  if (rename(temporary.c_str(), folder.c_str()) != 0)
    return FileError("cannot rename to", folder, errno);
  Forget(manifest.digest);
  return SyncFolder(options_.folder);
}

absl::StatusOr<v1::PushBundleResponse> BundleShelf::Finish(v1::Bundle bundle,
                                                           const std::string& digest,
                                                           const std::string& upload,
                                                           const Cancel* cancel) {
  const BundleManifest manifest = ManifestOf(bundle, digest);
  const absl::Status written = WriteFiles(manifest, PartSource(UploadOf(upload, kPart)), cancel);
  if (absl::IsDataLoss(written)) RemoveUpload(upload);
  MENTOR_RETURN_IF_ERROR(written);
  *bundle.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  // A repaired bundle keeps its owner.
  if (const auto before = ReadAboutFile(AboutOf(digest), digest); before.ok())
    bundle.set_owner(before->owner());
  const std::string about = SealedText(bundle);
  if (options_.objects != nullptr) {
    MENTOR_RETURN_IF_ERROR(PutObjects(manifest, about, cancel));
    SetDurable(digest);
  }
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("bundle_shelf.before_about")));
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(AboutOf(digest), about));
  Forget(digest);
  MENTOR_ASSIGN_OR_RETURN(const auto uploads, UploadsOf(digest));
  for (const std::string& each : uploads) RemoveUpload(each);
  MENTOR_LOG(
      kInfo, "a bundle was pushed",
      {{"bundle", BundleName(digest)}, {"owner", bundle.owner()}, {"bytes", bundle.size_bytes()}});
  return Pushed(bundle.size_bytes(), bundle.size_bytes(), /*complete=*/true);
}

void BundleShelf::RemoveUpload(const std::string& upload) {
  std::error_code ignored;
  // Remove the list last: without it, the bytes would not count for the quota.
  fs::remove(UploadOf(upload, kPart), ignored);
  fs::remove(UploadOf(upload, kAbout), ignored);
}

absl::Status BundleShelf::PutObjects(const BundleManifest& manifest, const std::string& about,
                                     const Cancel* cancel) {
  const BundleSource source = FolderSource(FolderOf(manifest.digest), manifest, kBundlePartBytes);
  size_t part = 0;
  for (uint64_t offset = 0; offset < manifest.bytes(); offset += kBundlePartBytes) {
    MENTOR_RETURN_IF_ERROR(GoesOn(cancel));
    MENTOR_ASSIGN_OR_RETURN(const std::string bytes, source(offset));
    MENTOR_RETURN_IF_ERROR(
        OfBucket(options_.objects->Put(PartKey(manifest.digest, part++), bytes, &stopping_)));
  }
  return OfBucket(options_.objects->Put(AboutKey(manifest.digest), about, &stopping_));
}

absl::Status BundleShelf::FetchObjects(const BundleManifest& manifest) {
  std::string part;
  size_t number = SIZE_MAX;
  return WriteFiles(
      manifest,
      [&](uint64_t offset) -> absl::StatusOr<std::string> {
        if (const size_t wanted = offset / kBundlePartBytes; wanted != number) {
          auto bytes =
              options_.objects->Get(PartKey(manifest.digest, wanted), kBundlePartBytes, &stopping_);
          if (absl::IsNotFound(bytes.status())) {
            return MakeError(Reason::kDataLoss,
                             absl::StrFormat("the bucket lacks a part of %s; push it again",
                                             BundleTitle(manifest)));
          }
          MENTOR_RETURN_IF_ERROR(OfBucket(bytes.status()));
          part = *std::move(bytes);
          number = wanted;
        }
        const size_t begin = offset % kBundlePartBytes;
        return begin < part.size() ? part.substr(begin, 1 << 20) : std::string();
      },
      /*cancel=*/nullptr);
}

absl::StatusOr<BundleManifest> BundleShelf::AddFolder(const fs::path& folder,
                                                      const std::string& owner) {
  MENTOR_ASSIGN_OR_RETURN(BundleManifest manifest, ReadBundle(folder));
  MENTOR_RETURN_IF_ERROR(AddAll(manifest, FolderSource(folder, manifest), owner));
  return manifest;
}

absl::Status BundleShelf::AddAll(const BundleManifest& manifest, const BundleSource& source,
                                 const std::string& owner) {
  MENTOR_ASSIGN_OR_RETURN(v1::PushBundleResponse done, Begin(manifest, owner));
  while (!done.complete()) {
    MENTOR_ASSIGN_OR_RETURN(const std::string piece, source(done.next_offset()));
    MENTOR_ASSIGN_OR_RETURN(done, Add(manifest.digest, owner, done.next_offset(), piece));
  }
  return absl::OkStatus();
}

absl::Status BundleShelf::Delete(const Turn& turn) {
  const std::string& digest = *turn.digests().begin();
  Forget(digest);
  {
    const MutexLock lock(mutex_);
    durable_.erase(digest);
  }
  if (options_.objects != nullptr) {
    // In the reverse order of PutObjects.
    MENTOR_RETURN_IF_ERROR(OfBucket(options_.objects->Delete(AboutKey(digest), &stopping_)));
    const auto parts = options_.objects->List(kBundleObjects + digest + "/", &stopping_);
    MENTOR_RETURN_IF_ERROR(OfBucket(parts.status()));
    for (const ObjectInfo& part : *parts)
      MENTOR_RETURN_IF_ERROR(OfBucket(options_.objects->Delete(part.key, &stopping_)));
  }
  MENTOR_RETURN_IF_ERROR(RemoveAll(AboutOf(digest)));
  MENTOR_RETURN_IF_ERROR(SyncFolder(options_.folder));
  return RemoveAll(FolderOf(digest));
}

std::shared_ptr<const HeldBundle> BundleShelf::Held(const std::string& digest) {
  const MutexLock lock(mutex_);
  const auto known = held_.find(digest);
  return known == held_.end() ? nullptr : known->second.lock();
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleShelf::Find(const std::string& digest) {
  if (auto held = Held(digest)) return held;
  const Turn turn(this, {digest});
  return FindInTurn(digest);
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundleShelf::FindInTurn(
    const std::string& digest) {
  if (auto held = Held(digest)) return held;
  MENTOR_ASSIGN_OR_RETURN(const v1::Bundle about, ReadAbout(digest));
  auto manifest = VerifyBundle(FolderOf(digest), digest);
  if (options_.objects != nullptr &&
      (absl::IsNotFound(manifest.status()) || absl::IsDataLoss(manifest.status()))) {
    MENTOR_RETURN_IF_ERROR(FetchObjects(ManifestOf(about, digest)));
    manifest = VerifyBundle(FolderOf(digest), digest);
  }
  if (absl::IsNotFound(manifest.status()) || absl::IsDataLoss(manifest.status())) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat("the files of %s are damaged (%s); push it again",
                        BundleTitle(ManifestOf(about, digest)), manifest.status().message()));
  }
  MENTOR_RETURN_IF_ERROR(manifest.status());
  auto held = std::make_shared<const HeldBundle>(FolderOf(digest), *std::move(manifest));
  const MutexLock lock(mutex_);
  std::erase_if(held_, [](const auto& entry) { return entry.second.expired(); });
  held_[digest] = held;
  return held;
}

absl::Status BundleShelf::Check(const Turn& turn) {
  std::vector<std::string> missing;
  for (const std::string& digest : turn.digests()) {
    const absl::Status there = ReadAbout(digest).status();
    if (absl::IsNotFound(there)) {
      missing.push_back(BundleName(digest));
    } else {
      MENTOR_RETURN_IF_ERROR(there);
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return MakeError(Reason::kBundleMissing,
                   absl::StrFormat("there is no bundle %s here; push it with `mentorctl bundles "
                                   "push FOLDER`, then try again",
                                   absl::StrJoin(missing, ", ")),
                   {{"bundle", missing.front()}});
}

}  // namespace mentor::meta_learner
