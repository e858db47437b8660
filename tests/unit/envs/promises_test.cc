// The checks of promises find those that are broken: environments that break one each.
#include "envs/promises.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "common/check.h"
#include "envs/environment.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Contains;

enum class Flaw {
  kNone,
  kCountsResets,   // A generator of its own.
  kForgetsSpeed,   // The state is not everything.
  kInfinite,       // Numbers that are not finite.
  kHuge,           // Numbers beyond 32 bits.
  kEndsEarly,      // Though independent episodes have all their steps.
  kTakesAnything,  // Bad calls are not refused.
  kTakesStates,    // Accepts bad states, too.
  kCannotSave,     // Says so.
  kSucceeds,       // No flaw: each fifth step reports success.
  kLeavesBehind,   // Each episode of an instance begins farther away.
  kLeavesLate,     // The same from the hundredth episode on, in a simulator.
  kCutsEarly,      // Truncates before the limit.
  kMayCutEarly,    // No flaw: a simulator may.
};

constexpr int kSteps = 20;

// A point that is pushed.
class Point : public Environment {
 public:
  explicit Point(Flaw flaw) : flaw_(flaw) {
    info_ = {.name = "point", .summary = "", .observation_size = 2, .action_size = 1};
    info_.episode_steps = kSteps;
    info_.saves_state = flaw != Flaw::kCannotSave;
    info_.independent_episodes = flaw < Flaw::kLeavesBehind;
    if (flaw == Flaw::kLeavesLate || flaw == Flaw::kMayCutEarly) info_.name = "host";
  }
  const EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    if (flaw_ != Flaw::kTakesAnything) {
      MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
      if (task.parameters_size() != 0) return absl::InvalidArgumentError("takes none");
    }
    has_task_ = true;
    steps_ = -1;
    return absl::OkStatus();
  }
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_task_) return absl::FailedPreconditionError("Reset before SetTask");
    static std::atomic<int> resets = 0;
    place_ = random.Uniform(episode, 0);
    if (flaw_ == Flaw::kCountsResets) place_ += ++resets;
    ++episodes_;
    if (flaw_ == Flaw::kLeavesBehind) place_ += episodes_;
    if (flaw_ == Flaw::kLeavesLate && episodes_ > 100) place_ += 1;
    speed_ = 0;
    steps_ = 0;
    Show(observation);
    return absl::OkStatus();
  }
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    const bool cuts = flaw_ == Flaw::kCutsEarly || flaw_ == Flaw::kMayCutEarly;
    if (flaw_ != Flaw::kTakesAnything) {
      MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
      MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action, cuts && steps_ >= 9));
    }
    speed_ += 0.1 * action[0];
    place_ += speed_;
    if (flaw_ == Flaw::kInfinite && steps_ == 7) place_ = 1 / (place_ - place_);
    if (flaw_ == Flaw::kHuge && steps_ == 7) place_ = 1e39;
    ++steps_;
    if (observation.size() == 2) Show(observation);
    return StepOutcome{.reward = place_,
                       .success = flaw_ == Flaw::kSucceeds && steps_ % 5 == 0,
                       .terminated = flaw_ == Flaw::kEndsEarly && steps_ == 9,
                       .truncated = steps_ == kSteps || (cuts && steps_ == 9)};
  }
  absl::StatusOr<std::string> SaveState() const override {
    if (!info_.saves_state) return absl::FailedPreconditionError("saves no states");
    const double numbers[] = {place_, flaw_ == Flaw::kForgetsSpeed ? 0 : speed_,
                              static_cast<double>(steps_)};
    return EncodeState("point", numbers);
  }
  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    if (!info_.saves_state) return absl::FailedPreconditionError("saves no states");
    std::vector<double> numbers;
    const absl::Status status = DecodeState("point", state, 3, 3, &numbers);
    if (!status.ok()) return flaw_ == Flaw::kTakesStates ? absl::OkStatus() : status;
    place_ = numbers[0];
    speed_ = numbers[1];
    if (!(numbers[2] >= 0 && numbers[2] <= kSteps && numbers[2] == std::floor(numbers[2])))
      return absl::InvalidArgumentError("steps");
    steps_ = static_cast<int>(numbers[2]);
    Show(observation);
    return absl::OkStatus();
  }

 private:
  void Show(std::span<double> observation) const {
    observation[0] = place_;
    observation[1] = steps_;
  }

  const Flaw flaw_;
  EnvironmentInfo info_;
  bool has_task_ = false;
  double place_ = 0, speed_ = 0;
  int steps_ = -1, episodes_ = 0;
};

Subject Of(Flaw flaw) {
  return {.name = "point",
          .make = [flaw]() -> absl::StatusOr<std::unique_ptr<Environment>> {
            return std::make_unique<Point>(flaw);
          },
          .task =
              [flaw](uint32_t) {
                v1::EnvironmentTask task;
                task.set_environment(Point(flaw).info().name);
                return task;
              }};
}

// The promises that are broken, in words.
std::vector<std::string> Broken(Flaw flaw) {
  const Subject subject = Of(flaw);
  const CheckReport report = CheckEnvironment(
      subject, [&] { return absl::StatusOr<std::string>(EpisodeDigest(subject)); });
  std::vector<std::string> broken;
  for (const Promise& promise : report.promises) {
    if (!promise.complaints.empty()) broken.push_back(promise.what);
    for (const std::string& complaint : promise.complaints) CHECK(Contains(report.text, complaint));
  }
  CHECK(report.kept() == broken.empty());
  CHECK(Contains(report.text, "BROKEN") == !broken.empty());
  return broken;
}

bool Starts(const std::vector<std::string>& broken, const std::string& with) {
  return std::any_of(broken.begin(), broken.end(),
                     [&](const std::string& what) { return what.starts_with(with); });
}

TEST_CASE("check: each broken promise is found, and no other one", "[unit]") {
  CHECK(Broken(Flaw::kNone).empty());
  CHECK(Starts(Broken(Flaw::kCountsResets), "the same bits in two runs"));
  CHECK(Starts(Broken(Flaw::kCountsResets), "the same bits in another process"));
  CHECK(Broken(Flaw::kForgetsSpeed) ==
        std::vector<std::string>{"save points: a saved episode goes on bit for bit"});
  CHECK(Starts(Broken(Flaw::kInfinite), "sizes, finite numbers"));
  CHECK(Starts(Broken(Flaw::kHuge), "sizes, finite numbers"));
  CHECK(Starts(Broken(Flaw::kEndsEarly), "sizes, finite numbers"));
  CHECK(Starts(Broken(Flaw::kTakesStates), "states that are cut"));
  CHECK(Starts(Broken(Flaw::kCutsEarly), "sizes, finite numbers"));
  CHECK(Broken(Flaw::kMayCutEarly).empty());
  CHECK(CheckBadCalls(Of(Flaw::kTakesAnything)).size() >= 4);
  CHECK(CheckManySteps(Of(Flaw::kNone), 100).complaints.empty());
  CHECK(CheckManySteps(Of(Flaw::kInfinite), 100).complaints.size() == 1);
}

TEST_CASE("check: of long and wide episodes the first steps are compared", "[unit]") {
  const auto steps = [](int observation_size, int episode_steps) {
    EnvironmentInfo info{
        .name = "long", .summary = "", .observation_size = observation_size, .action_size = 1};
    info.episode_steps = episode_steps;
    return CheckActions(info, 0).size();
  };
  CHECK(steps(3, 1) == 1);
  CHECK(steps(348, 1000) == 1000);
  CHECK(steps(3, 1'000'000) == 10'000);
  CHECK(steps(4999, 1'000'000) == 1000);
  CHECK(steps(65536, 1'000'000) == 100);
  CHECK(steps(65536, 40) == 40);
}

TEST_CASE("check: successes in random steps are counted, and none is said", "[unit]") {
  const auto text = [](Flaw flaw) {
    const Subject subject = Of(flaw);
    const CheckReport report = CheckEnvironment(
        subject, [&] { return absl::StatusOr<std::string>(EpisodeDigest(subject)); });
    CHECK(report.kept());
    return report.text;
  };
  CHECK(Contains(text(Flaw::kSucceeds), "success: 200 of 1000 random steps report it\n"));
  CHECK(Contains(text(Flaw::kNone), "kept          bad calls are refused and change nothing\n"));
  CHECK(Contains(text(Flaw::kNone), "success: none of 1000 random steps reports it; where"));
}

TEST_CASE("check: what outlives a reset is found, also where episodes are not independent",
          "[unit]") {
  for (const Flaw flaw : {Flaw::kLeavesBehind, Flaw::kLeavesLate}) {
    const Complaints found = CheckSameBits(Of(flaw));
    REQUIRE(!found.empty());
    CHECK(Contains(found[0], "so something outlives a reset"));
    CHECK(Contains(found[0], "number 0 of the reset's observation differs"));
  }
  CHECK(CheckSameBits(Of(Flaw::kMayCutEarly)).empty());
}

TEST_CASE("check: episodes that a simulator cuts early are counted", "[unit]") {
  const RandomSteps random = CheckManySteps(Of(Flaw::kMayCutEarly), 1000);
  CHECK(random.ended == 1000 / 9);
  CHECK(random.cut_early == random.ended);
  const Subject subject = Of(Flaw::kMayCutEarly);
  const CheckReport report = CheckEnvironment(
      subject, [&] { return absl::StatusOr<std::string>(EpisodeDigest(subject)); });
  CHECK(report.kept());
  CHECK(Contains(report.text, "truncation: 111 of 111 episodes of random steps were cut"));
}

TEST_CASE("check: what is not promised is not asked for", "[unit]") {
  const Subject subject = Of(Flaw::kCannotSave);
  const CheckReport report = CheckEnvironment(
      subject, [&] { return absl::StatusOr<std::string>(EpisodeDigest(subject)); });
  CHECK(report.kept());
  CHECK(Contains(report.text, "not promised  save points"));
}

TEST_CASE("check: another process with other bits, or without an answer, breaks a promise",
          "[unit]") {
  const CheckReport other =
      CheckEnvironment(Of(Flaw::kNone), [] { return absl::StatusOr<std::string>("0000"); });
  CHECK_FALSE(other.kept());
  CHECK(Contains(other.text, "an episode in another process has other bits"));
  const CheckReport silent = CheckEnvironment(Of(Flaw::kNone), [] {
    return absl::StatusOr<std::string>(absl::AbortedError("ended with 3"));
  });
  CHECK(Contains(silent.text, "ended with 3"));
}

}  // namespace mentor::envs::TEST_FILE
