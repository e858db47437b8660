#include "actor/unit_runner.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/cell_memory.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "common/failed_step.h"
#include "common/failpoint.h"
#include "common/hosts.h"
#include "common/pause_point.h"
#include "common/result_hash.h"
#include "common/rng.h"
#include "common/success_signal.h"

namespace mentor::actor {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors travel as raw little-endian bytes");

constexpr uint32_t kUnitStepsMax = 1'000'000;
// Limits for the simulators of one thread, and for those that are processes. Beyond a limit all are
// freed, since a fleet works on few environments at a time.
constexpr size_t kEnvironmentsMax = 64;
constexpr std::ptrdiff_t kHostProcessesMax = 4;
// A larger result does not fit into a message (rpc::StreamOptions).
constexpr uint64_t kResultBytesMax = 60u << 20;
// A longer call of the policy was probably preempted. Normal calls take a microsecond, for a
// recurrent policy some tens, and with long tables some milliseconds. Calls are timed with the
// monotonic clock, since the thread's CPU clock costs more than the call.
constexpr std::chrono::microseconds kPolicyCallMax{50}, kRecurrentCallMax{1000},
    kEpisodicCallMax{100'000};

// Names of pieces of work, for errors.
constexpr char kReset[] = "a reset", kStep[] = "a step";

// A tensor of the trajectory that is written row by row into the message itself.
template <typename T>
class Rows {
 public:
  Rows(v1::Tensor::DType dtype, std::initializer_list<int64_t> shape, v1::Tensor* tensor)
      : data_(tensor->mutable_data()) {
    tensor->set_dtype(dtype);
    size_t numbers = 1;
    for (int64_t axis : shape) {
      tensor->add_shape(axis);
      numbers *= static_cast<size_t>(axis);
    }
    data_->reserve(numbers * sizeof(T));
  }
  void Add(std::span<const T> row) {
    data_->append(reinterpret_cast<const char*>(row.data()), row.size_bytes());
  }
  void Add(T number) { Add(std::span<const T>(&number, 1)); }

 private:
  std::string* const data_;
};

// The trajectory of a unit of n steps, written step by step into its message.
class TrajectoryWriter {
 public:
  TrajectoryWriter(int64_t n, const envs::EnvironmentInfo& info, v1::Trajectory* out)
      : out_(out),
        observation_size_(info.observation_size),
        observations_(v1::Tensor::DTYPE_FLOAT32, {n, info.observation_size},
                      out->mutable_observations()),
        actions_(v1::Tensor::DTYPE_FLOAT32, {n, info.action_size}, out->mutable_actions()),
        log_probs_(v1::Tensor::DTYPE_FLOAT32, {n}, out->mutable_log_probs()),
        rewards_(v1::Tensor::DTYPE_FLOAT64, {n}, out->mutable_rewards()),
        successes_(v1::Tensor::DTYPE_UINT8, {n}, out->mutable_successes()),
        terminations_(v1::Tensor::DTYPE_UINT8, {n}, out->mutable_terminations()),
        truncations_(v1::Tensor::DTYPE_UINT8, {n}, out->mutable_truncations()) {
    if (info.has_labels)
      labels_.emplace(v1::Tensor::DTYPE_FLOAT32,
                      std::initializer_list<int64_t>{n, info.action_size}, out->mutable_labels());
  }

  // Adds the observation, the action and the outcome of a step.
  void AddStep(std::span<const float> observation, std::span<const float> action, float log_prob,
               const envs::StepOutcome& outcome) {
    observations_.Add(observation);
    actions_.Add(action);
    log_probs_.Add(log_prob);
    rewards_.Add(outcome.reward);
    successes_.Add(outcome.success ? 1 : 0);
    terminations_.Add(outcome.failed ? kStepFailed : outcome.terminated ? kTaskEnded : 0);
    truncations_.Add(WasCut(outcome) ? 1 : 0);
    if (labels_) labels_->Add(outcome.label);
  }
  // Adds the last observations of ended episodes, [K, D] by rows.
  void AddFinalObservations(std::span<const float> rows) {
    const int64_t k = static_cast<int64_t>(rows.size()) / observation_size_;
    Rows<float>(v1::Tensor::DTYPE_FLOAT32, {k, observation_size_},
                out_->mutable_final_observations())
        .Add(rows);
  }
  void AddNextObservation(std::span<const float> observation) {
    Rows<float>(v1::Tensor::DTYPE_FLOAT32, {observation_size_}, out_->mutable_next_observation())
        .Add(observation);
  }

  // A task that ends in the last step of the limit was not cut short.
  static bool WasCut(const envs::StepOutcome& outcome) {
    return outcome.truncated && !outcome.terminated;
  }

 private:
  v1::Trajectory* const out_;
  const int64_t observation_size_;
  Rows<float> observations_, actions_, log_probs_;
  Rows<double> rewards_;
  Rows<uint8_t> successes_, terminations_, truncations_;
  std::optional<Rows<float>> labels_;
};

// Converts an observation for the policy. A number beyond 32 bits is an error of the unit, since a
// learner would treat it as a protocol violation.
absl::Status ToFloats(std::span<const double> from, uint32_t step, std::span<float> to) {
  for (size_t i = 0; i < from.size(); ++i) {
    to[i] = static_cast<float>(from[i]);
    if (std::isfinite(to[i])) continue;
    return absl::OutOfRangeError(absl::StrFormat(
        "before step %d, number %d of the observation is %g, which is not finite in 32 bits", step,
        i, from[i]));
  }
  return absl::OkStatus();
}

absl::Status CheckUnit(const v1::Unit& unit) {
  if (unit.steps() < 1 || unit.steps() > kUnitStepsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("unit: %d steps; 1 to %d are allowed", unit.steps(), kUnitStepsMax));
  }
  if (unit.random().iteration() >= 1U << 20) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "unit: iteration %d is beyond the counters' 20 bits", unit.random().iteration()));
  }
  if (unit.random().phase() >= 16) {
    return absl::InvalidArgumentError(
        absl::StrFormat("unit: phase %d is beyond the counters' 4 bits", unit.random().phase()));
  }
  if (unit.first_step() > UINT32_MAX - unit.steps())
    return absl::InvalidArgumentError("unit: steps beyond the counters' 32 bits");
  if (unit.policy().network() == v1::POLICY_NETWORK_RECURRENT &&
      (unit.first_step() > 0 || !unit.state().empty())) {
    return absl::InvalidArgumentError(
        "unit: a recurrent policy remembers its lifetime, so its unit begins at step 0");
  }
  const v1::RecurrentSizes& sizes = unit.policy().recurrent();
  if (sizes.has_memory() && !CellMemoryFits(std::min(sizes.memory().capacity(), unit.steps()),
                                            sizes.memory().context_size(), sizes.lstm())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "unit: a policy's memory of %d episodes with contexts of %d numbers and cells of %d could "
        "take more than %d MiB; lower its capacity",
        sizes.memory().capacity(), sizes.memory().context_size(), sizes.lstm(),
        kCellMemoryBytesMax >> 20));
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const Policy& policy, const envs::EnvironmentInfo& info) {
  if (policy.observation_size() != info.observation_size ||
      policy.action_size() != info.action_size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the policy is for %d observations and %d actions, the environment has %d and %d",
        policy.observation_size(), policy.action_size(), info.observation_size, info.action_size));
  }
  if (policy.discrete() != info.discrete_actions) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the policy's actions are %s, the environment's are not",
                        policy.discrete() ? "choices" : "continuous"));
  }
  return absl::OkStatus();
}

absl::Status CheckResultSize(const v1::Unit& unit, const envs::EnvironmentInfo& info) {
  const uint64_t step_bytes =
      sizeof(float) * static_cast<uint64_t>(info.observation_size + info.action_size + 1) +
      sizeof(double) + 3 +
      (info.has_labels ? sizeof(float) * static_cast<uint64_t>(info.action_size) : 0);
  // An episode may end at any step, unless all episodes have the same length.
  const uint64_t episode_steps =
      info.independent_episodes ? static_cast<uint64_t>(info.episode_steps) : 1;
  const uint64_t final_bytes = unit.return_final_observations()
                                   ? (unit.steps() / episode_steps + 1) * sizeof(float) *
                                         static_cast<uint64_t>(info.observation_size)
                                   : 0;
  if (unit.steps() * step_bytes + final_bytes > kResultBytesMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "unit: %d steps of %d bytes are more than a result may have (%d bytes); cut it into parts",
        unit.steps(), step_bytes, kResultBytesMax));
  }
  return absl::OkStatus();
}

absl::Status CheckLabel(const envs::EnvironmentInfo& info, const envs::StepOutcome& outcome,
                        uint32_t step) {
  const size_t size = info.has_labels ? static_cast<size_t>(info.action_size) : 0;
  if (outcome.label.size() != size) {
    return absl::InternalError(absl::StrFormat("step %d: the label has %d numbers, expected %d",
                                               step, outcome.label.size(), size));
  }
  for (const float x : outcome.label) {
    if (!std::isfinite(x))
      return absl::InternalError(absl::StrFormat("step %d: the label is not finite", step));
  }
  return absl::OkStatus();
}

RandomStream StreamOf(const v1::Unit& unit, Purpose purpose, uint32_t iteration) {
  return {.seed = unit.random().seed(),
          .purpose = purpose,
          .phase = static_cast<Phase>(unit.random().phase()),
          .lifetime = unit.random().lifetime(),
          .iteration = iteration};
}

// CPU time of the policy in a unit, estimated from calls that were not preempted.
class PolicyTimer {
 public:
  explicit PolicyTimer(v1::PolicyNetwork network)
      : call_max_(network == v1::POLICY_NETWORK_RECURRENT  ? kRecurrentCallMax
                  : network == v1::POLICY_NETWORK_EPISODIC ? kEpisodicCallMax
                                                           : kPolicyCallMax) {}
  template <typename F>
  void Time(F&& call) {
    const auto before = std::chrono::steady_clock::now();
    call();
    if (const auto taken = std::chrono::steady_clock::now() - before; taken <= call_max_) {
      total_ += taken;
      ++calls_;
    }
  }
  // Returns the estimated time of `steps` calls; nullopt if every call was preempted.
  std::optional<double> Seconds(size_t steps) const {
    if (calls_ == 0) return std::nullopt;
    return std::chrono::duration<double>(total_).count() / static_cast<double>(calls_) *
           static_cast<double>(steps);
  }

 private:
  const std::chrono::microseconds call_max_;
  std::chrono::nanoseconds total_{0};
  size_t calls_ = 0;
};

}  // namespace

v1::Result UnitRunner::Run(const v1::Unit& unit) {
  v1::Result result;
  *result.mutable_id() = unit.id();
  result.set_attempt(unit.attempt());
  encode_seconds_ = 0;
  const absl::Status status = RunInto(unit, &result);
  if (!status.ok()) {
    result.Clear();
    *result.mutable_id() = unit.id();
    result.set_attempt(unit.attempt());
    result.set_error(absl::StrCat(unit.task().environment(), ": ", status.message(),
                                  std::string(!absl::IsOutOfRange(status) ? ""
                                              : is_resetting_             ? kFailedResetRemedy
                                                                          : kFailedStepRemedy)));
    // A failed simulator may be in any state; simulators of other tasks are unaffected.
    environments_.erase(KeyOf(unit.task()));
  }
  return result;
}

std::string UnitRunner::KeyOf(const v1::EnvironmentTask& task) {
  v1::EnvironmentTask kind;
  kind.set_environment(task.environment());
  *kind.mutable_options() = task.options();
  *kind.mutable_wrappers() = task.wrappers();
  return kind.SerializeAsString();
}

absl::StatusOr<envs::Environment*> UnitRunner::Prepare(const v1::EnvironmentTask& task) {
  std::string key = KeyOf(task);
  auto found = environments_.find(key);
  if (found == environments_.end()) {
    const auto hosts = std::count_if(
        environments_.begin(), environments_.end(),
        [](const auto& entry) { return entry.second->info().name == kHostEnvironment; });
    if (environments_.size() >= kEnvironmentsMax || hosts >= kHostProcessesMax)
      environments_.clear();
    MENTOR_ASSIGN_OR_RETURN(auto environment, envs::MakeEnvironment(task));
    found = environments_.emplace(std::move(key), std::move(environment)).first;
  } else {
    MENTOR_RETURN_IF_ERROR(found->second->SetTask(task));
  }
  return found->second.get();
}

void UnitRunner::Act(const v1::Unit& unit, const RandomStream& action_noise, uint32_t step,
                     std::span<const float> observation, std::span<float> action, float* log_prob) {
  if (policy_.is_greedy()) {
    policy_.TakeGreatest(observation,
                         StreamOf(unit, Purpose::kExploration, unit.random().iteration()), step,
                         /*explore=*/!unit.deterministic(), action, log_prob);
  } else if (unit.deterministic()) {
    policy_.Deterministic(observation, action, log_prob);
  } else if (policy_.discrete()) {
    policy_.Choose(observation, action_noise.Uniform(step, /*draw=*/0), action, log_prob);
  } else {
    noise_.resize(action.size());
    action_noise.Normals(step, noise_);
    policy_.Sample(observation, noise_, action, log_prob);
  }
}

absl::Status UnitRunner::RunInto(const v1::Unit& unit, v1::Result* result) {
  const double cpu_start = ThreadCpuSeconds();
  MENTOR_RETURN_IF_ERROR(CheckUnit(unit));
  MENTOR_RETURN_IF_ERROR(policy_.Load(unit.policy()));
  MENTOR_ASSIGN_OR_RETURN(envs::Environment * environment, Prepare(unit.task()));
  const envs::EnvironmentInfo& info = environment->info();
  MENTOR_RETURN_IF_ERROR(CheckPolicy(policy_, info));
  MENTOR_RETURN_IF_ERROR(CheckResultSize(unit, info));

  const RandomStream reset = StreamOf(unit, Purpose::kEnvironmentReset, /*iteration=*/0);
  const RandomStream action_noise =
      StreamOf(unit, Purpose::kActionNoise, unit.random().iteration());
  const size_t d = static_cast<size_t>(info.observation_size),
               a = static_cast<size_t>(info.action_size);
  std::vector<float> shown(d), next(d), action(a), clipped(a), final_observations;
  std::vector<double> observation(d);
  uint32_t episode = unit.first_episode();
  is_resetting_ = true;
  if (unit.state().empty()) {
    BeginPiece(kReset);
    MENTOR_RETURN_IF_ERROR(environment->Reset(reset, episode, observation));
  } else {
    MENTOR_RETURN_IF_ERROR(environment->RestoreState(unit.state(), observation));
  }
  MENTOR_RETURN_IF_ERROR(ToFloats(observation, unit.first_step(), shown));
  is_resetting_ = false;

  TrajectoryWriter trajectory(unit.steps(), info, result->mutable_trajectory());
  PolicyTimer timer(unit.policy().network());
  SuccessSignal success;
  bool done = false;
  for (uint32_t t = 0; t < unit.steps(); ++t) {
    const uint32_t step = unit.first_step() + t;
    float log_prob = 0;
    BeginPiece(kStep);
    MENTOR_RETURN_IF_ERROR(PausePoint());
    if (const auto error = MENTOR_FAILPOINT("actor.unit.step")) return absl::InternalError(*error);
    timer.Time([&] {
      Act(unit, action_noise, step, shown, action, &log_prob);
      envs::ClipAction(info, action, clipped);  // Only the simulator sees the clipped action.
    });

    MENTOR_ASSIGN_OR_RETURN(envs::StepOutcome outcome, environment->Step(clipped, observation));
    if (!std::isfinite(static_cast<float>(outcome.reward))) {
      return absl::OutOfRangeError(absl::StrFormat(
          "step %d gave the reward %g, which is not finite in 32 bits", step, outcome.reward));
    }
    MENTOR_RETURN_IF_ERROR(ToFloats(observation, step + 1, next));
    MENTOR_RETURN_IF_ERROR(CheckLabel(info, outcome, step));
    // The episode cannot be continued from a saved state, so it is truncated here.
    if (unit.return_state() && t + 1 == unit.steps() && !info.saves_state) outcome.truncated = true;
    if (!std::isfinite(log_prob)) {
      return absl::InternalError(
          absl::StrFormat("step %d: the policy gave a number that is not finite", step));
    }
    const double signal =
        success.Step(/*starts_episode=*/done, outcome.success, info.episode_steps);
    done = outcome.terminated || outcome.truncated;
    trajectory.AddStep(shown, action, log_prob, outcome);
    if (unit.return_final_observations() && done)
      final_observations.insert(final_observations.end(), next.begin(), next.end());
    policy_.Remember(action, static_cast<float>(signal), done);
    if (done) {
      is_resetting_ = true;
      BeginPiece(kReset);
      MENTOR_RETURN_IF_ERROR(environment->Reset(reset, ++episode, observation));
      MENTOR_RETURN_IF_ERROR(ToFloats(observation, step + 1, next));
      is_resetting_ = false;
    }
    shown.swap(next);
  }

  const double encode_start = ThreadCpuSeconds();
  trajectory.AddNextObservation(shown);
  if (unit.return_final_observations()) trajectory.AddFinalObservations(final_observations);
  // After the end of an episode there is no state to save: the next one begins with its own reset.
  if (unit.return_state() && !done) {
    MENTOR_ASSIGN_OR_RETURN(*result->mutable_final_state(), environment->SaveState());
  }
  result->set_result_hash(ResultHash(result->trajectory(), result->final_state()));
  if (const auto seconds = timer.Seconds(unit.steps())) result->set_policy_cpu_seconds(*seconds);
  const double cpu_end = ThreadCpuSeconds();
  encode_seconds_ = cpu_end - encode_start;
  result->set_cpu_seconds(cpu_end - cpu_start);
  return absl::OkStatus();
}

}  // namespace mentor::actor
