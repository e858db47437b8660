#include "meta_learner/store/store.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include <sys/stat.h>

#include "common/failpoint.h"
#include "common/file.h"
#include "common/log.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/state_folder.h"
#include "tests/objects.h"
#include "tests/paths.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::CreateSmall;
using mentor::testing::TempFolder;
using S = v1::Experiment;

std::unique_ptr<Store> Open(const std::filesystem::path& folder) {
  return OpenStore(folder).value();
}

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
  CHECK(std::filesystem::is_directory(store->files.ExperimentFolder(experiment.uid())));
  REQUIRE(store->records.Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->files.PrepareFolder(experiment.uid()).ok());
  const auto own = store->files.ExperimentFolder(experiment.uid());
  CHECK(own == state / "experiments" / experiment.uid());
  CHECK(store->files.CheckpointFolder(experiment.uid()) == own / "checkpoints");
  CHECK(std::filesystem::is_directory(own / "checkpoints"));
  const auto submitted = LoadSpec(*ReadFile(own / "spec.txtpb", 10000));
  const auto merged = LoadSpec(*ReadFile(own / "merged.txtpb", 10000));
  CHECK_FALSE(submitted->agent().has_epochs());
  CHECK(merged->agent().has_epochs());
  CHECK(SpecHash(*submitted) == SpecHash(*merged));
}

TEST_CASE("store: a bucket that is away keeps nobody from leading, but for a new database",
          "[unit]") {
  class AwayObjects : public testing::MemoryObjects {
   public:
    absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                         const Cancel* cancel) override {
      if (away) return absl::UnavailableError("away");
      return MemoryObjects::ListFolders(prefix, cancel);
    }
  };
  const TempFolder folder;
  const auto bucket = std::make_shared<AwayObjects>();
  const StoreOptions options{.folder = folder.path(), .objects = bucket};
  bucket->away = true;
  // It may replace a lost one.
  CHECK(absl::IsUnavailable(OpenStore(options).status()));
  bucket->away = false;
  CreateSmall(OpenStore(options).value().get(), "one");
  bucket->away = true;
  const auto store = OpenStore(options);
  REQUIRE(store.ok());
  CHECK((*store)->records.Get("experiments/one").ok());
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
  std::filesystem::path about;
  {
    const auto store = Open(state);
    CreateSmall(store.get(), "one");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(state))
      CHECK(mode(entry.path()) == (entry.is_directory() ? 0700 : 0600));
    about = store->files.ExperimentFolder(store->records.Get("experiments/one")->uid()) /
            "experiment.txtpb";
    REQUIRE(BackUp({.folder = state}, folder.path() / "backup").ok());
    CHECK(mode(folder.path() / "backup/mentor.db") == 0600);
  }
  // Older versions left these files open to all.
  for (const std::filesystem::path& path : {state / "mentor.db", about})
    REQUIRE(chmod(path.c_str(), 0644) == 0);
  const auto store = Open(state);
  CHECK(mode(about) == 0600);
  for (const char* name : {"mentor.db", "mentor.db-wal", "mentor.db-shm"})
    CHECK(mode(state / name) == 0600);
  umask(before);
}

void RemoveDatabase(const std::filesystem::path& state, const std::vector<std::string>& suffixes) {
  for (const std::string& suffix : suffixes)
    std::filesystem::remove((state / "mentor.db").string() + suffix);
}

// Writes a checkpoint of this experiment and records it in the store.
void Step(Store* store, const v1::Experiment& experiment, uint32_t step) {
  const auto info = WriteCheckpoint(store->files.CheckpointFolder(experiment.uid()),
                                    {.experiment_uid = experiment.uid(),
                                     .outer_step = step,
                                     .spec_hash = SpecHash(experiment.spec()),
                                     .sections = {{"s", std::string(100, 'x')}}});
  REQUIRE(info.ok());
  REQUIRE(
      store->results.RecordOuterStep(experiment.uid(), {.step = step, .checkpoint = *info}).ok());
}

TEST_CASE("store: folders without rows refuse the start, and reindex brings them back (D10)",
          "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "state";
  std::string uid, hash;
  {
    const auto store = Open(state);
    NewExperiment mine = testing::SmallExperiment("mine");
    mine.owner = "ann";
    mine.experiment.set_weight(7);
    (*mine.experiment.mutable_labels())["team"] = "a";
    uid = store->records.Create(mine)->uid();
    CreateSmall(store.get(), "never-run");
    const auto running =
        store->records.Transition("experiments/mine", {S::STATE_QUEUED}, S::STATE_RUNNING).value();
    REQUIRE(store->files.PrepareFolder(uid).ok());
    Step(store.get(), running, 1);
    Step(store.get(), running, 2);
    hash = store->results.Checkpoints(uid)->back().state_hash;
  }
  // An experiment of an older version has its spec alone. Another one is unknown.
  const std::string older = NewUuid(), broken = NewUuid();
  std::filesystem::create_directories(state / "experiments" / older);
  std::filesystem::copy_file(state / "experiments" / uid / "spec.txtpb",
                             state / "experiments" / older / "spec.txtpb");
  std::filesystem::create_directories(state / "experiments" / broken / "checkpoints");
  // Not ours.
  std::filesystem::create_directories(state / "experiments" / "lost+found");
  RemoveDatabase(state, {"", "-wal", "-shm"});

  for (int i = 0; i < 2; ++i) {
    const auto refused = OpenStore(state);
    REQUIRE(refused.status().code() == absl::StatusCode::kDataLoss);
    const std::string message(refused.status().message());
    CHECK(message.find("4 experiments") != message.npos);
    CHECK(message.find("reindex") != message.npos);
  }
  const auto done = Reindex({.folder = state});
  REQUIRE(done.ok());
  CHECK(done->size() == 4);
  for (const Reindexed& one : *done) CHECK(one.status.ok() == (one.uid != broken));
  CHECK(std::filesystem::exists(state / "lost" / broken));

  const auto store = Open(state);
  CHECK(store->records.List({})->total_size == 3);
  const auto back = store->records.Get("experiments/mine");
  REQUIRE(back.ok());
  CHECK(back->uid() == uid);
  CHECK(back->owner() == "ann");
  CHECK(back->weight() == 7);
  CHECK(back->labels().at("team") == "a");
  CHECK(back->state() == S::STATE_PAUSED);
  CHECK(back->pause_reason() == S::PAUSE_REASON_USER);
  CHECK(back->progress().outer_updates() == 2);
  CHECK(back->progress().outer_updates_total() == 5);
  CHECK(store->results.Checkpoints(uid)->size() == 2);
  CHECK(store->results.Checkpoints(uid)->back().state_hash == hash);
  CHECK(store->records.Get("experiments/never-run")->state() == S::STATE_PAUSED);
  CHECK(store->records.Get("experiments/exp-" + UuidBase32(older, 10))->owner() == "local");
  CHECK(store->records.Transition("experiments/mine", {S::STATE_PAUSED}, S::STATE_QUEUED).ok());
}

TEST_CASE("store: a deadline that passed before a reindex fails nothing after it", "[unit]") {
  const bool row_is_lost = GENERATE(true, false);
  const TempFolder folder;
  const auto state = folder.path() / "state";
  {
    const auto store = Open(state);
    NewExperiment mine = testing::SmallExperiment("mine");
    mine.experiment.mutable_deadline()->set_seconds(1000);
    mine.experiment.mutable_retention()->mutable_ttl()->set_seconds(60);
    const auto made = store->records.Create(mine);
    REQUIRE(made.ok());
    REQUIRE(ReadAbout(store->files.ExperimentFolder(made->uid()))->has_deadline());
    REQUIRE(store->records.PastDeadline(INT64_MAX)->size() == 1);
  }
  if (row_is_lost) {
    RemoveDatabase(state, {"", "-wal", "-shm"});
  } else {
    REQUIRE(sql::OpenSqlite(state / "mentor.db", /*read_only=*/false)
                .value()
                ->Execute("UPDATE experiments SET details = x'ffff' WHERE id = 'mine'")
                .ok());
  }
  REQUIRE(Reindex({.folder = state})->size() == 1);
  const auto store = Open(state);
  CHECK(store->records.PastDeadline(INT64_MAX)->empty());
  CHECK(store->records.Expired(INT64_MAX)->empty());
  const auto resumed =
      store->records.Transition("experiments/mine", {S::STATE_PAUSED}, S::STATE_QUEUED);
  REQUIRE(resumed.ok());
  CHECK_FALSE(resumed->has_deadline());
  CHECK(resumed->retention().ttl().seconds() == 60);  // Other settings are kept.
  CHECK(store->records.PastDeadline(INT64_MAX)->empty());
}

TEST_CASE("store: with the log gone, little is gone, and it is said (D10)", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "state", copy = folder.path() / "copy";
  const auto store = Open(state);
  CreateSmall(store.get(), "one");
  REQUIRE(store->records.EmptyLog().ok());
  CHECK(std::filesystem::file_size(state / "mentor.db-wal") == 0);
  // As a crash leaves it. Then its log is removed, and only the moved part is in the database.
  std::filesystem::copy(state, copy, std::filesystem::copy_options::recursive);
  RemoveDatabase(copy, {"-wal", "-shm"});
  CHECK(Open(copy)->records.Get("experiments/one").ok());
  std::filesystem::remove_all(copy);
  CreateSmall(store.get(), "two");
  std::filesystem::copy(state, copy, std::filesystem::copy_options::recursive);
  RemoveDatabase(copy, {"-wal", "-shm"});
  CHECK(OpenStore(copy).status().code() == absl::StatusCode::kDataLoss);
  REQUIRE(Reindex({.folder = copy}).ok());
  CHECK(Open(copy)->records.Get("experiments/two")->state() == S::STATE_PAUSED);
}

TEST_CASE("store: one row that cannot be read is one row (D10)", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "state";
  std::string uid;
  {
    const auto store = Open(state);
    for (const char* id : {"a", "b", "c"}) CreateSmall(store.get(), id);
    const auto running =
        store->records.Transition("experiments/b", {S::STATE_QUEUED}, S::STATE_RUNNING).value();
    uid = running.uid();
    Step(store.get(), running, 1);
    REQUIRE(store->results.RecordPoints(uid, 1, {{"seg2", 0.5}}, {}).ok());
  }
  {
    const auto database = sql::OpenSqlite(state / "mentor.db", /*read_only=*/false);
    REQUIRE(database.ok());
    REQUIRE((*database)
                ->Execute("UPDATE experiments SET details = x'ffff', spec = x'ff' WHERE id = 'b'")
                .ok());
  }
  {
    const auto store = Open(state);
    const auto before = log::Counts()[3];
    const auto names = [](const std::vector<v1::Experiment>& experiments) {
      std::string text;
      for (const v1::Experiment& experiment : experiments) text += experiment.name().back();
      return text;
    };
    CHECK(names(store->records.List({})->experiments) == "ac");
    CHECK(names(store->records.List({.order_by = "create_time desc"})->experiments) == "ca");
    CHECK(names(store->records.ReadSnapshot({})->experiments) == "ac");
    CHECK(names(*store->records.InStates({S::STATE_QUEUED, S::STATE_RUNNING})) == "ac");
    CHECK(log::Counts()[3] == before + 1);  // Said once.
    // The next pages continue behind it.
    const auto first = store->records.List({.page_size = 2});
    CHECK(names(first->experiments) == "a");
    CHECK(names(store->records.List({.page_size = 2, .page_token = first->next_page_token})
                    ->experiments) == "c");
    CHECK(store->records.Get("experiments/b").status().code() == absl::StatusCode::kDataLoss);
    CHECK(store->records.Events(0, 100).ok());
  }
  const auto done = Reindex({.folder = state});
  REQUIRE(done.ok());
  REQUIRE(done->size() == 1);
  CHECK(done->front().status.ok());
  const auto store = Open(state);
  CHECK(store->records.List({})->experiments.size() == 3);
  CHECK(store->records.Get("experiments/b")->state() == S::STATE_PAUSED);
  CHECK(store->records.Get("experiments/b")->progress().outer_updates() == 1);
  CHECK(store->results.Points(uid)->at("seg2").size() ==
        1);  // Rows that refer to it are still there.
}

TEST_CASE("store: a folder of checkpoints that is gone is named at the start (D10)", "[unit]") {
  const TempFolder folder;
  {
    const auto store = Open(folder.path());
    const auto running = testing::StartSmall(store.get(), "one");
    Step(store.get(), running, 1);
    std::filesystem::remove_all(store->files.CheckpointFolder(running.uid()));
  }
  const auto before = log::Counts()[2];
  Open(folder.path()).reset();
  CHECK(log::Counts()[2] == before + 1);
}

TEST_CASE("store: what a deletion still removes is no reason to refuse (D10)", "[unit]") {
  const TempFolder folder;
  std::filesystem::path own;
  {
    const auto store = Open(folder.path());
    const auto gone = CreateSmall(store.get(), "gone");
    own = store->files.ExperimentFolder(gone.uid());
    REQUIRE(store->records.Transition(gone.name(), {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
    std::filesystem::rename(own, folder.path() / "aside");
    REQUIRE(store->records.Delete(gone.name(), "").ok());
  }
  // As if a crash had come between the row and the files.
  std::filesystem::rename(folder.path() / "aside", own);
  {
    const auto database =
        sql::OpenSqlite(folder.path() / "mentor.db", /*read_only=*/false).value().release();
    const std::unique_ptr<sql::Database> owned(database);
    REQUIRE(owned->Query("INSERT INTO deletions(uid) VALUES(?)")
                .Bind(own.filename().string())
                .Run()
                .ok());
  }
  CHECK(OpenStore(folder.path()).ok());
  CHECK_FALSE(std::filesystem::exists(own));
}

TEST_CASE("store: a deletion whose files could not be removed is ended at the next start",
          "[unit]") {
  const TempFolder folder;
  std::filesystem::path own;
  {
    const auto store = Open(folder.path());
    const auto gone = CreateSmall(store.get(), "gone");
    own = store->files.ExperimentFolder(gone.uid());
    REQUIRE(store->records.Transition(gone.name(), {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
    REQUIRE(failpoint::Arm("store.delete.before_files=1:error(EIO)").ok());
    CHECK(store->records.Delete(gone.name(), "").ok());
    REQUIRE(failpoint::Arm("").ok());
    CHECK(std::filesystem::exists(own));
  }
  CHECK(OpenStore(folder.path()).ok());
  CHECK_FALSE(std::filesystem::exists(own));
}

TEST_CASE("store: a request is remembered for a day, and no longer", "[unit]") {
  const TempFolder folder;
  const auto store = OpenStore(folder.path()).value();
  const auto request = [](const std::string& owner) {
    NewExperiment made = testing::SmallExperiment();
    made.owner = owner;
    made.request_id = NewUuid();
    made.request_hash = "h";
    return made;
  };
  const NewExperiment first = request("ann"), second = request("ann");
  const std::string name = store->records.Create(first)->name();
  const std::string other = store->records.Create(second)->name();
  CHECK(other != name);
  CHECK(store->records.Create(first)->name() == name);
  CHECK(store->records.Create(second)->name() == other);
  // An earlier version wrote it like this.
  const auto database = sql::OpenSqlite(folder.path() / "mentor.db", /*read_only=*/false).value();
  REQUIRE(database
              ->Execute("UPDATE requests SET request_id = '" + first.request_id +
                        "' WHERE request_id LIKE '%" + first.request_id + "'")
              .ok());
  REQUIRE(sql::Seal(sql::TableOf("requests"), {first.request_id}, database.get()).ok());
  CHECK(store->records.Create(first)->name() == name);
  REQUIRE(database->Execute("UPDATE requests SET expire_time = 1").ok());
  CHECK_FALSE(store->records.Answered(second)->has_value());
  const std::string late = store->records.Create(second)->name();
  CHECK(late != other);
  CHECK(store->records.Create(second)->name() == late);
}

TEST_CASE("store: a folder has one owner", "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  const auto second = OpenStore(folder.path());
  CHECK(ReasonOf(second.status()) == "IN_USE");
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(second.status().message())
            .find("is in use by mentor run or mentor-meta-learner (process ") != std::string::npos);
  std::filesystem::remove(folder.path() / "LOCK");
  CHECK(ReasonOf(OpenStore(folder.path()).status()) == "IN_USE");
  store.reset();
  CHECK(OpenStore(folder.path()).ok());
}

TEST_CASE("store: folders of a newer program or of something else are left alone", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "state";
  Open(state).reset();
  std::ofstream(state / "FORMAT") << "mentor-state 2\n";
  absl::Status refused = OpenStore(state).status();
  CHECK(refused.message().find("is of version 'mentor-state 2'") != std::string_view::npos);
  CHECK(ReasonOf(refused) == "TOO_NEW");
  std::ofstream(state / "FORMAT") << "mentor-state 1\n";
  {
    auto database = sql::OpenSqlite(state / "mentor.db", false);
    REQUIRE((*database)->Execute("PRAGMA user_version=99").ok());
  }
  refused = OpenStore(state).status();
  CHECK(refused.message().find("mentor.db is of version 99, this program knows 3") !=
        std::string_view::npos);
  CHECK(ReasonOf(refused) == "TOO_NEW");

  const auto other = folder.path() / "other";
  REQUIRE(MakeFolders(other).ok());
  std::ofstream(other / "thesis.tex") << "precious";
  refused = OpenStore(other).status();
  CHECK(refused.message().find("is not empty (it has thesis.tex)") != std::string_view::npos);
  CHECK_FALSE(std::filesystem::exists(other / "LOCK"));

  const auto file = folder.path() / "file";
  std::ofstream(file) << "x";
  CHECK_FALSE(OpenStore(file).ok());
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
  const auto text = ReadFile(testing::SourcePath("tests/data/store/v1.sql"), 100'000);
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
  const auto run = store->records.Get("experiments/run");
  REQUIRE(run.ok());
  CHECK(run->state() == S::STATE_SUCCEEDED);
  CHECK(run->owner() == "local");
  CHECK(run->priority() == v1::PRIORITY_NORMAL);
  CHECK(run->weight() == 1);
  CHECK(run->display_name() == "2-D navigation, Reptile");
  CHECK(run->spec().rule().name() == "reptile");
  CHECK(store->results.Points(run->uid())->size() == 3);
  CHECK(store->results.Checkpoints(run->uid())->size() == 2);
  // Changes continue from its revision.
  const int64_t revision = *store->records.Revision();
  CHECK(revision > 0);
  CreateSmall(store.get(), "new");
  CHECK(*store->records.Revision() == revision + 1);
  CHECK(store->records.Events(revision, 10)->size() == 1);
  store.reset();
  CHECK(Open(state)->records.List({})->total_size == 2);
}

}  // namespace mentor::TEST_FILE
