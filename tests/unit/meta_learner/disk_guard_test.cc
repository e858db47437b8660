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
  disk.Full(uint64_t{1} << 60);  // More than any disk has.
  CHECK(disk.full());
  CHECK(ReasonOf(disk.Check()) == "DISK_FULL");
  CHECK_FALSE(std::filesystem::exists(reserve));
  CHECK_FALSE(disk.TryRecover());
  disk.Full(1);  // What was wanted before still is.
  CHECK_FALSE(disk.TryRecover());
  CHECK(disk.full());
  disk.Look();
  CHECK_FALSE(std::filesystem::exists(reserve));

  DiskGuard other(folder.path(), kReserve, metrics.get());
  other.Full(1000);
  CHECK(other.TryRecover());
  CHECK_FALSE(other.full());
  CHECK(std::filesystem::file_size(reserve) == kReserve);
  CHECK(testing::MetricValue(*metrics, "mentor_store_disk_full_total") == 3);
}

}  // namespace
}  // namespace mentor::meta_learner
