#include "learner/shard_runner.h"

#include <chrono>
#include <memory>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/rng.h"
#include "common/spec.h"
#include "learner/agents/ppo.h"
#include "learner/segment_proto.h"
#include "learner/signals/signal_network.h"
#include "learner/unit_plan.h"

namespace mentor::learner {
namespace {

// CPU time of this thread and of what pools did for it, between construction and Stop.
class CpuTimer {
 public:
  double Stop() const { return ThreadCpuSeconds() + WorkerPool::CallerCpuSeconds() - start_; }

 private:
  const double start_ = ThreadCpuSeconds() + WorkerPool::CallerCpuSeconds();
};

std::unique_ptr<SignalNetwork> NetworkOf(const v1::Shard& shard, Violations* violations) {
  return MakeSignalNetwork(shard.spec().signal(),
                           {.observation_size = shard.shape().observation_size(),
                            .action_size = shard.shape().action_size(),
                            .role = shard.spec().signal().role(),
                            .input = shard.spec().signal().input()},
                           violations);
}

// Copies of all tensors on a device; the same tensors when they are there.
Segment OnDevice(const Segment& segment, torch::Device device) {
  Segment moved = segment;
  for (auto member : {&Segment::observations, &Segment::actions, &Segment::log_probs,
                      &Segment::shaped_rewards, &Segment::success_signals, &Segment::successes,
                      &Segment::prev_done, &Segment::last_done, &Segment::next_observations,
                      &Segment::signals, &Segment::signal_log_probs, &Segment::signal_values}) {
    torch::Tensor& tensor = moved.*member;
    if (tensor.defined()) tensor = tensor.to(device);
  }
  return moved;
}

class Runner {
 public:
  Runner(const ShardInputs& inputs, const RunUnits& run_units, const EmitSegment& emit,
         const std::atomic<bool>& cancel)
      : inputs_(inputs),
        shard_(*inputs.shard),
        run_units_(run_units),
        emit_(emit),
        cancel_(cancel) {}

  absl::StatusOr<ShardReport> Run() {
    const auto start = std::chrono::steady_clock::now();
    const bool with_signal = shard_.reward_source() == v1::REWARD_SOURCE_SIGNAL;
    Violations violations;
    if (with_signal) network_ = NetworkOf(shard_, &violations);
    MENTOR_RETURN_IF_ERROR(violations.ToStatus());
    agent_shape_ = {.observation_size = shard_.shape().observation_size(),
                    .action_size = shard_.shape().action_size(),
                    .hidden_units = shard_.spec().agent().hidden_units(),
                    .critic = !with_signal || shard_.spec().signal().role() == v1::REWARD};
    AgentShape actor_only = agent_shape_;
    actor_only.critic = false;
    actor_size_ = AgentLayout(actor_only).size();
    for (const v1::Lifetime& lifetime : shard_.lifetimes()) numbers_.push_back(lifetime.number());
    cursors_.resize(numbers_.size());

    CpuTimer init_timer;
    const Phase phase = static_cast<Phase>(shard_.phase());
    agents_ = NewAgents(InitialTheta(agent_shape_, shard_.spec().agent().initial_std(),
                                     shard_.spec().seed(), phase, numbers_)
                            .to(inputs_.device));
    if (with_signal) {
      signal_state_ = network_->InitialState(num_agents(), torch::kFloat32);
      for (torch::Tensor& tensor : signal_state_.recurrent) tensor = tensor.to(inputs_.device);
      signal_state_.previous = signal_state_.previous.to(inputs_.device);
    }
    Add(&v1::PhaseSeconds::update, &v1::PhaseSeconds::set_update, init_timer.Stop());

    const uint32_t iterations = shard_.spec().lifetime().iterations();
    for (uint32_t iteration = 0; iteration < IterationsOf(shard_); ++iteration) {
      MENTOR_ASSIGN_OR_RETURN(Segment segment, Collect(iteration));
      if (with_signal && iteration < iterations) RunSignal(iteration, &segment);
      if (iteration + 1 < iterations) MENTOR_RETURN_IF_ERROR(UpdateAgents(iteration, segment));
      v1::Segment proto;
      proto.set_shard_id(shard_.shard_id());
      proto.set_epoch(shard_.epoch());
      proto.set_iteration(iteration);
      AddTensors(segment, shard_.outcomes_only(), &proto);
      if (cancel_) return absl::CancelledError("shard dropped");
      MENTOR_RETURN_IF_ERROR(emit_(proto));
    }
    report_.seconds.set_wall(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return report_;
  }

 private:
  int64_t num_agents() const { return static_cast<int64_t>(numbers_.size()); }

  void Add(double (v1::PhaseSeconds::*get)() const, void (v1::PhaseSeconds::*set)(double),
           double seconds) {
    (report_.seconds.*set)((report_.seconds.*get)() + seconds);
  }

  absl::StatusOr<Segment> Collect(uint32_t iteration) {
    std::vector<v1::Unit> units =
        PlanUnits(shard_, inputs_.unit_shard, iteration, agents_.theta, actor_size_, cursors_);
    const auto start = std::chrono::steady_clock::now();
    MENTOR_ASSIGN_OR_RETURN(std::vector<v1::Result> results, run_units_(units, cancel_));
    Add(&v1::PhaseSeconds::stalled, &v1::PhaseSeconds::set_stalled,
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    for (const v1::Result& result : results) {
      Add(&v1::PhaseSeconds::rollout, &v1::PhaseSeconds::set_rollout, result.cpu_seconds());
      Add(&v1::PhaseSeconds::policy, &v1::PhaseSeconds::set_policy, result.policy_cpu_seconds());
    }
    return AssembleSegment(shard_, iteration, units, std::move(results), &cursors_);
  }

  // After the segment is complete and before the update that uses the signals (black_box.md section
  // 5).
  void RunSignal(uint32_t iteration, Segment* segment) {
    const CpuTimer timer;
    const int64_t steps = shard_.spec().lifetime().steps_per_iteration();
    torch::Tensor noise;
    if (!shard_.signal_mean()) {
      noise = torch::empty({num_agents(), steps});
      auto values = noise.accessor<float, 2>();
      for (int64_t s = 0; s < num_agents(); ++s) {
        const RandomStream random{.seed = shard_.spec().seed(),
                                  .purpose = Purpose::kSignalNoise,
                                  .phase = static_cast<Phase>(shard_.phase()),
                                  .lifetime = numbers_[s]};
        for (int64_t t = 0; t < steps; ++t) {
          double normal = 0;
          random.Normals(static_cast<uint32_t>(iteration * steps + t), std::span(&normal, 1));
          values[s][t] = static_cast<float>(normal);
        }
      }
    }
    if (noise.defined()) noise = noise.to(inputs_.device);
    const SignalOutputs outputs =
        network_->Run(inputs_.signal_weights.to(inputs_.device), OnDevice(*segment, inputs_.device),
                      noise, &signal_state_);
    segment->signals = outputs.signals;
    segment->signal_log_probs = outputs.log_probs;
    segment->signal_values = outputs.values;
    Add(&v1::PhaseSeconds::signal, &v1::PhaseSeconds::set_signal, timer.Stop());
  }

  absl::Status UpdateAgents(uint32_t iteration, const Segment& segment) {
    const CpuTimer timer;
    torch::Tensor signal;
    switch (shard_.reward_source()) {
      case v1::REWARD_SOURCE_SPARSE:
        signal = segment.success_signals;
        break;
      case v1::REWARD_SOURCE_SHAPED:
        signal = segment.shaped_rewards;
        break;
      case v1::REWARD_SOURCE_SPARSE_AND_SHAPED:
        signal = segment.shaped_rewards + segment.success_signals;  // float64
        break;
      default:
        signal = segment.signals;
        break;
    }
    const PpoConfig config = PpoConfigFromSpec(shard_.spec().agent(), iteration + 1,
                                               shard_.spec().lifetime().iterations() - 1);
    const MinibatchOrder order =
        KeyedOrder(shard_.spec().seed(), static_cast<Phase>(shard_.phase()), iteration, numbers_);
    MENTOR_ASSIGN_OR_RETURN(UpdateResult result, PpoUpdate(agent_shape_, agents_, segment, signal,
                                                           config, order, {.pool = inputs_.pool}));
    agents_ = std::move(result.agents);
    report_.nonfinite_updates += static_cast<uint64_t>(result.nonfinite);
    Add(&v1::PhaseSeconds::update, &v1::PhaseSeconds::set_update, timer.Stop());
    return absl::OkStatus();
  }

  const ShardInputs& inputs_;
  const v1::Shard& shard_;
  const RunUnits& run_units_;
  const EmitSegment& emit_;
  const std::atomic<bool>& cancel_;

  std::unique_ptr<SignalNetwork> network_;
  AgentShape agent_shape_;
  int64_t actor_size_ = 0;
  std::vector<uint32_t> numbers_;  // Of the lifetimes.

  AgentBatch agents_;
  SignalState signal_state_;
  std::vector<EpisodeCursor> cursors_;
  ShardReport report_;
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
  if (violations.empty() && shard.reward_source() == v1::REWARD_SOURCE_SIGNAL)
    NetworkOf(shard, &violations);
  return violations.ToStatus();
}

absl::StatusOr<ShardReport> RunShard(const ShardInputs& inputs, const RunUnits& run_units,
                                     const EmitSegment& emit, const std::atomic<bool>& cancel) {
  // Exceptions of LibTorch end the shard, not the process.
  try {
    const torch::NoGradGuard no_grad;
    return Runner(inputs, run_units, emit, cancel).Run();
  } catch (const c10::Error& error) {
    return absl::InternalError(
        absl::StrFormat("shard %d: %s", inputs.shard->shard_id(), error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrFormat("shard %d: %s", inputs.shard->shard_id(), error.what()));
  }
}

}  // namespace mentor::learner
