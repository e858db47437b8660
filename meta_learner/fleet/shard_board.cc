#include "meta_learner/fleet/shard_board.h"

#include <algorithm>
#include <chrono>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/resources/names.h"
#include "learner/segment_proto.h"
#include "learner/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

// Learners whose strikes are remembered when they have gone.
constexpr size_t kDepartedMax = 1024;

uint64_t StepsOf(const v1::Shard& shard) {
  return uint64_t{shard.iterations()} * shard.collections() *
         shard.spec().lifetime().steps_per_iteration() *
         static_cast<uint64_t>(shard.lifetimes_size());
}

}  // namespace

std::string WaitingFor(const BrokerProgress& progress) {
  if (progress.learners > 0) return progress.actors > 0 ? "" : ": waiting for actors";
  if (progress.arithmetic.empty()) return ": waiting for learners";
  return ": waiting for learners of kind " + progress.arithmetic;
}

ShardBoard::LearnerId ShardBoard::AddLearner(LearnerInfo info, Send send) {
  const MutexLock lock(mutex_);
  const LearnerId id = next_learner_++;
  const auto known = departed_.extract(info.name);
  Learner& learner =
      learners_
          .emplace(
              id, Learner{.info = std::move(info),
                          .send = std::move(send),
                          .standing = known.empty() ? Standing(options_.standing) : known.mapped()})
          .first->second;
  learner.rate_since = Now();
  AssignLocked();
  changed_.NotifyAll();
  return id;
}

void ShardBoard::RemoveLearner(LearnerId id) {
  const MutexLock lock(mutex_);
  const auto learner = learners_.find(id);
  if (learner == learners_.end()) return;
  const std::set<uint64_t> lost = std::move(learner->second.shards);
  if (learner->second.standing.strikes() > 0) {
    if (departed_.size() >= kDepartedMax) departed_.erase(departed_.begin());
    departed_.insert_or_assign(learner->second.info.name, learner->second.standing);
  }
  learners_.erase(learner);
  // Backwards, so that the lowest shard comes first in the queue again.
  for (auto shard = lost.rbegin(); shard != lost.rend(); ++shard) {
    Job* job = jobs_.at(*shard).get();
    if (++job->losses >= options_.losses_max) {
      // Run lets go of it, as of every shard that is done.
      FailLocked(job, absl::FailedPreconditionError(absl::StrFormat(
                          "%d learners vanished while they had the same shard, the last ones with "
                          "nothing else to do: it may need more memory than they have; make "
                          "rule.shard_lifetimes or the networks smaller, or give learners more",
                          job->losses)));
      continue;
    }
    ++counts_.reassigned;
    ReturnLocked(job);
  }
  AssignLocked();
  changed_.NotifyAll();
}

void ShardBoard::ReturnLocked(Job* job) {
  LetGoLocked(job->shard->experiment());
  job->learner.reset();
  job->env_steps = 0;
  job->result = {};
  waiting_[job->shard->experiment()].push_front(job->shard->shard_id());
}

void ShardBoard::AssignLocked() {
  const std::optional<LearnerId> reserved = ReserveForSuspectsLocked();
  for (auto& entry : learners_) {
    const LearnerId id = entry.first;
    Learner& learner = entry.second;
    while (id != reserved && !learner.draining && learner.shards.size() < learner.info.slots &&
           !KeptAwayLocked(learner)) {
      const std::optional<std::string> next = queue_.Next(ReadyLocked(&learner));
      if (!next) break;
      const std::deque<uint64_t>& line = waiting_.at(*next);
      GiveLocked(id, *std::find_if(line.begin(), line.end(),
                                   [&](uint64_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                     return MayHaveLocked(learner, *jobs_.at(shard));
                                   }));
    }
  }
}

std::optional<ShardBoard::LearnerId> ShardBoard::ReserveForSuspectsLocked() {
  for (const auto& [experiment, line] : waiting_) {
    for (const uint64_t shard : line) {
      const Job& job = *jobs_.at(shard);
      if (!IsSuspected(job)) continue;
      for (auto& [id, learner] : learners_) {
        if (learner.draining || KeptAwayLocked(learner) || !FitsLocked(learner, experiment) ||
            (job.failed_at.contains(learner.info.name) && CanBeTriedElsewhereLocked(job)))
          continue;
        if (learner.shards.empty()) GiveLocked(id, shard);
        return id;
      }
    }
  }
  // And one that has such a shard gets nothing beside it.
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
  return learners_.size() > 1 && learner.standing.InQuarantine(NowNs());
}

bool ShardBoard::MayHaveLocked(const Learner& learner, const Job& job) const {
  // Suspects are given out by ReserveForSuspectsLocked, and nothing comes beside them.
  if (IsSuspected(job)) return false;
  for (const uint64_t held : learner.shards) {
    if (IsSuspected(*jobs_.at(held))) return false;
  }
  return !job.failed_at.contains(learner.info.name) || !CanBeTriedElsewhereLocked(job);
}

bool ShardBoard::CanBeTriedElsewhereLocked(const Job& job) const {
  return std::any_of(learners_.begin(), learners_.end(),
                     [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                       const Learner& learner = entry.second;
                       return !learner.draining && !KeptAwayLocked(learner) &&
                              FitsLocked(learner, job.shard->experiment()) &&
                              !job.failed_at.contains(learner.info.name);
                     });
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

void ShardBoard::MoveStalledLocked() {
  bool moved = false;
  for (auto& entry : jobs_) {
    const uint64_t id = entry.first;
    Job* const job = entry.second.get();
    if (!job->learner || job->done) continue;
    if (NowNs() - job->progressed < StallAfterLocked(*job)) continue;
    Learner& holder = learners_.at(*job->learner);
    const bool free = std::any_of(learners_.begin(), learners_.end(),
                                  [&](const auto& candidate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                    const Learner& other = candidate.second;
                                    return &other != &holder && !other.draining &&
                                           !KeptAwayLocked(other) &&
                                           other.shards.size() < other.info.slots &&
                                           FitsLocked(other, job->shard->experiment()) &&
                                           !job->failed_at.contains(other.info.name);
                                  });
    if (!free) continue;
    v1::RunResponse message;
    message.mutable_drop_shard()->set_shard_id(id);
    message.mutable_drop_shard()->set_epoch(job->epoch);
    holder.send(std::move(message));
    holder.shards.erase(id);
    // Without actors it cannot get anywhere, which is not its fault.
    if (holder.actors > 0) StrikeLocked(&holder, kStalled);
    ++job->stalls;
    job->failed_at.insert(holder.info.name);
    ++counts_.stalled;
    ++counts_.reassigned;
    ReturnLocked(job);
    moved = true;
  }
  if (moved) AssignLocked();
}

void ShardBoard::FailLocked(Job* job, const absl::Status& status) {
  job->call->status = status;
  FinishLocked(job);
}

void ShardBoard::LetGoLocked(const std::string& experiment) {
  const auto found = arithmetics_.find(experiment);
  if (found == arithmetics_.end() || --found->second.shards > 0 || found->second.kept) return;
  found->second.name.clear();
  if (found->second.keep == nullptr) arithmetics_.erase(found);
}

void ShardBoard::AssignToLocked(LearnerId id, Learner* learner, uint64_t shard_id) {
  Job& job = *jobs_.at(shard_id);
  const uint64_t steps = StepsOf(*job.shard);
  queue_.Charge(job.shard->experiment(), static_cast<double>(steps));
  served_[job.shard->experiment()] += steps;
  job.learner = id;
  Arithmetic& arithmetic = arithmetics_[job.shard->experiment()];
  arithmetic.name = learner->info.arithmetic;
  ++arithmetic.shards;
  job.epoch = next_epoch_++;
  job.progressed = NowNs();
  job.longest_gap = {};
  job.hash = std::make_unique<Sha256>();
  learner->shards.insert(shard_id);
  // A failed send is followed by RemoveLearner, which gives the shard to another one.
  if (job.shard->reward_source() == v1::REWARD_SOURCE_SIGNAL &&
      learner->version != job.call->version) {
    v1::RunResponse weights;
    weights.mutable_signal_weights()->set_version(job.call->version);
    *weights.mutable_signal_weights()->mutable_weights() = job.call->weights;
    learner->send(std::move(weights));
    learner->version = job.call->version;
  }
  v1::RunResponse message;
  *message.mutable_shard() = *job.shard;
  message.mutable_shard()->set_epoch(job.epoch);
  learner->send(std::move(message));
}

bool ShardBoard::DrainLearner(LearnerId id) {
  const MutexLock lock(mutex_);
  const auto learner = learners_.find(id);
  if (learner == learners_.end()) return false;
  learner->second.draining = true;
  learner->second.send([] {
    v1::RunResponse message;
    message.mutable_drain();
    return message;
  }());
  return true;
}

void ShardBoard::SetShare(const std::string& experiment, const Share& share) {
  const MutexLock lock(mutex_);
  queue_.SetShare(experiment, share);
}

void ShardBoard::RemoveShare(const std::string& experiment) {
  const MutexLock lock(mutex_);
  queue_.Remove(experiment);
  served_.erase(experiment);
  gaps_.erase(experiment);
  const auto found = arithmetics_.find(experiment);
  if (found == arithmetics_.end()) return;
  found->second.kept = false;
  found->second.keep = nullptr;
  if (found->second.shards == 0) arithmetics_.erase(found);
}

void ShardBoard::KeepArithmetic(const std::string& experiment, const std::string& arithmetic,
                                Keep keep) {
  const MutexLock lock(mutex_);
  Arithmetic& own = arithmetics_[experiment];
  MENTOR_CHECK(own.shards == 0);
  own.name = arithmetic;
  own.kept = !arithmetic.empty();
  own.keep = std::move(keep);
}

uint64_t ShardBoard::TakeServed(const std::string& experiment) {
  const MutexLock lock(mutex_);
  const auto served = served_.find(experiment);
  return served == served_.end() ? 0 : std::exchange(served->second, 0);
}

std::vector<ShardBoard::ShardState> ShardBoard::Shards(const std::string& experiment) const {
  std::vector<ShardState> states;
  const MutexLock lock(mutex_);
  for (const auto& [id, job] : jobs_) {
    if (job->done || (!experiment.empty() && job->shard->experiment() != experiment)) continue;
    ShardState& state = states.emplace_back();
    state.learner = job->learner;
    v1::ShardInfo& info = state.info;
    info.set_name(ShardName(job->shard->experiment(), id));
    info.set_state(job->learner ? v1::ShardInfo::STATE_RUNNING : v1::ShardInfo::STATE_WAITING);
    info.set_lifetimes(static_cast<uint32_t>(job->shard->lifetimes_size()));
    info.set_iterations_done(static_cast<uint32_t>(job->result.segments.size()));
    info.set_iterations_total(static_cast<uint32_t>(learner::IterationsOf(*job->shard)));
    info.set_env_steps(job->env_steps);
    info.set_env_steps_total(StepsOf(*job->shard));
  }
  return states;
}

std::map<ShardBoard::LearnerId, ShardBoard::LearnerState> ShardBoard::Learners() {
  std::map<LearnerId, LearnerState> states;
  const MutexLock lock(mutex_);
  for (auto& [id, learner] : learners_) {
    CountStepsLocked(&learner, 0);  // Without a shard nobody reports that nothing happens.
    states[id] = {.shards = static_cast<uint32_t>(learner.shards.size()),
                  .env_steps_per_second = learner.env_steps_per_second,
                  .draining = learner.draining,
                  .quarantined = KeptAwayLocked(learner),
                  .strikes = static_cast<uint32_t>(learner.standing.strikes())};
  }
  return states;
}

ShardBoard::Job* ShardBoard::FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch) {
  const auto found = jobs_.find(shard_id);
  if (found == jobs_.end() || found->second->learner != learner || found->second->epoch != epoch) {
    ++counts_.refused;
    return nullptr;
  }
  return found->second.get();
}

absl::Status ShardBoard::OnSegment(LearnerId learner, const v1::Segment& segment) {
  std::shared_ptr<const v1::Shard> shard;
  {
    const MutexLock lock(mutex_);
    const Job* job = FindLocked(learner, segment.shard_id(), segment.epoch());
    if (job == nullptr) return absl::OkStatus();
    const uint64_t expected = job->shard->first_iteration() + job->result.segments.size();
    if (segment.iteration() != expected) {
      return absl::InvalidArgumentError(
          absl::StrFormat("shard %d: segment of iteration %d, expected %d", segment.shard_id(),
                          segment.iteration(), expected));
    }
    shard = job->shard;
  }
  // Copies and checks of megabytes: without the lock. One thread brings the messages, so the order
  // holds.
  MENTOR_ASSIGN_OR_RETURN(learner::Segment parsed, learner::SegmentFromProto(segment, *shard));
  const MutexLock lock(mutex_);
  Job* job = FindLocked(learner, segment.shard_id(), segment.epoch());
  if (job == nullptr) return absl::OkStatus();
  learner::HashSegment(segment, job->hash.get());
  job->result.segments.push_back(std::move(parsed));
  AdvancedLocked(job);
  v1::RunResponse message;
  message.mutable_ack()->set_shard_id(segment.shard_id());
  message.mutable_ack()->set_iteration(segment.iteration());
  learners_.at(learner).send(std::move(message));
  return absl::OkStatus();
}

absl::Status ShardBoard::OnDone(LearnerId learner, const v1::ShardDone& done) {
  const MutexLock lock(mutex_);
  Job* job = FindLocked(learner, done.shard_id(), done.epoch());
  if (job == nullptr) return absl::OkStatus();
  if (!done.error().empty()) {
    learners_.at(learner).shards.erase(done.shard_id());
    job->failed_at.insert(learners_.at(learner).info.name);
    ++job->errors;
    if (job->errors >= 4 * options_.attempts_max ||
        (job->errors >= options_.attempts_max && !CanBeTriedElsewhereLocked(*job))) {
      FailLocked(
          job, absl::InternalError(absl::StrFormat(
                   "a shard failed %d times, the last time with: %s", job->errors, done.error())));
    } else {
      ReturnLocked(job);
    }
    AssignLocked();
    changed_.NotifyAll();
    return absl::OkStatus();
  }
  if (job->result.segments.size() != learner::IterationsOf(*job->shard)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: done after %d segments, expected %d", done.shard_id(),
                        job->result.segments.size(), learner::IterationsOf(*job->shard)));
  }
  if (job->hash->Finish() != done.segments_hash()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "shard %d: its segments do not have the hash it was sent with", done.shard_id()));
  }
  if (job->shard->return_snapshot() &&
      done.snapshot().cursors_size() != job->shard->lifetimes_size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: its snapshot has %d lifetimes, expected %d", done.shard_id(),
                        done.snapshot().cursors_size(), job->shard->lifetimes_size()));
  }
  if (done.has_outer_gradient()) {
    MENTOR_ASSIGN_OR_RETURN(
        job->result.outer_gradient,
        learner::FromProto(done.outer_gradient(),
                           absl::StrFormat("shard %d: outer gradient", done.shard_id()),
                           torch::kFloat64,
                           {job->call->weights.shape().begin(), job->call->weights.shape().end()}));
  }
  job->result.snapshot = done.snapshot();
  job->result.statistics = {done.statistics().begin(), done.statistics().end()};
  job->result.seconds = done.seconds();
  job->result.nonfinite_updates = done.nonfinite_updates();
  learners_.at(learner).shards.erase(done.shard_id());
  CountStepsLocked(&learners_.at(learner), StepsOf(*job->shard) - job->env_steps);
  AdvancedLocked(job);
  auto& gap = gaps_[job->shard->experiment()];
  gap = std::max(gap, job->longest_gap);
  learners_.at(learner).standing.Delivered();
  // Who failed at what this one could do.
  for (auto& [id, other] : learners_) {
    if (id != learner && job->errors > 0 && job->failed_at.contains(other.info.name))
      StrikeLocked(&other, kFailed);
  }
  FinishLocked(job);
  AssignLocked();
  changed_.NotifyAll();
  return absl::OkStatus();
}

void ShardBoard::FinishLocked(Job* job) {
  job->learner.reset();
  job->done = true;
  job->env_steps = StepsOf(*job->shard);
  --job->call->open;
}

void ShardBoard::OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress) {
  const MutexLock lock(mutex_);
  const auto found = learners_.find(learner);
  if (found == learners_.end()) return;
  found->second.actors = progress.actors();
  const auto job = jobs_.find(progress.shard_id());
  if (job != jobs_.end() && job->second->learner == learner && !job->second->done) {
    CountStepsLocked(&found->second,
                     progress.env_steps() - std::min(progress.env_steps(), job->second->env_steps));
    if (progress.env_steps() > job->second->env_steps) AdvancedLocked(job->second.get());
    job->second->env_steps = progress.env_steps();
  }
}

void ShardBoard::CountStepsLocked(Learner* learner, uint64_t steps) {
  learner->new_steps += steps;
  const auto now = Now();
  const double seconds = std::chrono::duration<double>(now - learner->rate_since).count();
  if (seconds < 2) return;
  learner->env_steps_per_second = static_cast<double>(learner->new_steps) / seconds;
  learner->new_steps = 0;
  learner->rate_since = now;
}

BrokerProgress ShardBoard::ProgressLocked(const Call* call) const {
  BrokerProgress progress;
  for (const auto& [id, job] : jobs_) {
    if (job->call == call) progress.env_steps += job->env_steps;
  }
  for (const auto& [id, learner] : learners_) {
    if (!FitsLocked(learner, call->experiment)) continue;
    ++progress.learners;
    progress.actors += static_cast<int>(learner.actors);
  }
  if (const auto found = arithmetics_.find(call->experiment); found != arithmetics_.end())
    progress.arithmetic = found->second.name;
  return progress;
}

absl::StatusOr<std::vector<ShardResult>> ShardBoard::Run(std::vector<v1::Shard> shards,
                                                         const v1::Tensor& weights,
                                                         const std::atomic<bool>& cancel,
                                                         const OnProgress& on_progress) {
  Call call;
  call.weights = weights;
  call.open = static_cast<int>(shards.size());
  if (!shards.empty()) call.experiment = shards[0].experiment();
  std::vector<uint64_t> ids;
  MutexLock lock(mutex_);
  call.version = next_version_++;
  for (v1::Shard& shard : shards) {
    MENTOR_CHECK(shard.experiment() == call.experiment);
    auto job = std::make_unique<Job>();
    shard.set_shard_id(next_shard_);
    shard.set_signal_version(call.version);
    job->shard = std::make_shared<const v1::Shard>(std::move(shard));
    job->call = &call;
    waiting_[job->shard->experiment()].push_back(next_shard_);
    ids.push_back(next_shard_);
    jobs_[next_shard_++] = std::move(job);
  }
  AssignLocked();
  auto next_report = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (call.open > 0 && call.status.ok() && !cancel) {
    changed_.WaitUntil(lock, next_report);
    if (std::chrono::steady_clock::now() < next_report) continue;
    next_report = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    MoveStalledLocked();
    AssignLocked();  // To whoever comes out of quarantine.
    if (on_progress != nullptr) {
      const BrokerProgress progress = ProgressLocked(&call);
      lock.Unlock();
      on_progress(progress);
      lock.Lock();
    }
  }
  // Decided before the call lets go of its results.
  const bool whole = call.open == 0 && call.status.ok();
  Keep keep;
  std::string decided;
  if (const auto found = arithmetics_.find(call.experiment);
      whole && found != arithmetics_.end() && found->second.keep && !found->second.kept) {
    found->second.kept = true;
    keep = found->second.keep;
    decided = found->second.name;
  }
  // Whatever is left of this call goes: out of the queue, and off the learners.
  std::vector<ShardResult> results;
  for (uint64_t id : ids) {
    Job& job = *jobs_.at(id);
    if (job.learner || job.done) LetGoLocked(call.experiment);
    if (job.learner) {
      v1::RunResponse message;
      message.mutable_drop_shard()->set_shard_id(id);
      message.mutable_drop_shard()->set_epoch(job.epoch);
      Learner& learner = learners_.at(*job.learner);
      learner.send(std::move(message));
      learner.shards.erase(id);
    }
    if (const auto line = waiting_.find(job.shard->experiment()); line != waiting_.end()) {
      std::erase(line->second, id);
      if (line->second.empty()) waiting_.erase(line);
    }
    results.push_back(std::move(job.result));
    jobs_.erase(id);
  }
  AssignLocked();
  if (!call.status.ok()) return call.status;
  if (call.open > 0) return absl::CancelledError("cancelled while shards were at work");
  lock.Unlock();
  if (keep != nullptr) MENTOR_RETURN_IF_ERROR(keep(decided));
  return results;
}

void ShardBoard::Wake() {
  const MutexLock lock(mutex_);
  MoveStalledLocked();
  changed_.NotifyAll();
}

ShardBoard::Counts ShardBoard::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

}  // namespace mentor::meta_learner
