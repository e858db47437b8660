#include "envs/bench.h"
#include "envs/benchmark.h"
#include "envs/describe.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "tests/testing.h"

namespace mentor::envs {
namespace {

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

v1::BenchmarkSpec Spec(const std::string& name, const std::string& environment = "") {
  v1::BenchmarkSpec spec;
  spec.set_name(name);
  if (!environment.empty()) spec.set_environment(environment);
  return spec;
}

// The one violation of a spec, as "field: description".
std::string Complaint(const v1::BenchmarkSpec& spec) {
  Violations violations;
  CHECK(MakeBenchmark(spec, &violations) == nullptr);
  REQUIRE(violations.list().size() == 1);
  return violations.list()[0].field + ": " + violations.list()[0].description;
}

TEST_CASE("catalogue: sorted, with near matches for wrong names", "[unit]") {
  const auto& all = Catalogue();
  for (size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1]->name < all[i]->name);
  for (const char* name : {"reach-v3", "push-v3", "door-close-v3", "button-press-v3", "point_reach",
                           "umbrella_length"}) {
    CHECK(FindEnvironment(name) != nullptr);
  }
  const auto status = [](const char* name) { return MakeEnvironment(name, {}).status(); };
  CHECK(status("push").code() == absl::StatusCode::kNotFound);
  CHECK(Contains(status("push").ToString(), "unknown environment 'push'; did you mean push-v3"));
  CHECK(Contains(status("door-close-v2").ToString(), "did you mean door-close-v3"));
  CHECK(Contains(status("something else entirely").ToString(), "known: button-press-v3"));
}

TEST_CASE("catalogue: its hash and the fingerprint are hexadecimal and stay the same", "[unit]") {
  for (const std::string& hash : {CatalogueHash(), NumericFingerprint()}) {
    CHECK(hash.size() == 64);
    CHECK(hash.find_first_not_of("0123456789abcdef") == std::string::npos);
  }
  CHECK(CatalogueHash() == CatalogueHash());
  CHECK(CatalogueHash() != NumericFingerprint());
}

TEST_CASE("benchmarks: wrong specs are refused with field and remedy", "[unit]") {
  CHECK(Complaint(Spec("ml2")) ==
        "benchmark.name: unknown benchmark 'ml2'; known: ml1, point_reach, umbrella_length");
  CHECK(Contains(Complaint(Spec("ml1")),
                 "benchmark.environment: unknown Meta-World environment ''; known: button"));
  CHECK(Contains(Complaint(Spec("ml1", "point_reach")),
                 "unknown Meta-World environment 'point_reach'"));
  CHECK(
      Contains(Complaint(Spec("point_reach", "reach-v3")), "benchmark.environment: is 'reach-v3'"));
  v1::BenchmarkSpec spec = Spec("point_reach");
  spec.add_option()->set_name("dt");
  spec.mutable_option(0)->set_value("fast");
  CHECK(Contains(Complaint(spec), "benchmark.option.dt: is 'fast'; give a number"));
  spec = Spec("ml1", "reach-v3");
  spec.add_option()->set_name("dt");
  spec.mutable_option(0)->set_value("1");
  CHECK(Contains(Complaint(spec), "benchmark.option.dt: unknown option"));
}

TEST_CASE("benchmarks: options reach the tasks, drawn tasks are legal and fresh", "[unit]") {
  v1::BenchmarkSpec spec = Spec("point_reach");
  v1::Option* option = spec.add_option();
  option->set_name("dimension");
  option->set_value("1");
  Violations violations;
  const auto benchmark = MakeBenchmark(spec, &violations);
  REQUIRE(benchmark != nullptr);
  CHECK(benchmark->info().observation_size == 2);
  REQUIRE(benchmark->Tasks(Split::kTrain).size() == 1);
  CHECK(benchmark->Tasks(Split::kTrain)[0].environment == "point_reach");
  CHECK(benchmark->Tasks(Split::kTrain)[0].tasks.empty());
  RandomStream random{.seed = 1, .purpose = Purpose::kTasks};
  const v1::EnvironmentTask task = benchmark->Draw(Split::kTrain, 0, random, 5);
  REQUIRE(task.options_size() == 1);
  CHECK(task.options(0).value() == "1");
  auto environment = MakeEnvironment(task.environment(), task.options());
  REQUIRE(environment.ok());
  CHECK((*environment)->SetTask(task).ok());
  std::set<std::string> draws;
  const auto planar = MakeBenchmark(Spec("point_reach"), &violations);
  for (uint32_t i = 0; i < 50; ++i) {
    draws.insert(planar->Draw(Split::kTrain, 0, random, i).SerializeAsString());
    draws.insert(
        planar
            ->Draw(Split::kTest, 0,
                   {.seed = 1, .purpose = Purpose::kTasks, .phase = Phase::kTestEvaluation}, i)
            .SerializeAsString());
  }
  CHECK(draws.size() == 100);

  const auto umbrella = MakeBenchmark(Spec("umbrella_length"), &violations);
  REQUIRE(umbrella != nullptr);
  CHECK(umbrella->Tasks(Split::kTrain)[0].tasks.size() == 1);
  CHECK(violations.empty());
}

TEST_CASE("ml1: seeds give other goals, test goals are the training goals of the next seed",
          "[unit]") {
  Violations violations;
  v1::BenchmarkSpec spec = Spec("ml1", "door-close-v3");
  spec.set_goal_seed(7);
  const auto seven = MakeBenchmark(spec, &violations);
  spec.set_goal_seed(8);
  const auto eight = MakeBenchmark(spec, &violations);
  REQUIRE(seven != nullptr);
  const auto first = [](const Benchmark& benchmark, Split split) {
    return benchmark.Tasks(split)[0].tasks[0].SerializeAsString();
  };
  CHECK(first(*seven, Split::kTest) == first(*eight, Split::kTrain));
  CHECK(first(*seven, Split::kTest) != first(*seven, Split::kTrain));
  CHECK(seven->info().observation_size == 39);
  CHECK(seven->info().episode_steps == 500);
}

TEST_CASE("describe: the list names everything, a page tells sizes, options and parameters",
          "[unit]") {
  const std::string list = DescribeCatalogue();
  for (const EnvironmentEntry* entry : Catalogue())
    CHECK(Contains(list, "\n  " + entry->name + " "));
  for (const BenchmarkEntry* entry : Benchmarks())
    CHECK(Contains(list, "\n  " + entry->name + " "));
  const auto push = DescribeEnvironment("push-v3");
  REQUIRE(push.ok());
  CHECK(Contains(*push, "observation 39 numbers, action 4 numbers, episode 500 steps"));
  CHECK(Contains(*push, "refused when n(v[0:2] - v[3:5]) < 0.15"));
  CHECK(Contains(*push, "(-0.1, 0.6, 0.02, -0.1, 0.8, 0.01)"));
  const auto point = DescribeEnvironment("point_reach");
  REQUIRE(point.ok());
  CHECK(Contains(*point, "visible | revealed | hidden"));
  CHECK(DescribeEnvironment("nothing").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("bench: figures of a short run are there and positive", "[unit]") {
  CHECK(BenchEnvironments({.rounds = 0}).status().code() == absl::StatusCode::kInvalidArgument);
  const auto bench = BenchEnvironments({.rounds = 1, .goals = 1});
  REQUIRE(bench.ok());
  CHECK(bench->scenes.size() >= 4);
  for (const SceneBench& scene : bench->scenes) {
    INFO(scene.environment);
    for (double figure :
         {scene.bare_us, scene.step_us, scene.reset_us, scene.first_reset_us, scene.step_ratio}) {
      CHECK(figure > 0);
    }
    CHECK(scene.with_resets_ratio < scene.step_ratio);
  }
  CHECK(bench->step_ratio > 0);
  CHECK(bench->two_threads_ratio > 0);
  CHECK(bench->two_threads_cpu_ratio > 0);
}

}  // namespace
}  // namespace mentor::envs
