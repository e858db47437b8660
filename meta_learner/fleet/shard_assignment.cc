// The part of ShardBoard that assigns shards to learners.
#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/failpoint.h"
#include "common/history.h"
#include "meta_learner/fleet/shard_board.h"
#include "shards/shard_memory.h"

namespace mentor::meta_learner {

void ShardBoard::AssignLocked() {
  SettleAuditsLocked();
  const std::optional<LearnerId> reserved = ReserveForSuspectsLocked();
  // Assign one shard at a time, to the learner with the fewest shards; learners without actors come
  // last. Repeat while a shard was assigned: a learner that keeps room for a large shard becomes
  // free for others when a different learner takes it.
  for (bool moved = true; moved;) {
    std::vector<std::tuple<bool, size_t, LearnerId>> turns;
    for (const auto& [id, learner] : learners_) {
      if (id != reserved) turns.emplace_back(learner.actors == 0, learner.shards.size(), id);
    }
    std::sort(turns.begin(), turns.end());
    moved = std::any_of(turns.begin(), turns.end(),
                        [&](const auto& turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          return GiveNextLocked(std::get<2>(turn));
                        });
  }
}

bool ShardBoard::GiveNextLocked(LearnerId id) {
  Learner& learner = learners_.at(id);
  if (learner.draining || KeptAwayLocked(learner)) return false;
  std::set<std::string> ready = ReadyLocked(&learner);
  if (learner.shards.size() >= learner.info.slots) ready = BeyondSlotsLocked(learner, ready);
  while (const std::optional<std::string> next = queue_.Next(ready)) {
    const std::deque<uint64_t>& line = waiting_.at(*next);
    const uint64_t shard = *std::find_if(line.begin(), line.end(),
                                         [&](uint64_t one) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                           return MayHaveLocked(learner, *jobs_.at(one));
                                         });
    if (HasRoomLocked(learner, *jobs_.at(shard))) {
      GiveLocked(id, shard);
      return true;
    }
    // The shard's turn has come, but the learner has no room for it. Smaller shards must not
    // overtake it for ever, so the learner gets nothing. If only shards of the same owner are in
    // the way, only that owner waits.
    const std::string owner = OwnerOfLocked(*jobs_.at(shard));
    if (!HasRoomLocked(learner, *jobs_.at(shard), &owner)) return false;
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
  for (const auto& [experiment, line] : waiting_) {
    for (const uint64_t shard : line) {
      const Job& job = *jobs_.at(shard);
      if (!IsSuspected(job)) continue;
      // Prefer the host with the fewest losses, then learners older than the loss, then the one
      // with the fewest shards. A learner that joined after the loss may be the lost one,
      // restarted.
      const std::pair<const LearnerId, Learner>* best = nullptr;
      std::tuple<int, bool, size_t> best_rank;
      for (const auto& entry : learners_) {
        const Learner& learner = entry.second;
        if (!CouldRunLocked(learner, job) || job.audit.Has(learner.info.name) ||
            !MayTryLocked(learner, job))
          continue;
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
  // A learner that holds a suspected shard gets no other shard.
  for (const auto& [id, learner] : learners_) {
    for (const uint64_t shard : learner.shards) {
      if (IsSuspected(*jobs_.at(shard))) return id;
    }
  }
  return std::nullopt;
}

void ShardBoard::GiveLocked(LearnerId id, uint64_t shard) {
  const auto line = waiting_.find(jobs_.at(shard)->shard->experiment());
  std::erase(line->second, shard);
  if (line->second.empty()) waiting_.erase(line);
  AssignToLocked(id, &learners_.at(id), shard);
}

std::set<std::string> ShardBoard::ReadyLocked(Learner* learner) {
  std::set<std::string> ready;
  for (const auto& [experiment, shards] : waiting_) {
    if (FitsLocked(*learner, experiment)) {
      if (std::any_of(shards.begin(), shards.end(),
                      [&](uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                        return MayHaveLocked(*learner, *jobs_.at(id));
                      }))
        ready.insert(experiment);
    } else if (learner->mismatched.insert(experiment).second && options_.on_mismatch) {
      options_.on_mismatch(learner->info, experiment, arithmetics_.at(experiment).name);
    }
  }
  return ready;
}

bool ShardBoard::FitsLocked(const Learner& learner, const std::string& experiment) const {
  const auto found = arithmetics_.find(experiment);
  return found == arithmetics_.end() || found->second.name.empty() ||
         found->second.name == learner.info.arithmetic;
}

bool ShardBoard::KeptAwayLocked(const Learner& learner) const {
  return learner.standing.InQuarantine(NowNs());
}

learner::LearnerMemory ShardBoard::MemoryHeldLocked(const Learner& learner,
                                                    const std::string* but_owner) const {
  learner::LearnerMemory held;
  for (const uint64_t shard : learner.shards) {
    if (but_owner != nullptr && OwnerOfLocked(*jobs_.at(shard)) == *but_owner) continue;
    const learner::LearnerMemory one = learner.info.Of(jobs_.at(shard)->memory);
    held.bytes += one.bytes;
    held.device_bytes += one.device_bytes;
  }
  return held;
}

bool ShardBoard::HasRoomLocked(const Learner& learner, const Job& job,
                               const std::string* but_owner) const {
  const learner::LearnerMemory held = MemoryHeldLocked(learner, but_owner),
                               more = learner.info.Of(job.memory);
  return learner.info.Holds(
      {.bytes = held.bytes + more.bytes, .device_bytes = held.device_bytes + more.device_bytes});
}

std::string ShardBoard::MissingHost(const Learner& learner, const Job& job) {
  for (const std::string& host : job.hosts) {
    if (!learner.hosts.contains(host)) return host;
  }
  return "";
}

std::string ShardBoard::HostNowhereLocked(const Job& job) const {
  std::string missing;
  for (const auto& [id, learner] : learners_) {
    if (learner.draining || !FitsLocked(learner, job.shard->experiment())) continue;
    missing = MissingHost(learner, job);
    if (missing.empty()) break;
  }
  return missing;
}

bool ShardBoard::CouldRunLocked(const Learner& learner, const Job& job) const {
  return !learner.draining && !KeptAwayLocked(learner) &&
         FitsLocked(learner, job.shard->experiment()) && MissingHost(learner, job).empty() &&
         learner.info.Holds(learner.info.Of(job.memory));
}

bool ShardBoard::MayHaveLocked(const Learner& learner, const Job& job) const {
  // ReserveForSuspectsLocked assigns suspected shards, and their learners get no other shard.
  if (IsSuspected(job)) return false;
  for (const uint64_t held : learner.shards) {
    if (IsSuspected(*jobs_.at(held))) return false;
  }
  if (job.audit.Has(learner.info.name) || !learner.info.Holds(learner.info.Of(job.memory)))
    return false;
  // A shard that waits for a host must not take the place of another.
  return MissingHost(learner, job).empty() && MayTryLocked(learner, job);
}

bool ShardBoard::MayTryLocked(const Learner& learner, const Job& job) const {
  return !job.failed_at.Has(learner.info.name) ||
         (NowNs() >= job.failed_at.again() && !CanBeTriedElsewhereLocked(job));
}

bool ShardBoard::CanBeTriedElsewhereLocked(const Job& job) const {
  return job.failed_at.LeavesSomeOf(
      learners_,
      [&](const Learner& learner)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return CouldRunLocked(learner, job); },
      [](const Learner& learner) { return learner.info.name; });
}

template <class Fits>
MemoryShortage ShardBoard::ShortageLocked(const learner::ShardMemory& memory,
                                          const Fits& fits) const {
  MemoryShortage process, device{.of_device = true};
  const auto note = [](uint64_t needed, uint64_t most, MemoryShortage* shortage) {
    shortage->needed = std::max(shortage->needed, needed);
    shortage->most = std::max(shortage->most, most);
  };
  for (const auto& [id, learner] : learners_) {
    const LearnerInfo& info = learner.info;
    if (!fits(learner)) continue;
    const learner::LearnerMemory needed = info.Of(memory);
    if (info.Holds(needed)) return {};
    if (info.HoldsInProcess(needed)) {
      note(needed.device_bytes, info.device_memory_bytes, &device);
    } else {
      note(learner::kLearnerProcessBytes + needed.bytes, info.memory_bytes, &process);
    }
  }
  // Report the device first: a learner that lacks only device memory is closest to what is needed.
  return device.needed > 0 ? device : process;
}

MemoryShortage ShardBoard::ShortageOf(const learner::ShardMemory& memory) const {
  const MutexLock lock(mutex_);
  return ShortageLocked(memory, [](const Learner&) { return true; });
}

void ShardBoard::NoteMemoryLocked(BrokerProgress* progress, const Call* call) const {
  for (const auto& [id, job] : jobs_) {
    if (job->call != call || job->done || job->learner) continue;
    const MemoryShortage shortage =
        ShortageLocked(job->memory, [&](const Learner& learner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                                        mutex_) { return FitsLocked(learner, call->experiment); });
    if (shortage.needed > progress->memory.needed) progress->memory = shortage;
  }
}

std::string ShardBoard::RefusalLocked(const Learner& learner) const {
  std::set<std::string> unlike, large, hostless;
  for (const auto& [id, job] : jobs_) {
    if (job->done) continue;
    const std::string& experiment = job->shard->experiment();
    if (!FitsLocked(learner, experiment)) {
      unlike.insert(experiment);
    } else if (!learner.info.Holds(learner.info.Of(job->memory))) {
      large.insert(experiment);
    } else if (const std::string host = MissingHost(learner, *job); !host.empty()) {
      hostless.insert(absl::StrFormat("%s: none of its actors offers host '%s'", experiment, host));
    }
  }
  std::vector<std::string> why;
  if (!unlike.empty()) {
    why.push_back(absl::StrFormat("%s: results come from '%s'", *unlike.begin(),
                                  arithmetics_.at(*unlike.begin()).name));
  }
  if (!large.empty()) why.push_back(*large.begin() + ": needs more memory");
  if (!hostless.empty()) why.push_back(*hostless.begin());
  return absl::StrJoin(why, "; ");
}

void ShardBoard::StrikeLocked(Learner* learner, const char* why) {
  const bool quarantined = learner->standing.Strike(NowNs());
  if (quarantined) ++counts_.quarantines;
  if (options_.on_strike) options_.on_strike(learner->info, why, quarantined);
}

void ShardBoard::AdvancedLocked(Job* job) {
  const auto now = NowNs();
  job->longest_gap = std::max(job->longest_gap, now - job->progressed);
  job->progressed = now;
}

std::chrono::nanoseconds ShardBoard::StallAfterLocked(const Job& job) const {
  const auto known = gaps_.find(job.shard->experiment());
  const double gap = known == gaps_.end() ? 0 : static_cast<double>(known->second.count());
  return std::max(options_.stall_min,
                  std::chrono::nanoseconds(static_cast<int64_t>(options_.stall_factor * gap))) *
         (int64_t{1} << std::min(job.stalls, 16));
}

bool ShardBoard::IsFreeElsewhereLocked(const Job& job) const {
  return std::any_of(learners_.begin(), learners_.end(),
                     [&](const auto& candidate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                       const Learner& other = candidate.second;
                       return candidate.first != job.learner && CouldRunLocked(other, job) &&
                              other.shards.size() < other.info.slots && HasRoomLocked(other, job) &&
                              !job.failed_at.Has(other.info.name);
                     });
}

void ShardBoard::MoveStalledLocked() {
  bool moved = false;
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (!job->learner || job->done) continue;
    if (NowNs() - job->progressed < StallAfterLocked(*job)) continue;
    // A stalled audit is always taken back: the first result can stand.
    if (job->audit.empty() && !IsFreeElsewhereLocked(*job)) continue;
    Learner& holder = learners_.at(*job->learner);
    // A learner without actors, or whose actors lack the host, is not at fault.
    if (holder.actors > 0 && MissingHost(holder, *job).empty()) StrikeLocked(&holder, kStalled);
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

void ShardBoard::MoveHostlessLocked() {
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (!job->learner || job->done) continue;
    Learner& holder = learners_.at(*job->learner);
    const std::string host = MissingHost(holder, *job);
    if (host.empty()) {
      // The shard continues; the stall time starts again.
      if (std::exchange(job->hostless_since, std::nullopt)) job->progressed = NowNs();
      continue;
    }
    if (!job->hostless_since) job->hostless_since = NowNs();
    if (NowNs() - *job->hostless_since < options_.host_wait) continue;
    // The shard keeps its place and its results unless moving it helps: another learner is free, or
    // another shard could use the place.
    if (!IsFreeElsewhereLocked(*job) && ReadyLocked(&holder).empty()) continue;
    TellLocked(job->shard->experiment(),
               {.name = "shard_hostless",
                .sentence = "a shard lost its host and makes place for others",
                .learner = holder.info.name,
                .detail = host});
    TakeBackLocked(job);
    AssignLocked();
  }
}

void ShardBoard::TakeBackLocked(Job* job) {
  const uint64_t id = job->shard->shard_id();
  Learner& holder = learners_.at(*job->learner);
  v1::RunResponse message;
  message.mutable_drop_shard()->set_shard_id(id);
  message.mutable_drop_shard()->set_epoch(job->epoch);
  holder.send(std::move(message));
  holder.shards.erase(id);
  ++counts_.reassigned;
  ReturnLocked(job);
}

void ShardBoard::AssignToLocked(LearnerId id, Learner* learner, uint64_t shard_id) {
  Job& job = *jobs_.at(shard_id);
  const uint64_t steps = learner::StepsOf(*job.shard);
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
  learner->shards.insert(shard_id);
  MENTOR_FAILPOINT("shard.assign.before_send");
  // After a failed send, RemoveLearner follows and reassigns the shard.
  if (job.shard->reward_source() == v1::REWARD_SOURCE_SIGNAL &&
      learner->version != job.call->version) {
    v1::RunResponse weights;
    weights.mutable_signal_weights()->set_version(job.call->version);
    *weights.mutable_signal_weights()->mutable_weights() = job.call->weights;
    learner->send(std::move(weights));
    learner->version = job.call->version;
  }
  MENTOR_HISTORY("assigned", {{"shard", shard_id},
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

bool ShardBoard::AuditLocked(Job* job, const Learner& learner, const v1::ShardDone& done) {
  if (!IsAudited(*job->shard, options_.check_every)) return false;
  std::string hash = HashOfAnswer(done);
  if (!job->audit.empty() && job->audit.Agrees(hash)) {
    ++counts_.audited;
    LetGoLocked(job->shard->experiment());
    return false;
  }
  const bool differs = !job->audit.empty();
  // An answer pins the experiment's arithmetic, as a result does: another arithmetic would give
  // other bits.
  if (!differs) ++arithmetics_[job->shard->experiment()].shards;
  job->audit.Add(learner.info.name, std::move(hash), job->epoch, &job->result);
  if (differs) DivergedLocked(job);
  // SettleAuditsLocked handles the case that no other learner can be asked.
  ReturnLocked(job);
  return true;
}

void ShardBoard::DivergedLocked(Job* job) {
  ++counts_.divergences;
  job->call->diverged = true;
  for (auto& [id, learner] : learners_) {
    if (!job->audit.Has(learner.info.name)) continue;
    learner.standing.Quarantine(NowNs());
    ++counts_.quarantines;
    if (options_.on_strike) options_.on_strike(learner.info, kDiverged, /*quarantined=*/true);
  }
  if (options_.on_divergence)
    options_.on_divergence(job->shard->experiment(), job->audit.learners());
}

bool ShardBoard::CanBeAuditedLocked(const Job& job) const {
  return std::any_of(learners_.begin(), learners_.end(),
                     [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                       const Learner& learner = entry.second;
                       return CouldRunLocked(learner, job) && !job.audit.Has(learner.info.name) &&
                              !job.failed_at.Has(learner.info.name);
                     });
}

void ShardBoard::SettleAuditsLocked() {
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (job->done || job->learner || job->audit.empty()) continue;
    if (CanBeAuditedLocked(*job) && job->losses < options_.losses_max) continue;
    const auto line = waiting_.find(job->shard->experiment());
    std::erase(line->second, entry.first);
    if (line->second.empty()) waiting_.erase(line);
    job->result = job->audit.TakeFirst(&job->epoch);
    MENTOR_HISTORY("stands", {{"shard", entry.first}, {"epoch", job->epoch}});
    FinishLocked(job);
    changed_.NotifyAll();
  }
}

}  // namespace mentor::meta_learner
