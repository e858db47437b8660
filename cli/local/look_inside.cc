#include "cli/local/look_inside.h"

#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "cli/local/relive.h"
#include "common/check.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "shards/segment_proto.h"

namespace mentor {
namespace {

// Maps per inner iteration, one for each layer of a network.
constexpr size_t kMaps = 2;

void AddMap(const signals::AttentionMap& map, uint32_t iteration, v1::SignalMaps* maps) {
  v1::SignalMap& added = *maps->add_map();
  added.set_name("attention, " + map.name);
  added.set_lifetime(static_cast<uint32_t>(map.lifetime));
  added.set_iteration(iteration);
  added.set_rows(static_cast<uint32_t>(map.weights.size(0)));
  added.set_columns(static_cast<uint32_t>(map.weights.size(1)));
  const torch::Tensor values = map.weights.to(torch::kFloat32).contiguous();
  added.mutable_values()->Add(values.const_data_ptr<float>(),
                              values.const_data_ptr<float>() + values.numel());
}

}  // namespace

absl::StatusOr<v1::SignalMaps> LookInside(const TrainedRun& run, const v1::ExperimentSpec& spec,
                                          const envs::Benchmark& benchmark, envs::Split split) {
  v1::SignalMaps maps;
  const signals::SignalNetwork& network = *run.parts.network;
  const torch::Tensor parameters = run.learned_parameters;
  const signals::SignalExplainer* explainer = network.explainer();
  if (explainer == nullptr || !run.parts.rule->needs().signal_network() ||
      network.signals()->needs_values() || parameters.numel() != network.layout().size())
    return maps;
  const auto tasks = meta_learner::EvaluationTasks(benchmark, spec, split);
  if (tasks.empty()) return maps;
  const std::string name = "evaluations/inside";
  v1::Shard shard =
      meta_learner::EvaluationShards({name, spec, benchmark}, {tasks[0]},
                                     /*first_number=*/0, split, v1::REWARD_SOURCE_SIGNAL)[0];
  shard.set_outcomes_only(false);
  shard.set_deterministic_episodes(0);
  signals::SignalState state = network.signals()->InitialState(1, torch::kFloat32);
  const uint32_t last = shard.iterations() - 1;
  const auto emit = [&](const v1::Segment& proto) -> absl::Status {
    MENTOR_ASSIGN_OR_RETURN(const agents::Segment segment, shards::SegmentFromProto(proto, shard));
    if (proto.iteration() == 0 || proto.iteration() == last) {
      const auto explained = explainer->Explain(parameters, segment, state);
      for (size_t i = 0; i < std::min(kMaps, explained.size()); ++i) {
        // Keep only maps of the first episode.
        if (explained[i].first_step == explained[0].first_step)
          AddMap(explained[i], proto.iteration(), &maps);
      }
    }
    network.signals()->Run(parameters, segment, /*noise=*/{}, &state);
    return absl::OkStatus();
  };
  MENTOR_RETURN_IF_ERROR(LiveShard(
      shard, parameters, [](const v1::Unit&, const v1::Trajectory&) { return true; }, emit));
  return maps;
}

}  // namespace mentor
