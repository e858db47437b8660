// POET as an outer rule (methods/poet/README.md). Environments are vectors of task parameters
// within the ranges of the benchmark's task set. Agents are policies that evolution strategies
// change. Each round of scores is a round of lifetimes.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include <absl/strings/str_format.h>

#include "agents/agent_shape.h"
#include "agents/segment.h"
#include "common/check.h"
#include "common/spec/spec.h"
#include "methods/base/loop_parts.h"
#include "methods/base/outer_rule.h"
#include "methods/poet/poet.h"
#include "methods/shared/trained_weights.h"

namespace mentor::methods::poet_rule {
namespace {

using torch::Tensor;

// The same limit as for a spec's signal network (experiment/parts.cc).
constexpr int64_t kNumbersMax = 1 << 25;

// Memory of a trial, and of a step of an outcome (experiment/spec_memory.cc).
constexpr double kTrialBytes = 2048, kScoreBytes = 96;

agents::AgentShape PolicyShape(const RuleContext& context) {
  return agents::WithoutCritic(ShapeOfAgents(context.spec.agent(), context.shape));
}

// The ranges of the one training set; nothing where there are none.
std::optional<std::pair<Tensor, Tensor>> RangesOf(const v1::ExperimentSpec& spec) {
  const std::optional<int> set = OnlyTrainingSet(spec);
  if (!set || spec.benchmark().task_set(*set).range().empty()) return std::nullopt;
  std::vector<double> low, high;
  for (const v1::ParameterRange& range : spec.benchmark().task_set(*set).range()) {
    low.push_back(range.low());
    high.push_back(range.high());
  }
  return std::pair(torch::tensor(low, torch::kFloat64), torch::tensor(high, torch::kFloat64));
}

enum class Start { kMiddle, kLow, kHigh };

struct Config {
  PoetConfig poet;
  Start start;
  uint32_t score_episodes;
};

const auto kOptions = Bind<Config>(
    {{&Config::poet,
      Bind<PoetConfig>(
          {{&PoetConfig::adam, AdamOptions("0.01", "1e-8")},
           {&PoetConfig::population, "population", "64", 2, 65536,
            "Perturbed agents of one step of a pair; the paper has 512."},
           {&PoetConfig::sigma, "sigma", "0.1", 1e-6, 100,
            "Standard deviation of perturbations at first."},
           {&PoetConfig::sigma_decay, "sigma_decay", "0.999", 0, 1,
            "What it is multiplied by after each update."},
           {&PoetConfig::least_sigma, "least_sigma", "0.01", 1e-6, 100,
            "Below which it does not fall."},
           {&PoetConfig::rate_decay, "rate_decay", "0.9999", 0, 1,
            "What the learning rate is multiplied by after each update."},
           {&PoetConfig::least_rate, "least_rate", "0.001", 0, 100,
            "Below which it does not fall."},
           {&PoetConfig::max_active, "max_active", "20", 1, 1000, "Pairs at most; the oldest go."},
           {&PoetConfig::mutate_every, "mutate_every", "150", 1, 1e6,
            "Updates between two reproductions."},
           {&PoetConfig::transfer_every, "transfer_every", "25", 1, 1e6,
            "Updates between two transfers."},
           {&PoetConfig::mc_low, "mc_low", "50", -1e300, 1e300,
            "Least score of an environment that is admitted: not too hard; released 25."},
           {&PoetConfig::mc_high, "mc_high", "300", -1e300, 1e300,
            "Greatest: not too easy; released 340."},
           {&PoetConfig::reproduce, "reproduce", "200", -1e300, 1e300,
            "Score from which on a pair may have children."},
           {&PoetConfig::neighbours, "neighbours", "5", 1, 1000,
            "Of the archive, for the novelty of a child."},
           {&PoetConfig::mutation, "step", "0.1", 0, 1,
            "Greatest change of a number in a child, as a share of its range."},
           {&PoetConfig::children, "children", "8", 1, 1000, "Children of one reproduction,"},
           {&PoetConfig::admit, "admit", "1", 1, 1000, "of which so many are admitted at most."},
           {&PoetConfig::transfer,
            "transfer",
            {{"both", AgentTransfer::kBoth},
             {"proposals", AgentTransfer::kProposals},
             {"none", AgentTransfer::kNone}},
            "Whether agents are taken over as they are too, only after a step in the new "
            "environment (released), or never: then a child has its parent's agent."}})},
     {&Config::start,
      "start",
      {{"middle", Start::kMiddle}, {"low", Start::kLow}, {"high", Start::kHigh}},
      "First environment: where in the ranges."},
     {&Config::score_episodes, "score_episodes", "5", 0, 1000,
      "Episodes of a score, beside those of the lifetime."}});

// With the ranges, if there are any.
Config ReadConfig(const RuleContext& context) {
  Config config = kOptions.Read(context.options);
  if (const auto ranges = RangesOf(context.spec))
    std::tie(config.poet.low, config.poet.high) = *ranges;
  return config;
}

class PoetRule : public OuterRule {
 public:
  explicit PoetRule(const RuleContext& context) : PoetRule(context, ReadConfig(context)) {}
  PoetRule(const RuleContext& context, Config config)
      : OuterRule(context),
        episodes_(config.score_episodes),
        poet_(std::move(config.poet), context.spec.seed(), First(context, config.start),
              context.InitialAgent(PolicyShape(context))) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone,
            .segments = false,
            .names_tasks = true,
            .inner_updates = false};
  }

  Tensor meta_parameters() const override { return ParametersOf(poet_.agents(), poet_.sigma()); }

  RuleSizes Sizes() const override {
    const PoetConfig& config = poet_.config();
    const auto size = static_cast<double>(poet_.agents().size(1)),
               rows = static_cast<double>(Poet::RowsMax(config)),
               pairs = static_cast<double>(config.max_active),
               k = static_cast<double>(config.low.numel()),
               archive = static_cast<double>(Poet::ArchiveAfter(config, context_.outer_updates()));
    // Per round: agents, their steps with moments, and what learners get as tensor, message and
    // bytes. Per pair: weights and moments, before and after, and in a checkpoint.
    double bytes = sizeof(float) * size * (8 * rows + 12 * pairs);
    // Trials with task, message and outcome.
    bytes += kTrialBytes * static_cast<double>(Poet::TrialsMax(config));
    // Scores of episodes beyond those of the lifetimes.
    bytes += kScoreBytes * rows * static_cast<double>(episodes_) *
             static_cast<double>(context_.shape.episode_steps());
    // The archive, and the distances of children to it.
    bytes += sizeof(double) * archive * k * (3 + 3 * static_cast<double>(config.children));
    // A transfer to each pair.
    const double events =
        static_cast<double>(context_.outer_updates() / config.transfer_every) * pairs;
    bytes += Lineage::BytesMax(2 * archive + events, Poet::kEventColumns + config.low.numel());
    return {.meta_parameters = static_cast<int64_t>(rows * size) + 1,
            .bytes = bytes,
            .deterministic_episodes = episodes_};
  }

  void State(StateFields* fields) override {
    fields->AddPart([this](TensorMap* state) { *state = poet_.Save(); },
                    [this](const TensorMap& state) { return poet_.Load(state); });
  }
  std::map<std::string, std::string> Tables() const override {
    return {{"lineage.csv", poet_.Table()}};
  }

 private:
  absl::StatusOr<RuleReport> DoRun(Fleet* fleet, uint32_t /*outer_step*/) override {
    MENTOR_ASSIGN_OR_RETURN(const Poet::Report report,
                            poet_.Update([&](const Poet::Round& round) -> absl::StatusOr<Tensor> {
                              MENTOR_ASSIGN_OR_RETURN(const LifetimeBatch batch,
                                                      fleet->Collect(RequestOf(round)));
                              return ScoresOf(batch, round.trials.size());
                            }));
    RuleReport metrics = {{"active", static_cast<double>(poet_.num_active())},
                          {"score_best", report.scores.max().item<double>()},
                          {"score_mean", report.scores.mean().item<double>()},
                          {"transfers", static_cast<double>(report.transfers)},
                          {"admitted", static_cast<double>(report.admitted)}};
    if (report.novelty) metrics["novelty"] = *report.novelty;
    return metrics;
  }

  // The agents' weights, then the standard deviation of perturbations: [rows P + 1] float32.
  static Tensor ParametersOf(const Tensor& agents, double sigma) {
    return torch::cat({agents.flatten(), torch::full({1}, sigma)});
  }

  RoundRequest RequestOf(const Poet::Round& round) const {
    RoundRequest request{.lifetimes = {},
                         .first_number = round.first_number,
                         .outer_learning = round.perturbed,
                         .deterministic_episodes = round.perturbed ? 0 : episodes_,
                         .meta_parameters = ParametersOf(round.agents, round.sigma)};
    for (size_t i = 0; i < round.trials.size(); ++i) {
      const Poet::Trial& trial = round.trials[i];
      const double* numbers = trial.environment.const_data_ptr<double>();
      // The two signs of a perturbation share their chance. So do all agents that are scored in one
      // environment.
      const auto noise =
          static_cast<uint32_t>(round.perturbed ? static_cast<int64_t>(i - i % 2) : trial.place);
      request.lifetimes.push_back({.parameters = {numbers, numbers + trial.environment.numel()},
                                   .variant = static_cast<uint32_t>(trial.agent),
                                   .noise_number = round.first_number + noise});
    }
    return request;
  }

  // [N] float64: mean return of the episodes that ended. `want` is N.
  static absl::StatusOr<Tensor> ScoresOf(const LifetimeBatch& batch, size_t want) {
    if (batch.environments.size() != want || !batch.steps.shaped_rewards.defined() ||
        batch.steps.shaped_rewards.size(0) != static_cast<int64_t>(want)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the round has outcomes of %d lifetimes, expected %d", batch.environments.size(), want));
    }
    const auto episodes = agents::EndedEpisodes(batch.steps);
    Tensor scores = torch::empty({static_cast<int64_t>(want)}, torch::kFloat64);
    for (size_t i = 0; i < want; ++i) {
      double sum = 0;
      for (const agents::EndedEpisode& episode : episodes[i]) sum += episode.shaped_return;
      if (episodes[i].empty() || !std::isfinite(sum)) {
        return absl::InvalidArgumentError(
            absl::StrFormat("lifetime %d of the round has no episode with a finite return", i));
      }
      scores[static_cast<int64_t>(i)] = sum / static_cast<double>(episodes[i].size());
    }
    return scores;
  }

  static Tensor First(const RuleContext& context, Start start) {
    const auto [low, high] = *RangesOf(context.spec);
    return start == Start::kLow ? low : start == Start::kHigh ? high : (low + high) / 2;
  }

  const uint32_t episodes_;  // Episodes of a score, beside those of the lifetime.
  Poet poet_;
};

void Check(const RuleContext& context, Violations* violations) {
  const PoetConfig config = ReadConfig(context).poet;
  if (!config.low.defined()) {
    violations->Add("benchmark.task_set",
                    "has no ranges to invent environments in; take benchmark custom with one "
                    "training set and a range for each number of its tasks");
  }
  if (config.population % 2 != 0) {
    violations->Add("rule.option.population",
                    absl::StrFormat("is %d; each perturbation is tried with both signs: give an "
                                    "even number",
                                    config.population));
  }
  if (config.mc_low >= config.mc_high) {
    violations->Add("rule.option.mc_low",
                    absl::StrFormat("is %g, and no score lies between it and mc_high %g; give less "
                                    "than that",
                                    config.mc_low, config.mc_high));
  }
  const int64_t trials = Poet::TrialsMax(config);
  if (trials > context.lifetimes()) {
    violations->Add("rule.lifetimes_per_update",
                    absl::StrFormat("is %d, but a round may have %d lifetimes (population times "
                                    "the pairs of max_active agents, or times children); give at "
                                    "least that, or lower these options",
                                    context.lifetimes(), trials));
  }
  const int64_t archive = Poet::ArchiveAfter(config, context.outer_updates());
  if (archive > Poet::kArchiveMax) {
    violations->Add("rule.outer_updates",
                    absl::StrFormat("is %d, by which %d environments may be admitted, more than "
                                    "%d; give fewer, a greater mutate_every or a smaller admit",
                                    context.outer_updates(), archive, Poet::kArchiveMax));
  }
  const int64_t size = agents::AgentLayout(PolicyShape(context)).size();
  if (Poet::RowsMax(config) > kNumbersMax / std::max<int64_t>(1, size)) {
    violations->Add("rule.option.max_active",
                    absl::StrFormat("is %d: a round may have %d agents of %d weights, more than "
                                    "%d numbers in all; give fewer, or smaller agents",
                                    config.max_active, Poet::RowsMax(config), size, kNumbersMax));
  }
}

const RegisterRule kPoet({
    .name = "poet",
    .summary = "Environments invented while agents learn in them (POET, Wang et al.)",
    .inner_loop = "frozen",
    .options = kOptions.table(),
    .metrics = {{.name = "active", .help = "Pairs of an environment and its agent."},
                {.name = "score_best", .help = "Best score of an agent in its own environment."},
                {.name = "score_mean", .help = "Mean score of agents in their own environments."},
                {.name = "transfers", .help = "Agents that went on as those of another pair."},
                {.name = "admitted", .help = "New environments."},
                {.name = "novelty",
                 .help = "Mean distance of new environments to their nearest in the archive."}},
    .example = "lifetime { iterations: 1 } benchmark { name: 'custom' task_set { environment: "
               "'point_navigation' range { low: -0.4 high: 0.4 } range { low: -0.4 high: 0.4 } } } "
               "rule { lifetimes_per_update: 30000 }",
    .check = Check,
    .make = MadeRule<PoetRule>,
});

}  // namespace
}  // namespace mentor::methods::poet_rule
