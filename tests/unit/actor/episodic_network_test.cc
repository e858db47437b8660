// The policy that looks its values up, and how greedily it acts.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "actor/actor_policy.h"
#include "actor/unit_runner.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::actor::TEST_FILE {

using mentor::testing::Near;

struct Rows {
  std::vector<float> keys, values;
};

void Append(const std::vector<float>& numbers, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
}

v1::PolicyWeights Weights(uint32_t d, uint32_t key, uint32_t hidden,
                          const std::vector<float>& encoder, const std::vector<Rows>& tables,
                          v1::LookupKernel kernel = v1::LOOKUP_KERNEL_MEAN) {
  v1::PolicyWeights weights;
  weights.set_network(v1::POLICY_NETWORK_EPISODIC);
  weights.set_discrete(true);
  weights.set_observation_size(d);
  weights.set_action_size(static_cast<uint32_t>(tables.size()));
  v1::EpisodicSizes& sizes = *weights.mutable_episodic();
  sizes.set_key(key);
  sizes.set_hidden(hidden);
  sizes.set_neighbours(2);
  sizes.set_kernel(kernel);
  sizes.set_delta(0.5);
  sizes.set_epsilon(0.2);
  Append(encoder, weights.mutable_weights());
  for (const Rows& rows : tables) {
    const auto n = static_cast<int32_t>(rows.values.size());
    weights.mutable_weights()->append(reinterpret_cast<const char*>(&n), sizeof(n));
    Append(rows.keys, weights.mutable_weights());
    Append(rows.values, weights.mutable_weights());
  }
  return weights;
}

std::vector<float> Values(const v1::PolicyWeights& weights, const std::vector<float>& observation) {
  Policy policy;
  const absl::Status loaded = policy.Load(weights);
  INFO(loaded);
  REQUIRE(loaded.ok());
  REQUIRE(policy.is_greedy());
  std::vector<float> values(weights.action_size());
  policy.Mean(observation, values);
  return values;
}

// Three rows at 0, 1 and 3 on a line, one, and none.
const std::vector<Rows> kTables = {{{0, 1, 3}, {10, 20, 60}}, {{5}, {7}}, {{}, {}}};

TEST_CASE("episodic policy: an equal key has its value, others the mean of the nearest", "[unit]") {
  const v1::PolicyWeights weights = Weights(1, 1, 0, {}, kTables);
  CHECK(Values(weights, {1}) == std::vector<float>{20, 7, 0});     // the row itself
  CHECK(Values(weights, {0.4F}) == std::vector<float>{15, 7, 0});  // rows 0 and 1
  CHECK(Values(weights, {2.5F}) == std::vector<float>{40, 7, 0});  // rows 1 and 2
  CHECK(Values(weights, {2}) == std::vector<float>{40, 7, 0});     // 1 and 1 and 4 away
  // Among rows at equal distance the lower one counts.
  v1::PolicyWeights one = Weights(1, 1, 0, {}, {{{1, -1}, {3, 5}}});
  one.mutable_episodic()->set_neighbours(1);
  CHECK(Values(one, {0}) == std::vector<float>{3});
  // So near that the squared distance is 0 in float32, yet another key.
  CHECK(Values(Weights(1, 1, 0, {}, {{{1e-30F, 4}, {3, 5}}}), {0}) == std::vector<float>{4});
}

TEST_CASE("episodic policy: neighbours by the inverse of their distance", "[unit]") {
  const v1::PolicyWeights weights = Weights(1, 1, 0, {}, kTables, v1::LOOKUP_KERNEL_INVERSE);
  // Squared distances 0 and 1 to rows 1 and 0, so weights 2 and 2/3.
  CHECK(Near(Values(weights, {1})[0], (2 * 20 + 10 / 1.5) / (2 + 1 / 1.5), {.rel = 1e-6}));
  CHECK(Near(Values(weights, {1})[1], 7, {.rel = 1e-6}));
  CHECK(Values(weights, {1})[2] == 0);
}

TEST_CASE("episodic policy: keys by a projection and by an encoder", "[unit]") {
  // K = 1, D = 2: key = 2 o1 - o2.
  CHECK(Values(Weights(2, 1, 0, {2, -1}, kTables), {1, 1}) == std::vector<float>{20, 7, 0});
  // D = 2, H = 1, K = 1: key = 3 tanh(o1 + 2 o2 + 0.5) + 1.
  const std::vector<float> encoder = {1, 2, 0.5F, 3, 1};
  const auto key = static_cast<float>(3 * std::tanh(0.25 + 2 * 0.125 + 0.5) + 1);
  CHECK(Near(Values(Weights(2, 1, 1, encoder, {{{key - 0.01F, key + 0.02F, 50}, {1, 2, 9}}},
                            v1::LOOKUP_KERNEL_INVERSE),
                    {0.25F, 0.125F})[0],
             1 + (1 / 0.5004) / (1 / 0.5001 + 1 / 0.5004), {.rel = 1e-5}));
}

// A straight sum over every row, in double, for keys of many sizes.
TEST_CASE("episodic policy: distances of keys that fill no vector register", "[unit]") {
  for (const uint32_t k : {1U, 7U, 8U, 9U, 64U}) {
    INFO("K=" << k);
    constexpr int kRows = 40;
    std::vector<double> normals(static_cast<size_t>(kRows) * k + k + kRows);
    RandomStream{.seed = 6, .purpose = Purpose::kTest, .lifetime = k}.Normals(0, normals);
    Rows rows;
    for (uint32_t i = 0; i < kRows * k; ++i) rows.keys.push_back(static_cast<float>(normals[i]));
    for (int i = 0; i < kRows; ++i)
      rows.values.push_back(static_cast<float>(normals[kRows * k + static_cast<size_t>(i)]));
    std::vector<float> observation;
    for (uint32_t i = 0; i < k; ++i)
      observation.push_back(static_cast<float>(normals[kRows * k + kRows + i]));
    std::vector<std::pair<double, int>> order;
    for (int row = 0; row < kRows; ++row) {
      double distance = 0;
      for (uint32_t i = 0; i < k; ++i) {
        const double difference =
            double{rows.keys[static_cast<size_t>(row) * k + i]} - double{observation[i]};
        distance += difference * difference;
      }
      order.emplace_back(distance, row);
    }
    std::sort(order.begin(), order.end());
    double sum = 0, weights = 0;
    for (int i = 0; i < 2; ++i) {
      const auto& [distance, row] = order[static_cast<size_t>(i)];
      sum += rows.values[static_cast<size_t>(row)] / (distance + 0.5);
      weights += 1 / (distance + 0.5);
    }
    CHECK(Near(Values(Weights(k, k, 0, {}, {rows}, v1::LOOKUP_KERNEL_INVERSE), observation)[0],
               sum / weights, {.rel = 1e-5, .abs = 1e-6}));
  }
}

TEST_CASE("episodic policy: explores with its epsilon, and takes equals alike", "[unit]") {
  // Values 7, 7, 0 at 5: two greatest.
  Policy policy;
  REQUIRE(policy.Load(Weights(1, 1, 0, {}, {{{5}, {7}}, {{5}, {7}}, {{}, {}}})).ok());
  const RandomStream random{.seed = 3, .purpose = Purpose::kExploration};
  const std::vector<float> observation = {5};
  constexpr uint32_t kSteps = 20000;
  std::map<int, int> explored, greedy;
  for (uint32_t step = 0; step < kSteps; ++step) {
    std::vector<float> action(3);
    float log_prob = 0;
    const auto choice = [&] {
      return static_cast<int>(std::max_element(action.begin(), action.end()) - action.begin());
    };
    policy.TakeGreatest(observation, random, step, /*explore=*/true, action, &log_prob);
    CHECK(std::count(action.begin(), action.end(), 1.0F) == 1);
    ++explored[choice()];
    // 0.8 / 2 + 0.2 / 3 for each of the greatest, 0.2 / 3 for the other.
    const double probability = choice() < 2 ? 0.4 + 0.2 / 3 : 0.2 / 3;
    CHECK(Near(log_prob, std::log(probability), {.rel = 1e-6}));
    policy.TakeGreatest(observation, random, step, /*explore=*/false, action, &log_prob);
    ++greedy[choice()];
  }
  // Four standard deviations of a share of 20000.
  CHECK(Near(explored[0] / double{kSteps}, 0.4 + 0.2 / 3, {.abs = 0.015}));
  CHECK(Near(explored[1] / double{kSteps}, 0.4 + 0.2 / 3, {.abs = 0.015}));
  CHECK(Near(explored[2] / double{kSteps}, 0.2 / 3, {.abs = 0.008}));
  CHECK(Near(greedy[0] / double{kSteps}, 0.5, {.abs = 0.015}));
  CHECK(greedy[2] == 0);
}

TEST_CASE("episodic policy: wrong weights are refused before memory is taken", "[unit]") {
  const v1::PolicyWeights good = Weights(2, 1, 0, {2, -1}, kTables);
  const auto message = [](const v1::PolicyWeights& weights) {
    return std::string(Policy().Load(weights).message());
  };
  const auto with = [&](const auto& change) {
    v1::PolicyWeights weights = good;
    change(&weights, weights.mutable_episodic());
    return message(weights);
  };
  using Policy = v1::PolicyWeights*;
  using Sizes = v1::EpisodicSizes*;
  CHECK(message(good).empty());
  CHECK(with([](Policy policy, Sizes) { policy->set_discrete(false); }) ==
        "policy: values are looked up for discrete actions only");
  CHECK(with([](Policy policy, Sizes) { policy->set_observation_size(0); }) ==
        "policy: sizes 0, 3, 1; each must be 1 to 65536");
  CHECK(with([](Policy, Sizes sizes) { sizes->set_key(0xffffffff); }) ==
        "policy: sizes 2, 3, 4294967295; each must be 1 to 65536");
  CHECK(with([](Policy, Sizes sizes) { sizes->set_hidden(65537); }) ==
        "policy: 65537 hidden units; at most 65536 are allowed");
  CHECK(with([](Policy policy, Sizes sizes) {
          policy->set_observation_size(65536);
          sizes->set_hidden(65536);
          sizes->set_key(65536);
        }) == "policy: weights have 52 bytes, its encoder needs 34360262656");
  CHECK(with([](Policy, Sizes sizes) { sizes->set_neighbours(0); }) ==
        "policy: 0 neighbours; 1 to 1000000 are allowed");
  CHECK(with([](Policy, Sizes sizes) { sizes->set_kernel(v1::LOOKUP_KERNEL_UNSPECIFIED); }) ==
        "policy: lookup kernel 0 is not known");
  CHECK(with([](Policy, Sizes sizes) {
          sizes->set_kernel(v1::LOOKUP_KERNEL_INVERSE);
          sizes->set_delta(0);
        }) == "policy: delta must be a positive number");
  for (const double epsilon : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(with([&](Policy, Sizes sizes) { sizes->set_epsilon(epsilon); }) ==
          "policy: epsilon must lie between 0 and 1");
  }
  // Encoder 8 bytes, then 4 + 24, 4 + 8 and 4 of the tables.
  const auto write = [](Policy policy, size_t place, int32_t number) {
    std::memcpy(policy->mutable_weights()->data() + place, &number, sizeof(number));
  };
  CHECK(with([&](Policy policy, Sizes) { write(policy, 8, 0x7fffffff); }) ==
        "policy: weights have 52 bytes, the table of action 0 has 2147483647 rows");
  CHECK(with([&](Policy policy, Sizes) { write(policy, 8, -1); }) ==
        "policy: weights have 52 bytes, the table of action 0 has -1 rows");
  CHECK(with([&](Policy policy, Sizes) { write(policy, 8, 5); }) ==
        "policy: weights have 52 bytes, action 1 has no table");
  CHECK(with([](Policy policy, Sizes) { policy->mutable_weights()->append(4, '\0'); }) ==
        "policy: weights have 56 bytes, more than encoder and tables");
  CHECK(with([](Policy policy, Sizes) { policy->mutable_weights()->pop_back(); }) ==
        "policy: weights have 51 bytes, action 2 has no table");
  CHECK(with([&](Policy policy, Sizes) { write(policy, 16, 0x7f800000); }) ==
        "policy: a weight is not finite");
  for (size_t bytes = 0; bytes < good.weights().size(); ++bytes) {
    INFO(bytes);
    CHECK_FALSE(
        with([&](Policy policy, Sizes) { policy->mutable_weights()->resize(bytes); }).empty());
  }
}

TEST_CASE("episodic policy: a unit is the same in one piece and in two", "[unit]") {
  v1::Unit whole = mentor::testing::NewUnit(1, 120);
  whole.mutable_task()->set_environment("maze");
  whole.mutable_task()->add_parameters(5);
  *whole.mutable_policy() =
      Weights(2, 2, 0, {}, {{{0, 0}, {1}}, {{0, 0}, {1}}, {{0.5F, 0.5F}, {0.9F}}, {{}, {}}});
  whole.set_return_state(true);
  v1::Unit first = whole;
  first.set_steps(50);
  UnitRunner runner;
  const v1::Result all = runner.Run(whole), begun = runner.Run(first);
  INFO(all.error());
  REQUIRE(all.error().empty());
  v1::Unit rest = whole;
  rest.set_first_step(whole.first_step() + 50);
  rest.set_steps(70);
  rest.set_state(begun.final_state());
  const v1::Result ended = runner.Run(rest);
  CHECK(begun.trajectory().actions().data() + ended.trajectory().actions().data() ==
        all.trajectory().actions().data());
  CHECK(begun.trajectory().log_probs().data() + ended.trajectory().log_probs().data() ==
        all.trajectory().log_probs().data());
  whole.set_deterministic(true);
  CHECK(runner.Run(whole).trajectory().actions().data() != all.trajectory().actions().data());
}

}  // namespace mentor::actor::TEST_FILE
