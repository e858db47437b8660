// The part of ShardBoard that takes what learners send.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/history.h"
#include "common/hosts.h"
#include "meta_learner/fleet/shard_board.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "shards/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

// Share of a shard's steps that counts as progress of its learner.
constexpr double kProgressShare = 0.01;

// Key of the shards of an experiment whose snapshots have the same form.
std::pair<std::string, std::string> FormKey(const v1::Shard& shard) {
  return {shard.experiment(),
          absl::StrFormat("%d %d", shard.lifetimes_size(), shard.outer_learning())};
}

}  // namespace

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
  return Blame(learner, TakeSegment(learner, segment));
}

absl::Status ShardBoard::OnDone(LearnerId learner, const v1::ShardDone& done) {
  return Blame(learner, TakeDone(learner, done));
}

absl::Status ShardBoard::Blame(LearnerId id, absl::Status status) {
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
  MENTOR_ASSIGN_OR_RETURN(agents::Segment parsed, shards::SegmentFromProto(segment, *shard));
  shards::HashSegment(segment, hash.get());
  const MutexLock lock(mutex_);
  Job* job = FindLocked(learner, segment.shard_id(), segment.epoch());
  if (job == nullptr) return absl::OkStatus();
  job->result.segments.push_back(std::move(parsed));
  if (history::On()) {
    history::Write("accepted", {{"shard", segment.shard_id()},
                                {"epoch", segment.epoch()},
                                {"segment", segment.iteration()},
                                {"hash", shards::DigestOf(segment)}});
  }
  job->Advanced(NowNs());
  v1::RunResponse message;
  message.mutable_ack()->set_shard_id(segment.shard_id());
  message.mutable_ack()->set_iteration(segment.iteration());
  learners_.at(learner).send(std::move(message));
  return absl::OkStatus();
}

absl::Status ShardBoard::TakeDone(LearnerId id, const v1::ShardDone& done) {
  if (shards::IsTakenBack(done)) {
    TakenBack(id, done);
    return absl::OkStatus();
  }
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
    const auto& shape = job->call->meta_parameters.shape();
    if (!shape.empty()) num_meta_parameters = shape[0];
  }
  // Without the lock, as for segments.
  if (done.error().empty()) {
    MENTOR_ASSIGN_OR_RETURN(form, shards::CheckShardDone(*shard, done, num_meta_parameters, form));
  }
  const MutexLock lock(mutex_);
  Job* job = FindLocked(id, done.shard_id(), done.epoch());
  if (job == nullptr) return absl::OkStatus();
  Learner& learner = learners_.at(id);
  if (!done.error().empty()) {
    OnErrorLocked(job, &learner, done);
    AssignLocked();
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(job->Take(done));
  if (!form.empty()) snapshot_forms_[FormKey(*shard)] = form;
  MENTOR_HISTORY("accepted", {{"shard", done.shard_id()},
                              {"epoch", done.epoch()},
                              {"segments", job->result.segments.size()},
                              {"hash", history::Digest(done.segments_hash())}});
  learner.shards.erase(done.shard_id());
  learner.CountSteps(agents::StepsOf(*job->shard) - job->env_steps, Now());
  job->Advanced(NowNs());
  auto& gap = gaps_[job->shard->experiment()];
  gap = std::max(gap, job->longest_gap);
  if (job->given > learner.doubted) learner.standing.Delivered();
  // Strike the learners that failed with this shard.
  for (auto& [other_id, other] : learners_) {
    if (other_id != id && job->failed_at.errors() > 0 && job->failed_at.Has(other.info.name))
      StrikeLocked(&other, kFailed);
  }
  if (!AuditLocked(job, &learner, done)) {
    job->done_by = learner.info.name;
    job->done_epoch = job->epoch;
    job->Finish();
  }
  AssignLocked();
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
  if (job->audit.empty() && (hosts >= 4 * retries.errors_max ||
                             (may_end && !AnyReachesLocked(*job, Obstacle::kAnswered, NowNs())))) {
    job->Fail(absl::InternalError(absl::StrFormat("a shard failed %d times, the last time with: %s",
                                                  job->failed_at.errors(), done.error())));
  } else {
    TellLocked(job->shard->experiment(), {.name = "shard_retried",
                                          .sentence = "a shard failed and is tried again",
                                          .learner = learner->info.name,
                                          .detail = done.error()});
    ReturnLocked(job);
  }
}

absl::Status ShardBoard::Job::Take(const v1::ShardDone& end) {
  if (result.segments.size() != agents::IterationsOf(*shard)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: done after %d segments, expected %d", end.shard_id(),
                        result.segments.size(), agents::IterationsOf(*shard)));
  }
  if (hash->Finish() != end.segments_hash()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "shard %d: its segments do not have the hash it was sent with", end.shard_id()));
  }
  if (end.has_outer_gradient()) {
    const auto& shape = call->meta_parameters.shape();
    MENTOR_ASSIGN_OR_RETURN(
        result.outer_gradient,
        shards::FromProto(end.outer_gradient(),
                          absl::StrFormat("shard %d: outer gradient", end.shard_id()),
                          torch::kFloat64, {shape.begin(), shape.end()}));
  }
  result.snapshot = end.snapshot();
  result.statistics = {end.statistics().begin(), end.statistics().end()};
  result.seconds = end.seconds();
  result.nonfinite_updates = end.nonfinite_updates();
  return absl::OkStatus();
}

void ShardBoard::Job::Finish() {
  learner.reset();
  taken_back.clear();
  done = true;
  env_steps = agents::StepsOf(*shard);
  --call->open;
}

void ShardBoard::OnActors(LearnerId learner, uint32_t actors, std::set<std::string> simulators) {
  const MutexLock lock(mutex_);
  const auto found = learners_.find(learner);
  if (found == learners_.end()) return;
  // A learner with shards reports its actors with its progress, which also writes the history.
  const bool changed = found->second.shards.empty() && found->second.SetActors(actors, NowNs());
  if (std::exchange(found->second.simulators, simulators) != simulators || changed) AssignLocked();
}

void ShardBoard::OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress) {
  const MutexLock lock(mutex_);
  const auto found = learners_.find(learner);
  if (found == learners_.end()) return;
  const uint32_t before = found->second.actors;
  if (found->second.SetActors(progress.actors(), NowNs())) AssignLocked();
  if (before != progress.actors()) {
    TellLocked("", {.name = "actors_changed",
                    .sentence = "actors came or went",
                    .learner = found->second.info.name,
                    .detail = Counted(progress.actors(), "actor")});
  }
  const auto job = jobs_.find(progress.shard_id());
  if (job != jobs_.end() && job->second->learner == learner && !job->second->done) {
    Job* const held = job->second.get();
    held->missing_simulator = IsHostName(progress.missing_host()) ? progress.missing_host() : "";
    const uint64_t all = agents::StepsOf(*held->shard);
    const uint64_t steps = std::max(held->env_steps, std::min(progress.env_steps(), all));
    found->second.CountSteps(steps - held->env_steps, Now());
    held->env_steps = steps;
    // Single steps do not count as progress.
    if (steps > held->counted_steps && static_cast<double>(steps - held->counted_steps) >=
                                           kProgressShare * static_cast<double>(all)) {
      held->Advanced(NowNs());
      held->counted_steps = steps;
    }
  }
}

void ShardBoard::Learner::CountSteps(uint64_t steps, std::chrono::steady_clock::time_point now) {
  new_steps += steps;
  const double seconds = std::chrono::duration<double>(now - rate_since).count();
  if (seconds < 2) return;
  env_steps_per_second = static_cast<double>(new_steps) / seconds;
  new_steps = 0;
  rate_since = now;
}

}  // namespace mentor::meta_learner
