#include "meta_learner/fleet/shard_board.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/history.h"
#include "common/hosts.h"
#include "common/resources/names.h"

namespace mentor::meta_learner {
namespace {

// Shards that can be named as wrong after their results were used.
constexpr size_t kUsedMax = 65'536;

// Digest of what a shard computes, regardless of learner and time: equal work has equal results.
std::string WorkOf(const v1::Shard& shard, const v1::Tensor& meta_parameters) {
  Sha256 hash;
  hash.Update(shard.SerializeAsString());
  if (shard.reward_source() == v1::REWARD_SOURCE_SIGNAL) hash.Update(meta_parameters.data());
  return history::Digest(hash.Finish());
}

// Returns the names of a shard's lifetimes in order, for the history.
std::string LifetimesOf(const v1::Shard& shard) {
  std::vector<std::string> names;
  for (const v1::Lifetime& lifetime : shard.lifetimes()) {
    const auto& task = lifetime.task().parameters();
    names.push_back(history::LifetimeName(
        lifetime.number(), lifetime.variant(),
        lifetime.has_noise_number() ? lifetime.noise_number() : lifetime.number(),
        {task.data(), static_cast<size_t>(task.size())}));
  }
  return absl::StrJoin(names, ",");
}

}  // namespace

ShardBoard::LearnerId ShardBoard::AddLearner(LearnerInfo info, Send send) {
  const MutexLock lock(mutex_);
  const LearnerId id = next_learner_++;
  ForgiveLossesLocked(info);
  const Standing standing = departed_.Returned(info.name, options_.standing);
  Learner& learner =
      learners_
          .emplace(id,
                   Learner{.info = std::move(info), .send = std::move(send), .standing = standing})
          .first->second;
  learner.rate_since = Now();
  TellLocked("", {.name = "learner_joined",
                  .sentence = "a learner came",
                  .learner = learner.info.name,
                  .detail = Counted(learner.info.slots, "slot")});
  AssignLocked();
  return id;
}

void ShardBoard::ForgiveLossesLocked(const LearnerInfo& info) {
  for (const auto& [shard, job] : jobs_) {
    const auto found = job->lost_by.find(info.name);
    if (found == job->lost_by.end() || job->returns >= options_.returns_max) continue;
    // The learner may return under a different host name.
    for (const auto& [host, losses] : found->second) {
      job->losses -= losses;
      job->lost_at[host].count -= losses;
    }
    job->lost_by.erase(found);
    ++job->returns;
  }
}

void ShardBoard::RemoveLearner(LearnerId id) {
  const MutexLock lock(mutex_);
  const auto learner = learners_.find(id);
  if (learner == learners_.end()) return;
  const std::set<uint64_t> lost = std::move(learner->second.shards);
  departed_.Left(learner->second.info.name, learner->second.standing);
  const LearnerInfo info = learner->second.info;
  const bool broken = learner->second.broken, leaving = learner->second.leaving;
  learners_.erase(learner);
  std::map<std::string, uint64_t> shards;  // By experiment.
  for (const std::string& experiment : at_work_) shards[experiment] = 0;
  for (const uint64_t shard : lost) ++shards[jobs_.at(shard)->shard->experiment()];
  for (const auto& [experiment, count] : shards) {
    TellLocked(experiment, {.name = "learner_left",
                            .sentence = count > 0 ? "a learner went; its shards go to others"
                                                  : "a learner went",
                            .learner = info.name,
                            .detail = Counted(count, "shard")});
  }
  // In reverse order, so that the lowest shard is at the head of the queue again.
  for (auto shard = lost.rbegin(); shard != lost.rend(); ++shard) {
    Job* job = jobs_.at(*shard).get();
    // A learner that broke the protocol, or was told to end, did not die of this shard. A lost
    // audit does not fail the shard: its first result can stand.
    const bool was_told = leaving && job->returns < options_.returns_max;
    if (was_told) ++job->returns;
    const bool vanished = !broken && !was_told;
    if (vanished) {
      ++job->losses;
      ++job->lost_by[info.name][info.host];
      LossesAt& there = job->lost_at[info.host];
      ++there.count;
      there.last = id;
    }
    if (vanished && job->losses >= options_.losses_max && job->audit.empty()) {
      // Run releases the shard, as every finished shard.
      job->Fail(absl::FailedPreconditionError(absl::StrFormat(
          "%d learners vanished while they had the same shard, the last ones with "
          "nothing else to do: it may need more memory than they have (it is reckoned "
          "at %s; the last one had %s); %s",
          job->losses, Gigabytes(shards::kLearnerProcessBytes + info.Of(job->memory).bytes),
          info.memory_bytes == 0 ? "no limit that it knew of" : Gigabytes(info.memory_bytes),
          kNeedsMemory)));
      continue;
    }
    ++counts_.reassigned;
    ReturnLocked(job);
  }
  AssignLocked();
}

void ShardBoard::TellLocked(const std::string& experiment, const ShardEvent& event) {
  if (!options_.on_event) return;
  if (!experiment.empty()) return options_.on_event(experiment, event);
  for (const std::string& one : at_work_) options_.on_event(one, event);
}

void ShardBoard::StrikeLocked(Learner* learner, const char* why) {
  const bool quarantined = learner->standing.Strike(NowNs());
  if (quarantined) ++counts_.quarantines;
  if (options_.on_strike) options_.on_strike(learner->info, why, quarantined);
}

void ShardBoard::LetGoLocked(const std::string& experiment) {
  const auto found = arithmetics_.find(experiment);
  if (found == arithmetics_.end() || --found->second.shards > 0 || found->second.kept) return;
  found->second.name.clear();
  if (found->second.keep == nullptr) arithmetics_.erase(found);
}

void ShardBoard::OnDeviceLost(LearnerId id, const std::string& reason) {
  const MutexLock lock(mutex_);
  const auto learner = learners_.find(id);
  if (learner == learners_.end()) return;
  learner->second.draining = true;
  TellLocked("", {.name = "device_lost",
                  .sentence = "a learner's device failed",
                  .learner = learner->second.info.name,
                  .detail = reason});
}

void ShardBoard::OnLeaving(LearnerId id) {
  const MutexLock lock(mutex_);
  const auto learner = learners_.find(id);
  if (learner == learners_.end()) return;
  learner->second.draining = learner->second.leaving = true;
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
  at_work_.insert(experiment);
}

Share ShardBoard::ShareOf(const std::string& experiment) const {
  const MutexLock lock(mutex_);
  return queue_.ShareOf(experiment);
}

std::set<std::string> ShardBoard::WithShare() const {
  const MutexLock lock(mutex_);
  return at_work_;
}

void ShardBoard::RemoveShare(const std::string& experiment) {
  const MutexLock lock(mutex_);
  queue_.Remove(experiment);
  at_work_.erase(experiment);
  served_.erase(experiment);
  gaps_.erase(experiment);
  stages_.erase(experiment);
  std::erase_if(snapshot_forms_,
                [&](const auto& entry) { return entry.first.first == experiment; });
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
    info.set_iterations_total(static_cast<uint32_t>(agents::IterationsOf(*job->shard)));
    info.set_env_steps(job->env_steps);
    info.set_env_steps_total(agents::StepsOf(*job->shard));
  }
  return states;
}

std::map<ShardBoard::LearnerId, v1::Peer> ShardBoard::Learners() {
  std::map<LearnerId, v1::Peer> peers;
  const MutexLock lock(mutex_);
  for (auto& [id, learner] : learners_) {
    learner.CountSteps(0, Now());  // Lets the rate of a learner without shards fall to 0.
    const shards::LearnerMemory held = FactsLocked(learner).held;
    v1::Peer& peer = peers[id];
    peer.set_work(static_cast<uint32_t>(learner.shards.size()));
    peer.set_env_steps_per_second(learner.env_steps_per_second);
    peer.set_draining(learner.draining);
    peer.set_quarantined(learner.standing.InQuarantine(NowNs()) ||
                         suspects_.contains(learner.info.name));
    peer.set_strikes(static_cast<uint32_t>(learner.standing.strikes()));
    // For its shards and its process.
    peer.set_memory_needed_bytes(shards::kLearnerProcessBytes + held.bytes);
    peer.set_device_memory_needed_bytes(held.device_bytes);
    peer.set_refusal(RefusalLocked(learner));
  }
  return peers;
}

std::vector<std::unique_ptr<ShardBoard::Job>> ShardBoard::JobsOf(std::vector<v1::Shard> shards,
                                                                 Call* call) const {
  // All shards of a call are alike, except that the last one may be smaller.
  const auto memory_of = options_.memory_of ? options_.memory_of : shards::MemoryOf;
  const auto& shape = call->meta_parameters.shape();
  const int64_t parameters = shape.empty() ? 0 : shape[0];
  std::map<int, shards::ShardMemory> memories;
  std::vector<std::unique_ptr<Job>> jobs;
  for (v1::Shard& shard : shards) {
    MENTOR_CHECK(shard.experiment() == call->experiment);
    auto& job = jobs.emplace_back(std::make_unique<Job>());
    if (!memories.contains(shard.lifetimes_size()))
      memories[shard.lifetimes_size()] = memory_of(shard, parameters);
    job->memory = memories.at(shard.lifetimes_size());
    for (const v1::Lifetime& lifetime : shard.lifetimes()) {
      if (std::string simulator = HostOf(lifetime.task()); !simulator.empty())
        job->simulators.insert(std::move(simulator));
    }
    if (history::On()) job->work = WorkOf(shard, call->meta_parameters);
    shard.set_shard_id(call->first_shard + jobs.size() - 1);
    shard.set_signal_version(call->version);
    job->shard = std::make_shared<const v1::Shard>(std::move(shard));
    job->call = call;
  }
  return jobs;
}

absl::StatusOr<std::vector<ShardResult>> ShardBoard::Run(std::vector<v1::Shard> shards,
                                                         const v1::Tensor& meta_parameters,
                                                         const std::atomic<bool>& cancel,
                                                         const OnProgress& on_progress) {
  Call call;
  call.meta_parameters = meta_parameters;
  call.shards = shards.size();
  call.open = static_cast<int>(shards.size());
  if (!shards.empty()) call.experiment = shards[0].experiment();
  {
    const MutexLock lock(mutex_);
    call.version = next_version_++;
    call.first_shard = std::exchange(next_shard_, next_shard_ + shards.size());
  }
  std::vector<std::unique_ptr<Job>> jobs = JobsOf(std::move(shards), &call);
  MutexLock lock(mutex_);
  for (std::unique_ptr<Job>& job : jobs) {
    const uint64_t id = job->shard->shard_id();
    waiting_[call.experiment].push_back(id);
    job->waits_since = NowNs();
    jobs_[id] = std::move(job);
  }
  ChooseAuditsLocked(call);
  AssignLocked();
  auto next_report = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (call.open > 0 && call.status.ok() && !cancel) {
    changed_.WaitUntil(lock, next_report);
    if (std::chrono::steady_clock::now() < next_report) continue;
    next_report = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    LookLocked();  // A quarantine or the wait before a retry may have ended.
    if (on_progress != nullptr) {
      const RunProgress progress = ProgressLocked(&call);
      lock.Unlock();
      on_progress(progress);
      lock.Lock();
    }
  }
  // Must happen before the call releases its results.
  const bool whole = call.open == 0 && call.status.ok();
  Keep keep;
  std::string decided;
  if (const auto found = arithmetics_.find(call.experiment);
      whole && found != arithmetics_.end() && found->second.keep && !found->second.kept) {
    found->second.kept = true;
    keep = found->second.keep;
    decided = found->second.name;
  }
  std::vector<ShardResult> results = ReleaseLocked(call, whole);
  AssignLocked();
  if (!call.status.ok()) return call.status;
  if (call.open > 0) return absl::CancelledError("cancelled while shards were at work");
  lock.Unlock();
  if (keep != nullptr) MENTOR_RETURN_IF_ERROR(keep(decided));
  return results;
}

std::vector<ShardResult> ShardBoard::ReleaseLocked(const Call& call, bool whole) {
  std::vector<ShardResult> results;
  for (uint64_t id = call.first_shard; id < call.first_shard + call.shards; ++id) {
    Job& job = *jobs_.at(id);
    if (job.learner || job.done) LetGoLocked(call.experiment);
    if (!job.audit.empty() && !job.done) LetGoLocked(call.experiment);
    if (whole || job.learner) {
      MENTOR_HISTORY(whole ? "consumed" : "fenced",
                     {{"shard", id},
                      {"epoch", job.epoch},
                      {"experiment", call.experiment},
                      {"phase", job.shard->phase()},
                      {"call", call.version},
                      {"shards", call.shards},
                      {"lifetimes", LifetimesOf(*job.shard)},
                      {"learning", job.shard->outer_learning()},
                      {"episodes", job.shard->deterministic_episodes()}});
    }
    if (job.learner) DropLocked(job);
    LeaveLineLocked(job);
    if (const auto at = stages_.find(call.experiment); whole && at != stages_.end()) {
      used_[id] = {.experiment = call.experiment,
                   .uid = at->second.stage.uid,
                   .learner = job.done_by,
                   .epoch = job.done_epoch,
                   .done = at->second.stage.done};
      if (used_.size() > kUsedMax) used_.erase(used_.begin());
    }
    results.push_back(std::move(job.result));
    jobs_.erase(id);
  }
  return results;
}

void ShardBoard::Wake() {
  const MutexLock lock(mutex_);
  LookLocked();
}

ShardBoard::Counts ShardBoard::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

}  // namespace mentor::meta_learner
