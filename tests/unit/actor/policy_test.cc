#include "actor/policy.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include "common/rng.h"

#include "tests/testing.h"

namespace mentor::actor {
namespace {

v1::PolicyWeights RandomWeights(uint32_t d, uint32_t h, uint32_t a) {
  v1::PolicyWeights weights;
  weights.set_observation_size(d);
  weights.set_network(v1::POLICY_NETWORK_MLP);
  weights.set_hidden_units(h);
  weights.set_action_size(a);
  const RandomStream random{.seed = 5, .purpose = Purpose::kTest};
  std::vector<double> normals(h * d + h + h * h + h + a * h + a + a);
  random.Normals(0, normals);
  for (const double normal : normals) {
    const float value = static_cast<float>(0.3 * normal);
    weights.mutable_weights()->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return weights;
}

// A straight double-precision forward pass over the wire's row-major numbers.
std::vector<double> Reference(const v1::PolicyWeights& weights, const std::vector<float>& observation) {
  std::vector<float> numbers(weights.weights().size() / sizeof(float));
  std::memcpy(numbers.data(), weights.weights().data(), weights.weights().size());
  const float* w = numbers.data();
  const auto layer = [&](const std::vector<double>& in, uint32_t out_size, bool activate) {
    const float* matrix = w;
    const float* bias = w + in.size() * out_size;
    std::vector<double> out(out_size);
    for (uint32_t o = 0; o < out_size; ++o) {
      double sum = bias[o];
      for (size_t i = 0; i < in.size(); ++i) sum += static_cast<double>(matrix[o * in.size() + i]) * in[i];
      out[o] = activate ? std::tanh(sum) : sum;
    }
    w = bias + out_size;
    return out;
  };
  const std::vector<double> input(observation.begin(), observation.end());
  const uint32_t h = weights.hidden_units();
  return layer(layer(layer(input, h, true), h, true), weights.action_size(), false);
}

TEST_CASE("policy: the forward pass for sizes that fill no vector register", "[unit]") {
  for (const auto& [d, h, a] : {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {1u, 1u, 1u}, {5u, 17u, 9u}}) {
    INFO("D=" << d << " H=" << h << " A=" << a);
    const v1::PolicyWeights weights = RandomWeights(d, h, a);
    Policy policy;
    REQUIRE(policy.Load(weights).ok());
    std::vector<float> observation(d), mean(a);
    for (uint32_t i = 0; i < d; ++i) observation[i] = 0.5f - 0.07f * static_cast<float>(i);
    policy.Mean(observation, mean);
    const auto want = Reference(weights, observation);
    for (uint32_t j = 0; j < a; ++j) CHECK(mentor::testing::Near(mean[j], want[j], {.rel = 1e-5, .abs = 1e-5}));
  }
}

// Where the numbers lie in memory, and what was computed before, must not show in the last bits.
TEST_CASE("policy: bits depend on nothing but weights and observation", "[unit]") {
  for (const auto& [d, h, a] : {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {6u, 10u, 3u}}) {
    const v1::PolicyWeights weights = RandomWeights(d, h, a);
    std::vector<float> first;
    for (size_t shift = 0; shift < 9; ++shift) {
      Policy policy;
      if (shift % 2 == 1) REQUIRE(policy.Load(RandomWeights(9, 33, 5)).ok());  // Used for another agent before.
      REQUIRE(policy.Load(weights).ok());
      std::vector<float> storage(d + a + 32);
      const std::span observation(storage.data() + shift, d), mean(storage.data() + shift + d, a);
      for (uint32_t i = 0; i < d; ++i) observation[i] = 0.3f - 0.05f * static_cast<float>(i);
      policy.Mean(observation, mean);
      if (shift == 0) first.assign(mean.begin(), mean.end());
      REQUIRE(std::memcmp(first.data(), mean.data(), a * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("policy: wrong weights are refused", "[unit]") {
  const auto message = [](const v1::PolicyWeights& weights) { return std::string(Policy().Load(weights).message()); };
  v1::PolicyWeights weights = RandomWeights(3, 4, 2);
  CHECK(message(weights).empty());
  weights.mutable_weights()->pop_back();
  CHECK(message(weights) == "policy: weights have 191 bytes, sizes 3-4-2 need 192");
  weights = RandomWeights(3, 4, 2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(weights.mutable_weights()->data() + 5 * sizeof(float), &nan, sizeof(nan));
  CHECK(message(weights) == "policy: weight 5 is not finite");
  weights = RandomWeights(3, 4, 2);
  weights.set_hidden_units(0);
  CHECK_FALSE(message(weights).empty());
  weights.set_hidden_units(0xffffffff);
  weights.set_observation_size(0xffffffff);
  CHECK_FALSE(message(weights).empty());
}

TEST_CASE("policy: the density belongs to the unclipped action", "[unit]") {
  Policy policy;
  REQUIRE(policy.Load(RandomWeights(3, 4, 2)).ok());
  const std::vector<float> observation = {0.1f, 0.2f, -0.3f};
  std::vector<float> mean(2), action(2);
  float at_mean = 0, at_action = 0;
  policy.Deterministic(observation, mean, &at_mean);
  const std::vector<double> noise = {8.0, -6.0};  // Far beyond the clip.
  policy.Sample(observation, noise, action, &at_action);
  CHECK(std::abs(action[0]) > 1);
  // -(8^2 + 6^2) / 2 whatever the standard deviation is.
  CHECK(mentor::testing::Near(at_action - at_mean, -50, {.abs = 1e-3}));
}

}  // namespace
}  // namespace mentor::actor
