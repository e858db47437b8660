// The part of UnitDispatcher that compares results: units that a second actor computes again, late
// copies, and what becomes of actors that differ.
//
// Where two actors differ, neither gets work until a third one has computed the unit. Then those
// whose result stands alone are found out: they get no more work, and all shards that used their
// results begin again. If no third actor is there, both are kept away for a while, and the shards
// of both begin again.
#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/hosts.h"
#include "common/uuid.h"
#include "learner/rollout/unit_dispatcher.h"

namespace mentor::learner {
namespace {

// Results whose hash is kept for late copies.
constexpr size_t kUsed = 4096;
// Shards whose actors are remembered.
constexpr size_t kShardsMax = 65'536;

void KeepNewest(auto* by_shard) {
  if (by_shard->size() > kShardsMax) by_shard->erase(by_shard->begin());
}

// "actor 0b5c... on rack-7"
std::string Sentence(const std::vector<std::string>& actors) {
  return absl::StrCat(actors.size() == 1 ? "actor " : "actors ", absl::StrJoin(actors, " and "));
}

}  // namespace

std::string UnitDispatcher::NameOf(ActorId id, const Actor& actor) {
  return actor.info.uid.empty() ? absl::StrCat("#", static_cast<uint64_t>(id)) : actor.info.uid;
}

void UnitDispatcher::CountUse(const UnitKey& key, ActorId id, const Entry& entry,
                              const std::string& hash) {
  if (tainted_.contains(key.shard)) return;  // It is about to begin again.
  Actor& actor = actors_.at(id);
  Answer answer{.actor = NameOf(id, actor), .host = actor.info.host, .hash = hash};
  users_[key.shard].insert(answer.actor);
  KeepNewest(&users_);
  Remember(key, answer);
  // So each experiment and each actor has a check, however few its units are.
  Experiment& experiment = experiments_.at(entry.unit->share().experiment());
  const bool early = experiment.spans.Next(options_.check_every),
             new_here = actor.spans.Next(options_.check_every);
  if (early || new_here || SecretOneIn(options_.check_every))
    BeginCheck(key, entry.unit, std::move(answer));
}

void UnitDispatcher::Remember(const UnitKey& key, Answer answer) {
  if (!used_.emplace(key, std::move(answer)).second) return;
  used_order_.push_back(key);
  if (used_order_.size() > kUsed) {
    used_.erase(used_order_.front());
    used_order_.pop_front();
  }
}

UnitDispatcher::Check& UnitDispatcher::BeginCheck(const UnitKey& key,
                                                  std::shared_ptr<const v1::Unit> unit,
                                                  Answer first) {
  Check& check = checks_[key];
  check.entry.env_host = HostOf(unit->task());
  check.entry.unit = std::move(unit);
  check.entry.is_check = true;
  check.barred.insert(first.actor);
  check.answers.push_back(std::move(first));
  return check;
}

void UnitDispatcher::EndCheck(const UnitKey& key) {
  const auto found = checks_.find(key);
  if (found == checks_.end()) return;
  Check& check = found->second;
  check.entry.ready = false;
  check.entry.done = true;
  SetOut(key, &check.entry);
  Dispute(&check, false);
  checks_.erase(found);
  ++checks_ended_;
}

void UnitDispatcher::EndChecks(uint64_t shard) {
  std::vector<UnitKey> idle;
  for (auto check = checks_.lower_bound({.shard = shard});
       check != checks_.end() && check->first.shard == shard; ++check) {
    if (check->second.entry.holders.empty() && !check->second.disputed)
      idle.push_back(check->first);
  }
  for (const UnitKey& key : idle) EndCheck(key);
}

size_t UnitDispatcher::NumChecks(uint64_t shard) const {
  return static_cast<size_t>(std::distance(checks_.lower_bound({.shard = shard}),
                                           checks_.lower_bound({.shard = shard + 1})));
}

std::string UnitDispatcher::TaintOf(uint64_t shard) const {
  const auto tainted = tainted_.find(shard);
  return tainted == tainted_.end() ? "" : tainted->second;
}

bool UnitDispatcher::HasOpenChecks(uint64_t shard) const {
  const auto users = users_.find(shard);
  if (users != users_.end() &&
      std::any_of(suspects_.begin(), suspects_.end(),
                  [&](const auto& one) { return users->second.contains(one.first); }))
    return true;
  for (auto check = checks_.lower_bound({.shard = shard});
       check != checks_.end() && check->first.shard == shard; ++check) {
    const auto& holders = check->second.entry.holders;
    if (CanBeChecked(check->second, /*elsewhere=*/false) ||
        std::any_of(holders.begin(), holders.end(), [&](const ActorId id) {
          return !actors_.at(id).held.at(check->first).lagging;
        }))
      return true;
  }
  return false;
}

bool UnitDispatcher::MayCheck(const Check& check, ActorId id, const Actor& actor,
                              bool elsewhere) const {
  if (actor.leaving || actor.refused || actor.silent || KeptAway(actor) ||
      check.barred.contains(NameOf(id, actor)) || !Offers(actor, check.entry.env_host) ||
      (actor.credit == 0 && actor.held.empty()))
    return false;
  const auto silent_from = SilentFrom(actor);
  if (silent_from && *silent_from <= options_.now()) return false;
  return !elsewhere ||
         std::none_of(check.answers.begin(), check.answers.end(),
                      [&](const Answer& answer) { return answer.host == actor.info.host; });
}

bool UnitDispatcher::CanBeChecked(const Check& check, bool elsewhere) const {
  return std::any_of(actors_.begin(), actors_.end(), [&](const auto& actor) {
    return !check.entry.holders.contains(actor.first) &&
           MayCheck(check, actor.first, actor.second, elsewhere);
  });
}

std::optional<ActorId> UnitDispatcher::ChooseAuditor(const Check& check) const {
  // A host that computes wrongly would confirm its own results.
  const bool elsewhere = CanBeChecked(check, /*elsewhere=*/true);
  const auto& rooms = experiments_.at(check.entry.unit->share().experiment()).rooms;
  for (auto room = rooms.rbegin(); room != rooms.rend(); ++room) {
    const ActorId id = room->second;
    const Actor& actor = actors_.at(id);
    // A suspect of one dispute may decide another: the results are compared.
    if (!check.disputed && suspects_.contains(NameOf(id, actor))) continue;
    if (!check.entry.holders.contains(id) && !actor.held.contains(ToKey(check.entry.unit->id())) &&
        MayCheck(check, id, actor, elsewhere))
      return id;
  }
  return std::nullopt;
}

// Checks come before other work: they are few, and they must not wait for a fleet to be idle.
void UnitDispatcher::AssignChecks(std::vector<Assignment>* assignments) {
  std::vector<UnitKey> ready;
  for (const auto& [key, check] : checks_) {
    if (check.entry.ready || lagging_.contains(key)) ready.push_back(key);
  }
  for (const UnitKey& key : ready) {
    const auto found = checks_.find(key);
    if (found == checks_.end()) continue;  // It ended with another one.
    Check& check = found->second;
    const v1::WorkShare& share = check.entry.unit->share();
    if (!experiments_.contains(share.experiment())) ExperimentOf(share);
    if (const auto auditor = ChooseAuditor(check)) {
      check.entry.ready = false;
      Give(key, &check.entry, *auditor, assignments);
    } else if (check.disputed && check.entry.holders.empty() &&
               !CanBeChecked(check, /*elsewhere=*/false)) {
      std::set<std::string> names;
      std::vector<std::string> actors;
      for (const Answer& answer : check.answers) {
        names.insert(answer.actor);
        actors.push_back(absl::StrCat(answer.actor, " on ", answer.host));
      }
      std::sort(actors.begin(), actors.end());
      EndCheck(key);
      FindOut(names, /*decided=*/false,
              Sentence(actors) +
                  " gave different results of a unit, and no other actor was there "
                  "to decide");
    }
  }
}

UnitDispatcher::Outcome UnitDispatcher::Compare(ActorId id, const UnitKey& key,
                                                const Holding& holding, bool was_auditor,
                                                const v1::Result& result) {
  auto found = checks_.find(key);
  const Actor& actor = actors_.at(id);
  const std::string name = NameOf(id, actor);
  if (!result.error().empty()) {
    if (found == checks_.end() || !was_auditor) return Outcome::kLate;
    found->second.barred.insert(name);
    if (!found->second.entry.holders.empty() || !Requeue(key)) SetOut(key, &found->second.entry);
    return Outcome::kError;
  }
  if (found == checks_.end()) {
    const auto used = used_.find(key);
    if (used == used_.end()) return Outcome::kLate;
    if (used->second.hash == result.result_hash()) return Outcome::kDuplicate;
    BeginCheck(key, holding.unit, used->second);
    found = checks_.find(key);
  }
  Check& check = found->second;
  const bool differs = check.answers.front().hash != result.result_hash();
  const Outcome outcome = differs ? Outcome::kDivergent : Outcome::kDuplicate;
  Answer answer{.actor = name, .host = actor.info.host, .hash = result.result_hash()};
  const std::string who = absl::StrCat("actor ", name, " on ", answer.host);
  for (const Answer& before : check.answers) {
    if (before.actor != name) continue;
    if (before.hash == answer.hash) return outcome;
    FindOut({name}, /*decided=*/true, who + " gave two results of one unit that differ");
    return Outcome::kDivergent;
  }
  const bool agrees = std::any_of(check.answers.begin(), check.answers.end(),
                                  [&](const Answer& other) { return other.hash == answer.hash; });
  if (!agrees) {
    check.answers.push_back(answer);
    check.barred.insert(name);
    Dispute(&check, true);
    if (check.entry.holders.empty()) Requeue(key);
    return outcome;
  }
  std::set<std::string> wrong;
  std::vector<std::string> actors;
  for (const Answer& other : check.answers) {
    if (other.hash == answer.hash) continue;
    wrong.insert(other.actor);
    actors.push_back(absl::StrCat(other.actor, " on ", other.host));
  }
  EndCheck(key);
  if (!wrong.empty()) {
    FindOut(wrong, /*decided=*/true,
            Sentence(actors) + " computed a unit wrongly, as two others agree");
  }
  return outcome;
}

void UnitDispatcher::Dispute(Check* check, bool disputed) {
  std::set<std::string> names;
  for (const Answer& answer : check->answers) names.insert(answer.actor);
  // One more actor may have joined a dispute.
  const auto count = [&](const std::string& name, int change) {
    if ((suspects_[name] += change) == 0) suspects_.erase(name);
  };
  if (disputed) {
    for (const std::string& name : names) {
      if (!check->disputed || name == check->answers.back().actor) count(name, 1);
    }
  } else if (check->disputed) {
    for (const std::string& name : names) count(name, -1);
  }
  check->disputed = disputed;
}

void UnitDispatcher::FindOut(const std::set<std::string>& names, bool decided,
                             const std::string& why) {
  std::set<std::string> gone = names;
  for (auto& [id, actor] : actors_) {
    const std::string name = NameOf(id, actor);
    if (!names.contains(name)) continue;
    gone.erase(name);
    actor.doubted = options_.now();
    decided ? actor.standing.Ban() : actor.standing.Quarantine(options_.now());
    ++quarantines_;
    Refresh(id, &actor);
  }
  for (const std::string& name : gone) {
    Standing standing = departed_.Returned(name, options_.standing);
    decided ? standing.Ban() : standing.Quarantine(options_.now());
    departed_.Left(name, standing);
  }
  FoundOut& found = found_out_.emplace_back(FoundOut{.why = why, .shards = {}});
  for (auto& [shard, users] : users_) {
    if (std::none_of(names.begin(), names.end(),
                     [&](const std::string& name) { return users.contains(name); }))
      continue;
    found.shards.insert(shard);
    tainted_.emplace(shard, why);
    KeepNewest(&tainted_);
    used_.erase(used_.lower_bound({.shard = shard}), used_.lower_bound({.shard = shard + 1}));
  }
  for (const uint64_t shard : found.shards) {
    users_.erase(shard);
    std::vector<UnitKey> checks;
    for (auto check = checks_.lower_bound({.shard = shard});
         check != checks_.end() && check->first.shard == shard; ++check)
      checks.push_back(check->first);
    for (const UnitKey& key : checks) EndCheck(key);
  }
  ++checks_ended_;
}

}  // namespace mentor::learner
