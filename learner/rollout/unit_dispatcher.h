// Hands rollout units to actors and takes each unit's first result; later copies are compared,
// counted and dropped. Pure policy: no clock of its own, no I/O, no gRPC. Owned by the rollout
// server, whose lock guards it.
//
// A unit is ready (in its shard's queue), out (held by one actor or more) or done. It goes back to
// the head of the queue when the last actor that holds it is lost or keeps silent about it for
// long, and is given to one more actor when it lags behind others of its kind. A unit that failed
// is tried elsewhere first, so that one sick actor fails no shard; an actor that fails at what
// others can do, or lags again and again, is kept away for a while (common/standing.h). A unit
// whose environment a host simulates goes to actors that offer it.
//
// Experiments that share the learner take turns by class, owner and weight (common/fair_queue.h),
// and pay for the actors' time at work. Each has units of its own at each actor, so none waits
// behind the long units of another; the actor shares its time between them. An experiment whose
// units only fail is held back, for longer each time.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/fair_queue.h"
#include "common/protocol.h"
#include "common/standing.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::learner {

// v1.UnitId as a key. Ordered by shard, then by the plan's order.
struct UnitKey {
  uint64_t shard = 0;
  uint32_t iteration = 0;
  uint32_t agent = 0;
  uint32_t part = 0;
  auto operator<=>(const UnitKey&) const = default;
};
UnitKey ToKey(const v1::UnitId& id);
v1::UnitId ToProto(const UnitKey& key);
std::string ToString(const UnitKey& key);  // "unit 7/0/12/3"

// An actor's stream.
enum class ActorId : uint64_t {};

// What an actor is known by: another stream of the same uid is the same actor.
struct ActorInfo {
  std::string uid = {};
  std::string host = {};
  std::set<std::string> env_hosts = {};  // That it offers (common/hosts.h).
  uint32_t threads = 0;                  // 0: not known, so one experiment may fill it.
};

class UnitDispatcher {
 public:
  struct Options {
    // A unit that is out for longer than max(lag_min, lag_factor x expected turnaround) goes to one
    // more actor; expected is the median of its environment, by steps.
    std::chrono::nanoseconds lag_min = std::chrono::seconds(5);
    double lag_factor = 4;
    // The same of one that an actor holds which has delivered nothing yet, where others have: it is
    // no fault of it, since a simulator takes its time to start.
    std::chrono::nanoseconds newcomer_lag_min = std::chrono::milliseconds(500);
    // After max(lost_min, lost_factor x expected), twice that the next time, an actor is taken to
    // have lost it.
    std::chrono::nanoseconds lost_min = std::chrono::seconds(60);
    double lost_factor = 16;
    // A unit fails its shard when it has failed at errors_max actors in good standing, or is given
    // up and nobody is left who has not tried.
    TriedAt::Options retries = {.span = std::chrono::seconds(15)};
    // An actor cannot grant more than this in all.
    uint32_t credit_max = kCreditMax;
    // One unit of so many is computed again by another actor, when one has nothing else to do, and
    // the hashes are compared. 0: never.
    uint32_t check_every = 1000;
    // An experiment whose last few units all failed waits before the next one, at most so long.
    std::chrono::nanoseconds hold_min = std::chrono::milliseconds(100);
    std::chrono::nanoseconds hold_max = std::chrono::seconds(5);
    // How actors are trusted.
    Standing::Options standing = {};
    // Monotonic time.
    std::function<std::chrono::nanoseconds()> now = {};
  };
  struct Assignment {
    ActorId actor;
    UnitKey key;
    uint32_t attempt = 1;
    std::shared_ptr<const v1::Unit> unit;  // Its field `attempt` is not set.
  };
  enum class Outcome {
    kUsed,        // The first result.
    kDuplicate,   // Another actor was faster; same hash.
    kDivergent,   // Another actor was faster and had another hash: exactness is broken. Both are
                  // kept away.
    kLate,        // The shard is cancelled or gone, or its memory is.
    kError,       // The unit failed there; it is tried elsewhere, or its shard has failed.
    kUnexpected,  // The actor does not hold this unit: a broken rule.
  };
  struct Counts {
    size_t ready = 0;        // Wait for an actor.
    size_t outstanding = 0;  // Are out.
  };
  // Why units were given out again.
  struct Reissued {
    uint64_t lost = 0, leaving = 0, lagging = 0, error = 0;
    uint64_t silent = 0;  // Their actor said nothing about them for too long.
    bool operator==(const Reissued&) const = default;
  };

  explicit UnitDispatcher(Options options);

  // Work of one shard, in order. Of an experiment's shards, those with lower numbers are served
  // first; whose they are says the `share` of the first unit. FAILED_PRECONDITION while the shard
  // has work; INVALID_ARGUMENT for a repeated id or an id of another shard.
  absl::Status Add(uint64_t shard, std::vector<v1::Unit> units);
  // Forgets the shard; returns who holds its units, so that they can be told.
  std::vector<std::pair<ActorId, UnitKey>> Cancel(uint64_t shard);
  // The results in the order of Add once all are there: then the shard is forgotten. Or the error
  // that ended it: then Cancel it. Nothing while units are missing.
  std::optional<absl::StatusOr<std::vector<v1::Result>>> Take(uint64_t shard);
  // True when Take has an answer, or the shard is not known.
  bool Settled(uint64_t shard) const;

  void AddActor(ActorId actor, const ActorInfo& info = {});
  // INVALID_ARGUMENT beyond credit_max.
  absl::Status Offer(ActorId actor, uint32_t units);
  // No more work for it; what it holds goes to others, and its results still count.
  void Leaving(ActorId actor);
  // It broke a rule: a strike, and no more work.
  void Refuse(ActorId actor);
  // Its units go back to the head of their queues: a strike for it, or for the next stream of its
  // uid or, soon after, process on its host, unless it has said that it leaves.
  void RemoveActor(ActorId actor);

  // Gives ready units, then lagging ones, to actors that may hold more of their experiment: the one
  // that may take the most first; of what lags, one that has delivered before others.
  std::vector<Assignment> Assign();
  // When time alone changes something: a unit begins to lag or is lost, or may be tried again where
  // it failed, an actor comes out of quarantine. Nothing when nothing will. Units that lag already
  // wait for the next Offer.
  std::optional<std::chrono::nanoseconds> NextChange() const;

  // The unit as it was given to this actor; null when the actor does not hold it. For the checks
  // before Accept.
  std::shared_ptr<const v1::Unit> Held(ActorId actor, const UnitKey& key) const;
  Outcome Accept(ActorId actor, v1::Result result);
  // Units that the actor holds.
  size_t NumHeld(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found == actors_.end() ? 0 : found->second.held.size();
  }

  // How far the actor is trusted; null for an unknown one.
  const Standing* StandingOf(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found == actors_.end() ? nullptr : &found->second.standing;
  }
  bool InQuarantine(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found != actors_.end() && KeptAway(found->second);
  }

  size_t NumInQuarantine() const {
    return static_cast<size_t>(std::count_if(struck_.begin(), struck_.end(),
                                             [&](ActorId id) { return KeptAway(actors_.at(id)); }));
  }

  Counts counts() const { return {ready_count_, out_.size()}; }
  // Ready units that an actor with these hosts could run.
  size_t NumReadyFor(const std::set<std::string>& env_hosts) const;
  // A host that a ready unit of the shard needs and that nobody offers who stays; empty: none.
  std::string MissingHost(uint64_t shard) const;
  const Reissued& reissued() const { return reissued_; }
  // How often actors were put into quarantine.
  uint64_t quarantines() const { return quarantines_; }
  // When the last result was used.
  std::chrono::nanoseconds last_turnaround() const { return last_turnaround_; }

 private:
  struct Entry {
    std::shared_ptr<const v1::Unit> unit;
    size_t index = 0;      // In its shard's results.
    std::string env_host;  // That it needs; empty: none.
    bool ready = true;
    bool done = false;
    uint32_t attempts = 0;
    // Uids of actors where it failed, and of those that were in good standing.
    TriedAt failed_at;
    std::set<std::string> good_failed_at;
    std::set<ActorId> holders;
    std::optional<std::chrono::nanoseconds> due = {};  // Of its place in out_, while it is out.
  };
  struct Shard {
    std::string experiment;
    std::map<UnitKey, Entry> entries;
    std::deque<UnitKey> queue;  // Ready units.
    std::vector<v1::Result> results;
    size_t missing = 0;
    bool one_host = true;  // Its units all need the same one, or none.
    absl::Status failure;
  };
  struct Holding {
    std::shared_ptr<const v1::Unit> unit;
    uint32_t attempt = 1;
    std::chrono::nanoseconds sent{0};
    bool early = false;  // Due as a newcomer's.
    bool lagging = false;
  };
  struct Actor {
    ActorInfo info;
    Standing standing;
    uint32_t credit = 0;
    bool leaving = false, refused = false;
    // It holds a unit that lags, and has said nothing since it was given that: no more work until
    // it speaks, or is taken to have lost it.
    bool silent = false;
    std::chrono::nanoseconds spoke{-1};  // When a result last came.
    std::map<UnitKey, Holding> held = {};
    // What it has kept silent about: a late result is no broken rule. The newest ones.
    std::map<UnitKey, Holding> lost = {};
    std::map<std::string, uint32_t> held_of = {};  // Units held, by experiment.
    // When it last delivered, by experiment.
    std::map<std::string, std::chrono::nanoseconds> delivered = {};
  };
  struct Experiment {
    int shards = 0;  // With work.
    // Actors that may get work of it, by how much they may take.
    std::set<std::pair<uint32_t, ActorId>> rooms = {};
    std::map<ActorId, uint32_t> takes = {};  // Their places in `rooms`.
    // Since its last good unit: errors, and until when it is held back.
    int errors = 0;
    std::chrono::nanoseconds held_until{0};
    bool succeeded = false;
    std::set<std::string> failed_at = {};  // Actors in good standing, while nothing has succeeded.
  };
  class Line;

  Entry* Find(const UnitKey& key);
  void Give(const UnitKey& key, Entry* entry, ActorId actor, std::vector<Assignment>* assignments);
  void CountReady(const Entry& entry, int change);
  static bool Offers(const Actor& actor, const std::string& env_host) {
    return env_host.empty() || actor.info.env_hosts.contains(env_host);
  }
  // Back to the head of the queue, unless it is ready or done already.
  bool Requeue(const UnitKey& key);
  void SetCredit(ActorId id, Actor* actor, uint32_t credit);
  static void DropRoom(Experiment* experiment, ActorId id);
  // Its place among those that may get work of an experiment.
  void SetRoom(const std::string& name, Experiment* experiment, ActorId id, const Actor& actor);
  Experiment& ExperimentOf(const v1::WorkShare& share);
  void Hold(ActorId id, Actor* actor, const UnitKey& key, Holding holding);
  // Takes a unit from what it holds; empty when it does not hold it.
  std::optional<Holding> LetGo(Actor* actor, const UnitKey& key);
  // Who gets a unit now; `proven`: those first that have delivered and done nothing wrong since.
  std::optional<ActorId> Choose(const Entry& entry, bool proven) const;
  // It was at work for others meanwhile, so what waited there is no fault of it.
  static bool WasAtWork(const Actor& actor, const Holding& holding);
  // Whether it may get work, after anything that this depends on has changed.
  void Refresh(ActorId id, Actor* actor) { SetCredit(id, actor, actor->credit); }
  // What a new one is trusted.
  Standing FirstStanding(const ActorInfo& info);
  // A stream of the same actor; the end when there is none.
  std::map<ActorId, Actor>::iterator FindUid(const std::string& uid);
  bool KeptAway(const Actor& actor) const { return actor.standing.InQuarantine(options_.now()); }
  void Strike(ActorId id);
  // Its place in out_ by what its holders are due; nowhere when it is ready or done.
  void SetOut(const UnitKey& key, Entry* entry);
  std::chrono::nanoseconds DueOf(const Holding& holding) const;
  // Marks what lags, and takes from actors what they have lost.
  void Expire();
  // Whether an actor could run it that has not failed at it.
  bool CanBeTriedElsewhere(const Entry& entry) const;
  bool IsHopeless(const Entry& entry) const;
  void Remember(const UnitKey& key, std::string hash, ActorId actor);
  // Gives units that are done to one more actor, to compare; not those of experiments that wait.
  void AssignChecks(const std::set<std::string>& waiting, std::vector<Assignment>* assignments);
  void KeepAway(ActorId id);
  // Median turnaround of units of this kind; nothing before the first.
  std::optional<double> ExpectedNs(const v1::Unit& unit) const;
  std::chrono::nanoseconds After(const v1::Unit& unit, std::chrono::nanoseconds least,
                                 double factor) const;

  // Fixed after construction.
  const Options options_;

  std::map<uint64_t, Shard> shards_;
  std::map<ActorId, Actor> actors_;
  // Those with a quarantine since their last good work: few, looked at with every message.
  std::set<ActorId> struck_;
  // How far those who went with strikes are trusted when they come back, by uid.
  DepartedStandings departed_;
  struct HostStrikes {
    int count = 0;
    std::chrono::nanoseconds since{0};
  };
  // Of the last one that was lost with strikes, by host: it may come back under another uid.
  std::map<std::string, HostStrikes> host_strikes_;
  std::map<std::string, Experiment> experiments_;
  FairQueue queue_;  // Of experiments; costs are seconds at work.
  // When units that failed may be tried again.
  std::multiset<std::chrono::nanoseconds> retries_;
  // Units that are out, by when they next lag or are lost.
  std::set<std::pair<std::chrono::nanoseconds, UnitKey>> out_;
  std::set<UnitKey> lagging_;  // Of these, those that wait for one more actor.
  std::map<std::string, std::deque<double>> step_ns_;  // The last turnarounds by environment.
  struct Used {
    std::string hash;
    ActorId actor;
  };
  std::map<UnitKey, Used> hashes_;  // Results used lately, to compare late copies with.
  std::deque<UnitKey> hashes_order_;
  std::deque<std::pair<UnitKey, std::shared_ptr<const v1::Unit>>> checks_;  // Wait for an actor.
  size_t ready_count_ = 0;
  std::map<std::string, size_t> ready_of_host_;  // Of these, those that need a host.
  Reissued reissued_;
  uint64_t quarantines_ = 0;
  std::chrono::nanoseconds last_turnaround_{0};
};

}  // namespace mentor::learner
