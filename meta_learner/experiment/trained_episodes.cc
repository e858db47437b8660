#include "meta_learner/experiment/trained_episodes.h"

#include <algorithm>
#include <cstdint>

#include <absl/status/status.h>

#include "common/check.h"
#include "common/file.h"
#include "common/sealed.h"

namespace mentor::meta_learner {
namespace {

// The newest generation, which may be young, and the finished one before it.
constexpr int kGenerations = 2;

template <typename Field>
void DropFirst(int count, Field* field) {
  field->erase(field->begin(), field->begin() + count);
}
template <typename Field>
void DropLast(int count, Field* field) {
  field->erase(field->end() - count, field->end());
}

void KeepNewest(size_t most, v1::EvaluatedLifetime* lifetime) {
  const size_t known = static_cast<size_t>(lifetime->episode_return_size());
  if (known <= most) return;
  const int excess = static_cast<int>(known - most);
  DropFirst(excess, lifetime->mutable_episode_return());
  DropFirst(excess, lifetime->mutable_episode_success());
  auto left = static_cast<uint32_t>(excess);
  for (uint32_t& ended : *lifetime->mutable_segment_episodes()) {
    const uint32_t dropped = std::min(ended, left);
    ended -= dropped;
    left -= dropped;
    if (left == 0) break;
  }
}

}  // namespace

size_t KeptEpisodes(size_t agents) {
  return std::max(kEpisodesOfAgent, kEpisodesOfGeneration / agents);
}

void AddRound(const Round& round, const std::vector<SampledTask>& tasks,
              const std::vector<LifetimeOutcome>& outcomes, v1::TrainedLifetimes* all) {
  MENTOR_CHECK(round.iteration.has_value() && tasks.size() == outcomes.size());
  auto* generations = all->mutable_generations();
  if (generations->empty() || generations->rbegin()->generation() != round.generation ||
      generations->rbegin()->lifetimes_size() != static_cast<int>(tasks.size())) {
    if (generations->size() == kGenerations) generations->DeleteSubrange(0, 1);
    v1::TrainedGeneration& fresh = *generations->Add();
    fresh.set_generation(round.generation);
    for (size_t i = 0; i < tasks.size(); ++i) {
      v1::EvaluatedLifetime& lifetime = *fresh.add_lifetimes();
      lifetime.set_number(round.generation * static_cast<uint32_t>(tasks.size()) +
                          static_cast<uint32_t>(i));
      lifetime.set_environment(tasks[i].environment);
      lifetime.set_goal(static_cast<uint32_t>(tasks[i].goal));
    }
  }
  for (size_t i = 0; i < tasks.size(); ++i) {
    v1::EvaluatedLifetime& lifetime =
        *generations->rbegin()->mutable_lifetimes(static_cast<int>(i));
    for (const double value : outcomes[i].episode_success) lifetime.add_episode_success(value);
    for (const double value : outcomes[i].episode_return) lifetime.add_episode_return(value);
    lifetime.mutable_segment_episodes()->Resize(static_cast<int>(*round.iteration), 0);
    lifetime.add_segment_episodes(static_cast<uint32_t>(outcomes[i].episode_return.size()));
    KeepNewest(KeptEpisodes(tasks.size()), &lifetime);
  }
}

void ForgetFrom(const Round& next, v1::TrainedLifetimes* all) {
  auto* generations = all->mutable_generations();
  const int iteration = static_cast<int>(next.iteration.value_or(0));
  for (v1::TrainedGeneration& generation : *generations) {
    if (generation.generation() != next.generation) continue;
    for (v1::EvaluatedLifetime& lifetime : *generation.mutable_lifetimes()) {
      auto* ended = lifetime.mutable_segment_episodes();
      int count = 0;
      while (ended->size() > iteration) {
        count += static_cast<int>(*ended->rbegin());
        ended->RemoveLast();
      }
      DropLast(count, lifetime.mutable_episode_return());
      DropLast(count, lifetime.mutable_episode_success());
    }
  }
  generations->erase(
      std::remove_if(generations->begin(), generations->end(),
                     [&](const v1::TrainedGeneration& generation) {
                       return generation.generation() > next.generation ||
                              (generation.generation() == next.generation && iteration == 0);
                     }),
      generations->end());
}

std::string SealedEpisodes(const v1::TrainedLifetimes& all) {
  return Sealed(all.SerializeAsString());
}

absl::StatusOr<v1::TrainedLifetimes> ReadEpisodes(const std::filesystem::path& experiment_folder) {
  v1::TrainedLifetimes all;
  const std::filesystem::path file = experiment_folder / kEpisodesFile;
  const auto bytes = ReadFile(file, uint64_t{1} << 31);
  if (absl::IsNotFound(bytes.status())) return all;
  MENTOR_RETURN_IF_ERROR(bytes.status());
  const auto damaged = [&] {
    return absl::DataLossError(file.string() +
                               " does not hold the episodes of meta-training; remove it");
  };
  MENTOR_ASSIGN_OR_RETURN(const std::string episodes, Unsealed(*bytes, file));
  if (!all.ParseFromString(episodes)) return damaged();
  for (const v1::TrainedGeneration& generation : all.generations()) {
    for (const v1::EvaluatedLifetime& lifetime : generation.lifetimes()) {
      int64_t ended = 0;
      for (const uint32_t count : lifetime.segment_episodes()) ended += count;
      if (ended != lifetime.episode_return_size() || ended != lifetime.episode_success_size())
        return damaged();
    }
  }
  return all;
}

}  // namespace mentor::meta_learner
