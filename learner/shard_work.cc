// The part of Learner that runs a shard, tells of its end, and takes it back when it used numbers
// that are found to be wrong.
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/log.h"
#include "common/result_hash.h"
#include "learner/learner.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "shards/shard_runner.h"
#include "shards/tensor_proto.h"

namespace mentor::learner {
namespace {

// Segments of one shard that may be under way to the meta-learner.
constexpr uint32_t kWindow = 2;
// Shards that can be taken back after their end.
constexpr size_t kEndedMax = 65'536;

// What a learner that lies would send (a failpoint).
void Falsify(v1::Segment* segment) {
  for (v1::NamedTensor& one : *segment->mutable_tensors()) {
    if (one.name() == "shaped_rewards") MakeWrong(one.mutable_tensor());
  }
}

}  // namespace

absl::Status Learner::SendSegment(const Job& job, v1::Segment segment, Sent* sent) {
  {
    MutexLock lock(mutex_);
    while (!job.cancel && !job.connection->closed && sent->segments >= job.acknowledged + kWindow)
      changed_.Wait(lock);
    if (job.cancel || job.connection->closed) return absl::CancelledError("the shard was dropped");
  }
  if (MENTOR_FAILPOINT("learner.segment.wrong")) Falsify(&segment);
  shards::HashSegment(segment, &sent->hash);
  ++sent->segments;
  updates_.Increment(static_cast<double>(job.shard.lifetimes_size()));
  last_update_.SetToCurrentTime();
  if (history::On()) {
    history::Write("sent", {{"server", job.connection->server},
                            {"shard", segment.shard_id()},
                            {"epoch", segment.epoch()},
                            {"segment", segment.iteration()},
                            {"hash", shards::DigestOf(segment)}});
  }
  MENTOR_FAILPOINT("learner.segment.before_send");
  v1::RunRequest message;
  *message.mutable_segment() = std::move(segment);
  if (!job.connection->stream->Send(std::move(message)))
    return absl::CancelledError("the stream has ended");
  return absl::OkStatus();
}

void Learner::RunJob(const std::shared_ptr<Job>& job) {
  Sent sent;
  const shards::EmitSegment emit = [&](v1::Segment segment) {
    return SendSegment(*job, std::move(segment), &sent);
  };
  const shards::RunUnits run_units = [&](std::vector<v1::Unit> units,
                                         const std::atomic<bool>& cancel) {
    CountPhase(/*learning=*/-1, /*simulating=*/+1);
    auto results = options_.rollout->RunUnits(std::move(units), cancel);
    CountPhase(/*learning=*/+1, /*simulating=*/-1);
    return results;
  };

  const auto run = [&]() -> absl::StatusOr<shards::ShardReport> {
    MENTOR_RETURN_IF_ERROR(shards::CheckShard(job->shard));
    if (job->shard.reward_source() == v1::REWARD_SOURCE_SIGNAL && !job->meta_parameters.defined()) {
      return absl::InvalidArgumentError("the shard came before its meta-parameters");
    }
    return shards::RunShard({.shard = &job->shard,
                             .unit_shard = job->unit_shard,
                             .meta_parameters = job->meta_parameters,
                             .pool = pool_.get(),
                             .device = options_.device},
                            run_units, emit, job->cancel);
  };
  // A dropped shard also ends in the middle of its update.
  const agents::CallerScope caller(&job->cancel, &job->shard.share());
  absl::StatusOr<shards::ShardReport> report = run();
  const absl::Cleanup ends = [&] { options_.rollout->ForgetChecks(job->unit_shard); };
  if (report.ok()) {
    CountPhase(/*learning=*/-1, /*simulating=*/+1);
    const absl::Status checked = options_.rollout->AwaitChecks(job->unit_shard, job->cancel);
    CountPhase(/*learning=*/+1, /*simulating=*/-1);
    if (!checked.ok()) report = checked;
  }
  if (job->cancel) return;

  v1::ShardDone done;
  done.set_shard_id(job->shard.shard_id());
  done.set_epoch(job->shard.epoch());
  if (report.ok()) {
    done.set_segments_hash(sent.hash.Finish());
    *done.mutable_seconds() = report->seconds;
    done.set_nonfinite_updates(report->nonfinite_updates);
    if (job->shard.return_snapshot()) {
      MENTOR_FAILPOINT("learner.snapshot.before_send");
      *done.mutable_snapshot() = std::move(report->snapshot);
    }
    if (report->outer_gradient.defined())
      *done.mutable_outer_gradient() = shards::ToProto(report->outer_gradient);
    for (const auto& [name, value] : report->statistics) (*done.mutable_statistics())[name] = value;
    shards_.Increment();
    nonfinite_.Increment(static_cast<double>(report->nonfinite_updates));
    signal_seconds_.Observe(report->seconds.signal());
    update_seconds_.Observe(report->seconds.update());
    // For rules that want no segments, one shard is one iteration.
    if (sent.segments == 0) updates_.Increment(static_cast<double>(job->shard.lifetimes_size()));
    last_update_.SetToCurrentTime();
  } else if (options_.rollout->StillGood(job->unit_shard).ok()) {
    MENTOR_LOG(kError, "shard failed",
               {{"experiment", job->shard.experiment()},
                {"shard", job->shard.shard_id()},
                {"why", report.status()}});
    done.set_error(std::string(report.status().message()));
  }
  SendDone(*job, std::move(done));
}

void Learner::SendDone(const Job& job, v1::ShardDone done) {
  // Comes first, as the end of this shard may end its round.
  TakeBackEnded();
  const auto taint = [&]() -> std::string {
    const absl::Status good = options_.rollout->StillGood(job.unit_shard);
    return good.ok() ? "" : absl::StrCat(shards::kTakenBack, good.message());
  };
  const auto send = [&](const v1::ShardDone& end) {
    MENTOR_HISTORY("sent", {{"server", job.connection->server},
                            {"shard", end.shard_id()},
                            {"epoch", end.epoch()},
                            {"hash", history::Digest(end.segments_hash())},
                            {"error", end.error()}});
    v1::RunRequest message;
    *message.mutable_shard_done() = end;
    job.connection->stream->Send(std::move(message));
  };
  v1::ShardDone taken_back;
  taken_back.set_shard_id(done.shard_id());
  taken_back.set_epoch(done.epoch());
  taken_back.set_error(taint());
  if (!taken_back.error().empty()) return send(taken_back);
  const bool ended_well = done.error().empty();
  send(done);
  if (!ended_well) return;
  {
    const MutexLock lock(mutex_);
    ended_[job.unit_shard] = {job.connection->server, done.shard_id(), done.epoch()};
    if (ended_.size() > kEndedMax) ended_.erase(ended_.begin());
  }
  // Found out since: TakeBackEnded may have looked too early.
  taken_back.set_error(taint());
  if (taken_back.error().empty()) return;
  {
    const MutexLock lock(mutex_);
    if (ended_.erase(job.unit_shard) == 0) return;
  }
  send(taken_back);
}

void Learner::TakeBackEnded() {
  const MutexLock one_at_a_time(take_back_mutex_);
  const std::vector<UnitDispatcher::FoundOut> found = options_.rollout->TakeFoundOut();
  MutexLock lock(mutex_);
  for (const UnitDispatcher::FoundOut& one : found) {
    MENTOR_LOG(kError, "an actor was found out; the shards that used its results begin again",
               {{"why", one.why}, {"shards", one.shards.size()}});
    for (const uint64_t shard : one.shards) {
      if (auto ended = ended_.extract(shard))
        taken_back_.emplace_back(std::move(ended.mapped()), one.why);
    }
  }
  const std::shared_ptr<Connection> connection = connection_;
  if (connection == nullptr || !connection->welcomed) return;
  for (const auto& [shard, why] : std::exchange(taken_back_, {})) {
    if (shard.server != connection->server) continue;  // That meta-learner is gone.
    v1::RunRequest message;
    message.mutable_shard_done()->set_shard_id(shard.shard_id);
    message.mutable_shard_done()->set_epoch(shard.epoch);
    message.mutable_shard_done()->set_error(absl::StrCat(shards::kTakenBack, why));
    connection->stream->Send(std::move(message));
  }
}

}  // namespace mentor::learner
