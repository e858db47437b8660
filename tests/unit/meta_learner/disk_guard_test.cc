#include "meta_learner/scheduling/disk_guard.h"

#include "common/status.h"
#include "tests/metrics.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner {
namespace {

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
  disk.Full("a", 1);  // What was wanted before still is,
  disk.Full("b", 1);
  CHECK_FALSE(disk.TryRecover());
  CHECK(disk.full());
  disk.Look();
  CHECK_FALSE(std::filesystem::exists(reserve));
  disk.WaitOnlyFor({"a", "c"});
  CHECK_FALSE(disk.TryRecover());
  disk.WaitOnlyFor({"b"});  // until nobody wants it any more.
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

}  // namespace
}  // namespace mentor::meta_learner
