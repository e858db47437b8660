// domain_randomization: each lifetime has its own physics and control latency (Tobin et al. 2017,
// Peng et al. 2018; docs/algorithms/small_environments.md). Only the key of the lifetime decides
// them, so all episodes of a lifetime share them, on any actor.
//
// Each body, geom, joint and actuator has its own factor (envs/physics.h): mass (with inertia),
// friction, damping, gain. A range from 1 to 1 leaves its kind unchanged. If all ranges do, MuJoCo
// is not needed: latency alone works on every environment.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/exact_math.h"
#include "envs/mujoco_environment.h"
#include "envs/wrapper.h"

namespace mentor::envs::domain_randomization {
namespace {

constexpr char kName[] = "domain_randomization";

// Kinds of draws; each is the step of its random numbers. Part of every result: never renumber.
enum Kind : uint32_t { kMass = 0, kFriction = 1, kDamping = 2, kGain = 3, kLatency = 4 };
constexpr const char* kKinds[] = {"mass", "friction", "damping", "gain"};

struct Ranges {
  double low[4], high[4];
  bool logarithmic = false;
  int latency_min = 0, latency_max = 0;

  bool Changes(int kind) const { return low[kind] != 1 || high[kind] != 1; }
  bool ChangesPhysics() const {
    return Changes(kMass) || Changes(kFriction) || Changes(kDamping) || Changes(kGain);
  }
};

BoundOptions<Ranges> Options() {
  std::vector<BoundOption<Ranges>> options;
  const char* const what[] = {"mass and inertia of each body", "friction of each geom",
                              "damping of each joint", "force of each actuator"};
  for (int kind = 0; kind < 4; ++kind) {
    const auto add = [&](auto ends, const char* end, const char* which) {
      options.emplace_back([ends, kind](Ranges& ranges) -> double& { return (ranges.*ends)[kind]; },
                           absl::StrCat(kKinds[kind], "_", end), "1", 1e-3, 1e3,
                           absl::StrCat(which, " factor on the ", what[kind], "."));
    };
    add(&Ranges::low, "low", "Least");
    add(&Ranges::high, "high", "Greatest");
  }
  options.push_back({&Ranges::logarithmic,
                     "distribution",
                     {{"uniform", false}, {"log_uniform", true}},
                     "Of factors between low and high."});
  const std::string late =
      " number of control steps by which actions come late; before the first arrives, actions are "
      "zeros.";
  options.push_back({&Ranges::latency_min, "latency_min", "0", 0, 100, "Least" + late});
  options.push_back({&Ranges::latency_max, "latency_max", "0", 0, 100, "Greatest" + late});
  return options;
}

const auto kOptions = Options();

absl::StatusOr<Ranges> ReadRanges(const OptionValues& options) {
  const Ranges ranges = kOptions.Read(options);
  for (int kind = 0; kind < 4; ++kind) {
    const std::string name = kKinds[kind];
    if (ranges.low[kind] <= ranges.high[kind]) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, "_low is ", ranges.low[kind],
                                                   ", greater than ", name, "_high (",
                                                   ranges.high[kind], "); give low <= high"));
  }
  if (ranges.latency_min > ranges.latency_max) {
    return absl::InvalidArgumentError(absl::StrCat("latency_min is ", ranges.latency_min,
                                                   ", greater than latency_max (",
                                                   ranges.latency_max, "); give min <= max"));
  }
  return ranges;
}

void Draw(const Ranges& ranges, Kind kind, const RandomStream& random,
          std::vector<double>* factors) {
  const double low = ranges.low[kind], high = ranges.high[kind];
  for (size_t i = 0; i < factors->size(); ++i) {
    const double u = random.Uniform(kind, static_cast<uint32_t>(i));
    if (low == high) {
      (*factors)[i] = low;
    } else if (ranges.logarithmic) {
      const double log_low = exact::Log(low);
      (*factors)[i] = exact::Exp(log_low + u * (exact::Log(high) - log_low));
    } else {
      (*factors)[i] = low + u * (high - low);
    }
  }
}

class DomainRandomization : public Wrapper {
 public:
  // simulation: the inner environment's; null when physics stay as they are.
  DomainRandomization(std::unique_ptr<Environment> inner, const Ranges& ranges,
                      Simulation* simulation)
      : Wrapper(std::move(inner)), ranges_(ranges), simulation_(simulation) {
    queue_.reserve(static_cast<size_t>(ranges_.latency_max) * info_.action_size);
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(BeginLifetime(random));
    MENTOR_RETURN_IF_ERROR(inner().Reset(random, episode, observation));
    queue_.assign(Latency() * info_.action_size, 0.0f);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    if (queue_.empty()) return inner().Step(action, observation);
    // Checked now, not when the action is done.
    MENTOR_RETURN_IF_ERROR(CheckStep(info_, /*steps=*/0, action));
    const std::span<const float> delayed = std::span(queue_).first(info_.action_size);
    MENTOR_ASSIGN_OR_RETURN(const StepOutcome outcome, inner().Step(delayed, observation));
    std::move(queue_.begin() + info_.action_size, queue_.end(), queue_.begin());
    std::copy(action.begin(), action.end(), queue_.end() - info_.action_size);
    return outcome;
  }

  // numbers := seed_low seed_high phase lifetime queued actions, oldest first; then the inner
  // environment's state. Factors and latency follow from the first four.
  absl::StatusOr<std::string> SaveState() const override {
    std::vector<double> numbers = {
        static_cast<double>(lifetime_.seed & 0xffffffff), static_cast<double>(lifetime_.seed >> 32),
        static_cast<double>(lifetime_.phase), static_cast<double>(lifetime_.lifetime)};
    numbers.insert(numbers.end(), queue_.begin(), queue_.end());
    MENTOR_ASSIGN_OR_RETURN(const std::string inner_state, inner().SaveState());
    return EncodeState(kName, numbers) + inner_state;
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    constexpr size_t kFixed = 4;
    std::vector<double> n;
    std::string_view rest;
    MENTOR_RETURN_IF_ERROR(DecodeState(
        kName, state, kFixed, kFixed + static_cast<size_t>(ranges_.latency_max) * info_.action_size,
        &n, &rest));
    constexpr double kWord = 4294967295.0;
    const double greatest[kFixed] = {kWord, kWord, 15, kWord};
    for (size_t i = 0; i < kFixed; ++i) {
      if (!(n[i] >= 0 && n[i] <= greatest[i] && n[i] == std::floor(n[i]))) {
        return absl::InvalidArgumentError(
            absl::StrCat("state of domain_randomization: number ", i, " is ", n[i],
                         ", expected an integer from 0 to ", greatest[i]));
      }
    }
    MENTOR_RETURN_IF_ERROR(
        BeginLifetime({.seed = static_cast<uint64_t>(n[1]) << 32 | static_cast<uint64_t>(n[0]),
                       .phase = static_cast<Phase>(static_cast<uint32_t>(n[2])),
                       .lifetime = static_cast<uint32_t>(n[3])}));
    if (n.size() != kFixed + Latency() * info_.action_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("state of domain_randomization: has ", n.size() - kFixed,
                       " numbers of queued actions, expected ", Latency() * info_.action_size));
    }
    MENTOR_RETURN_IF_ERROR(inner().RestoreState(rest, observation));
    queue_.assign(n.begin() + kFixed, n.end());
    return absl::OkStatus();
  }

 private:
  // Delay of actions in this lifetime, in control steps.
  size_t Latency() const {
    return ranges_.latency_min +
           lifetime_.Below(ranges_.latency_max - ranges_.latency_min + 1, kLatency, 0);
  }

  // Sets the physics of a key's lifetime, unless the simulation has them already. A reset or a
  // restored state must follow.
  absl::Status BeginLifetime(const RandomStream& random) {
    if (begun_ && random.seed == lifetime_.seed && random.phase == lifetime_.phase &&
        random.lifetime == lifetime_.lifetime)
      return absl::OkStatus();
    begun_ = false;
    lifetime_ = {.seed = random.seed,
                 .purpose = Purpose::kDomainRandomization,
                 .phase = random.phase,
                 .lifetime = random.lifetime};
    if (simulation_ != nullptr) {
      PhysicsFactors factors = PhysicsFactors::Nominal(*simulation_->model());
      Draw(ranges_, kMass, lifetime_, &factors.mass);
      Draw(ranges_, kFriction, lifetime_, &factors.friction);
      Draw(ranges_, kDamping, lifetime_, &factors.damping);
      Draw(ranges_, kGain, lifetime_, &factors.gain);
      MENTOR_RETURN_IF_ERROR(simulation_->SetPhysics(factors));
    }
    begun_ = true;
    return absl::OkStatus();
  }

  // Fixed after construction.
  const Ranges ranges_;
  Simulation* const simulation_;
  // The lifetime.
  bool begun_ = false;
  RandomStream lifetime_;
  // The episode.
  std::vector<float> queue_;  // [latency, A]: waiting actions, oldest first.
};

absl::StatusOr<Simulation*> FindSimulation(Environment& environment, const Ranges& ranges) {
  auto* mujoco = dynamic_cast<MuJoCoEnvironment*>(&environment.unwrapped());
  if (mujoco == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(environment.info().name,
                     " has no MuJoCo physics to randomise; only latency_min and latency_max do "
                     "something there: leave the ranges of mass, friction, damping and gain at 1"));
  }
  Simulation& simulation = mujoco->simulation();
  const mjModel& m = *simulation.model();
  if (m.nflex > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        environment.info().name, " has flexible bodies, whose physics cannot be randomised"));
  }
  for (int i = 0; i < m.nu && ranges.Changes(kGain); ++i) {
    if (m.actuator_gaintype[i] <= mjGAIN_AFFINE && m.actuator_biastype[i] <= mjBIAS_AFFINE)
      continue;
    return absl::InvalidArgumentError(
        absl::StrCat("actuator ", i, " of ", environment.info().name,
                     " has neither fixed nor affine gain; leave gain_low and gain_high at 1"));
  }
  if (!simulation.ClaimPhysics()) {
    return absl::InvalidArgumentError(
        "the environment's physics are randomised by another domain_randomization already; put all "
        "ranges into one");
  }
  return &simulation;
}

using Settings = std::vector<std::pair<std::string, std::string>>;

const Settings kPhysics = {{"mass_low", "0.7"},    {"mass_high", "1.5"},   {"friction_low", "0.5"},
                           {"friction_high", "2"}, {"damping_low", "0.5"}, {"damping_high", "2"},
                           {"gain_low", "0.8"},    {"gain_high", "1.2"}};

Settings With(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Other masses, friction, damping, gains and control latency for each lifetime.",
    .options = kOptions.table(),
    .examples = {{{"latency_min", "1"}, {"latency_max", "4"}},
                 kPhysics,
                 With(kPhysics, {{"distribution", "log_uniform"}, {"latency_max", "2"}})},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      MENTOR_ASSIGN_OR_RETURN(const Ranges ranges, ReadRanges(options));
      Simulation* simulation = nullptr;
      if (ranges.ChangesPhysics()) {
        MENTOR_ASSIGN_OR_RETURN(simulation, FindSimulation(*inner, ranges));
      }
      return std::make_unique<DomainRandomization>(std::move(inner), ranges, simulation);
    },
});

}  // namespace
}  // namespace mentor::envs::domain_randomization
