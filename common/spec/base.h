// Resolves the field `base` of a spec: the spec becomes its base with the changes that its file
// makes. Threads may share.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

inline constexpr int kBasesMax = 4;

// Returns what a file holds; nullopt if there is no such file.
using FileReader =
    std::function<absl::StatusOr<std::optional<std::string>>(const std::filesystem::path&)>;
// Reads files of this machine.
absl::StatusOr<std::optional<std::string>> ReadLocalFile(const std::filesystem::path& file);

// Replaces *spec, which was read from `file`, by what it stands for. A base is looked up beside the
// file that names it, by `read`, then among the ready specs; it may have a base of its own. Returns
// false after adding violations when a base cannot be read.
bool ResolveBase(const std::filesystem::path& file, v1::ExperimentSpec* spec,
                 Violations* violations, const FileReader& read = ReadLocalFile);

// Applies `changes` to *merged. Fields override, groups of fields merge, and lists replace. Options
// override by name. They belong to the part of their group, so a group that names another part, or
// another environment, begins without the options of *merged.
void MergeChanges(const google::protobuf::Message& changes, google::protobuf::Message* merged);

}  // namespace mentor::spec
