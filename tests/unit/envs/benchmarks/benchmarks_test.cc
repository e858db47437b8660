// Benchmarks from specs: their tasks, and the complaints about specs that do not fit. Goals of
// Meta-World's own benchmarks: tests/golden/envs/benchmarks/benchmarks_test.cc.
#include <set>

#include <absl/strings/str_join.h>
#include <google/protobuf/text_format.h>

#include "envs/benchmark.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Contains;

v1::BenchmarkSpec Spec(const std::string& text) {
  v1::BenchmarkSpec spec;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &spec));
  return spec;
}

std::vector<std::string> Complaints(const std::string& text) {
  Violations violations;
  CHECK(MakeBenchmark(Spec(text), &violations) == nullptr);
  std::vector<std::string> lines;
  for (const Violation& violation : violations.list())
    lines.push_back(violation.field + ": " + violation.description);
  return lines;
}

// The one violation of a spec.
std::string Complaint(const std::string& text) {
  const std::vector<std::string> lines = Complaints(text);
  INFO(text);
  INFO(absl::StrJoin(lines, "\n"));
  CHECK(lines.size() == 1);
  return lines.empty() ? "" : lines[0];
}

// Returns the complaint about a custom benchmark with this single set.
std::string SetComplaint(const std::string& set) {
  return Complaint("name: 'custom' task_set { " + set + " }");
}

std::unique_ptr<Benchmark> Make(const std::string& text) {
  Violations violations;
  auto benchmark = MakeBenchmark(Spec(text), &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(benchmark != nullptr);
  return benchmark;
}

std::vector<double> Parameters(const v1::EnvironmentTask& task) {
  return {task.parameters().begin(), task.parameters().end()};
}

constexpr RandomStream kRandom{.seed = 1, .purpose = Purpose::kTasks};

TEST_CASE("benchmarks: wrong specs are refused with field and remedy", "[unit]") {
  CHECK(Contains(Complaint("name: 'ml2'"),
                 "benchmark.name: unknown benchmark 'ml2'; did you mean 'ml1'"));
  CHECK(Contains(Complaint("name: 'elsewhere'"),
                 "benchmark.name: unknown benchmark 'elsewhere'; known: custom, ml1, ml10, ml45"));
  CHECK(Complaint("name: 'ml1'") ==
        "benchmark.environment: is missing; benchmark 'ml1' needs it, for instance \"reach-v3\"");
  CHECK(Contains(Complaint("name: 'single' environment: 'reach'"),
                 "benchmark.environment: unknown environment 'reach'; did you mean 'reach-v3'"));
  CHECK(Contains(Complaint("name: 'ml1' environment: 'point_reach'"),
                 "unknown Meta-World environment 'point_reach'"));
  CHECK(Contains(Complaint("name: 'point_reach' environment: 'reach-v3'"),
                 "benchmark.environment: is 'reach-v3'"));
  CHECK(Contains(Complaint("name: 'ml10' environment: 'reach-v3'"), "has its own environments"));
  CHECK(Contains(Complaint("name: 'ml10' task_set { environment: 'reach-v3' }"),
                 "benchmark.task_set: has entries, but benchmark 'ml10' has its own tasks"));
  CHECK(Contains(Complaint("name: 'point_reach' option { name: 'dt' value: 'fast' }"),
                 "benchmark.option.dt: is 'fast'; give a number"));
  CHECK(Contains(Complaint("name: 'ml1' environment: 'reach-v3' option { name: 'dt' value: '1' }"),
                 "benchmark.option.dt: unknown option"));
  CHECK(Contains(Complaint("name: 'mt10' option { name: 'one_hot' value: 'yes' }"),
                 "benchmark.option.one_hot: is 'yes'; give true or false"));
  CHECK(Contains(Complaint("name: 'point_reach' wrapper { name: 'wings' }"),
                 "benchmark.wrapper[0].name: unknown wrapper 'wings'"));
}

TEST_CASE("benchmarks: single takes any environment, its options, and its own distribution",
          "[unit]") {
  for (const char* text :
       {"name: 'point_reach' option { name: 'dimension' value: '1' }",
        "name: 'single' environment: 'point_reach' option { name: 'dimension' value: '1' }"}) {
    INFO(text);
    const auto benchmark = Make(text);
    CHECK(benchmark->info().observation_size == 2);
    REQUIRE(benchmark->Tasks(Split::kTrain).size() == 1);
    const TaskSet& set = benchmark->Tasks(Split::kTrain)[0];
    CHECK(set.name == "point_reach");
    CHECK(set.tasks.empty());
    const v1::EnvironmentTask task = set.draw(kRandom, 5);
    REQUIRE(task.options_size() == 1);
    CHECK(task.options(0).value() == "1");
    CHECK(MakeEnvironment(task).ok());
  }
  std::set<std::string> draws;
  const auto planar = Make("name: 'point_reach'");
  RandomStream test = kRandom;
  test.phase = Phase::kTestEvaluation;
  for (uint32_t i = 0; i < 50; ++i) {
    draws.insert(planar->Tasks(Split::kTrain)[0].draw(kRandom, i).SerializeAsString());
    draws.insert(planar->Tasks(Split::kTest)[0].draw(test, i).SerializeAsString());
  }
  CHECK(draws.size() == 100);
  // Without parameters there is one task.
  const auto umbrella = Make("name: 'umbrella_length'");
  CHECK(umbrella->Tasks(Split::kTrain)[0].tasks.size() == 1);
  CHECK(umbrella->Tasks(Split::kTest)[0].tasks.size() == 1);
  const auto reach = Make("name: 'single' environment: 'reach-v3'");
  const v1::EnvironmentTask drawn = reach->Tasks(Split::kTrain)[0].draw(kRandom, 0);
  CHECK(drawn.parameters_size() == 6);
  CHECK_FALSE(drawn.goal_visible());
}

TEST_CASE("benchmarks: multi-task ones append the number of the environment", "[unit]") {
  const auto mt10 = Make("name: 'mt10'");
  CHECK(mt10->info().observation_size == 49);
  CHECK(mt10->info().episode_steps == 500);
  const auto& sets = mt10->Tasks(Split::kTrain);
  REQUIRE(sets.size() == 10);
  for (size_t i : {0u, 9u}) {
    const auto environment = MakeEnvironment(sets[i].tasks[3]);
    REQUIRE(environment.ok());
    std::vector<double> observation(49);
    REQUIRE((*environment)->Reset(kRandom, 0, observation).ok());
    for (size_t k = 0; k < 10; ++k) CHECK(observation[39 + k] == (k == i ? 1 : 0));
    CHECK(observation[38] != 0);  // The goal is seen.
  }
  CHECK(Make("name: 'mt10' option { name: 'one_hot' value: 'false' }")->info().observation_size ==
        39);
  CHECK(Make("name: 'mt1' environment: 'push-v3'")->info().observation_size == 39);
  const auto mt1 =
      Make("name: 'mt1' environment: 'push-v3' option { name: 'one_hot' value: 'true' }");
  CHECK(mt1->info().observation_size == 40);
  CHECK(Make("name: 'mt50'")->info().observation_size == 89);
  CHECK(Make("name: 'mt45'")->info().observation_size == 84);
}

TEST_CASE("benchmarks: the spec's wrappers go around every environment", "[unit]") {
  const std::string wrapper =
      "wrapper { name: 'one_hot_task' option { name: 'index' value: '1' } "
      "option { name: 'count' value: '3' } }";
  for (const char* benchmark : {"name: 'point_reach'", "name: 'ml1' environment: 'reach-v3'",
                                "name: 'custom' task_set { environment: 'point_reach' }"}) {
    INFO(benchmark);
    const auto plain = Make(benchmark), wrapped = Make(benchmark + (" " + wrapper));
    CHECK(wrapped->info().observation_size == plain->info().observation_size + 3);
    const TaskSet& set = wrapped->Tasks(Split::kTrain)[0];
    const v1::EnvironmentTask task = set.tasks.empty() ? set.draw(kRandom, 0) : set.tasks[0];
    const auto environment = MakeEnvironment(task);
    REQUIRE(environment.ok());
    CHECK((*environment)->info().observation_size == wrapped->info().observation_size);
  }
}

TEST_CASE("custom: tasks as written, in their splits", "[unit]") {
  const auto benchmark = Make(R"(
    name: 'custom'
    task_set { environment: 'reach-v3' goal_visible: true
               task { parameters: [0, 0.6, 0.02, 0, 0.85, 0.1] }
               task { parameters: [0.1, 0.6, 0.02, 0, 0.85, 0.1] } }
    task_set { environment: 'push-v3' name: 'far' goals: 3 }
    task_set { environment: 'push-v3' split: TEST goals: 3 })");
  const auto& train = benchmark->Tasks(Split::kTrain);
  const auto& test = benchmark->Tasks(Split::kTest);
  REQUIRE(train.size() == 2);
  REQUIRE(test.size() == 1);
  CHECK(train[0].name == "reach-v3");
  CHECK(train[1].name == "far");
  CHECK(test[0].name == "push-v3");
  REQUIRE(train[0].tasks.size() == 2);
  CHECK(train[0].tasks[1].goal_visible());
  CHECK(Parameters(train[0].tasks[1]) == std::vector<double>{0.1, 0.6, 0.02, 0, 0.85, 0.1});
  // Lists drawn from the environment's own distribution: other goals in each set.
  REQUIRE(train[1].tasks.size() == 3);
  CHECK_FALSE(train[1].tasks[0].goal_visible());
  std::set<std::vector<double>> goals;
  for (const TaskSet* set : {&train[1], &test[0]}) {
    for (const v1::EnvironmentTask& task : set->tasks) goals.insert(Parameters(task));
  }
  CHECK(goals.size() == 6);
  for (const TaskSet* set : {&train[0], &train[1], &test[0]}) {
    for (const v1::EnvironmentTask& task : set->tasks) CHECK(MakeEnvironment(task).ok());
  }
}

TEST_CASE("custom: goals from ranges, listed by goal_seed or fresh", "[unit]") {
  const std::string set =
      "environment: 'push-v3' range { low: -0.1 high: 0.1 } range { low: 0.6 high: 0.6 } "
      "range { low: 0.02 high: 0.02 } range { low: 0 high: 0.1 } range { low: 0.8 high: 0.9 } "
      "range { low: 0.01 high: 0.02 }";
  const auto list = [&](const std::string& seed) {
    const auto benchmark = Make("name: 'custom' " + seed + " task_set { " + set +
                                " goals: 200 } task_set { split: TEST " + set + " goals: 200 }");
    std::vector<std::vector<double>> goals;
    for (const Split split : {Split::kTrain, Split::kTest}) {
      for (const auto& task : benchmark->Tasks(split)[0].tasks) goals.push_back(Parameters(task));
    }
    return goals;
  };
  const auto goals = list("");
  REQUIRE(goals.size() == 400);
  CHECK(std::set(goals.begin(), goals.end()).size() == 400);
  double least = 1, greatest = -1;
  for (const std::vector<double>& goal : goals) {
    REQUIRE(goal.size() == 6);
    CHECK(goal[1] == 0.6);
    CHECK((goal[3] >= 0 && goal[3] <= 0.1));
    least = std::min(least, goal[0]);
    greatest = std::max(greatest, goal[0]);
  }
  CHECK(least < -0.095);  // The whole range.
  CHECK(greatest > 0.095);
  CHECK(list("") == goals);
  CHECK(list("goal_seed: 2") != goals);

  const auto fresh = Make("name: 'custom' task_set { " + set + " }");
  const TaskSet& drawn = fresh->Tasks(Split::kTrain)[0];
  CHECK(drawn.tasks.empty());
  CHECK(fresh->Tasks(Split::kTest).empty());
  CHECK(Parameters(drawn.draw(kRandom, 3)) == Parameters(drawn.draw(kRandom, 3)));
  CHECK(Parameters(drawn.draw(kRandom, 3)) != Parameters(drawn.draw(kRandom, 4)));
  CHECK(drawn.draw(kRandom, 0).parameters(1) == 0.6);
}

TEST_CASE("custom: what the environment refuses within the ranges is drawn again", "[unit]") {
  // push-v3 refuses starts within 0.15 of the goal, here in about a third of the vectors.
  const auto benchmark = Make(
      "name: 'custom' task_set { environment: 'push-v3' goals: 300 "
      "range { low: -0.1 high: 0.1 } range { low: 0.68 high: 0.7 } range { low: 0.02 high: 0.02 } "
      "range { low: -0.1 high: 0.1 } range { low: 0.8 high: 0.82 } "
      "range { low: 0.01 high: 0.01 } }");
  int close = 0;
  for (const v1::EnvironmentTask& task : benchmark->Tasks(Split::kTrain)[0].tasks) {
    CHECK(MakeEnvironment(task).ok());
    const double x = task.parameters(0) - task.parameters(3);
    close += x > -0.05 && x < 0.05;  // Hardly any range is left: 0.15^2 - 0.12^2 = 0.09^2.
  }
  CHECK(close < 30);
}

TEST_CASE("custom: sets with options of their own and names", "[unit]") {
  const auto benchmark = Make(R"(
    name: 'custom'
    task_set { environment: 'point_reach' name: 'slow' option { name: 'dt' value: '0.05' } }
    task_set { environment: 'point_reach' name: 'fast' option { name: 'dt' value: '0.2' } })");
  const auto& sets = benchmark->Tasks(Split::kTrain);
  REQUIRE(sets.size() == 2);
  CHECK(sets[0].draw(kRandom, 0).options(0).value() == "0.05");
  CHECK(sets[1].draw(kRandom, 0).options(0).value() == "0.2");
}

TEST_CASE("custom: what a spec costs is reckoned before anything is made (D6)", "[unit]") {
  const auto sets = [](int count, const std::string& set) {
    std::string text = "name: 'custom' ";
    for (int i = 0; i < count; ++i)
      text += "task_set { environment: 'reach-v3' name: '" + std::to_string(i) + "' " + set + " } ";
    return text;
  };
  // 10,000 x 10,000 took 9.7 GB and a minute.
  CHECK(Complaint(sets(10'000, "goals: 10000")) ==
        "benchmark.task_set: has 10000 sets with 100000000 tasks together; at most 1000000 are "
        "allowed: give fewer sets or fewer goals, or none to draw a fresh one for each lifetime");
  CHECK(Contains(Complaint(sets(10'000, "")),
                 "10000 tasks together, which cost 100010000 draws; "
                 "at most 10000000 are allowed"));
  std::string range;
  for (int i = 0; i < 6; ++i) range += "range { low: 0 high: 0 } ";
  // 100 * (10,000 + 10,000 * 10 + 6 * 400)
  CHECK(Contains(Complaint(sets(100, range + "goals: 10000")), "which cost 11240000 draws"));
  std::string options;
  for (int i = 0; i < 40; ++i) {
    options +=
        "option { name: '" + std::string(100, 'a') + "' value: '" + std::string(100, 'b') + "' } ";
  }
  std::string wrappers;
  for (int i = 0; i < 90; ++i) wrappers += "wrapper { name: 'time_feature' " + options + " } ";
  // 90 * 40 options of 200 bytes and more are 0.7 MB, which 150 sets have each.
  CHECK(Contains(Complaint(wrappers + sets(150, "")), "each set has those of the benchmark"));
  // Fifty sets with the most goals of a set are well within the limit.
  CHECK(Make(sets(50, "goals: 10000"))->Tasks(Split::kTrain)[49].tasks.size() == 10'000);
  // Thousands of complaints are useless, and each was compared with all others.
  CHECK(Complaints(sets(900, "option { name: 'speed' value: '1' }")).size() < 200);
}

TEST_CASE("custom: a list from ranges of which nearly all is refused stays short (D6)", "[unit]") {
  // push-v3 refuses starts within 0.15 of the goal. Along y they are 0.1 apart, so along x it must
  // be 0.1118 of at most 0.1434: (1 - 0.1118 / 0.1434)^2 = 0.049 of all. 49 * 10,000 draws for a
  // set / (1000 - 49 * 10) = 961 goals.
  const auto set = [](int goals) {
    return "environment: 'push-v3' goals: " + std::to_string(goals) +
           " range { low: -0.0717 high: 0.0717 } range { low: 0.7 high: 0.7 } "
           "range { low: 0.02 high: 0.02 } range { low: -0.0717 high: 0.0717 } "
           "range { low: 0.8 high: 0.8 } range { low: 0.01 high: 0.01 }";
  };
  CHECK(Make("name: 'custom' task_set { " + set(50) + " }") != nullptr);
  CHECK(Contains(SetComplaint(set(10'000)), "benchmark.task_set[0].goals: is 10000, but "));
}

TEST_CASE("benchmarks: a list of tasks keeps what they share once", "[unit]") {
  v1::EnvironmentTask shared;
  shared.set_environment("cart");
  TaskList list(shared);
  CHECK(list.empty());
  const double first[] = {1, 2}, third[] = {3};
  list.Add(first);
  list.Add({});
  list.Add(third);
  REQUIRE(list.size() == 3);
  std::vector<std::vector<double>> vectors;
  for (const v1::EnvironmentTask& task : list) {
    CHECK(task.environment() == "cart");
    vectors.push_back(Parameters(task));
  }
  CHECK(vectors == std::vector<std::vector<double>>{{1, 2}, {}, {3}});
}

TEST_CASE("custom: everything wrong is named with its field and the remedy", "[unit]") {
  const std::string reach = "environment: 'reach-v3' ";
  CHECK(Contains(Complaint("name: 'custom'"), "benchmark.task_set: has no entry with split TRAIN"));
  CHECK(Contains(SetComplaint(reach + "split: TEST"), "has no entry with split TRAIN"));
  CHECK(Contains(Complaints("name: 'custom' task_set { environment: 'reach' }").at(0),
                 "benchmark.task_set[0].environment: unknown environment 'reach'; did you mean"));
  CHECK(Contains(SetComplaint("environment: 'point_reach' option { name: 'dt' value: 'x' }"),
                 "benchmark.task_set[0].option.dt: is 'x'; give a number"));
  CHECK(Contains(Complaint("name: 'custom' option { name: 'dt' value: '1' } "
                           "task_set { environment: 'point_reach' }"),
                 "benchmark.option: belongs to no environment here"));
  CHECK(Contains(SetComplaint("environment: 'point_reach' wrapper { name: 'wings' }"),
                 "benchmark.task_set[0].wrapper[0].name: unknown wrapper 'wings'"));
  // Said once for all sets.
  CHECK(Contains(Complaint("name: 'custom' wrapper { name: 'wings' } task_set { " + reach +
                           "} task_set { split: TEST " + reach + "}"),
                 "benchmark.wrapper[0].name: unknown wrapper 'wings'"));

  // Vectors.
  const std::string good = "task { parameters: [0, 0.6, 0.02, 0, 0.85, 0.1] } ";
  CHECK(Contains(SetComplaint(reach + good + "task { parameters: [0, 0.6] }"),
                 "benchmark.task_set[0].task[1]: task.parameters of reach-v3 has 2 numbers; give "
                 "the rand_vec, 6 numbers"));
  CHECK(Contains(SetComplaint(reach + "task { parameters: [0.5, 0.6, 0.02, 0, 0.85, 0.1] }"),
                 "task[0]: task.parameters[0] of reach-v3 is 0.5; give a number from -0.1 to 0.1"));
  CHECK(Contains(SetComplaint(reach + "task { parameters: [0, 0.7, 0.02, 0, 0.8, 0.1] }"),
                 "task[0]: task.parameters of reach-v3 are"));
  CHECK(Contains(SetComplaint(reach + good + "range { low: 0 high: 1 }"),
                 "benchmark.task_set[0].range: is given beside task"));
  CHECK(Contains(SetComplaint(reach + good + "goals: 5"),
                 "benchmark.task_set[0].goals: is given beside task"));

  // Ranges.
  CHECK(SetComplaint(reach + "range { low: 0 high: 0.1 }") ==
        "benchmark.task_set[0].range: has 1 entries; tasks of reach-v3 have 6 parameters: give one "
        "range for each");
  CHECK(Contains(SetComplaint("environment: 'umbrella_length' range { low: 0 high: 1 }"),
                 "have no parameters"));
  CHECK(Contains(SetComplaint("environment: 'umbrella_length' goals: 5"), "there is one task"));
  CHECK(SetComplaint("environment: 'point_reach' range { low: 1 high: 0 } range { high: 1 }") ==
        "benchmark.task_set[0].range[0]: low is 1, above high = 0; exchange them");
  const auto ranges = [&](const std::string& third, const std::string& fourth) {
    return SetComplaint(
        reach + "range { low: -0.1 high: 0.1 } range { low: 0.6 high: 0.7 } range { " + third +
        " } range { " + fourth + " } range { low: 0.8 high: 0.9 } range { low: 0.05 high: 0.3 }");
  };
  // Half of the draws would suffice, but the range does not fit the environment.
  CHECK(Contains(ranges("low: 0.02 high: 0.02", "low: -0.1 high: 0.3"),
                 "benchmark.task_set[0].range[3].high: is 0.3, where every task is refused: "
                 "task.parameters[3] of reach-v3 is 0.3; give a number from -0.1 to 0.1"));
  CHECK(Contains(ranges("low: 0.5 high: 0.6", "low: 0 high: 0.1"),
                 "benchmark.task_set[0].range: 1000 of 1000 tasks drawn from it are refused, for "
                 "instance: task.parameters[2] of reach-v3"));

  // Sets that do not go together.
  CHECK(Contains(Complaint("name: 'custom' task_set { environment: 'point_reach' } task_set { "
                           "environment: 'point_reach' }"),
                 "benchmark.task_set[1].name: is 'point_reach', as of task_set[0]"));
  const auto sizes = Complaints("name: 'custom' task_set { " + reach +
                                "} task_set { environment: 'point_reach' split: TEST }");
  REQUIRE(sizes.size() == 3);
  CHECK(sizes[0] ==
        "benchmark.task_set[1]: point_reach has 4 numbers in an observation, reach-v3 of "
        "task_set[0] has 39; the environments of a benchmark share their sizes");
  CHECK(Contains(sizes[1], "2 numbers in an action"));
  CHECK(Contains(sizes[2], "10 steps in an episode"));
  CHECK(Contains(SetComplaint("environment: 'point_reach' goal_visible: true "
                              "option { name: 'view' value: 'hidden' }"),
                 "benchmark.task_set[0]: task.goal_visible of point_reach is true"));
}

}  // namespace mentor::envs::TEST_FILE
