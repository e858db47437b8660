#include "signals/stacked_success.h"

#include "tests/golden.h"

namespace mentor::testing::TEST_FILE {

// One golden lifetime, [1, L]; episodes have a fixed length.
struct Lifetime {
  torch::Tensor successes, prev_done;
  int64_t episode_steps;
};

Lifetime Read(const Json& test) {
  Lifetime lifetime{ToTensor(test.at("success_flags")).unsqueeze(0), {}, test.at("episode_steps")};
  lifetime.prev_done = torch::zeros_like(lifetime.successes);
  for (int64_t t = lifetime.episode_steps; t < lifetime.successes.size(1);
       t += lifetime.episode_steps) {
    lifetime.prev_done[0][t] = 1;
  }
  return lifetime;
}

TEST_CASE("golden: success signal") {
  const Json file = ReadGolden("success_signal");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Lifetime lifetime = Read(test);
    const torch::Tensor want = ToTensor(test.at("signal")).unsqueeze(0);
    for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
      auto state = signals::InitialSuccessState(1);
      const torch::Tensor got = signals::SuccessSignals(
          lifetime.successes.to(dtype), lifetime.prev_done, lifetime.episode_steps, &state);
      REQUIRE(got.scalar_type() == dtype);
      CheckNear(
          "signal", got, want,
          dtype == torch::kFloat64 ? GoldenTolerance(file) : Tolerance{.rel = 1e-6, .abs = 1e-7});
    }
  }
}

TEST_CASE(
    "golden: success signal in segments of any length equals one run, and knows successful "
    "episodes") {
  const Json file = ReadGolden("success_signal");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Lifetime lifetime = Read(test);
    const int64_t steps = lifetime.successes.size(1), episode = lifetime.episode_steps;
    for (const int64_t segment : {int64_t{1}, int64_t{3}, episode - 1, episode, episode + 1}) {
      INFO("segments of " << segment);
      auto state = signals::InitialSuccessState(1);
      std::vector<torch::Tensor> parts;
      std::vector<double> episode_success;
      for (int64_t begin = 0; begin < steps; begin += segment) {
        const int64_t length = std::min(segment, steps - begin);
        parts.push_back(signals::SuccessSignals(lifetime.successes.narrow(1, begin, length),
                                                lifetime.prev_done.narrow(1, begin, length),
                                                episode, &state));
        if (segment == 1 && state.episode_steps.item<int64_t>() == episode) {
          episode_success.push_back(state.succeeded.item<uint8_t>());
        }
      }
      CheckNear("signal", torch::cat(parts, 1), ToTensor(test.at("signal")).unsqueeze(0),
                GoldenTolerance(file));
      if (segment == 1) {
        const auto want = test.at("episode_success").at("data").get<std::vector<double>>();
        CHECK(episode_success == want);
      }
    }
  }
}

}  // namespace mentor::testing::TEST_FILE
