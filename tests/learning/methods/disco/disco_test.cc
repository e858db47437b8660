// Agents of rule disco learn to catch (methods/disco/README.md#acceptance). The teacher is written
// by hand: its policy target is the softmax of beta times the normalised advantage of each action.
// Agents learn only if values, averages, rollouts, the order of the inputs and the loss are right.
#include <string>
#include <vector>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/file.h"
#include "common/safetensors.h"
#include "methods/disco/network.h"
#include "methods/shared/weights_file.h"
#include "tests/learning/learning.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

constexpr methods::DiscoSizes kSizes = {.prediction = 4, .hidden = 8, .memory = 4};
constexpr int64_t kAdvantage = 7;  // Place of the normalised advantage among an action's inputs.

// The teacher's weights as a file, with pi = beta times the number `input` of each action.
std::string Teacher(double beta, int64_t input = kAdvantage) {
  const agents::ParamLayout layout = methods::DiscoLayout(kSizes);
  torch::Tensor weights = torch::zeros({layout.size()});
  const auto set = [&](const std::string& name, int64_t row, int64_t column, double value) {
    for (const agents::ParamSlice& slice : layout.slices()) {
      if (slice.name == name) weights[slice.offset + row * slice.shape.back() + column] = value;
    }
  };
  // The positive and the negative part go through three layers of relu.
  for (const int64_t part : {0, 1}) {
    const double sign = part == 0 ? 1 : -1;
    set("lstm/sequential/conv1_d/w", input, part, sign);
    set("lstm/sequential/conv1_d_1/w", part, part, 1);
    set("lstm/sequential_1/conv1_d/w", kSizes.hidden + part, part, 1);
    set("lstm/linear_4/w", part, 0, sign * beta);
  }
  SafeTensors file;
  for (const agents::ParamSlice& slice : layout.slices()) {
    file.tensors.push_back({.name = slice.name,
                            .shape = slice.shape,
                            .data = std::string(reinterpret_cast<const char*>(
                                                    weights.const_data_ptr<float>() + slice.offset),
                                                static_cast<size_t>(slice.size) * sizeof(float))});
  }
  return WriteSafeTensors(file);
}

// Share of caught balls by inner iteration.
std::vector<double> Caught(const std::string& weights) {
  const testing::TempFolder folder;
  REQUIRE(WriteFileAtomically(folder.path() / methods::kWeightsFile, weights).ok());
  std::vector<std::string> left_out;
  const auto bundle = OfferFolder(folder.path(), &left_out);
  REQUIRE(bundle.ok());
  const std::vector<std::string> overrides = {"benchmark.rows=4",
                                              "benchmark.columns=3",
                                              "agent.hidden_units=32",
                                              "rule.prediction=4",
                                              "rule.hidden=8",
                                              "rule.memory=4",
                                              "rule.cells=64",
                                              "rule.units=64",
                                              "rule.rollout=6",
                                              "rule.replay=64",
                                              "rule.batch=8",
                                              "rule.updates=16",
                                              "lifetime.iterations=45",
                                              "lifetime.steps_per_iteration=48",
                                              "evaluation.lifetimes_per_goal=2",
                                              "rule.shard_lifetimes=1",
                                              "rule.bundle=" + BundleName(bundle->digest)};
  return testing::Run("catch_disco.txtpb", overrides).Successes().at("random signal");
}

double End(const std::vector<double>& caught) {
  double sum = 0;
  for (size_t i = caught.size() - 5; i < caught.size(); ++i) sum += caught[i];
  return sum / 5;
}

TEST_CASE("learning: disco: agents catch by a teacher that follows the advantages",
          "[learning][nightly]") {
  const std::vector<double> caught = Caught(Teacher(2));
  WARN("caught at first " << caught.front() << ", at last " << End(caught));
  CHECK(caught.front() < 0.6);  // A random policy: a third.
  CHECK(End(caught) > 0.8);
}

TEST_CASE("learning: disco: a teacher without a say, or of the wrong sign, teaches nothing",
          "[learning][nightly]") {
  const double none = End(Caught(Teacher(0))), flipped = End(Caught(Teacher(-2)));
  const double other = End(Caught(Teacher(2, kAdvantage - 5)));
  WARN("without " << none << ", flipped " << flipped << ", by the policy alone " << other);
  CHECK(none < 0.5);
  CHECK(flipped < 0.15);
  CHECK(other < 0.5);
}

}  // namespace mentor::TEST_FILE
