#include "methods/shared/bonus_rewards.h"

#include <utility>

#include "agents/worker_pool.h"
#include "common/status.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr char kNumbers[] = "bonus", kCounts[] = "bonus_numbers";

// The steps of agent s. The observation after an episode's last step is not sent.
bonuses::Steps StepsOf(const agents::Segment& segment, int64_t s) {
  const auto numbers = [](const Tensor& x) {
    const Tensor all = x.to(torch::kCPU, torch::kFloat64).contiguous();
    return std::vector<double>(all.const_data_ptr<double>(),
                               all.const_data_ptr<double>() + all.numel());
  };
  const int64_t last = segment.observations.size(1) - 1;
  const Tensor observations = segment.observations[s];
  const Tensor ends =
      torch::cat({segment.prev_done[s].narrow(0, 1, last), segment.last_done[s].reshape({1})});
  bonuses::Steps steps{
      .observations = numbers(observations),
      .actions = numbers(segment.actions[s]),
      .next_observations = numbers(torch::cat(
          {observations.narrow(0, 1, last), segment.next_observations[s].unsqueeze(0)}))};
  for (const double end : numbers(ends)) steps.known.push_back(end == 0);
  return steps;
}

}  // namespace

const bonuses::BonusEntry* BonusOf(v1::RewardSource source) {
  switch (source) {
    case v1::REWARD_SOURCE_RND:
      return bonuses::FindBonus("rnd");
    case v1::REWARD_SOURCE_ICM:
      return bonuses::FindBonus("icm");
    case v1::REWARD_SOURCE_COUNTS:
      return bonuses::FindBonus("counts");
    default:
      return nullptr;
  }
}

BonusRewards::BonusRewards(const InnerLoopContext& context)
    : context_(context), entry_(BonusOf(context.shard->reward_source())) {
  Violations checked_already;
  if (enabled())
    options_ = bonuses::SettingsOf(*entry_, context_.spec().evaluation(), &checked_already);
}

bonuses::StepSizes BonusRewards::StepSizesOf() const {
  return {.observation = context_.shape().observation_size(),
          .action = context_.shape().action_size(),
          .discrete = context_.shape().discrete_actions()};
}

void BonusRewards::Begin() {
  bonuses_.clear();
  for (int64_t s = 0; s < context_.num_agents(); ++s) {
    bonuses_.push_back(entry_->make(StepSizesOf(), options_,
                                    context_.Random(Purpose::kBonusWeights, s, /*iteration=*/0)));
  }
}

absl::StatusOr<Tensor> BonusRewards::Rewards(const agents::Segment& segment) {
  Tensor rewards = segment.success_signals.to(torch::kCPU, torch::kFloat64).contiguous().clone();
  const int64_t steps = rewards.size(1);
  double* const all = rewards.mutable_data_ptr<double>();
  MENTOR_RETURN_IF_ERROR(
      agents::ParallelFor(context_.pool, context_.num_agents(), [&](int64_t s) -> absl::Status {
        bonuses::Bonus& bonus = *bonuses_[s];
        const bonuses::Steps own = StepsOf(segment, s);
        std::vector<double> given(steps);
        bonus.Reward(own, given);
        bonus.Learn(own);
        double* const row = all + s * steps;
        for (int64_t t = 0; t < steps; ++t) row[t] = bonus.task_weight() * row[t] + given[t];
        return absl::OkStatus();
      }));
  return rewards;
}

void BonusRewards::AddTo(StateFields* fields) {
  if (!enabled()) return;
  fields->AddPart([this](TensorMap* state) { Save(state); },
                  [this](const TensorMap& state) { return Load(state); });
}

void BonusRewards::Save(TensorMap* state) const {
  std::vector<double> all;
  std::vector<int64_t> counts;
  for (const auto& bonus : bonuses_) {
    const std::vector<double> own = bonus->Save();
    all.insert(all.end(), own.begin(), own.end());
    counts.push_back(static_cast<int64_t>(own.size()));
  }
  state->emplace(kNumbers, torch::tensor(all, torch::kFloat64));
  state->emplace(kCounts, torch::tensor(counts, torch::kInt64));
}

absl::Status BonusRewards::Load(const TensorMap& state) {
  MENTOR_ASSIGN_OR_RETURN(const Tensor counts, ReadTensor(state, kCounts, {context_.num_agents()},
                                                          torch::kInt64, "the inner loop"));
  const auto found = state.find(kNumbers);
  int64_t all = 0;
  for (int64_t s = 0; s < counts.numel(); ++s) {
    const int64_t own = counts[s].item<int64_t>();
    // No agent has more numbers than the tensor, so the sum does not overflow.
    if (own < 0 || found == state.end() || own > found->second.numel())
      return absl::DataLossError("'bonus_numbers' in the state of the inner loop is damaged");
    all += own;
  }
  MENTOR_ASSIGN_OR_RETURN(const Tensor numbers,
                          ReadTensor(state, kNumbers, {all}, torch::kFloat64, "the inner loop"));
  // An error must change nothing.
  std::vector<std::unique_ptr<bonuses::Bonus>> before = std::move(bonuses_);
  Begin();
  const double* next = numbers.const_data_ptr<double>();
  for (int64_t s = 0; s < counts.numel(); ++s) {
    const auto own = static_cast<size_t>(counts[s].item<int64_t>());
    if (absl::Status status = bonuses_[s]->Load({next, own}); !status.ok()) {
      bonuses_ = std::move(before);
      return status;
    }
    next += own;
  }
  return absl::OkStatus();
}

LoopSizes BonusRewards::Sizes() const {
  if (!enabled()) return {};
  const bonuses::StepSizes sizes = StepSizesOf();
  const int64_t steps = context_.steps();
  const bonuses::BonusSizes own =
      entry_->sizes(sizes, options_, steps,
                    steps * static_cast<int64_t>(context_.spec().lifetime().iterations()));
  // Doubles. The steps are there as tensors, as rows, and as the bonus sees them. Networks hold
  // their weights in packed form, too.
  const int64_t copies = 3 * steps * (2 * sizes.observation + sizes.action + 2);
  return {.state = 2 * 2 * own.state,
          .saved = 2 * own.state + 2,
          .at_once = 2 * 2 * context_.num_agents() * steps,
          .per_thread = 2 * (own.scratch + copies)};
}

}  // namespace mentor::methods
