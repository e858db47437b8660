// A curriculum changes the tasks of training with the performance of agents
// (docs/rules.md#curricula). Each curriculum is one file that implements Curriculum and registers a
// factory. It works with any outer rule, and depends neither on agents nor on meta-parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metric_info.h"
#include "common/options.h"
#include "common/registry.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "methods/base/state.h"

namespace mentor::meta_learner {

// Performance of an agent in the last inner iteration of its lifetime.
struct Achievement {
  std::optional<double> success;  // Share of successful episodes; nullopt: none ended.
  double shaped_reward = 0;       // Mean over its steps.
};

// Metrics of an outer update, by name. The curriculum's entry must declare them.
using CurriculumReport = std::map<std::string, double>;

// Not thread-safe; owned by one experiment.
class Curriculum {
 public:
  virtual ~Curriculum() = default;
  // Changes the task that was drawn for a lifetime of a generation. Must depend only on the state,
  // the seed and these arguments.
  virtual void ChangeTask(uint32_t generation, uint32_t lifetime,
                          v1::EnvironmentTask* task) const = 0;
  // Called when all lifetimes of a generation have ended; `lifetimes` is ordered by number. An
  // error must leave the state unchanged.
  virtual absl::StatusOr<CurriculumReport> Observe(uint32_t generation,
                                                   std::span<const Achievement> lifetimes) = 0;
  // Returns everything that the next tasks depend on.
  virtual methods::TensorMap Save() const = 0;
  virtual absl::Status Load(const methods::TensorMap& state) = 0;
};

struct CurriculumContext {
  v1::ExperimentSpec spec;
  // Lifetimes 2i and 2i + 1 share one task (RuleNeeds::Alike::kPairs).
  bool pairs = false;
};

struct CurriculumEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  MetricTable metrics = {};  // Metrics in its reports; others fail the update.
  // Text of an example spec for this curriculum: "benchmark { ... }".
  std::string example = {};
  // Returns null with violations under "curriculum." when spec and curriculum do not fit.
  std::function<std::unique_ptr<Curriculum>(const CurriculumContext&, const OptionValues&,
                                            Violations*)>
      make;
};

const std::vector<const CurriculumEntry*>& Curricula();
// Makes the curriculum of a spec that names one. Returns null with violations on errors.
std::unique_ptr<Curriculum> MakeCurriculum(const CurriculumContext& context,
                                           Violations* violations);

// Returns all metrics of an experiment with this spec: those of its rule (AllMetrics of the rule's
// name) and of its curriculum.
MetricTable AllMetrics(const v1::ExperimentSpec& spec);

using RegisterCurriculum = Registration<CurriculumEntry>;

}  // namespace mentor::meta_learner
