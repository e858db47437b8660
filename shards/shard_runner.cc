#include "shards/shard_runner.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/failed_step.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "kernels/device_work.h"
#include "methods/base/inner_loop.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "shards/unit_plan.h"

namespace mentor::shards {
namespace {

// True if its tasks end episodes at steps that fail, so that there is something to count.
bool EndsFailedSteps(const v1::Shard& shard) {
  return std::any_of(
      shard.lifetimes().begin(), shard.lifetimes().end(), [](const v1::Lifetime& lifetime) {
        const auto& wrappers = lifetime.task().wrappers();
        return std::any_of(wrappers.begin(), wrappers.end(), [](const auto& wrapper) {
          return wrapper.name() == kFailedStepWrapper;
        });
      });
}

class Runner {
 public:
  Runner(const ShardInputs& inputs, const RunUnits& run_units, const EmitSegment& emit,
         const std::atomic<bool>& cancel)
      : inputs_(inputs),
        shard_(*inputs.shard),
        run_units_(run_units),
        emit_(emit),
        cancel_(cancel),
        cursors_(FirstCursors(shard_.lifetimes_size())) {}

  absl::StatusOr<ShardReport> Run() {
    const auto start = std::chrono::steady_clock::now();
    Violations violations;
    const std::unique_ptr<methods::InnerLoop> loop = methods::MakeInnerLoop(
        shard_, inputs_.meta_parameters, inputs_.pool, inputs_.device, &violations);
    MENTOR_RETURN_IF_ERROR(violations.ToStatus());
    if (shard_.has_snapshot()) {
      MENTOR_ASSIGN_OR_RETURN(const methods::TensorMap state,
                              ReadSnapshot(shard_.snapshot(), &cursors_));
      MENTOR_RETURN_IF_ERROR(loop->Load(state));
    } else {
      loop->Begin();
    }

    methods::LoopReport report;
    const bool all_final_observations =
        methods::FindInnerLoop(shard_.inner_loop().name())->all_final_observations;
    const uint32_t end = shard_.first_iteration() + shard_.iterations();
    for (uint32_t iteration = shard_.first_iteration(); iteration < end; ++iteration) {
      uint32_t collection = iteration * shard_.collections();
      const methods::Collect collect = [&](std::vector<v1::PolicyWeights> policies) {
        MENTOR_CHECK(collection < (iteration + 1) * shard_.collections());
        return CollectSegment({.number = collection++,
                               .steps = shard_.spec().lifetime().steps_per_iteration(),
                               .mean_actions = loop->acts_with_means(),
                               .labels = loop->wants_labels(),
                               .all_final_observations = all_final_observations,
                               .policies = std::move(policies)});
      };
      MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, loop->Iterate(iteration, collect, &report));
      // Only the agents' updates need them.
      if (!all_final_observations) segment.final_observations = torch::Tensor();
      MENTOR_RETURN_IF_ERROR(Emit(iteration, segment));
    }
    if (shard_.return_snapshot()) report_.snapshot = MakeSnapshot(end, cursors_, loop->Save());
    if (shard_.deterministic_episodes() > 0) {
      MENTOR_ASSIGN_OR_RETURN(
          const agents::Segment segment,
          CollectSegment({.number = end * shard_.collections(),
                          .steps = static_cast<uint32_t>(agents::StepsOfIteration(shard_, end)),
                          .deterministic = true,
                          .policies = loop->Policies()}));
      MENTOR_RETURN_IF_ERROR(Emit(end, segment));
    }
    const std::string& loop_name = shard_.inner_loop().name();
    MENTOR_RETURN_IF_ERROR(CheckDeclared(methods::FindInnerLoop(loop_name)->metrics,
                                         report.statistics, "inner loop '" + loop_name + "'"));
    report_.outer_gradient = report.outer_gradient;
    report_.statistics = std::move(report.statistics);
    if (EndsFailedSteps(shard_)) {
      report_.statistics[kFailedStepsMetric] =
          static_cast<double>(failed_steps_) / static_cast<double>(shard_.lifetimes_size());
    }
    report_.nonfinite_updates = report.nonfinite_updates;
    report_.seconds.set_signal(report.signal_seconds);
    report_.seconds.set_update(report.update_seconds);
    report_.seconds.set_wall(SecondsSince(start));
    return std::move(report_);
  }

 private:
  absl::StatusOr<agents::Segment> CollectSegment(const CollectionPlan& plan) {
    std::vector<v1::Unit> units = PlanUnits(shard_, inputs_.unit_shard, plan, cursors_);
    const auto start = std::chrono::steady_clock::now();
    MENTOR_ASSIGN_OR_RETURN(std::vector<v1::Result> results, run_units_(units, cancel_));
    v1::PhaseSeconds& seconds = report_.seconds;
    seconds.set_stalled(seconds.stalled() + SecondsSince(start));
    for (const v1::Result& result : results) {
      seconds.set_rollout(seconds.rollout() + result.cpu_seconds());
      seconds.set_policy(seconds.policy() + result.policy_cpu_seconds());
      failed_steps_ += CountFailedSteps(result.trajectory().terminations().data());
    }
    return AssembleSegment(shard_, plan, units, std::move(results), &cursors_);
  }

  absl::Status Emit(uint32_t iteration, const agents::Segment& segment) {
    MENTOR_RETURN_IF_ERROR(CheckSignals(iteration, segment));
    v1::Segment proto;
    proto.set_shard_id(shard_.shard_id());
    proto.set_epoch(shard_.epoch());
    proto.set_iteration(iteration);
    AddTensors(segment, shard_.outcomes_only(), &proto);
    if (cancel_) return absl::CancelledError("shard dropped");
    return emit_(std::move(proto));
  }

  // The meta-learner would refuse them as a learner's fault.
  absl::Status CheckSignals(uint32_t iteration, const agents::Segment& segment) const {
    for (const agents::SegmentMember member :
         {&agents::Segment::signals, &agents::Segment::signal_log_probs,
          &agents::Segment::signal_values}) {
      const torch::Tensor& x = segment.*member;
      if (!x.defined() || x.isfinite().all().item<bool>()) continue;
      return absl::InternalError(absl::StrFormat(
          "iteration %d: the signal network gave numbers that are not finite, since its weights "
          "have run away: lower rule.learning_rate, and see docs/it_does_not_learn.md",
          iteration));
    }
    return absl::OkStatus();
  }

  const ShardInputs& inputs_;
  const v1::Shard& shard_;
  const RunUnits& run_units_;
  const EmitSegment& emit_;
  const std::atomic<bool>& cancel_;

  std::vector<v1::EpisodeCursor> cursors_;
  ShardReport report_;
  int64_t failed_steps_ = 0;
};

}  // namespace

absl::Status CheckShard(const v1::Shard& shard) {
  Violations violations;
  CheckSpec(shard.spec(), &violations);
  if (shard.lifetimes().empty() || shard.lifetimes_size() > 65536) {
    violations.Add("shard.lifetimes",
                   absl::StrFormat("%d lifetimes; 1 to 65536 are allowed", shard.lifetimes_size()));
  }
  const v1::EnvironmentShape& shape = shard.shape();
  if (shape.observation_size() < 1 || shape.observation_size() > 65536 || shape.action_size() < 1 ||
      shape.action_size() > 4096 || shape.episode_steps() < 1) {
    violations.Add(
        "shard.shape",
        absl::StrFormat("observation %d, action %d, episode %d: sizes must be positive and bounded",
                        shape.observation_size(), shape.action_size(), shape.episode_steps()));
  }
  if (shard.reward_source() == v1::REWARD_SOURCE_UNSPECIFIED)
    violations.Add("shard.reward_source", "is missing");
  const uint64_t iterations = shard.spec().lifetime().iterations();
  const uint64_t end = uint64_t{shard.first_iteration()} + shard.iterations();
  if (shard.iterations() < 1 || end > iterations) {
    violations.Add("shard.iterations",
                   absl::StrFormat("%d from %d; lifetimes have %d", shard.iterations(),
                                   shard.first_iteration(), iterations));
  }
  if (shard.collections() < 1 || shard.collections() > 16)
    violations.Add("shard.collections",
                   absl::StrFormat("is %d; 1 to 16 are allowed", shard.collections()));
  if (shard.deterministic_episodes() > 0 && end != iterations) {
    violations.Add("shard.deterministic_episodes",
                   "asked for before the last iteration of the lifetimes");
  }
  if ((shard.first_iteration() > 0) != shard.has_snapshot()) {
    violations.Add("shard.snapshot", shard.has_snapshot()
                                         ? "is not wanted at the first iteration"
                                         : "is missing: the shard goes on with running lifetimes");
  } else if (shard.has_snapshot() && (shard.snapshot().cursors_size() != shard.lifetimes_size() ||
                                      shard.snapshot().iterations() != shard.first_iteration())) {
    violations.Add("shard.snapshot",
                   absl::StrFormat("has %d lifetimes after %d iterations; %d after %d are expected",
                                   shard.snapshot().cursors_size(), shard.snapshot().iterations(),
                                   shard.lifetimes_size(), shard.first_iteration()));
  }
  if (violations.empty()) {
    methods::MakeInnerLoop(shard, /*meta_parameters=*/{}, /*pool=*/nullptr, kernels::Device{},
                           &violations);
  }
  return violations.ToStatus();
}

absl::StatusOr<ShardReport> RunShard(const ShardInputs& inputs, const RunUnits& run_units,
                                     const EmitSegment& emit, const std::atomic<bool>& cancel) {
  // Exceptions of LibTorch end the shard, not the process.
  try {
    const torch::NoGradGuard no_grad;
    return Runner(inputs, run_units, emit, cancel).Run();
  } catch (const c10::Error& error) {
    return WithPrefix(absl::StrFormat("shard %d: ", inputs.shard->shard_id()),
                      kernels::TorchError(error));
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrFormat("shard %d: %s", inputs.shard->shard_id(), error.what()));
  }
}

}  // namespace mentor::shards
