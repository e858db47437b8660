// The promises of every registered curriculum, with its example.
#include "meta_learner/curricula/curriculum.h"

#include <cmath>
#include <map>
#include <string>

#include "common/spec/spec.h"
#include "envs/benchmark.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr uint32_t kLifetimes = 24, kGenerations = 12;

v1::ExperimentSpec Spec(const CurriculumEntry& entry) {
  Violations violations;
  v1::ExperimentSpec spec =
      ParseSpec(entry.example + " curriculum { name: '" + entry.name + "' }", {}, &violations);
  INFO(entry.name << ": " << violations.ToStatus().ToString());
  REQUIRE(violations.empty());
  return WithDefaults(spec);
}

std::unique_ptr<Curriculum> Make(const CurriculumEntry& entry) {
  Violations violations;
  auto curriculum = MakeCurriculum({.spec = Spec(entry)}, &violations);
  INFO(entry.name << ": " << violations.ToStatus().ToString());
  REQUIRE(curriculum != nullptr);
  return curriculum;
}

// Agents that get better.
std::vector<Achievement> Achieved(uint32_t generation) {
  const RandomStream random{.seed = 3, .lifetime = generation};
  std::vector<Achievement> all;
  for (uint32_t i = 0; i < kLifetimes; ++i) {
    all.push_back({.success = random.Uniform(i, 0) < 0.2 + 0.1 * generation ? 1.0 : 0.0,
                   .shaped_reward = random.Uniform(i, 1)});
  }
  return all;
}

// The tasks of a generation, as bytes.
std::vector<std::string> Tasks(const CurriculumEntry& entry, const Curriculum& curriculum,
                               uint32_t generation) {
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(Spec(entry).benchmark(), &violations);
  INFO(entry.name << ": " << violations.ToStatus().ToString());
  REQUIRE(benchmark != nullptr);
  const envs::TaskSet& set = benchmark->Tasks(envs::Split::kTrain)[0];
  std::vector<std::string> all;
  for (uint32_t i = 0; i < kLifetimes; ++i) {
    v1::EnvironmentTask task =
        set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, i) : set.tasks[0];
    curriculum.ChangeTask(generation, i, &task);
    // The actors' environments take it.
    const auto environment = envs::MakeEnvironment(task);
    INFO(environment.status().ToString());
    REQUIRE(environment.ok());
    all.push_back(task.SerializeAsString());
  }
  return all;
}

bool Same(const methods::TensorMap& a, const methods::TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || !tensor.equal(other->second)) return false;
  }
  return true;
}

TEST_CASE("curricula: tasks follow from state and numbers, and change with what is observed",
          "[conformance]") {
  REQUIRE(!Curricula().empty());
  for (const CurriculumEntry* entry : Curricula()) {
    INFO(entry->name);
    const auto curriculum = Make(*entry);
    const auto first = Tasks(*entry, *curriculum, 5);
    CHECK(first == Tasks(*entry, *curriculum, 5));
    for (uint32_t generation = 0; generation < kGenerations; ++generation)
      REQUIRE(curriculum->Observe(generation, Achieved(generation)).ok());
    CHECK(first != Tasks(*entry, *curriculum, 5));
  }
}

TEST_CASE("curricula: reports are declared and finite", "[conformance]") {
  for (const CurriculumEntry* entry : Curricula()) {
    INFO(entry->name);
    const auto report = Make(*entry)->Observe(0, Achieved(0));
    REQUIRE(report.ok());
    CHECK(CheckDeclared(entry->metrics, *report, entry->name).ToString() == "OK");
    for (const auto& [name, value] : *report) {
      INFO(name);
      CHECK(std::isfinite(value));
    }
    // Beside every rule's.
    const MetricTable all = AllMetrics(Spec(*entry));
    std::map<std::string, int> times;
    for (const MetricInfo& metric : all) {
      INFO(metric.name);
      CHECK(++times[metric.name] == 1);
      CHECK(metric.help.ends_with('.'));
      CHECK(FindMetric(all, metric.name) == &metric);
    }
  }
}

TEST_CASE("curricula: a saved state goes on as if nothing had happened", "[conformance]") {
  for (const CurriculumEntry* entry : Curricula()) {
    INFO(entry->name);
    const auto whole = Make(*entry), resumed = Make(*entry);
    for (uint32_t generation = 0; generation < kGenerations; ++generation) {
      REQUIRE(whole->Observe(generation, Achieved(generation)).ok());
      if (generation != kGenerations / 2) continue;
      CHECK_FALSE(Same(whole->Save(), resumed->Save()));
      REQUIRE(resumed->Load(whole->Save()).ok());
    }
    for (uint32_t generation = kGenerations / 2 + 1; generation < kGenerations; ++generation)
      REQUIRE(resumed->Observe(generation, Achieved(generation)).ok());
    CHECK(Same(whole->Save(), resumed->Save()));
    CHECK(Tasks(*entry, *whole, 40) == Tasks(*entry, *resumed, 40));
  }
}

TEST_CASE("curricula: a state that lacks something is refused and changes nothing",
          "[conformance]") {
  for (const CurriculumEntry* entry : Curricula()) {
    INFO(entry->name);
    const auto curriculum = Make(*entry), other = Make(*entry);
    REQUIRE(curriculum->Observe(0, Achieved(0)).ok());
    const methods::TensorMap whole = curriculum->Save(), before = other->Save();
    REQUIRE(!whole.empty());
    for (const auto& [name, tensor] : whole) {
      INFO(name);
      methods::TensorMap less = whole;
      less.erase(name);
      const absl::Status status = other->Load(less);
      CHECK(status.code() == absl::StatusCode::kDataLoss);
      CHECK(status.message().find(name) != absl::string_view::npos);
      CHECK(Same(other->Save(), before));
    }
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
