#include "meta_learner/experiment/experiment_state.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "meta_learner/experiment/tensor_sections.h"

namespace mentor::meta_learner {
namespace {

// Sections with the snapshots of running lifetimes, and the one with everything else.
constexpr char kLives[] = "lives/", kOwn[] = "experiment/";
constexpr char kBestStep[] = "best_step";

}  // namespace

void BestWeights::Consider(const std::vector<LifetimeOutcome>& outcomes, size_t window,
                           const torch::Tensor& meta_parameters, uint32_t step) {
  for (const LifetimeOutcome& outcome : outcomes) {
    if (const int episodes = outcome.segment_episodes.back(); episodes > 0)
      scores.push_back(LifetimeScore(outcome, episodes));
  }
  if (scores.empty()) return;
  if (scores.size() > window)
    scores.erase(scores.begin(), scores.end() - static_cast<int64_t>(window));
  double sum = 0;
  for (const double value : scores) sum += value;
  const double mean = sum / static_cast<double>(scores.size());
  if (mean > score) {
    score = mean;
    weights = meta_parameters.clone();
    outer_step = step;
  }
}

bool IsTrained(const ExperimentState& state, const v1::RuleSpec& rule) {
  if (state.outer_step >= rule.outer_updates()) return true;
  // Agents in the middle of their lives have no score yet, nor have the newest weights.
  return rule.patience() > 0 && state.lives.empty() && std::isfinite(state.best.score) &&
         state.outer_step > state.best.outer_step + uint64_t{rule.patience()};
}

void AddState(const ExperimentState& state, const v1::RuleSpec& rule,
              std::map<std::string, std::string>* sections) {
  AddTensorSections(
      {{"best_weights", state.best.weights},
       {"best_score", torch::full({}, state.best.score, torch::kFloat64)},
       {"scores", torch::tensor(state.best.scores, torch::kFloat64)},
       {"env_steps", torch::full({}, static_cast<int64_t>(state.env_steps), torch::kInt64)}},
      kOwn, sections);
  if (rule.patience() > 0) {
    AddTensorSections({{kBestStep, torch::full({}, int64_t{state.best.outer_step}, torch::kInt64)}},
                      kAsideSections, sections);
  }
  for (size_t i = 0; i < state.lives.size(); ++i)
    (*sections)[absl::StrFormat("%s%05d", kLives, i)] = state.lives[i].SerializeAsString();
}

absl::StatusOr<ExperimentState> ReadState(const Checkpoint& checkpoint) {
  MENTOR_ASSIGN_OR_RETURN(const auto own, TensorsOfSections(checkpoint.sections, kOwn));
  const auto has = [&](const char* name, torch::Dtype dtype, int64_t axes) {
    const auto found = own.find(name);
    return found != own.end() && found->second.scalar_type() == dtype &&
           found->second.dim() == axes;
  };
  const auto broken = [&](const char* name) {
    return absl::DataLossError(
        absl::StrFormat("the checkpoint after outer update %d: section %s%s is missing or has "
                        "another form",
                        checkpoint.outer_step, name == kBestStep ? kAsideSections : kOwn, name));
  };
  if (!has("best_weights", torch::kFloat32, 1)) return broken("best_weights");
  if (!has("best_score", torch::kFloat64, 0)) return broken("best_score");
  if (!has("scores", torch::kFloat64, 1)) return broken("scores");
  if (!has("env_steps", torch::kInt64, 0)) return broken("env_steps");
  ExperimentState state{.outer_step = checkpoint.outer_step};
  state.best.weights = own.at("best_weights");
  state.best.score = own.at("best_score").item<double>();
  const torch::Tensor scores = own.at("scores").contiguous();
  state.best.scores.assign(scores.const_data_ptr<double>(),
                           scores.const_data_ptr<double>() + scores.numel());
  MENTOR_ASSIGN_OR_RETURN(const auto aside, TensorsOfSections(checkpoint.sections, kAsideSections));
  // Patience begins here where the run so far had none.
  state.best.outer_step = checkpoint.outer_step;
  if (const auto step = aside.find(kBestStep); step != aside.end()) {
    const torch::Tensor& number = step->second;
    if (number.scalar_type() != torch::kInt64 || number.dim() != 0 || number.item<int64_t>() < 0 ||
        number.item<int64_t>() > checkpoint.outer_step)
      return broken(kBestStep);
    state.best.outer_step = static_cast<uint32_t>(number.item<int64_t>());
  }
  state.env_steps = static_cast<uint64_t>(own.at("env_steps").item<int64_t>());
  for (const auto& [section, bytes] : checkpoint.sections) {
    if (!section.starts_with(kLives)) continue;
    if (!state.lives.emplace_back().ParseFromString(bytes)) {
      return absl::DataLossError(
          absl::StrFormat("the checkpoint after outer update %d: section %s is damaged",
                          checkpoint.outer_step, section));
    }
  }
  return state;
}

int64_t UnknownOpenEpisodes(const ExperimentState& state) {
  int64_t unknown = 0;
  for (const v1::Snapshot& snapshot : state.lives) {
    unknown += std::count_if(snapshot.cursors().begin(), snapshot.cursors().end(),
                             [](const v1::EpisodeCursor& cursor) {
                               return cursor.step() > 0 && !cursor.has_shaped_return();
                             });
  }
  return unknown;
}

bool HasRunningLives(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.sections.begin(), checkpoint.sections.end(),
                     [](const auto& section) { return section.first.starts_with(kLives); });
}

}  // namespace mentor::meta_learner
