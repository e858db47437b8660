// Agents whose heads follow the targets of the meta-network of DiscoRL
// (methods/disco/README.md#an-iteration).
#include "methods/disco/loop.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/policy.h"
#include "agents/ppo_config.h"
#include "agents/worker_pool.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/binned_value.h"

namespace mentor::methods {

using torch::Tensor;

namespace disco_loop {

constexpr double kTargetDecay = 0.9, kMaxUpdate = 1;  // methods/disco/README.md#constants

const auto kOptions = Bind<DiscoConfig>(
    {{In(&DiscoConfig::network, &DiscoSizes::prediction), "prediction", "600", 1, 4096,
      "Categories of the heads y and z; 600 in the published rule."},
     {In(&DiscoConfig::network, &DiscoSizes::hidden), "hidden", "256", 1, 1024,
      "Units of the rule's LSTM along a rollout; 256 in the published one."},
     {In(&DiscoConfig::network, &DiscoSizes::memory), "memory", "128", 1, 1024,
      "Units of its LSTM along a life; 128 in the published one."},
     {In(&DiscoConfig::agent, &DiscoAgent::cells), "cells", "128", 1, 1024,
      "Units of the LSTM with which an agent models its actions."},
     {In(&DiscoConfig::agent, &DiscoAgent::units), "units", "128", 1, 1024,
      "Hidden units of the heads behind that model."},
     {&DiscoConfig::rollout, "rollout", "28", 1, 10000,
      "Steps of a rollout, beyond which targets see one observation."},
     {&DiscoConfig::replay, "replay", "1024", 0, 1000000,
      "Rollouts that an agent keeps to learn from; 0: those of the last iteration, all at once."},
     {&DiscoConfig::batch, "batch", "64", 1, 100000,
      "Rollouts of an update, drawn from those that are kept; no update before so many are there."},
     {&DiscoConfig::updates, "updates", "1", 1, 10000, "Updates after each iteration."},
     {&DiscoConfig::first_steps, "first_steps", true,
      "Also learn from an episode's first step; the published program leaves it out where "
      "another episode came before."}});

DiscoConfig ConfigOf(const InnerLoopContext& context) {
  DiscoConfig config = ReadDiscoConfig(context.options);
  config.agent.policy = agents::WithoutCritic(ShapeWithCritic(context));
  config.agent.prediction = config.network.prediction;
  const int64_t collected = context.steps() / config.rollout;
  // No more than a life has.
  config.replay =
      config.replay == 0
          ? collected
          : std::min<int64_t>(config.replay, collected * context.spec().lifetime().iterations());
  return config;
}

class Disco : public LearningLoop {
 public:
  explicit Disco(const InnerLoopContext& context)
      : LearningLoop(context, ConfigOf(context).agent.policy),
        config_(ConfigOf(context)),
        all_drawn_(ReadDiscoConfig(context.options).replay == 0) {}

  void Begin() override {
    agents_ = NewDiscoAgents(context_, config_.agent);
    target_ = agents_.theta.clone();
    const int64_t agents = context_.num_agents(), t = config_.rollout;
    const DiscoMemory memory = NewDiscoMemory(config_.network);
    hidden_ = memory.hidden.repeat({agents, 1});
    cell_ = memory.cell.repeat({agents, 1});
    average_ = memory.average.repeat({agents, 1});
    const auto zeros = [&](std::vector<int64_t> of_rollout) {
      of_rollout.insert(of_rollout.begin(), {agents, config_.replay});
      return torch::zeros(of_rollout);
    };
    kept_ = {{"observations", zeros({t + 1, shape_.observation_size})},
             {"behaviour", zeros({t + 1, shape_.action_size})},
             {"actions", zeros({t}).to(torch::kInt64)},
             {"rewards", zeros({t})},
             {"terminal", zeros({t})},
             {"mask", zeros({t})}};
    collected_ = 0;
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    return CollectAndLearn(collect, report, [&](const agents::Segment& segment) {
      Keep(normaliser_.Normalise(segment));
      return LearnsAfter(iteration) ? Learn(iteration, report) : absl::OkStatus();
    });
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    fields->Add("target", &target_);
    fields->Add("memory.hidden", &hidden_);
    fields->Add("memory.cell", &cell_);
    fields->Add("average", &average_);
    for (auto& [name, tensor] : kept_) fields->Add("kept." + name, &tensor);
    fields->Add("collected", &collected_);
  }

 private:
  // Sums over the updates of one agent.
  struct Counts {
    double rule = 0, value = 0, entropy = 0;
    int64_t updates = 0;
    uint64_t nonfinite = 0;
  };

  // Cuts the segment, as the agents saw it, into rollouts.
  void Keep(const agents::Segment& seen) {
    const Tensor observations =
        torch::cat({seen.observations, seen.next_observations.unsqueeze(1)}, 1);
    std::vector<Tensor> behaviour;
    for (int64_t s = 0; s < context_.num_agents(); ++s)
      behaviour.push_back(PolicyLogits(config_.agent, agents_.theta[s], observations[s]));
    const std::map<std::string, Tensor> lived = {
        {"observations", observations},
        {"behaviour", torch::stack(behaviour)},
        {"actions", seen.actions.argmax(2)},
        {"rewards", signals::TaskReward(seen, spec().signal().input())},
        {"terminal", agents::Ends(seen)},
        {"mask", config_.first_steps ? torch::ones_like(seen.prev_done) : 1 - seen.prev_done}};
    for (int64_t begin = 0; begin + config_.rollout <= context_.steps();
         begin += config_.rollout, ++collected_) {
      for (const auto& [name, x] : lived) {
        const Tensor row = kept_.at(name).select(1, collected_ % config_.replay);
        row.copy_(x.narrow(1, begin, row.size(1)));
      }
    }
  }

  absl::Status Learn(uint32_t iteration, LoopReport* report) {
    if (!all_drawn_ && std::min(collected_, config_.replay) < config_.batch)
      return absl::OkStatus();
    std::vector<Counts> counts(static_cast<size_t>(context_.num_agents()));
    MENTOR_RETURN_IF_ERROR(
        agents::ParallelFor(context_.pool, context_.num_agents(), [&](int64_t s) -> absl::Status {
          for (int64_t update = 0; update < config_.updates; ++update) {
            MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
            Update(s, iteration, Drawn(s, iteration, update), &counts[static_cast<size_t>(s)]);
          }
          return absl::OkStatus();
        }));
    Counts all;
    for (const Counts& one : counts) {
      all.rule += one.rule;
      all.value += one.value;
      all.entropy += one.entropy;
      all.updates += one.updates;
      report->nonfinite_updates += one.nonfinite;
    }
    if (all.updates == 0) return absl::OkStatus();
    const auto updates = static_cast<double>(all.updates);
    report->statistics["rule_loss"] = all.rule / updates;
    report->statistics["value_loss"] = all.value / updates;
    report->statistics["policy_entropy"] = all.entropy / updates;
    return absl::OkStatus();
  }

  // [B] int64: rows of what is kept.
  Tensor Drawn(int64_t agent, uint32_t iteration, int64_t update) const {
    if (all_drawn_) return torch::arange(config_.replay);
    const RandomStream random = context_.Random(Purpose::kReplay, agent, iteration);
    const auto kept = static_cast<uint64_t>(std::min(collected_, config_.replay));
    Tensor rows = torch::empty({config_.batch}, torch::kInt64);
    for (int64_t i = 0; i < config_.batch; ++i) {
      rows[i] = static_cast<int64_t>(
          random.Below(kept, static_cast<uint32_t>(update), static_cast<uint32_t>(i)));
    }
    return rows;
  }

  void Update(int64_t s, uint32_t iteration, const Tensor& rows, Counts* counts) {
    const auto take = [&](const char* name) {  // [T, B, ...]
      return kept_.at(name)[s].index_select(0, rows).transpose(0, 1).contiguous();
    };
    const Tensor observations = take("observations"), mask = take("mask");
    const c10::AutoGradMode gradients_on(true);
    const Tensor theta = agents_.theta[s].detach().clone().requires_grad_(true);
    DiscoRollouts rollouts{.own = HeadsOf(config_.agent, theta, observations),
                           .target = {},
                           .behaviour = take("behaviour"),
                           .actions = take("actions"),
                           .rewards = take("rewards"),
                           .terminal = take("terminal")};
    DiscoMemory memory{hidden_[s].clone(), cell_[s].clone(), average_[s].clone()};
    DiscoTargets targets;
    {
      const c10::AutoGradMode off(false);
      rollouts.target = HeadsOf(config_.agent, target_[s], observations);
      targets = Teach(config_.network, context_.meta_parameters, rollouts, &memory);
    }
    const DiscoLoss parts = LossOf(rollouts, targets);
    const auto mean = [&](const Tensor& x) { return (x * mask).sum() / mask.sum().clamp_min(1); };
    const Tensor rule = mean(parts.rule), value = mean(parts.value);
    const Tensor gradient = torch::autograd::grad({rule + value}, {theta})[0];
    const c10::AutoGradMode gradients_off(false);
    agents::PpoConfig config =
        agents::PpoConfigFromSpec(spec().agent(), /*update=*/iteration + 1,
                                  /*num_updates=*/spec().lifetime().iterations() - 1);
    const double rate = std::exchange(config.learning_rate, 1);
    const agents::AgentBatch before = agents::SomeAgents(agents_, s, 1);
    // The step alone: Adam begins at 0.
    agents::AgentBatch after = agents::OptimizerStep(
        {torch::zeros_like(before.theta), before.adam_m, before.adam_v, before.adam_steps},
        gradient.unsqueeze(0), config);
    after.theta = before.theta + rate * after.theta.clamp(-kMaxUpdate, kMaxUpdate);
    if (!gradient.isfinite().all().item<bool>() || !agents::IsFinite(after).item<bool>()) {
      ++counts->nonfinite;
      return;
    }
    target_[s].mul_(kTargetDecay).add_(theta.detach(), 1 - kTargetDecay);
    before.theta.copy_(after.theta);
    before.adam_m.copy_(after.adam_m);
    before.adam_v.copy_(after.adam_v);
    before.adam_steps.copy_(after.adam_steps);
    hidden_[s].copy_(memory.hidden);
    cell_[s].copy_(memory.cell);
    average_[s].copy_(memory.average);
    ++counts->updates;
    counts->rule += rule.item<double>();
    counts->value += value.item<double>();
    counts->entropy +=
        agents::Entropy(rollouts.own.logits.detach().flatten(0, 1).unsqueeze(0), {}).item<double>();
  }

  const DiscoConfig config_;
  const bool all_drawn_;            // Nothing is kept, so an update takes all rollouts.
  Tensor target_;                   // [S, P]
  Tensor hidden_, cell_, average_;  // [S, M], [S, M], [S, 3] float64
  // Rollouts of each agent: [S, R, T, ...], and the newest replaces the oldest. Observations and
  // behaviour, the logits that it acted with, have T + 1.
  std::map<std::string, Tensor> kept_;
  int64_t collected_ = 0;  // Rollouts in a life.
};

void Check(const InnerLoopContext& context, Violations* violations) {
  const DiscoConfig given = ReadDiscoConfig(context.options), config = ConfigOf(context);
  CheckChoices(context, "the rule speaks of each action by itself", "catch or maze", violations);
  if (context.steps() % given.rollout != 0) {
    violations->Add("rule.option.rollout",
                    absl::StrFormat("is %d, and the %d steps of an iteration "
                                    "(lifetime.steps_per_iteration) are no multiple of it: change "
                                    "one of the two",
                                    given.rollout, context.steps()));
  } else if (given.replay > 0 && given.replay < context.steps() / given.rollout) {
    violations->Add("rule.option.replay",
                    absl::StrFormat("is %d, less than the %d rollouts of an iteration: give at "
                                    "least that, or 0 to keep none",
                                    given.replay, context.steps() / given.rollout));
  } else if (given.replay > 0 && config.replay < given.batch) {
    violations->Add("rule.option.batch",
                    absl::StrFormat("is %d, and a life keeps at most %d rollouts, so no agent "
                                    "would ever learn: lower it, raise replay or lengthen lifetime",
                                    given.batch, config.replay));
  }
  if (context.spec().agent().bootstrap_on_truncation()) {
    violations->Add("agent.bootstrap_on_truncation",
                    "is true; for the rule a limit of steps is an end, as in its source: leave it "
                    "out");
  }
  CheckMetaParameters(context, DiscoLayout(config.network).size(), "the rule's network",
                      violations);
}

LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const DiscoConfig config = ConfigOf(context);
  const int64_t p = DiscoAgentLayout(config.agent).size(), a = config.agent.policy.action_size;
  const int64_t kept =
      config.replay * (config.rollout + 1) * (config.agent.policy.observation_size + a + 5);
  const int64_t batch = ReadDiscoConfig(context.options).replay == 0 ? config.replay : config.batch;
  // Numbers of a step: heads with their graph, those of the target network, and the rule's inputs.
  const int64_t heads = (a + 1) * config.network.prediction + a * (kValueBins + a);
  const int64_t of_step =
      14 * heads + 8 * a * (config.agent.cells + config.agent.units + config.network.hidden) +
      12 * (config.network.hidden + config.agent.policy.hidden_units) +
      4 * config.agent.policy.observation_size;
  const int64_t life = 4 * config.network.memory + 8;
  return {.state = 5 * p + kept + life,
          .saved = 4 * p + kept + life,
          .policy = agents::AgentLayout(config.agent.policy).size(),
          .at_once = num_meta_parameters + context.num_agents() * 8 * context.steps() *
                                               (config.agent.policy.observation_size + a),
          // theta's copy, gradients as autograd pads them, and the temporaries of Adam.
          .per_thread = 14 * p + (config.rollout + 1) * batch * of_step};
}

const RegisterInnerLoop kDisco({
    .name = "disco",
    .summary = "Agents whose heads follow the targets of a meta-network (DiscoRL)",
    .options = kOptions.table(),
    .metrics = {{.name = "rule_loss",
                 .help = "Divergence of policy, y, z and aux from their targets, mean over the "
                         "updates of an iteration.",
                 .panel = MetricInfo::Panel::kOwn},
                {.name = "value_loss",
                 .help = "Weighted cross-entropy of q with its target, mean over the same."},
                {.name = "policy_entropy",
                 .help =
                     "Entropy of the policy in the rollouts learned from, before each update."}},
    .check = Check,
    .make = MadeLoop<Disco>,
    .sizes = Sizes,
    .unread = [](const InnerLoopContext&) -> std::vector<std::string> {
      return {"epochs",          "minibatches",   "gamma",
              "gae_lambda",      "clip",          "value_coef",
              "entropy_coef",    "max_grad_norm", "normalize_advantage",
              "clip_value_loss", "target_kl"};
    },
});

}  // namespace disco_loop

DiscoConfig ReadDiscoConfig(const OptionValues& options) {
  return disco_loop::kOptions.Read(options);
}

}  // namespace mentor::methods
