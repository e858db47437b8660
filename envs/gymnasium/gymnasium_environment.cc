#include "envs/gymnasium/gymnasium_environment.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/assets.h"

namespace mentor::envs::gymnasium {
namespace {

absl::Status WrongModel(const TaskFacts& facts, const std::string& path, const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat("model ", path, " of ", facts.name, ": ", what,
                   "; expected the models of gymnasium 1.4.0: run deploy/install.sh or correct "
                   "MENTOR_ASSETS"));
}

std::string Describe(const TaskFacts::Sizes& sizes) {
  return absl::StrCat(sizes.nq, " positions, ", sizes.nv, " velocities, ", sizes.nu, " controls, ",
                      sizes.nbody, " bodies and ", sizes.nsite, " sites");
}

}  // namespace

void Draws::AddUniform(std::span<double> numbers, double size) {
  for (double& number : numbers) number += Uniform(-size, size);
}

void Draws::AddNormal(std::span<double> numbers, double deviation) {
  for (double& number : numbers) {
    double normal;
    random_.Normals(episode_, std::span(&normal, 1), next_++);
    number += deviation * normal;
  }
}

void Observation::Add(double number) {
  Add(std::span(&number, 1));
}

void Observation::Add(std::span<const double> numbers) {
  MENTOR_CHECK(numbers.size() <= rest_.size());
  std::copy(numbers.begin(), numbers.end(), rest_.begin());
  rest_ = rest_.subspan(numbers.size());
}

void Observation::AddClipped(std::span<const double> numbers, double limit) {
  MENTOR_CHECK(numbers.size() <= rest_.size());
  std::transform(numbers.begin(), numbers.end(), rest_.begin(),
                 [limit](double number) { return std::clamp(number, -limit, limit); });
  rest_ = rest_.subspan(numbers.size());
}

double SquaredNorm(std::span<const double> numbers) {
  double sum = 0;
  for (double number : numbers) sum += number * number;
  return sum;
}

double Norm(double x, double y) {
  return std::sqrt(x * x + y * y);
}

bool AllWithin(std::span<const double> numbers, double limit) {
  return std::all_of(numbers.begin(), numbers.end(),
                     [limit](double number) { return number > -limit && number < limit; });
}

bool AllFinite(std::span<const double> numbers) {
  return std::all_of(numbers.begin(), numbers.end(),
                     [](double number) { return std::isfinite(number); });
}

void AddTask(const TaskFacts& facts, std::shared_ptr<const Task> task) {
  RegisterEnvironment(
      {.name = facts.name,
       .summary = facts.summary,
       .options = {},
       .make = [&facts,
                task](const OptionValues&) { return GymnasiumEnvironment::Make(facts, task); },
       .task_help = "parameters: none; episodes differ by the noise of their resets",
       .observation_help = facts.observation_help,
       .reward_help = facts.reward_help,
       .random_help = facts.random_help,
       .source = absl::StrCat("gymnasium 1.4.0 (MIT), ", facts.xml,
                              ", recorded with MuJoCo 3.3.0; Towers et al. 2024"),
       .suite = "Gymnasium v5",
       .has_success = false});
}

absl::StatusOr<std::unique_ptr<Environment>> GymnasiumEnvironment::Make(
    const TaskFacts& facts, std::shared_ptr<const Task> task) {
  MENTOR_ASSIGN_OR_RETURN(const std::string path,
                          ModelFile("gymnasium/envs/mujoco/assets", facts.xml));
  MENTOR_ASSIGN_OR_RETURN(std::shared_ptr<const mjModel> model, LoadModel(path, [](mjModel&) {}));
  const TaskFacts::Sizes sizes = {model->nq, model->nv, model->nu, model->nbody, model->nsite};
  if (sizes != facts.sizes) {
    return WrongModel(facts, path,
                      absl::StrCat("has ", Describe(sizes), ", not ", Describe(facts.sizes)));
  }
  std::vector<int> body_ids;
  for (const char* name : facts.bodies) {
    body_ids.push_back(mj_name2id(model.get(), mjOBJ_BODY, name));
    if (body_ids.back() < 0) return WrongModel(facts, path, absl::StrCat("has no body ", name));
  }
  return std::unique_ptr<Environment>(
      new GymnasiumEnvironment(facts, std::move(task), std::move(model), std::move(body_ids)));
}

GymnasiumEnvironment::GymnasiumEnvironment(const TaskFacts& facts, std::shared_ptr<const Task> task,
                                           std::shared_ptr<const mjModel> model,
                                           std::vector<int> body_ids)
    : facts_(facts),
      task_(std::move(task)),
      body_ids_(std::move(body_ids)),
      info_{.name = facts.name,
            .summary = facts.summary,
            .observation_size = facts.observation_size,
            .action_size = facts.sizes.nu,
            .episode_steps = facts.episode_steps,
            .action_low = -facts.control,
            .action_high = facts.control,
            .independent_episodes = !facts.ends_early},
      sim_(std::move(model)),
      observation_(facts.observation_size) {}

absl::Status GymnasiumEnvironment::SetTask(const v1::EnvironmentTask& task) {
  MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
  if (task.parameters_size() != 0) {
    return absl::InvalidArgumentError(absl::StrCat("task.parameters of ", info_.name, " has ",
                                                   task.parameters_size(),
                                                   " numbers, but it takes none; leave them out"));
  }
  if (task.goal_visible()) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.goal_visible of ", info_.name,
                     " is true, but what its observation shows is fixed; leave it out"));
  }
  has_task_ = true;
  steps_ = -1;
  return absl::OkStatus();
}

View GymnasiumEnvironment::Look(const Position& velocity) const {
  const mjModel& m = *sim_.model();
  const mjData& d = *sim_.data();
  return {.m = m,
          .d = d,
          .q = {d.qpos, static_cast<size_t>(m.nq)},
          .w = {d.qvel, static_cast<size_t>(m.nv)},
          .u = {d.ctrl, static_cast<size_t>(m.nu)},
          .body_ids = body_ids_,
          .dt = m.opt.timestep * facts_.frame_skip,
          .velocity = velocity};
}

// The rest of a reset, from positions and velocities that were just written into fresh data.
absl::Status GymnasiumEnvironment::Begin(std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(sim_.Guard([&] { sim_.Forward(); }));
  MENTOR_RETURN_IF_ERROR(sim_.CheckWarnings());
  const View view = Look();
  position_ = task_->Where(view);
  Observation writer(observation_);
  task_->Observe(view, writer);
  MENTOR_CHECK(writer.full());
  outcome_ = {};
  ended_ = false;
  steps_ = 0;
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return absl::OkStatus();
}

absl::Status GymnasiumEnvironment::Reset(const RandomStream& random, uint32_t episode,
                                         std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (!has_task_) {
    return absl::FailedPreconditionError(absl::StrCat(info_.name, ": Reset before SetTask"));
  }
  steps_ = -1;
  sim_.ResetData();
  mjData* d = sim_.data();
  Draws draws(random, episode);
  task_->Reset(draws, {d->qpos, static_cast<size_t>(facts_.sizes.nq)},
               {d->qvel, static_cast<size_t>(facts_.sizes.nv)});
  return Begin(observation);
}

absl::Status GymnasiumEnvironment::ResetTo(std::span<const double> positions,
                                           std::span<const double> velocities,
                                           std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (positions.size() != static_cast<size_t>(facts_.sizes.nq) ||
      velocities.size() != static_cast<size_t>(facts_.sizes.nv)) {
    return absl::InvalidArgumentError(
        absl::StrCat(positions.size(), " positions and ", velocities.size(), " velocities for ",
                     info_.name, ", expected ", facts_.sizes.nq, " and ", facts_.sizes.nv));
  }
  steps_ = -1;
  sim_.ResetData();
  std::copy(positions.begin(), positions.end(), sim_.data()->qpos);
  std::copy(velocities.begin(), velocities.end(), sim_.data()->qvel);
  return Begin(observation);
}

void GymnasiumEnvironment::ApplyAction(std::span<const float> action) {
  // Widened; MuJoCo clamps where it must.
  std::copy(action.begin(), action.end(), sim_.data()->ctrl);
}

absl::StatusOr<StepOutcome> GymnasiumEnvironment::Step(std::span<const float> action,
                                                       std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action, ended_));
  const int step = steps_;
  steps_ = -1;  // Until all is well: an episode ends with an error.
  ApplyAction(action);
  // No forward pass afterwards, as in the reference: what the simulator derives is of the step's
  // last internal stage.
  MENTOR_RETURN_IF_ERROR(sim_.Guard([&] {
    sim_.Steps(facts_.frame_skip);
    if (facts_.contact_forces) mj_rnePostConstraint(sim_.model(), sim_.data());
  }));
  MENTOR_RETURN_IF_ERROR(sim_.CheckWarnings());

  View view = Look();
  const Position now = task_->Where(view);
  for (int i = 0; i < 2; ++i) view.velocity[i] = (now[i] - position_[i]) / view.dt;
  position_ = now;
  Observation writer(observation_);
  task_->Observe(view, writer);
  outcome_ = task_->Reward(view);
  ended_ = outcome_.terminated;
  steps_ = step + 1;
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return StepOutcome{.reward = outcome_.reward,
                     .success = false,
                     .terminated = ended_,
                     .truncated = steps_ == info_.episode_steps};
}

// numbers := steps ended position[2] observation[D] simulator. Position and observation are saved
// since they come from derived quantities, which a restored simulator does not have.
absl::StatusOr<std::string> GymnasiumEnvironment::SaveState() const {
  MENTOR_CHECK(steps_ >= 0);
  std::vector<double> numbers = {static_cast<double>(steps_), ended_ ? 1.0 : 0.0, position_[0],
                                 position_[1]};
  numbers.insert(numbers.end(), observation_.begin(), observation_.end());
  numbers.resize(numbers.size() + sim_.state_size());
  sim_.GetState(std::span(numbers).last(sim_.state_size()));
  return EncodeState(info_.name, numbers);
}

absl::Status GymnasiumEnvironment::RestoreState(std::string_view state,
                                                std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (!has_task_) {
    return absl::FailedPreconditionError(absl::StrCat(info_.name, ": RestoreState before SetTask"));
  }
  const size_t size = 4 + observation_.size() + sim_.state_size();
  std::vector<double> numbers;
  MENTOR_RETURN_IF_ERROR(DecodeState(info_.name, state, size, size, &numbers));
  const double steps = numbers[0], ended = numbers[1];
  if (!(steps >= 0 && steps <= info_.episode_steps && steps == std::floor(steps))) {
    return absl::InvalidArgumentError(absl::StrCat("state of ", info_.name, ": has ", steps,
                                                   " steps, expected 0 to ", info_.episode_steps));
  }
  if (ended != 0 && ended != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("state of ", info_.name, ": the mark of its end is ", ended, ", not 0 or 1"));
  }
  steps_ = static_cast<int>(steps);
  ended_ = ended == 1;
  position_ = {numbers[2], numbers[3]};
  std::copy_n(numbers.begin() + 4, observation_.size(), observation_.begin());
  outcome_ = {};
  sim_.SetState(std::span(numbers).last(sim_.state_size()));
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return absl::OkStatus();
}

std::vector<double> GymnasiumEnvironment::Info() const {
  return {outcome_.info.begin(), outcome_.info.begin() + facts_.info_keys.size()};
}

}  // namespace mentor::envs::gymnasium
