// What `mentor doctor` finds in measured numbers (cli/doctor/findings.h).
#include "cli/doctor/findings.h"

#include "cli/doctor/doctor.h"
#include "tests/testing.h"

namespace mentor::doctor::TEST_FILE {

// A change with the ends of its interval two errors away.
Change ChangeOf(double first, double last, double error, double least) {
  const double change = last - first;
  return {first, last, {change, change - 2 * error, change + 2 * error}, least};
}

Learning Agents(uint32_t iterations, double first, double last, int successes = 100) {
  return {.iterations = iterations,
          .lifetimes = 50,
          .success = ChangeOf(first, last, 0.01, kLeastOfSuccess),
          .returns = ChangeOf(1, 2, 0.1, 0.1),
          .episodes = 1000,
          .successes = successes};
}

Measured Healthy() {
  Measured measured{.iterations = 3,
                    .steps_per_iteration = 100,
                    .minibatches = 4,
                    .episode_steps = 10,
                    .random = {.steps = 1000,
                               .episodes = 100,
                               .successes = 8,
                               .observation_mean = {0, 1},
                               .observation_deviation = {1, 0.1},
                               .reward_mean = 1,
                               .reward_deviation = 0.3}};
  measured.sparse = Agents(3, 0.08, 0.12);
  measured.shaped = Agents(3, 0.08, 0.3);
  return measured;
}

std::vector<std::string> Names(const Measured& measured, bool problems) {
  std::vector<std::string> names;
  for (const Finding& finding : Judge(measured)) {
    if (finding.problem == problems) names.push_back(finding.id);
  }
  return names;
}
using List = std::vector<std::string>;

TEST_CASE("doctor: the interval of a change decides, and what is too small does not count",
          "[unit]") {
  const auto word = [](const report::Interval& change, double least) {
    return std::string(Change{.change = change, .least = least}.word());
  };
  CHECK(word({0.02, 0.01, 0.03}, 0.01) == "rises");
  CHECK(word({0.005, 0.004, 0.006}, 0.01) == "does not move");
  CHECK(word({0.5, -0.01, 1}, 0.01) == "does not move");
  CHECK(word({0.5, 0.009, 1}, 0.01) == "does not move");
  CHECK(word({0, 0, 0}, 0) == "does not move");
  CHECK(word({0.02, report::kNone, report::kNone}, 0) == "does not move");
  CHECK(word({-0.02, -0.03, -0.01}, 0.01) == "falls");
}

TEST_CASE("doctor: where agents learn nothing is found", "[unit]") {
  CHECK(Judge(Healthy()).empty());
}

TEST_CASE("doctor: without any success the bound on its chance is said", "[unit]") {
  Measured measured = Healthy();
  measured.random.successes = 0;
  measured.sparse = Agents(3, 0, 0, 0);
  measured.shaped = Agents(3, 0, 0, 0);
  CHECK(Names(measured, true) == List{"success-impossible"});
  CHECK(Judge(measured)[0].text.find("2100 episodes") != std::string::npos);
  measured.longer = {Agents(12, 0, 0.01, 3)};  // Now it can happen.
  CHECK(Names(measured, true) == List{"success-does-not-move"});
}

TEST_CASE("doctor: where every episode succeeds nothing is left to learn", "[unit]") {
  Measured measured = Healthy();
  measured.sparse = measured.shaped = Agents(3, 1, 1, 1000);
  CHECK(Names(measured, true) == List{"success-always"});
}

TEST_CASE("doctor: a rule cannot maximise a reward that is always 0", "[unit]") {
  Measured measured = Healthy();
  measured.random.reward_mean = measured.random.reward_deviation = 0;
  CHECK(Names(measured, true) == List{"reward-small"});
  measured.success_alone = true;
  CHECK(Names(measured, false) == List{"reward-small"});
}

TEST_CASE("doctor: few episodes without success prove nothing", "[unit]") {
  Measured measured = Healthy();
  measured.random = {.steps = 5, .error = "step 5 gave the reward nan"};
  measured.sparse = measured.shaped = std::nullopt;
  CHECK(Names(measured, true) == List{"environment-fails"});
  CHECK(Names(measured, false).empty());
  measured.random = {.steps = 5000, .episodes = 10, .reward_mean = 1};
  CHECK(Names(measured, true).empty());
  CHECK(Names(measured, false) == List{"success-not-seen"});
}

TEST_CASE("doctor: rare success is a problem where the rule sees nothing else", "[unit]") {
  Measured measured = Healthy();
  measured.sparse = Agents(3, 0.01, 0.01);
  measured.shaped = Agents(3, 0.01, 0.3);
  CHECK(Names(measured, false) == List{"success-too-rare"});
  measured.success_alone = true;
  CHECK(Names(measured, true) == List{"success-too-rare"});
  measured.sparse = Agents(3, 0.01, 0.1);  // Enough to learn from.
  CHECK(Judge(measured).empty());
}

TEST_CASE("doctor: a reward that leads away from success is found by either sign", "[unit]") {
  Measured measured = Healthy();
  measured.shaped = Agents(3, 0.2, 0.05);  // The return grows.
  CHECK(Names(measured, true) == List{"reward-against-success"});
  measured.shaped = Agents(3, 0.08, 0.3);
  measured.shaped->returns_by_success = {.succeeded = 1, .failed = 2, .error = 0.1, .deviation = 3};
  CHECK(Names(measured, true) == List{"reward-against-success"});
  measured.shaped->returns_by_success = {
      .succeeded = 1.8, .failed = 2, .error = 0.1, .deviation = 0.5};
  CHECK(Judge(measured).empty());
  // Certain after many episodes, and still next to nothing.
  measured.shaped->returns_by_success = {
      .succeeded = 1.9, .failed = 2, .error = 0.001, .deviation = 3};
  CHECK(Judge(measured).empty());
}

TEST_CASE("doctor: unlike scales are a problem where normalising helps", "[unit]") {
  Measured measured = Healthy();
  measured.random.observation_mean[1] = 1e5;
  CHECK(Names(measured, false) == List{"observations-unlike-scales"});
  measured.normalized = Agents(3, 0.08, 0.5);
  CHECK(Names(measured, true) == List{"observations-unlike-scales"});
  measured.normalized = Agents(3, 0.08, 0.3);  // No more success; a higher return is none.
  measured.normalized->returns = ChangeOf(1, 3, 0.1, 0.1);
  CHECK(Names(measured, false) == List{"observations-unlike-scales"});
  measured.reports_success = false;
  CHECK(Names(measured, true) == List{"observations-unlike-scales"});
  measured.reports_success = true;
  measured.agent_normalizes = true;
  CHECK(Judge(measured).empty());
}

TEST_CASE("doctor: a lifetime is too short where a longer one learns", "[unit]") {
  Measured measured = Healthy();
  measured.shaped = Agents(3, 0.02, 0.025);
  measured.longer = {Agents(12, 0.02, 0.03), Agents(48, 0.02, 0.6)};
  CHECK(Names(measured, true) == List{"lifetime-too-short"});
  CHECK(Judge(measured).back().remedy.find("48") != std::string::npos);
  CHECK(Judge(measured).back().text.find("success does not move in this lifetime: 2 % to 2.5 %") !=
        std::string::npos);
  measured.longer.pop_back();
  CHECK(Names(measured, true) == List{"success-does-not-move"});
  CHECK(Judge(measured).back().text.find("nor within 12") != std::string::npos);
  CHECK(Judge(measured).back().remedy.starts_with("try agent.learning_rate"));
  measured.random.reward_mean = 1e6;
  CHECK(Judge(measured).back().remedy.starts_with("mend reward-large first"));
}

TEST_CASE("doctor: success that does not move is a problem, whatever the return does", "[unit]") {
  // 15 % to 15 % over ever more lifetimes, while the return creeps up.
  std::string text;
  for (const double error : {0.04, 0.01, 0.001}) {
    Measured measured = Healthy();
    measured.shaped = Agents(3, 0.15, 0.15);
    measured.shaped->success = ChangeOf(0.15, 0.15, error, kLeastOfSuccess);
    measured.shaped->returns = ChangeOf(1, 1.2, error, 0.1);
    CHECK(Names(measured, true) == List{"success-does-not-move"});
    const std::string own = Judge(measured)[0].text;
    CHECK(own.find("success does not move in this lifetime: 15 % to 15 %") != std::string::npos);
    // The same words at each budget, up to the numbers of the interval.
    if (!text.empty())
      CHECK(own.substr(0, own.find(", change")) == text.substr(0, text.find(", change")));
    text = own;
  }
  // A change that is certain and worth nothing is none; one that is worth something is.
  Measured measured = Healthy();
  measured.shaped = Agents(3, 0.15, 0.155);
  measured.shaped->success = ChangeOf(0.15, 0.155, 0.0001, kLeastOfSuccess);
  CHECK(Names(measured, true) == List{"success-does-not-move"});
  measured.shaped->success = ChangeOf(0.15, 0.17, 0.0001, kLeastOfSuccess);
  CHECK(Judge(measured).empty());
  // Its interval has the last word: a large mean that may be chance does not count.
  measured.shaped->success = ChangeOf(0.15, 0.25, 0.06, kLeastOfSuccess);
  CHECK(Names(measured, true) == List{"success-does-not-move"});
}

TEST_CASE("doctor: rules whose agents do not learn by PPO are not blamed for it", "[unit]") {
  Measured measured = Healthy();
  measured.iterations = 1;
  measured.inner_updates = false;
  measured.sparse = measured.shaped = std::nullopt;
  CHECK(Names(measured, true).empty());
  CHECK(Names(measured, false) == List{"agents-without-updates"});
  measured = Healthy();
  measured.shaped = Agents(3, 0.08, 0.08);
  CHECK(Names(measured, true) == List{"success-does-not-move"});
  measured.sees_ahead = false;
  CHECK(Names(measured, false) == List{"success-does-not-move"});
  measured.reports_success = false;
  measured.shaped->returns = ChangeOf(1, 1.05, 0.01, 0.1);
  CHECK(Names(measured, false) == List{"success-not-reported", "ppo-does-not-learn"});
  measured.random.reward_mean = measured.random.reward_deviation = 0;
  measured.task_rewards = false;
  measured.reports_success = true;
  CHECK(Names(measured, true).empty());
  CHECK(Names(measured, false) == List{"reward-small"});
}

TEST_CASE("doctor: few lifetimes say little", "[unit]") {
  Measured measured = Healthy();
  measured.shaped = Agents(3, 0, 0.15);
  measured.shaped->success = ChangeOf(0, 0.15, 0.1, kLeastOfSuccess);
  measured.shaped->lifetimes = 4;
  CHECK(Names(measured, true).empty());
  CHECK(Names(measured, false) == List{"lifetimes-too-few"});
  CHECK(Judge(measured)[0].remedy == "raise --steps 4-fold");
}

TEST_CASE("doctor: sizes that cannot work are found before anything runs", "[unit]") {
  Measured measured = Healthy();
  measured.iterations = 1;
  measured.shaped = measured.sparse = std::nullopt;
  CHECK(Names(measured, true) == List{"lifetime-without-update"});
  measured = Healthy();
  measured.steps_per_iteration = 8;
  CHECK(Names(measured, false) == List{"iteration-shorter-than-episode", "minibatch-small"});
}

TEST_CASE("doctor: agents that diverge are the first thing to mend", "[unit]") {
  Measured measured = Healthy();
  measured.shaped = std::nullopt;
  measured.diverged = true;
  CHECK(Names(measured, true) == List{"agents-diverge"});
}

TEST_CASE("doctor: the text and the JSON carry what was found", "[unit]") {
  Measured measured = Healthy();
  measured.shaped = Agents(3, 0.2, 0.05);
  const auto findings = Judge(measured);
  const std::string text = TextOf(measured, findings, "mentor run spec");
  CHECK(text.find("PROBLEM reward-against-success") != std::string::npos);
  CHECK(text.find("mentor run spec") == std::string::npos);
  CHECK(text.find("8 of 100 episodes succeed") != std::string::npos);
  CHECK(JsonOf(measured, findings, "mentor run spec").find("\"problem\": true") !=
        std::string::npos);
}

}  // namespace mentor::doctor::TEST_FILE
