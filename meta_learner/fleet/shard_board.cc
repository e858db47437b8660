#include "meta_learner/fleet/shard_board.h"

#include <algorithm>
#include <chrono>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/hosts.h"
#include "common/resources/names.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "shards/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

constexpr char kNeedsMemory[] =
    "make rule.shard_lifetimes or agent.hidden_units smaller, or give learners more";

// Share of a shard's steps that counts as progress of its learner.
constexpr double kProgressShare = 0.01;

// Key of the shards of an experiment whose snapshots have the same form.
std::pair<std::string, std::string> FormKey(const v1::Shard& shard) {
  return {shard.experiment(),
          absl::StrFormat("%d %d", shard.lifetimes_size(), shard.outer_learning())};
}

// Digest of what a shard computes, regardless of learner and time: equal work has equal results.
std::string WorkOf(const v1::Shard& shard, const v1::Tensor& weights) {
  Sha256 hash;
  hash.Update(shard.SerializeAsString());
  if (shard.reward_source() == v1::REWARD_SOURCE_SIGNAL) hash.Update(weights.data());
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

// Returns "1 shard", "2 shards".
std::string Counted(uint64_t count, std::string_view noun) {
  return absl::StrFormat("%d %s%s", count, noun, count == 1 ? "" : "s");
}

}  // namespace

std::string Gigabytes(uint64_t bytes) {
  const auto count = static_cast<double>(bytes);
  return count < 5e7 ? absl::StrFormat("%.1f MB", count / 1e6)
                     : absl::StrFormat("%.1f GB", count / 1e9);
}

std::string WaitingFor(const BrokerProgress& progress) {
  if (const MemoryShortage& memory = progress.memory; memory.needed > 0) {
    return absl::StrFormat(
        ": waiting for a learner with more memory: a shard needs %s%s, and the largest learner has "
        "%s; %s",
        Gigabytes(memory.needed), memory.of_device ? " of a device" : "", Gigabytes(memory.most),
        kNeedsMemory);
  }
  if (progress.diverged)
    return ": two learners gave other bits for one shard, and are kept away (MentorDivergence)";
  if (progress.learners > 0 && progress.actors == 0) return ": waiting for actors";
  if (!progress.missing_host.empty()) {
    return absl::StrFormat(": waiting for actors that offer host '%s' (mentor-actor --host %s=...)",
                           progress.missing_host, progress.missing_host);
  }
  if (progress.learners > 0) return "";
  if (progress.arithmetic.empty()) return ": waiting for learners";
  return ": waiting for learners of kind " + progress.arithmetic;
}

ShardBoard::LearnerId ShardBoard::AddLearner(LearnerInfo info, Send send) {
  const MutexLock lock(mutex_);
  const LearnerId id = next_learner_++;
  ForgiveLossesLocked(info);
  Standing standing = departed_.Returned(info.name, options_.standing);
  Learner& learner = learners_
                         .emplace(id, Learner{.info = std::move(info),
                                              .send = std::move(send),
                                              .standing = std::move(standing)})
                         .first->second;
  learner.rate_since = Now();
  TellLocked("", {.name = "learner_joined",
                  .sentence = "a learner came",
                  .learner = learner.info.name,
                  .detail = Counted(learner.info.slots, "slot")});
  AssignLocked();
  changed_.NotifyAll();
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
      FailLocked(
          job,
          absl::FailedPreconditionError(absl::StrFormat(
              "%d learners vanished while they had the same shard, the last ones with "
              "nothing else to do: it may need more memory than they have (it is reckoned "
              "at %s; the last one had %s); %s",
              job->losses, Gigabytes(learner::kLearnerProcessBytes + info.Of(job->memory).bytes),
              info.memory_bytes == 0 ? "no limit that it knew of" : Gigabytes(info.memory_bytes),
              kNeedsMemory)));
      continue;
    }
    ++counts_.reassigned;
    ReturnLocked(job);
  }
  AssignLocked();
  changed_.NotifyAll();
}

void ShardBoard::ReturnLocked(Job* job) {
  MENTOR_HISTORY("fenced", {{"shard", job->shard->shard_id()}, {"epoch", job->epoch}});
  LetGoLocked(job->shard->experiment());
  job->learner.reset();
  job->missing_host.clear();
  job->hostless_since.reset();
  job->env_steps = job->counted_steps = 0;
  job->result = {};
  waiting_[job->shard->experiment()].push_front(job->shard->shard_id());
}

void ShardBoard::TellLocked(const std::string& experiment, const ShardEvent& event) {
  if (!options_.on_event) return;
  if (!experiment.empty()) return options_.on_event(experiment, event);
  for (const std::string& one : at_work_) options_.on_event(one, event);
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
    info.set_iterations_total(static_cast<uint32_t>(learner::IterationsOf(*job->shard)));
    info.set_env_steps(job->env_steps);
    info.set_env_steps_total(learner::StepsOf(*job->shard));
  }
  return states;
}

std::map<ShardBoard::LearnerId, ShardBoard::LearnerState> ShardBoard::Learners() {
  std::map<LearnerId, LearnerState> states;
  const MutexLock lock(mutex_);
  for (auto& [id, learner] : learners_) {
    CountStepsLocked(&learner, 0);  // Lets the rate of a learner without shards fall to 0.
    states[id] = {.shards = static_cast<uint32_t>(learner.shards.size()),
                  .env_steps_per_second = learner.env_steps_per_second,
                  .draining = learner.draining,
                  .quarantined = KeptAwayLocked(learner),
                  .strikes = static_cast<uint32_t>(learner.standing.strikes()),
                  .memory_needed = learner::kLearnerProcessBytes + MemoryHeldLocked(learner).bytes,
                  .device_memory_needed = MemoryHeldLocked(learner).device_bytes,
                  .refusal = RefusalLocked(learner)};
  }
  return states;
}

ShardBoard::Job* ShardBoard::FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch) {
  const auto found = jobs_.find(shard_id);
  if (found == jobs_.end() || found->second->learner != learner || found->second->epoch != epoch) {
    ++counts_.refused;
    MENTOR_HISTORY("refused", {{"shard", shard_id}, {"epoch", epoch}});
    return nullptr;
  }
  return found->second.get();
}

absl::Status ShardBoard::OnSegment(LearnerId learner, const v1::Segment& segment) {
  return Judge(learner, TakeSegment(learner, segment));
}

absl::Status ShardBoard::OnDone(LearnerId learner, const v1::ShardDone& done) {
  return Judge(learner, TakeDone(learner, done));
}

absl::Status ShardBoard::Judge(LearnerId id, absl::Status status) {
  if (status.ok()) return status;
  const MutexLock lock(mutex_);
  if (const auto learner = learners_.find(id); learner != learners_.end()) {
    learner->second.broken = true;
    StrikeLocked(&learner->second, kBroke);
  }
  return status;
}

absl::Status ShardBoard::TakeSegment(LearnerId learner, const v1::Segment& segment) {
  std::shared_ptr<const v1::Shard> shard;
  std::shared_ptr<Sha256> hash;
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
    hash = job->hash;
  }
  // Copy, check and hash megabytes without the lock. A learner's messages arrive one at a time, so
  // their order holds.
  MENTOR_ASSIGN_OR_RETURN(learner::Segment parsed, learner::SegmentFromProto(segment, *shard));
  learner::HashSegment(segment, hash.get());
  const MutexLock lock(mutex_);
  Job* job = FindLocked(learner, segment.shard_id(), segment.epoch());
  if (job == nullptr) return absl::OkStatus();
  job->result.segments.push_back(std::move(parsed));
  if (history::On()) {
    history::Write("accepted", {{"shard", segment.shard_id()},
                                {"epoch", segment.epoch()},
                                {"segment", segment.iteration()},
                                {"hash", learner::DigestOf(segment)}});
  }
  AdvancedLocked(job);
  v1::RunResponse message;
  message.mutable_ack()->set_shard_id(segment.shard_id());
  message.mutable_ack()->set_iteration(segment.iteration());
  learners_.at(learner).send(std::move(message));
  return absl::OkStatus();
}

absl::Status ShardBoard::TakeDone(LearnerId id, const v1::ShardDone& done) {
  std::shared_ptr<const v1::Shard> shard;
  std::string form;
  int64_t num_meta_parameters = 0;
  {
    const MutexLock lock(mutex_);
    const Job* job = FindLocked(id, done.shard_id(), done.epoch());
    if (job == nullptr) return absl::OkStatus();
    shard = job->shard;
    const auto known = snapshot_forms_.find(FormKey(*shard));
    if (known != snapshot_forms_.end()) form = known->second;
    const v1::Tensor& weights = job->call->weights;
    if (weights.shape_size() > 0) num_meta_parameters = weights.shape(0);
  }
  // Without the lock, as for segments.
  if (done.error().empty()) {
    MENTOR_ASSIGN_OR_RETURN(form, learner::CheckShardDone(*shard, done, num_meta_parameters, form));
  }
  const MutexLock lock(mutex_);
  Job* job = FindLocked(id, done.shard_id(), done.epoch());
  if (job == nullptr) return absl::OkStatus();
  Learner& learner = learners_.at(id);
  if (!done.error().empty()) {
    OnErrorLocked(job, &learner, done);
    AssignLocked();
    changed_.NotifyAll();
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(TakeDoneLocked(job, done));
  if (!form.empty()) snapshot_forms_[FormKey(*shard)] = form;
  MENTOR_HISTORY("accepted", {{"shard", done.shard_id()},
                              {"epoch", done.epoch()},
                              {"segments", job->result.segments.size()},
                              {"hash", history::Digest(done.segments_hash())}});
  learner.shards.erase(done.shard_id());
  CountStepsLocked(&learner, learner::StepsOf(*job->shard) - job->env_steps);
  AdvancedLocked(job);
  auto& gap = gaps_[job->shard->experiment()];
  gap = std::max(gap, job->longest_gap);
  learner.standing.Delivered();
  // Strike the learners that failed with this shard.
  for (auto& [other_id, other] : learners_) {
    if (other_id != id && job->failed_at.errors() > 0 && job->failed_at.Has(other.info.name))
      StrikeLocked(&other, kFailed);
  }
  if (!AuditLocked(job, learner, done)) FinishLocked(job);
  AssignLocked();
  changed_.NotifyAll();
  return absl::OkStatus();
}

void ShardBoard::OnErrorLocked(Job* job, Learner* learner, const v1::ShardDone& done) {
  learner->shards.erase(done.shard_id());
  const TriedAt::Options& retries = options_.retries;
  job->failed_at.Failed(learner->info.name, NowNs(), retries);
  job->error_hosts.insert(learner->info.host);
  const int hosts = static_cast<int>(job->error_hosts.size());
  const bool may_end = hosts >= retries.errors_max || job->failed_at.IsGivenUp(NowNs(), retries);
  // A failed audit does not fail the shard (SettleAuditsLocked).
  if (job->audit.empty() &&
      (hosts >= 4 * retries.errors_max || (may_end && !CanBeTriedElsewhereLocked(*job)))) {
    FailLocked(
        job, absl::InternalError(absl::StrFormat("a shard failed %d times, the last time with: %s",
                                                 job->failed_at.errors(), done.error())));
  } else {
    TellLocked(job->shard->experiment(), {.name = "shard_retried",
                                          .sentence = "a shard failed and is tried again",
                                          .learner = learner->info.name,
                                          .detail = done.error()});
    ReturnLocked(job);
  }
}

absl::Status ShardBoard::TakeDoneLocked(Job* job, const v1::ShardDone& done) {
  if (job->result.segments.size() != learner::IterationsOf(*job->shard)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: done after %d segments, expected %d", done.shard_id(),
                        job->result.segments.size(), learner::IterationsOf(*job->shard)));
  }
  if (job->hash->Finish() != done.segments_hash()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "shard %d: its segments do not have the hash it was sent with", done.shard_id()));
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
  return absl::OkStatus();
}

void ShardBoard::FinishLocked(Job* job) {
  job->learner.reset();
  job->done = true;
  job->env_steps = learner::StepsOf(*job->shard);
  --job->call->open;
}

void ShardBoard::OnActors(LearnerId learner, uint32_t actors, std::set<std::string> hosts) {
  const MutexLock lock(mutex_);
  const auto found = learners_.find(learner);
  if (found == learners_.end()) return;
  // A learner with shards reports its actors with its progress, which also writes the history.
  if (found->second.shards.empty()) found->second.actors = actors;
  if (std::exchange(found->second.hosts, hosts) != hosts) AssignLocked();
}

void ShardBoard::OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress) {
  const MutexLock lock(mutex_);
  const auto found = learners_.find(learner);
  if (found == learners_.end()) return;
  if (std::exchange(found->second.actors, progress.actors()) != progress.actors()) {
    TellLocked("", {.name = "actors_changed",
                    .sentence = "actors came or went",
                    .learner = found->second.info.name,
                    .detail = Counted(progress.actors(), "actor")});
  }
  const auto job = jobs_.find(progress.shard_id());
  if (job != jobs_.end() && job->second->learner == learner && !job->second->done) {
    Job* const held = job->second.get();
    held->missing_host = IsHostName(progress.missing_host()) ? progress.missing_host() : "";
    const uint64_t all = learner::StepsOf(*held->shard);
    const uint64_t steps = std::max(held->env_steps, std::min(progress.env_steps(), all));
    CountStepsLocked(&found->second, steps - held->env_steps);
    held->env_steps = steps;
    // Single steps do not count as progress.
    if (steps > held->counted_steps && static_cast<double>(steps - held->counted_steps) >=
                                           kProgressShare * static_cast<double>(all)) {
      AdvancedLocked(held);
      held->counted_steps = steps;
    }
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
    if (job->call != call) continue;
    progress.env_steps += job->env_steps;
    if (job->done) continue;
    const std::string missing = job->learner ? job->missing_host : HostNowhereLocked(*job);
    if (!missing.empty()) progress.missing_host = missing;
  }
  for (const auto& [id, learner] : learners_) {
    if (!FitsLocked(learner, call->experiment)) continue;
    ++progress.learners;
    progress.actors += static_cast<int>(learner.actors);
  }
  if (const auto found = arithmetics_.find(call->experiment); found != arithmetics_.end())
    progress.arithmetic = found->second.name;
  progress.diverged = call->diverged;
  NoteMemoryLocked(&progress, call);
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
  // All shards of a call are alike, except that the last one may be smaller.
  const auto memory_of = options_.memory_of ? options_.memory_of : learner::MemoryOf;
  const int64_t parameters = weights.shape().empty() ? 0 : weights.shape(0);
  std::map<int, learner::ShardMemory> memories;
  std::vector<std::set<std::string>> hosts;
  for (const v1::Shard& shard : shards) {
    if (!memories.contains(shard.lifetimes_size()))
      memories[shard.lifetimes_size()] = memory_of(shard, parameters);
    hosts.emplace_back();
    for (const v1::Lifetime& lifetime : shard.lifetimes()) {
      if (std::string host = HostOf(lifetime.task()); !host.empty())
        hosts.back().insert(std::move(host));
    }
  }
  std::vector<uint64_t> ids;
  MutexLock lock(mutex_);
  call.version = next_version_++;
  for (size_t i = 0; i < shards.size(); ++i) {
    v1::Shard& shard = shards[i];
    MENTOR_CHECK(shard.experiment() == call.experiment);
    auto job = std::make_unique<Job>();
    job->memory = memories.at(shard.lifetimes_size());
    job->hosts = std::move(hosts[i]);
    if (history::On()) job->work = WorkOf(shard, weights);
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
    MoveHostlessLocked();
    AssignLocked();  // A quarantine or the wait before a retry may have ended.
    if (on_progress != nullptr) {
      const BrokerProgress progress = ProgressLocked(&call);
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
  // Remove the rest of this call from the queue and from the learners.
  std::vector<ShardResult> results;
  for (uint64_t id : ids) {
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
                      {"shards", ids.size()},
                      {"lifetimes", LifetimesOf(*job.shard)},
                      {"learning", job.shard->outer_learning()},
                      {"episodes", job.shard->deterministic_episodes()}});
    }
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
  MoveHostlessLocked();
  AssignLocked();
  changed_.NotifyAll();
}

ShardBoard::Counts ShardBoard::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

}  // namespace mentor::meta_learner
