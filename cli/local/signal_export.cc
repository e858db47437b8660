#include "cli/local/signal_export.h"

#include <torch/types.h>

#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "cli/local/network_example.h"
#include "cli/local/relive.h"
#include "cli/local/run_report.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/hosts.h"
#include "common/protocol.h"
#include "common/registry.h"
#include "common/safetensors.h"
#include "common/spec/spec.h"
#include "envs/host/host_facts.h"
#include "envs/wrappers/random_reward.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "methods/base/inner_loop.h"
#include "methods/diayn/discriminator.h"
#include "shards/segment_proto.h"

namespace mentor {
namespace {

using Json = nlohmann::ordered_json;
using torch::Tensor;

constexpr char kCheckFile[] = "signal_check.safetensors";
constexpr char kCardFile[] = "README.md";
// A check covers two whole inner iterations, and more while they fit into this many steps.
constexpr int64_t kCheckSteps = 2000;
constexpr uint32_t kCheckIterations = 2;

std::string DtypeOf(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kFloat64:
      return "F64";
    case torch::kInt64:
      return "I64";
    case torch::kUInt8:
      return "U8";
    default:
      MENTOR_CHECK(tensor.scalar_type() == torch::kFloat32);
      return "F32";
  }
}

SafeTensor ToSafeTensor(std::string name, const Tensor& tensor) {
  const Tensor dense = tensor.detach().cpu().contiguous();
  return {.name = std::move(name),
          .dtype = DtypeOf(dense),
          .shape = dense.sizes().vec(),
          .data = std::string(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes())};
}

// How agents combine the task's reward and the signal. Inner loops whose agents learn from both
// have options with these names.
struct RewardMix {
  double task = 0, signal = 1, scale = 1;
  std::string task_reward = "shaped";
};

absl::StatusOr<RewardMix> MixOf(const v1::Shard& shard) {
  RewardMix mix;
  const methods::InnerLoopEntry* loop = methods::FindInnerLoop(shard.inner_loop().name());
  MENTOR_CHECK(loop != nullptr);
  Violations violations;
  const OptionValues options =
      OptionValues::Parse(loop->options, shard.inner_loop().option(), "rule.option", &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  bool changed = false;  // Agents earned the task's reward scaled or delayed.
  for (const OptionInfo& option : loop->options) {
    const std::string& text = options.text(option.name);
    const auto number = [&] { return OptionNumber(text); };
    if (option.name == "c_ex") mix.task = number();
    if (option.name == "c_in") mix.signal = number();
    if (option.name == "reward_scale") mix.scale = number();
    if (option.name == "extrinsic") mix.task_reward = text;
    // Rule response_gradient; the values of meta_gradient name another thing.
    if (option.name == "objective" && text == "success") mix.task_reward = text;
    if (option.name == "scale_rewards" && text == "true") changed = true;
    if (option.name == "reward_every" && number() != 1) changed = true;
  }
  if (changed && mix.task != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "rule.option.c_ex: is %g, and each agent of rule %s earned the task's reward on a scale of "
        "its own or delayed, which other agents cannot repeat; to export the signal, train with "
        "--set rule.c_ex=0, or --set rule.scale_rewards=false --set rule.reward_every=1",
        mix.task, shard.spec().rule().name()));
  }
  return mix;
}

// Returns the shard of one lifetime of the run's evaluation, also where the spec asks for none.
v1::Shard FirstLifetime(const TrainedRun& run) {
  v1::ExperimentSpec spec = run.spec;
  spec.mutable_evaluation()->set_lifetimes_per_goal(1);
  spec.mutable_evaluation()->set_goals(1);
  const envs::Split split = meta_learner::EvaluatedSplits(*run.parts.benchmark, spec)[0];
  const auto tasks = meta_learner::EvaluationTasks(*run.parts.benchmark, spec, split);
  MENTOR_CHECK(!tasks.empty());
  const std::string name = "evaluations/export";
  v1::Shard shard =
      meta_learner::EvaluationShards({name, spec, *run.parts.benchmark}, {tasks[0]},
                                     /*first_number=*/0, split, v1::REWARD_SOURCE_SIGNAL)[0];
  shard.set_outcomes_only(false);
  shard.set_deterministic_episodes(0);
  return shard;
}

class Recorder {
 public:
  Recorder(const TrainedRun& run, Tensor weights, double scale)
      : run_(run), network_(*run.parts.network), weights_(std::move(weights)), scale_(scale) {}

  absl::StatusOr<SafeTensors> Record() {
    const NetworkExample example =
        ExampleOf(run_.parts.network, weights_, methods::SignalContextOf(FirstLifetime(run_)),
                  run_.spec.agent());
    if (example.kind.empty()) {
      MENTOR_RETURN_IF_ERROR(RecordLifetime(*network_.signals()));
    } else {
      kind_ = example.kind;
      steps_ = example.steps;
      for (const auto& [name, tensor] : example.tensors) Add(name, tensor);
    }
    file_.metadata = {{"kind", kind_}, {"segments", absl::StrCat(segments_)}};
    return std::move(file_);
  }
  int64_t steps() const { return steps_; }

 private:
  void Add(const std::string& name, const Tensor& tensor) {
    file_.tensors.push_back(ToSafeTensor(name, tensor));
  }

  absl::Status RecordLifetime(const signals::SignalSource& signals) {
    const v1::Shard shard = FirstLifetime(run_);
    signals::SignalState state = signals.InitialState(1, torch::kFloat32);
    const uint32_t iterations = agents::IterationsOf(shard);
    const auto emit = [&](const v1::Segment& proto) -> absl::Status {
      MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, shards::SegmentFromProto(proto, shard));
      if (signals.needs_values()) AddValues(&segment);
      RecordSegment(signals, segment, &state);
      const bool more = segments_ < kCheckIterations ||
                        steps_ + agents::StepsOfIteration(shard, segments_) <= kCheckSteps;
      return more || segments_ == iterations ? absl::OkStatus() : absl::CancelledError("enough");
    };
    const absl::Status status = LiveShard(
        shard, weights_, [](const v1::Unit&, const v1::Trajectory&) { return true; }, emit);
    return absl::IsCancelled(status) && segments_ > 0 ? absl::OkStatus() : status;
  }

  void RecordSegment(const signals::SignalSource& signals, const agents::Segment& segment,
                     signals::SignalState* state) {
    const std::string prefix = absl::StrCat(segments_, "/");
    for (const agents::SegmentField& field : agents::SegmentFields()) {
      if (field.seen >= 0 && (segment.*field.member).defined())
        Add(prefix + field.name, segment.*field.member);
    }
    agents::Segment seen = segment;
    seen.shaped_rewards = segment.shaped_rewards * scale_;
    Add(prefix + "signals", signals.Run(weights_, seen, /*noise=*/{}, state).signals);
    steps_ += segment.observations.size(1);
    ++segments_;
  }

  void AddValues(agents::Segment* segment) const {
    const int64_t steps = segment->observations.size(1);
    segment->values = DrawNumbers(3 * segments_, {1, steps});
    segment->last_values = DrawNumbers(3 * segments_ + 1, {1});
    if (!run_.spec.agent().bootstrap_on_truncation()) return;
    // Treat every episode end as a truncation.
    segment->truncated = agents::Ends(*segment);
    segment->final_values = DrawNumbers(3 * segments_ + 2, {1, steps}) * segment->truncated;
  }

  const TrainedRun& run_;
  const signals::SignalNetwork& network_;
  const Tensor weights_;  // [Q]
  const double scale_;
  SafeTensors file_;
  std::string kind_ = "lifetime";
  uint32_t segments_ = 0;
  int64_t steps_ = 0;
};

Json ValueOf(const OptionInfo& option, const OptionValues& values) {
  const std::string& text = values.text(option.name);
  switch (option.kind) {
    case OptionInfo::Kind::kNumber:
      return OptionNumber(text);
    case OptionInfo::Kind::kInteger:
      return OptionInteger(text);
    case OptionInfo::Kind::kFlag:
      return text == "true";
    default:
      return text;
  }
}

Json NetworkJson(const TrainedRun& run, const signals::SignalContext& context, Json* columns) {
  const signals::SignalEntry* entry =
      Registry<signals::SignalEntry>::Instance().Find(run.spec.signal().name());
  MENTOR_CHECK(entry != nullptr);
  Violations none;
  const OptionValues values =
      OptionValues::Parse(entry->options, run.spec.signal().option(), "signal.option", &none);
  Json options = Json::object();
  for (const OptionInfo& option : entry->options) options[option.name] = ValueOf(option, values);
  *columns = Json::array();
  if (entry->columns != nullptr) {
    for (const signals::SignalColumn& column : entry->columns(context, values))
      columns->push_back({{"name", column.name}, {"size", column.size}, {"how", column.how}});
  }
  return {{"name", entry->name}, {"summary", entry->summary}, {"options", options}};
}

// Returns the settings of the taught agents, so that other programs can build the same agents.
Json AgentJson(const v1::AgentSpec& agent) {
  Json json = {{"hidden_units", agent.hidden_units()},
               {"epochs", agent.epochs()},
               {"minibatches", agent.minibatches()},
               {"gamma", agent.gamma()},
               {"gae_lambda", agent.gae_lambda()},
               {"clip", agent.clip()},
               {"value_coef", agent.value_coef()},
               {"entropy_coef", agent.entropy_coef()},
               {"max_grad_norm", agent.max_grad_norm()},
               {"learning_rate", agent.learning_rate()},
               {"adam_epsilon", agent.adam_epsilon()},
               {"initial_std", agent.initial_std()},
               {"output_gain", agent.output_gain()},
               {"normalize_advantage", agent.normalize_advantage()},
               {"normalize_observations", agent.normalize_observations()},
               {"bootstrap_on_truncation", agent.bootstrap_on_truncation()},
               {"optimizer", v1::Optimizer_Name(agent.optimizer())}};
  if (agent.surrogate() == v1::DPO) json["surrogate"] = v1::Surrogate_Name(v1::DPO);
  return json;
}

Json EvaluationJson(const std::vector<report::MethodResult>& results) {
  Json all = Json::array();
  for (const report::MethodResult& result : results) {
    Json parts = Json::array();
    for (const report::Interval& part : result.segments)
      parts.push_back({{"mean", part.mean}, {"low", part.low}, {"high", part.high}});
    all.push_back({{"teacher", NameOf(result.method)},
                   {"goals", result.split},
                   {"environment", result.environment},
                   {"lifetimes", result.lifetimes},
                   {"quantity", result.quantity == report::Quantity::kSuccess ? "success rate"
                                                                              : "shaped return"},
                   {"iterations", parts}});
  }
  return all;
}

// Returns the results of the evaluation at the end of the run; empty without an evaluation.
absl::StatusOr<std::vector<report::MethodResult>> ResultsOf(const TrainedRun& run) {
  std::vector<report::EvaluationRow> rows;
  if (!run.folder.experiment.empty()) {
    const meta_learner::EvaluatedRun owner = {
        .spec_hash = SpecHash(run.spec), .state_hash = [&](uint32_t outer_step) {
          return outer_step == run.outer_step ? run.state_hash : "";
        }};
    MENTOR_ASSIGN_OR_RETURN(const auto shards,
                            meta_learner::ReadEvaluation(run.folder.experiment, &owner));
    for (const v1::EvaluationShard& shard : shards) {
      // Skip results of other weights.
      if (shard.outer_step() != 0 && shard.outer_step() != run.outer_step) continue;
      for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes())
        rows.push_back(
            RowOf(shard, lifetime, run.parts.benchmark.get(), run.spec.benchmark().goal_seed()));
    }
  }
  if (rows.empty()) return std::vector<report::MethodResult>();
  return report::SummariseEvaluation(rows, static_cast<int>(run.spec.lifetime().iterations()));
}

// `flag` names the folder; an earlier export has the file `mark`.
absl::Status CheckOut(const ExportOptions& options, const std::string& flag, const char* mark) {
  std::error_code error;
  if (!std::filesystem::exists(options.out, error)) return absl::OkStatus();
  const bool is_export = std::filesystem::exists(options.out / mark, error);
  if (!is_export && std::filesystem::is_directory(options.out, error) &&
      std::filesystem::is_empty(options.out, error))
    return absl::OkStatus();
  if (is_export && options.replace) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(flag, ": ", options.out.string(),
                   is_export ? absl::StrCat(" holds an earlier export; --force writes over it, ",
                                            flag, " names another folder")
                             : " exists and is no earlier export; name another folder"));
}

// Returns the environment's name for people. A simulator's environment takes the name in its facts,
// because "host" says nothing.
std::string EnvironmentOf(const v1::BenchmarkSpec& benchmark) {
  if (benchmark.environment() == kHostEnvironment) {
    for (const v1::Option& option : benchmark.option()) {
      if (option.name() != kFactsOption) continue;
      if (const auto facts = envs::ParseFacts(option.value()); facts.ok()) return facts->name();
    }
  }
  return benchmark.environment();
}

// Returns the environment steps of meta-training; null when the run's store is unreadable or lacks
// them.
Json StepsOfTraining(const TrainedRun& run) {
  if (run.folder.experiment.empty()) return nullptr;
  const auto data = ReportOf(run.folder.experiment);
  if (!data.ok()) return nullptr;
  for (const report::TrainingPoint& point : data->training) {
    if (point.outer_update == run.outer_step) return point.env_steps;
  }
  return nullptr;
}

// The weights to export: [Q] float32.
Tensor WeightsOf(const TrainedRun& run, const ExportOptions& options) {
  const Tensor weights = (options.best ? run.best_parameters : run.learned_parameters)
                             .detach()
                             .cpu()
                             .to(torch::kFloat32)
                             .contiguous();
  MENTOR_CHECK(weights.numel() == run.parts.network->layout().size());
  return weights;
}

SafeTensors NamedWeights(const agents::ParamLayout& layout, const Tensor& weights) {
  SafeTensors file;
  const std::vector<Tensor> parts = layout.Split(weights);
  for (size_t i = 0; i < parts.size(); ++i)
    file.tensors.push_back(ToSafeTensor(layout.slices()[i].name, parts[i]));
  return file;
}

// Returns config.json, in which `weights`, `check` and `evaluation` are null.
Json ConfigOf(const TrainedRun& run, const signals::SignalContext& context, const RewardMix& mix) {
  Json columns;
  const Json network_json = NetworkJson(run, context, &columns);
  const signals::SignalSource* source = run.parts.network->signals();
  const bool normalised = source != nullptr && source->sees_normalised();
  return {{"format", normalised ? kNormalisedSignalFormat : kSignalFormat},
          {"mentor", std::string(kBuildVersion)},
          {"network", network_json},
          {"role", v1::SignalRole_Name(run.spec.signal().role())},
          {"input", v1::SignalInput_Name(run.spec.signal().input())},
          {"sizes",
           {{"observation", context.observation_size},
            {"action", context.action_size},
            {"discrete_actions", context.discrete_actions},
            {"episode_steps", context.episode_steps},
            {"independent_episodes", context.independent_episodes},
            {"steps_per_iteration", context.steps_per_iteration},
            {"iterations", run.spec.lifetime().iterations()}}},
          {"columns", columns},
          {"reward",
           {{"task", mix.task},
            {"signal", mix.signal},
            {"task_reward", mix.task_reward},
            {"scale", mix.scale}}},
          {"agent", AgentJson(run.spec.agent())},
          {"weights", nullptr},
          {"check", nullptr},
          {"trained",
           {{"benchmark", run.spec.benchmark().name()},
            {"environment", EnvironmentOf(run.spec.benchmark())},
            {"rule", run.spec.rule().name()},
            {"seed", run.spec.seed()},
            {"outer_updates", run.outer_step},
            {"lifetimes_per_update", run.spec.rule().lifetimes_per_update()},
            {"environment_steps", StepsOfTraining(run)},
            {"result_hash", run.state_hash},
            {"spec_hash", SpecHash(run.spec)}}},
          {"evaluation", nullptr},
          {"spec", PrintSpec(run.spec)}};
}

}  // namespace

absl::Status CheckExports(const TrainedRun& run) {
  const std::string& rule = run.spec.rule().name();
  if (!run.parts.rule->needs().signal_network()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "rule.name: '%s' learns no signal network, so there is no signal to export; 'mentor rule "
        "list' shows the rules, 'mentor rule show NAME' the networks that each one learns",
        rule));
  }
  if (run.state_hash.empty()) {
    return absl::FailedPreconditionError(
        "rule.outer_updates: is 0, so the run has learned nothing to export; run the spec with "
        "more outer updates");
  }
  // Each agent has its own scale there, which no file could hold.
  if (rule == "lirpg" && run.spec.agent().normalize_observations()) {
    return absl::FailedPreconditionError(
        "the reward network of rule lirpg saw observations as its own agent normalised them, which "
        "other agents cannot repeat; to export one, train with --set "
        "agent.normalize_observations=false");
  }
  return absl::OkStatus();
}

absl::StatusOr<ExportedSignal> ExportDiscriminator(const TrainedRun& run,
                                                   const ExportOptions& options) {
  MENTOR_RETURN_IF_ERROR(CheckExports(run));
  if (methods::AsDiscriminator(run.parts.network) == nullptr) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "signal.name: '%s' tells no skills apart; --discriminator takes a run of rule diayn, and "
        "--out exports any other signal",
        run.spec.signal().name()));
  }
  MENTOR_RETURN_IF_ERROR(CheckOut(options, "--discriminator", envs::kDiscriminatorFile));
  const Tensor weights = WeightsOf(run, options);
  if (!weights.isfinite().all().item<bool>()) {
    return absl::FailedPreconditionError(
        "not every weight of the discriminator is finite; export another state of the run "
        "(RUN/20), or train it with a lower rule.discriminator_rate");
  }
  const std::string bytes = WriteSafeTensors(NamedWeights(run.parts.network->layout(), weights));
  MENTOR_RETURN_IF_ERROR(MakeFolders(options.out, 0755));
  const std::filesystem::path path = options.out / envs::kDiscriminatorFile;
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(path, bytes, 0644));
  return ExportedSignal{.files = {path}, .parameters = weights.numel(), .bytes = bytes.size()};
}

absl::StatusOr<ExportedSignal> ExportSignal(const TrainedRun& run, const ExportOptions& options) {
  MENTOR_RETURN_IF_ERROR(CheckExports(run));
  MENTOR_RETURN_IF_ERROR(CheckOut(options, "--out", kSignalConfig));
  const Tensor weights = WeightsOf(run, options);
  const v1::Shard shard = FirstLifetime(run);
  MENTOR_ASSIGN_OR_RETURN(const RewardMix mix, MixOf(shard));
  MENTOR_ASSIGN_OR_RETURN(const auto results, ResultsOf(run));

  SafeTensors file = NamedWeights(run.parts.network->layout(), weights);
  file.metadata = {{"network", run.spec.signal().name()}, {"result_hash", run.state_hash}};
  const std::string weights_bytes = WriteSafeTensors(file);

  ExportedSignal exported{.files = {}, .parameters = weights.numel()};
  std::string check_bytes;
  if (options.check) {
    Recorder recorder(run, weights, mix.scale);
    const auto check = recorder.Record();
    if (!check.ok()) {
      return absl::Status(
          check.status().code(),
          absl::StrCat("living a lifetime for ", kCheckFile, ": ",
                       std::string(check.status().message()), "; --no_check leaves that file out"));
    }
    exported.check_steps = recorder.steps();
    check_bytes = WriteSafeTensors(*check);
  }

  Json json = ConfigOf(run, methods::SignalContextOf(shard), mix);
  json["weights"] = {{"file", kSignalWeights},
                     {"parameters", weights.numel()},
                     {"sha256", Sha256Hex(weights_bytes)},
                     {"which", options.best ? "best" : "last"}};
  json["evaluation"] = EvaluationJson(results);
  if (options.check) {
    json["check"] = {
        {"file", kCheckFile}, {"sha256", Sha256Hex(check_bytes)}, {"steps", exported.check_steps}};
  }
  const std::string facts = json.dump(2) + "\n";
  const std::string name = options.name.empty() ? NameOfFolder(options.out) : options.name;

  // The file kSignalConfig marks a complete export: it is removed first and written last.
  MENTOR_RETURN_IF_ERROR(MakeFolders(options.out, 0755));
  std::error_code error;
  std::filesystem::remove(options.out / kSignalConfig, error);
  std::filesystem::remove(options.out / kCheckFile, error);
  std::vector<std::pair<const char*, std::string>> files = {{kSignalWeights, weights_bytes}};
  if (options.check) files.emplace_back(kCheckFile, check_bytes);
  files.emplace_back(kCardFile, SignalCard(name, options.license, facts, results));
  files.emplace_back(kSignalConfig, facts);
  for (const auto& [file_name, bytes] : files) {
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(options.out / file_name, bytes, 0644));
    exported.files.push_back(options.out / file_name);
    exported.bytes += bytes.size();
  }
  return exported;
}

}  // namespace mentor
