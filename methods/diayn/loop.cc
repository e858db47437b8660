// The agents of DIAYN (methods/diayn/README.md): inner PPO of one policy with many skills. The
// reward is what the discriminator can tell of the skill from the observation reached. The skill is
// an input of policy and value network that is constant through an episode.
#include "methods/diayn/loop.h"

#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/policy.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/diayn/discriminator.h"
#include "methods/shared/folded_input.h"

namespace mentor::methods {

using torch::Tensor;

namespace diayn_loop {

const auto kOptions =
    Bind<SkillsConfig>({{&SkillsConfig::uniform,
                         "draw",
                         {{"balanced", false}, {"uniform", true}},
                         "Skills of a lifetime's episodes: in turn, or drawn for each."}});

}  // namespace diayn_loop

SkillsConfig ReadSkills(const OptionValues& options, const v1::ExperimentSpec& spec,
                        const v1::EnvironmentShape& shape, int64_t num_skills) {
  return diayn_loop::kOptions.Read(options, {.skills = num_skills,
                                             .episodes = EpisodesOfIteration(spec, shape),
                                             .episode_steps = shape.episode_steps()});
}

void CheckSkills(const SkillsConfig& config, const v1::ExperimentSpec& spec,
                 const v1::EnvironmentShape& shape, Violations* violations) {
  CheckEpisodesOfIteration(spec, shape, violations);
  if (config.episodes == 0 || config.episodes % config.skills != 0) {
    violations->Add(
        "lifetime.steps_per_iteration",
        absl::StrFormat("is %d, which is %d episodes of %d steps; %d skills need as "
                        "many episodes each: give a multiple of %d",
                        spec.lifetime().steps_per_iteration(), config.episodes,
                        config.episode_steps, config.skills, config.skills * config.episode_steps));
  }
  if (spec.agent().bootstrap_on_truncation()) {
    violations->Add("agent.bootstrap_on_truncation",
                    "is true; where an episode ends is what a skill is judged by, and nothing "
                    "follows it: set it to false");
  }
}

Tensor SkillsOf(const SkillsConfig& config, const RandomStream& stream, uint32_t iteration) {
  Tensor skills = torch::empty({config.episodes}, torch::kInt64);
  for (int64_t e = 0; e < config.episodes; ++e) {
    const int64_t episode = int64_t{iteration} * config.episodes + e;
    skills.mutable_data_ptr<int64_t>()[e] =
        config.uniform
            ? static_cast<int64_t>(stream.Below(static_cast<uint64_t>(config.skills),
                                                static_cast<uint32_t>(episode), /*draw=*/0))
            : episode % config.skills;
  }
  return skills;
}

Tensor OfSteps(const SkillsConfig& config, const Tensor& skills) {
  return skills.repeat_interleave(config.episode_steps);
}

Tensor Reached(const SkillsConfig& config, const agents::Segment& segment) {
  const Tensor observations =
      segment.observations.unflatten(1, {config.episodes, config.episode_steps});
  return torch::cat({observations.narrow(2, 1, config.episode_steps - 1),
                     segment.final_observations.unsqueeze(2)},
                    2)
      .flatten(1, 2);
}

namespace diayn_loop {

SkillsConfig ConfigOf(const InnerLoopContext& context) {
  const auto discriminator = AsDiscriminator(context.network);
  if (discriminator == nullptr) return {};
  return ReadSkills(context.options, context.spec(), context.shape(), discriminator->num_skills());
}

class Skills : public LearningLoop {
 public:
  explicit Skills(const InnerLoopContext& context)
      : LearningLoop(context, WithInput(ShapeOfAgents(*context.shard), ConfigOf(context).skills)),
        config_(ConfigOf(context)),
        discriminator_(AsDiscriminator(context.network)),
        seen_(ShapeOfAgents(*context.shard)) {}

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    std::vector<Tensor> skills;  // [E] for each agent.
    for (int64_t s = 0; s < context_.num_agents(); ++s)
      skills.push_back(SkillsOf(config_, context_.Random(Purpose::kSkill, s, 0), iteration));
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(PoliciesOf(skills)));
    for (Tensor& own : skills) own = OfSteps(config_, own);
    const Tensor of_steps = torch::stack(skills);  // [S, T]
    {
      const CpuTimer timer;
      segment.signals =
          discriminator_->LogSkills(context_.meta_parameters.cpu(), Reached(config_, segment))
              .gather(2, of_steps.unsqueeze(2))
              .squeeze(2) +
          std::log(static_cast<double>(config_.skills));
      report->signal_seconds += timer.Seconds();
    }
    const CpuTimer timer;
    if (LearnsAfter(iteration)) {
      MENTOR_RETURN_IF_ERROR(UpdateByPpo(
          context_, shape_, iteration, /*num_updates=*/spec().lifetime().iterations() - 1,
          WithSkills(segment, of_steps), segment.signals, &agents_, report));
    }
    normaliser_.Add(segment.observations);
    report->update_seconds += timer.Seconds();
    return segment;
  }

  // The policies of the first skill.
  std::vector<v1::PolicyWeights> Policies() const override { return PoliciesOfSkill(0); }

 private:
  // Returns one policy for each agent.
  std::vector<v1::PolicyWeights> PoliciesOfSkill(int64_t skill) const {
    Tensor input = torch::zeros({context_.num_agents(), config_.skills});
    input.select(1, skill).fill_(1);
    return agents::ToPolicyWeights(
        seen_, normaliser_.Fold(seen_, FoldInput(seen_, agents_.theta.cpu(), input)));
  }

  // Returns one policy for each episode, agent-major.
  std::vector<v1::PolicyWeights> PoliciesOf(const std::vector<Tensor>& skills) const {
    std::vector<std::vector<v1::PolicyWeights>> by_skill;
    for (int64_t skill = 0; skill < config_.skills; ++skill)
      by_skill.push_back(PoliciesOfSkill(skill));
    std::vector<v1::PolicyWeights> policies;
    for (size_t s = 0; s < skills.size(); ++s) {
      for (int64_t e = 0; e < config_.episodes; ++e)
        policies.push_back(by_skill[skills[s].const_data_ptr<int64_t>()[e]][s]);
    }
    return policies;
  }

  // The segment as policy and value network see it. The observation after the last step lies behind
  // an episode's end.
  agents::Segment WithSkills(const agents::Segment& segment, const Tensor& of_steps) const {
    agents::Segment seen = normaliser_.Normalise(segment);
    const Tensor input = torch::one_hot(of_steps, config_.skills).to(torch::kFloat32);
    seen.observations = torch::cat({seen.observations, input}, 2);
    seen.next_observations =
        torch::cat({seen.next_observations, torch::zeros_like(input.select(1, 0))}, 1);
    return seen;
  }

  const SkillsConfig config_;
  const std::shared_ptr<const Discriminator> discriminator_;
  const agents::AgentShape seen_;  // The shape that actors get: without the skill.
};

const RegisterInnerLoop kSkills({
    .name = "skills",
    .summary = "PPO of agents with many skills, rewarded for skills that can be told apart (DIAYN)",
    .options = kOptions.table(),
    .surrogate = true,
    .network = "discriminator",
    .all_final_observations = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          if (AsDiscriminator(context.network) == nullptr)
            violations->Add("signal.name", "has no skills to tell apart: set discriminator");
          else
            CheckSkills(ConfigOf(context), context.spec(), context.shape(), violations);
        },
    .make = MadeLoop<Skills>,
    .sizes = [](const InnerLoopContext& context, int64_t) -> LoopSizes {
      const SkillsConfig config = ConfigOf(context);
      // Agents whose observations also hold the skill.
      v1::Shard longer = *context.shard;
      longer.mutable_shape()->set_observation_size(
          static_cast<uint32_t>(context.shard->shape().observation_size() + config.skills));
      InnerLoopContext own = context;
      own.shard = &longer;
      LoopSizes sizes = SizesOfPpoAgents(own);
      // Policies of all skills, and of each episode as planned and sent, with a unit's own
      // kilobytes: shard_memory.cc counts one unit for many episodes.
      sizes.at_once +=
          context.num_agents() *
          ((config.skills + 6 * config.episodes) * sizes.policy + 4096 * config.episodes);
      // The input with the skill.
      sizes.at_once += 2 * context.num_agents() * context.steps() *
                       (context.shard->shape().observation_size() + config.skills);
      return sizes;
    },
});

}  // namespace diayn_loop
}  // namespace mentor::methods
