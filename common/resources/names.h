// The grammar of resource names, for servers and clients. Pure functions; threads may share.
//
//   experiments/{experiment}                          an id, as IsExperimentId has it
//   experiments/{experiment}/checkpoints/{00000042}   the outer update, 8 digits
//   experiments/{experiment}/artifacts/{path}         a file, relative, with slashes
//   experiments/{experiment}/shards/{number}
//   actors/{uid}, learners/{uid}
//   bundles/{digest}                                  64 digits (common/bundle.h)
//
// tests/data/resource_names.json has examples, which this and the Python client are held to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace mentor {

inline constexpr std::string_view kExperimentsPrefix = "experiments/";
inline constexpr std::string_view kActorsPrefix = "actors/";
inline constexpr std::string_view kLearnersPrefix = "learners/";
inline constexpr std::string_view kBundlesPrefix = "bundles/";

// ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$
bool IsExperimentId(std::string_view id);

// "experiments/{id}"
std::string ExperimentName(std::string_view id);
// What ExperimentName was given, whether new experiments may be called so or not; nothing when it
// is another kind of name.
std::optional<std::string> ExperimentIdOf(std::string_view name);

std::string CheckpointName(std::string_view experiment, uint32_t outer_step);
// The experiment's name and the outer step.
std::optional<std::pair<std::string, uint32_t>> ParseCheckpointName(std::string_view name);

std::string ArtifactName(std::string_view experiment, std::string_view path);
// The experiment's name and the path, which stays inside of its folder.
std::optional<std::pair<std::string, std::string>> ParseArtifactName(std::string_view name);

std::string ShardName(std::string_view experiment, uint64_t number);
std::string ActorName(std::string_view uid);
std::string LearnerName(std::string_view uid);

std::string BundleResource(std::string_view digest);
// The digest; nothing when it is another kind of name.
std::optional<std::string> BundleDigestOf(std::string_view name);

// "checkpoints" of "experiments/{experiment}/checkpoints/{anything}"; empty for names without a
// part below an experiment.
std::string_view CollectionOf(std::string_view name);
inline constexpr std::string_view kCheckpoints = "checkpoints";
inline constexpr std::string_view kArtifacts = "artifacts";

}  // namespace mentor
