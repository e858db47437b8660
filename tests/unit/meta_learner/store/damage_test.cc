// A changed byte in what a store keeps: what was proved is the same, or refused by name.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/file.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/state_folder.h"
#include "meta_learner/store/store.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::Contains;
using mentor::testing::TempFolder;
namespace fs = std::filesystem;
using S = v1::Experiment;

// How many of `all` changes to try: few, unless tests/run.sh is to find faults.
std::vector<size_t> Drawn(size_t all, size_t few) {
  std::vector<size_t> drawn;
  if (std::getenv("MENTOR_FAULT_TRIALS") != nullptr) few = all;
  const RandomStream random{.seed = 7};
  for (uint32_t i = 0; i < std::min(all, few); ++i)
    drawn.push_back(few >= all ? i : random.Below(static_cast<uint32_t>(all), 0, i));
  return drawn;
}

std::string Flipped(std::string bytes, size_t at) {
  bytes[at] ^= static_cast<char>(1 << (at + 3) % 8);
  return bytes;
}

void Replace(const fs::path& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(contents.data(), contents.size());
}

// Two experiments; "one" has run for two outer updates.
std::string MakeState(const fs::path& state) {
  const auto store = OpenStore(state).value();
  NewExperiment mine = testing::SmallExperiment("one");
  mine.owner = "ann";
  mine.request_id = NewUuid();
  mine.request_hash = "h";
  const std::string uid = store->records.Create(mine)->uid();
  testing::CreateSmall(store.get(), "other");
  const auto running =
      store->records.Transition("experiments/one", {S::STATE_QUEUED}, S::STATE_RUNNING).value();
  REQUIRE(store->files.PrepareFolder(uid).ok());
  for (const uint32_t step : {1u, 2u}) {
    const auto info = WriteCheckpoint(store->files.CheckpointFolder(uid),
                                      {.experiment_uid = uid,
                                       .outer_step = step,
                                       .spec_hash = SpecHash(running.spec()),
                                       .sections = {{"s", std::string(100, 'x')}}});
    REQUIRE(info.ok());
    REQUIRE(store->results
                .RecordOuterStep(uid, {.step = step, .results = {{"r", 0.5}}, .checkpoint = *info})
                .ok());
  }
  return uid;
}

std::unique_ptr<sql::Database> OpenDatabase(const fs::path& state) {
  auto database = sql::OpenSqlite(state / "mentor.db", /*read_only=*/false).value();
  REQUIRE(database->Execute("PRAGMA synchronous=OFF").ok());
  return database;
}

// Changes bytes (of integers, bits) of each column of the first experiment's row, one at a time,
// and calls `check` with a description. The row is as before afterwards.
void ChangeEachByte(sql::Database* database, const std::function<void(const std::string&)>& check) {
  const sql::Table& table = sql::TableOf("experiments");
  const std::vector<std::string> columns = absl::StrSplit(std::string(table.columns), ", ");
  for (size_t i = 1; i < columns.size(); ++i) {  // The test finds the row by the first.
    const std::string& column = columns[i];
    const char type = table.types[i];
    std::string text;
    int64_t number = 0;
    {
      auto row = database->Query("SELECT " + column + " FROM experiments WHERE number = 1");
      REQUIRE(*row.Step());
      text = row.Text(0);
      number = row.Integer(0);
    }
    const auto write = [&](const std::string& bytes, int64_t value) {
      auto update = database->Query("UPDATE experiments SET " + column + " = ? WHERE number = 1");
      if (type == 'i') {
        update.Bind(value);
      } else if (type == 't') {
        update.Bind(bytes);
      } else {
        update.Bind(sql::Blob{bytes});
      }
      REQUIRE(update.Run().ok());
    };
    for (const size_t change : Drawn(type == 'i' ? 62 : text.size(), 40)) {
      write(type == 'i' ? "" : Flipped(text, change), number ^ int64_t{1} << change);
      check(absl::StrCat(column, " changed at ", change));
      write(text, number);
    }
  }
}

TEST_CASE("damage: a row with any byte changed is one unreadable row", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  const auto store = OpenStore(folder.path()).value();
  const auto database = OpenDatabase(folder.path());
  REQUIRE(database->Execute("PRAGMA foreign_keys=OFF").ok());
  ChangeEachByte(database.get(), [&](const std::string& what) {
    INFO(what);
    const auto listed = store->records.List({})->experiments;
    const bool is_alone = listed.size() == 1 && listed[0].name() == "experiments/other";
    if (!is_alone) FAIL("lists show it");
    const absl::Status got = store->records.Get("experiments/one").status();
    const bool is_refused =
        absl::IsDataLoss(got) || (absl::IsNotFound(got) && what.starts_with("id "));
    if (!is_refused) FAIL(got.ToString());
    const auto changed =
        store->records.Transition("experiments/one", {S::STATE_RUNNING}, S::STATE_PAUSING);
    if (changed.ok()) FAIL("it can be changed");
    if (store->results.RecordPoints(uid, 3, {{"r", 1}}, {}).ok()) FAIL("it has new results");
    if (store->files.PrepareFolder(uid).ok()) FAIL("it can run");
  });
  CHECK(store->records.Get("experiments/one")->owner() == "ann");
}

TEST_CASE("damage: changed rows of checkpoints, changes, answers and points are left out",
          "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  const auto store = OpenStore(folder.path()).value();
  const auto database = OpenDatabase(folder.path());
  const auto execute = [&](const std::string& sql) {
    const absl::Status done = database->Execute(sql);
    INFO(done.ToString());
    REQUIRE(done.ok());
  };
  REQUIRE(store->results.Checkpoints(uid)->size() == 2);
  execute("UPDATE checkpoints SET state_hash = 'f' || substr(state_hash, 2) WHERE outer_step = 2");
  CHECK(store->results.Checkpoints(uid)->size() == 1);
  // It may have been pinned.
  CHECK(*store->results.ReleaseCheckpoints(uid, {1, 2}) == std::vector<uint32_t>{1});
  CHECK_FALSE(store->results.PinCheckpoint(uid, 2, true).ok());
  CheckpointInfo info;
  REQUIRE(ReadCheckpoint(store->files.CheckpointFolder(uid) / CheckpointFileName(2), &info).ok());
  REQUIRE(store->results.ReconcileCheckpoints(uid, {2}, {info}).ok());
  REQUIRE(store->results.Checkpoints(uid)->size() == 1);
  CHECK(store->results.Checkpoints(uid)->front().state_hash == info.state_hash);
  CHECK(store->results.Checkpoints(uid)->front().pinned);

  execute("UPDATE points SET value = 0.75 WHERE step = 1");
  CHECK(store->results.Points(uid)->at("r") == Series{{2, 0.5}});
  // Points of earlier versions have no proof.
  execute("UPDATE points SET crc32c = -1");
  CHECK(store->results.Points(uid)->at("r") == Series{{1, 0.75}, {2, 0.5}});

  const size_t events = store->records.Events(0, 100)->size();
  execute("UPDATE events SET kind = 3 WHERE revision = 3");
  CHECK(store->records.Events(0, 100)->size() == events - 1);

  execute("UPDATE requests SET response = substr(response, 2)");
  NewExperiment again = testing::SmallExperiment("one");
  again.owner = "ann";
  {
    auto row = database->Query("SELECT request_id FROM requests");
    REQUIRE(*row.Step());
    again.request_id = row.Text(0).substr(row.Text(0).find('/') + 1);
  }
  again.request_hash = "h";
  CHECK(absl::IsDataLoss(store->records.Create(again).status()));
}

TEST_CASE("damage: a spec's file that is too long is not read", "[unit]") {
  const TempFolder folder;
  const fs::path file = folder.path() / "spec.txtpb";
  Replace(file, std::string((4 << 20) + 1, ' '));
  CHECK(absl::IsResourceExhausted(ReadSpecFile(file).status()));
}

TEST_CASE("damage: a changed revision of the store refuses the start", "[unit]") {
  const TempFolder folder;
  MakeState(folder.path());
  for (const char* value : {"", "1", "x", "6x"}) {
    REQUIRE(OpenDatabase(folder.path())
                ->Query("UPDATE meta SET value = ? WHERE key = 'revision'")
                .Bind(value)
                .Run()
                .ok());
    const absl::Status refused = OpenStore(folder.path()).status();
    INFO(refused.ToString());
    CHECK(Contains(refused, "the revision of the store is"));
  }
  REQUIRE(OpenDatabase(folder.path())->Execute("DELETE FROM meta WHERE key = 'revision'").ok());
  CHECK(absl::IsDataLoss(OpenStore(folder.path()).status()));
}

TEST_CASE("damage: a deletion whose row is changed removes nothing else", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  REQUIRE(OpenDatabase(folder.path())->Execute("INSERT INTO deletions(uid) VALUES('')").ok());
  const auto store = OpenStore(folder.path());
  REQUIRE(store.ok());
  CHECK(fs::exists((*store)->files.ExperimentFolder(uid)));
}

TEST_CASE("damage: rows of an earlier version are taken over, but for a changed spec", "[unit]") {
  const TempFolder folder;
  MakeState(folder.path());
  {
    const auto database = OpenDatabase(folder.path());
    for (const char* table : {"experiments", "requests", "checkpoints", "events"}) {
      REQUIRE(database->Execute(absl::StrCat("ALTER TABLE ", table, " DROP COLUMN digest")).ok());
    }
    REQUIRE(database->Execute("ALTER TABLE points DROP COLUMN crc32c").ok());
    REQUIRE(database->Execute("PRAGMA user_version=2").ok());
    std::string spec;
    {
      auto row = database->Query("SELECT spec FROM experiments WHERE id = 'other'");
      REQUIRE(*row.Step());
      v1::ExperimentSpec changed;
      REQUIRE(changed.ParseFromString(row.Text(0)));
      changed.set_seed(changed.seed() ^ 4);
      spec = changed.SerializeAsString();
    }
    REQUIRE(database->Query("UPDATE experiments SET spec = ? WHERE id = 'other'")
                .Bind(sql::Blob{spec})
                .Run()
                .ok());
  }
  const auto store = OpenStore(folder.path());
  REQUIRE(store.ok());
  const auto one = (*store)->records.Get("experiments/one");
  REQUIRE(one.ok());
  CHECK((*store)->results.Checkpoints(one->uid())->size() == 2);
  CHECK((*store)->results.Points(one->uid())->at("r").size() == 2);
  // Changes are shown with their spec, which the row of the other one does not have.
  CHECK((*store)->records.Events(0, 100)->size() == 4);
  CHECK(absl::IsDataLoss((*store)->records.Get("experiments/other").status()));
  CHECK((*store)->records.List({})->experiments.size() == 1);
  CHECK(fs::exists(folder.path() / "mentor.db.v2"));
}

TEST_CASE("damage: a row that names another folder keeps nobody else from starting", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  {
    const auto database = OpenDatabase(folder.path());
    REQUIRE(database->Execute("PRAGMA foreign_keys=OFF").ok());
    std::string other = uid;
    other[0] = other[0] == '0' ? '1' : '0';
    REQUIRE(
        database->Query("UPDATE experiments SET uid = ? WHERE id = 'one'").Bind(other).Run().ok());
  }
  {
    const auto store = OpenStore(folder.path());
    REQUIRE(store.ok());
    CHECK((*store)->records.List({})->experiments.size() == 1);
    CHECK(absl::IsDataLoss((*store)->records.Get("experiments/one").status()));
  }
  const auto done = Reindex({.folder = folder.path()});
  REQUIRE(done.ok());
  REQUIRE(done->size() == 1);
  CHECK(done->front().status.ok());
  const auto store = OpenStore(folder.path());
  REQUIRE(store.ok());
  const auto back = (*store)->records.Get("experiments/one");
  REQUIRE(back.ok());
  CHECK(back->uid() == uid);
  CHECK(back->owner() == "ann");
  CHECK((*store)->records.List({})->experiments.size() == 2);
}

// The spec, name and owner that reindex gives the experiment of a folder; or its error.
absl::StatusOr<v1::Experiment> ReindexedOf(const fs::path& state, const std::string& uid,
                                           std::string* from) {
  const auto done = Reindex({.folder = state});
  REQUIRE(done.ok());
  for (const Reindexed& one : *done) {
    if (one.uid != uid) continue;
    *from = one.spec_from;
    if (!one.status.ok()) return one.status;
    return one.experiment;
  }
  return absl::NotFoundError("not among them");
}

TEST_CASE("damage: reindex takes the spec whose hash the checkpoints have, and says so", "[unit]") {
  const TempFolder folder;
  const fs::path state = folder.path() / "state";
  const std::string uid = MakeState(state);
  const std::string hash =
      SpecHash(OpenStore(state).value()->records.Get("experiments/one")->spec());
  const fs::path about = fs::path("experiments") / uid / "experiment.txtpb";
  const std::string whole = *ReadFile(state / about, 1 << 20);
  REQUIRE(whole.starts_with("# sha256 "));
  const std::string unsealed = whole.substr(whole.find('\n') + 1);
  for (const bool sealed : {true, false}) {
    const std::string& text = sealed ? whole : unsealed;
    for (const size_t at : Drawn(text.size(), 20)) {
      const fs::path copy = folder.path() / "copy";
      fs::remove_all(copy);
      fs::copy(state, copy, fs::copy_options::recursive);
      for (const char* suffix : {"", "-wal", "-shm"})
        fs::remove((copy / "mentor.db").string() + suffix);
      Replace(copy / about, Flipped(text, at));
      std::string from;
      const auto back = ReindexedOf(copy, uid, &from);
      INFO("byte " << at << ": " << back.status().ToString());
      REQUIRE(back.ok());
      CHECK(SpecHash(back->spec()) == hash);
      CHECK(Contains(from, hash));
      CHECK(Contains(from, "its hash is that of the checkpoints"));
      // Only the SHA-256 proves the owner.
      if (sealed) CHECK((back->owner() == "ann" || Contains(from, "experiment.txtpb is damaged")));
      if (back->owner() != "ann")
        CHECK(Contains(from, "settings are lost, and name and owner are made up: check them"));
    }
  }
}

TEST_CASE("damage: reindex refuses a folder whose checkpoints are of no spec that it has",
          "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  const auto spec = LoadSpec("benchmark { name: 'point_reach' } seed: 9").value();
  const fs::path own = folder.path() / "experiments" / uid;
  Replace(own / "experiment.txtpb", "spec { " + PrintSpec(spec) + " }");
  for (const char* name : {"spec.txtpb", "merged.txtpb"}) Replace(own / name, PrintSpec(spec));
  for (const char* suffix : {"", "-wal", "-shm"})
    fs::remove((folder.path() / "mentor.db").string() + suffix);
  std::string from;
  const auto refused = ReindexedOf(folder.path(), uid, &from).status();
  CHECK(absl::IsDataLoss(refused));
  CHECK(Contains(refused, SpecHash(spec)));
  CheckpointInfo info;
  const auto kept =
      ReadCheckpoint(folder.path() / "lost" / uid / "checkpoints" / CheckpointFileName(2), &info);
  REQUIRE(kept.ok());
  CHECK(Contains(refused, kept->spec_hash));
}

TEST_CASE("damage: reindex takes no name from another experiment's file", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  const std::string other =
      OpenStore(folder.path()).value()->records.Get("experiments/other")->uid();
  const auto about = [&](const std::string& of) {
    return folder.path() / "experiments" / of / "experiment.txtpb";
  };
  fs::rename(about(uid), folder.path() / "kept");
  fs::rename(about(other), about(uid));
  fs::rename(folder.path() / "kept", about(other));
  for (const char* suffix : {"", "-wal", "-shm"})
    fs::remove((folder.path() / "mentor.db").string() + suffix);
  const auto done = Reindex({.folder = folder.path()});
  REQUIRE(done.ok());
  REQUIRE(done->size() == 2);
  for (const Reindexed& one : *done) {
    INFO(one.uid << ": " << one.status << one.spec_from);
    const std::string said = std::string(one.status.message()) + one.spec_from;
    CHECK(Contains(said, "experiment.txtpb is of another experiment, with the UID " +
                             (one.uid == uid ? other : uid)));
    // "other" has neither checkpoints nor files of its spec.
    CHECK(one.status.ok() == (one.uid == uid));
  }
  const auto listed = OpenStore(folder.path()).value()->records.List({})->experiments;
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].uid() == uid);
  CHECK(listed[0].name() == "experiments/exp-" + UuidBase32(uid, 10));
  CHECK(listed[0].owner() == "local");
}

TEST_CASE("damage: a folder that is copied under a new UID is named and left out", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path()), copy = NewUuid();
  fs::copy(folder.path() / "experiments" / uid, folder.path() / "experiments" / copy,
           fs::copy_options::recursive);
  CHECK(Contains(OpenStore(folder.path()).status(), copy));
  std::string from;
  const absl::Status refused = ReindexedOf(folder.path(), copy, &from).status();
  CHECK(absl::IsDataLoss(refused));
  CHECK(Contains(refused, "is of another experiment, with the UID " + uid));
  CHECK(fs::exists(folder.path() / "lost" / copy / "experiment.txtpb"));
  CHECK(OpenStore(folder.path()).value()->records.List({})->experiments.size() == 2);
}

TEST_CASE("damage: a damaged row is brought back with the owner of its file", "[unit]") {
  const TempFolder folder;
  const std::string uid = MakeState(folder.path());
  REQUIRE(OpenDatabase(folder.path())
              ->Execute("UPDATE experiments SET owner = 'eve', priority = 3 WHERE id = 'one'")
              .ok());
  CHECK(
      absl::IsDataLoss(OpenStore(folder.path()).value()->records.Get("experiments/one").status()));
  std::string from;
  const auto back = ReindexedOf(folder.path(), uid, &from);
  REQUIRE(back.ok());
  CHECK(back->owner() == "ann");
  CHECK(back->priority() == v1::PRIORITY_NORMAL);
}

TEST_CASE("damage: a FORMAT with any byte changed is damaged, and not of a newer version",
          "[unit]") {
  const TempFolder folder;
  MakeState(folder.path());
  const std::string whole = "mentor-state 1\n";
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[at] ^= static_cast<char>(1 << bit);
      Replace(folder.path() / "FORMAT", changed);
      const absl::Status refused = OpenStore(folder.path()).status();
      INFO(changed << ": " << refused.ToString());
      CHECK(Contains(refused, "FORMAT is damaged"));
      CHECK(Contains(refused, "write 'mentor-state 1' and a line end into it"));
    }
  }
  for (const char* text : {"", "mentor-state 1", "mentor-state 0\n", "mentor-state 12x\n"}) {
    Replace(folder.path() / "FORMAT", text);
    CHECK(absl::IsDataLoss(OpenStore(folder.path()).status()));
  }
  Replace(folder.path() / "FORMAT", whole);
  CHECK(OpenStore(folder.path()).ok());
}

}  // namespace mentor::TEST_FILE
