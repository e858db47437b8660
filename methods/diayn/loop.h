// Which skill acts in which episode, and what it reaches (DIAYN, methods/diayn/README.md). For the
// inner loop "skills" and its outer rule. Pure functions; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/segment.h"
#include "common/options.h"
#include "common/rng.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::methods {

struct SkillsConfig {
  int64_t skills = 6;         // n
  bool uniform = false;       // Skills are drawn; otherwise they take turns.
  int64_t episodes = 1;       // In an inner iteration.
  int64_t episode_steps = 1;  // M
};

SkillsConfig ReadSkills(const OptionValues& options, const v1::ExperimentSpec& spec,
                        const v1::EnvironmentShape& shape, int64_t num_skills);
void CheckSkills(const SkillsConfig& config, const v1::ExperimentSpec& spec,
                 const v1::EnvironmentShape& shape, Violations* violations);

// Skills of the episodes of inner iteration `iteration` of a lifetime, [E] int64. The stream has
// purpose kSkill.
torch::Tensor SkillsOf(const SkillsConfig& config, const RandomStream& stream, uint32_t iteration);
// Skills of each step of these episodes: [E] -> [E M].
torch::Tensor OfSteps(const SkillsConfig& config, const torch::Tensor& skills);
// The observation after each step, [S, T, D]: the next one of the episode, also after the last
// step.
torch::Tensor Reached(const SkillsConfig& config, const agents::Segment& segment);

}  // namespace mentor::methods
