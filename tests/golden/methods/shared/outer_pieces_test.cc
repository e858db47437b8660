// Pieces of the black-box rule that need no network: normaliser, meta-advantage, piece bounds.
#include <map>

#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo.h"
#include "methods/shared/reward_normaliser.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using testing::CheckNear;
using testing::GoldenTolerance;
using testing::Json;
using testing::Near;
using testing::ReadGolden;
using testing::Tolerance;
using testing::ToTensor;
using torch::Tensor;

std::vector<double> Numbers(const Json& tensor) {
  return tensor.at("data").get<std::vector<double>>();
}

Tensor FromNumbers(const std::vector<double>& numbers) {
  return torch::tensor(numbers, torch::kFloat64);
}

MetaAdvantageConfig ReadConfig(const Json& test) {
  const auto estimators = MetaEstimators();
  const std::map<std::string, MetaEstimator> by_name(estimators.begin(), estimators.end());
  return {.estimator = by_name.at(test.at("method").get<std::string>()),
          .steps_per_iteration = test.at("T"),
          .gamma = test.at("gamma"),
          .lambda = test.at("lambda"),
          .starting_n = test.at("starting_n"),
          .num_estimates = test.at("num_n_step_estimates"),
          .skip_rate = test.at("skip_rate")};
}

TEST_CASE("golden: reward normaliser") {
  const Json file = ReadGolden("reward_normaliser");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
      const Tolerance tolerance =
          dtype == torch::kFloat64 ? GoldenTolerance(file) : Tolerance{.rel = 1e-5, .abs = 0};
      RewardNormaliser normaliser;
      for (const Json& batch : test.at("batches")) {
        const auto environments = batch.at("env").get<std::vector<std::string>>();
        const Tensor rewards = ToTensor(batch.at("rewards"), dtype);
        for (size_t i = 0; i < environments.size(); ++i)
          normaliser.Add(environments[i], rewards[i]);
        normaliser.AddSquares(environments, rewards);
        const Tensor want = ToTensor(batch.at("normalised"));
        for (size_t i = 0; i < environments.size(); ++i) {
          CheckNear("normalised",
                    normaliser.Normalise(environments[i], rewards[i], test.at("target_mean")),
                    want[i], tolerance);
        }
        REQUIRE(normaliser.statistics().size() == batch.at("running_mean_after").size());
        for (const auto& [environment, mean] : batch.at("running_mean_after").items()) {
          CHECK(Near(normaliser.Mean(environment), mean, tolerance));
          CHECK(normaliser.statistics().at(environment).count ==
                batch.at("lifetimes_seen_after").at(environment).get<int64_t>());
        }
        RuleReport report;
        normaliser.AddTo(&report);
        const Json roots = batch.value("running_rms_after", Json::object());
        CHECK(report.size() == normaliser.statistics().size() + roots.size());
        for (const auto& [environment, root] : roots.items())
          CHECK(Near(report.at("reward_rms/" + environment), root, tolerance));
      }
    }
  }
}

TEST_CASE("golden: meta-advantage") {
  const Json file = ReadGolden("meta_advantage");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const MetaAdvantageConfig config = ReadConfig(test);
    const int64_t steps = test.at("L"), episode = test.at("episode_steps");
    std::vector<double> rewards, values;
    std::vector<uint8_t> prev_done;
    if (test.contains("rewards")) {
      rewards = Numbers(test.at("rewards"));
      values = Numbers(test.at("values"));
      for (double done : Numbers(test.at("prev_done"))) prev_done.push_back(done != 0);
    } else {
      const int64_t reward_multiplier = test.at("reward_multiplier"),
                    value_multiplier = test.at("value_multiplier");
      for (int64_t t = 0; t < steps; ++t) {
        rewards.push_back(static_cast<double>(t * reward_multiplier % 1000) / 1000 * 2e-4);
        values.push_back((static_cast<double>(t * value_multiplier % 997) / 997 - 0.5) * 0.5);
        prev_done.push_back(t > 0 && t % episode == 0);
      }
    }
    REQUIRE(static_cast<int64_t>(rewards.size()) == steps);
    const MetaAdvantages got = EstimateMetaAdvantages(config, rewards, values, prev_done);
    const Tensor advantages = FromNumbers(got.advantages), returns = FromNumbers(got.returns);
    const Tensor valid = FromNumbers(std::vector<double>(got.valid.begin(), got.valid.end()));
    if (test.contains("advantages")) {
      CheckNear("advantages", advantages, ToTensor(test.at("advantages")), GoldenTolerance(file));
      CheckNear("returns", returns, ToTensor(test.at("returns")), GoldenTolerance(file));
      CheckNear("valid", valid, ToTensor(test.at("valid")), {});
    } else {
      const Tensor at = ToTensor(test.at("at"), torch::kInt64);
      CheckNear("advantages", advantages.index_select(0, at), ToTensor(test.at("advantages_at")),
                GoldenTolerance(file));
      CheckNear("returns", returns.index_select(0, at), ToTensor(test.at("returns_at")),
                GoldenTolerance(file));
      CheckNear("valid", valid.index_select(0, at), ToTensor(test.at("valid_at")), {});
      const Tensor first = advantages.narrow(0, 0, 4000);
      CHECK(Near(first.sum().item<double>(), test.at("sum_of_advantages_first_4000"),
                 GoldenTolerance(file)));
      CHECK(Near(first.square().sum().item<double>(), test.at("sum_of_squares_first_4000"),
                 GoldenTolerance(file)));
    }
    // The rule asks beforehand which steps will have an estimate.
    int64_t first_invalid = -1;
    for (int64_t t = 0; t < steps && first_invalid < 0; ++t) {
      if (!got.valid[t]) first_invalid = t;
    }
    CHECK(FirstInvalidStep(config, steps, steps) == first_invalid);
  }
}

TEST_CASE("golden: pieces of truncated backpropagation through time") {
  for (const char* name : {"tbptt_split", "tbptt_units"}) {
    const Json file = ReadGolden(name);
    for (const Json& test : file.at("cases")) {
      const int64_t n = test.at("n"), k = test.at("k"), displacement = test.at("displacement"),
                    unit = test.value("unit", 1);
      INFO("n " << n << ", k " << k << ", unit " << unit << ", displacement " << displacement);
      std::vector<double> got;
      for (const Piece& piece : SplitIntoPieces(n, k, displacement, unit)) {
        got.push_back(static_cast<double>(piece.begin));
        got.push_back(static_cast<double>(piece.end));
        CHECK(piece.end - piece.begin <= GreatestPiece(n, k, unit));
      }
      CHECK(got == Numbers(test.at("pieces")));
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
