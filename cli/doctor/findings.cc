#include "cli/doctor/findings.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace mentor::doctor {
namespace {

constexpr double kSuccessWanted = 0.05;  // A newborn agent's share of successes.
constexpr double kSuccessMost = 0.95;    // More leaves nothing to learn.
constexpr double kLongGrowth = 0.05;     // A certain growth that is worth a longer lifetime.
constexpr double kLargeNumber = 10;      // Far beyond where tanh still tells numbers apart.
constexpr double kRewardLarge = 100, kRewardSmall = 1e-4;
constexpr uint32_t kMinibatchSmall = 8;
constexpr int kEpisodesMin = 60;    // Fewer without a success say nothing about 5 %.
constexpr int kLifetimesTold = 16;  // Fewer lifetimes say little.

using Findings = std::vector<Finding>;

std::string Percent(double share) {
  return absl::StrFormat("%.3g %%", 100 * share);
}

std::string ChangeText(const Change& change) {
  return absl::StrCat(Percent(change.first), " to ", Percent(change.last));
}

// "success does not move in this lifetime: 15 % to 15.2 %, change 0.2 [-1.1, 1.5] points"
std::string SuccessWords(const Change& success) {
  return absl::StrFormat("success %s in this lifetime: %s, change %s", success.word(),
                         ChangeText(success), PointsText(success.change));
}
std::string ReturnWords(const Change& returns) {
  return absl::StrFormat("return %.4g to %.4g, change %.3g [%.3g, %.3g]", returns.first,
                         returns.last, returns.change.mean, returns.change.low,
                         returns.change.high);
}

double Magnitude(const RandomAgents& random, size_t i) {
  return std::hypot(random.observation_mean[i], random.observation_deviation[i]);
}

size_t Largest(const RandomAgents& random) {
  size_t largest = 0;
  for (size_t i = 0; i < random.observation_mean.size(); ++i) {
    if (Magnitude(random, i) > Magnitude(random, largest)) largest = i;
  }
  return largest;
}

// The sum over random agents and all agents of PPO.
int Sum(const Measured& measured, int RandomAgents::*of_random, int Learning::*of_agents) {
  int sum = measured.random.*of_random;
  for (const auto* one : {&measured.sparse, &measured.shaped, &measured.normalized}) {
    if (one->has_value()) sum += **one.*of_agents;
  }
  for (const Learning& one : measured.longer) sum += one.*of_agents;
  return sum;
}

int Successes(const Measured& measured) {
  return Sum(measured, &RandomAgents::successes, &Learning::successes);
}

void JudgeSpec(const Measured& measured, Findings* findings) {
  for (const std::string& warning : measured.warnings)
    findings->push_back({"warning-of-the-spec", false, warning, "read what --check prints"});
  if (measured.iterations < 2 && !measured.inner_updates) {
    findings->push_back(
        {"agents-without-updates", false,
         "agents of this rule are not updated within a lifetime, so PPO was not "
         "measured",
         "look at random agents above, and at the rule's own page (docs/rules.md)"});
  } else if (measured.iterations < 2) {
    findings->push_back({"lifetime-without-update", true,
                         "a lifetime has one inner iteration, and the last one only collects: no "
                         "agent is ever updated",
                         "set lifetime.iterations to 2 or more"});
  }
  if (measured.episode_steps > 0 &&
      measured.steps_per_iteration < static_cast<uint32_t>(measured.episode_steps)) {
    findings->push_back(
        {"iteration-shorter-than-episode", false,
         absl::StrFormat("an inner iteration has %d steps, an episode up to %d: agents are updated "
                         "before they have seen an end",
                         measured.steps_per_iteration, measured.episode_steps),
         absl::StrCat("set lifetime.steps_per_iteration to a multiple of ",
                      measured.episode_steps)});
  }
  const uint32_t minibatch = measured.steps_per_iteration / std::max(1u, measured.minibatches);
  if (minibatch < kMinibatchSmall) {
    findings->push_back({"minibatch-small", false,
                         absl::StrFormat("a minibatch has %d steps", minibatch),
                         "lower agent.minibatches, or raise lifetime.steps_per_iteration"});
  }
}

void JudgeAgents(const Measured& measured, Findings* findings) {
  if (!measured.diverged) return;
  findings->push_back({"agents-diverge", true,
                       "an agent of PPO on this spec gave actions that are not finite",
                       "lower agent.learning_rate by 10, and look for rewards or observations that "
                       "are very large"});
}

void JudgeEnvironment(const Measured& measured, Findings* findings) {
  const RandomAgents& random = measured.random;
  if (!random.error.empty()) {
    findings->push_back(
        {"environment-fails", true, random.error, "run 'mentor env check' on the environment"});
    return;
  }
  const double size = std::max(std::abs(random.reward_mean), random.reward_deviation);
  if (random.steps > 0 && size > kRewardLarge) {
    findings->push_back({"reward-large", false,
                         absl::StrFormat("shaped rewards of a step have mean %.3g and deviation "
                                         "%.3g: PPO's value function must grow as large",
                                         random.reward_mean, random.reward_deviation),
                         "divide the environment's reward"});
  }
  if (random.steps > 0 && size < kRewardSmall) {
    // A rule that maximises it would maximise nothing.
    findings->push_back({"reward-small", !measured.success_alone && measured.task_rewards,
                         absl::StrFormat("shaped rewards of a step have mean %.3g and deviation "
                                         "%.3g: there is hardly anything to learn from",
                                         random.reward_mean, random.reward_deviation),
                         "multiply the environment's reward, or shape it"});
  }
}

void JudgeSuccess(const Measured& measured, Findings* findings) {
  if (!measured.reports_success) {
    findings->push_back({"success-not-reported", false,
                         "no training environment reports success, so returns are compared",
                         "fine for a rule that maximises the return; else define success"});
    return;
  }
  const int episodes = Sum(measured, &RandomAgents::episodes, &Learning::episodes);
  if (Successes(measured) == 0 && episodes < kEpisodesMin) {
    // An environment that fails explains it.
    if (!measured.random.error.empty()) return;
    findings->push_back({"success-not-seen", false,
                         absl::StrFormat("none of %d episodes succeeded, which are too few to say "
                                         "whether any can",
                                         episodes),
                         "raise lifetime.steps_per_iteration, or shorten the episodes"});
    return;
  }
  if (Successes(measured) == 0) {
    findings->push_back(
        {"success-impossible", true,
         absl::StrFormat("none of %d episodes succeeded, of random agents and of PPO on both "
                         "rewards: the chance is below %s (95 %%)",
                         episodes, Percent(3.0 / episodes)),
         "look at an episode (mentor env render) and at the environment's success: can it happen "
         "at all?"});
    return;
  }
  const double newborn = measured.shaped ? measured.shaped->success.first
                                         : static_cast<double>(measured.random.successes) /
                                               std::max(1, measured.random.episodes);
  if (newborn > kSuccessMost) {
    findings->push_back({"success-always", true,
                         absl::StrFormat("newborn agents succeed in %s of their episodes: nothing "
                                         "is left to learn",
                                         Percent(newborn)),
                         "look at the environment's success, or make the task harder"});
    return;
  }
  if (newborn >= kSuccessWanted) return;
  if (measured.sparse && measured.sparse->success.rises()) return;
  findings->push_back(
      {"success-too-rare", measured.success_alone,
       absl::StrFormat("newborn agents succeed in %s of their episodes, and PPO on success alone "
                       "does not learn from that (%s)",
                       Percent(newborn),
                       measured.sparse ? ChangeText(measured.sparse->success) : "not measured"),
       "5 % and more are comfortable: begin nearer to the goal, make goals larger, or give agents "
       "more steps (lifetime.steps_per_iteration)"});
}

// The shaped reward leads away from success.
bool JudgeReward(const Measured& measured, Findings* findings) {
  if (!measured.shaped || !measured.reports_success) return false;
  const Learning& shaped = *measured.shaped;
  std::string text;
  if (shaped.returns.rises() && shaped.success.falls()) {
    text = absl::StrFormat(
        "PPO on the shaped reward raises the return from %.3g to %.3g while "
        "success falls from %s",
        shaped.returns.first, shaped.returns.last, ChangeText(shaped.success));
  } else if (shaped.returns_by_success) {
    const Learning::Returns& returns = *shaped.returns_by_success;
    if (returns.succeeded < returns.failed - 3 * returns.error &&
        returns.succeeded < returns.failed - kLeastOfDeviation * returns.deviation) {
      text = absl::StrFormat("episodes that succeed have a return of %.3g, those that fail %.3g",
                             returns.succeeded, returns.failed);
    }
  }
  if (text.empty()) return false;
  findings->push_back({"reward-against-success", true, text,
                       "look at the reward's sign, and at what an early end costs: a better "
                       "episode must have a greater return"});
  return true;
}

bool JudgeScales(const Measured& measured, Findings* findings) {
  if (!UnlikeScales(measured.random) || measured.agent_normalizes) return false;
  const size_t i = Largest(measured.random);
  const std::string text = absl::StrFormat("observation %d has mean %.3g and deviation %.3g", i,
                                           measured.random.observation_mean[i],
                                           measured.random.observation_deviation[i]);
  // Newborn agents are the same with and without: their growths are compared.
  const auto grows_more = [&](Change Learning::*of) {
    const Change &with = (*measured.normalized).*of, &without = (*measured.shaped).*of;
    return with.rises() && with.change.low > without.change.high &&
           with.change.mean >= without.change.mean + with.least;
  };
  const bool helps = measured.normalized && measured.shaped &&
                     grows_more(measured.reports_success ? &Learning::success : &Learning::returns);
  findings->push_back(
      {"observations-unlike-scales", helps,
       helps ? absl::StrFormat("%s; PPO that normalises gets %s and a return of %.3g where PPO as "
                               "it is gets %s and %.3g",
                               text, ChangeText(measured.normalized->success),
                               measured.normalized->returns.last,
                               ChangeText(measured.shaped->success), measured.shaped->returns.last)
             : text,
       "set agent.normalize_observations: true, and signal.normalize_observations for the "
       "network"});
  return helps;
}

// What to change where PPO moves nothing, not even in longer lifetimes.
std::string RemedyWithoutMove(const Measured& measured, const Learning& last,
                              const Findings& findings) {
  const auto wrong_size = std::ranges::find_if(findings, [](const Finding& finding) {
    return finding.id == "reward-large" || finding.id == "reward-small";
  });
  std::string remedy =
      wrong_size == findings.end() ? "" : absl::StrCat("mend ", wrong_size->id, " first; then ");
  absl::StrAppend(&remedy,
                  "try agent.learning_rate x 10 and / 10, then other agent.epochs and agent.gamma");
  if (measured.reports_success) {
    absl::StrAppend(&remedy,
                    "; where the return rises all the same, larger goals or a reward that rises up "
                    "to the goal");
  }
  if (last.iterations < 4 * measured.iterations) {
    absl::StrAppendFormat(&remedy, "; or lifetime.iterations=%d, which --steps did not pay for",
                          4 * measured.iterations);
  }
  return remedy;
}

void JudgeLearning(const Measured& measured, Findings* findings) {
  if (!measured.shaped || Learns(*measured.shaped, measured.reports_success)) return;
  const Learning& shaped = *measured.shaped;
  if (measured.reports_success && shaped.success.first > kSuccessMost) return;
  const std::string moves =
      measured.reports_success
          ? absl::StrFormat("PPO on the shaped reward: %s, over %d lifetimes of %d iterations (%s)",
                            SuccessWords(shaped.success), shaped.lifetimes, shaped.iterations,
                            ReturnWords(shaped.returns))
          : absl::StrFormat(
                "PPO on the shaped reward: the return %s in this lifetime of %d "
                "iterations (%s)",
                shaped.returns.word(), shaped.iterations, ReturnWords(shaped.returns));
  for (const Learning& longer : measured.longer) {
    if (!Learns(longer, measured.reports_success) ||
        (measured.reports_success && longer.success.change.low < kLongGrowth))
      continue;
    findings->push_back(
        {"lifetime-too-short", true,
         absl::StrFormat(
             "%s; within %d iterations it does (%s)", moves, longer.iterations,
             measured.reports_success ? ChangeText(longer.success) : ReturnWords(longer.returns)),
         absl::StrFormat("raise lifetime.iterations towards %d, or agent.epochs and "
                         "agent.learning_rate",
                         longer.iterations)});
    return;
  }
  if (measured.reports_success && Successes(measured) == 0) return;  // Said above.
  if (shaped.lifetimes < kLifetimesTold) {
    findings->push_back(
        {"lifetimes-too-few", false,
         absl::StrCat(moves, "; these are too few lifetimes to say so for certain"),
         absl::StrFormat("raise --steps %d-fold",
                         (kLifetimesTold + shaped.lifetimes - 1) / std::max(1, shaped.lifetimes))});
    return;
  }
  if (!measured.task_rewards) return;  // PPO on them is not what the rule does.
  const Learning& last = measured.longer.empty() ? shaped : measured.longer.back();
  const std::string still =
      measured.longer.empty() ? "" : absl::StrFormat("; nor within %d", last.iterations);
  // Agents without foresight may learn from a signal all the same.
  const std::string blind = measured.sees_ahead ? "" : " (agent.gamma is 0)";
  findings->push_back({measured.reports_success ? "success-does-not-move" : "ppo-does-not-learn",
                       measured.sees_ahead, absl::StrCat(moves, still, blind),
                       RemedyWithoutMove(measured, last, *findings)});
}

}  // namespace

bool Learns(const Learning& learning, bool reports_success) {
  return reports_success ? learning.success.rises() : learning.returns.rises();
}

std::string PointsText(const report::Interval& change) {
  return absl::StrFormat("%.1f [%.1f, %.1f] points", 100 * change.mean, 100 * change.low,
                         100 * change.high);
}

bool UnlikeScales(const RandomAgents& random) {
  return !random.observation_mean.empty() && Magnitude(random, Largest(random)) > kLargeNumber;
}

std::vector<Finding> Judge(const Measured& measured) {
  Findings findings;
  JudgeSpec(measured, &findings);
  JudgeEnvironment(measured, &findings);
  JudgeAgents(measured, &findings);
  if (measured.diverged) return findings;
  JudgeSuccess(measured, &findings);
  const bool explained = JudgeReward(measured, &findings) || JudgeScales(measured, &findings);
  // What explains it already is not said again.
  if (!explained) JudgeLearning(measured, &findings);
  return findings;
}

}  // namespace mentor::doctor
