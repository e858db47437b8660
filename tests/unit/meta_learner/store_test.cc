#include "meta_learner/store/store.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include <sys/stat.h>

#include "common/file.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/sqlite.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

using namespace mentor;
using namespace mentor::meta_learner;
using mentor::testing::CreateSmall;
using mentor::testing::TempFolder;
using S = v1::Experiment;

namespace {

std::unique_ptr<ExperimentStore> Open(const std::filesystem::path& folder) {
  return OpenStore(folder).value();
}

}  // namespace

TEST_CASE("store: a new folder gets the documented layout", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "a/state";
  const auto store = Open(state);
  struct stat info;
  REQUIRE(stat(state.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(*ReadFile(state / "FORMAT", 100) == "mentor-state 1\n");
  for (const char* name : {"LOCK", "mentor.db", "experiments"})
    CHECK(std::filesystem::exists(state / name));

  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  CHECK(std::filesystem::is_directory(store->ExperimentFolder(experiment.uid())));
  REQUIRE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->PrepareFolder(experiment.uid()).ok());
  const auto own = store->ExperimentFolder(experiment.uid());
  CHECK(own == state / "experiments" / experiment.uid());
  CHECK(store->CheckpointFolder(experiment.uid()) == own / "checkpoints");
  CHECK(std::filesystem::is_directory(own / "checkpoints"));
  const auto submitted = LoadSpec(*ReadFile(own / "spec.txtpb", 10000));
  const auto merged = LoadSpec(*ReadFile(own / "merged.txtpb", 10000));
  CHECK_FALSE(submitted->agent().has_epochs());
  CHECK(merged->agent().has_epochs());
  CHECK(SpecHash(*submitted) == SpecHash(*merged));
}

TEST_CASE("store: nobody else may read the database, its log and its copies (D14)", "[unit]") {
  const TempFolder folder;
  const mode_t before = umask(0022);
  const auto mode = [](const std::filesystem::path& path) {
    struct stat info;
    INFO(path);
    REQUIRE(stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777;
  };
  const auto state = folder.path() / "state";
  {
    const auto store = Open(state);
    CreateSmall(store.get(), "one");
    for (const char* name : {"mentor.db", "mentor.db-wal", "mentor.db-shm"})
      CHECK(mode(state / name) == 0600);
    REQUIRE(BackUp({.folder = state}, folder.path() / "backup").ok());
    CHECK(mode(folder.path() / "backup/mentor.db") == 0600);
  }
  // What an older version left open to all.
  REQUIRE(chmod((state / "mentor.db").c_str(), 0644) == 0);
  const auto store = Open(state);
  for (const char* name : {"mentor.db", "mentor.db-wal", "mentor.db-shm"})
    CHECK(mode(state / name) == 0600);
  umask(before);
}

TEST_CASE("store: a folder has one owner", "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  OpenError error = OpenError::kNone;
  const auto second = OpenStore(folder.path(), &error);
  CHECK(error == OpenError::kInUse);
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(second.status().message())
            .find("is in use by mentor run or mentor-meta-learner (process ") != std::string::npos);
  store.reset();
  CHECK(OpenStore(folder.path(), &error).ok());
  CHECK(error == OpenError::kNone);
}

TEST_CASE("store: folders of a newer program or of something else are left alone", "[unit]") {
  const TempFolder folder;
  OpenError error = OpenError::kNone;
  const auto state = folder.path() / "state";
  Open(state).reset();
  std::ofstream(state / "FORMAT") << "mentor-state 2\n";
  CHECK(std::string(OpenStore(state, &error).status().message())
            .find("is of version 'mentor-state 2'") != std::string::npos);
  CHECK(error == OpenError::kTooNew);
  std::ofstream(state / "FORMAT") << "mentor-state 1\n";
  {
    auto database = sql::OpenSqlite(state / "mentor.db", false);
    REQUIRE((*database)->Execute("PRAGMA user_version=99").ok());
  }
  CHECK(std::string(OpenStore(state, &error).status().message())
            .find("mentor.db is of version 99, this program knows 2") != std::string::npos);
  CHECK(error == OpenError::kTooNew);

  const auto other = folder.path() / "other";
  REQUIRE(MakeFolders(other).ok());
  std::ofstream(other / "thesis.tex") << "precious";
  CHECK(std::string(OpenStore(other, &error).status().message())
            .find("is not empty (it has thesis.tex)") != std::string::npos);
  CHECK(error == OpenError::kOther);
  CHECK_FALSE(std::filesystem::exists(other / "LOCK"));

  const auto file = folder.path() / "file";
  std::ofstream(file) << "x";
  CHECK_FALSE(OpenStore(file, &error).ok());
  CHECK(error == OpenError::kOther);
}

TEST_CASE("store: a file that is no database says so", "[unit]") {
  const TempFolder folder;
  Open(folder.path()).reset();
  std::ofstream(folder.path() / "mentor.db", std::ios::trunc) << std::string(10000, 'x');
  const auto store = OpenStore(folder.path());
  CHECK(store.status().code() == absl::StatusCode::kDataLoss);
  CHECK(std::string(store.status().message()).find("restore the state folder from a backup") !=
        std::string::npos);
}

TEST_CASE("store: a database of version 1 becomes today's, with a copy of what it was", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "state";
  Open(state).reset();
  for (const char* name : {"mentor.db", "mentor.db-wal", "mentor.db-shm"})
    std::filesystem::remove(state / name);
  const auto text = ReadFile(std::filesystem::path(MENTOR_TEST_DATA) / "store/v1.sql", 100'000);
  REQUIRE(text.ok());
  {
    const auto database = sql::OpenSqlite(state / "mentor.db", /*read_only=*/false);
    REQUIRE(database.ok());
    const absl::Status made = (*database)->Execute(*text);
    INFO(made.ToString());
    REQUIRE(made.ok());
  }
  auto store = Open(state);
  CHECK(std::filesystem::status(state / "mentor.db.v1").permissions() ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const auto run = store->Get("experiments/run");
  REQUIRE(run.ok());
  CHECK(run->state() == S::STATE_SUCCEEDED);
  CHECK(run->owner() == "local");
  CHECK(run->priority() == v1::PRIORITY_NORMAL);
  CHECK(run->weight() == 1);
  CHECK(run->display_name() == "2-D navigation, Reptile");
  CHECK(run->spec().rule().name() == "reptile");
  CHECK(store->Points(run->uid())->size() == 3);
  CHECK(store->Checkpoints(run->uid())->size() == 2);
  // Changes go on from its revision.
  const int64_t revision = *store->Revision();
  CHECK(revision > 0);
  CreateSmall(store.get(), "new");
  CHECK(*store->Revision() == revision + 1);
  CHECK(store->Events(revision, 10)->size() == 1);
  store.reset();
  CHECK(Open(state)->List({})->total_size == 2);
}
