#include "learner/rollout/unit_dispatcher.h"

#include <algorithm>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::learner {
namespace {

// Turnarounds that the median is taken of, and how many environments have one.
constexpr size_t kTurnarounds = 64, kEnvironments = 256;
// Results whose hash is kept for late copies, and units that an actor is known to have lost.
constexpr size_t kHashes = 4096, kLostMax = 1024;
// Actors whose strikes are remembered when they have gone.
constexpr size_t kDepartedMax = 1024;
// Units that wait to be computed again.
constexpr size_t kChecksMax = 64;

// By its key alone, so that it is not the actor's choice.
bool IsChecked(const UnitKey& key, uint32_t every) {
  if (every == 0) return false;
  uint64_t mixed = 0;
  for (const uint64_t word :
       {key.shard, uint64_t{key.iteration}, uint64_t{key.agent}, uint64_t{key.part}}) {
    mixed = (mixed ^ word) * 0x9e3779b97f4a7c15;  // Fibonacci hashing.
    mixed ^= mixed >> 29;
  }
  return mixed % every == 0;
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
  return absl::StrFormat("unit %u/%u/%u/%u", key.shard, key.iteration, key.agent, key.part);
}

UnitDispatcher::UnitDispatcher(Options options) : options_(std::move(options)) {
  MENTOR_CHECK(options_.now);
}

absl::Status UnitDispatcher::Add(uint64_t number, std::vector<v1::Unit> units) {
  if (shards_.contains(number)) {
    return absl::FailedPreconditionError(absl::StrFormat("shard %u has units under way", number));
  }
  Shard shard;
  for (v1::Unit& unit : units) {
    const UnitKey key = ToKey(unit.id());
    if (key.shard != number) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is not of shard %u", ToString(key), number));
    }
    Entry entry;
    entry.index = shard.queue.size();
    entry.unit = std::make_shared<const v1::Unit>(std::move(unit));
    if (!shard.entries.emplace(key, std::move(entry)).second) {
      return absl::InvalidArgumentError(ToString(key) + " is there twice");
    }
    shard.queue.push_back(key);
  }
  shard.missing = shard.queue.size();
  shard.results.resize(shard.missing);
  ready_count_ += shard.missing;
  shards_.emplace(number, std::move(shard));
  return absl::OkStatus();
}

std::vector<std::pair<ActorId, UnitKey>> UnitDispatcher::Cancel(uint64_t number) {
  std::vector<std::pair<ActorId, UnitKey>> holders;
  const auto shard = shards_.find(number);
  if (shard == shards_.end()) return holders;
  for (auto& [key, entry] : shard->second.entries) {
    if (entry.done) continue;
    if (entry.ready) --ready_count_;
    SetOut(key, &entry, std::nullopt);
    for (const ActorId actor : entry.holders) holders.emplace_back(actor, key);
  }
  shards_.erase(shard);
  return holders;
}

std::optional<absl::StatusOr<std::vector<v1::Result>>> UnitDispatcher::Take(uint64_t number) {
  const auto shard = shards_.find(number);
  MENTOR_CHECK(shard != shards_.end());
  if (!shard->second.failure.ok()) return shard->second.failure;
  if (shard->second.missing > 0) return std::nullopt;
  std::vector<v1::Result> results = std::move(shard->second.results);
  shards_.erase(shard);
  return results;
}

bool UnitDispatcher::Settled(uint64_t number) const {
  const auto shard = shards_.find(number);
  return shard == shards_.end() || shard->second.missing == 0 || !shard->second.failure.ok();
}

void UnitDispatcher::AddActor(ActorId actor) {
  MENTOR_CHECK(actors_.emplace(actor, Actor()).second);
}

void UnitDispatcher::SetCredit(ActorId id, Actor* actor, uint32_t credit) {
  with_credit_.erase({actor->credit, id});
  actor->credit = credit;
  if (credit > 0 && !actor->leaving) with_credit_.insert({credit, id});
}

void UnitDispatcher::SetOut(const UnitKey& key, Entry* entry,
                            std::optional<std::chrono::nanoseconds> sent) {
  if (entry->sent) out_.erase({*entry->sent, key});
  entry->sent = sent;
  if (sent) out_.emplace(*sent, key);
}

absl::Status UnitDispatcher::Offer(ActorId id, uint32_t units) {
  Actor& actor = actors_.at(id);
  const uint64_t total = actor.held.size() + actor.credit + uint64_t{units};
  if (units == 0 || total > options_.credit_max) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, Reason::kCreditExceeded,
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
  // Newest first, each to the head: the oldest ends up first.
  for (auto held = actor.held.rbegin(); held != actor.held.rend(); ++held) {
    if (Requeue(held->first)) ++reissued_.leaving;
  }
}

void UnitDispatcher::RemoveActor(ActorId id) {
  const auto found = actors_.find(id);
  MENTOR_CHECK(found != actors_.end());
  const Actor actor = std::move(found->second);
  with_credit_.erase({actor.credit, id});
  actors_.erase(found);
  for (auto held = actor.held.rbegin(); held != actor.held.rend(); ++held) {
    Entry* entry = Find(held->first);
    if (entry == nullptr) continue;
    entry->holders.erase(id);
    // Somebody else still works on it.
    if (!entry->holders.empty()) continue;
    if (Requeue(held->first)) ++reissued_.lost;
  }
}

UnitDispatcher::Entry* UnitDispatcher::Find(const UnitKey& key) {
  const auto shard = shards_.find(key.shard);
  if (shard == shards_.end()) return nullptr;
  const auto entry = shard->second.entries.find(key);
  return entry == shard->second.entries.end() ? nullptr : &entry->second;
}

bool UnitDispatcher::Requeue(const UnitKey& key) {
  Entry* entry = Find(key);
  if (entry == nullptr || entry->ready || entry->done) return false;
  SetOut(key, entry, std::nullopt);
  entry->ready = true;
  ++ready_count_;
  shards_.at(key.shard).queue.push_front(key);
  return true;
}

void UnitDispatcher::Give(const UnitKey& key, Entry* entry, ActorId id,
                          std::vector<Assignment>* assignments) {
  Actor& actor = actors_.at(id);
  SetCredit(id, &actor, actor.credit - 1);
  const auto now = options_.now();
  actor.held[key] = {.unit = entry->unit, .sent = now};
  entry->holders.insert(id);
  SetOut(key, entry, now);
  assignments->push_back(
      {.actor = id, .key = key, .attempt = ++entry->attempts, .unit = entry->unit});
}

std::vector<UnitDispatcher::Assignment> UnitDispatcher::Assign() {
  std::vector<Assignment> assignments;
  // The actor with the most credit that does not hold the unit already (after Leaving it may).
  const auto choose = [&](const Entry& entry) -> std::optional<ActorId> {
    for (auto actor = with_credit_.rbegin(); actor != with_credit_.rend(); ++actor) {
      if (!entry.holders.contains(actor->second)) return actor->second;
    }
    return std::nullopt;
  };
  for (auto& [number, shard] : shards_) {
    while (!shard.queue.empty() && !with_credit_.empty()) {
      const UnitKey key = shard.queue.front();
      Entry& entry = shard.entries.at(key);
      if (entry.ready) {
        const auto actor = choose(entry);
        if (!actor) break;
        entry.ready = false;
        --ready_count_;
        Give(key, &entry, *actor, &assignments);
      }
      shard.queue.pop_front();
    }
  }
  if (with_credit_.empty() || ready_count_ > 0) return assignments;
  // Nothing waits: idle actors take what lags, then what is to be compared.
  const std::vector<UnitKey> lagging(lagging_.begin(), lagging_.end());
  for (const UnitKey& key : lagging) {
    Entry* entry = Find(key);
    if (const auto actor = choose(*entry)) {
      Give(key, entry, *actor, &assignments);
      ++reissued_.lagging;
    }
  }
  AssignChecks(&assignments);
  return assignments;
}

void UnitDispatcher::AssignChecks(std::vector<Assignment>* assignments) {
  for (size_t left = checks_.size(); left > 0 && !with_credit_.empty(); --left) {
    auto check = std::move(checks_.front());
    checks_.pop_front();
    const auto used = hashes_.find(check.first);
    if (used == hashes_.end()) continue;  // Too long ago.
    const auto first = actors_.find(used->second.actor);
    const auto other =
        std::find_if(with_credit_.rbegin(), with_credit_.rend(), [&](const auto& candidate) {
          const Actor& actor = actors_.at(candidate.second);
          return candidate.second != used->second.actor && !actor.held.contains(check.first) &&
                 (first == actors_.end() || actor.info.uid != first->second.info.uid);
        });
    if (other == with_credit_.rend()) {
      checks_.push_back(std::move(check));
      continue;
    }
    const ActorId id = other->second;
    Actor& actor = actors_.at(id);
    actor.held[check.first] = {.unit = check.second, .sent = options_.now(), .lagging = true};
    SetCredit(id, &actor, actor.credit - 1);
    assignments->push_back({.actor = id, .key = check.first, .unit = check.second});
  }
}

void UnitDispatcher::KeepAway(ActorId id) {
  const auto found = actors_.find(id);
  if (found == actors_.end()) return;
  found->second.standing.Quarantine(options_.now());
  ++quarantines_;
  Refresh(id, &found->second);
}

bool UnitDispatcher::CanBeTriedElsewhere(const Entry& entry) const {
  for (const auto& [id, actor] : actors_) {
    if (!actor.leaving && !KeptAway(actor) && (actor.credit > 0 || !actor.held.empty()) &&
        !entry.failed_at.contains(actor.info.uid))
      return true;
  }
  return false;
}

bool UnitDispatcher::IsHopeless(const Entry& entry) const {
  if (entry.errors < options_.errors_max) return false;
  if (entry.good_errors >= options_.errors_max || entry.errors >= options_.errors_any_max)
    return true;
  if (CanBeTriedElsewhere(entry)) return false;
  return entry.failed_at.size() > 1 || entry.errors >= options_.errors_alone_max;
}

std::optional<double> UnitDispatcher::ExpectedNs(const v1::Unit& unit) const {
  const auto known = step_ns_.find(unit.task().environment());
  if (known == step_ns_.end()) return std::nullopt;
  std::vector<double> sorted(known->second.begin(), known->second.end());
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const std::chrono::nanoseconds scaled(
      static_cast<int64_t>(options_.lag_factor * static_cast<double>(middle->count())));
  return std::max(options_.lag_min, scaled);
}

std::optional<std::chrono::nanoseconds> UnitDispatcher::NextLag() const {
  const auto lag = Lag(), now = options_.now();
  for (const auto& [sent, key] : out_) {
    if (sent + lag > now) return sent + lag;
  }
  return std::nullopt;
}

std::shared_ptr<const v1::Unit> UnitDispatcher::Held(ActorId id, const UnitKey& key) const {
  const auto actor = actors_.find(id);
  if (actor == actors_.end()) return nullptr;
  const auto held = actor->second.held.find(key);
  return held == actor->second.held.end() ? nullptr : held->second.unit;
}

void UnitDispatcher::Remember(const UnitKey& key, std::string hash, ActorId actor) {
  if (!hashes_.emplace(key, Used{std::move(hash), actor}).second) return;
  hashes_order_.push_back(key);
  if (hashes_order_.size() > kHashes) {
    hashes_.erase(hashes_order_.front());
    hashes_order_.pop_front();
  }
}

UnitDispatcher::Outcome UnitDispatcher::Accept(ActorId id, v1::Result result) {
  const UnitKey key = ToKey(result.id());
  const auto actor = actors_.find(id);
  if (actor == actors_.end()) return Outcome::kUnexpected;
  const auto held = actor->second.held.find(key);
  if (held == actor->second.held.end()) return Outcome::kUnexpected;
  const std::chrono::nanoseconds turnaround = options_.now() - held->second.sent;
  actor->second.held.erase(held);

  Entry* entry = Find(key);
  if (entry == nullptr || entry->done) {
    if (entry != nullptr) entry->holders.erase(id);
    const auto hash = hashes_.find(key);
    if (hash == hashes_.end() || !result.error().empty()) return Outcome::kLate;
    if (hash->second.hash == result.result_hash()) return Outcome::kDuplicate;
    // Nobody knows yet which of the two is wrong.
    KeepAway(id);
    KeepAway(hash->second.actor);
    return Outcome::kDivergent;
  }
  entry->holders.erase(id);
  Shard& shard = shards_.at(key.shard);
  if (!result.error().empty()) {
    if (++entry->errors >= options_.errors_max && shard.failure.ok()) {
      shard.failure = MakeError(absl::StatusCode::kInternal, Reason::kUnitFailed,
                                absl::StrFormat("%s failed %d times; the last time: %s",
                                                ToString(key), entry->errors, result.error()));
    }
    // Another holder may still bring a result.
    if (entry->holders.empty() && Requeue(key)) ++reissued_.error;
    return Outcome::kError;
  }
  if (entry->ready) {
    // It waits in the queue again since its actor is leaving; the queue skips units that are no
    // longer ready.
    entry->ready = false;
    --ready_count_;
  } else {
    SetOut(key, entry, std::nullopt);
  }
  entry->done = true;
  turnarounds_.push_back(turnaround);
  if (turnarounds_.size() > kTurnarounds) turnarounds_.pop_front();
  last_turnaround_ = turnaround;
  Remember(key, result.result_hash(), id);
  if (IsChecked(key, options_.check_every)) {
    if (checks_.size() >= kChecksMax) checks_.pop_front();
    checks_.emplace_back(key, entry->unit);
  }
  shard.results[entry->index] = std::move(result);
  --shard.missing;
  return Outcome::kUsed;
}

}  // namespace mentor::learner
