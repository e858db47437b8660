// The part of ShardBoard that assigns shards to learners.
#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/failpoint.h"
#include "common/history.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

void ShardBoard::AssignLocked() {
  changed_.NotifyAll();
  SettleAuditsLocked();
  const std::optional<LearnerId> reserved = ReserveForSuspectsLocked();
  std::optional<std::set<uint64_t>> impatient;
  // Assign one shard at a time, to the learner with the fewest shards; learners without actors come
  // last, and unserved ones get only what does not wait for others. Repeat while a shard was
  // assigned: a learner that keeps room for a large shard becomes free for others when a different
  // learner takes it.
  for (bool moved = true; moved;) {
    const std::set<LearnerId> unserved = UnservedLocked();
    if (!unserved.empty() && !impatient) impatient = ImpatientLocked();
    std::vector<std::tuple<bool, size_t, LearnerId>> turns;
    for (const auto& [id, learner] : learners_) {
      if (id != reserved) turns.emplace_back(learner.actors == 0, learner.shards.size(), id);
    }
    std::sort(turns.begin(), turns.end());
    moved = std::any_of(turns.begin(), turns.end(),
                        [&](const auto& turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          const LearnerId id = std::get<2>(turn);
                          return GiveNextLocked(id, unserved.contains(id) ? &*impatient : nullptr);
                        });
  }
}

std::set<ShardBoard::LearnerId> ShardBoard::UnservedLocked() const {
  const std::chrono::nanoseconds now = NowNs();
  int64_t spare = 0;  // Actors that may go to learners without any.
  bool any_at_work = false;
  for (const auto& [id, learner] : learners_) {
    spare += learner.actors;
    const bool at_work = learner.actors > 0 && !learner.draining &&
                         !learner.standing.InQuarantine(now) &&
                         !suspects_.contains(learner.info.name);
    any_at_work |= at_work;
    if (at_work || (learner.actorless_since && !learner.shards.empty())) --spare;
  }
  std::set<LearnerId> unserved;
  if (!any_at_work) return unserved;
  for (const auto& [id, learner] : learners_) {
    if (learner.actorless_since && spare < (learner.shards.empty() ? 1 : 0)) unserved.insert(id);
  }
  return unserved;
}

std::set<uint64_t> ShardBoard::ImpatientLocked() const {
  const std::chrono::nanoseconds now = NowNs();
  std::set<uint64_t> impatient;
  for (const auto& [experiment, line] : waiting_) {
    for (const uint64_t shard : line) {
      const Job& job = *jobs_.at(shard);
      const ShardFacts facts = FactsLocked(job);
      // What failed elsewhere does not wait, nor what no learner with actors can have.
      if (job.losses > 0 || !job.failed_at.empty() ||
          now - job.waits_since >= options_.actors_wait ||
          std::none_of(learners_.begin(), learners_.end(),
                       [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                         return entry.second.actors > 0 &&
                                Judge(FactsLocked(entry.second), facts, now).obstacle >=
                                    Obstacle::kSuspect;
                       }))
        impatient.insert(shard);
    }
  }
  return impatient;
}

bool ShardBoard::GiveNextLocked(LearnerId id, const std::set<uint64_t>* among) {
  Learner& learner = learners_.at(id);
  const LearnerFacts facts = FactsLocked(learner);
  const std::chrono::nanoseconds now = NowNs();  // All verdicts are of one moment.
  std::set<std::string> ready = ReadyLocked(&learner, facts, now, among);
  if (learner.shards.size() >= learner.info.slots) ready = BeyondSlotsLocked(learner, ready);
  while (const std::optional<std::string> next = queue_.Next(ready)) {
    const std::deque<uint64_t>& line = waiting_.at(*next);
    const uint64_t shard = *std::find_if(
        line.begin(), line.end(), [&](uint64_t one) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return (among == nullptr || among->contains(one)) &&
                 JudgeLocked(facts, *jobs_.at(one), now).obstacle >= Obstacle::kRoom;
        });
    const Job& job = *jobs_.at(shard);
    if (JudgeLocked(facts, job, now).obstacle == Obstacle::kNone) {
      GiveLocked(id, shard);
      return true;
    }
    // The shard's turn has come, but the learner has no room for it. Smaller shards must not
    // overtake it for ever, so the learner gets nothing. If only shards of the same owner are in
    // the way, only that owner waits.
    const std::string owner = OwnerOfLocked(job);
    if (!HasRoom(FactsLocked(learner, &owner), job.memory)) return false;
    std::erase_if(ready, [&](const std::string& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return queue_.ShareOf(experiment).owner == owner;
    });
  }
  return false;
}

std::string ShardBoard::OwnerOfLocked(const Job& job) const {
  return queue_.ShareOf(job.shard->experiment()).owner;
}

std::set<std::string> ShardBoard::BeyondSlotsLocked(const Learner& learner,
                                                    const std::set<std::string>& ready) const {
  if (learner.shards.size() >= size_t{learner.info.slots} + options_.extra_places) return {};
  std::map<std::string, size_t> held, held_of;  // Shards by experiment, and by owner.
  for (const std::string& experiment : ready) held[experiment] = 0;
  std::set<std::string> quick;  // Experiments with shards that may end soon.
  for (const uint64_t shard : learner.shards) {
    const Job& job = *jobs_.at(shard);
    ++held[job.shard->experiment()];
    ++held_of[OwnerOfLocked(job)];
    if (NowNs() - job.given < options_.slow_after) quick.insert(job.shard->experiment());
  }
  std::set<std::string> allowed;
  for (const std::string& experiment : ready) {
    // One owner's experiments leave half of the places beyond the slots to others.
    if (held.at(experiment) < learner.info.slots && quick.size() == quick.count(experiment) &&
        held_of[queue_.ShareOf(experiment).owner] <
            size_t{learner.info.slots} + options_.extra_places / 2)
      allowed.insert(experiment);
  }
  return allowed;
}

std::optional<ShardBoard::LearnerId> ShardBoard::ReserveForSuspectsLocked() {
  const std::chrono::nanoseconds now = NowNs();
  for (const auto& [experiment, line] : waiting_) {
    for (const uint64_t shard : line) {
      const Job& job = *jobs_.at(shard);
      if (!IsSuspect(job)) continue;
      // Prefer the host with the fewest losses, then learners older than the loss, then the one
      // with the fewest shards. A learner that joined after the loss may be the lost one,
      // restarted.
      const std::pair<const LearnerId, Learner>* best = nullptr;
      std::tuple<int, bool, size_t> best_rank;
      for (const auto& entry : learners_) {
        const Learner& learner = entry.second;
        if (JudgeLocked(FactsLocked(learner), job, now).obstacle < Obstacle::kSuspect) continue;
        const auto found = job.lost_at.find(learner.info.host);
        const LossesAt losses = found == job.lost_at.end() ? LossesAt{} : found->second;
        const std::tuple rank(losses.count, losses.count > 0 && entry.first > losses.last,
                              learner.shards.size());
        if (best != nullptr && best_rank <= rank) continue;
        best = &entry;
        best_rank = rank;
      }
      if (best == nullptr) continue;
      const LearnerId id = best->first;
      if (best->second.shards.empty()) GiveLocked(id, shard);
      return id;
    }
  }
  for (const auto& [id, learner] : learners_) {
    if (FactsLocked(learner).has_suspect) return id;
  }
  return std::nullopt;
}

void ShardBoard::GiveLocked(LearnerId id, uint64_t shard) {
  Learner* const learner = &learners_.at(id);
  Job& job = *jobs_.at(shard);
  LeaveLineLocked(job);
  const uint64_t steps = agents::StepsOf(*job.shard);
  queue_.Charge(job.shard->experiment(), static_cast<double>(steps));
  served_[job.shard->experiment()] += steps;
  job.learner = id;
  Arithmetic& arithmetic = arithmetics_[job.shard->experiment()];
  arithmetic.name = learner->info.arithmetic;
  ++arithmetic.shards;
  job.epoch = next_epoch_++;
  job.given = job.progressed = NowNs();
  job.longest_gap = {};
  job.hash = std::make_shared<Sha256>();
  learner->shards.insert(shard);
  MENTOR_FAILPOINT("shard.assign.before_send");
  // After a failed send, RemoveLearner follows and reassigns the shard.
  if (job.shard->reward_source() == v1::REWARD_SOURCE_SIGNAL &&
      learner->version != job.call->version) {
    v1::RunResponse message;
    message.mutable_signal_weights()->set_version(job.call->version);
    *message.mutable_signal_weights()->mutable_weights() = job.call->meta_parameters;
    learner->send(std::move(message));
    learner->version = job.call->version;
  }
  MENTOR_HISTORY("assigned", {{"shard", shard},
                              {"epoch", job.epoch},
                              {"experiment", job.shard->experiment()},
                              {"work", job.work},
                              {"learner", learner->info.name}});
  v1::RunResponse message;
  *message.mutable_shard() = *job.shard;
  message.mutable_shard()->set_epoch(job.epoch);
  *message.mutable_shard()->mutable_share() =
      ToProto(job.shard->experiment(), queue_.ShareOf(job.shard->experiment()));
  learner->send(std::move(message));
}

void ShardBoard::LeaveLineLocked(const Job& job) {
  const auto line = waiting_.find(job.shard->experiment());
  if (line == waiting_.end()) return;
  std::erase(line->second, job.shard->shard_id());
  if (line->second.empty()) waiting_.erase(line);
}

std::set<std::string> ShardBoard::ReadyLocked(Learner* learner, const LearnerFacts& facts,
                                              std::chrono::nanoseconds now,
                                              const std::set<uint64_t>* among) {
  std::set<std::string> ready;
  if (among != nullptr && among->empty()) return ready;
  for (const auto& [experiment, shards] : waiting_) {
    for (const uint64_t shard : shards) {
      if (among != nullptr && !among->contains(shard)) continue;
      const Verdict verdict = JudgeLocked(facts, *jobs_.at(shard), now);
      // A draining learner gets nothing in any case.
      if (verdict.obstacle == Obstacle::kArithmetic && !learner->draining &&
          learner->mismatched.insert(experiment).second && options_.on_mismatch)
        options_.on_mismatch(learner->info, experiment, verdict.missing);
      if (verdict.obstacle >= Obstacle::kRoom) ready.insert(experiment);
      // These verdicts hold for all shards of the experiment, and a ready one is enough.
      if (verdict.obstacle == Obstacle::kArithmetic || verdict.obstacle == Obstacle::kDraining ||
          verdict.obstacle == Obstacle::kQuarantine || verdict.obstacle >= Obstacle::kRoom)
        break;
    }
  }
  return ready;
}

LearnerFacts ShardBoard::FactsLocked(const Learner& learner, const std::string* but_owner) const {
  LearnerFacts facts{.info = learner.info,
                     .simulators = learner.simulators,
                     .standing = learner.standing,
                     .draining = learner.draining,
                     .actorless = learner.actorless_since.has_value()};
  for (const uint64_t shard : learner.shards) {
    const Job& job = *jobs_.at(shard);
    facts.has_suspect |= IsSuspect(job);
    if (but_owner != nullptr && OwnerOfLocked(job) == *but_owner) continue;
    const shards::LearnerMemory one = learner.info.Of(job.memory);
    facts.held.bytes += one.bytes;
    facts.held.device_bytes += one.device_bytes;
  }
  return facts;
}

ShardFacts ShardBoard::FactsLocked(const Job& job) const {
  const auto found = arithmetics_.find(job.shard->experiment());
  std::string_view arithmetic;
  if (found != arithmetics_.end()) arithmetic = found->second.name;
  return {.memory = job.memory,
          .simulators = job.simulators,
          .tried = job.failed_at,
          .answered = job.audit.learners(),
          .arithmetic = arithmetic,
          .is_suspect = IsSuspect(job)};
}

Verdict ShardBoard::JudgeLocked(const LearnerFacts& learner, const Job& job,
                                std::chrono::nanoseconds now) const {
  ShardFacts shard = FactsLocked(job);
  Verdict verdict = Judge(learner, shard, now);
  if (verdict.obstacle == Obstacle::kTried) {
    shard.may_repeat = !AnyReachesLocked(job, Obstacle::kAnswered, now);
    verdict = Judge(learner, shard, now);
  }
  // A suspect of one dispute may decide another: the results are compared.
  if (verdict.obstacle > Obstacle::kQuarantine && !job.audit.disputed() &&
      suspects_.contains(learner.info.name))
    verdict.obstacle = Obstacle::kQuarantine;
  // A host that computes wrongly would confirm its own results, and audits do not wait for actors.
  if (verdict.obstacle > Obstacle::kAnswered && !job.audit.empty() &&
      (learner.actorless ||
       (job.audit.HasHost(learner.info.host) && CanBeAuditedLocked(job, /*elsewhere=*/true))))
    verdict.obstacle = Obstacle::kAnswered;
  return verdict;
}

bool ShardBoard::AnyReachesLocked(const Job& job, Obstacle least,
                                  std::chrono::nanoseconds now) const {
  const ShardFacts shard = FactsLocked(job);
  for (const auto& [id, learner] : learners_) {
    if (Judge(FactsLocked(learner), shard, now).obstacle >= least) return true;
  }
  return false;
}

bool ShardBoard::IsFreeElsewhereLocked(const Job& job, bool with_actors) const {
  for (const auto& [id, other] : learners_) {
    if (id == job.learner || other.shards.size() >= other.info.slots) continue;
    if (with_actors && other.actors == 0) continue;
    const LearnerFacts facts = FactsLocked(other);
    if (Judge(facts, FactsLocked(job), NowNs()).obstacle >= Obstacle::kAnswered &&
        HasRoom(facts, job.memory))
      return true;
  }
  return false;
}

MemoryShortage ShardBoard::ShortageOf(const shards::ShardMemory& memory) const {
  const MutexLock lock(mutex_);
  std::vector<Verdict> verdicts;
  verdicts.reserve(learners_.size());
  for (const auto& [id, learner] : learners_) verdicts.push_back(JudgeMemory(learner.info, memory));
  return meta_learner::ShortageOf(verdicts);
}

RunProgress ShardBoard::ProgressLocked(const Call* call) const {
  RunProgress progress;
  if (const auto found = arithmetics_.find(call->experiment); found != arithmetics_.end())
    progress.arithmetic = found->second.name;
  std::vector<LearnerFacts> learners;
  for (const auto& [id, learner] : learners_) {
    learners.push_back(FactsLocked(learner));
    if (!learner.info.Computes(progress.arithmetic)) continue;
    ++progress.learners;
    progress.actors += static_cast<int>(learner.actors);
  }
  for (const auto& [id, job] : jobs_) {
    if (job->call != call) continue;
    progress.env_steps += job->env_steps;
    if (job->done) continue;
    if (!job->taken_back.empty()) progress.trouble = job->taken_back;
    if (job->audit.disputed()) progress.trouble = kDisputed;
    std::string missing = job->missing_simulator;
    if (!job->learner) {
      const ShardFacts shard = FactsLocked(*job);
      std::vector<Verdict> verdicts;
      verdicts.reserve(learners.size());
      for (const LearnerFacts& learner : learners)
        verdicts.push_back(Judge(learner, shard, NowNs()));
      missing = MissingSimulator(verdicts);
      const MemoryShortage shortage = meta_learner::ShortageOf(verdicts);
      if (shortage.needed > progress.memory.needed) progress.memory = shortage;
    }
    if (!missing.empty()) progress.missing_simulator = std::move(missing);
  }
  return progress;
}

std::string ShardBoard::RefusalLocked(const Learner& learner) const {
  const LearnerFacts facts = FactsLocked(learner);
  std::map<Obstacle, std::set<std::string>> why;  // One experiment for each obstacle is named.
  for (const auto& [id, job] : jobs_) {
    if (job->done) continue;
    const Verdict verdict = Judge(facts, FactsLocked(*job), NowNs());
    if (const std::string text = RefusalOf(verdict); !text.empty())
      why[verdict.obstacle].insert(absl::StrCat(job->shard->experiment(), ": ", text));
  }
  return absl::StrJoin(
      why, "; ", [](std::string* out, const auto& texts) { out->append(*texts.second.begin()); });
}

std::chrono::nanoseconds ShardBoard::StallAfterLocked(const Job& job) const {
  const auto known = gaps_.find(job.shard->experiment());
  const double gap = known == gaps_.end() ? 0 : static_cast<double>(known->second.count());
  return std::max(options_.stall_min,
                  std::chrono::nanoseconds(static_cast<int64_t>(options_.stall_factor * gap))) *
         (int64_t{1} << std::min(job.stalls, 16));
}

void ShardBoard::LookLocked() {
  MoveStalledLocked();
  MoveLackingLocked();
  AssignLocked();
}

void ShardBoard::MoveStalledLocked() {
  bool moved = false;
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (!job->learner || job->done) continue;
    const bool lacks_actors =
        LacksActorsLocked(job) && (!job->audit.empty() || IsFreeElsewhereLocked(*job, true));
    if (!lacks_actors && NowNs() - job->progressed < StallAfterLocked(*job)) continue;
    // A stalled audit is always taken back: the first result can stand.
    if (!lacks_actors && job->audit.empty() && !IsFreeElsewhereLocked(*job)) continue;
    Learner& holder = learners_.at(*job->learner);
    // A learner without actors, or whose actors lack a simulator, is not at fault.
    if (holder.actors > 0 && LackedLocked(*job).empty()) StrikeLocked(&holder, kStalled);
    ++job->stalls;
    job->failed_at.Add(holder.info.name);
    ++counts_.stalled;
    TellLocked(job->shard->experiment(),
               {.name = "shard_stalled",
                .sentence = "a shard got nowhere and goes to another learner",
                .learner = holder.info.name});
    TakeBackLocked(job);
    moved = true;
  }
  if (moved) AssignLocked();
}

bool ShardBoard::LacksActorsLocked(Job* job) {
  if (learners_.at(*job->learner).actors > 0) {
    job->actorless_since.reset();
    return false;
  }
  if (!job->actorless_since) job->actorless_since = NowNs();
  return NowNs() - *job->actorless_since >=
         options_.actors_wait * (int64_t{1} << std::min(job->stalls, 16));
}

std::string ShardBoard::LackedLocked(const Job& job) const {
  const Verdict verdict = Judge(FactsLocked(learners_.at(*job.learner)), FactsLocked(job), NowNs());
  return verdict.obstacle == Obstacle::kSimulator ? verdict.missing : "";
}

void ShardBoard::MoveLackingLocked() {
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (!job->learner || job->done) continue;
    Learner& holder = learners_.at(*job->learner);
    const std::string lacked = LackedLocked(*job);
    if (lacked.empty()) {
      // The shard continues; the stall time starts again.
      if (std::exchange(job->lacking_since, std::nullopt)) job->progressed = NowNs();
      continue;
    }
    if (!job->lacking_since) job->lacking_since = NowNs();
    if (NowNs() - *job->lacking_since < options_.simulator_wait) continue;
    // The shard keeps its place and its results unless moving it helps: another learner is free, or
    // another shard could use the place.
    if (!IsFreeElsewhereLocked(*job) && ReadyLocked(&holder, FactsLocked(holder), NowNs()).empty())
      continue;
    TellLocked(job->shard->experiment(),
               {.name = "shard_hostless",
                .sentence = "a shard lost its simulator and makes place for others",
                .learner = holder.info.name,
                .detail = lacked});
    TakeBackLocked(job);
    AssignLocked();
  }
}

void ShardBoard::DropLocked(const Job& job) {
  const uint64_t id = job.shard->shard_id();
  Learner& holder = learners_.at(*job.learner);
  v1::RunResponse message;
  message.mutable_drop_shard()->set_shard_id(id);
  message.mutable_drop_shard()->set_epoch(job.epoch);
  holder.send(std::move(message));
  holder.shards.erase(id);
}

void ShardBoard::TakeBackLocked(Job* job) {
  DropLocked(*job);
  ++counts_.reassigned;
  ReturnLocked(job);
}

void ShardBoard::ReturnLocked(Job* job) {
  MENTOR_HISTORY("fenced", {{"shard", job->shard->shard_id()}, {"epoch", job->epoch}});
  LetGoLocked(job->shard->experiment());
  job->learner.reset();
  job->missing_simulator.clear();
  job->lacking_since.reset();
  job->actorless_since.reset();
  job->env_steps = job->counted_steps = 0;
  job->result = {};
  waiting_[job->shard->experiment()].push_front(job->shard->shard_id());
  job->waits_since = NowNs();
}

}  // namespace mentor::meta_learner
