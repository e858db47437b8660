#include "meta_learner/curricula/adr.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/registry.h"
#include "common/spec/spec.h"
#include "envs/environment.h"
#include "envs/wrapper.h"

namespace mentor::meta_learner {
namespace {

using methods::TensorMap;

constexpr char kWrapper[] = "domain_randomization";
constexpr const char* kSides[] = {"low", "high"};
// Random draws of a lifetime; from kPlace on, one for each task parameter. Results depend on these
// values: never renumber.
enum Draw : uint32_t { kAtEnd = 0, kWhich = 1, kSide = 2, kPlace = 3 };
// Smallest width of a range, so that its logarithm is finite.
constexpr double kWidthMin = 1e-12;
// Number of tasks drawn within the limits that the environment must accept.
constexpr uint32_t kProbes = 1000;

void SetOption(const std::string& name, double value, v1::WrapperSpec* wrapper) {
  auto* options = wrapper->mutable_option();
  auto option = std::find_if(options->begin(), options->end(),
                             [&](const v1::Option& o) { return o.name() == name; });
  v1::Option& of_name = option == options->end() ? *options->Add() : *option;
  of_name.set_name(name);
  of_name.set_value(absl::StrFormat("%.17g", value));  // Parses back to the same number.
}

// ---- Parameters to randomise.

// Returns the ranges of the wrapper: each pair of options NAME_low, NAME_high.
std::vector<AdrParameter> WrapperParameters(const v1::ExperimentSpec& spec,
                                            Violations* violations) {
  const auto& wrappers = spec.benchmark().wrapper();
  const auto is_it = [](const v1::WrapperSpec& wrapper) { return wrapper.name() == kWrapper; };
  const auto found = std::find_if(wrappers.begin(), wrappers.end(), is_it);
  if (found == wrappers.end()) {
    violations->Add("curriculum.option.parameters",
                    absl::StrCat("is wrapper, but benchmark.wrapper has no ", kWrapper,
                                 ", whose ranges would be the limits; add one, or set task"));
    return {};
  }
  for (const v1::TaskSetSpec& set : spec.benchmark().task_set()) {
    if (std::none_of(set.wrapper().begin(), set.wrapper().end(), is_it)) continue;
    violations->Add("benchmark.task_set.wrapper",
                    absl::StrCat("has a ", kWrapper,
                                 " of its own; with this curriculum all "
                                 "environments share that of benchmark.wrapper: remove it"));
    return {};
  }
  const envs::WrapperEntry* entry = Registry<envs::WrapperEntry>::Instance().Find(kWrapper);
  MENTOR_CHECK(entry != nullptr);
  Violations said_already;  // Reported by the benchmark.
  const OptionValues values =
      OptionValues::Parse(entry->options, found->option(), "", &said_already);
  if (!said_already.empty()) return {};
  const OptionValues nominal = OptionValues::Parse(entry->options, {}, "", &said_already);
  std::vector<AdrParameter> parameters;
  for (const OptionInfo& option : entry->options) {
    if (!option.name.ends_with("_low")) continue;
    AdrParameter parameter{.name = option.name.substr(0, option.name.size() - 4),
                           .nominal = OptionNumber(nominal.text(option.name))};
    for (int side = 0; side < 2; ++side)
      parameter.limits[side] =
          OptionNumber(values.text(absl::StrCat(parameter.name, "_", kSides[side])));
    if (parameter.limits[0] == parameter.limits[1]) continue;
    if (parameter.limits[0] > parameter.nominal || parameter.limits[1] < parameter.nominal) {
      violations->Add("benchmark.wrapper",
                      absl::StrFormat("%s has %s from %g to %g, without the nominal %g at which "
                                      "the curriculum begins; make the range hold it",
                                      kWrapper, parameter.name, parameter.limits[0],
                                      parameter.limits[1], parameter.nominal));
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// Returns each task parameter that has a range.
std::vector<AdrParameter> TaskParameters(const v1::ExperimentSpec& spec, Violations* violations) {
  const std::optional<int> place = OnlyTrainingSet(spec);
  const v1::TaskSetSpec* set = place ? &spec.benchmark().task_set(*place) : nullptr;
  if (set == nullptr || set->range().empty() || set->goals() > 0) {
    violations->Add("curriculum.option.parameters",
                    "is task, which takes benchmark custom with one task_set for training whose "
                    "tasks are drawn from ranges afresh (range, and goals 0); write one, or set "
                    "wrapper");
    return {};
  }
  std::vector<AdrParameter> parameters;
  for (int i = 0; i < set->range_size(); ++i) {
    const double low = set->range(i).low(), high = set->range(i).high();
    if (!(low < high)) continue;
    parameters.push_back({.name = absl::StrCat(i),
                          .place = i,
                          .nominal = low + (high - low) / 2,
                          .limits = {low, high}});
  }
  return parameters;
}

// Checks that the environment accepts tasks within the ranges: a refused task would end the
// experiment.
void ProbeTasks(const v1::ExperimentSpec& spec, const std::vector<AdrParameter>& parameters,
                Violations* violations) {
  const int place = OnlyTrainingSet(spec).value();
  const v1::TaskSetSpec& set = spec.benchmark().task_set(place);
  v1::EnvironmentTask task;
  task.set_environment(set.environment());
  *task.mutable_options() = set.option();
  for (const v1::ParameterRange& range : set.range()) task.add_parameters(range.low());
  const auto environment = envs::MakeEnvironment(set.environment(), set.option());
  if (!environment.ok()) return;  // The benchmark reports this.
  const RandomStream random{.purpose = Purpose::kCurriculum};
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    for (const AdrParameter& parameter : parameters) {
      const double u = random.Uniform(probe, kPlace + static_cast<uint32_t>(parameter.place));
      task.set_parameters(parameter.place,
                          parameter.limits[0] + u * (parameter.limits[1] - parameter.limits[0]));
    }
    // Put one parameter at an end, in turn.
    const AdrParameter& at = parameters[probe / 2 % parameters.size()];
    task.set_parameters(at.place, at.limits[probe % 2]);
    const absl::Status status = (*environment)->SetTask(task);
    if (status.ok()) continue;
    violations->Add(absl::StrFormat("benchmark.task_set[%d].range", place),
                    absl::StrFormat("holds tasks that are refused, which a curriculum would draw; "
                                    "narrow it: %s",
                                    status.message()));
    return;
  }
}

const auto kOptions = Bind<AdrConfig>(
    {{&AdrConfig::of_wrapper,
      "parameters",
      {{"wrapper", true}, {"task", false}},
      "What is randomised: mass, friction, damping and gain of wrapper domain_randomization, whose "
      "ranges are the limits, or the numbers of the tasks of benchmark custom, whose ranges are "
      "the limits."},
     {&AdrConfig::boundary, "boundary", "0.5", 0, 1,
      "Share of the lifetimes that live at an end of a range."},
     {&AdrConfig::buffer, "buffer", "10", 1, 1e5,
      "Lifetimes at an end that decide whether it moves."},
     {&AdrConfig::by_success,
      "performance",
      {{"success", true}, {"shaped", false}},
      "Quantity that decides: the share of successful episodes, or the mean shaped reward of a "
      "step, each "
      "of the last inner iteration."},
     {&AdrConfig::threshold_low, "threshold_low", "0.3", -1e30, 1e30,
      "A mean performance up to this narrows the range."},
     {&AdrConfig::threshold_high, "threshold_high", "0.8", -1e30, 1e30,
      "A mean performance from this on widens the range."},
     {&AdrConfig::step, "step", "0.05", 1e-6, 1,
      "By how much an end moves, as a share of the way from the nominal value to its limit."},
     {&AdrConfig::shrink, "shrink", true, "Ranges get narrower, too."}});

std::unique_ptr<Curriculum> Make(const CurriculumContext& context, const OptionValues& options,
                                 Violations* violations) {
  AdrConfig config = kOptions.Read(options, {.seed = context.spec.seed(), .pairs = context.pairs});
  if (config.threshold_low >= config.threshold_high) {
    violations->Add("curriculum.option.threshold_low",
                    absl::StrFormat("is %g, not below threshold_high = %g; lower it or raise "
                                    "threshold_high",
                                    config.threshold_low, config.threshold_high));
  }
  Violations of_parameters;
  config.parameters = config.of_wrapper ? WrapperParameters(context.spec, &of_parameters)
                                        : TaskParameters(context.spec, &of_parameters);
  if (of_parameters.empty() && config.parameters.empty()) {
    of_parameters.Add("curriculum.option.parameters",
                      absl::StrFormat("is %s, but no range there is wider than a point; widen one",
                                      config.of_wrapper ? "wrapper" : "task"));
  }
  if (of_parameters.empty() && !config.of_wrapper)
    ProbeTasks(context.spec, config.parameters, &of_parameters);
  violations->AddAll(of_parameters);
  if (!violations->empty()) return nullptr;
  for (AdrParameter& parameter : config.parameters) {
    for (int side = 0; side < 2; ++side) {
      parameter.deltas[side] = config.step * std::abs(parameter.limits[side] - parameter.nominal);
    }
  }
  return std::make_unique<Adr>(std::move(config));
}

MetricTable Metrics() {
  return {{.name = "range_low/*", .help = "Low end of the range of one parameter."},
          {.name = "range_high/*", .help = "High end of the range of one parameter."},
          {.name = "range_entropy",
           .unit = "nat",
           .help = "Mean over the parameters of the logarithm of their range's width, which is "
                   "taken to be at least 1e-12.",
           .label = "entropy of the ranges",
           .panel = MetricInfo::Panel::kOwn},
          {.name = "boundary_lifetimes", .help = "Lifetimes that lived at an end of a range."},
          {.name = "range_moves", .help = "Ends of ranges that moved, each time counted."}};
}

const RegisterCurriculum kRegister({
    .name = "adr",
    .summary = "Ranges that widen with success: automatic domain randomisation (OpenAI 2019)",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .example = "benchmark { name: 'single' environment: 'Hopper-v5' wrapper { name: "
               "'domain_randomization' option { name: 'mass_low' value: '0.5' } option { name: "
               "'mass_high' value: '2' } } }",
    .make = Make,
});

}  // namespace

Adr::Adr(AdrConfig config) : config_(std::move(config)) {
  for (const AdrParameter& parameter : config_.parameters)
    ranges_.push_back({.ends = {parameter.nominal, parameter.nominal}, .buffers = {}});
}

RandomStream Adr::Random(uint32_t generation) const {
  return {.seed = config_.seed, .purpose = Purpose::kCurriculum, .lifetime = generation};
}

std::optional<Adr::End> Adr::EndOf(uint32_t generation, uint32_t lifetime) const {
  const RandomStream random = Random(generation);
  const uint32_t number = Number(lifetime);
  if (random.Uniform(number, kAtEnd) >= config_.boundary) return std::nullopt;
  return End{.parameter = random.Below(ranges_.size(), number, kWhich),
             .side = random.Uniform(number, kSide) < 0.5 ? size_t{0} : size_t{1}};
}

void Adr::ChangeTask(uint32_t generation, uint32_t lifetime, v1::EnvironmentTask* task) const {
  const std::optional<End> at = EndOf(generation, lifetime);
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const AdrParameter& parameter = config_.parameters[i];
    auto [low, high] = ranges_[i].ends;
    if (at && at->parameter == i) low = high = ranges_[i].ends[at->side];
    if (!config_.of_wrapper) {
      const double u =
          Random(generation).Uniform(Number(lifetime), kPlace + static_cast<uint32_t>(i));
      task->set_parameters(parameter.place, low + u * (high - low));
      continue;
    }
    for (v1::WrapperSpec& wrapper : *task->mutable_wrappers()) {
      if (wrapper.name() != kWrapper) continue;
      SetOption(parameter.name + "_low", low, &wrapper);
      SetOption(parameter.name + "_high", high, &wrapper);
    }
  }
}

bool Adr::Tell(size_t parameter, size_t side, double performance) {
  std::vector<double>& buffer = ranges_[parameter].buffers[side];
  buffer.push_back(performance);
  if (static_cast<int64_t>(buffer.size()) < config_.buffer) return false;
  double mean = 0;
  for (const double one : buffer) mean += one;
  mean /= static_cast<double>(buffer.size());
  buffer.clear();
  const bool widens = mean >= config_.threshold_high,
             narrows = config_.shrink && mean <= config_.threshold_low;
  if (!widens && !narrows) return false;
  const AdrParameter& of = config_.parameters[parameter];
  double& end = ranges_[parameter].ends[side];
  const double before = end, outwards = side == 0 ? -of.deltas[0] : of.deltas[1];
  end += widens ? outwards : -outwards;
  end = side == 0 ? std::clamp(end, of.limits[0], of.nominal)
                  : std::clamp(end, of.nominal, of.limits[1]);
  return end != before;
}

absl::StatusOr<CurriculumReport> Adr::Observe(uint32_t generation,
                                              std::span<const Achievement> lifetimes) {
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    if (std::isfinite(lifetimes[i].shaped_reward)) continue;
    return absl::InternalError(
        absl::StrFormat("curriculum adr: the mean shaped reward of lifetime %d is not finite", i));
  }
  double at_ends = 0, moves = 0;
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const std::optional<End> at = EndOf(generation, static_cast<uint32_t>(i));
    if (!at) continue;
    ++at_ends;
    const std::optional<double> performance =
        config_.by_success ? lifetimes[i].success : lifetimes[i].shaped_reward;
    if (performance && Tell(at->parameter, at->side, *performance)) ++moves;
  }
  CurriculumReport report = {{"boundary_lifetimes", at_ends}, {"range_moves", moves}};
  double entropy = 0;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const auto& [low, high] = ranges_[i].ends;
    report["range_low/" + config_.parameters[i].name] = low;
    report["range_high/" + config_.parameters[i].name] = high;
    entropy += std::log(std::max(high - low, kWidthMin));
  }
  report["range_entropy"] = entropy / static_cast<double>(ranges_.size());
  return report;
}

TensorMap Adr::Save() const {
  const auto size = static_cast<int64_t>(ranges_.size());
  torch::Tensor ends = torch::empty({size, 2}, torch::kFloat64),
                counts = torch::empty({size, 2}, torch::kInt64);
  std::vector<double> buffered;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    for (size_t side = 0; side < 2; ++side) {
      const std::vector<double>& buffer = ranges_[i].buffers[side];
      ends.mutable_data_ptr<double>()[2 * i + side] = ranges_[i].ends[side];
      counts.mutable_data_ptr<int64_t>()[2 * i + side] = static_cast<int64_t>(buffer.size());
      buffered.insert(buffered.end(), buffer.begin(), buffer.end());
    }
  }
  return {
      {"ends", ends}, {"counts", counts}, {"buffered", torch::tensor(buffered, torch::kFloat64)}};
}

absl::Status Adr::Load(const TensorMap& state) {
  const auto read = [&](const char* name, at::IntArrayRef shape,
                        torch::Dtype dtype) -> absl::StatusOr<torch::Tensor> {
    auto tensor = methods::ReadTensor(state, name, shape, dtype, "curriculum adr");
    // A wrong shape is a damaged checkpoint too.
    if (!tensor.ok()) return absl::DataLossError(tensor.status().message());
    return tensor->contiguous();
  };
  const auto broken = [&](const char* name, const char* why) {
    return absl::DataLossError(
        absl::StrFormat("'%s' in the state of curriculum adr %s", name, why));
  };
  const auto size = static_cast<int64_t>(ranges_.size());
  MENTOR_ASSIGN_OR_RETURN(const torch::Tensor ends, read("ends", {size, 2}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const torch::Tensor counts, read("counts", {size, 2}, torch::kInt64));
  int64_t total = 0;
  for (int64_t i = 0; i < 2 * size; ++i) {
    const int64_t count = counts.const_data_ptr<int64_t>()[i];
    if (count < 0 || count >= config_.buffer)
      return broken("counts", "is not below the size of a buffer");
    total += count;
  }
  MENTOR_ASSIGN_OR_RETURN(const torch::Tensor buffered, read("buffered", {total}, torch::kFloat64));
  std::vector<Range> ranges(ranges_.size());
  const double* next = buffered.const_data_ptr<double>();
  for (size_t i = 0; i < ranges.size(); ++i) {
    const AdrParameter& of = config_.parameters[i];
    for (size_t side = 0; side < 2; ++side) {
      ranges[i].ends[side] = ends.const_data_ptr<double>()[2 * i + side];
      const int64_t count = counts.const_data_ptr<int64_t>()[2 * i + side];
      ranges[i].buffers[side].assign(next, next + count);
      next += count;
    }
    const auto& [low, high] = ranges[i].ends;
    if (low < of.limits[0] || low > of.nominal || high < of.nominal || high > of.limits[1])
      return broken("ends", "lies outside the limits");
  }
  ranges_ = std::move(ranges);
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
