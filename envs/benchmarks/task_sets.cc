#include "envs/benchmarks/task_sets.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/mutex.h"
#include "common/pause_point.h"
#include "envs/wrapper.h"

namespace mentor::envs {

namespace {

constexpr uint64_t kGreatest = std::numeric_limits<uint64_t>::max();

uint64_t Plus(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kGreatest : sum;
}

uint64_t Times(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kGreatest : product;
}

// Messages hold their lists, so what they take is more than what they are long on the wire.
uint64_t SettingBytes(const google::protobuf::RepeatedPtrField<v1::Option>& options,
                      const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers) {
  return Plus(options.SpaceUsedExcludingSelfLong(), wrappers.SpaceUsedExcludingSelfLong());
}

}  // namespace

TaskSetCost CostOf(const v1::BenchmarkSpec& spec) {
  const uint64_t shared_bytes = SettingBytes({}, spec.wrapper());
  const auto shared_wrappers = static_cast<uint64_t>(spec.wrapper_size());
  TaskSetCost cost;
  for (const v1::TaskSetSpec& set : spec.task_set()) {
    const bool from_ranges = !set.range().empty();
    const uint64_t tasks =
        std::max<uint64_t>({1, set.goals(), static_cast<uint64_t>(set.task_size())});
    const uint64_t wrappers = Plus(shared_wrappers, static_cast<uint64_t>(set.wrapper_size()));
    cost.tasks = Plus(cost.tasks, tasks);
    cost.draws = Plus(cost.draws, kDrawsOfSet);
    cost.draws = Plus(cost.draws, Times(wrappers, kDrawsOfWrapper));
    cost.draws = Plus(cost.draws, Times(tasks, from_ranges ? kDrawsOfRangeGoal : 1));
    // Each end of a range is tried too.
    cost.draws = Plus(cost.draws, Times(static_cast<uint64_t>(set.range_size()), 400));
    cost.setting_bytes =
        Plus(cost.setting_bytes, Plus(shared_bytes, SettingBytes(set.option(), set.wrapper())));
  }
  return cost;
}

// A goal costs probes / accepted draws, where kDrawsOfSet + goals * kDrawsOfRangeGoal were
// reckoned.
uint64_t RangeGoalsMax(uint64_t accepted, uint64_t probes) {
  const uint64_t reckoned = accepted * kDrawsOfRangeGoal;
  return probes <= reckoned ? kGreatest : accepted * kDrawsOfSet / (probes - reckoned);
}

bool CheckCost(const v1::BenchmarkSpec& spec, Violations* violations) {
  const TaskSetCost cost = CostOf(spec);
  const auto refuse = [&](const std::string& what) {
    violations->Add("benchmark.task_set",
                    absl::StrFormat("has %d sets with %s", spec.task_set_size(), what));
    return false;
  };
  if (cost.tasks > kTasksMax) {
    return refuse(
        absl::StrFormat("%d tasks together; at most %d are allowed: give fewer sets or "
                        "fewer goals, or none to draw a fresh one for each lifetime",
                        cost.tasks, kTasksMax));
  }
  if (cost.draws > kDrawsMax) {
    return refuse(absl::StrFormat(
        "%d tasks together, which cost %d draws; at most %d are allowed, where a set counts %d, a "
        "wrapper of one %d, a goal 1, from ranges %d: give fewer sets or fewer goals",
        cost.tasks, cost.draws, kDrawsMax, kDrawsOfSet, kDrawsOfWrapper, kDrawsOfRangeGoal));
  }
  if (cost.setting_bytes > kSettingBytesMax) {
    return refuse(
        absl::StrFormat("options and wrappers that take %d bytes, as each set has those "
                        "of the benchmark too; at most %d are allowed: give fewer",
                        cost.setting_bytes, kSettingBytesMax));
  }
  return true;
}
namespace {

// Ranges of which the environment refuses more are an error: the tasks would be another
// distribution than the one that was asked for.
constexpr int kProbes = 1000, kAcceptedMin = 10;
// Draws with one number at the end of its range, of which one must be accepted.
constexpr int kEndProbes = 200;
// Draws of one task. Chance never refuses so many where one of a hundred is accepted, but a
// bundle's condition may accept the probes and nothing else.
constexpr uint32_t kAttemptsMax = 10'000;
// Lists of drawn goals come from a key that no outer update has.
constexpr uint32_t kListLifetime = ~uint32_t{0};

std::span<const double> Span(const google::protobuf::RepeatedField<double>& numbers) {
  return {numbers.data(), static_cast<size_t>(numbers.size())};
}

// Violations in a status of envs::Wrap, whose lines begin with their fields.
void AddLines(const absl::Status& status, Violations* violations) {
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(status.message(), '\n'))) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    const std::string field = parts.first.substr(0, parts.first.find(' '));
    violations->Add(field, parts.second);
  }
}

// True if the work must end here; that is a violation, too.
bool EndsHere(const std::string& field, Violations* violations) {
  const absl::Status status = PausePoint();
  if (!status.ok()) violations->Add(field, std::string(status.message()));
  return !status.ok();
}

// Draws tasks from ranges. Thread-safe: the environment that judges them is guarded.
class RangeDraw {
 public:
  RangeDraw(const v1::TaskSetSpec& set, v1::EnvironmentTask blank,
            std::unique_ptr<Environment> environment)
      : ranges_(set.range().begin(), set.range().end()),
        blank_(std::move(blank)),
        environment_(std::move(environment)) {}

  // Task number `index`, drawn again while it is refused. One that is refused all the same is
  // refused again where it is to run. Has pause points, as Plan::Draw.
  v1::EnvironmentTask Draw(const RandomStream& random, uint32_t index, bool* refused = nullptr) {
    for (uint32_t attempt = 0;; ++attempt) {
      const v1::EnvironmentTask task = Candidate(random, index, attempt);
      const bool goes_on = PausePoint().ok();
      const bool accepted = goes_on && Judge(task).ok();
      if (!accepted && goes_on && attempt + 1 < kAttemptsMax) continue;
      if (refused != nullptr) *refused = !accepted;
      return task;
    }
  }

  // Checks that the environment accepts the ranges, and that a list of `goals` can be drawn.
  bool Check(uint32_t goals, const std::string& path, Violations* violations) {
    const RandomStream random{.purpose = Purpose::kTasks, .lifetime = kListLifetime};
    int accepted = 0;
    absl::Status refusal;
    for (uint32_t i = 0; i < kProbes; ++i) {
      if (EndsHere(path + ".range", violations)) return false;
      const absl::Status status = Judge(Candidate(random, i, 0));
      status.ok() ? void(++accepted) : void(refusal = status);
    }
    if (accepted < kAcceptedMin) {
      violations->Add(path + ".range",
                      absl::StrFormat("%d of %d tasks drawn from it are refused, for instance: %s",
                                      kProbes - accepted, kProbes, refusal.message()));
      return false;
    }
    if (const uint64_t goals_max = RangeGoalsMax(static_cast<uint64_t>(accepted), kProbes);
        goals > goals_max) {
      violations->Add(
          path + ".goals",
          absl::StrFormat("is %d, but %d of %d tasks drawn from the ranges are refused, "
                          "which makes a long list too costly; give at most %d, or "
                          "ranges of which less is refused",
                          goals, kProbes - accepted, kProbes, goals_max));
      return false;
    }
    bool fits = true;
    for (size_t i = 0; i < ranges_.size(); ++i) {
      for (const bool is_low : {true, false}) {
        const double end = is_low ? ranges_[i].low() : ranges_[i].high();
        absl::Status status = absl::UnknownError("");
        for (uint32_t k = 0; k < kEndProbes && !status.ok(); ++k) {
          if (EndsHere(path + ".range", violations)) return false;
          v1::EnvironmentTask task = Candidate(random, k, 0);
          task.set_parameters(static_cast<int>(i), end);
          status = Judge(task);
        }
        if (status.ok()) continue;
        violations->Add(
            absl::StrFormat("%s.range[%d].%s", path, i, is_low ? "low" : "high"),
            absl::StrFormat("is %g, where every task is refused: %s", end, status.message()));
        fits = false;
      }
    }
    return fits;
  }

 private:
  v1::EnvironmentTask Candidate(const RandomStream& random, uint32_t index,
                                uint32_t attempt) const {
    v1::EnvironmentTask task = blank_;
    const uint32_t n = static_cast<uint32_t>(ranges_.size());
    for (uint32_t i = 0; i < n; ++i) {
      const v1::ParameterRange& range = ranges_[i];
      task.add_parameters(range.low() +
                          (range.high() - range.low()) * random.Uniform(index, attempt * n + i));
    }
    return task;
  }
  absl::Status Judge(const v1::EnvironmentTask& task) {
    const MutexLock lock(mutex_);
    return environment_->SetTask(task);
  }

  // Fixed after construction.
  const std::vector<v1::ParameterRange> ranges_;
  const v1::EnvironmentTask blank_;  // A task without its parameters.
  Mutex mutex_;
  const std::unique_ptr<Environment> environment_ ABSL_PT_GUARDED_BY(mutex_);
};

// Checks the tasks of a set, as far as the set alone shows errors.
bool CheckSupply(const v1::TaskSetSpec& set, int num_parameters, const std::string& path,
                 Violations* violations) {
  const size_t before = violations->list().size();
  const std::string tasks_of = "tasks of " + set.environment();
  if (!set.task().empty()) {
    if (!set.range().empty())
      violations->Add(path + ".range", "is given beside task; remove one of the two");
    if (set.goals() > 0)
      violations->Add(path + ".goals", "is given beside task, whose entries count; remove one");
    return violations->list().size() == before;
  }
  if (!set.range().empty() && set.range_size() != num_parameters) {
    violations->Add(
        path + ".range",
        num_parameters == 0
            ? absl::StrFormat("has %d entries, but %s have no parameters; remove them",
                              set.range_size(), tasks_of)
            : absl::StrFormat("has %d entries; %s have %d parameters: give one range for each",
                              set.range_size(), tasks_of, num_parameters));
  }
  if (set.goals() > 0 && num_parameters == 0) {
    violations->Add(path + ".goals",
                    "is " + std::to_string(set.goals()) + ", but " + tasks_of +
                        " have no parameters: there is one task; remove the field");
  }
  for (int i = 0; i < set.range_size(); ++i) {
    const v1::ParameterRange& range = set.range(i);
    if (range.low() <= range.high()) continue;
    violations->Add(
        absl::StrFormat("%s.range[%d]", path, i),
        absl::StrFormat("low is %g, above high = %g; exchange them", range.low(), range.high()));
  }
  return violations->list().size() == before;
}

// A task of the set without its parameters.
v1::EnvironmentTask BlankTask(const v1::TaskSetSpec& set, const v1::BenchmarkSpec& benchmark) {
  v1::EnvironmentTask blank;
  blank.set_environment(set.environment());
  *blank.mutable_options() = set.option();
  blank.set_goal_visible(set.goal_visible());
  *blank.mutable_wrappers() = set.wrapper();
  blank.mutable_wrappers()->MergeFrom(benchmark.wrapper());
  return blank;
}

// Adds the tasks that the set lists, each of which the environment must accept.
bool AddListed(const v1::TaskSetSpec& set, const std::string& path, Environment* environment,
               TaskList* tasks, Violations* violations) {
  for (const v1::TaskVector& vector : set.task()) {
    if (EndsHere(path + ".task", violations)) return false;
    tasks->Add(Span(vector.parameters()));
    const absl::Status status = environment->SetTask((*tasks)[tasks->size() - 1]);
    if (status.ok()) continue;
    violations->Add(absl::StrFormat("%s.task[%d]", path, tasks->size() - 1),
                    std::string(status.message()));
    return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Environment> MakeEnvironmentOf(const v1::TaskSetSpec& set, const std::string& path,
                                               const v1::BenchmarkSpec& benchmark,
                                               Violations* violations) {
  const EnvironmentEntry* entry = FindEnvironment(set.environment());
  if (entry == nullptr) {
    violations->Add(path + ".environment",
                    std::string(MakeEnvironment(set.environment(), {}).status().message()));
    return nullptr;
  }
  const size_t before = violations->list().size();
  const OptionValues options =
      OptionValues::Parse(entry->options, set.option(), path + ".option", violations);
  if (violations->list().size() != before) return nullptr;
  absl::StatusOr<std::unique_ptr<Environment>> made = entry->make(options);
  if (!made.ok()) {
    violations->Add(path + (absl::IsInvalidArgument(made.status()) ? ".option" : ".environment"),
                    std::string(made.status().message()));
    return nullptr;
  }
  for (const auto& [wrappers, field] :
       {std::pair(&set.wrapper(), path + ".wrapper"),
        std::pair(&benchmark.wrapper(), std::string("benchmark.wrapper"))}) {
    made = Wrap(*std::move(made), *wrappers, field);
    if (made.ok()) continue;
    AddLines(made.status(), violations);
    return nullptr;
  }
  return *std::move(made);
}

std::optional<MadeTaskSet> MakeTaskSet(const v1::TaskSetSpec& set, const std::string& path,
                                       uint32_t number, const v1::BenchmarkSpec& benchmark,
                                       Violations* violations) {
  std::unique_ptr<Environment> environment = MakeEnvironmentOf(set, path, benchmark, violations);
  if (environment == nullptr) return std::nullopt;
  const EnvironmentEntry& entry = *FindEnvironment(set.environment());
  Violations none;
  const OptionValues options = OptionValues::Parse(entry.options, set.option(), "", &none);

  const v1::EnvironmentTask blank = BlankTask(set, benchmark);
  auto own_distribution = [&entry, options, blank](const RandomStream& random, uint32_t index) {
    v1::EnvironmentTask task = blank;
    *task.mutable_parameters() = DrawTask(entry, options, random, index).parameters();
    ExtendTask(task.wrappers(), random, index, &task);
    return task;
  };
  const int num_parameters = own_distribution({}, 0).parameters_size();
  if (!CheckSupply(set, num_parameters, path, violations)) return std::nullopt;
  MadeTaskSet made{.tasks = {.name = set.name().empty() ? set.environment() : set.name(),
                             .tasks = TaskList(blank),
                             .draw = {}},
                   .info = environment->info()};

  TaskList& tasks = made.tasks.tasks;
  if (!AddListed(set, path, environment.get(), &tasks, violations)) return std::nullopt;
  if (!tasks.empty()) return made;

  // Reports what the environment refuses of the fields that all tasks of the set share.
  if (const absl::Status status = environment->SetTask(own_distribution({}, 0)); !status.ok()) {
    violations->Add(path, std::string(status.message()));
    return std::nullopt;
  }
  if (num_parameters == 0) {
    tasks.Add({});
    return made;
  }
  made.tasks.draw = own_distribution;
  std::shared_ptr<RangeDraw> draw;
  if (!set.range().empty()) {
    draw = std::make_shared<RangeDraw>(set, blank, std::move(environment));
    if (!draw->Check(set.goals(), path, violations)) return std::nullopt;
    made.tasks.draw = [draw](const RandomStream& random, uint32_t index) {
      return draw->Draw(random, index);
    };
  }
  const RandomStream list{
      .seed = benchmark.goal_seed(),
      .purpose = Purpose::kTasks,
      .phase = set.split() == v1::TRAIN ? Phase::kTraining : Phase::kTestEvaluation,
      .lifetime = kListLifetime,
      .iteration = number};
  for (uint32_t goal = 0; goal < set.goals(); ++goal) {
    bool refused = false;
    const v1::EnvironmentTask task =
        draw != nullptr ? draw->Draw(list, goal, &refused) : made.tasks.draw(list, goal);
    if (EndsHere(path + ".goals", violations)) return std::nullopt;
    if (refused) {
      violations->Add(path + ".range",
                      absl::StrFormat("all of %d tasks drawn from it for goal %d are refused; give "
                                      "ranges of which less is refused",
                                      kAttemptsMax, goal));
      return std::nullopt;
    }
    tasks.Add(Span(task.parameters()));
  }
  return made;
}

}  // namespace mentor::envs
