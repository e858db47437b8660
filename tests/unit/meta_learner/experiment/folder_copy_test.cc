#include "meta_learner/experiment/folder_copy.h"

#include <filesystem>
#include <memory>
#include <string>

#include "common/file.h"
#include "meta_learner/experiment/trained_episodes.h"
#include "tests/objects.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr char kShard[] = "artifacts/evaluation/test-learned-00000.binpb";

TEST_CASE("folder copy: what grows is the bucket's, other results are whoever has them", "[unit]") {
  const testing::TempFolder folder;
  const auto bucket = std::make_shared<testing::MemoryObjects>();
  const std::unique_ptr<Store> store =
      OpenStore(StoreOptions{.folder = folder.path(), .objects = bucket}).value();
  const v1::Experiment experiment = testing::StartSmall(store.get(), "e");
  const std::filesystem::path own = store->files.ExperimentFolder(experiment.uid());
  ExperimentObjects objects(bucket.get(), experiment.uid(), nullptr);
  FolderCopy copy(&store->files, experiment.uid(), &objects, nullptr);
  REQUIRE(copy.BringBack().ok());
  const auto write = [&](const std::string& name, const std::string& text) {
    REQUIRE(MakeFolders((own / name).parent_path()).ok());
    REQUIRE(WriteFileAtomically(own / name, text).ok());
  };
  const auto read = [&](const std::string& name) {
    return ReadFile(own / name, 1 << 20).value_or("nothing");
  };

  // Written here, then there by another machine that continued.
  for (const std::string name : {kEpisodesFile, kShard}) {
    write(name, "longer");
    REQUIRE(copy.KeepResult(own / name).ok());
    write(name, "old");
  }
  ExperimentObjects look(bucket.get(), experiment.uid(), nullptr);
  FolderCopy later(&store->files, experiment.uid(), &look, nullptr);
  REQUIRE(later.BringBack().ok());
  CHECK(read(kEpisodesFile) == "longer");
  CHECK(read(kShard) == "old");  // A shard has the same bits on every learner.

  // A shard that the bucket lacks goes there.
  bucket->objects.clear();
  ExperimentObjects empty(bucket.get(), experiment.uid(), nullptr);
  FolderCopy last(&store->files, experiment.uid(), &empty, nullptr);
  REQUIRE(last.BringBack().ok());
  CHECK(read(kEpisodesFile) == "longer");
  CHECK(empty.files().contains(kEpisodesFile));
}

}  // namespace mentor::meta_learner::TEST_FILE
