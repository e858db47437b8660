#include "meta_learner/scheduling/disk_guard.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

// Bytes that must be free beside the reserve and the room that is wanted. Less counts as no room.
constexpr uint64_t kSlackBytes = 1 << 20;
// Inodes that must be free: enough for the first files of an experiment.
constexpr uint64_t kSlackFiles = 16;
constexpr size_t kDiskTrialBytes = 4096;
// Wait before a recovery attempt when the disk fills up repeatedly. The wait doubles each time.
constexpr std::chrono::seconds kFirstDiskWait{1}, kLongestDiskWait{30};
// A recovery that lasts this long counts as lasting: the next wait starts from zero.
constexpr std::chrono::seconds kRoomHeld{30};

}  // namespace

DiskRoom RoomOnDiskOf(const std::filesystem::path& folder) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) return {};
  // File systems without an inode table report 0 of 0 inodes.
  return {.bytes = uint64_t{info.f_bavail} * info.f_frsize,
          .files = info.f_files == 0 ? UINT64_MAX : uint64_t{info.f_favail}};
}

DiskGuard::DiskGuard(std::filesystem::path folder, uint64_t reserve_bytes, Metrics* metrics,
                     std::function<DiskRoom(const std::filesystem::path& folder)> room_of)
    : folder_(std::move(folder)),
      reserve_bytes_(reserve_bytes),
      room_of_(std::move(room_of)),
      free_bytes_(
          metrics->Gauge("mentor_store_free_bytes", "Room on the disk of the state folder.")),
      full_total_(metrics->Counter("mentor_store_disk_full_total",
                                   "Times that a write found the disk full.")),
      full_gauge_(
          metrics->Gauge("mentor_store_full", "1 while experiments are paused for want of room.")) {
  Look();
}

absl::Status DiskGuard::MakeReserve() {
  if (reserve_bytes_ == 0) return absl::OkStatus();
  const std::filesystem::path file = folder_ / "reserve";
  const OpenedFile reserve = OpenFile(file, O_WRONLY | O_CREAT);
  if (reserve.get() < 0) return FileError("cannot create", file, errno);
  struct stat info {};
  const bool known = fstat(reserve.get(), &info) == 0;
  const uint64_t held = known ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
  const bool there =
      known && static_cast<uint64_t>(info.st_size) == reserve_bytes_ && held >= reserve_bytes_;
  // posix_fallocate would take all remaining room before it failed, so skip a hopeless attempt.
  const bool hopeless = held < reserve_bytes_ && Room().bytes < reserve_bytes_ - held;
  const int error = there ? 0
                    : hopeless
                        ? ENOSPC
                        : posix_fallocate(reserve.get(), 0, static_cast<off_t>(reserve_bytes_));
  if (error == 0) return absl::OkStatus();
  unlink(file.c_str());  // A partial reserve only takes room.
  return FileError("cannot reserve room in", file, error);
}

absl::Status DiskGuard::TryToWrite() const {
  const std::filesystem::path file = folder_ / "trial";
  const absl::Status written = WriteFileAtomically(file, std::string(kDiskTrialBytes, '\0'));
  unlink(file.c_str());
  return written;
}

void DiskGuard::Look() {
  const MutexLock lock(mutex_);
  if (!full_) {
    const absl::Status made = MakeReserve();
    if (!made.ok()) {
      MENTOR_LOG_EVERY(std::chrono::minutes(1), kWarning,
                       "no room for the reserve of the state folder", {{"why", made}});
    }
    const DiskRoom room = Room();
    const bool no_room =
        reserve_bytes_ > 0 && (room.bytes < kSlackBytes || room.files < kSlackFiles);
    if (no_room || ReasonOf(made) == ReasonName(Reason::kDiskFull)) FullLocked(Clock::now());
  }
  free_bytes_.Set(static_cast<double>(Room().bytes));
}

void DiskGuard::Full(const std::string& who, uint64_t wanted_bytes, Clock::time_point now) {
  const MutexLock lock(mutex_);
  uint64_t& wanted = wanted_bytes_[who];
  wanted = std::max(wanted, wanted_bytes);
  full_total_.Increment();
  FullLocked(now);
}

void DiskGuard::WaitLongerLocked(Clock::time_point now) {
  wait_ = std::clamp<Clock::duration>(2 * wait_, kFirstDiskWait, kLongestDiskWait);
  not_before_ = now + wait_;
}

void DiskGuard::FullLocked(Clock::time_point now) {
  full_gauge_.Set(1);
  if (full_.exchange(true)) return;
  if (recovered_ && now - *recovered_ < kRoomHeld) {
    WaitLongerLocked(now);
  } else {
    wait_ = {};
    not_before_ = now;
  }
  if (reserve_bytes_ > 0) unlink((folder_ / "reserve").c_str());
  const DiskRoom room = Room();
  MENTOR_LOG(
      kError, "the disk is full: experiments pause until there is room",
      {{"folder", folder_.string()},
       {"free_bytes", room.bytes},
       {"free_inodes", room.files},
       {"next_look_ms", std::chrono::duration_cast<std::chrono::milliseconds>(wait_).count()}});
}

void DiskGuard::WaitOnlyFor(const std::set<std::string>& who) {
  const MutexLock lock(mutex_);
  std::erase_if(wanted_bytes_, [&](const auto& entry) { return !who.contains(entry.first); });
}

bool DiskGuard::TryRecover(Clock::time_point now) {
  const MutexLock lock(mutex_);
  if (!full_) return true;
  const DiskRoom room = Room();
  const uint64_t free = room.bytes;
  free_bytes_.Set(static_cast<double>(free));
  uint64_t wanted = 0;
  for (const auto& [who, bytes] : wanted_bytes_) wanted = std::max(wanted, bytes);
  if (free < 2 * reserve_bytes_ + 2 * wanted + kSlackBytes) return false;
  if (room.files < 2 * kSlackFiles) return false;
  if (now < not_before_) return false;
  absl::Status tried = TryToWrite();
  if (tried.ok()) tried = MakeReserve();
  if (!tried.ok()) {
    MENTOR_LOG_EVERY(std::chrono::minutes(1), kWarning,
                     "the disk seems to have room, but nothing can be written", {{"why", tried}});
    WaitLongerLocked(now);
    return false;
  }
  recovered_ = now;
  full_ = false;
  full_gauge_.Set(0);
  wanted_bytes_.clear();
  MENTOR_LOG(kInfo, "the disk has room again", {{"free_bytes", free}});
  return true;
}

absl::Status DiskGuard::Check() const {
  if (!full_) return absl::OkStatus();
  return MakeError(
      Reason::kDiskFull,
      "the disk of the state folder is full; delete experiments, or free space or inodes "
      "(df -h, df -i), then try again");
}

}  // namespace mentor::meta_learner
