// The grammar of resource names, for servers and clients. Pure functions; threads may share.
//
//   experiments/{experiment}                          an id, as IsExperimentId has it
//   experiments/{experiment}/checkpoints/{00000042}   the outer update, 8 digits
//   experiments/{experiment}/artifacts/{path}         a file, relative, with slashes
//   experiments/{experiment}/shards/{number}
//   actors/{uid}, learners/{uid}
//   bundles/{digest}                                  64 digits (common/bundle.h)
//
// tests/data/resource_names.json has examples that this code and the Python client must pass.
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

// Returns "experiments/{id}".
std::string ExperimentName(std::string_view id);
// Inverse of ExperimentName, also for ids that new experiments may not have. nullopt for other
// kinds of names.
std::optional<std::string> ExperimentIdOf(std::string_view name);

std::string CheckpointName(std::string_view experiment, uint32_t outer_step);
// Returns the experiment's name and the outer step.
std::optional<std::pair<std::string, uint32_t>> ParseCheckpointName(std::string_view name);

std::string ArtifactName(std::string_view experiment, std::string_view path);
// Returns the experiment's name and the path, which is guaranteed to stay inside its folder.
std::optional<std::pair<std::string, std::string>> ParseArtifactName(std::string_view name);

std::string ShardName(std::string_view experiment, uint64_t number);
std::string ActorName(std::string_view uid);
std::string LearnerName(std::string_view uid);

std::string BundleResource(std::string_view digest);
// Returns the digest; nullopt for other kinds of names.
std::optional<std::string> BundleDigestOf(std::string_view name);

// Returns "checkpoints" for "experiments/{experiment}/checkpoints/{anything}". Empty for names that
// are not below an experiment.
std::string_view CollectionOf(std::string_view name);
inline constexpr std::string_view kCheckpoints = "checkpoints";
inline constexpr std::string_view kArtifacts = "artifacts";

}  // namespace mentor
