#include "cli/templates/sizes.h"

#include <algorithm>
#include <cstdint>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace mentor::templates {
namespace {

constexpr int kIterations = 3, kOuterUpdates = 40;
// Steps of a segment that suffice, where episodes are so long that ten would take minutes.
constexpr int kSegmentSteps = 1000;
constexpr int kEpisodesMax = 10, kEpisodesMin = 2;
constexpr int kMinibatchSteps = 25, kMinibatchesMax = 32;
// Steps of all lifetimes of an outer update.
constexpr int kUpdateSteps = 64 * 600;
constexpr int kPieceMax = 400;  // The rule's usual k.

// The most minibatches that divide a segment without being short.
int MinibatchesOf(int steps) {
  for (int n = std::min(kMinibatchesMax, steps / kMinibatchSteps); n > 1; --n) {
    if (steps % n == 0) return n;
  }
  return 1;
}

}  // namespace

Places SizesFor(const TaskFacts& facts) {
  const int m = std::max(1, facts.episode_steps);
  // An episode of one step has segments of at least 100 steps all the same.
  const int least = (100 + m - 1) / m;
  const int episodes = std::max(std::clamp(kSegmentSteps / m, kEpisodesMin, kEpisodesMax), least);
  const int steps = episodes * m, minibatches = MinibatchesOf(steps);
  const int lifetimes = std::clamp(kUpdateSteps / (kIterations * steps), 16, 64);
  const double ahead = std::clamp(1 - 2.0 / m, 0.8, 0.99);
  const bool is_short = steps <= 200;
  Places places = {
      {"iterations", absl::StrCat(kIterations)},
      {"steps", absl::StrCat(steps)},
      {"episodes", absl::StrCat(episodes)},
      {"episode_steps", absl::StrCat(m)},
      {"hidden_units", is_short ? "16" : "32"},
      {"minibatches", absl::StrCat(minibatches)},
      {"minibatch_steps", absl::StrCat(steps / minibatches)},
      {"gamma", absl::StrFormat("%.3g", ahead)},
      {"gae_lambda", absl::StrFormat("%.3g", std::min(ahead, 0.95))},
      {"learning_rate", is_short ? "2e-2" : "5e-3"},
      {"outer_updates", absl::StrCat(kOuterUpdates)},
      {"lifetimes_per_update", absl::StrCat(lifetimes)},
      {"lifetimes", absl::StrCat(kOuterUpdates * lifetimes)},
      {"total_steps", absl::StrCat(int64_t{kOuterUpdates} * lifetimes * kIterations * steps)},
      {"trained_steps", absl::StrCat((kIterations - 1) * steps)},
      {"k", absl::StrCat(std::min(steps / 2, kPieceMax))}};
  if (!facts.has_success) {
    places["input"] = "input: SHAPED  # No step of this environment ever reports success.";
  } else if (facts.steps_without_success > 0) {
    places["input"] = absl::StrFormat(
        "input: SHAPED  # None of %d random steps reports success. SUCCESS: if later ones may.",
        facts.steps_without_success);
  } else {
    places["input"] = "input: SUCCESS  # SHAPED: the environment's reward instead.";
  }
  if (facts.goals > 0) {
    places["evaluation"] = "lifetimes_per_goal: 2  # On each task for tests.";
  } else if (facts.draws_tasks) {
    places["evaluation"] = absl::StrFormat(
        "lifetimes_per_goal: 1\n  goals: %d  # Fresh tasks, one lifetime each.", 4 * lifetimes);
  } else {
    places["evaluation"] = absl::StrFormat("lifetimes_per_goal: %d", 2 * lifetimes);
  }
  return places;
}

}  // namespace mentor::templates
