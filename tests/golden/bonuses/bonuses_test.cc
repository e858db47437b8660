// Bonuses against RLeXplore (bonuses_rllte.json) and an independent program (bonuses.json).
#include <cmath>

#include "bonuses/bonus.h"
#include "tests/bonus_problem.h"
#include "tests/golden.h"

namespace mentor::bonuses::TEST_FILE {

using Options = std::map<std::string, std::string>;
using testing::Json;

// Numbers by the formula of the golden files.
void Fill(double scale, int64_t offset, int64_t count, std::vector<double>* numbers) {
  for (int64_t i = 0; i < count; ++i)
    numbers->push_back(scale * (static_cast<double>((7919 * i + offset) % 2003) / 2003 - 0.5));
}

std::string Text(const Json& number) {
  return number.is_string() ? number.get<std::string>() : number.dump();
}

struct Problem {
  StepSizes sizes;
  std::string kind;
  Options options;
  int64_t segments = 0;
  Steps steps;
  torch::Tensor rewards;
};

Problem ProblemOf(const Json& golden) {
  const auto numbers = [&](const char* name) {
    const torch::Tensor x = testing::ToTensor(golden.at(name));
    return std::vector<double>(x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel());
  };
  Problem problem{
      .sizes = {.observation = golden.at("observations").at("shape").at(1).get<int64_t>(),
                .action = golden.at("actions").at("shape").at(1).get<int64_t>(),
                .discrete = golden.at("discrete").get<bool>()},
      .kind = golden.at("kind"),
      .options = {},
      .segments = golden.at("segments").get<int64_t>(),
      .steps = {.observations = numbers("observations"),
                .actions = numbers("actions"),
                .next_observations = numbers("next_observations"),
                .known = {}},
      .rewards = testing::ToTensor(golden.at("rewards"))};
  const size_t count = problem.rewards.numel();
  problem.steps.known.assign(count, 1);
  if (golden.contains("known")) {
    const std::vector<double> known = numbers("known");
    for (size_t t = 0; t < count; ++t) problem.steps.known[t] = known[t] > 0;
  }
  // RLeXplore's defaults, where its file says nothing.
  Options& options = problem.options;
  options["weight"] = golden.contains("weight") ? Text(golden.at("weight")) : "1";
  options["scale"] = Text(golden.at("scale"));
  options["gamma"] = golden.contains("gamma") ? Text(golden.at("gamma")) : "0.99";
  options["normalize_observations"] = golden.at("normalise").get<bool>() ? "true" : "false";
  if (problem.kind == "counts") {
    options["bits"] = Text(golden.at("bits"));
    return problem;
  }
  options["latent"] = Text(golden.at("latent"));
  options["hidden"] = golden.contains("hidden") ? Text(golden.at("hidden")) : "256";
  options["learning_rate"] = Text(golden.at("learning_rate"));
  options["epochs"] = golden.contains("epochs") ? Text(golden.at("epochs")) : "1";
  if (problem.kind == "icm") {
    options["inverse_weight"] = Text(golden.at("inverse_weight"));
    options["forward_weight"] =
        golden.contains("forward_weight") ? Text(golden.at("forward_weight")) : "1";
  }
  return problem;
}

// A bonus before its first step, with the weights of the formula.
std::unique_ptr<Bonus> BonusOf(const Problem& problem) {
  const StepSizes& sizes = problem.sizes;
  auto bonus = testing::MakeBonus(problem.kind, sizes, problem.options);
  std::vector<double> state;
  for (const int64_t size : {sizes.observation, int64_t{1}}) {
    state.push_back(RunningMoments::kPrior);
    state.insert(state.end(), size, 0.0);
    state.insert(state.end(), size, 1.0);
  }
  state.insert(state.end(), 2, 0.0);  // No sum of rewards, no segments.
  if (problem.kind == "counts") {
    Fill(3, 1, std::stoll(problem.options.at("bits")) * sizes.observation, &state);
    state.push_back(0);
  } else {
    const int64_t d = sizes.observation, a = sizes.action,
                  h = std::stoll(problem.options.at("hidden")),
                  k = std::stoll(problem.options.at("latent"));
    const int64_t encoder = h * (d + 1) + k * (h + 1);
    const int64_t others = h * (2 * k + 1) + a * (h + 1) + h * (k + a + 1) + k * (h + 1);
    const int64_t trained = problem.kind == "rnd" ? encoder : encoder + others;
    if (problem.kind == "rnd") Fill(0.3, 1, encoder, &state);
    Fill(0.3, 500, trained, &state);
    state.insert(state.end(), 2 * trained + 1, 0.0);  // Adam's moments and steps.
  }
  const absl::Status status = bonus->Load(state);
  INFO(std::string(status.message()));
  REQUIRE(status.ok());
  return bonus;
}

torch::Tensor Given(const Problem& problem) {
  const auto bonus = BonusOf(problem);
  return torch::tensor(testing::RewardsOf(*bonus, problem.steps, problem.sizes, problem.segments),
                       torch::kFloat64);
}

TEST_CASE("bonuses: rewards are those of RLeXplore for recorded steps", "[golden]") {
  const Json file = testing::ReadGolden("bonuses_rllte");
  for (const Json& golden : file.at("cases")) {
    const Problem problem = ProblemOf(golden);
    testing::CheckNear(golden.at("name"), Given(problem), problem.rewards,
                       testing::GoldenTolerance(file));
  }
}

TEST_CASE("bonuses: rewards are those of the papers' formulas", "[golden]") {
  const Json file = testing::ReadGolden("bonuses");
  for (const Json& golden : file.at("cases")) {
    const Problem problem = ProblemOf(golden);
    testing::CheckNear(golden.at("name"), Given(problem), problem.rewards,
                       testing::GoldenTolerance(file));
  }
}

// What a wrong formula would give, case by case: the file must tell it from the right one.
TEST_CASE("bonuses: the golden file notices wrong formulas", "[golden]") {
  const Json file = testing::ReadGolden("bonuses");
  const auto differs = [&](const std::string& name, const auto& breaks) {
    for (const Json& golden : file.at("cases")) {
      if (golden.at("name") != name) continue;
      Problem problem = ProblemOf(golden);
      breaks(&problem);
      INFO(name);
      CHECK((Given(problem) - problem.rewards).abs().max().item<double>() > 1e-5);
    }
  };
  const auto with = [](const std::string& option, const std::string& value) {
    return [=](Problem* problem) { problem->options[option] = value; };
  };
  differs("rnd_returns", with("scale", "rewards"));
  differs("rnd_returns", with("gamma", "1"));
  differs("rnd_returns", with("normalize_observations", "false"));
  differs("rnd_returns", with("epochs", "1"));
  differs("rnd_rewards", with("scale", "none"));
  differs("icm_continuous", with("inverse_weight", "0"));
  differs("icm_continuous", with("forward_weight", "0"));
  differs("icm_continuous", with("adam_epsilon", "1e-3"));
  differs("icm_discrete", [](Problem* problem) { problem->sizes.discrete = false; });
  differs("icm_discrete", [](Problem* problem) {  // It learns across an episode's end.
    std::fill(problem->steps.known.begin(), problem->steps.known.end(), 1);
  });
  differs("icm_continuous", [](Problem* problem) {  // Observations are shifted by a step.
    problem->steps.next_observations = problem->steps.observations;
  });
  differs("counts_few_bits", with("bits", "3"));
  differs("counts", [](Problem* problem) { problem->segments = 1; });
  differs("counts", [](Problem* problem) { problem->segments = 60; });
}

}  // namespace mentor::bonuses::TEST_FILE
