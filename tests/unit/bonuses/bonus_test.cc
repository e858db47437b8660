// Bonuses: what they are for, their state, and their limits.
#include "bonuses/bonus.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "bonuses/relu_network.h"
#include "tests/bonus_problem.h"

namespace mentor::bonuses::TEST_FILE {

using Options = std::map<std::string, std::string>;

constexpr StepSizes kSizes{.observation = 3, .action = 2};
const char* const kNames[] = {"rnd", "icm", "counts"};

// Small networks, so that tests are quick.
Options SmallOptions(const std::string& name) {
  if (name == "counts") return {{"bits", "16"}};
  return {{"hidden", "16"}, {"latent", "8"}, {"minibatch", "16"}, {"learning_rate", "3e-3"}};
}

std::unique_ptr<Bonus> Small(const std::string& name, uint32_t lifetime = 0, uint64_t seed = 1) {
  return testing::MakeBonus(name, kSizes, SmallOptions(name), {.seed = seed, .lifetime = lifetime});
}

// Observations around a place, and what follows them.
Steps StepsAround(double place, int64_t count, uint32_t draw) {
  const RandomStream stream{.seed = draw, .purpose = Purpose::kTest};
  Steps steps;
  for (int64_t t = 0; t < count; ++t) {
    double normals[5];
    stream.Normals(static_cast<uint32_t>(t), normals);
    for (int i = 0; i < 3; ++i) {
      steps.observations.push_back(place + 0.3 * normals[i]);
      steps.next_observations.push_back(place + 0.3 * normals[i] + 0.1 * normals[3 + i % 2]);
    }
    steps.actions.insert(steps.actions.end(), {normals[3], normals[4]});
    steps.known.push_back(1);
  }
  return steps;
}

double MeanOf(const Bonus& bonus, const Steps& steps) {
  std::vector<double> out(steps.count());
  bonus.Peek(steps, out);
  return std::accumulate(out.begin(), out.end(), 0.0) / static_cast<double>(out.size());
}

void Live(Bonus* bonus, const Steps& steps) {
  std::vector<double> out(steps.count());
  bonus->Reward(steps, out);
  bonus->Learn(steps);
}

TEST_CASE("bonuses: they fall where an agent has been, and stay high elsewhere", "[unit]") {
  for (const std::string name : kNames) {
    CAPTURE(name);
    const auto bonus = Small(name);
    const Steps here = StepsAround(0.5, 64, 1), elsewhere = StepsAround(-0.5, 64, 2);
    Live(bonus.get(), here);
    const double first = MeanOf(*bonus, here);
    for (int segment = 0; segment < 20; ++segment) Live(bonus.get(), here);
    CHECK(MeanOf(*bonus, here) < 0.5 * first);
    CHECK(MeanOf(*bonus, elsewhere) > 2 * MeanOf(*bonus, here));
  }
}

TEST_CASE("bonuses: the bonus of a network that does not learn does not fall", "[unit]") {
  Options options = SmallOptions("rnd");
  options["proportion"] = "0";
  options["scale"] = "none";
  const auto bonus = testing::MakeBonus("rnd", kSizes, options);
  const Steps here = StepsAround(0.5, 64, 1);
  Live(bonus.get(), here);
  const double first = MeanOf(*bonus, here);
  for (int segment = 0; segment < 5; ++segment) Live(bonus.get(), here);
  CHECK(MeanOf(*bonus, here) == Approx(first).epsilon(1e-3));
}

TEST_CASE("bonuses: a saved bonus goes on with the same bits", "[unit]") {
  for (const std::string name : kNames) {
    CAPTURE(name);
    const auto bonus = Small(name);
    Live(bonus.get(), StepsAround(0.5, 40, 1));
    // Another seed: all that matters is in the state, or a key of later draws.
    const auto other = Small(name);
    Live(other.get(), StepsAround(9, 30, 9));
    REQUIRE(other->Load(bonus->Save()).ok());
    for (uint32_t segment = 0; segment < 3; ++segment) {
      const Steps more = StepsAround(0.2, 40, 2 + segment);
      std::vector<double> own(40), others(40);
      bonus->Reward(more, own);
      other->Reward(more, others);
      CHECK(own == others);
      bonus->Learn(more);
      other->Learn(more);
    }
    CHECK(bonus->Save() == other->Save());
  }
}

TEST_CASE("bonuses: agents and seeds have weights of their own", "[unit]") {
  for (const std::string name : kNames) {
    CAPTURE(name);
    CHECK(Small(name)->Save() == Small(name)->Save());
    CHECK(Small(name)->Save() != Small(name, /*lifetime=*/1)->Save());
    CHECK(Small(name)->Save() != Small(name, 0, /*seed=*/2)->Save());
  }
}

TEST_CASE("bonuses: damaged states are refused", "[unit]") {
  for (const std::string name : kNames) {
    CAPTURE(name);
    const auto bonus = Small(name);
    Live(bonus.get(), StepsAround(0.5, 40, 1));
    const std::vector<double> saved = bonus->Save();
    const auto code = [&](std::vector<double> state) { return Small(name)->Load(state).code(); };
    std::vector<double> damaged = saved;
    damaged.pop_back();
    CHECK(code(damaged) == absl::StatusCode::kDataLoss);
    damaged = saved;
    damaged.push_back(0);
    CHECK(code(damaged) == absl::StatusCode::kDataLoss);
    damaged = saved;
    damaged.back() = std::nan("");
    CHECK(code(damaged) == absl::StatusCode::kDataLoss);
    damaged.back() = -1;  // A count, of all three.
    CHECK(code(damaged) == absl::StatusCode::kDataLoss);
    CHECK(code(saved) == absl::StatusCode::kOk);
  }
}

TEST_CASE("bonuses: a step whose end is not known has none", "[unit]") {
  for (const std::string name : kNames) {
    CAPTURE(name);
    const auto bonus = Small(name);
    Steps steps = StepsAround(0.5, 20, 1);
    steps.known[7] = 0;
    // Whatever lies behind an episode's end.
    std::fill_n(steps.next_observations.begin() + 21, 3, 1e6);
    std::vector<double> out(20);
    bonus->Reward(steps, out);
    CHECK(out[7] == 0);
    CHECK(std::all_of(out.begin() + 8, out.end(), [](double x) { return x > 0 && x < 1e3; }));
  }
}

TEST_CASE("bonuses: a minibatch has its share of steps, and an epoch all of them once", "[unit]") {
  Training training{.epochs = 3, .minibatch = 16};
  std::vector<int64_t> rows(50);
  std::iota(rows.begin(), rows.end(), 100);
  std::vector<std::vector<int64_t>> seen;
  const auto collect = [&](std::span<const int64_t> minibatch) {
    seen.emplace_back(minibatch.begin(), minibatch.end());
  };
  ForEachMinibatch(training, {.seed = 1}, rows, collect);
  REQUIRE(seen.size() == 12);  // 16, 16, 16 and 2 rows, three times.
  CHECK(seen[3].size() == 2);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int64_t> all;
    for (int i = 0; i < 4; ++i) all.insert(seen[4 * epoch + i].begin(), seen[4 * epoch + i].end());
    CHECK(all == std::multiset<int64_t>(rows.begin(), rows.end()));
  }
  CHECK(seen[0] != seen[4]);
  seen.clear();
  training.proportion = 0.25;
  training.epochs = 40;
  ForEachMinibatch(training, {.seed = 1}, rows, collect);
  size_t learned = 0;
  for (const auto& minibatch : seen) learned += minibatch.size();
  CHECK(learned > 400);
  CHECK(learned < 600);
}

TEST_CASE("bonuses: wrong settings are named with a remedy", "[unit]") {
  const auto complaint = [](const v1::EvaluationSpec& spec) {
    Violations violations;
    CheckSettings(spec, &violations);
    return std::string(violations.ToStatus().message());
  };
  CHECK(complaint(testing::BonusSettings("rnd", {{"weight", "2"}})).empty());
  CHECK(complaint(testing::BonusSettings("rmd", {})).find("did you mean 'rnd'") !=
        std::string::npos);
  CHECK(complaint(testing::BonusSettings("counts", {{"bits", "65"}}))
            .find("evaluation.bonus.option.bits: is '65'; give an integer from 1 to 64") !=
        std::string::npos);
  CHECK(complaint(testing::BonusSettings("icm", {{"bits", "5"}}))
            .find("option.bits: unknown option") != std::string::npos);
  v1::EvaluationSpec twice = testing::BonusSettings("icm", {});
  twice.add_bonus()->set_name("icm");
  CHECK(complaint(twice).find("given twice") != std::string::npos);
}

TEST_CASE("bonuses: states and memory stay within their bounds", "[unit]") {
  for (const BonusEntry* entry : Bonuses()) {
    CAPTURE(entry->name);
    Violations violations;
    const OptionValues options = SettingsOf(
        *entry, testing::BonusSettings(entry->name, SmallOptions(entry->name)), &violations);
    const auto bonus = entry->make(kSizes, options, {});
    for (uint32_t segment = 0; segment < 3; ++segment)
      Live(bonus.get(), StepsAround(100.0 * segment, 30, segment));
    CHECK(static_cast<int64_t>(bonus->Save().size()) <=
          entry->sizes(kSizes, options, /*steps=*/30, /*lifetime_steps=*/90).state);
  }
}

}  // namespace mentor::bonuses::TEST_FILE
