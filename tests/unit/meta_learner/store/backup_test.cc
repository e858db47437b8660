// Manifests of backups: a backup is restored whole, or refused.
#include "meta_learner/store/backup.h"

#include <fstream>
#include <string>

#include "common/hash.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "meta_learner/store/checkpoint.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::meta_learner::TEST_FILE {

namespace fs = std::filesystem;
using mentor::testing::Contains;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;

void Write(const fs::path& file, std::string_view contents) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << contents;
}

// A backup of one experiment with two checkpoints, and a place to restore into.
class Backup {
 public:
  Backup() {
    const auto store = OpenStore(state()).value();
    const v1::Experiment running = testing::StartSmall(store.get(), "one");
    uid_ = running.uid();
    REQUIRE(store->files.PrepareFolder(uid_).ok());
    for (const uint32_t step : {1u, 2u}) {
      const auto info = WriteCheckpoint(store->files.CheckpointFolder(uid_),
                                        {.experiment_uid = uid_,
                                         .outer_step = step,
                                         .spec_hash = SpecHash(running.spec()),
                                         .sections = {{"s", "x"}}});
      REQUIRE(info.ok());
      REQUIRE(store->results.RecordOuterStep(uid_, {.step = step, .checkpoint = *info}).ok());
    }
    REQUIRE(BackUp({.folder = state()}, path()).ok());
  }
  fs::path state() const { return folder_.path() / "state"; }
  fs::path path() const { return folder_.path() / "backup"; }
  fs::path manifest() const { return path() / "MANIFEST"; }
  std::string checkpoint() const {
    return "experiments/" + uid_ + "/checkpoints/" + CheckpointFileName(2);
  }
  absl::Status Restored() {
    const fs::path target = folder_.path() / std::to_string(++restored_);
    const absl::Status status = Restore(path(), {.folder = target}).status();
    if (!status.ok()) CHECK((!fs::exists(target) || fs::is_empty(target)));
    return status;
  }
  // The manifest's lines without those that have this text.
  std::string Without(const std::string& text) const {
    std::ifstream lines(manifest());
    std::string kept;
    for (std::string line; std::getline(lines, line);)
      if (!line.starts_with("#") && line.find(text) == line.npos) kept += line + "\n";
    return kept;
  }
  // Makes it what earlier versions wrote.
  void Unseal(std::string_view manifest_lines) {
    Write(path() / "FORMAT", "mentor-backup 1\n");
    Write(manifest(), manifest_lines);
  }

 private:
  const TempFolder folder_;
  std::string uid_;
  int restored_ = 0;
};

TEST_CASE("backup: a manifest that is cut, empty or lacks a line is refused", "[unit]") {
  Backup backup;
  CHECK(backup.Restored().ok());
  const std::string whole = ReadText(backup.manifest());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    Write(backup.manifest(), whole.substr(0, bytes));
    const absl::Status refused = backup.Restored();
    INFO(bytes << " bytes: " << refused);
    REQUIRE(absl::IsDataLoss(refused));
    REQUIRE(Contains(refused, "MANIFEST is cut or changed"));
  }
  const std::string seal = whole.substr(0, whole.find('\n') + 1);
  for (const std::string& lacking : {backup.checkpoint(), std::string("spec.txtpb")}) {
    INFO(lacking);
    Write(backup.manifest(), seal + backup.Without(lacking));
    CHECK(Contains(backup.Restored(), "MANIFEST is cut or changed"));
    Write(backup.manifest(), backup.Without(lacking));
    CHECK(Contains(backup.Restored(), "MANIFEST is cut or changed"));
  }
  Write(backup.manifest(), Sealed(""));
  CHECK(Contains(backup.Restored(), "does not name mentor.db"));
}

TEST_CASE("backup: a file that is no checkpoint of its experiment is named, a folder is left out",
          "[unit]") {
  Backup backup;
  const fs::path file = backup.state() / backup.checkpoint();
  const fs::path stray = file.parent_path() / CheckpointFileName(9);
  fs::create_directory(stray);
  CHECK(BackUp({.folder = backup.state()}, backup.path() / "second").ok());
  fs::remove(stray);
  fs::copy_file(file, stray);
  const absl::Status refused = BackUp({.folder = backup.state()}, backup.path() / "third").status();
  INFO(refused);
  CHECK(Contains(refused, "it is a copy of " + stray.string() + ": move that out of the state"));
}

TEST_CASE("backup: one of an earlier version must name its database and every checkpoint",
          "[unit]") {
  Backup backup;
  const std::string whole = backup.Without("\n");
  for (const std::string& lacking : {std::string(""), std::string("mentor.db")}) {
    INFO(lacking);
    backup.Unseal(whole);
    backup.Unseal(backup.Without(lacking));
    CHECK(Contains(backup.Restored(), "does not name mentor.db"));
  }
  backup.Unseal(whole);
  backup.Unseal(backup.Without(backup.checkpoint()));
  const absl::Status refused = backup.Restored();
  INFO(refused);
  CHECK(absl::IsDataLoss(refused));
  CHECK(Contains(refused, "names no " + backup.checkpoint()));

  backup.Unseal(whole);
  const absl::Status restored = backup.Restored();
  INFO(restored);
  CHECK(restored.ok());
  // Another whole checkpoint, with its line.
  const fs::path file = backup.path() / backup.checkpoint();
  fs::copy_file(file.parent_path() / CheckpointFileName(1), file,
                fs::copy_options::overwrite_existing);
  backup.Unseal(backup.Without(backup.checkpoint()) + Sha256Hex(ReadText(file)) + "  " +
                backup.checkpoint() + "\n");
  CHECK(Contains(backup.Restored(), "names no " + backup.checkpoint()));
}

}  // namespace mentor::meta_learner::TEST_FILE
