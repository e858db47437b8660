#include "envs/metaworld/metaworld_environment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/status.h"
#include "envs/metaworld/world.h"

namespace mentor::envs::metaworld {
namespace {

constexpr int kHandResetSteps = 50;
constexpr double kActionScale = 0.01;  // Metres of mocap motion for an action of 1.
// Limits of the hand in observations.
constexpr double kHandLow[3] = {-0.525, 0.348, -0.0525};
constexpr double kHandHigh[3] = {0.525, 1.025, 0.7};
// low + (high - low) * u may round to a little more than high.
constexpr double kBoxRounding = 1e-9;

constexpr char kObservationHelp[] =
    "18 measured now: hand (x y z), opening of the gripper, then for each of two objects position "
    "(x y z) and orientation (4), zeros where there is no second one; the same 18 before the last "
    "step; goal (x y z), zeros unless goal_visible. Hands are clipped to (-0.525, 0.348, -0.0525) "
    "to (0.525, 1.025, 0.7), the opening lies in [0, 1]";
constexpr char kRewardHelp[] =
    "shaped, at most 10 a step, made of the terms in info: near_object and grasp_success are 0 or "
    "1, grasp_reward and in_place_reward in [0, 1], obj_to_target a distance in metres; success "
    "does not end an episode. The formula is Reward in the task's file in envs/metaworld/tasks/";
constexpr char kRandomHelp[] =
    "in episodes nothing: a reset is a function of the task. Tasks are drawn uniformly from their "
    "box, again when refused";

constexpr int kEpisodeNumbers = sizeof(Episode) / sizeof(double);
static_assert(sizeof(Episode) == kEpisodeNumbers * sizeof(double));

absl::Status Wrong(const TaskEntry& entry, const std::string& what) {
  return absl::FailedPreconditionError(absl::StrCat("model ", entry.facts.xml, " of ", entry.name,
                                                    ": ", what,
                                                    "; expected the models of metaworld 3.1.1"));
}

std::vector<double> DrawRandVec(const RandVecBox& box, const RandomStream& random, uint32_t index) {
  for (uint32_t attempt = 0;; ++attempt) {
    RandVec v{.size = box.size};
    for (int i = 0; i < v.size; ++i) {
      v.value[i] =
          box.low[i] + (box.high[i] - box.low[i]) * random.Uniform(index, attempt * box.size + i);
    }
    if (!box.refuses(v)) return {v.value.begin(), v.value.begin() + v.size};
  }
}

std::string DescribeTask(const TaskFacts& facts) {
  const RandVecBox& box = facts.rand_vec;
  const auto list = [](const auto& numbers, int n) {
    std::string text = "(";
    for (int i = 0; i < n; ++i) absl::StrAppend(&text, i ? ", " : "", numbers[i]);
    return text + ")";
  };
  std::string text = absl::StrCat("parameters: rand_vec, ", box.size, " numbers, drawn from ",
                                  list(box.low, box.size), " to ", list(box.high, box.size));
  if (const std::string when = box.refused_when(); !when.empty())
    absl::StrAppend(&text, "; refused when ", when);
  absl::StrAppend(
      &text, "\ngoal_visible: the last three numbers of the observation are the goal, clipped to ",
      list(facts.goal_low, 3), " to ", list(facts.goal_high, 3), "; zeros otherwise");
  return text;
}

}  // namespace

void AddTask(TaskEntry entry) {
  const TaskEntry copy = entry;
  Registry<TaskEntry>::Instance().Add(std::move(entry));
  const TaskEntry* kept = FindTask(copy.name);
  RegisterEnvironment(
      {.name = copy.name,
       .summary = copy.facts.summary,
       .options = {},
       .make = [kept](const OptionValues&) { return MetaWorldEnvironment::Make(*kept); },
       .draw_parameters =
           [kept](const OptionValues&, const RandomStream& random, uint32_t index) {
             return DrawRandVec(kept->facts.rand_vec, random, index);
           },
       .task_help = DescribeTask(copy.facts),
       .observation_help = kObservationHelp,
       .reward_help = kRewardHelp,
       .random_help = kRandomHelp,
       .source = absl::StrCat("metaworld 3.1.1 (MIT), ", copy.facts.xml,
                              ", with MuJoCo 3.3.0; Yu et al. 2019"),
       .suite = "Meta-World v3"});
}

absl::StatusOr<std::unique_ptr<Environment>> MetaWorldEnvironment::Make(const TaskEntry& entry) {
  MENTOR_ASSIGN_OR_RETURN(std::shared_ptr<const mjModel> model, LoadScene(entry.facts.xml));
  if (model->nu != 2 || model->nmocap != 1)
    return Wrong(entry, "has no mocap arm with two actuators");
  Names names(model.get());
  std::unique_ptr<MetaWorldEnvironment> environment(new MetaWorldEnvironment(entry, model, names));
  if (!environment->missing_.empty()) {
    return Wrong(entry, absl::StrCat("has no ", absl::StrJoin(environment->missing_, ", no ")));
  }
  return environment;
}

MetaWorldEnvironment::MetaWorldEnvironment(const TaskEntry& entry,
                                           std::shared_ptr<const mjModel> model, Names& names)
    : facts_(entry.facts),
      world_(std::move(model), names),
      task_(entry.make(names)),
      missing_(names.missing()) {
  info_ = {.name = entry.name,
           .summary = entry.facts.summary,
           .observation_size = kObservationSize,
           .action_size = kActionSize,
           .episode_steps = kEpisodeSteps,
           .independent_episodes = true};
}

absl::Status MetaWorldEnvironment::SetTask(const v1::EnvironmentTask& task) {
  MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
  const RandVecBox& box = facts_.rand_vec;
  if (task.parameters_size() != box.size) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.parameters of ", info_.name, " has ", task.parameters_size(),
                     " numbers; give the rand_vec, ", box.size, " numbers"));
  }
  RandVec v{.size = box.size};
  for (int i = 0; i < box.size; ++i) {
    v.value[i] = task.parameters(i);
    if (!(v.value[i] >= box.low[i] - kBoxRounding && v.value[i] <= box.high[i] + kBoxRounding)) {
      return absl::InvalidArgumentError(absl::StrCat("task.parameters[", i, "] of ", info_.name,
                                                     " is ", v.value[i], "; give a number from ",
                                                     box.low[i], " to ", box.high[i]));
    }
  }
  if (box.refuses(v)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "task.parameters of ", info_.name, " are (", absl::StrJoin(task.parameters(), ", "),
        "), refused because ", box.refused_when(), "; draw another vector"));
  }
  v_ = v;
  goal_visible_ = task.goal_visible();
  steps_ = -1;
  return absl::OkStatus();
}

MetaWorldEnvironment::Measured MetaWorldEnvironment::Measure() const {
  const Vec3 hand = world_.Hand();
  const Objects objects = task_->Observe(world_);
  Measured m;
  double* next = std::copy_n(hand.value, 3, m.data());
  *next++ = world_.Opening();
  next = std::copy_n(objects.position.value, 3, next);
  next = std::copy_n(objects.orientation.value, 4, next);
  next = std::copy_n(objects.second_position.value, 3, next);
  next = std::copy_n(objects.second_orientation.value, 4, next);
  return m;
}

void MetaWorldEnvironment::Assemble(const Measured& now, const Measured& before, bool clip) {
  double* o = observation_.data();
  std::copy(now.begin(), now.end(), o);
  std::copy(before.begin(), before.end(), o + 18);
  for (int i = 0; i < 3; ++i) {
    o[36 + i] = goal_visible_ ? episode_.target[i] : 0;
    if (!clip) continue;
    o[i] = Clip(o[i], kHandLow[i], kHandHigh[i]);
    o[18 + i] = Clip(o[18 + i], kHandLow[i], kHandHigh[i]);
    if (goal_visible_) o[36 + i] = Clip(o[36 + i], facts_.goal_low[i], facts_.goal_high[i]);
  }
}

// Fifty control steps from nothing, with the fingers opening and the mocap body held at hand0. The
// result follows from the model alone. If the first pass moved no body (sites have no effect), it
// is the same for every goal. Then it is remembered from the first goal, as the state before the
// last simulator step. That step itself is always made. It leaves kinematics that the state does
// not hold and the statements read, those of moved sites among them.
void MetaWorldEnvironment::HandReset() {
  Simulation& sim = world_.sim();
  SettledResets& settled = SettledResets::Instance();
  const bool moved = sim.bodies_moved();
  const std::string key = info_.name + " hand" + sim.physics_tag();
  std::vector<double> state(sim.state_size());
  const size_t bytes = state.size() * sizeof(double);
  if (const auto found = moved ? nullptr : settled.Find(key)) {
    MENTOR_CHECK(found->size() == bytes);
    std::memcpy(state.data(), found->data(), bytes);
    sim.SetState(state);
    world_.Steps(1);
    return;
  }
  sim.ResetData();
  for (int i = 0; i < kHandResetSteps; ++i) {
    world_.SetMocap(facts_.hand0);
    world_.SetControls(-1, 1);
    world_.Steps(i + 1 < kHandResetSteps ? kFrameSkip : kFrameSkip - 1);
  }
  sim.GetState(state);
  world_.Steps(1);
  if (!moved && sim.CheckWarnings().ok())
    settled.Add(key, std::string(reinterpret_cast<const char*>(state.data()), bytes));
}

// The reference runs the task's reset twice, and the second pass sees what the first wrote into the
// model. The hand reset of the first pass changes no bit of the result, so it is left out.
absl::Status MetaWorldEnvironment::SettleReset() {
  Simulation& sim = world_.sim();
  const absl::Status status = sim.Guard([&] {
    sim.RestoreModel();
    sim.ResetData();
    world_.Forward();
    for (int pass = 1; pass <= 2; ++pass) {
      if (pass == 2) HandReset();
      episode_ = {};
      // No forward pass in between: mj_step leaves kinematics of the state before its last
      // integration, and the statements read these.
      episode_.tcp0 = world_.Tcp();
      task_->Reset(*v_, world_, episode_);
    }
    task_->Live(world_, episode_);
    measured_ = Measure();
    Assemble(measured_, measured_, /*clip=*/false);
  });
  MENTOR_RETURN_IF_ERROR(status);
  return sim.CheckWarnings();
}

std::string MetaWorldEnvironment::TaskKey() const {
  std::string key = info_.name;
  key += goal_visible_ ? '+' : '-';
  key.append(reinterpret_cast<const char*>(v_->value.data()), v_->size * sizeof(double));
  key += world_.sim().physics_tag();
  return key;
}

absl::Status MetaWorldEnvironment::Reset(const RandomStream&, uint32_t,
                                         std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (!v_) return absl::FailedPreconditionError(absl::StrCat(info_.name, ": Reset before SetTask"));
  steps_ = -1;
  const std::string key = TaskKey();
  if (const auto settled = SettledResets::Instance().Find(key))
    return RestoreState(*settled, observation);
  if (absl::Status status = SettleReset(); !status.ok())
    return WithPrefix(info_.name + ": reset: ", status);
  steps_ = 0;
  outcome_ = {};
  MENTOR_ASSIGN_OR_RETURN(std::string settled, SaveState());
  SettledResets::Instance().Add(key, std::move(settled));
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return absl::OkStatus();
}

void MetaWorldEnvironment::ApplyAction(std::span<const float> action) {
  const double effort = action[3];
  Vec3 mocap = world_.Mocap();
  for (int i = 0; i < 3; ++i) {
    mocap[i] = Clip(mocap[i] + Clip(action[i], -1, 1) * kActionScale, facts_.mocap_low[i],
                    facts_.mocap_high[i]);
  }
  world_.SetMocap(mocap);
  world_.SetControls(effort, -effort);  // MuJoCo clamps them.
}

absl::StatusOr<StepOutcome> MetaWorldEnvironment::Step(std::span<const float> action,
                                                       std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action));
  // Widened first: all arithmetic is in double.
  const std::array<double, 4> a = {action[0], action[1], action[2], action[3]};
  Simulation& sim = world_.sim();
  const int step = steps_;
  steps_ = -1;  // Until all is well: an episode ends with an error.
  const absl::Status status = sim.Guard([&] {
    ApplyAction(action);
    world_.Steps(kFrameSkip);
    world_.Forward();
  });
  MENTOR_RETURN_IF_ERROR(status);
  MENTOR_RETURN_IF_ERROR(sim.CheckWarnings());

  const Measured now = Measure();
  task_->Live(world_, episode_);
  Assemble(now, measured_, /*clip=*/true);
  measured_ = now;
  const double* o = observation_.data();
  StepView view = {.world = world_,
                   .a = a,
                   .hand = {o[0], o[1], o[2]},
                   .o = {o[4], o[5], o[6]},
                   .o2 = {o[11], o[12], o[13]},
                   .g = o[3],
                   .q = {o[7], o[8], o[9], o[10]},
                   .tcp = world_.Tcp(),
                   .hand0 = facts_.hand0};
  view.Measure(episode_);
  outcome_ = task_->Reward(view, episode_);
  if (!std::isfinite(outcome_.reward)) {
    return absl::OutOfRangeError(
        absl::StrCat(info_.name, ": the reward of step ", step + 1,
                     " is not finite: the task's parameters do not suit its reward"));
  }
  steps_ = step + 1;
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return StepOutcome{.reward = outcome_.reward,
                     .success = outcome_.success,
                     .terminated = false,
                     .truncated = steps_ == kEpisodeSteps};
}

// numbers := goal_visible v[6] steps measured[18] observation[39] episode simulation
absl::StatusOr<std::string> MetaWorldEnvironment::SaveState() const {
  MENTOR_CHECK(steps_ >= 0);
  std::vector<double> numbers = {goal_visible_ ? 1.0 : 0.0};
  numbers.insert(numbers.end(), v_->value.begin(), v_->value.end());
  numbers.push_back(steps_);
  numbers.insert(numbers.end(), measured_.begin(), measured_.end());
  numbers.insert(numbers.end(), observation_.begin(), observation_.end());
  const double* episode = reinterpret_cast<const double*>(&episode_);
  numbers.insert(numbers.end(), episode, episode + kEpisodeNumbers);
  world_.sim().Save(&numbers);
  return EncodeState(info_.name, numbers);
}

absl::Status MetaWorldEnvironment::RestoreState(std::string_view state,
                                                std::span<double> observation) {
  constexpr size_t kFixed = 1 + 6 + 1 + 18 + kObservationSize + kEpisodeNumbers;
  constexpr size_t kWritesMax = 16;
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  if (!v_)
    return absl::FailedPreconditionError(absl::StrCat(info_.name, ": RestoreState before SetTask"));
  const auto bad = [this](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("state of ", info_.name, ": ", what));
  };
  Simulation& sim = world_.sim();
  const size_t least = kFixed + 1 + sim.state_size();
  std::vector<double> numbers;
  MENTOR_RETURN_IF_ERROR(DecodeState(info_.name, state, least, least + 5 * kWritesMax, &numbers));

  const double* next = numbers.data();
  if (*next++ != (goal_visible_ ? 1 : 0) || !std::equal(v_->value.begin(), v_->value.end(), next)) {
    return bad("belongs to another task");
  }
  next += 6;
  const double steps = *next++;
  if (!(steps >= 0 && steps <= kEpisodeSteps && steps == std::floor(steps))) {
    return bad(absl::StrCat("has ", steps, " steps, expected 0 to ", kEpisodeSteps));
  }
  const double* measured = next;
  const double* shown = measured + measured_.size();
  const double* episode = shown + kObservationSize;
  const std::span<const double> simulation = std::span(numbers).subspan(kFixed);
  if (const std::string wrong = sim.WrongIn(simulation); !wrong.empty()) return bad(wrong);

  steps_ = static_cast<int>(steps);
  std::copy_n(measured, measured_.size(), measured_.begin());
  std::copy_n(shown, kObservationSize, observation_.begin());
  std::copy_n(episode, kEpisodeNumbers, reinterpret_cast<double*>(&episode_));
  outcome_ = {};
  sim.Restore(simulation);
  std::copy(observation_.begin(), observation_.end(), observation.begin());
  return absl::OkStatus();
}

const std::vector<std::string>& MetaWorldEnvironment::InfoKeys() const {
  static const std::vector<std::string> keys = {
      "success",         "near_object",   "grasp_success",  "grasp_reward",
      "in_place_reward", "obj_to_target", "unscaled_reward"};
  return keys;
}

std::vector<double> MetaWorldEnvironment::Info() const {
  const Outcome& o = outcome_;
  return {o.success ? 1.0 : 0.0,
          o.near_object.value,
          o.grasp_success.value,
          o.grasp_reward,
          o.in_place_reward,
          o.obj_to_target,
          o.reward};
}

bool MetaWorldEnvironment::ScriptedAction(std::span<float> action) const {
  if (steps_ < 0 || action.size() != kActionSize) return false;
  const auto at = [this](int i) { return Vec3{measured_[i], measured_[i + 1], measured_[i + 2]}; };
  const Sight sight = {.hand = at(0),
                       .o = at(4),
                       .o2 = at(11),
                       .goal = episode_.target,
                       .g = measured_[3],
                       .q = {measured_[7], measured_[8], measured_[9], measured_[10]}};
  const Advice advice = task_->Script(sight);
  for (int i = 0; i < 3; ++i)
    action[i] = static_cast<float>(Clip(advice.gain * (advice.to[i] - sight.hand[i]), -1, 1));
  action[3] = static_cast<float>(Clip(advice.grip, -1, 1));
  return true;
}

}  // namespace mentor::envs::metaworld
