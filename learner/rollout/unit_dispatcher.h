// Hands rollout units to actors and takes each unit's first result; later copies are compared,
// counted and dropped. Some units are computed again by another actor, so that wrong numbers are
// found (unit_checks.cc). Pure policy: no clock of its own, no I/O, no gRPC. Owned by the rollout
// server, whose lock guards it.
//
// A unit is ready (in its shard's queue), out (held by one actor or more) or done. It returns to
// the head of the queue when the last actor that holds it is lost or stays silent for long. When it
// lags behind others of its kind, one more actor gets it. A failed unit is tried elsewhere first,
// so that one sick actor fails no shard. An actor that fails at what others can do, or lags again
// and again, gets no work for a while (common/standing.h). A unit whose environment a simulator
// simulates goes to actors that offer that simulator.
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
#include "common/uuid.h"
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

// The identity of an actor: another stream of the same uid is the same actor.
struct ActorInfo {
  std::string uid = {};
  std::string host = {};
  std::set<std::string> env_hosts = {};  // Simulators that it offers (common/hosts.h).
  uint32_t threads = 0;                  // 0: unknown, so one experiment may fill it.
};

class UnitDispatcher {
 public:
  struct Options {
    // A unit that is out for longer than max(lag_min, lag_factor x expected turnaround) goes to one
    // more actor. The expected turnaround is the median of its environment, by steps.
    std::chrono::nanoseconds lag_min = std::chrono::seconds(5);
    double lag_factor = 4;
    // The same limit for an actor that has delivered nothing yet where others have. It is no
    // strike, because a simulator takes time to start.
    std::chrono::nanoseconds newcomer_lag_min = std::chrono::milliseconds(500);
    // After max(lost_min, lost_factor x expected) an actor counts as having lost the unit; the next
    // time after twice that.
    std::chrono::nanoseconds lost_min = std::chrono::seconds(60);
    double lost_factor = 16;
    // A unit fails its shard when it has failed at errors_max actors in good standing, or when it
    // is given up and every actor has tried.
    TriedAt::Options retries = {.span = std::chrono::seconds(8)};
    // Limit of an actor's credit.
    uint32_t credit_max = kCreditMax;
    // One unit in check_every, chosen by chance, is computed again by another actor, and the hashes
    // are compared; more of the first units of an experiment or actor. 0: never.
    uint32_t check_every = 1000;
    // Limits of the wait after the last few units of an experiment all failed.
    std::chrono::nanoseconds hold_min = std::chrono::milliseconds(100);
    std::chrono::nanoseconds hold_max = std::chrono::seconds(2);
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
    kDuplicate,   // Another actor was faster; the hashes are equal.
    kDivergent,   // Another actor was faster and had another hash: exactness is broken.
    kLate,        // The shard is cancelled or gone, or forgotten.
    kError,       // The unit failed there; it is tried elsewhere, or its shard has failed.
    kUnexpected,  // The actor does not hold this unit: a broken rule.
  };
  struct Counts {
    size_t ready = 0;        // Units that wait for an actor.
    size_t outstanding = 0;  // Units that are out.
  };

  explicit UnitDispatcher(Options options);

  // Adds the work of one shard, in order. Among an experiment's shards, lower numbers come first;
  // the `share` of the first unit names the experiment. FAILED_PRECONDITION while the shard has
  // work; INVALID_ARGUMENT for a repeated id or an id of another shard.
  absl::Status Add(uint64_t shard, std::vector<v1::Unit> units);
  // Forgets the shard. Returns the actors that hold its units, so that they can be told.
  std::vector<std::pair<ActorId, UnitKey>> Cancel(uint64_t shard);
  // Returns the results in the order of Add once all are there, and forgets the shard. Or the error
  // that ended it: then call Cancel. Nothing while units are missing.
  std::optional<absl::StatusOr<std::vector<v1::Result>>> Take(uint64_t shard);
  // True when Take has an answer, or the shard is unknown.
  bool Settled(uint64_t shard) const;

  // ---- Checks (unit_checks.cc). Shards count from their first unit to EndChecks, over several
  // Add.

  // Actors whose numbers are wrong, or may be.
  struct FoundOut {
    std::string why;            // Names the actors, for people.
    std::set<uint64_t> shards;  // The newest shards that used their results.
  };
  // What was found out since the last call.
  std::vector<FoundOut> TakeFoundOut() { return std::exchange(found_out_, {}); }
  bool HasFoundOut() const { return !found_out_.empty(); }
  // Why the shard must begin again; empty: it need not.
  std::string TaintOf(uint64_t shard) const;
  // True if checks may still taint the shard: one is under way without delay, or can begin.
  bool HasOpenChecks(uint64_t shard) const;
  // Forgets checks of the shard that nobody has begun.
  void EndChecks(uint64_t shard);
  size_t num_checks() const { return checks_.size(); }
  // Grows with each check that ends.
  uint64_t checks_ended() const { return checks_ended_; }

  void AddActor(ActorId actor, const ActorInfo& info = {});
  // INVALID_ARGUMENT beyond credit_max.
  absl::Status Offer(ActorId actor, uint32_t units);
  // Ends work for the actor. Its units go to others, but its results still count.
  void Leaving(ActorId actor);
  // The actor broke a rule: a strike, and no more work.
  void Refuse(ActorId actor);
  // Returns the actor's units to the head of their queues. Unless it said that it leaves, this is a
  // strike for the next stream of its uid or, soon after, for the next process on its host.
  void RemoveActor(ActorId actor);

  // Gives units to check, then ready ones, then lagging ones, to actors with room for their
  // experiment, most room first. Lagging units prefer actors that have delivered before.
  std::vector<Assignment> Assign();
  // The next moment at which time alone changes something: a unit begins to lag or is lost, or may
  // be tried again where it failed, or a quarantine ends. Nothing when there is none. Units that
  // already lag wait for the next Offer.
  std::optional<std::chrono::nanoseconds> NextChange() const;
  // True while some actor has delivered nothing since a quarantine.
  bool HasStruck() const { return !struck_.empty(); }

  // The unit as given to this actor; null when the actor does not hold it. For checks before
  // Accept.
  std::shared_ptr<const v1::Unit> Held(ActorId actor, const UnitKey& key) const;
  Outcome Accept(ActorId actor, v1::Result result);
  // Units that the actor holds.
  size_t NumHeld(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found == actors_.end() ? 0 : found->second.held.size();
  }

  // The actor's standing; null when unknown.
  const Standing* StandingOf(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found == actors_.end() ? nullptr : &found->second.standing;
  }
  bool InQuarantine(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found != actors_.end() && KeptAway(found->second);
  }
  // True if the actor gets work and answers.
  bool Answers(ActorId actor) const {
    const auto found = actors_.find(actor);
    return found != actors_.end() && !found->second.silent && !KeptAway(found->second);
  }

  size_t NumInQuarantine() const {
    return static_cast<size_t>(std::count_if(struck_.begin(), struck_.end(),
                                             [&](ActorId id) { return KeptAway(actors_.at(id)); }));
  }

  Counts counts() const { return {ready_count_, out_.size()}; }
  // Ready units that an actor with these simulators could run.
  size_t NumReadyFor(const std::set<std::string>& env_hosts) const;
  // A simulator that a ready unit of the shard needs and no staying actor offers; empty: none.
  std::string MissingHost(uint64_t shard) const;
  // How many units were given out again, by why: "lost", "leaving", "lagging", "error", or
  // "silent": their actor was silent about them for too long.
  const std::map<std::string, uint64_t>& reissued() const { return reissued_; }
  // Quarantines so far.
  uint64_t quarantines() const { return quarantines_; }
  // When the last result was used.
  std::chrono::nanoseconds last_turnaround() const { return last_turnaround_; }

 private:
  struct Entry {
    std::shared_ptr<const v1::Unit> unit;
    size_t index = 0;      // In its shard's results.
    std::string env_host;  // Simulator that it needs; empty: none.
    bool ready = true;
    bool done = false;
    uint32_t attempts = 0;
    // Uids of actors where it failed, and those of them in good standing.
    TriedAt failed_at;
    std::set<std::string> good_failed_at;
    // Uids of actors that say that every actor would fail so (common/failed_step.h).
    std::set<std::string> same_everywhere;
    std::set<ActorId> holders;
    std::optional<std::chrono::nanoseconds> due = {};  // Key of its place in out_, while it is out.
    bool is_check = false;                             // Belongs to checks_, not to a shard.
  };
  // An actor's result of a unit that others compute as well.
  struct Answer {
    std::string actor, host, hash;  // The actor as NameOf says.
  };
  // A finished unit that other actors compute again, until two have the same result.
  struct Check {
    Entry entry;
    std::vector<Answer> answers;   // The first one was used.
    std::set<std::string> barred;  // Actors that answered, or failed at it.
    bool disputed = false;         // Answers differ.
  };
  struct Shard {
    std::string experiment;
    std::map<UnitKey, Entry> entries;
    std::deque<UnitKey> queue;  // Ready units.
    std::vector<v1::Result> results;
    size_t missing = 0;
    bool one_host = true;  // True if its units all need the same simulator, or none.
    absl::Status failure;
  };
  struct Holding {
    std::shared_ptr<const v1::Unit> unit;
    uint32_t attempt = 1;
    std::chrono::nanoseconds sent{0};
    bool early = false;  // Its limit was a newcomer's.
    bool lagging = false;
  };
  struct Actor {
    ActorInfo info;
    Standing standing;
    uint32_t credit = 0;
    bool leaving = false, refused = false;
    // The actor had a unit when its limit passed, and has said nothing since it got it. It gets no
    // work until it speaks or counts as having lost the unit.
    bool silent = false;
    std::chrono::nanoseconds spoke{-1};  // Time of its last result.
    // When its results were last doubted. Units that it had then prove nothing.
    std::chrono::nanoseconds doubted{-1};
    SecretSpans spans = {};  // Chooses among its used units.
    std::map<UnitKey, Holding> held = {};
    // Units about which it was silent; their late results break no rule. Only the newest.
    std::map<UnitKey, Holding> lost = {};
    std::map<std::string, uint32_t> held_of = {};  // Units held, by experiment.
    // Its last delivery, by experiment.
    std::map<std::string, std::chrono::nanoseconds> delivered = {};
  };
  struct Experiment {
    int shards = 0;  // Shards with work.
    // Actors that may get its work, by room.
    std::set<std::pair<uint32_t, ActorId>> rooms = {};
    std::map<ActorId, uint32_t> takes = {};  // Their places in `rooms`.
    // Errors since its last good unit, and the end of its wait.
    int errors = 0;
    std::chrono::nanoseconds held_until{0};
    bool succeeded = false;
    // Actors in good standing where it failed, while nothing has succeeded.
    std::set<std::string> failed_at = {};
    SecretSpans spans = {};  // Chooses among its used units.
  };
  class Line;

  Entry* Find(const UnitKey& key);
  void Give(const UnitKey& key, Entry* entry, ActorId actor, std::vector<Assignment>* assignments);
  void CountReady(const Entry& entry, int change);
  static bool Offers(const Actor& actor, const std::string& env_host) {
    return env_host.empty() || actor.info.env_hosts.contains(env_host);
  }
  // Puts the unit back at the head of the queue, unless it is ready or done.
  bool Requeue(const UnitKey& key);
  void SetCredit(ActorId id, Actor* actor, uint32_t credit);
  static void DropRoom(Experiment* experiment, ActorId id);
  // Updates the actor's place among those that may get work of an experiment.
  void SetRoom(const std::string& name, Experiment* experiment, ActorId id, const Actor& actor);
  Experiment& ExperimentOf(const v1::WorkShare& share);
  void Hold(ActorId id, Actor* actor, const UnitKey& key, Holding holding);
  // Takes a unit from the actor's; empty when it does not hold it.
  std::optional<Holding> LetGo(Actor* actor, const UnitKey& key);
  // The actor that gets a unit now. `proven`: prefers actors that have delivered and done nothing
  // wrong since.
  std::optional<ActorId> Choose(const Entry& entry, bool proven) const;
  // True if the actor was at work for others meanwhile, so its waiting units are not its fault.
  static bool WasAtWork(const Actor& actor, const Holding& holding);
  // Call after any change that decides whether the actor may get work.
  void Refresh(ActorId id, Actor* actor) { SetCredit(id, actor, actor->credit); }
  // The standing of a new actor.
  Standing FirstStanding(const ActorInfo& info);
  // A stream of the same actor; end() when there is none.
  std::map<ActorId, Actor>::iterator FindUid(const std::string& uid);
  bool KeptAway(const Actor& actor) const { return actor.standing.InQuarantine(options_.now()); }
  void Strike(ActorId id);
  // Takes an error as the actor's result of a unit.
  Outcome Failed(const UnitKey& key, const Actor& actor, Entry* entry, const std::string& error);
  // Sets its place in out_ by its holders' limits; none when it is ready or done.
  void SetOut(const UnitKey& key, Entry* entry);
  std::chrono::nanoseconds DueOf(const Holding& holding) const;
  // When a unit that the actor holds makes it silent, if it says nothing before. Also counts units
  // that others have finished, or whose shard is gone. Nothing when there is none.
  std::optional<std::chrono::nanoseconds> SilentFrom(const Actor& actor) const;
  // Marks lagging units, and takes lost ones from their actors.
  void Expire();
  // True if an actor that has not failed at it could run it.
  bool CanBeTriedElsewhere(const Entry& entry) const;
  bool IsHopeless(const Entry& entry) const;
  void Remember(const UnitKey& key, Answer answer);

  // Checks. The name of an actor: its uid, so that all its streams are one.
  static std::string NameOf(ActorId id, const Actor& actor);
  // Records a used result, and begins a check if chance says so.
  void CountUse(const UnitKey& key, ActorId id, const Entry& entry, const std::string& hash);
  Check& BeginCheck(const UnitKey& key, std::shared_ptr<const v1::Unit> unit, Answer first);
  void EndCheck(const UnitKey& key);
  // True if the actor could compute the unit. elsewhere: only on a host without an answer.
  bool MayCheck(const Check& check, ActorId id, const Actor& actor, bool elsewhere) const;
  bool CanBeChecked(const Check& check, bool elsewhere) const;
  std::optional<ActorId> ChooseAuditor(const Check& check) const;
  size_t NumChecks(uint64_t shard) const;
  // Gives units to other actors for comparison; settles disputes that nobody can decide.
  void AssignChecks(std::vector<Assignment>* assignments);
  // Takes a result of a finished unit. was_auditor: the actor had it for a check.
  Outcome Compare(ActorId id, const UnitKey& key, const Holding& holding, bool was_auditor,
                  const v1::Result& result);
  // Sets whether those who answered wait for the decision without work.
  void Dispute(Check* check, bool disputed);
  // Nothing that these actors computed may be used. decided: they are known to be wrong.
  void FindOut(const std::set<std::string>& names, bool decided, const std::string& why);
  // Median turnaround of units of this kind; nothing before the first.
  std::optional<double> ExpectedNs(const v1::Unit& unit) const;
  std::chrono::nanoseconds After(const v1::Unit& unit, std::chrono::nanoseconds least,
                                 double factor) const;

  // Fixed after construction.
  const Options options_;

  std::map<uint64_t, Shard> shards_;
  std::map<ActorId, Actor> actors_;
  // Actors with a quarantine since their last good work: few, checked with every message.
  std::set<ActorId> struck_;
  // Standings of actors that left with strikes, by uid, for their return.
  DepartedStandings departed_;
  struct HostStrikes {
    int count = 0;
    std::chrono::nanoseconds since{0};
  };
  // Strikes of the last lost actor, by host: it may return under another uid.
  std::map<std::string, HostStrikes> host_strikes_;
  std::map<std::string, Experiment> experiments_;
  FairQueue queue_;  // Turns of experiments; costs are seconds at work.
  // When failed units may be tried again.
  std::multiset<std::chrono::nanoseconds> retries_;
  // Units that are out, by when they next lag or are lost.
  std::set<std::pair<std::chrono::nanoseconds, UnitKey>> out_;
  std::set<UnitKey> lagging_;  // Lagging units that wait for one more actor.
  std::map<std::string, std::deque<double>> step_ns_;  // The last turnarounds by environment.
  std::map<UnitKey, Answer> used_;  // Recent results, to compare late copies with.
  std::deque<UnitKey> used_order_;
  std::map<UnitKey, Check> checks_;
  uint64_t checks_ended_ = 0;
  std::map<std::string, int> suspects_;  // Actors in disputes, with the number of them.
  // By shard, the newest: actors whose results it used, and why it must begin again.
  std::map<uint64_t, std::set<std::string>> users_;
  std::map<uint64_t, std::string> tainted_;
  std::vector<FoundOut> found_out_;
  size_t ready_count_ = 0;
  std::map<std::string, size_t> ready_of_host_;  // Ready units that need a simulator.
  std::map<std::string, uint64_t> reissued_;
  uint64_t quarantines_ = 0;
  std::chrono::nanoseconds last_turnaround_{0};
};

}  // namespace mentor::learner
