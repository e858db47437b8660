#include "meta_learner/scheduling/disk_guard.h"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include "common/failpoint.h"
#include "common/status.h"
#include "tests/metric_value.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

TEST_CASE("disk guard: the reserve is given back when the disk is full, and made again", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  constexpr uint64_t kReserve = 100'000;
  DiskGuard disk(folder.path(), kReserve, metrics.get());
  const auto reserve = folder.path() / "reserve";
  CHECK(std::filesystem::file_size(reserve) == kReserve);
  CHECK(disk.Check().ok());
  disk.Full("a", uint64_t{1} << 60);  // More than any disk has.
  CHECK(disk.full());
  CHECK(ReasonOf(disk.Check()) == "DISK_FULL");
  CHECK_FALSE(std::filesystem::exists(reserve));
  CHECK_FALSE(disk.TryRecover());
  disk.Full("a", 1);  // Earlier requests are kept
  disk.Full("b", 1);
  CHECK_FALSE(disk.TryRecover());
  CHECK(disk.full());
  disk.Look();
  CHECK_FALSE(std::filesystem::exists(reserve));
  disk.WaitOnlyFor({"a", "c"});
  CHECK_FALSE(disk.TryRecover());
  disk.WaitOnlyFor({"b"});  // until no experiment needs them any more.
  CHECK(disk.TryRecover());
  CHECK(disk.Check().ok());
  CHECK(std::filesystem::file_size(reserve) == kReserve);

  DiskGuard other(folder.path(), kReserve, metrics.get());
  other.Full("a", 1000);
  CHECK(other.TryRecover());
  CHECK_FALSE(other.full());
  CHECK(std::filesystem::file_size(reserve) == kReserve);
  CHECK(testing::MetricValue(*metrics, "mentor_store_disk_full_total") == 4);
}

TEST_CASE("disk guard: a disk without room for the reserve is full from the beginning", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  DiskGuard disk(folder.path(), uint64_t{1} << 60, metrics.get());
  CHECK(ReasonOf(disk.Check()) == "DISK_FULL");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "reserve"));
  CHECK_FALSE(disk.TryRecover());
  CHECK(testing::MetricValue(*metrics, "mentor_store_full") == 1);
  CHECK(DiskGuard(folder.path(), 0, metrics.get()).Check().ok());  // It wants none.
}

TEST_CASE("disk guard: a disk without inodes is full, however many bytes it has", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  DiskRoom room = {.bytes = uint64_t{1} << 40, .files = 1000};
  DiskGuard disk(folder.path(), 100'000, metrics.get(), [&](const auto&) { return room; });
  CHECK(disk.Check().ok());
  room.files = 15;
  disk.Look();
  CHECK(ReasonOf(disk.Check()) == "DISK_FULL");
  room.files = 31;  // Twice as many as are none.
  CHECK_FALSE(disk.TryRecover());
  room.files = 32;
  CHECK(disk.TryRecover());
  CHECK(RoomOnDiskOf(folder.path()).files > 0);
  CHECK(RoomOnDiskOf(folder.path()).bytes > 0);
  CHECK(RoomOnDiskOf(folder.path() / "none").bytes == 0);
}

TEST_CASE("disk guard: a reserve of the right size without blocks is none yet", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  constexpr uint64_t kReserve = 100'000;
  const auto reserve = folder.path() / "reserve";
  std::ofstream(reserve).close();
  std::filesystem::resize_file(reserve, kReserve);
  const auto held = [&] {
    struct stat info {};
    REQUIRE(stat(reserve.c_str(), &info) == 0);
    CHECK(info.st_size == kReserve);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  };
  REQUIRE(held() < kReserve);
  const DiskGuard disk(folder.path(), kReserve, metrics.get());
  CHECK_FALSE(disk.full());
  CHECK(held() >= kReserve);
}

TEST_CASE("disk guard: room is for two reserves, twice the greatest wish and a megabyte beside",
          "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  constexpr uint64_t kReserve = 100'000, kSlack = 1 << 20;
  DiskRoom room = {.bytes = uint64_t{1} << 40, .files = 1000};
  DiskGuard disk(folder.path(), kReserve, metrics.get(), [&](const auto&) { return room; });
  room.bytes = kSlack;
  disk.Look();
  CHECK_FALSE(disk.full());
  room.bytes = kSlack - 1;
  disk.Look();
  CHECK(disk.full());
  disk.Full("a", 700);
  disk.Full("b", 3000);
  room.bytes = 2 * kReserve + 2 * 3000 + kSlack - 1;
  CHECK_FALSE(disk.TryRecover());
  CHECK(testing::MetricValue(*metrics, "mentor_store_full") == 1);
  CHECK(testing::MetricValue(*metrics, "mentor_store_free_bytes") == 1'254'575);
  ++room.bytes;
  CHECK(disk.TryRecover());
  CHECK(testing::MetricValue(*metrics, "mentor_store_full") == 0);
}

TEST_CASE("disk guard: no room is believed in before something could be written", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  DiskGuard disk(folder.path(), 0, metrics.get());
  const auto now = DiskGuard::Clock::now();
  disk.Full("a", 1, now);
  REQUIRE(failpoint::Arm("store.write.open=1:error(ENOSPC)").ok());
  CHECK_FALSE(disk.TryRecover(now));
  REQUIRE(failpoint::Arm("").ok());
  CHECK_FALSE(disk.TryRecover(now + std::chrono::milliseconds(999)));
  CHECK(disk.TryRecover(now + std::chrono::milliseconds(1000)));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("disk guard: what is full again and again is looked at less and less often", "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create();
  DiskGuard disk(folder.path(), 0, metrics.get());
  auto now = DiskGuard::Clock::now();
  constexpr std::chrono::milliseconds kSoon{1};
  disk.Full("a", 1, now);
  CHECK(disk.TryRecover(now));  // The first time at once.
  for (const int seconds : {1, 2, 4, 8, 16, 30, 30}) {
    INFO(seconds);
    now += kSoon;
    disk.Full("a", 1, now);
    now += std::chrono::seconds(seconds);
    CHECK_FALSE(disk.TryRecover(now - kSoon));
    CHECK(disk.full());
    CHECK(disk.TryRecover(now));
  }
  // After a while with room the state is as at first.
  now += std::chrono::seconds(30);
  disk.Full("a", 1, now);
  CHECK(disk.TryRecover(now));
  now += std::chrono::seconds(30) - kSoon;
  disk.Full("a", 1, now);
  CHECK_FALSE(disk.TryRecover(now));
  CHECK(disk.TryRecover(now + std::chrono::seconds(1)));
}

}  // namespace mentor::meta_learner::TEST_FILE
