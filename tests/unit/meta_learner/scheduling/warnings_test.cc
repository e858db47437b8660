// What the board has found out about peers, on its way into the experiments that used them.
#include <memory>
#include <string>
#include <vector>

#include "meta_learner/scheduling/scheduler.h"
#include "shards/shard_done.h"
#include "tests/fake_learners.h"
#include "tests/mailbox.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"

namespace mentor::meta_learner::TEST_FILE {

using S = v1::Experiment;
using testing::FakeLearner;
using testing::Running;
using testing::Signal;

// An experiment "a" that waits, and a learner that has computed for it.
struct Fixture {
  // A shard of the round after outer update `done`, used by the experiment with this uid.
  v1::Shard Used(const std::string& uid, uint32_t done) {
    board.SetStage("experiments/a", {.uid = uid, .done = done, .total = 9});
    Running run(&board, 1);
    v1::Shard shard = learner.WaitForShard(shards++);
    REQUIRE(learner.Answer(shard, 1).ok());
    REQUIRE(run.Join().ok());
    return shard;
  }
  void TakeBack(const v1::Shard& shard, const std::string& why) {
    v1::ShardDone done;
    done.set_shard_id(shard.shard_id());
    done.set_epoch(shard.epoch());
    done.set_error(shards::kTakenBack + why);
    REQUIRE(board.OnDone(learner.id, done).ok());
  }
  // The warnings of the experiment, once a scheduler has looked at everything.
  std::vector<std::string> Warnings() {
    NewExperiment late = testing::SmallExperiment();
    late.experiment.mutable_deadline()->set_seconds(1000);
    const std::string name = store->records.Create(late)->name();
    Scheduler scheduler({.records = &store->records,
                         .results = &store->results,
                         .board = &board,
                         .disk = &disk,
                         .running_max = 0},
                        metrics.get());
    // Its deadline is looked at after the warnings.
    Signal().WaitUntil([&] { return store->records.Get(name)->state() == S::STATE_FAILED; });
    const auto warnings = store->records.Get("experiments/a")->warnings();
    return {warnings.begin(), warnings.end()};
  }

  const testing::TempFolder folder;
  const std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  const std::string uid = testing::CreateSmall(store.get(), "a").uid();
  const std::unique_ptr<Metrics> metrics = Metrics::Create();
  DiskGuard disk{folder.path(), 0, metrics.get()};
  ShardBoard board{ShardBoard::Options{.check_every = 0}};
  FakeLearner learner{&board, 1};
  size_t shards = 0;
};

std::string After(int update) {
  const std::string number = std::to_string(update);
  return "; what came after outer update " + number +
         " may have used their numbers: clone the checkpoint of outer update " + number +
         ", or an earlier one (mentorctl clone experiments/a/checkpoints/" + number + ")";
}

TEST_CASE("warnings: an experiment has the last word on each peer", "[unit]") {
  Fixture fixture;
  const v1::Shard newer = fixture.Used(fixture.uid, 3), older = fixture.Used(fixture.uid, 1);
  fixture.TakeBack(newer, "actor 1 lies");
  fixture.TakeBack(newer, "actor 2 lies");
  CHECK(fixture.Warnings() ==
        std::vector<std::string>{"actor 1 lies" + After(3), "actor 2 lies" + After(3)});
  // More is known of one of them.
  fixture.TakeBack(older, "actor 2 lies");
  CHECK(fixture.Warnings() ==
        std::vector<std::string>{"actor 1 lies" + After(3), "actor 2 lies" + After(1)});
  CHECK(fixture.store->records.Get("experiments/a")->state() == S::STATE_QUEUED);
}

TEST_CASE("warnings: twenty at most, and none of a deleted experiment of the name", "[unit]") {
  Fixture fixture;
  const v1::Shard of_another = fixture.Used("a deleted one", 3);
  fixture.TakeBack(of_another, "actor 1 lies");
  CHECK(fixture.Warnings().empty());
  const v1::Shard shard = fixture.Used(fixture.uid, 3);
  for (int actor = 10; actor < 35; ++actor)
    fixture.TakeBack(shard, "actor " + std::to_string(actor) + " lies");
  const std::vector<std::string> warnings = fixture.Warnings();
  REQUIRE(warnings.size() == 20);
  CHECK(warnings.front() == "actor 10 lies" + After(3));
  CHECK(warnings.back() == "actor 29 lies" + After(3));
}

}  // namespace mentor::meta_learner::TEST_FILE
