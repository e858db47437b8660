#include "learner/rollout/unit_dispatcher.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/failed_step.h"
#include "common/history.h"
#include "common/hosts.h"
#include "common/status.h"

namespace mentor::learner {
namespace {

// Turnarounds behind a median, and environments that have one.
constexpr size_t kTurnarounds = 64, kEnvironments = 256;
// Checks of a shard that may be open before its next iteration.
constexpr size_t kChecksMax = 64;
// Units that an actor is known to have lost.
constexpr size_t kLostMax = 1024;
// Hosts whose strikes are remembered.
constexpr size_t kHostsMax = 1024;
// Experiments that are remembered.
constexpr size_t kExperimentsMax = 64;
// Failures in a row after which an experiment is held back.
constexpr int kErrorsInARow = 3;

// Units of one kind take about equally long: an experiment's, of one environment or simulator.
std::string KindOf(const v1::Unit& unit) {
  return absl::StrCat(unit.share().experiment(), "/", unit.task().environment(), "/",
                      HostOf(unit.task()));
}

}  // namespace

UnitKey ToKey(const v1::UnitId& id) {
  return {id.shard(), id.iteration(), id.agent(), id.part()};
}

v1::UnitId ToProto(const UnitKey& key) {
  v1::UnitId id;
  id.set_shard(key.shard);
  id.set_iteration(key.iteration);
  id.set_agent(key.agent);
  id.set_part(key.part);
  return id;
}

std::string ToString(const UnitKey& key) {
  return "unit " + history::UnitName(key.shard, key.iteration, key.agent, key.part);
}

UnitDispatcher::UnitDispatcher(Options options) : options_(std::move(options)), queue_({}) {
  MENTOR_CHECK(options_.now);
}

absl::Status UnitDispatcher::Add(uint64_t number, std::vector<v1::Unit> units) {
  if (shards_.contains(number)) {
    return absl::FailedPreconditionError(absl::StrFormat("shard %u has units under way", number));
  }
  Shard shard;
  const v1::WorkShare share = units.empty() ? v1::WorkShare() : units.front().share();
  shard.experiment = share.experiment();
  for (v1::Unit& unit : units) {
    const UnitKey key = ToKey(unit.id());
    if (key.shard != number) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is not of shard %u", ToString(key), number));
    }
    if (unit.share().experiment() != shard.experiment) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is of %s, others of its shard are of %s", ToString(key),
                          unit.share().experiment(), shard.experiment));
    }
    Entry entry;
    entry.index = shard.queue.size();
    entry.env_host = HostOf(unit.task());
    if (!shard.entries.empty())
      shard.one_host &= entry.env_host == shard.entries.begin()->second.env_host;
    entry.unit = std::make_shared<const v1::Unit>(std::move(unit));
    if (!shard.entries.emplace(key, std::move(entry)).second) {
      return absl::InvalidArgumentError(ToString(key) + " is there twice");
    }
    EndCheck(key);  // A unit of this name was done before, for another run.
    shard.queue.push_back(key);
  }
  shard.missing = shard.queue.size();
  shard.results.resize(shard.missing);
  for (const auto& [key, entry] : shard.entries) CountReady(entry, 1);
  ++ExperimentOf(share).shards;
  shards_.emplace(number, std::move(shard));
  return absl::OkStatus();
}

UnitDispatcher::Experiment& UnitDispatcher::ExperimentOf(const v1::WorkShare& share) {
  const std::string& name = share.experiment();
  queue_.SetShare(name, ToShare(share));
  if (const auto found = experiments_.find(name); found != experiments_.end()) return found->second;
  if (experiments_.size() >= kExperimentsMax) {
    std::erase_if(experiments_, [&](const auto& entry) {
      if (entry.second.shards == 0) queue_.Remove(entry.first);
      return entry.second.shards == 0;
    });
  }
  Experiment& experiment = experiments_[name];
  for (const auto& [id, actor] : actors_) SetRoom(name, &experiment, id, actor);
  return experiment;
}

void UnitDispatcher::DropRoom(Experiment* experiment, ActorId id) {
  if (const auto before = experiment->takes.extract(id))
    experiment->rooms.erase({before.mapped(), id});
}

void UnitDispatcher::SetRoom(const std::string& name, Experiment* experiment, ActorId id,
                             const Actor& actor) {
  DropRoom(experiment, id);
  if (actor.leaving || actor.refused || actor.silent || KeptAway(actor)) return;
  // The actor's room also depends on what it has earned: an actor that offers much and has done
  // nothing does not come first. Each experiment has separate room, so units of others do not shut
  // it out.
  const auto found = actor.held_of.find(name);
  const uint32_t held = found == actor.held_of.end() ? 0 : found->second;
  uint32_t most = actor.standing.window();
  if (actor.info.threads > 0) most = std::min(most, kUnitsAhead * actor.info.threads);
  const uint32_t takes = most > held ? std::min(actor.credit, most - held) : 0;
  if (takes == 0) return;
  experiment->takes[id] = takes;
  experiment->rooms.insert({takes, id});
}

void UnitDispatcher::Hold(ActorId id, Actor* actor, const UnitKey& key, Holding holding) {
  ++actor->held_of[holding.unit->share().experiment()];
  actor->held[key] = std::move(holding);
  SetCredit(id, actor, actor->credit - 1);
}

std::optional<UnitDispatcher::Holding> UnitDispatcher::LetGo(Actor* actor, const UnitKey& key) {
  auto node = actor->held.extract(key);
  if (node.empty()) return std::nullopt;
  const auto count = actor->held_of.find(node.mapped().unit->share().experiment());
  if (--count->second == 0) actor->held_of.erase(count);
  return std::move(node.mapped());
}

bool UnitDispatcher::WasAtWork(const Actor& actor, const Holding& holding) {
  return std::any_of(actor.delivered.begin(), actor.delivered.end(), [&](const auto& delivered) {
    return delivered.first != holding.unit->share().experiment() && delivered.second > holding.sent;
  });
}

std::vector<std::pair<ActorId, UnitKey>> UnitDispatcher::Cancel(uint64_t number) {
  std::vector<std::pair<ActorId, UnitKey>> holders;
  const auto shard = shards_.find(number);
  if (shard == shards_.end()) return holders;
  for (auto& [key, entry] : shard->second.entries) {
    if (entry.done) continue;
    if (entry.ready) CountReady(entry, -1);
    for (const ActorId actor : entry.holders) holders.emplace_back(actor, key);
    entry.done = true;
    SetOut(key, &entry);
  }
  --experiments_.at(shard->second.experiment).shards;
  shards_.erase(shard);
  return holders;
}

std::optional<absl::StatusOr<std::vector<v1::Result>>> UnitDispatcher::Take(uint64_t number) {
  const auto shard = shards_.find(number);
  MENTOR_CHECK(shard != shards_.end());
  if (std::string why = TaintOf(number); !why.empty()) return absl::AbortedError(why);
  if (!shard->second.failure.ok()) return shard->second.failure;
  if (!Settled(number)) return std::nullopt;
  std::vector<v1::Result> results = std::move(shard->second.results);
  --experiments_.at(shard->second.experiment).shards;
  shards_.erase(shard);
  return results;
}

bool UnitDispatcher::Settled(uint64_t number) const {
  const auto shard = shards_.find(number);
  if (shard == shards_.end() || !shard->second.failure.ok() || tainted_.contains(number))
    return true;
  // Checks that lag behind hold their units, so there is a limit.
  return shard->second.missing == 0 && (NumChecks(number) <= kChecksMax || !HasOpenChecks(number));
}

std::map<ActorId, UnitDispatcher::Actor>::iterator UnitDispatcher::FindUid(const std::string& uid) {
  if (uid.empty()) return actors_.end();
  return std::find_if(actors_.begin(), actors_.end(),
                      [&](const auto& entry) { return entry.second.info.uid == uid; });
}

Standing UnitDispatcher::FirstStanding(const ActorInfo& info) {
  Standing::Options standing = options_.standing;
  standing.window_max = options_.credit_max;
  const auto now = options_.now();
  const auto before = host_strikes_.extract(info.host);
  if (const auto same = FindUid(info.uid); same != actors_.end()) return same->second.standing;
  if (departed_.Knows(info.uid)) return departed_.Returned(info.uid, standing);
  Standing first(standing);
  if (before && now - before.mapped().since < standing.quarantine_min) {
    for (int i = 0; i < std::min(before.mapped().count, standing.strikes_max); ++i)
      first.Strike(now);
  }
  return first;
}

void UnitDispatcher::AddActor(ActorId id, const ActorInfo& info) {
  Actor actor{.info = info, .standing = FirstStanding(info)};
  const auto [entry, added] = actors_.emplace(id, std::move(actor));
  MENTOR_CHECK(added);
  Refresh(id, &entry->second);
}

void UnitDispatcher::SetCredit(ActorId id, Actor* actor, uint32_t credit) {
  if (actor->standing.until()) {
    struck_.insert(id);
  } else {
    struck_.erase(id);
  }
  actor->credit = credit;
  for (auto& [name, experiment] : experiments_) SetRoom(name, &experiment, id, *actor);
}

void UnitDispatcher::Strike(ActorId id) {
  Actor& actor = actors_.at(id);
  if (actor.standing.Strike(options_.now())) ++quarantines_;
  Refresh(id, &actor);
}

void UnitDispatcher::SetOut(const UnitKey& key, Entry* entry) {
  if (entry->due) out_.erase({*entry->due, key});
  entry->due.reset();
  if (entry->ready || entry->done || entry->holders.empty()) {
    lagging_.erase(key);
    return;
  }
  for (const ActorId holder : entry->holders) {
    const auto due = DueOf(actors_.at(holder).held.at(key));
    if (!entry->due || due < *entry->due) entry->due = due;
  }
  out_.emplace(*entry->due, key);
}

absl::Status UnitDispatcher::Offer(ActorId id, uint32_t units) {
  Actor& actor = actors_.at(id);
  const uint64_t total = actor.held.size() + actor.credit + uint64_t{units};
  if (units == 0 || total > options_.credit_max) {
    return MakeError(
        Reason::kCreditExceeded,
        absl::StrFormat("a credit of %u units makes %u with those out; 1 to %u are allowed", units,
                        total, options_.credit_max));
  }
  SetCredit(id, &actor, actor.credit + units);
  return absl::OkStatus();
}

void UnitDispatcher::Leaving(ActorId id) {
  Actor& actor = actors_.at(id);
  actor.leaving = true;
  SetCredit(id, &actor, 0);
  // The newest goes to the head first, so the oldest ends up first.
  for (auto held = actor.held.rbegin(); held != actor.held.rend(); ++held) {
    if (Requeue(held->first)) ++reissued_["leaving"];
  }
}

void UnitDispatcher::Refuse(ActorId id) {
  const auto found = actors_.find(id);
  if (found == actors_.end() || std::exchange(found->second.refused, true)) return;
  Strike(id);
}

void UnitDispatcher::RemoveActor(ActorId id) {
  const auto found = actors_.find(id);
  MENTOR_CHECK(found != actors_.end());
  Actor actor = std::move(found->second);
  for (auto& [name, experiment] : experiments_) DropRoom(&experiment, id);
  struck_.erase(id);
  actors_.erase(found);
  const bool lost = !actor.leaving && !actor.refused &&
                    std::any_of(actor.held.begin(), actor.held.end(), [&](const auto& held) {
                      const Entry* entry = Find(held.first);
                      return entry != nullptr && !entry->done && entry->holders.contains(id);
                    });
  const auto now = options_.now();
  if (const auto same = FindUid(actor.info.uid); same != actors_.end()) {
    if (lost) Strike(same->first);
  } else {
    if (lost && actor.standing.Strike(now)) ++quarantines_;
    if (!actor.info.uid.empty()) departed_.Left(actor.info.uid, actor.standing);
    if (!actor.leaving && !actor.info.host.empty() && actor.standing.strikes() > 0) {
      if (host_strikes_.size() >= kHostsMax) host_strikes_.erase(host_strikes_.begin());
      host_strikes_[actor.info.host] = {.count = actor.standing.strikes(), .since = now};
    }
  }
  for (auto held = actor.held.rbegin(); held != actor.held.rend(); ++held) {
    Entry* entry = Find(held->first);
    if (entry == nullptr) continue;
    entry->holders.erase(id);
    // Otherwise another actor still works on it.
    if (entry->holders.empty() && Requeue(held->first)) {
      ++reissued_["lost"];
    } else {
      SetOut(held->first, entry);
    }
  }
}

UnitDispatcher::Entry* UnitDispatcher::Find(const UnitKey& key) {
  if (const auto check = checks_.find(key); check != checks_.end()) return &check->second.entry;
  const auto shard = shards_.find(key.shard);
  if (shard == shards_.end()) return nullptr;
  const auto entry = shard->second.entries.find(key);
  return entry == shard->second.entries.end() ? nullptr : &entry->second;
}

bool UnitDispatcher::Requeue(const UnitKey& key) {
  Entry* entry = Find(key);
  if (entry == nullptr || entry->ready || entry->done) return false;
  entry->ready = true;
  SetOut(key, entry);
  if (entry->is_check) return true;
  CountReady(*entry, 1);
  shards_.at(key.shard).queue.push_front(key);
  return true;
}

void UnitDispatcher::CountReady(const Entry& entry, int change) {
  ready_count_ += static_cast<size_t>(change);
  if (entry.env_host.empty()) return;
  size_t& ready = ready_of_host_[entry.env_host];
  ready += static_cast<size_t>(change);
  if (ready == 0) ready_of_host_.erase(entry.env_host);
}

size_t UnitDispatcher::NumReadyFor(const std::set<std::string>& env_hosts) const {
  size_t ready = ready_count_;
  for (const auto& [host, count] : ready_of_host_) {
    if (!env_hosts.contains(host)) ready -= count;
  }
  return ready;
}

std::string UnitDispatcher::MissingHost(uint64_t number) const {
  const auto shard = shards_.find(number);
  if (shard == shards_.end()) return "";
  for (const auto& [host, count] : ready_of_host_) {
    const bool offered = std::any_of(actors_.begin(), actors_.end(), [&](const auto& entry) {
      const Actor& actor = entry.second;
      return !actor.leaving && !actor.refused && Offers(actor, host);
    });
    if (offered) continue;
    for (const auto& [key, entry] : shard->second.entries) {
      if (entry.ready && entry.env_host == host) return host;
    }
  }
  return "";
}

void UnitDispatcher::Give(const UnitKey& key, Entry* entry, ActorId id,
                          std::vector<Assignment>* assignments) {
  Actor& actor = actors_.at(id);
  Hold(id, &actor, key,
       {.unit = entry->unit,
        .attempt = ++entry->attempts,
        .sent = options_.now(),
        .early = !actor.standing.delivered() && ExpectedNs(*entry->unit).has_value()});
  entry->holders.insert(id);
  lagging_.erase(key);
  SetOut(key, entry);
  assignments->push_back(
      {.actor = id, .key = key, .attempt = entry->attempts, .unit = entry->unit});
}

std::optional<ActorId> UnitDispatcher::Choose(const Entry& entry, bool proven) const {
  // Prefers the actor with the most room that does not hold the unit (after Leaving it may) and has
  // not failed at it, as long as there is one.
  const bool anyone = entry.failed_at.empty() ||
                      (options_.now() >= entry.failed_at.again() && !CanBeTriedElsewhere(entry));
  const auto& rooms = experiments_.at(entry.unit->share().experiment()).rooms;
  std::optional<ActorId> second;
  for (auto room = rooms.rbegin(); room != rooms.rend(); ++room) {
    const Actor& actor = actors_.at(room->second);
    if (entry.holders.contains(room->second) || !Offers(actor, entry.env_host) ||
        suspects_.contains(NameOf(room->second, actor)))
      continue;
    if (!anyone && entry.failed_at.Has(actor.info.uid)) continue;
    if (!proven || actor.standing.good()) return room->second;
    if (!second) second = room->second;
  }
  return second;
}

// The ready units of one experiment, in the order in which they are given out.
class UnitDispatcher::Line {
 public:
  Line(UnitDispatcher* dispatcher, const Experiment* experiment)
      : dispatcher_(*dispatcher), experiment_(*experiment) {}
  void Add(Shard* shard) { shards_.push_back(shard); }

  // Gives one unit out; false when no actor takes any.
  bool GiveNext(std::vector<Assignment>* assignments) {
    for (; at_ < shards_.size(); NextShard()) {
      Shard& shard = *shards_[at_];
      while (!shard.queue.empty() && !experiment_.rooms.empty()) {
        const UnitKey key = shard.queue.front();
        Entry& entry = shard.entries.at(key);
        if (entry.ready) {
          if (const auto actor = dispatcher_.Choose(entry, /*proven=*/false)) {
            shard.queue.pop_front();
            entry.ready = false;
            dispatcher_.CountReady(entry, -1);
            dispatcher_.Give(key, &entry, *actor, assignments);
            return true;
          }
          waits_ |= entry.env_host.empty();
          if (entry.failed_at.empty() && entry.holders.empty() && shard.one_host) break;
          // The unit waits for a certain actor, and must not delay those behind it.
          passed_.push_back(key);
        }
        shard.queue.pop_front();
      }
      waits_ |= experiment_.rooms.empty() && !shard.queue.empty();
    }
    return false;
  }
  // True if remaining units wait for something other than a simulator.
  bool waits() const { return waits_; }

 private:
  void NextShard() {
    std::deque<UnitKey>& queue = shards_[at_++]->queue;
    queue.insert(queue.begin(), passed_.begin(), passed_.end());
    passed_.clear();
  }

  UnitDispatcher& dispatcher_;
  const Experiment& experiment_;
  std::vector<Shard*> shards_;
  std::vector<UnitKey> passed_;
  size_t at_ = 0;
  bool waits_ = false;
};

std::vector<UnitDispatcher::Assignment> UnitDispatcher::Assign() {
  Expire();
  std::vector<Assignment> assignments;
  AssignChecks(&assignments);
  std::map<std::string, Line> lines;
  std::set<std::string> ready, waiting;
  for (auto& [number, shard] : shards_) {
    if (shard.queue.empty()) continue;
    Experiment& experiment = experiments_.at(shard.experiment);
    if (options_.now() < experiment.held_until) {
      waiting.insert(shard.experiment);
      continue;
    }
    lines.try_emplace(shard.experiment, this, &experiment).first->second.Add(&shard);
    ready.insert(shard.experiment);
  }
  while (!ready.empty()) {
    const std::string next = ready.size() == 1 ? *ready.begin() : *queue_.Next(ready);
    Line& line = lines.at(next);
    if (line.GiveNext(&assignments)) continue;
    if (line.waits()) waiting.insert(next);
    ready.erase(next);
  }
  // When nothing waits, idle actors take lagging units.
  const std::vector<UnitKey> lagging(lagging_.begin(), lagging_.end());
  for (const UnitKey& key : lagging) {
    Entry* entry = Find(key);
    if (waiting.contains(entry->unit->share().experiment())) continue;
    if (entry->is_check) continue;
    if (const auto actor = Choose(*entry, /*proven=*/true)) {
      Give(key, entry, *actor, &assignments);
      ++reissued_["lagging"];
    }
  }
  return assignments;
}

bool UnitDispatcher::CanBeTriedElsewhere(const Entry& entry) const {
  return entry.failed_at.LeavesSomeOf(
      actors_,
      [&](const Actor& actor) {
        return !actor.leaving && !actor.refused && !KeptAway(actor) &&
               Offers(actor, entry.env_host) && (actor.credit > 0 || !actor.held.empty());
      },
      [](const Actor& actor) { return actor.info.uid; });
}

bool UnitDispatcher::IsHopeless(const Entry& entry) const {
  if (static_cast<int>(entry.good_failed_at.size()) >= options_.retries.errors_max) return true;
  // One other actor confirms it, where there is one.
  if (entry.same_everywhere.size() >= 2) return true;
  if (!entry.same_everywhere.empty() && !CanBeTriedElsewhere(entry)) return true;
  return entry.failed_at.IsGivenUp(options_.now(), options_.retries) && !CanBeTriedElsewhere(entry);
}

std::optional<double> UnitDispatcher::ExpectedNs(const v1::Unit& unit) const {
  const auto known = step_ns_.find(KindOf(unit));
  if (known == step_ns_.end()) return std::nullopt;
  std::vector<double> sorted(known->second.begin(), known->second.end());
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle * std::max(1U, unit.steps());
}

std::chrono::nanoseconds UnitDispatcher::After(const v1::Unit& unit, std::chrono::nanoseconds least,
                                               double factor) const {
  const double expected = factor * ExpectedNs(unit).value_or(0);
  return std::max(least, std::chrono::nanoseconds(static_cast<int64_t>(expected)));
}

std::chrono::nanoseconds UnitDispatcher::DueOf(const Holding& holding) const {
  if (holding.early)
    return holding.sent + After(*holding.unit, options_.newcomer_lag_min, options_.lag_factor);
  if (!holding.lagging)
    return holding.sent + After(*holding.unit, options_.lag_min, options_.lag_factor);
  return holding.sent + After(*holding.unit, options_.lost_min, options_.lost_factor) *
                            (int64_t{1} << std::min(holding.attempt - 1, 16U));
}

std::optional<std::chrono::nanoseconds> UnitDispatcher::SilentFrom(const Actor& actor) const {
  std::optional<std::chrono::nanoseconds> first;
  for (const auto& [key, holding] : actor.held) {
    if (holding.lagging || actor.spoke > holding.sent) continue;
    if (const auto due = DueOf(holding); !first || due < *first) first = due;
  }
  return first;
}

void UnitDispatcher::Expire() {
  const auto now = options_.now();
  while (!out_.empty() && out_.begin()->first <= now) {
    const UnitKey key = out_.begin()->second;
    Entry* entry = Find(key);
    const std::set<ActorId> holders = entry->holders;
    for (const ActorId id : holders) {
      Actor& actor = actors_.at(id);
      Holding& holding = actor.held.at(key);
      if (DueOf(holding) > now) continue;
      if (holding.early) {
        holding.early = false;
        lagging_.insert(key);
        actor.silent = actor.spoke <= holding.sent;
        Refresh(id, &actor);
        continue;
      }
      if (!holding.lagging) {
        holding.lagging = true;
        lagging_.insert(key);
        actor.silent = actor.spoke <= holding.sent;
        // Before the first unit of a kind has come back, its duration is unknown.
        if (ExpectedNs(*holding.unit) && !WasAtWork(actor, holding)) Strike(id);
        Refresh(id, &actor);
        continue;
      }
      if (actor.lost.size() >= kLostMax) actor.lost.erase(actor.lost.begin());
      const bool was_at_work = WasAtWork(actor, holding);
      actor.lost.insert_or_assign(key, *LetGo(&actor, key));
      entry->holders.erase(id);
      if (entry->is_check) checks_.at(key).barred.insert(NameOf(id, actor));
      actor.silent = false;
      SetCredit(id, &actor, actor.credit + 1);
      if (!was_at_work) Strike(id);
    }
    if (entry->holders.empty() && Requeue(key)) {
      ++reissued_["silent"];
    } else {
      SetOut(key, entry);
    }
  }
  retries_.erase(retries_.begin(), retries_.upper_bound(now));
  // Actors whose quarantine has ended.
  for (const ActorId id : struck_) {
    Actor& actor = actors_.at(id);
    if (*actor.standing.until() <= now) Refresh(id, &actor);
  }
}

std::optional<std::chrono::nanoseconds> UnitDispatcher::NextChange() const {
  std::optional<std::chrono::nanoseconds> next;
  if (!out_.empty()) next = out_.begin()->first;
  if (!retries_.empty() && (!next || *retries_.begin() < *next)) next = *retries_.begin();
  // A check waits no longer for an actor that becomes silent.
  for (auto actor = actors_.begin(); !checks_.empty() && actor != actors_.end(); ++actor) {
    const auto from = SilentFrom(actor->second);
    if (from && *from > options_.now() && (!next || *from < *next)) next = from;
  }
  for (const ActorId id : struck_) {
    const Actor& actor = actors_.at(id);
    if (actor.credit > 0 && !actor.leaving && KeptAway(actor) && !actor.standing.banned() &&
        (!next || *actor.standing.until() < *next))
      next = actor.standing.until();
  }
  return next;
}

std::shared_ptr<const v1::Unit> UnitDispatcher::Held(ActorId id, const UnitKey& key) const {
  const auto actor = actors_.find(id);
  if (actor == actors_.end()) return nullptr;
  for (const auto* holdings : {&actor->second.held, &actor->second.lost}) {
    if (const auto held = holdings->find(key); held != holdings->end()) return held->second.unit;
  }
  return nullptr;
}

UnitDispatcher::Outcome UnitDispatcher::Failed(const UnitKey& key, const Actor& actor, Entry* entry,
                                               const std::string& error) {
  Experiment& experiment = experiments_.at(entry->unit->share().experiment());
  if (actor.standing.good()) {
    entry->good_failed_at.insert(actor.info.uid);
    if (!experiment.succeeded) experiment.failed_at.insert(actor.info.uid);
  }
  if (++experiment.errors >= kErrorsInARow) {
    const int doublings = std::min(experiment.errors - kErrorsInARow, 16);
    experiment.held_until =
        options_.now() + std::min(options_.hold_max, options_.hold_min * (1 << doublings));
    retries_.insert(experiment.held_until);
  }
  entry->failed_at.Failed(actor.info.uid, options_.now(), options_.retries);
  if (IsSameEverywhere(error)) entry->same_everywhere.insert(actor.info.uid);
  // No unit of the experiment has ever succeeded, wherever it was tried.
  const bool never = static_cast<int>(experiment.failed_at.size()) >= options_.retries.errors_max;
  absl::Status& failure = shards_.at(key.shard).failure;
  if ((never || IsHopeless(*entry)) && failure.ok()) {
    failure = MakeError(Reason::kUnitFailed,
                        absl::StrFormat("%s failed %d times; the last time: %s", ToString(key),
                                        entry->failed_at.errors(), error));
  }
  // Another holder may still bring a result.
  if (entry->holders.empty() && Requeue(key)) {
    ++reissued_["error"];
    retries_.insert(entry->failed_at.again());
  } else {
    SetOut(key, entry);
  }
  return Outcome::kError;
}

UnitDispatcher::Outcome UnitDispatcher::Accept(ActorId id, v1::Result result) {
  const UnitKey key = ToKey(result.id());
  const auto found = actors_.find(id);
  if (found == actors_.end()) return Outcome::kUnexpected;
  Actor& actor = found->second;
  std::optional<Holding> held = LetGo(&actor, key);
  if (!held) {
    auto node = actor.lost.extract(key);
    if (node.empty()) return Outcome::kUnexpected;
    held = std::move(node.mapped());
  }
  const Holding holding = *std::move(held);
  const std::string& name = holding.unit->share().experiment();
  const std::chrono::nanoseconds turnaround = options_.now() - holding.sent;
  actor.silent = false;
  actor.spoke = options_.now();
  if (result.error().empty()) {
    if (holding.sent > actor.doubted) actor.standing.Delivered();
    if (actor.delivered.size() >= kExperimentsMax) actor.delivered.clear();
    actor.delivered[name] = options_.now();
  }
  // At most the elapsed time, whatever the actor reports.
  const double most = std::chrono::duration<double>(turnaround).count();
  queue_.Charge(name, result.work_seconds() > 0 ? std::min(result.work_seconds(), most) : 0);
  Refresh(id, &actor);
  Entry* entry = Find(key);
  const bool was_holder = entry != nullptr && entry->holders.erase(id) > 0;
  if (entry == nullptr || entry->done || entry->is_check)
    return Compare(id, key, holding, was_holder, result);
  if (!result.error().empty()) return Failed(key, actor, entry, result.error());
  Experiment& experiment = experiments_.at(name);
  experiment.errors = 0;
  experiment.held_until = {};
  experiment.succeeded = true;
  experiment.failed_at.clear();
  // It may be queued again, as its actor leaves or was silent: the queue skips what is not ready.
  if (std::exchange(entry->ready, false)) CountReady(*entry, -1);
  entry->done = true;
  SetOut(key, entry);
  // Actors that failed at a unit which another one could do.
  if (!entry->failed_at.empty()) {
    for (auto& [other, failed] : actors_) {
      if (other != id && entry->failed_at.Has(failed.info.uid)) Strike(other);
    }
  }
  const std::string kind = KindOf(*holding.unit);
  if (step_ns_.size() >= kEnvironments && !step_ns_.contains(kind)) step_ns_.clear();
  std::deque<double>& turnarounds = step_ns_[kind];
  turnarounds.push_back(static_cast<double>(turnaround.count()) /
                        std::max(1U, holding.unit->steps()));
  if (turnarounds.size() > kTurnarounds) turnarounds.pop_front();
  last_turnaround_ = turnaround;
  CountUse(key, id, *entry, result.result_hash());
  Shard& shard = shards_.at(key.shard);
  shard.results[entry->index] = std::move(result);
  --shard.missing;
  return Outcome::kUsed;
}

}  // namespace mentor::learner
