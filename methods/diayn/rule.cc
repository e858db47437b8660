// DIAYN (Eysenbach et al. 2019; methods/diayn/README.md). The meta-parameters are a discriminator
// of skills. After each inner iteration a few steps of Adam on the cross-entropy teach it to tell
// the acting skill from what the agents reached. It rewards the agents.
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "methods/base/outer_rule.h"
#include "methods/diayn/discriminator.h"
#include "methods/diayn/loop.h"
#include "methods/shared/adapted_lives.h"
#include "methods/shared/trained_weights.h"

namespace mentor::methods::diayn_rule {
namespace {

using torch::Tensor;

// Distances between the mean final states of skills, over the distances of final states from the
// mean of their skill: means of both. states [E, D] float64, skills [E]. 0 when there is only one
// skill.
double Spread(const Tensor& states, const Tensor& skills, int64_t num_skills) {
  std::vector<Tensor> means;
  double within = 0;
  for (int64_t skill = 0; skill < num_skills; ++skill) {
    const Tensor own = states.index_select(0, (skills == skill).nonzero().flatten());
    if (own.size(0) == 0) continue;
    means.push_back(own.mean(0));
    within += (own - means.back()).norm(2, 1).sum().item<double>();
  }
  within /= static_cast<double>(states.size(0));
  double between = 0, pairs = 0;
  for (size_t a = 0; a < means.size(); ++a) {
    for (size_t b = 0; b < a; ++b, ++pairs) between += (means[a] - means[b]).norm().item<double>();
  }
  constexpr double kLeast = 1e-12;
  return pairs == 0 ? 0 : between / pairs / std::max(within, kLeast);
}

struct Config {
  int64_t steps = 4;
  kernels::AdamConfig adam = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
};

const auto kOptions =
    Bind<Config>({{&Config::steps, "discriminator_steps", "4", 1, 10000,
                   "Steps of Adam in an outer update, each on all that was reached."},
                  {In(&Config::adam, &kernels::AdamConfig::learning_rate), "discriminator_rate",
                   "5e-3", 0, 100, "Learning rate of Adam."}});

SkillsConfig SkillsConfigOf(const RuleContext& context) {
  return ReadSkills(context.options, context.spec, context.shape,
                    AsDiscriminator(context.network)->num_skills());
}

class Diayn : public TrainedRule {
 public:
  explicit Diayn(const RuleContext& context)
      : TrainedRule(context, context.InitialNetwork()),
        discriminator_(AsDiscriminator(context.network)),
        config_(SkillsConfigOf(context)),
        own_(kOptions.Read(context.options)),
        lifetimes_(context.lifetimes()) {}

  RuleNeeds needs() const override {
    return {.decisions_inside_lifetime = true, .task_rewards = false};
  }

  RuleSizes Sizes() const override {
    return SizesOverLifetimes(
        weights_.numel(), lifetimes_, /*kept=*/0,
        config_.episodes * config_.episode_steps * discriminator_->NumbersPerStep(/*graph=*/true),
        /*twice=*/false);
  }

 private:
  absl::Status CheckBatch(const agents::Segment& steps) const {
    const auto check = [&](const Tensor& x, const char* name, int64_t rows) {
      if (x.defined() && x.dim() == 3 && x.size(0) == lifetimes_ && x.size(1) == rows &&
          x.isfinite().all().item<bool>())
        return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrFormat("%s of the lifetimes are not finite numbers of %d lifetimes with %d rows",
                          name, lifetimes_, rows));
    };
    MENTOR_RETURN_IF_ERROR(
        check(steps.observations, "observations", config_.episodes * config_.episode_steps));
    return check(steps.final_observations, "final_observations", config_.episodes);
  }

  // Skills of the episodes of each lifetime of the round, [F, E].
  Tensor SkillsOfRound(uint32_t outer_step) const {
    std::vector<Tensor> skills;
    const uint32_t generation = outer_step / context_.iterations();
    for (int64_t i = 0; i < lifetimes_; ++i) {
      const RandomStream stream{
          .seed = context_.spec.seed(),
          .purpose = Purpose::kSkill,
          .phase = Phase::kTraining,
          .lifetime = generation * static_cast<uint32_t>(lifetimes_) + static_cast<uint32_t>(i)};
      skills.push_back(SkillsOf(config_, stream, outer_step % context_.iterations()));
    }
    return torch::stack(skills);
  }

  // ln q of the acting skills: reached [T, D], skills [T].
  Tensor LogSkill(const Tensor& weights, const Tensor& reached, const Tensor& skills) const {
    return discriminator_->LogSkills(weights, reached).gather(1, skills.unsqueeze(1)).squeeze(1);
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    MENTOR_RETURN_IF_ERROR(CheckBatch(batch.steps));
    const Tensor skills = SkillsOfRound(outer_step);
    const Tensor reached = Reached(config_, batch.steps);
    std::vector<Tensor> of_steps;
    for (int64_t i = 0; i < lifetimes_; ++i) of_steps.push_back(OfSteps(config_, skills[i]));
    RuleReport report = Report(batch.steps, reached, skills, of_steps);

    Tensor weights = weights_.clone();
    AdamState adam{adam_.m.clone(), adam_.v.clone(), adam_.step};
    for (int64_t step = 0; step < own_.steps; ++step) {
      MENTOR_ASSIGN_OR_RETURN(const Tensor gradient,
                              MeanOver(context_.pool, lifetimes_, [&](int64_t i) {
                                const Tensor at = weights.detach().clone().requires_grad_();
                                const Tensor loss = -LogSkill(at, reached[i], of_steps[i]).mean();
                                return torch::autograd::grad({loss}, {at})[0];
                              }));
      ClipAndStep(own_.adam, /*max_grad_norm=*/{}, gradient.to(torch::kFloat32), weights, &adam);
    }
    if (!weights.isfinite().all().item<bool>())
      return absl::InternalError("the discriminator after its steps is not finite");
    weights_ = std::move(weights);
    adam_ = std::move(adam);
    return report;
  }

  // Applies the discriminator that rewarded the agents to the states that they reached.
  RuleReport Report(const agents::Segment& steps, const Tensor& reached, const Tensor& skills,
                    const std::vector<Tensor>& of_steps) const {
    double log_skill = 0;
    for (int64_t i = 0; i < lifetimes_; ++i) {
      log_skill +=
          LogSkill(weights_, reached[i], of_steps[i]).to(torch::kFloat64).mean().item<double>();
    }
    log_skill /= static_cast<double>(lifetimes_);
    const Tensor states = steps.final_observations.flatten(0, 1), acted = skills.flatten();
    const Tensor guessed = discriminator_->LogSkills(weights_, states).argmax(1);
    return {{"accuracy", (guessed == acted).to(torch::kFloat64).mean().item<double>()},
            {"cross_entropy", -log_skill},
            {"pseudo_reward", log_skill + std::log(static_cast<double>(config_.skills))},
            {"spread", Spread(states.to(torch::kFloat64), acted, config_.skills)}};
  }

  // Fixed after construction.
  const std::shared_ptr<const Discriminator> discriminator_;
  const SkillsConfig config_;
  const Config own_;
  const int64_t lifetimes_;
};

MetricTable Metrics() {
  using Panel = MetricInfo::Panel;
  return {
      {.name = "accuracy",
       .help = "Share of episodes whose skill the discriminator guesses from where they end.",
       .label = "skills told apart",
       .panel = Panel::kOwn},
      {.name = "pseudo_reward",
       .unit = "nat",
       .help =
           "Log-probability of the skill that acted plus ln n, mean over all steps: at most ln n.",
       .label = "reward of skills",
       .panel = Panel::kOwn},
      {.name = "cross_entropy",
       .unit = "nat",
       .help = "Loss of the discriminator before its steps."},
      {.name = "spread",
       .help = "Distance between the skills' mean ends over that of ends from the mean of "
               "their own skill."}};
}

const RegisterRule kDiayn({
    .name = "diayn",
    .summary = "Skills that can be told apart, without a task's reward (DIAYN, Eysenbach et al.)",
    .inner_loop = "skills",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .example = "lifetime { steps_per_iteration: 1200 } "
               "signal { name: 'discriminator' option { name: 'skills' value: '4' } }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          if (AsDiscriminator(context.network) == nullptr) {
            violations->Add("signal.name",
                            absl::StrFormat("is %s, which has no skills to tell apart: set "
                                            "discriminator",
                                            context.spec.signal().name()));
          } else {
            CheckSkills(SkillsConfigOf(context), context.spec, context.shape, violations);
          }
        },
    .make = MadeRule<Diayn>,
});

}  // namespace
}  // namespace mentor::methods::diayn_rule
