#include "cli/ctl/download.h"

#include <cerrno>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

absl::Status DataLoss(const std::string& message) {
  return MakeError(Reason::kDataLoss, message);
}

// The file FILE.part: the bytes received so far and their hash.
class PartialFile {
 public:
  explicit PartialFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~PartialFile() {
    // An empty part is useless to a later download.
    if (owned_ && size_ == 0) unlink(path_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  // Reads what an earlier download left.
  absl::Status Open() {
    file_ = OpenFile(path_, O_RDWR | O_CREAT, 0644);
    if (file_.get() < 0) return FileError("cannot write", path_, errno);
    if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(path_.string() +
                                           " is in use by another download; wait for it");
    }
    owned_ = true;
    for (;;) {
      MENTOR_ASSIGN_OR_RETURN(const std::string piece, ReadAt(file_, size_, 1 << 20, path_));
      if (piece.empty()) return absl::OkStatus();
      hash_->Update(piece);
      size_ += piece.size();
    }
  }
  absl::Status Append(std::string_view data) {
    MENTOR_RETURN_IF_ERROR(WriteAt(file_, size_, data, path_));
    hash_->Update(data);
    size_ += data.size();
    return absl::OkStatus();
  }
  absl::Status Clear() {
    if (ftruncate(file_.get(), 0) != 0) return FileError("cannot write", path_, errno);
    hash_ = std::make_unique<Sha256>();
    size_ = 0;
    return absl::OkStatus();
  }
  // After Hash, only Rename may be called.
  std::string Hash() { return ToHex(hash_->Finish()); }
  absl::Status Rename(const std::filesystem::path& path) {
    if (fsync(file_.get()) != 0) return FileError("cannot write", path_, errno);
    if (rename(path_.c_str(), path.c_str()) != 0) return FileError("cannot write", path, errno);
    owned_ = false;
    return SyncFolder(path.has_parent_path() ? path.parent_path() : ".");
  }
  uint64_t size() const { return size_; }

 private:
  const std::filesystem::path path_;
  OpenedFile file_;
  bool owned_ = false;  // This process holds the file's lock and path_ names the file.
  uint64_t size_ = 0;
  std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
};

// Reads one stream. Sets `end` when the last message has arrived.
absl::Status ReadOnce(Client* client, const Download& download, PartialFile* part, Downloaded* end,
                      bool* came, absl::Status* local) {
  v1::DownloadRequest request;
  request.set_name(download.name);
  request.set_offset(part->size());
  absl::Status broken;
  const auto method = CollectionOf(download.name) == kCheckpoints ? &Stub::DownloadCheckpoint
                                                                  : &Stub::DownloadArtifact;
  const absl::Status status = client->Stream<v1::DownloadRequest, v1::DownloadResponse>(
      method, request, [&](const v1::DownloadResponse& piece) {
        if (!piece.sha256().empty()) {
          *end = {.size_bytes = piece.size_bytes(), .sha256 = piece.sha256()};
        }
        if (piece.data().empty()) return true;
        *came = true;
        if (piece.offset() != part->size()) {
          broken = DataLoss(absl::StrFormat("%s: a piece came for byte %d, expected %d",
                                            download.name, piece.offset(), part->size()));
        } else if (Crc32c(piece.data()) != piece.crc32c()) {
          broken = DataLoss(absl::StrFormat(
              "%s: the CRC32C of the piece at byte %d is not the one it was sent with",
              download.name, piece.offset()));
        } else {
          broken = *local = part->Append(piece.data());
        }
        if (broken.ok() && download.on_progress) {
          download.on_progress(part->size(), piece.size_bytes());
        }
        return broken.ok();
      });
  return broken.ok() ? status : broken;
}

}  // namespace

absl::Status OfThisMachine(const absl::Status& status) {
  if (status.ok()) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("the file on this machine: ", std::string(status.message())));
}

absl::StatusOr<Downloaded> Fetch(Client* client, const Download& download) {
  PartialFile part(download.path.string() + ".part");
  MENTOR_RETURN_IF_ERROR(OfThisMachine(part.Open()));
  bool resumed = part.size() > 0;
  if (resumed && download.on_resume) download.on_resume(part.size());
  absl::Time give_up = absl::Now() + absl::FromChrono(client->timeout());
  bool lost = false;
  for (int attempt = 0;; ++attempt) {
    Downloaded end;
    bool came = false;
    absl::Status local;
    absl::Status status = ReadOnce(client, download, &part, &end, &came, &local);
    MENTOR_RETURN_IF_ERROR(OfThisMachine(local));  // Retrying does not fix a local file error.
    if (came) {
      attempt = 0;
      lost = false;
      give_up = absl::Now() + absl::FromChrono(client->timeout());
    }
    // The part is longer than the file, so it belongs to another file. Any other error in the
    // request recurs when the download restarts from byte 0.
    const bool too_long =
        resumed && (absl::IsInvalidArgument(status) || absl::IsOutOfRange(status));
    if (status.ok() && !end.sha256.empty()) {
      if (part.size() == end.size_bytes && part.Hash() == end.sha256) {
        MENTOR_RETURN_IF_ERROR(OfThisMachine(part.Rename(download.path)));
        return end;
      }
      status = DataLoss(download.name + ": the received bytes have another SHA-256 than the file");
    } else if (status.ok()) {
      status = absl::UnavailableError("the server ended the stream");
    }
    if (too_long || absl::IsDataLoss(status)) {
      // Restart from byte 0: the part may belong to an older version of the file.
      MENTOR_RETURN_IF_ERROR(OfThisMachine(part.Clear()));
      if (!resumed) return status;
      resumed = false;
      continue;
    }
    if (absl::IsNotFound(status))
      // The file does not exist, so the part is useless.
      MENTOR_RETURN_IF_ERROR(OfThisMachine(part.Clear()));
    const auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause || absl::Now() + absl::FromChrono(*pause) > give_up) return status;
    if (!lost && download.on_lost) download.on_lost(status);
    lost = true;
    resumed |= part.size() > 0;
    if (!client->Wait(*pause)) return absl::CancelledError("interrupted");
  }
}

}  // namespace mentor::ctl
