#include "actor/actor_policy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include "common/rng.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::actor::TEST_FILE {

void AppendNormals(size_t count, v1::PolicyWeights* weights) {
  std::vector<double> normals(count);
  RandomStream{.seed = 5, .purpose = Purpose::kTest}.Normals(0, normals);
  for (const double normal : normals) {
    const float value = static_cast<float>(0.3 * normal);
    weights->mutable_weights()->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
}

v1::PolicyWeights RandomWeights(uint32_t d, uint32_t h, uint32_t a) {
  v1::PolicyWeights weights;
  weights.set_observation_size(d);
  weights.set_network(v1::POLICY_NETWORK_MLP);
  weights.set_hidden_units(h);
  weights.set_action_size(a);
  AppendNormals(h * d + h + h * h + h + a * h + a + a, &weights);
  return weights;
}

// A straight double-precision forward pass over the wire's row-major numbers.
std::vector<double> Reference(const v1::PolicyWeights& weights,
                              const std::vector<float>& observation) {
  std::vector<float> numbers(weights.weights().size() / sizeof(float));
  std::memcpy(numbers.data(), weights.weights().data(), weights.weights().size());
  const float* w = numbers.data();
  const auto layer = [&](const std::vector<double>& in, uint32_t out_size, bool activate) {
    const float* matrix = w;
    const float* bias = w + in.size() * out_size;
    std::vector<double> out(out_size);
    for (uint32_t o = 0; o < out_size; ++o) {
      double sum = bias[o];
      for (size_t i = 0; i < in.size(); ++i)
        sum += static_cast<double>(matrix[o * in.size() + i]) * in[i];
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
  for (const auto& [d, h, a] :
       {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {1u, 1u, 1u}, {5u, 17u, 9u}}) {
    INFO("D=" << d << " H=" << h << " A=" << a);
    const v1::PolicyWeights weights = RandomWeights(d, h, a);
    Policy policy;
    REQUIRE(policy.Load(weights).ok());
    std::vector<float> observation(d), mean(a);
    for (uint32_t i = 0; i < d; ++i) observation[i] = 0.5f - 0.07f * static_cast<float>(i);
    policy.Mean(observation, mean);
    const auto want = Reference(weights, observation);
    for (uint32_t j = 0; j < a; ++j)
      CHECK(mentor::testing::Near(mean[j], want[j], {.rel = 1e-5, .abs = 1e-5}));
  }
}

// The last bits must not depend on addresses in memory or on earlier computations.
TEST_CASE("policy: bits depend on nothing but weights and observation", "[unit]") {
  for (const auto& [d, h, a] : {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {6u, 10u, 3u}}) {
    const v1::PolicyWeights weights = RandomWeights(d, h, a);
    std::vector<float> first;
    for (size_t shift = 0; shift < 9; ++shift) {
      Policy policy;
      if (shift % 2 == 1)
        REQUIRE(policy.Load(RandomWeights(9, 33, 5)).ok());  // Used for another agent before.
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

// The other networks, straight from their definitions, in double over the wire's numbers.
class Plain {
 public:
  explicit Plain(const v1::PolicyWeights& weights)
      : weights_(weights), numbers_(weights.weights().size() / sizeof(float)) {
    std::memcpy(numbers_.data(), weights.weights().data(), weights.weights().size());
  }

  using Vector = std::vector<double>;
  struct Output {
    Vector mean, log_std;
  };

  Output LayerNorm(const Vector& o) {
    const uint32_t h = weights_.hidden_units(), a = weights_.action_size();
    next_ = 0;
    Vector x = Affine(Tanh(Affine(o, h)), h);
    // gain and offset are the last 2 h numbers.
    const size_t gain = numbers_.size() - 2 * h, offset = numbers_.size() - h;
    double mean = 0, variance = 0;
    for (double y : x) mean += y / h;
    for (double y : x) variance += (y - mean) * (y - mean) / h;
    for (uint32_t i = 0; i < h; ++i) {
      const double z = (x[i] - mean) / std::sqrt(variance + 1e-5);
      x[i] = std::tanh(numbers_[gain + i] * z + numbers_[offset + i]);
    }
    Output output{Affine(x, a), {}};
    if (!weights_.discrete()) output.log_std = Take(a);
    return output;
  }
  Output StateStd(const Vector& o) {
    const uint32_t h = weights_.hidden_units(), a = weights_.action_size();
    next_ = 0;
    Output output;
    output.mean = Affine(Tanh(Affine(Tanh(Affine(o, h)), h)), a);
    output.log_std = Vector(a, Affine(Tanh(Affine(o, h)), 1)[0]);
    return output;
  }
  // `last`: action, success signal and done of the step before. m: the features from memory.
  Output Recurrent(const Vector& o, const Vector& last, Vector* h, Vector* c,
                   const Vector& m = {}) {
    const auto& n = weights_.recurrent();
    next_ = 0;
    const Vector side(last.end() - 2, last.end());
    const Vector code1 = Cat(Relu(Affine(Cat(o, last), n.encoder1())), side);
    const Vector z = Cat(Relu(Affine(code1, n.encoder2())), side);
    Vector gates((m.empty() ? 4 : 5) * n.lstm(), 0.0);
    AddProduct(z, &gates);
    AddProduct(*h, &gates);
    for (int bias = 0; bias < 2; ++bias) {
      const Vector b = Take(gates.size());
      for (size_t i = 0; i < gates.size(); ++i) gates[i] += b[i];
    }
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (uint32_t j = 0; j < n.lstm(); ++j) {
      const auto gate = [&](uint32_t block) { return gates[block * n.lstm() + j]; };
      (*c)[j] = sigmoid(gate(1)) * (*c)[j] + sigmoid(gate(0)) * std::tanh(gate(2));
      if (!m.empty()) (*c)[j] += sigmoid(gate(4)) * std::tanh(m[j]);
      (*h)[j] = sigmoid(gate(3)) * std::tanh((*c)[j]);
    }
    Output output;
    output.mean =
        Affine(Tanh(Affine(Tanh(Affine(*h, n.heads())), n.heads())), weights_.action_size());
    if (!weights_.discrete())
      output.log_std = Affine(Tanh(Affine(*h, n.heads())), weights_.action_size());
    return output;
  }

 private:
  Vector Take(size_t count) {
    const Vector taken(numbers_.begin() + static_cast<ptrdiff_t>(next_),
                       numbers_.begin() + static_cast<ptrdiff_t>(next_ + count));
    next_ += count;
    return taken;
  }
  void AddProduct(const Vector& in, Vector* out) {
    const Vector matrix = Take(in.size() * out->size());
    for (size_t o = 0; o < out->size(); ++o) {
      for (size_t i = 0; i < in.size(); ++i) (*out)[o] += matrix[o * in.size() + i] * in[i];
    }
  }
  Vector Affine(const Vector& in, uint32_t size) {
    Vector out(size, 0.0);
    AddProduct(in, &out);
    const Vector bias = Take(size);
    for (uint32_t o = 0; o < size; ++o) out[o] += bias[o];
    return out;
  }
  static Vector Tanh(Vector x) {
    for (double& y : x) y = std::tanh(y);
    return x;
  }
  static Vector Relu(Vector x) {
    for (double& y : x) y = std::max(y, 0.0);
    return x;
  }
  static Vector Cat(Vector x, const Vector& y) {
    x.insert(x.end(), y.begin(), y.end());
    return x;
  }

  const v1::PolicyWeights weights_;
  std::vector<float> numbers_;
  size_t next_ = 0;
};

constexpr mentor::testing::Tolerance kFloat{.rel = 2e-5, .abs = 2e-5};

std::vector<float> TestObservation(uint32_t d, uint32_t step) {
  std::vector<float> observation(d);
  for (uint32_t i = 0; i < d; ++i)
    observation[i] = std::sin(0.7f * static_cast<float>(i) + 1.3f * static_cast<float>(step));
  return observation;
}

// The policy now has the mean and density of `want`.
void CheckOutput(Policy* policy, const std::vector<float>& observation, const Plain::Output& want,
                 std::vector<float>* action) {
  const size_t a = want.mean.size();
  action->resize(a);
  float log_prob = 0;
  double expected = 0;
  if (policy->discrete()) {
    policy->Choose(observation, 0.6, *action, &log_prob);
    double sum = 0;
    for (const double logit : want.mean) sum += std::exp(logit);
    for (size_t i = 0; i < a; ++i) expected += (*action)[i] * (want.mean[i] - std::log(sum));
  } else {
    const std::vector<double> noise(a, 0.8);
    policy->Sample(observation, noise, *action, &log_prob);
    for (size_t i = 0; i < a; ++i) {
      const double std = std::exp(want.log_std[i]);
      CHECK(mentor::testing::Near((*action)[i], want.mean[i] + std * noise[i], kFloat));
      expected += -0.5 * 0.8 * 0.8 - want.log_std[i] - 0.5 * std::log(2 * M_PI);
    }
  }
  CHECK(mentor::testing::Near(log_prob, expected, {.rel = 1e-4, .abs = 1e-4}));
}

TEST_CASE("policy: layer normalisation before the second tanh, over the units alone", "[unit]") {
  for (const auto& [d, h, a] : {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {5u, 17u, 9u}}) {
    for (const bool discrete : {false, true}) {
      v1::PolicyWeights weights = RandomWeights(d, h, a);
      weights.clear_weights();
      weights.set_network(v1::POLICY_NETWORK_LAYER_NORM);
      weights.set_discrete(discrete);
      AppendNormals(h * d + h + h * h + h + a * h + a + (discrete ? 0 : a) + 2 * h, &weights);
      Policy policy;
      REQUIRE(policy.Load(weights).ok());
      const std::vector<float> observation = TestObservation(d, 1);
      std::vector<float> action;
      CheckOutput(&policy, observation,
                  Plain(weights).LayerNorm({observation.begin(), observation.end()}), &action);
    }
  }
}

TEST_CASE("policy: a std that depends on the observation, one for all actions", "[unit]") {
  for (const auto& [d, h, a] : {std::tuple{39u, 64u, 4u}, {3u, 7u, 2u}, {5u, 17u, 9u}}) {
    v1::PolicyWeights weights = RandomWeights(d, h, a);
    weights.clear_weights();
    weights.set_network(v1::POLICY_NETWORK_STATE_STD);
    AppendNormals(h * d + h + h * h + h + a * h + a + h * d + h + h + 1, &weights);
    Policy policy;
    REQUIRE(policy.Load(weights).ok());
    Plain plain(weights);
    for (uint32_t step = 0; step < 3; ++step) {
      const std::vector<float> observation = TestObservation(d, step);
      std::vector<float> action;
      CheckOutput(&policy, observation, plain.StateStd({observation.begin(), observation.end()}),
                  &action);
    }
    weights.set_discrete(true);
    CHECK(policy.Load(weights).message() ==
          "policy: a network with a state-dependent std has no discrete actions");
  }
}

TEST_CASE("policy: a recurrent policy remembers its steps and what came of them", "[unit]") {
  for (const bool discrete : {false, true}) {
    for (const auto& [lstm, heads] : {std::tuple{16u, 8u}, {5u, 11u}}) {
      const uint32_t d = 3, a = 2;
      const v1::PolicyWeights weights =
          mentor::testing::RandomRecurrentPolicy(d, a, discrete, 6, 4, lstm, heads);
      Policy policy;
      REQUIRE(policy.Load(weights).ok());
      for (int lifetime = 0; lifetime < 2; ++lifetime) {
        Plain plain(weights);
        std::vector<double> h(lstm), c(lstm), last(a + 2);
        for (uint32_t step = 0; step < 6; ++step) {
          const std::vector<float> observation = TestObservation(d, step);
          std::vector<float> action;
          CheckOutput(&policy, observation,
                      plain.Recurrent({observation.begin(), observation.end()}, last, &h, &c),
                      &action);
          const bool done = step == 3;
          const float signal = step == 2 ? 0.75f : 0.0f;
          policy.Remember(action, signal, done);
          last.assign(action.begin(), action.end());
          last.push_back(signal);
          last.push_back(done);
        }
        REQUIRE(policy.Load(weights).ok());  // A new lifetime.
      }
    }
  }
  v1::PolicyWeights weights = mentor::testing::RandomRecurrentPolicy(3, 2, false, 6, 4, 5, 3);
  weights.mutable_weights()->pop_back();
  CHECK_FALSE(Policy().Load(weights).ok());
  weights = mentor::testing::RandomRecurrentPolicy(3, 2, false, 6, 4, 5, 3);
  weights.mutable_recurrent()->set_lstm(0);
  CHECK(Policy().Load(weights).message() ==
        "policy: sizes 3, 6, 4, 0, 3, 2; each must be 1 to 65536");
}

// Five episodes of three steps: contexts A B A' C A, where A' lies near A. Each reads what the
// newest of its context, or the nearest within the radius, had left in the cell.
TEST_CASE("policy: a recurrent policy finds the cells of earlier episodes again", "[unit]") {
  const uint32_t d = 3, a = 2, steps = 3;
  const std::vector<std::vector<float>> contexts = {{0, 0}, {2, 0}, {0.25f, 0}, {0, 2}, {0, 0}};
  // The episode that is read; -1: none. With room for two, the first one is gone at the fifth.
  struct {
    uint32_t capacity;
    double radius;
    int reads[5];
  } const cases[] = {{10, 0.5, {-1, -1, 0, -1, 0}},
                     {10, 0.01, {-1, -1, -1, -1, 0}},
                     {2, 0.5, {-1, -1, 0, -1, 2}},
                     {10, 1e300, {-1, 0, 0, 0, 0}}};
  for (const bool discrete : {false, true}) {
    for (const uint32_t lstm : {5u, 16u}) {
      for (const bool reset : {true, false}) {
        for (const auto& [capacity, radius, reads] : cases) {
          INFO("capacity " << capacity << ", radius " << radius << ", reset " << reset);
          v1::EpisodicMemory memory;
          memory.set_capacity(capacity);
          memory.set_radius(radius);
          memory.set_context_size(2);
          memory.set_reset_at_episode(reset);
          const v1::PolicyWeights weights =
              mentor::testing::RandomRecurrentPolicy(d, a, discrete, 6, 4, lstm, 8, &memory);
          Policy policy;
          REQUIRE(policy.Load(weights).ok());
          for (int lifetime = 0; lifetime < 2; ++lifetime) {
            Plain plain(weights);
            const std::vector<double> nothing(lstm);
            std::vector<double> h = nothing, c = nothing, last(a + 2);
            std::vector<std::vector<double>> cells;
            for (size_t episode = 0; episode < contexts.size(); ++episode) {
              if (reset) h = c = nothing;
              const std::vector<double> m = reads[episode] < 0 ? nothing : cells[reads[episode]];
              for (uint32_t step = 0; step < steps; ++step) {
                std::vector<float> observation = TestObservation(d, step);
                if (step == 0) std::copy_n(contexts[episode].begin(), 2, observation.begin());
                std::vector<float> action;
                CheckOutput(
                    &policy, observation,
                    plain.Recurrent({observation.begin(), observation.end()}, last, &h, &c, m),
                    &action);
                const bool done = step + 1 == steps;
                policy.Remember(action, 0.5f, done);
                last.assign(action.begin(), action.end());
                last.push_back(0.5);
                last.push_back(done);
              }
              cells.push_back(c);
            }
            REQUIRE(policy.Load(weights).ok());  // A new lifetime, which remembers nothing.
          }
        }
      }
    }
  }
}

TEST_CASE("policy: a memory of episodes is checked where it comes in", "[unit]") {
  v1::EpisodicMemory good;
  good.set_capacity(5);
  good.set_radius(0);
  good.set_context_size(3);
  const auto message = [](const v1::EpisodicMemory& memory) {
    return std::string(
        Policy()
            .Load(mentor::testing::RandomRecurrentPolicy(3, 2, false, 6, 4, 5, 3, &memory))
            .message());
  };
  CHECK(message(good).empty());
  v1::EpisodicMemory bad = good;
  bad.set_capacity(0);
  CHECK(message(bad) == "policy: the capacity of its memory is 0; it must be 1 to 1000000");
  bad.set_capacity(1'000'001);
  CHECK(message(bad) == "policy: the capacity of its memory is 1000001; it must be 1 to 1000000");
  for (const double radius : {-1.0, 1e301, std::numeric_limits<double>::quiet_NaN()}) {
    bad = good;
    bad.set_radius(radius);
    CHECK(message(bad).starts_with("policy: the radius of its memory is "));
  }
  for (const uint32_t size : {0u, 4u}) {
    bad = good;
    bad.set_context_size(size);
    CHECK(message(bad).find("they must have 1 to 3") != std::string::npos);
  }
  // The weights of four gates are too few.
  v1::PolicyWeights weights = mentor::testing::RandomRecurrentPolicy(3, 2, false, 6, 4, 5, 3);
  *weights.mutable_recurrent()->mutable_memory() = good;
  CHECK(std::string(Policy().Load(weights).message()).starts_with("policy: weights have "));
}

TEST_CASE("policy: wrong weights are refused", "[unit]") {
  const auto message = [](const v1::PolicyWeights& weights) {
    return std::string(Policy().Load(weights).message());
  };
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

}  // namespace mentor::actor::TEST_FILE
