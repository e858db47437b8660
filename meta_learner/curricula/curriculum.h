// A curriculum: how the tasks of training change with what agents can do (docs/rules.md#curricula).
// One file that implements Curriculum and registers a factory. It stands beside any outer rule and
// knows neither agents nor meta-parameters.
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
#include "learner/inner_loops/tensor_map.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// What an agent achieved in the last inner iteration of its life.
struct Achievement {
  std::optional<double> success;  // Share of the episodes that ended in it; nothing: none did.
  double shaped_reward = 0;       // Mean over its steps.
};

// Metrics of an outer update, by name. The curriculum's entry declares them.
using CurriculumReport = std::map<std::string, double>;

// Not thread-safe; owned by one experiment.
class Curriculum {
 public:
  virtual ~Curriculum() = default;
  // Changes the task that was drawn for a lifetime of a generation: a function of the state, the
  // seed and these numbers.
  virtual void ChangeTask(uint32_t generation, uint32_t lifetime,
                          v1::EnvironmentTask* task) const = 0;
  // All lifetimes of a generation have ended, in the order of their numbers. An error leaves the
  // state as it was.
  virtual absl::StatusOr<CurriculumReport> Observe(uint32_t generation,
                                                   std::span<const Achievement> lifetimes) = 0;
  // Everything that the next tasks depend on.
  virtual learner::TensorMap Save() const = 0;
  virtual absl::Status Load(const learner::TensorMap& state) = 0;
};

struct CurriculumContext {
  v1::ExperimentSpec spec;
  // The lifetimes 2i and 2i + 1 have one task (RuleNeeds::paired_noise).
  bool pairs = false;
};

struct CurriculumEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  MetricTable metrics = {};  // What its reports hold. An update that reports others fails.
  // What a spec must say for this curriculum, as text: "benchmark { ... }".
  std::string example = {};
  // Null with violations under "curriculum." when spec and curriculum do not fit.
  std::function<std::unique_ptr<Curriculum>(const CurriculumContext&, const OptionValues&,
                                            Violations*)>
      make;
};

const std::vector<const CurriculumEntry*>& Curricula();
// Of a spec that names one.
std::unique_ptr<Curriculum> MakeCurriculum(const CurriculumContext& context,
                                           Violations* violations);

// All that an experiment with this spec reports: what its rule does (AllMetrics of the rule's
// name), and its curriculum.
MetricTable AllMetrics(const v1::ExperimentSpec& spec);

struct RegisterCurriculum {
  explicit RegisterCurriculum(CurriculumEntry entry);
};

}  // namespace mentor::meta_learner
