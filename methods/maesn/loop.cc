// The agents of MAESN (methods/maesn/README.md): one policy for all, a latent for each. After each
// of the first K inner iterations an agent moves the mean and the deviation of its latent. In the
// others it acts with the adapted latent. The rule gets all steps.
#include "methods/maesn/loop.h"

#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/policy.h"
#include "agents/row_statistics.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/folded_input.h"

namespace mentor::methods {

using torch::Tensor;

namespace maesn_loop {

const auto kOptions = Bind<LatentConfig>(
    {{&LatentConfig::latent, "latent", "2", 1, 64, "Numbers of the latent that the policy sees."},
     {In(&LatentConfig::policy, &agents::AgentShape::hidden_units), "hidden_units", "32", 1, 4096,
      "Units of each hidden layer of the policy; `agent` describes the baselines."},
     {&LatentConfig::steps, "adaptation_steps", "1", 1, 1000,
      "Inner iterations with a step of the latent after them, in training."},
     {&LatentConfig::evaluation_steps, "evaluation_steps", "3", 1, 1000,
      "The same in evaluations, which may have more of them."},
     {&LatentConfig::shaped,
      "adaptation_reward",
      {{"success", false}, {"shaped", true}},
      "What latents adapt to: the sparse success signal or the raw shaped reward."}});

}  // namespace maesn_loop

LatentConfig ReadLatent(const OptionValues& options, const v1::ExperimentSpec& spec,
                        const v1::EnvironmentShape& shape) {
  return maesn_loop::kOptions.Read(options,
                                   {.policy = {.observation_size = shape.observation_size(),
                                               .action_size = shape.action_size(),
                                               .critic = false,
                                               .discrete = shape.discrete_actions()},
                                    .episode_steps = shape.episode_steps(),
                                    .episodes = EpisodesOfIteration(spec, shape)});
}

void CheckLatent(const LatentConfig& config, const v1::ExperimentSpec& spec,
                 const v1::EnvironmentShape& shape, Violations* violations) {
  CheckEpisodesOfIteration(spec, shape, violations);
  if (config.episodes < 2) {
    violations->Add("lifetime.steps_per_iteration",
                    absl::StrFormat("is %d, which is %d episode of %d steps: a step compares the "
                                    "episodes of an iteration, give at least %d",
                                    spec.lifetime().steps_per_iteration(), config.episodes,
                                    config.episode_steps, 2 * config.episode_steps));
  }
  if (spec.lifetime().iterations() <= config.steps) {
    violations->Add("lifetime.iterations",
                    absl::StrFormat("is %d, and the latent adapts after %d of them "
                                    "(adaptation_steps): give at least %d, so that one shows what "
                                    "came of it",
                                    spec.lifetime().iterations(), config.steps, config.steps + 1));
  }
}

agents::ParamLayout LatentPolicyLayout(const LatentConfig& config) {
  return agents::AgentLayout(WithInput(config.policy, config.latent));
}

agents::ParamLayout LatentLayout(const LatentConfig& config, int64_t num_tasks) {
  agents::NamedShapes tensors;
  const agents::ParamLayout policy = LatentPolicyLayout(config);
  for (const agents::ParamSlice& slice : policy.slices())
    tensors.emplace_back(slice.name, slice.shape);
  tensors.push_back({"alpha_mu", {config.latent}});
  tensors.push_back({"alpha_log_sigma", {config.latent}});
  tensors.push_back({"mu", {num_tasks, config.latent}});
  tensors.push_back({"log_sigma", {num_tasks, config.latent}});
  return agents::ParamLayout(std::move(tensors));
}

Latent PriorLatent(const LatentConfig& config) {
  const Tensor zeros = torch::zeros({config.latent}, torch::kFloat64);
  return {zeros, zeros};
}

Tensor LatentKl(const Latent& latent) {
  return 0.5 * (latent.mu.square() + (2 * latent.log_sigma).exp() - 1 - 2 * latent.log_sigma).sum();
}

Tensor LatentNoise(const RandomStream& stream, int64_t first, int64_t count, int64_t latent) {
  Tensor eps = torch::empty({count, latent}, torch::kFloat64);
  for (int64_t e = 0; e < count; ++e) {
    stream.Normals(static_cast<uint32_t>(first + e),
                   {eps.mutable_data_ptr<double>() + e * latent, static_cast<size_t>(latent)});
  }
  return eps;
}

Tensor DrawLatents(const Latent& latent, const Tensor& eps) {
  return latent.mu + latent.log_sigma.exp() * eps;
}

Tensor EpisodeAdvantages(const Tensor& rewards) {
  const Tensor returns = rewards.to(torch::kFloat64).sum(-1).unsqueeze(0);  // [1, E]
  // A sum of equal numbers is not always their multiple.
  if ((returns == returns[0][0]).all().item<bool>()) return torch::zeros_like(returns[0]);
  return agents::Standardised(returns)[0];
}

Tensor EpisodeAdvantages(const LatentConfig& config, const agents::Segment& segment, int64_t agent,
                         int64_t begin) {
  const Tensor& rewards = config.shaped ? segment.shaped_rewards : segment.success_signals;
  return EpisodeAdvantages(rewards[agent]
                               .narrow(0, begin, config.episodes * config.episode_steps)
                               .reshape({config.episodes, config.episode_steps}));
}

Latent ScoreGradient(const Latent& latent, const Tensor& z, const Tensor& advantages) {
  const Tensor sigma = latent.log_sigma.exp();
  const Tensor unit = (z - latent.mu) / sigma;  // [E, dz]
  const Tensor a = advantages.unsqueeze(1);
  return {-(a * unit / sigma).mean(0), -(a * (unit.square() - 1)).mean(0)};
}

Latent AdaptLatent(const Latent& latent, const Latent& rates, const Tensor& z,
                   const Tensor& advantages) {
  const Latent gradient = ScoreGradient(latent, z, advantages);
  return {latent.mu - rates.mu * gradient.mu,
          latent.log_sigma - rates.log_sigma * gradient.log_sigma};
}

bool IsFinite(const Latent& latent) {
  return latent.mu.isfinite().all().item<bool>() &&
         latent.log_sigma.exp().isfinite().all().item<bool>();
}

namespace maesn_loop {

// Returns the number of listed tasks for so many meta-parameters; negative when none fits.
int64_t NumTasks(const LatentConfig& config, int64_t num_meta_parameters) {
  const int64_t rows = num_meta_parameters - LatentLayout(config, 0).size();
  return rows >= 0 && rows % (2 * config.latent) == 0 ? rows / (2 * config.latent) : -1;
}

LatentConfig ConfigOf(const InnerLoopContext& context) {
  return ReadLatent(context.options, context.spec(), context.shape());
}

class LatentAdaptation : public InnerLoop {
 public:
  explicit LatentAdaptation(const InnerLoopContext& context)
      : InnerLoop(context),
        config_(ConfigOf(context)),
        steps_(context_.shard->outer_learning() ? config_.steps : config_.evaluation_steps) {}

  void Begin() override {
    const Tensor all = context_.meta_parameters.to(torch::kCPU, torch::kFloat64);
    const agents::ParamLayout layout = LatentLayout(config_, NumTasks(config_, all.numel()));
    const std::vector<Tensor> parts = layout.Split(all);
    const auto part = [&](const char* name) { return parts[layout.IndexOf(name)].clone(); };
    policy_ = context_.meta_parameters.cpu().narrow(0, 0, LatentPolicyLayout(config_).size());
    rates_ = {part("alpha_mu"), part("alpha_log_sigma")};
    const Tensor mu = part("mu"), log_sigma = part("log_sigma");
    latents_.clear();
    for (const v1::Lifetime& lifetime : context_.shard->lifetimes()) {
      if (lifetime.has_task_index()) {
        const auto task = static_cast<int64_t>(lifetime.task_index());
        latents_.push_back({mu[task].clone(), log_sigma[task].clone()});
      } else {
        latents_.push_back(PriorLatent(config_));
      }
    }
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    const CpuTimer folding;
    const std::vector<Tensor> z = Draw(iteration);
    std::vector<v1::PolicyWeights> policies = PoliciesFor(torch::cat(z));
    report->update_seconds += folding.Seconds();
    MENTOR_ASSIGN_OR_RETURN(const agents::Segment segment, collect(std::move(policies)));
    if (iteration >= steps_) return segment;
    const CpuTimer timer;
    double length = 0;
    for (int64_t s = 0; s < context_.num_agents(); ++s) {
      Latent& latent = latents_[s];
      Latent next = AdaptLatent(latent, rates_, z[s], EpisodeAdvantages(config_, segment, s, 0));
      if (!IsFinite(next)) {
        ++report->nonfinite_updates;
        continue;
      }
      length += (next.mu - latent.mu).norm().item<double>();
      latent = std::move(next);
    }
    report->statistics[absl::StrFormat("latent_step_%d", iteration)] =
        length / static_cast<double>(context_.num_agents());
    report->update_seconds += timer.Seconds();
    return segment;
  }

  // One policy for each agent, with the mean of its latent.
  std::vector<v1::PolicyWeights> Policies() const override { return PoliciesFor(Stacked().mu); }

  void State(StateFields* fields) override {
    std::vector<Tensor*> mu, log_sigma;
    for (Latent& latent : latents_) {
      mu.push_back(&latent.mu);
      log_sigma.push_back(&latent.log_sigma);
    }
    fields->AddStacked("agents.mu", mu);
    fields->AddStacked("agents.log_sigma", log_sigma);
  }

 private:
  // z [E, dz] for each agent.
  std::vector<Tensor> Draw(uint32_t iteration) const {
    std::vector<Tensor> z;
    for (int64_t s = 0; s < context_.num_agents(); ++s) {
      z.push_back(DrawLatents(latents_[s], LatentNoise(context_.Random(Purpose::kLatent, s, 0),
                                                       int64_t{iteration} * config_.episodes,
                                                       config_.episodes, config_.latent)));
    }
    return z;
  }

  // Returns the policy for each row of z.
  std::vector<v1::PolicyWeights> PoliciesFor(const Tensor& z) const {
    const Tensor rows = policy_.unsqueeze(0).expand({z.size(0), policy_.numel()});
    return agents::ToPolicyWeights(config_.policy, FoldInput(config_.policy, rows, z));
  }

  Latent Stacked() const {
    std::vector<Tensor> mu, log_sigma;
    for (const Latent& latent : latents_) {
      mu.push_back(latent.mu);
      log_sigma.push_back(latent.log_sigma);
    }
    return {torch::stack(mu), torch::stack(log_sigma)};
  }

  const LatentConfig config_;
  const int64_t steps_;  // K
  // Parts of the meta-parameters.
  Tensor policy_;  // [P] float32
  Latent rates_;   // [dz] float64
  // One for each agent, [dz] float64; replaced, never written to.
  std::vector<Latent> latents_;
};

// Checks also that the shard's tasks are among those of the meta-parameters.
void Check(const InnerLoopContext& context, Violations* violations) {
  const LatentConfig config = ConfigOf(context);
  CheckLatent(config, context.spec(), context.shape(), violations);
  if (!context.meta_parameters.defined()) return;
  const int64_t tasks = NumTasks(config, context.meta_parameters.numel());
  if (tasks < 0) {
    violations->Add("shard.signal_version",
                    absl::StrFormat("has %d meta-parameters; policy and step sizes are %d, each "
                                    "task has %d more",
                                    context.meta_parameters.numel(), LatentLayout(config, 0).size(),
                                    2 * config.latent));
    return;
  }
  for (const v1::Lifetime& lifetime : context.shard->lifetimes()) {
    if (!lifetime.has_task_index() || lifetime.task_index() < tasks) continue;
    violations->Add("shard.lifetimes.task_index",
                    absl::StrFormat("is %d; the meta-parameters have latents of %d tasks",
                                    lifetime.task_index(), tasks));
    return;
  }
}

const RegisterInnerLoop kLatentAdaptation({
    .name = "latent_adaptation",
    .summary = "Steps of a latent that a shared policy sees (MAESN)",
    .options = kOptions.table(),
    .metrics = {{.name = "latent_step_*",
                 .help = "Distance between the means of the latent before and after that "
                         "adaptation step, mean over agents."}},
    .check = Check,
    .make = MadeLoop<LatentAdaptation>,
    .sizes = [](const InnerLoopContext& context, int64_t) -> LoopSizes {
      const LatentConfig config = ConfigOf(context);
      const int64_t whole = LatentPolicyLayout(config).size();
      // A policy for each episode: as made, in a message, as planned, and as sent; and a unit's own
      // kilobytes, because shard_memory.cc counts one unit for many episodes.
      const int64_t of_episode = 8 * whole + 4096;
      return {.state = 4 * config.latent,
              .saved = 4 * config.latent,
              .policy = agents::AgentLayout(config.policy).size(),
              .at_once = whole + context.num_agents() * config.episodes * of_episode,
              .per_thread = whole};
    },
});

}  // namespace maesn_loop
}  // namespace mentor::methods
