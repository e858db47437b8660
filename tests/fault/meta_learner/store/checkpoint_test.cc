// Kills the writer of checkpoints at every step of a write, damages files at random places, fills
// the disk.
#include "meta_learner/store/checkpoint.h"

#include <fstream>

#include <sys/mount.h>
#include <unistd.h>

#include "common/file.h"
#include "common/rng.h"
#include "tests/run_child.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::RunChild;
using mentor::testing::TempFolder;

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";
constexpr uint32_t kSteps = 6;

// Some blocks of 256 KiB long.
Checkpoint AtStep(uint32_t step, size_t bytes = 600 << 10) {
  return {.experiment_uid = kUid,
          .outer_step = step,
          .spec_hash = "abc",
          .build = "test",
          .sections = {{"weights", std::string(bytes, static_cast<char>('a' + step % 26))}}};
}

CheckpointScan Scan(const std::filesystem::path& dir) {
  auto scan = FindNewestWhole(dir, kUid, "abc");
  INFO(scan.status().ToString());
  REQUIRE(scan.ok());
  return *std::move(scan);
}

// Unmounts whatever else happens.
struct Mount {
  explicit Mount(const std::filesystem::path& point)
      : path(point),
        ok(geteuid() == 0 && mount("tmpfs", path.c_str(), "tmpfs", 0, "size=2m") == 0) {}
  ~Mount() {
    if (ok) umount2(path.c_str(), MNT_DETACH);
  }
  const std::filesystem::path path;
  const bool ok;
};

void Replace(const std::filesystem::path& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(contents.data(), contents.size());
}

// The children write steps 1 to kSteps and keep two.
TEST_CASE("checkpoint child", "[.child]") {
  const char* dir = std::getenv("MENTOR_TEST_FOLDER");
  if (dir == nullptr) return;
  for (uint32_t step = 1; step <= kSteps; ++step) {
    REQUIRE(WriteCheckpoint(dir, AtStep(step)).ok());
    std::ofstream(std::filesystem::path(dir).parent_path() / "acknowledged", std::ios::app)
        << step << "\n";
    for (const uint32_t dropped : DroppedCheckpoints(*ListCheckpoints(dir), {.keep_last = 2}))
      REQUIRE(RemoveCheckpoint(dir, dropped).ok());
  }
}

TEST_CASE(
    "checkpoint: killed at any step of any write, the newest acknowledged one or a later one is "
    "whole",
    "[fault]") {
  // A write has 5 blocks: start, three of the section, trailer.
  const std::vector<std::pair<std::string, int>> points = {{"store.write.open", 3},
                                                           {"store.write.block", 11},
                                                           {"store.write.block", 13},
                                                           {"store.write.block", 15},
                                                           {"store.write.fsync", 3},
                                                           {"store.commit.before_rename", 3},
                                                           {"store.commit.before_dir_fsync", 3},
                                                           {"store.retention.unlink", 1}};
  for (const auto& [point, hit] : points) {
    INFO(point << " hit " << hit);
    const TempFolder folder;
    const auto dir = folder.path() / "checkpoints", log = folder.path() / "log";
    const int status = RunChild("checkpoint child",
                                {{"MENTOR_TEST_FOLDER", dir},
                                 {"MENTOR_FAILPOINTS", point + "=" + std::to_string(hit) + ":kill"},
                                 {"MENTOR_FAILPOINT_LOG", log}});
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
    CHECK(*ReadFile(log, 1000) == point + " " + std::to_string(hit) + " kill\n");  // It did fire.

    uint32_t acknowledged = 0;
    std::ifstream lines(folder.path() / "acknowledged");
    for (uint32_t step; lines >> step;) acknowledged = step;
    CHECK(acknowledged >= 2);
    const CheckpointScan scan = Scan(dir);
    REQUIRE(scan.newest);
    CHECK(scan.newest->outer_step >= acknowledged);
    CHECK(scan.newest->outer_step <= acknowledged + 1);
    CHECK(scan.newest->sections == AtStep(scan.newest->outer_step).sections);
    CHECK(scan.corrupt.empty());
    const bool has_temporary = point.starts_with("store.write.block") ||
                               point == "store.write.fsync" ||
                               point == "store.commit.before_rename";
    CHECK(scan.temporary_files_removed == (has_temporary ? 1 : 0));

    // A new process continues as if nothing had happened.
    CHECK(RunChild("checkpoint child", {{"MENTOR_TEST_FOLDER", dir}}) == 0);
    CHECK(*ListCheckpoints(dir) == std::vector<uint32_t>{kSteps - 1, kSteps});
    CHECK(Scan(dir).newest->outer_step == kSteps);
  }
}

TEST_CASE("checkpoint: damaged at 200 random places, the one before it is used and that is said",
          "[fault]") {
  const TempFolder folder;
  REQUIRE(WriteCheckpoint(folder.path(), AtStep(1, 5000)).ok());
  const auto newest = WriteCheckpoint(folder.path(), AtStep(2, 5000));
  REQUIRE(newest.ok());
  const std::string whole = *ReadFile(newest->path, 1 << 20);
  const RandomStream random{.seed = 11, .purpose = Purpose::kTest};
  for (uint32_t trial = 0; trial < 200; ++trial) {
    std::string damaged = whole;
    const size_t offset = random.Below(whole.size(), trial, 0);
    if (trial % 2 == 0) {
      damaged.resize(offset);
    } else {
      damaged[offset] ^= static_cast<char>(1 << random.Below(8, trial, 1));
    }
    Replace(newest->path, damaged);
    const CheckpointScan scan = Scan(folder.path());
    INFO("trial " << trial << ", offset " << offset);
    REQUIRE(scan.newest);
    REQUIRE(scan.newest->outer_step == 1);
    REQUIRE(scan.newest->sections == AtStep(1, 5000).sections);
    REQUIRE(scan.corrupt.size() == 1);
    REQUIRE(scan.corrupt[0].reason.find("00000002.ckpt is not a whole checkpoint: ") !=
            std::string::npos);
    std::filesystem::remove(scan.corrupt[0].path);
  }
}

TEST_CASE("checkpoint: on a full disk a write fails with the remedy and the older one stays",
          "[fault][root]") {
  const TempFolder folder;
  const auto mount_point = folder.path() / "small";
  REQUIRE(MakeFolders(mount_point).ok());
  const Mount small(mount_point);
  if (!small.ok) {
    WARN("skipped: mounting a small file system needs root");
    return;
  }
  const auto dir = mount_point / "checkpoints";
  CHECK(WriteCheckpoint(dir, AtStep(1, 1 << 20)).ok());
  const auto second = WriteCheckpoint(dir, AtStep(2, 3 << 19));
  CHECK(second.status().code() == absl::StatusCode::kResourceExhausted);
  const std::string message(second.status().message());
  CHECK(message.find("No space left on device; free space on this file system, then try again") !=
        message.npos);
  CHECK(message.find(dir.string()) != message.npos);
  const CheckpointScan scan = Scan(dir);
  CHECK(scan.newest->outer_step == 1);
  CHECK(scan.newest->sections == AtStep(1, 1 << 20).sections);
  CHECK(scan.corrupt.empty());
  CHECK(scan.temporary_files_removed == 0);  // The writer cleaned up, so the space is free again.
  CHECK(WriteCheckpoint(dir, AtStep(2, 1 << 19)).ok());
  CHECK(Scan(dir).newest->outer_step == 2);
}

}  // namespace mentor::TEST_FILE
