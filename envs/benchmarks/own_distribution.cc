#include "envs/benchmarks/own_distribution.h"

#include "common/check.h"

namespace mentor::envs {
namespace {

class OwnDistribution final : public Benchmark {
 public:
  OwnDistribution(const EnvironmentEntry& entry, TaskSupply supply, const v1::BenchmarkSpec& spec,
                  OptionValues options, EnvironmentInfo info)
      : entry_(entry),
        options_(std::move(options)),
        set_options_(spec.option()),
        info_(std::move(info)) {
    sets_.push_back({.environment = entry.name, .tasks = {}});
    if (supply == TaskSupply::kOneForAll) sets_[0].tasks.push_back(Draw(Split::kTrain, 0, {}, 0));
  }

  const EnvironmentInfo& info() const override { return info_; }
  const std::vector<TaskSet>& Tasks(Split) const override { return sets_; }
  v1::EnvironmentTask Draw(Split, int set, const RandomStream& random,
                           uint32_t index) const override {
    MENTOR_CHECK(set == 0);
    v1::EnvironmentTask task = DrawTask(entry_, options_, random, index);
    *task.mutable_options() = set_options_;
    return task;
  }

 private:
  const EnvironmentEntry& entry_;
  const OptionValues options_;
  const google::protobuf::RepeatedPtrField<v1::Option> set_options_;
  const EnvironmentInfo info_;
  std::vector<TaskSet> sets_;
};

}  // namespace

std::unique_ptr<Benchmark> MakeOwnDistribution(const std::string& environment, TaskSupply supply,
                                               const v1::BenchmarkSpec& spec,
                                               Violations* violations) {
  const EnvironmentEntry* entry = FindEnvironment(environment);
  MENTOR_CHECK(entry != nullptr);
  Violations found;
  OptionValues options =
      OptionValues::Parse(entry->options, spec.option(), "benchmark.option", &found);
  for (const Violation& violation : found.list())
    violations->Add(violation.field, violation.description);
  if (!found.empty()) return nullptr;
  const absl::StatusOr<std::unique_ptr<Environment>> made = entry->make(options);
  if (!made.ok()) {
    violations->Add("benchmark.option", std::string(made.status().message()));
    return nullptr;
  }
  return std::make_unique<OwnDistribution>(*entry, supply, spec, std::move(options),
                                           (*made)->info());
}

}  // namespace mentor::envs
