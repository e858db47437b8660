// Whether a learner may have a shard, and if not, why. ShardBoard chooses assignments by these
// verdicts, and the texts for people follow from them. Pure functions over plain structs.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/standing.h"
#include "shards/shard_memory.h"

namespace mentor::meta_learner {

// A learner as described by its Hello.
struct LearnerInfo {
  uint32_t slots = 0;     // Shards at once.
  std::string name = {};  // For people.
  std::string host = {};  // Its machine.
  // The device and the hash of its results: "cpu 0b5c...".
  std::string arithmetic = {};
  uint64_t memory_bytes = 0;  // For the process and all its shards; 0: no limit.
  uint32_t threads = 1;
  // has_device: shards take device memory. device_in_memory: the device uses the process's memory.
  bool has_device = false, device_in_memory = false;
  uint64_t device_memory_bytes = 0;  // For all shards; 0: no limit.

  // True if the learner has this arithmetic; every learner has "".
  bool Computes(std::string_view wanted) const { return wanted.empty() || wanted == arithmetic; }
  // Returns the memory that a shard takes on this learner.
  shards::LearnerMemory Of(const shards::ShardMemory& shard) const {
    const uint64_t device = has_device ? shard.device_bytes : 0;
    return {.bytes = shard.With(threads) + (device_in_memory ? device : 0), .device_bytes = device};
  }
  // True if shards that take this much fit into the learner's memory.
  bool Holds(const shards::LearnerMemory& shards) const {
    return HoldsInProcess(shards) &&
           (device_memory_bytes == 0 || shards.device_bytes <= device_memory_bytes);
  }
  bool HoldsInProcess(const shards::LearnerMemory& shards) const {
    return memory_bytes == 0 || shards::kLearnerProcessBytes + shards.bytes <= memory_bytes;
  }
};

// A learner as Judge sees it. What the references name must outlive it, here and below.
struct LearnerFacts {
  const LearnerInfo& info;
  const std::set<std::string>& simulators;  // Offered by its actors (common/hosts.h).
  const Standing& standing;
  bool draining = false;            // It gets no more shards.
  bool actorless = false;           // It said that no actor of it answers; ShardBoard judges this.
  bool has_suspect = false;         // It holds a shard that must be alone.
  shards::LearnerMemory held = {};  // Memory of its shards.
};

struct ShardFacts {
  const shards::ShardMemory& memory;
  const std::set<std::string>& simulators;  // Needed by its environments.
  const TriedAt& tried;                     // Names of learners on which it failed or stalled.
  std::set<std::string> answered = {};      // Names of learners whose results are audited.
  std::string_view arithmetic = {};         // Its experiment's; empty: not yet decided.
  bool is_suspect = false;  // It must be alone: ShardBoard reserves a learner for it.
  // True if no other learner can try the shard: then a learner may try it again after a wait.
  bool may_repeat = false;
};

// In Judge's order: a later obstacle says that no earlier one is there.
enum class Obstacle {
  kArithmetic,  // The experiment keeps to another arithmetic.
  kMemory,      // The learner's memory could not hold the shard alone.
  kSimulator,   // The learner's actors lack a simulator.
  kDraining,
  kQuarantine,
  kTried,     // The shard failed or stalled there, and is not to be repeated there now.
  kAnswered,  // The learner has computed the shard, which waits for another one's result.
  kSuspect,   // The shard is a suspect, or the learner holds one.
  kRoom,      // The learner's other shards leave too little memory.
  kNone,      // The learner may have the shard.
};

struct MemoryShortage {
  bool of_device = false;  // Device memory; else process memory.
  // Bytes that a shard needs, and that the largest learner has. needed 0: no shortage.
  uint64_t needed = 0, most = 0;
};

struct Verdict {
  Obstacle obstacle = Obstacle::kNone;
  std::string missing = {};    // The arithmetic or the simulator, with these obstacles.
  MemoryShortage memory = {};  // With kMemory.
};

// now: on the clock of the facts. Slots are not judged: ShardBoard lets shards go beyond them.
Verdict Judge(const LearnerFacts& learner, const ShardFacts& shard, std::chrono::nanoseconds now);
// The part of Judge that knows memory alone: the obstacle is kMemory or kNone.
Verdict JudgeMemory(const LearnerInfo& learner, const shards::ShardMemory& shard);
// True if the learner has room for the shard beside its other shards.
bool HasRoom(const LearnerFacts& learner, const shards::ShardMemory& shard);

// What all learners lack for one shard, by their verdicts. No shortage, and no simulator (""), if a
// learner lacks none. Learners of another arithmetic do not count.
MemoryShortage ShortageOf(const std::vector<Verdict>& verdicts);
std::string MissingSimulator(const std::vector<Verdict>& verdicts);

// Returns why the learner does not fit an experiment, for people; empty for obstacles that pass.
std::string RefusalOf(const Verdict& verdict);

// How a call of ShardBoard::Run gets on.
struct RunProgress {
  uint64_t env_steps = 0;  // Steps of this call's shards so far.
  // Learners whose arithmetic fits the experiment.
  int learners = 0;
  int actors = 0;
  // The arithmetic that the experiment keeps to; empty: that of the first learner.
  std::string arithmetic = {};
  MemoryShortage memory = {};  // Shortage of a waiting shard that no learner could hold.
  // A simulator that a shard waits for. Either the actors of the shard's learner lack it, or the
  // actors of all learners do.
  std::string missing_simulator = {};
  // Why a shard is computed again, as numbers of it were or may be wrong; for people.
  std::string trouble = {};
};

// Returns a suffix for a progress text, for people; empty if nothing is missing. Examples: ":
// waiting for actors", ": waiting for learners of kind cpu 0b5c...".
std::string WaitingFor(const RunProgress& progress);
// What people can do about a shortage of memory.
inline constexpr char kNeedsMemory[] =
    "make rule.shard_lifetimes or agent.hidden_units smaller, or give learners more";
// Returns "1.5 GB" or "1.5 MB", for people.
std::string Gigabytes(uint64_t bytes);
// Returns "1 shard" or "2 shards", for people.
std::string Counted(uint64_t count, std::string_view noun);

}  // namespace mentor::meta_learner
