// Wrapper random_reward: tasks with a class, rewards and successes of it; discriminators from
// files.
#include "envs/wrappers/random_reward.h"

#include <cmath>
#include <limits>
#include <set>

#include "common/bundle_finder.h"
#include "common/file.h"
#include "common/safetensors.h"
#include "envs/benchmark.h"
#include "envs/wrapper.h"
#include "tests/specs.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

v1::EnvironmentTask Task(double z, const mentor::testing::Settings& settings = {}) {
  v1::EnvironmentTask task;
  task.set_environment("box_2d");
  v1::WrapperSpec* wrapper = task.add_wrappers();
  wrapper->set_name("random_reward");
  *wrapper->mutable_option() = mentor::testing::Options(settings);
  task.add_parameters(z);
  return task;
}

TEST_CASE("random_reward: rewards are ln D of the class where the step leads", "[unit]") {
  RewardNetwork network(/*observation_size=*/2, /*hidden_units=*/32, /*classes=*/6, /*gain=*/3,
                        /*seed=*/1);
  for (const int z : {0, 3}) {
    const auto environment = MakeEnvironment(Task(z)).value();
    CHECK(environment->info().observation_size == 2);
    std::vector<double> o(2);
    REQUIRE(environment->Reset({.purpose = Purpose::kEnvironmentReset}, 0, o).ok());
    for (int t = 0; t < 20; ++t) {
      const std::vector<float> action = {1.0F, t < 10 ? -1.0F : 0.5F};
      const auto outcome = environment->Step(action, o);
      REQUIRE(outcome.ok());
      const auto log_d = network.LogD(o);
      double sum = 0, greatest = -1e9;
      for (const double x : log_d) {
        sum += std::exp(x);
        greatest = std::max(greatest, x);
      }
      CHECK(std::abs(sum - 1) < 1e-12);
      CHECK(outcome->reward == std::max(log_d[z], std::log(1e-6)));
      CHECK(outcome->success == (log_d[z] == greatest));
    }
  }
}

// Over a grid of the box: the range of ln D, and the number of classes that are the likeliest
// somewhere.
TEST_CASE("random_reward: rewards differ over a box with gain 3 and hardly with gain 1", "[unit]") {
  const auto measure = [](double gain) {
    double range = 0, winners = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
      RewardNetwork network(2, 32, 6, gain, seed);
      double least = 0, greatest = -1e9;
      std::set<int64_t> won;
      for (int i = 0; i <= 20; ++i) {
        for (int j = 0; j <= 20; ++j) {
          const double o[] = {-1 + 0.1 * i, -1 + 0.1 * j};
          const auto log_d = network.LogD(o);
          least = std::min(least, *std::min_element(log_d.begin(), log_d.end()));
          greatest = std::max(greatest, *std::max_element(log_d.begin(), log_d.end()));
          won.insert(std::max_element(log_d.begin(), log_d.end()) - log_d.begin());
        }
      }
      range += (greatest - least) / 30;
      winners += static_cast<double>(won.size()) / 30;
    }
    return std::pair(range, winners);
  };
  const auto steep = measure(3), flat = measure(1);
  WARN("gain 3: ln D ranges over " << steep.first << ", " << steep.second
                                   << " of 6 classes win somewhere; gain 1: " << flat.first);
  CHECK(steep.first > 4);
  CHECK(steep.second > 4);
  CHECK(flat.first < steep.first / 3);
}

TEST_CASE("random_reward: the same seed gives the same rewards and another one others", "[unit]") {
  const double o[] = {0.3, -0.7};
  RewardNetwork a(2, 32, 6, 3, 1), b(2, 32, 6, 3, 1), c(2, 32, 6, 3, 2);
  const auto x = a.LogD(o), y = b.LogD(o), z = c.LogD(o);
  CHECK(std::equal(x.begin(), x.end(), y.begin()));
  CHECK_FALSE(std::equal(x.begin(), x.end(), z.begin()));
}

SafeTensor Floats(const std::string& name, std::vector<int64_t> shape,
                  const std::vector<float>& numbers) {
  return {.name = name,
          .shape = std::move(shape),
          .data = std::string(reinterpret_cast<const char*>(numbers.data()),
                              numbers.size() * sizeof(float))};
}

// Two skills in the plane, one unit in each hidden layer: logits 2 tanh(tanh(x)) + 0.5 and 0.
SafeTensors TwoSkills() {
  return {.tensors = {Floats("skills.W1", {1, 2}, {1, 0}), Floats("skills.b1", {1}, {0}),
                      Floats("skills.W2", {1, 1}, {1}), Floats("skills.b2", {1}, {0}),
                      Floats("skills.W3", {2, 1}, {2, 0}), Floats("skills.b3", {2}, {0.5F, 0})}};
}

TEST_CASE("random_reward: a trained discriminator is read from its file", "[unit]") {
  auto network = RewardNetwork::Read(WriteSafeTensors(TwoSkills()));
  REQUIRE(network.ok());
  CHECK(network->observation_size() == 2);
  CHECK(network->classes() == 2);
  for (const double x : {-0.7, 0.0, 0.3}) {
    const double o[] = {x, 0.9};
    const double logit = 2 * std::tanh(std::tanh(x)) + 0.5;
    const auto log_d = network->LogD(o);
    CHECK(log_d[0] == Approx(-std::log1p(std::exp(-logit))));
    CHECK(log_d[1] == Approx(-std::log1p(std::exp(logit))));
  }
}

TEST_CASE("random_reward: a file that is no discriminator is refused, and says where", "[unit]") {
  const auto complaint = [](const SafeTensors& file) {
    return std::string(RewardNetwork::Read(WriteSafeTensors(file)).status().message());
  };
  SafeTensors file = TwoSkills();
  file.tensors.pop_back();
  CHECK(complaint(file) == "has no tensor 'skills.b3'");
  file = TwoSkills();
  file.tensors[2] = Floats("skills.W2", {1, 2}, {1, 1});  // The layer before has one unit.
  CHECK(complaint(file).starts_with("tensor 'skills.W2' does not fit"));
  file = TwoSkills();
  file.tensors[5] = Floats("skills.b3", {3}, {1, 1, 1});
  CHECK(complaint(file).starts_with("tensor 'skills.b3' does not fit"));
  file = TwoSkills();
  file.tensors[0] = {
      .name = "skills.W1", .dtype = "F64", .shape = {1, 2}, .data = std::string(16, 0)};
  CHECK(complaint(file).starts_with("tensor 'skills.W1' does not fit"));
  file = TwoSkills();
  file.tensors[4] = Floats("skills.W3", {2, 1}, {0, std::numeric_limits<float>::infinity()});
  CHECK(complaint(file) == "tensor 'skills.W3' has a number that is not finite");
  file = TwoSkills();
  file.tensors[0] = Floats("skills.W1", {0, 2}, {});
  CHECK(complaint(file).starts_with("tensor 'skills.W1' does not fit"));
  // Every shorter file is refused.
  const std::string whole = WriteSafeTensors(TwoSkills());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    CHECK_FALSE(RewardNetwork::Read(whole.substr(0, bytes)).ok());
}

TEST_CASE("random_reward: the discriminator of a bundle gives the rewards", "[unit]") {
  const mentor::testing::TempFolder folder;
  const auto offer = [&](const std::string& name, const std::string& file,
                         const std::string& bytes) {
    const std::filesystem::path path = folder.path() / name;
    std::filesystem::create_directory(path);
    REQUIRE(WriteFileAtomically(path / file, bytes, 0644).ok());
    return BundleName(OfferFolder(path)->digest);
  };
  const std::string good = offer("good", kDiscriminatorFile, WriteSafeTensors(TwoSkills()));
  const auto environment = MakeEnvironment(Task(1, {{"classes", "2"}, {"bundle", good}})).value();
  std::vector<double> o(2);
  REQUIRE(environment->Reset({.purpose = Purpose::kEnvironmentReset}, 0, o).ok());
  const auto outcome = environment->Step(std::vector<float>{-1, 0}, o);
  REQUIRE(outcome.ok());
  const double logit = 2 * std::tanh(std::tanh(-0.1)) + 0.5;
  CHECK(outcome->reward == Approx(-std::log1p(std::exp(logit))));
  CHECK_FALSE(outcome->success);  // The other class is likelier here.

  const auto complaint = [&](const std::string& bundle, const std::string& classes,
                             const std::string& inner = "box_2d") {
    v1::EnvironmentTask task = Task(1, {{"classes", classes}, {"bundle", bundle}});
    task.set_environment(inner);
    return std::string(MakeEnvironment(task).status().message());
  };
  using mentor::testing::Contains;
  CHECK(Contains(complaint(good, "6"),
                 "option.classes: is 6, but the discriminator tells 2 skills; set 2"));
  CHECK(Contains(complaint(good, "2", "point_reach"),
                 "option.bundle: the discriminator sees 2 numbers, but observations here have"));
  const std::string empty = offer("empty", "README.md", "no discriminator");
  CHECK(Contains(complaint(empty, "2"), "option.bundle: has no file discriminator.safetensors"));
  const std::string damaged = offer("damaged", kDiscriminatorFile, "damaged");
  CHECK(Contains(complaint(damaged, "2"), "it is damaged or is no discriminator: export it again"));
  CHECK(Contains(complaint("sha256:1", "2"), "bundle"));
  SetBundleFinder(nullptr);
}

TEST_CASE("random_reward: a task without a class or with another is refused", "[unit]") {
  for (const double z : {-1.0, 6.0, 0.5}) {
    const auto made = MakeEnvironment(Task(z));
    CHECK(std::string(made.status().message()).find("an integer from 0 to 5") != std::string::npos);
  }
  v1::EnvironmentTask none = Task(0);
  none.clear_parameters();
  CHECK(std::string(MakeEnvironment(none).status().message()).find("is empty") !=
        std::string::npos);
  CHECK(MakeEnvironment(Task(6, {{"classes", "7"}})).ok());
}

TEST_CASE("random_reward: benchmarks draw classes uniformly behind the task's own numbers",
          "[unit]") {
  v1::BenchmarkSpec spec;
  spec.set_name("single");
  spec.set_environment("point_navigation");
  spec.add_wrapper()->set_name("random_reward");
  Violations violations;
  const auto benchmark = MakeBenchmark(spec, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(benchmark != nullptr);
  const TaskSet& set = benchmark->Tasks(Split::kTrain)[0];
  REQUIRE(set.tasks.empty());
  std::vector<int> counts(6, 0);
  for (uint32_t i = 0; i < 600; ++i) {
    const v1::EnvironmentTask task = set.draw({.seed = 3, .purpose = Purpose::kTasks}, i);
    ++counts.at(static_cast<size_t>(task.parameters(task.parameters_size() - 1)));
    CHECK(task.parameters_size() == 3);
    CHECK(MakeEnvironment(task).ok());
  }
  for (const int count : counts) CHECK(std::abs(count - 100) < 50);
}

}  // namespace mentor::envs::TEST_FILE
