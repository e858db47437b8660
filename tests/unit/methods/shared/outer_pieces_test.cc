#include <algorithm>
#include <cmath>
#include <set>

#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo.h"
#include "methods/shared/reward_normaliser.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using testing::Near;

// methods/black_box/README.md#meta-advantage as it is written: every sum from its definition,
// powers from pow.
struct BruteForce {
  const MetaAdvantageConfig& config;
  const std::vector<double>& rewards;
  const std::vector<double>& values;
  std::vector<int64_t> episodes;

  BruteForce(const MetaAdvantageConfig& config, const std::vector<double>& rewards,
             const std::vector<double>& values, const std::vector<uint8_t>& prev_done)
      : config(config), rewards(rewards), values(values) {
    int64_t e = 0;
    for (uint8_t done : prev_done) episodes.push_back(e += done);
  }

  double Estimate(int64_t t, int64_t n, int64_t skipped) const {
    const int64_t a = t + skipped;
    double sum = 0;
    for (int64_t j = a; j < t + n; ++j)
      sum += std::pow(config.gamma, episodes[j] - episodes[a]) * rewards[j];
    return sum + std::pow(config.gamma, episodes[t + n] - episodes[a]) * values[t + n] - values[t];
  }

  // NaN where there is no estimate.
  double Advantage(int64_t t) const {
    const auto steps = static_cast<int64_t>(rewards.size());
    if (t == steps - 1) return rewards[t] - values[t];
    const int64_t skipped = config.estimator == MetaEstimator::kSkipping
                                ? config.steps_per_iteration - t % config.steps_per_iteration
                                : 0;
    for (const int64_t first : {config.starting_n, int64_t{1}}) {
      double sum = 0, weights = 0;
      int64_t used = 0;
      for (int64_t j = 0; j < config.num_estimates; ++j) {
        const int64_t n = first + config.skip_rate * j;
        if (t + n >= steps || skipped >= n) continue;
        const double weight = std::pow(config.lambda, used++);
        sum += weight * Estimate(t, n, skipped);
        weights += weight;
      }
      if (used > 0) return sum / weights;
    }
    return std::nan("");
  }
};

// One lifetime of one environment enters; what its rewards become.
std::vector<double> Update(RewardNormaliser* normaliser, const std::string& environment,
                           const std::vector<double>& rewards) {
  const torch::Tensor steps = torch::tensor(rewards, torch::kFloat64);
  normaliser->Add(environment, steps);
  normaliser->AddSquares({environment}, steps.unsqueeze(0));
  const torch::Tensor normalised = normaliser->Normalise(environment, steps, 1).contiguous();
  const double* x = normalised.const_data_ptr<double>();
  return {x, x + normalised.numel()};
}

// Nearly: divisors have 1e-7 added.
bool Are(const std::vector<double>& got, const std::vector<double>& want) {
  return std::equal(got.begin(), got.end(), want.begin(), want.end(),
                    [](double a, double b) { return Near(a, b, {.rel = 1e-4}); });
}

TEST_CASE("meta-advantage: agrees with its definition") {
  const RandomStream stream{.seed = 4};
  uint32_t number = 0;
  for (const auto estimator : {MetaEstimator::kSkipping, MetaEstimator::kBootstrapping}) {
    for (const double gamma : {0.0, 0.5, 0.9, 1.0}) {
      for (const double lambda : {0.0, 0.85, 1.0}) {
        for (const int64_t episode : {1, 3, 7}) {
          const int64_t steps = 120;
          const MetaAdvantageConfig config{.estimator = estimator,
                                           .steps_per_iteration = 40,
                                           .gamma = gamma,
                                           .lambda = lambda,
                                           .starting_n = 44,
                                           .num_estimates = 5,
                                           .skip_rate = 6};
          std::vector<double> rewards(steps), values(steps);
          std::vector<uint8_t> prev_done(steps);
          stream.Normals(number++, rewards);
          stream.Normals(number++, values);
          for (int64_t t = episode; t < steps; t += episode) prev_done[t] = 1;
          const MetaAdvantages got = EstimateMetaAdvantages(config, rewards, values, prev_done);
          const BruteForce brute(config, rewards, values, prev_done);
          for (int64_t t = 0; t < steps; ++t) {
            INFO("gamma " << gamma << ", lambda " << lambda << ", episodes of " << episode
                          << ", step " << t);
            const double want = brute.Advantage(t);
            REQUIRE(got.valid[t] == !std::isnan(want));
            CHECK(
                Near(got.advantages[t], std::isnan(want) ? 0 : want, {.rel = 1e-10, .abs = 1e-11}));
            CHECK(got.returns[t] == (got.valid[t] ? got.advantages[t] + values[t] : 0));
          }
        }
      }
    }
  }
}

TEST_CASE("meta-advantage: a reward counts for the signals of earlier segments only") {
  const MetaAdvantageConfig config{
      .steps_per_iteration = 20, .starting_n = 22, .num_estimates = 1, .skip_rate = 1};
  std::vector<double> rewards(60), values(60);
  const std::vector<uint8_t> prev_done(60);
  rewards[25] = 1;  // This lies in the second of three segments.
  const MetaAdvantages got = EstimateMetaAdvantages(config, rewards, values, prev_done);
  for (int64_t t = 0; t < 40; ++t)
    CHECK((got.advantages[t] > 0) == (t >= 4 && t < 20));  // t + 22 > 25 from t = 4 on
}

TEST_CASE("meta-advantage: the first invalid step") {
  MetaAdvantageConfig config;  // The paper's.
  CHECK(FirstInvalidStep(config, 6000, 4000) == -1);
  CHECK(FirstInvalidStep(config, 6000, 6000) == 4000);
  CHECK(FirstInvalidStep(config, 4000, 2000) == -1);
  // Fallback 1, 301, 601, 901 reaches back to 1100 steps before the end of a segment.
  config.num_estimates = 4;
  CHECK(FirstInvalidStep(config, 6000, 4000) == -1);
  config.num_estimates = 1;  // Only n = 2200 and n = 1, which fails: from t + 2200 = 6000 on.
  CHECK(FirstInvalidStep(config, 6000, 4000) == 3800);
  config.estimator = MetaEstimator::kMonteCarlo;
  CHECK(FirstInvalidStep(config, 6000, 6000) == -1);
}

TEST_CASE("meta-advantage: the first invalid step of any lifetime is the first without estimate") {
  for (const MetaEstimator estimator : {MetaEstimator::kSkipping, MetaEstimator::kBootstrapping}) {
    for (const int64_t period : {1, 4, 7}) {
      for (const int64_t start : {1, 3, 9, 40}) {
        for (const int64_t rate : {1, 2, 5}) {
          for (const int64_t estimates : {1, 2, 4}) {
            const MetaAdvantageConfig config{.estimator = estimator,
                                             .steps_per_iteration = period,
                                             .starting_n = start,
                                             .num_estimates = estimates,
                                             .skip_rate = rate};
            const std::vector<double> zeros(28);
            const auto valid =
                EstimateMetaAdvantages(config, zeros, zeros, std::vector<uint8_t>(28)).valid;
            const int64_t first = std::find(valid.begin(), valid.end() - 1, 0) - valid.begin();
            INFO(period << " " << start << " " << rate << " " << estimates);
            CHECK(FirstInvalidStep(config, 28, 28) == (first == 27 ? -1 : first));
            CHECK(FirstInvalidStep(config, 28, 20) == (first >= 20 ? -1 : first));
          }
        }
      }
    }
  }
}

TEST_CASE("meta-advantage: a lifetime of a million million steps is not walked through") {
  const int64_t steps = 1'000'000'000'000, segment = 1'000'000;
  MetaAdvantageConfig config{.steps_per_iteration = segment,
                             .starting_n = 1'100'000,
                             .num_estimates = 6,
                             .skip_rate = 150'000};
  CHECK(FirstInvalidStep(config, steps, steps - segment) == -1);
  CHECK(FirstInvalidStep(config, steps, steps) == steps - segment);
}

TEST_CASE("reward normaliser: a mean near zero or below gives way to the root mean square") {
  RewardNormaliser normaliser;
  const auto update = [&](const std::vector<double>& rewards) {
    return Update(&normaliser, "a", rewards);
  };
  CHECK(Are(update({-3, -4}), {-3 / std::sqrt(12.5), -4 / std::sqrt(12.5)}));
  CHECK(Near(normaliser.NormalisedMean("a", 2), 2 * -3.5 / std::sqrt(12.5), {.rel = 1e-4}));
  // It stays when the mean becomes positive, so that nothing jumps.
  CHECK(Are(update({9, 9}), std::vector(2, 9 / std::sqrt((12.5 + 81) / 2))));
  CHECK(normaliser.Mean("a") == 2.75);

  // Relative to the rewards' size, whatever their unit.
  for (const double unit : {1e-3, 1e3}) {
    INFO(unit);
    RewardNormaliser other;
    CHECK(Are(Update(&other, "clear", {9 * unit, 11 * unit}), {0.9, 1.1}));
    CHECK(Update(&other, "near", {unit, -0.99 * unit})[1] < -0.9);
    CHECK(other.NormalisedMean("clear", 2) == 2);
  }
  // A constant of 0 stays 0.
  CHECK(Update(&normaliser, "nothing", {0, 0}) == std::vector<double>{0, 0});
}

TEST_CASE("reward normaliser: one unusual update leaves a clear mean alone") {
  RewardNormaliser normaliser;
  const auto is_clear = [&](const std::vector<double>& rewards) {
    Update(&normaliser, "a", rewards);
    return normaliser.statistics().at("a").square_count == 0;
  };
  CHECK(is_clear({1, 1}));
  CHECK(is_clear({8, -7.9}));  // Alone it would be near 0.
  for (int i = 0; i < 200; ++i) CHECK(is_clear({0.1, 0.1}));
  CHECK(is_clear({50, 50}));  // The running mean is far below it.
  CHECK_FALSE(is_clear({50, -49.9}));
}

TEST_CASE("reward normaliser: an environment takes no sums of another, whatever the order") {
  // Lives of a: means 1 and 3; of b: 100, below zero in its second update.
  RewardNormaliser together;
  together.Add("b", torch::tensor({100.0}, torch::kFloat64));
  for (const double mean : {1.0, 3.0}) together.Add("a", torch::tensor({mean}, torch::kFloat64));
  together.AddSquares({"a", "b", "a"}, torch::tensor({{1.0}, {100.0}, {3.0}}, torch::kFloat64));
  CHECK(together.Mean("a") == 2);
  CHECK(together.Mean("b") == 100);
  for (int i = 0; i < 2; ++i) together.Add("a", torch::tensor({-9.0}, torch::kFloat64));
  together.Add("b", torch::tensor({-500.0}, torch::kFloat64));
  together.AddSquares({"a", "b", "a"}, torch::tensor({{-9.0}, {-500.0}, {-9.0}}, torch::kFloat64));
  // Squares of the second update alone: 81 and 81, and 500^2.
  const auto& statistics = together.statistics();
  CHECK(statistics.at("a").sum == 1 + 3 - 18);
  CHECK(statistics.at("a").square_sum == 162);
  CHECK(statistics.at("a").square_count == 2);
  CHECK(statistics.at("b").sum == -400);
  CHECK(statistics.at("b").square_sum == 250'000);
  CHECK(statistics.at("b").square_count == 1);
}

TEST_CASE("reward normaliser: squares are part of the state where there are any") {
  RewardNormaliser normaliser;
  Update(&normaliser, "clear", {1, 2});
  Update(&normaliser, "falls", {1, 2});
  Update(&normaliser, "falls", {-3, -3});
  TensorMap state;
  normaliser.Save(&state);
  const auto numbers = [](std::vector<double> x) { return torch::tensor(x, torch::kFloat64); };
  REQUIRE(state.size() == 2);
  CHECK(state.at("normaliser/clear").equal(numbers({1.5, 1})));
  CHECK(state.at("normaliser/falls").equal(numbers({-1.5, 2, 9, 1})));

  RewardNormaliser loaded;
  REQUIRE(loaded.Load(state).ok());
  for (const char* environment : {"clear", "falls"})
    CHECK(Update(&loaded, environment, {1, -2}) == Update(&normaliser, environment, {1, -2}));

  // More squares than lifetimes, none, a negative sum, three numbers.
  for (const std::vector<double>& bad : std::vector<std::vector<double>>{
           {-1.5, 2, 9, 3}, {-1.5, 2, 9, 0}, {-1.5, 2, -9, 1}, {-1.5, 2, 9}}) {
    INFO(torch::str(numbers(bad)));
    const absl::Status status = loaded.Load({{"normaliser/a", numbers(bad)}});
    CHECK_THAT(std::string(status.message()), Catch::Contains("'normaliser/a'"));
    CHECK(loaded.statistics().size() == 2);
  }
}

TEST_CASE("pieces: cover the steps in order, lengths differ by at most one") {
  for (const auto& [n, k] :
       {std::pair<int64_t, int64_t>{4000, 400}, {200, 50}, {23, 5}, {20, 10}, {7, 1}}) {
    for (int64_t d = 1; d <= k; ++d) {
      const auto pieces = SplitIntoPieces(n, k, d);
      REQUIRE(static_cast<int64_t>(pieces.size()) == n / k);
      CHECK(pieces[0].begin == 0);
      CHECK(pieces[0].end == d);
      for (size_t i = 1; i < pieces.size(); ++i) {
        CHECK(pieces[i].begin == pieces[i - 1].end);
        const int64_t length = pieces[i].end - pieces[i].begin,
                      first = pieces[1].end - pieces[1].begin;
        CHECK((length == first || length == first - 1));
      }
      CHECK(pieces.back().end == n);
    }
  }
}

TEST_CASE("pieces: the greatest one is the longest of any displacement, in whole units") {
  // 20 steps of k 6 in units of 2 are 10 and 3: two parts after the first piece. A displacement of
  // 1 unit leaves 9, cut into 5 and 4: 10 steps. 12 steps: 6 and 3, a part of 5 units.
  CHECK(GreatestPiece(20, 6, 2) == 10);
  CHECK(GreatestPiece(12, 6, 2) == 10);
  CHECK(GreatestPiece(20, 6, 1) == 10);
  CHECK(GreatestPiece(40, 10, 10) == 10);  // Four pieces of a unit.
  for (const int64_t unit : {1, 2, 5, 10}) {
    for (int64_t k = unit; k <= 40; k += unit) {
      for (int64_t n = 2 * k; n <= 200; n += unit) {
        int64_t longest = 0;
        for (int64_t d = 1; d <= k / unit; ++d) {
          const std::vector<Piece> pieces = SplitIntoPieces(n, k, d, unit);
          REQUIRE(NumPieces(n, k) == std::ssize(pieces));
          for (const Piece& piece : pieces) longest = std::max(longest, piece.end - piece.begin);
        }
        INFO("n " << n << ", k " << k << ", unit " << unit);
        REQUIRE(GreatestPiece(n, k, unit) == longest);
      }
    }
  }
}

TEST_CASE("pieces: optimizer steps") {
  CHECK(StepBoundaries(5, 0) == std::vector<int64_t>{1, 2, 3, 4, 5});
  CHECK(StepBoundaries(10, 3) == std::vector<int64_t>{3, 6, 10});
  CHECK(StepBoundaries(10, 1) == std::vector<int64_t>{10});
}

TEST_CASE("displacements: different numbers from 1 to k, new ones for each outer update") {
  std::set<std::vector<int64_t>> all;
  std::set<int64_t> seen;
  for (uint32_t update = 0; update < 40; ++update) {
    const RandomStream stream{.seed = 1, .purpose = Purpose::kDisplacements, .lifetime = update};
    const auto drawn = DrawDisplacements(stream, 20, 12);
    CHECK(drawn == DrawDisplacements(stream, 20, 12));
    CHECK(drawn.size() == 12);
    CHECK(std::set<int64_t>(drawn.begin(), drawn.end()).size() == 12);
    CHECK(*std::min_element(drawn.begin(), drawn.end()) >= 1);
    CHECK(*std::max_element(drawn.begin(), drawn.end()) <= 20);
    all.insert(drawn);
    seen.insert(drawn.front());
  }
  CHECK(all.size() == 40);
  CHECK(seen.size() > 12);
}

TEST_CASE("advantages: standardised over the whole batch, unbiased") {
  // Mean 2, squares of differences 1 + 1 + 9 + 9 = 20, std sqrt(20 / 3).
  const torch::Tensor x = torch::tensor({{1.0, 3.0}, {-1.0, 5.0}}, torch::kFloat64);
  const torch::Tensor want = (x - 2) / (std::sqrt(20.0 / 3) + 1e-8);
  CHECK((StandardiseAdvantages(x) - want).abs().max().item<double>() < 1e-15);
  CHECK(StandardiseAdvantages(torch::full({2, 2}, 4.0)).eq(0).all().item<bool>());
  CHECK(StandardiseAdvantages(torch::full({2}, 4.0)).eq(0).all().item<bool>());  // The fewest.
  // A floor below the deviation changes no bit; above it, it divides in its place.
  CHECK(StandardiseAdvantages(x, 1e-9).equal(StandardiseAdvantages(x)));
  const torch::Tensor centred = x.to(torch::kFloat64) - x.to(torch::kFloat64).mean();
  CHECK((StandardiseAdvantages(x, 1e3) - centred / 1e3).abs().max().item<double>() < 1e-12);
}

}  // namespace mentor::methods::TEST_FILE
