#include "envs/mjcf/mjcf_environment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"

namespace mentor::envs::mjcf {
namespace {

constexpr int kAttemptsMax = 100;
// low + (high - low) * u may round to slightly more than high.
constexpr double kRangeRounding = 1e-9;
// Limit of the bytes of a remembered settled state.
constexpr size_t kSettledBytesMax = 32 << 10;
constexpr size_t kWritesMax = 1000;

double Clip(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

// The first 48 bits of a digest, which a double holds.
double NumberOf(const std::string& digest) {
  return static_cast<double>(std::stoull(digest.substr(0, 12), nullptr, 16));
}

}  // namespace

// The random numbers of one reset, in the order of the draws.
class MjcfEnvironment::Draws {
 public:
  Draws(const RandomStream& random, uint32_t episode) : random_(random), episode_(episode) {}

  double Next(double low, double high, bool normal) {
    if (!normal) return low + (high - low) * random_.Uniform(episode_, next_++);
    double number = 0;
    random_.Normals(episode_, std::span(&number, 1), next_++);
    return low + high * number;
  }

 private:
  const RandomStream& random_;
  const uint32_t episode_;
  uint32_t next_ = 0;
};

MjcfEnvironment::MjcfEnvironment(std::shared_ptr<const Plan> plan)
    : plan_(std::move(plan)),
      m_(*plan_->model),
      info_{.name = "mjcf",
            .summary = plan_->task.summary(),
            .observation_size = static_cast<int>(plan_->observation.size()),
            .action_size = plan_->action_size,
            .episode_steps = static_cast<int>(plan_->task.episode_steps()),
            .action_low = plan_->task.action().low(),
            .action_high = plan_->task.action().high(),
            .independent_episodes = plan_->terminated_place < 0},
      bundle_number_(NumberOf(plan_->digest)),
      sim_(plan_->model),
      numbers_(plan_->quantities->initial()),
      at_reset_(Prepare(plan_->at_reset)),
      at_step_(Prepare(plan_->at_step)),
      pose_(plan_->mocap && plan_->mocap->follow >= 0 ? 7 : 0),
      now_(plan_->previous_count),
      observation_(plan_->observation.size()),
      terms_(plan_->terms.size()) {
  if (plan_->condition) condition_ = Prepare({&*plan_->condition, 1});
  size_t most = 1;
  for (const auto* stages : {&at_reset_, &at_step_}) {
    for (const Stage& stage : *stages) most = std::max(most, stage.program.size());
  }
  results_.resize(most);
}

std::vector<MjcfEnvironment::Stage> MjcfEnvironment::Prepare(std::span<const Batch> batches) {
  std::vector<Stage> stages;
  for (const Batch& batch : batches) stages.push_back({&batch, Program(batch.texts, numbers_)});
  return stages;
}

absl::Status MjcfEnvironment::Run(std::vector<Stage>& stages) {
  for (Stage& stage : stages) {
    const std::span<double> results(results_.data(), stage.program.size());
    if (!stage.program.Run(results)) {
      const size_t culprit = stage.program.Culprit();
      return absl::OutOfRangeError(
          absl::StrCat(stage.batch->names[culprit],
                       " of the bundle: a division by zero, or a result that is no "
                       "finite number, ",
                       steps_ < 0 ? "" : absl::StrCat("in step ", steps_ + 1, ", "), "after ",
                       absl::StrFormat("%g", sim_.data()->time),
                       " s of simulation; write the expression so that it has a value everywhere"));
    }
    for (size_t i = 0; i < results.size(); ++i) numbers_[stage.batch->outputs[i]] = results[i];
  }
  return absl::OkStatus();
}

absl::Status MjcfEnvironment::SetTask(const v1::EnvironmentTask& task) {
  MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
  if (task.parameters_size() != plan_->parameter_count) {
    return absl::InvalidArgumentError(absl::StrCat("task.parameters has ", task.parameters_size(),
                                                   " numbers; the bundle's tasks "
                                                   "have ",
                                                   plan_->parameter_count));
  }
  for (const Plan::Parameter& p : plan_->parameters) {
    for (int k = 0; k < p.size(); ++k) {
      const double value = task.parameters(p.first + k);
      const double slack = kRangeRounding * std::max(1.0, std::abs(p.high[k]));
      if (value >= p.low[k] - slack && value <= p.high[k] + slack) continue;
      return absl::InvalidArgumentError(absl::StrCat("task.parameters[", p.first + k, "] (", p.name,
                                                     ") is ", value, "; give a number from ",
                                                     p.low[k], " to ", p.high[k]));
    }
  }
  const std::vector<double> parameters(task.parameters().begin(), task.parameters().end());
  if (!plan_->Meets(parameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.parameters are (", absl::StrJoin(parameters, ", "),
                     "), refused by the bundle's "
                     "parameter_condition, ",
                     plan_->task.parameter_condition(), "; draw another vector"));
  }
  if (task.goal_visible() && !plan_->has_hidden) {
    return absl::InvalidArgumentError(
        "task.goal_visible is true, but the bundle hides no parameter; leave it out");
  }
  if (plan_->changes_physics)
    MENTOR_RETURN_IF_ERROR(sim_.SetTaskPhysics(plan_->Physics(parameters)));
  parameters_ = parameters;
  for (const Plan::Parameter& p : plan_->parameters)
    std::copy_n(parameters_.begin() + p.first, p.size(), numbers_.begin() + p.place);
  goal_visible_ = task.goal_visible();
  has_task_ = true;
  steps_ = -1;
  return absl::OkStatus();
}

absl::Status MjcfEnvironment::CheckReset(std::span<const double> observation) const {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (has_task_) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(info_.name, ": Reset before SetTask"));
}

void MjcfEnvironment::WriteParameters(bool after_settling) {
  mjData* d = sim_.data();
  for (const Plan::Parameter& p : plan_->parameters) {
    if (p.after_settling != after_settling) continue;
    const double* values = &parameters_[p.first];
    const auto point = [&](const mjtNum* nominal) {
      std::array<double, 3> position = {nominal[0], nominal[1], nominal[2]};
      std::copy_n(values, p.size(), position.begin());
      return position;
    };
    switch (p.target) {
      case Plan::Parameter::Target::kBody:
        sim_.SetBodyPos(p.id, point(m_.body_pos + 3 * p.id));
        break;
      case Plan::Parameter::Target::kSite:
        sim_.SetSitePos(p.id, point(m_.site_pos + 3 * p.id));
        break;
      case Plan::Parameter::Target::kMocap:
        std::copy_n(values, p.size(), d->mocap_pos + 3 * p.id);
        break;
      case Plan::Parameter::Target::kJoint:
        std::copy_n(values, p.size(), d->qpos + m_.jnt_qposadr[p.id]);
        std::fill_n(d->qvel + m_.jnt_dofadr[p.id], QvelSize(m_, p.id), 0.0);
        break;
      default:
        break;
    }
  }
  sim_.Touch();
}

void MjcfEnvironment::AddNoise(Draws& draws, bool after_settling) {
  mjData* d = sim_.data();
  for (const Plan::Noise& noise : plan_->noise) {
    if (noise.after_settling != after_settling) continue;
    std::array<double, 3> position = {};
    double* numbers = position.data();
    if (noise.target == Plan::Noise::Target::kBody) {
      std::copy_n(sim_.model()->body_pos + 3 * noise.first, 3, numbers);
    } else {
      numbers = (noise.target == Plan::Noise::Target::kQpos ? d->qpos : d->qvel) + noise.first;
    }
    const int given = static_cast<int>(noise.low.size());
    const int count = given == 1 ? noise.count : given;
    for (int i = 0; i < count; ++i) {
      const int k = given == 1 ? 0 : i;
      const double drawn = draws.Next(noise.low[k], noise.high[k], noise.normal);
      numbers[i] = noise.replace ? drawn : numbers[i] + drawn;
    }
    if (noise.target == Plan::Noise::Target::kBody) sim_.SetBodyPos(noise.first, position);
  }
  sim_.Touch();
}

std::string MjcfEnvironment::SettledKey() const {
  std::string key = absl::StrCat("mjcf ", plan_->digest, " ");
  key.append(reinterpret_cast<const char*>(parameters_.data()),
             parameters_.size() * sizeof(double));
  return key + sim_.physics_tag();
}

// Without chance it is done once for each task.
absl::Status MjcfEnvironment::Settle(bool by_chance) {
  const int steps = static_cast<int>(plan_->task.reset().settle_steps());
  if (steps == 0) return absl::OkStatus();
  std::vector<double> state(sim_.state_size());
  const size_t bytes = state.size() * sizeof(double);
  const bool remembered = !by_chance && bytes <= kSettledBytesMax;
  const std::string key = remembered ? SettledKey() : "";
  if (const auto found = remembered ? SettledResets::Instance().Find(key) : nullptr) {
    MENTOR_CHECK(found->size() == bytes);
    std::memcpy(state.data(), found->data(), bytes);
    sim_.SetState(state);
    return absl::OkStatus();
  }
  const std::vector<double>& control = plan_->settle_control;
  std::copy(control.begin(), control.end(), sim_.data()->ctrl);
  MENTOR_RETURN_IF_ERROR(sim_.Guard([&] { sim_.Steps(steps); }));
  MENTOR_RETURN_IF_ERROR(sim_.CheckWarnings());
  sim_.Touch();
  if (remembered) {
    sim_.GetState(state);
    SettledResets::Instance().Add(key,
                                  std::string(reinterpret_cast<const char*>(state.data()), bytes));
  }
  return absl::OkStatus();
}

absl::Status MjcfEnvironment::Begin(Draws* draws) {
  sim_.RestoreModel();
  sim_.ResetData();
  mjData* d = sim_.data();
  if (plan_->keyframe >= 0) mj_resetDataKeyframe(sim_.model(), d, plan_->keyframe);
  if (const auto& mocap = plan_->mocap) {
    if (mocap->start) std::copy_n(mocap->start->data(), 3, d->mocap_pos + 3 * mocap->mocap);
    if (mocap->orientation && mocap->follow < 0)
      std::copy_n(mocap->orientation->data(), 4, d->mocap_quat + 4 * mocap->mocap);
  }
  WriteParameters(/*after_settling=*/false);
  if (draws != nullptr) AddNoise(*draws, /*after_settling=*/false);
  MENTOR_RETURN_IF_ERROR(Settle(draws != nullptr && plan_->noise_before_settling));
  WriteParameters(/*after_settling=*/true);
  if (draws != nullptr) AddNoise(*draws, /*after_settling=*/true);
  return absl::OkStatus();
}

absl::Status MjcfEnvironment::FinishReset() {
  sim_.Touch();
  MENTOR_RETURN_IF_ERROR(sim_.Guard([&] { sim_.Forward(); }));
  MENTOR_RETURN_IF_ERROR(sim_.CheckWarnings());
  std::fill_n(numbers_.begin() + plan_->action_place, plan_->action_size, 0.0);
  numbers_[plan_->step_place] = 0;
  Gather();
  return Run(at_reset_);
}

void MjcfEnvironment::StartEpisode(std::span<double> observation) {
  Follow();
  Observe(/*after_reset=*/true);
  std::fill(terms_.begin(), terms_.end(), 0.0);
  ended_ = false;
  steps_ = 0;
  std::copy(observation_.begin(), observation_.end(), observation.begin());
}

absl::Status MjcfEnvironment::Reset(const RandomStream& random, uint32_t episode,
                                    std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckReset(observation));
  steps_ = -1;
  Draws draws(random, episode);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    MENTOR_RETURN_IF_ERROR(Begin(&draws));
    MENTOR_RETURN_IF_ERROR(FinishReset());
    if (!condition_.empty()) {
      MENTOR_RETURN_IF_ERROR(Run(condition_));
      if (!(numbers_[condition_[0].batch->outputs[0]] > 0)) continue;
    }
    StartEpisode(observation);
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("reset.condition of the bundle, ", plan_->task.reset().condition(),
                   ", was met by none of ", kAttemptsMax, " draws; widen the noise, or ask less"));
}

absl::Status MjcfEnvironment::ResetTo(std::span<const double> positions,
                                      std::span<const double> velocities,
                                      std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckReset(observation));
  if (positions.size() != static_cast<size_t>(m_.nq) ||
      velocities.size() != static_cast<size_t>(m_.nv)) {
    return absl::InvalidArgumentError(
        absl::StrCat(positions.size(), " positions and ", velocities.size(), " velocities for ",
                     info_.name, ", expected ", m_.nq, " and ", m_.nv));
  }
  steps_ = -1;
  MENTOR_RETURN_IF_ERROR(Begin(nullptr));
  std::copy(positions.begin(), positions.end(), sim_.data()->qpos);
  std::copy(velocities.begin(), velocities.end(), sim_.data()->qvel);
  MENTOR_RETURN_IF_ERROR(FinishReset());
  StartEpisode(observation);
  return absl::OkStatus();
}

void MjcfEnvironment::ApplyAction(std::span<const float> action) {
  const double low = info_.action_low, high = info_.action_high;
  mjData* d = sim_.data();
  if (const auto& mocap = plan_->mocap) {
    double* position = d->mocap_pos + 3 * mocap->mocap;
    double* orientation = d->mocap_quat + 4 * mocap->mocap;
    const bool follows = mocap->follow >= 0;
    for (int i = 0; i < 3; ++i) {
      const double from = follows ? pose_[i] : position[i];
      position[i] = from + Clip(action[i], low, high) * mocap->scale[i];
      if (mocap->low && position[i] < (*mocap->low)[i]) position[i] = (*mocap->low)[i];
      if (mocap->high && position[i] > (*mocap->high)[i]) position[i] = (*mocap->high)[i];
    }
    for (int i = 0; i < 4 && (follows || mocap->orientation); ++i) {
      const double own = mocap->orientation ? (*mocap->orientation)[i] : 0;
      orientation[i] = follows ? pose_[3 + i] + own : own;
    }
  }
  for (const Plan::Control& control : plan_->controls) {
    // Widened first: all arithmetic is in double.
    const double a = action[control.number];
    double value = 0;
    if (!control.gain) {
      value =
          control.low + (Clip(a, low, high) - low) / (high - low) * (control.high - control.low);
    } else {
      value =
          *control.gain * (control.clips ? Clip(a, low, high) : a);  // MuJoCo clamps the others.
    }
    if (control.qpos >= 0) value += d->qpos[control.qpos];
    d->ctrl[control.actuator] = value;
  }
}

void MjcfEnvironment::Gather() {
  numbers_[plan_->time_place] = sim_.data()->time;
  plan_->quantities->Gather(*sim_.model(), *sim_.data(), numbers_);
}

void MjcfEnvironment::Observe(bool after_reset) {
  size_t late = 0;
  for (size_t i = 0; i < observation_.size(); ++i) {
    const Plan::Shown& shown = plan_->observation[i];
    if (shown.hidden && !goal_visible_) {
      observation_[i] = 0;
      late += shown.previous;
      continue;
    }
    double number = numbers_[shown.place];
    if (shown.previous) {
      std::swap(number, now_[late]);
      if (after_reset) number = now_[late];
      ++late;
    }
    observation_[i] = shown.clipped ? Clip(number, shown.low, shown.high) : number;
  }
}

// Kept beside the simulator's state, which lacks it.
void MjcfEnvironment::Follow() {
  if (!plan_->mocap || plan_->mocap->follow < 0) return;
  std::copy_n(sim_.data()->xpos + 3 * plan_->mocap->follow, 3, pose_.begin());
  std::copy_n(sim_.data()->xquat + 4 * plan_->mocap->follow, 4, pose_.begin() + 3);
}

absl::StatusOr<StepOutcome> MjcfEnvironment::Step(std::span<const float> action,
                                                  std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action, ended_));
  const int step = steps_;
  std::copy(action.begin(), action.end(), numbers_.begin() + plan_->action_place);
  ApplyAction(action);
  absl::Status status = sim_.Guard([&] {
    // Without a forward pass afterwards, sensors lag within a whole pass.
    if (!plan_->task.forward()) sim_.Touch();
    sim_.Steps(frame_skip());
    for (const Plan::Hold& hold : plan_->holds) sim_.data()->qpos[hold.qpos] = hold.value;
    if (!plan_->holds.empty()) sim_.Touch();
    if (plan_->task.forward() || !plan_->holds.empty()) sim_.Forward();
  });
  if (status.ok()) status = sim_.CheckWarnings();
  if (status.ok()) {
    numbers_[plan_->step_place] = step + 1;
    Gather();
    status = Run(at_step_);
  }
  if (!status.ok()) {
    steps_ = -1;  // An error ends the episode.
    return status;
  }
  Follow();
  Observe(/*after_reset=*/false);
  StepOutcome outcome;
  for (size_t i = 0; i < terms_.size(); ++i) {
    terms_[i] = numbers_[plan_->terms[i].place];
    outcome.reward += plan_->terms[i].weight * terms_[i];
  }
  outcome.success = plan_->success_place >= 0 && numbers_[plan_->success_place] > 0;
  outcome.terminated = plan_->terminated_place >= 0 && numbers_[plan_->terminated_place] > 0;
  ended_ = outcome.terminated;
  steps_ = step + 1;
  outcome.truncated = steps_ == info_.episode_steps;
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return outcome;
}

// numbers := bundle goal_visible parameters[P] steps ended pose[7 or 0] remembered[R] late[L]
// observation[D] simulation
absl::StatusOr<std::string> MjcfEnvironment::SaveState() const {
  MENTOR_CHECK(steps_ >= 0);
  std::vector<double> n = {bundle_number_, goal_visible_ ? 1.0 : 0.0};
  n.insert(n.end(), parameters_.begin(), parameters_.end());
  n.push_back(steps_);
  n.push_back(ended_ ? 1.0 : 0.0);
  n.insert(n.end(), pose_.begin(), pose_.end());
  for (const int place : plan_->remembered) n.push_back(numbers_[place]);
  n.insert(n.end(), now_.begin(), now_.end());
  n.insert(n.end(), observation_.begin(), observation_.end());
  sim_.Save(&n);
  return EncodeState(info_.name, n);
}

absl::Status MjcfEnvironment::RestoreState(std::string_view state, std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (!has_task_)
    return absl::FailedPreconditionError(absl::StrCat(info_.name, ": RestoreState before SetTask"));
  const auto bad = [this](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("state of ", info_.name, ": ", what));
  };
  const size_t fixed = 2 + parameters_.size() + 2 + pose_.size() + plan_->remembered.size() +
                       now_.size() + observation_.size();
  const size_t least = fixed + 1 + sim_.state_size();
  std::vector<double> numbers;
  MENTOR_RETURN_IF_ERROR(DecodeState(info_.name, state, least, least + 5 * kWritesMax, &numbers));
  const double* next = numbers.data();
  if (*next++ != bundle_number_) return bad("belongs to another bundle");
  if (*next++ != (goal_visible_ ? 1 : 0) ||
      !std::equal(parameters_.begin(), parameters_.end(), next)) {
    return bad("belongs to another task");
  }
  next += parameters_.size();
  const double steps = *next++, ended = *next++;
  if (!(steps >= 0 && steps <= info_.episode_steps && steps == std::floor(steps)))
    return bad(absl::StrCat("has ", steps, " steps, expected 0 to ", info_.episode_steps));
  if (ended != 0 && ended != 1)
    return bad(absl::StrCat("the mark of its end is ", ended, ", not 0 or 1"));
  const double* kept = next;
  const std::span<const double> simulation = std::span(numbers).subspan(fixed);
  if (const std::string wrong = sim_.WrongIn(simulation); !wrong.empty()) return bad(wrong);

  steps_ = static_cast<int>(steps);
  ended_ = ended == 1;
  std::copy_n(kept, pose_.size(), pose_.begin());
  kept += pose_.size();
  for (const int place : plan_->remembered) numbers_[place] = *kept++;
  std::copy_n(kept, now_.size(), now_.begin());
  std::copy_n(kept + now_.size(), observation_.size(), observation_.begin());
  std::fill(terms_.begin(), terms_.end(), 0.0);
  sim_.Restore(simulation);
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return absl::OkStatus();
}

}  // namespace mentor::envs::mjcf
