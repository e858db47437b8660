// Verdicts on learners and shards, case by case, and the texts that follow from them.
#include "meta_learner/fleet/shard_verdict.h"

#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using std::chrono::seconds;

constexpr uint64_t WithProcess(uint64_t bytes) {
  return shards::kLearnerProcessBytes + bytes;
}

// A learner that may have the shard at 100 s. Each test changes what its name says.
struct Pair {
  LearnerInfo info{.name = "a", .arithmetic = "cpu bits", .memory_bytes = WithProcess(100)};
  std::set<std::string> offered{"gym", "dm"};
  Standing standing{Standing::Options{.strikes_max = 1, .quarantine_min = seconds(30)}};
  bool draining = false, has_suspect = false;
  shards::LearnerMemory held{.bytes = 40};

  shards::ShardMemory memory{.bytes = 50, .bytes_per_thread = 10};
  std::set<std::string> needed{"gym"};
  TriedAt tried;
  std::set<std::string> answered{"b"};
  std::string arithmetic = "cpu bits";
  bool is_suspect = false, may_repeat = false;

  Verdict At(seconds now) const {
    return Judge({.info = info,
                  .simulators = offered,
                  .standing = standing,
                  .draining = draining,
                  .has_suspect = has_suspect,
                  .held = held},
                 {.memory = memory,
                  .simulators = needed,
                  .tried = tried,
                  .answered = answered,
                  .arithmetic = arithmetic,
                  .is_suspect = is_suspect,
                  .may_repeat = may_repeat},
                 now);
  }
};

TEST_CASE("shard verdict: each obstacle by itself, and before all later ones", "[unit]") {
  struct Case {
    Obstacle obstacle;
    void (*spoil)(Pair*);
    void (*spare)(Pair*);  // As close to the limit, and within it.
  };
  // In the order of Obstacle.
  const std::vector<Case> cases = {
      {Obstacle::kArithmetic, [](Pair* pair) { pair->arithmetic = "cuda bits"; },
       [](Pair* pair) { pair->arithmetic.clear(); }},
      {Obstacle::kMemory, [](Pair* pair) { pair->memory.bytes = 91; },
       [](Pair* pair) {
         pair->memory.bytes = 90;
         pair->held = {};
       }},
      {Obstacle::kSimulator, [](Pair* pair) { pair->needed.insert("own"); },
       [](Pair* pair) { pair->needed.insert("dm"); }},
      {Obstacle::kDraining, [](Pair* pair) { pair->draining = true; }, [](Pair*) {}},
      {Obstacle::kQuarantine, [](Pair* pair) { pair->standing.Strike(seconds(71)); },
       [](Pair* pair) { pair->standing.Strike(seconds(70)); }},
      {Obstacle::kTried, [](Pair* pair) { pair->tried.Add("a"); },
       [](Pair* pair) { pair->tried.Add("b"); }},
      {Obstacle::kAnswered, [](Pair* pair) { pair->answered.insert("a"); }, [](Pair*) {}},
      {Obstacle::kSuspect, [](Pair* pair) { pair->is_suspect = true; }, [](Pair*) {}},
      {Obstacle::kSuspect, [](Pair* pair) { pair->has_suspect = true; }, [](Pair*) {}},
      {Obstacle::kRoom, [](Pair* pair) { pair->held.bytes = 41; },
       [](Pair* pair) { pair->info.memory_bytes = 0; }},
  };
  CHECK(Pair().At(seconds(100)).obstacle == Obstacle::kNone);
  Pair all;
  for (auto last = cases.rbegin(); last != cases.rend(); ++last) {
    INFO(static_cast<int>(last->obstacle));
    Pair one, spared;
    last->spoil(&one);
    CHECK(one.At(seconds(100)).obstacle == last->obstacle);
    last->spare(&spared);
    CHECK(spared.At(seconds(100)).obstacle == Obstacle::kNone);
    last->spoil(&all);
    CHECK(all.At(seconds(100)).obstacle == last->obstacle);
  }
}

TEST_CASE("shard verdict: a learner repeats a shard after a wait, if no other one can try it",
          "[unit]") {
  Pair pair;
  pair.tried.Failed("a", seconds(100), {.wait_min = seconds(5)});
  CHECK(pair.At(seconds(105)).obstacle == Obstacle::kTried);
  pair.may_repeat = true;
  CHECK(pair.At(seconds(104)).obstacle == Obstacle::kTried);
  CHECK(pair.At(seconds(105)).obstacle == Obstacle::kNone);
}

TEST_CASE("shard verdict: people read what a learner lacks, and nothing about what passes",
          "[unit]") {
  Pair pair;
  pair.arithmetic = "cuda bits";
  CHECK(RefusalOf(pair.At(seconds(100))) == "results come from 'cuda bits'");
  pair = {};
  pair.memory.bytes = 91;
  CHECK(RefusalOf(pair.At(seconds(100))) == "needs more memory");
  pair = {};
  pair.needed = {"own"};
  CHECK(RefusalOf(pair.At(seconds(100))) == "none of its actors offers simulator 'own'");
  for (const Obstacle obstacle :
       {Obstacle::kDraining, Obstacle::kQuarantine, Obstacle::kTried, Obstacle::kAnswered,
        Obstacle::kSuspect, Obstacle::kRoom, Obstacle::kNone})
    CHECK(RefusalOf({.obstacle = obstacle}).empty());
}

TEST_CASE("shard verdict: a shard waits for what all learners lack", "[unit]") {
  const Verdict unlike{.obstacle = Obstacle::kArithmetic, .missing = "cuda bits"};
  const Verdict gym{.obstacle = Obstacle::kSimulator, .missing = "gym"};
  const Verdict draining{.obstacle = Obstacle::kDraining}, busy{.obstacle = Obstacle::kRoom};
  const auto lacks = [](bool of_device, uint64_t needed, uint64_t most) {
    return Verdict{.obstacle = Obstacle::kMemory,
                   .memory = {.of_device = of_device, .needed = needed, .most = most}};
  };
  CHECK(ShortageOf({}).needed == 0);
  CHECK(ShortageOf({unlike}).needed == 0);
  MemoryShortage shortage = ShortageOf({lacks(false, 9, 4), unlike, lacks(false, 8, 7)});
  CHECK_FALSE(shortage.of_device);
  CHECK(shortage.needed == 9);
  CHECK(shortage.most == 7);
  shortage = ShortageOf({lacks(false, 9, 4), lacks(true, 5, 3)});
  CHECK(shortage.of_device);
  CHECK(shortage.needed == 5);
  CHECK(shortage.most == 3);
  CHECK(ShortageOf({lacks(false, 9, 4), gym}).needed == 0);
  CHECK(MissingSimulator({}).empty());
  CHECK(MissingSimulator({gym, unlike}) == "gym");
  CHECK(MissingSimulator({gym, busy}).empty());
  // Neither a draining learner nor one without the memory can serve the shard.
  CHECK(MissingSimulator({gym, draining}) == "gym");
  CHECK(MissingSimulator({lacks(false, 9, 4), gym}) == "gym");
  CHECK(MissingSimulator({lacks(false, 9, 4), draining}).empty());
}

TEST_CASE("shard verdict: a device's memory is its own, or the process's", "[unit]") {
  const shards::ShardMemory shard{
      .bytes = 100, .bytes_per_thread = 10, .device_bytes = uint64_t{2} << 30};
  const LearnerInfo cpu{.memory_bytes = WithProcess(uint64_t{1} << 30), .threads = 2};
  CHECK(cpu.Of(shard).bytes == 120);
  CHECK(cpu.Of(shard).device_bytes == 0);
  CHECK(cpu.Holds(cpu.Of(shard)));
  LearnerInfo gpu = cpu;
  gpu.has_device = true;
  CHECK(gpu.Of(shard).bytes == 120);
  CHECK(gpu.Holds(gpu.Of(shard)));  // No limit.
  gpu.device_memory_bytes = uint64_t{1} << 30;
  CHECK_FALSE(gpu.Holds(gpu.Of(shard)));
  gpu.device_memory_bytes = uint64_t{2} << 30;
  CHECK(gpu.Holds(gpu.Of(shard)));
  LearnerInfo emulated = gpu;
  emulated.device_in_memory = true;
  CHECK(emulated.Of(shard).bytes == 120 + (uint64_t{2} << 30));
  CHECK_FALSE(emulated.Holds(emulated.Of(shard)));
}

TEST_CASE("shard verdict: what is waited for, in the order in which it helps", "[unit]") {
  RunProgress progress;
  CHECK(WaitingFor(progress) == ": waiting for learners");
  progress.arithmetic = "cpu x";
  CHECK(WaitingFor(progress) == ": waiting for learners of kind cpu x");
  progress.learners = 2;
  CHECK(WaitingFor(progress) == ": waiting for actors");
  progress.actors = 1;
  CHECK(WaitingFor(progress).empty());
  progress.missing_simulator = "gym";
  CHECK(WaitingFor(progress) ==
        ": waiting for actors that offer simulator 'gym' (mentor-actor --simulator gym=...)");
  progress.actors = 0;
  CHECK(WaitingFor(progress) == ": waiting for actors");
  progress.trouble = "a reason";
  CHECK(WaitingFor(progress).find("a reason") != std::string::npos);
  progress.memory = {.of_device = true, .needed = 3'000'000'000, .most = 2'000'000};
  CHECK(WaitingFor(progress).find("needs 3.0 GB of a device, and the largest learner has 2.0 MB") !=
        std::string::npos);
  CHECK(Gigabytes(49'000'000) == "49.0 MB");
  CHECK(Gigabytes(50'000'000) == "0.1 GB");
}

}  // namespace mentor::meta_learner::TEST_FILE
