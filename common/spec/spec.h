// Reads, checks, completes, prints and hashes experiment specs (proto/mentor/v1/spec.proto). Names
// and options that registered parts declare are checked by their registries, not here. Pure
// functions; threads may share.
//
//   auto spec = LoadSpec(text, {"rule.outer_updates=3"}, CheckParts);
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "common/spec/base.h"
#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

inline constexpr size_t kSpecBytesMax = 1 << 20;
inline constexpr int kSpecDepthMax = 32;
inline constexpr size_t kOverridesMax = 1000;

// Adds violations of the rules of registered parts. Its specs have legal ranges and all defaults.
using PartsCheck = std::function<void(const v1::ExperimentSpec& spec, Violations* violations)>;

// Parses protobuf text format, or YAML if `file` says so (yaml.h), resolves `base`, and applies the
// overrides. All violations are added. Gives as much of the spec as could be read, without explicit
// defaults; false: a check would misjudge it, as some of it is unread. The base is looked up from
// `file`, where the text comes from (base.h); "-" is the working folder. Without a file a base is
// left to CheckSpec, which refuses it, as the text comes from a run or from the network.
//
// An override is "path.to.field=value". Enums are given by name. A list of enums or numbers takes
// "A,B" and is replaced. Entries of other lists are given by number:
// "benchmark.wrapper[0].name=...". Options of registered parts are given by their own name:
// "rule.learning_rate=3e-4" or "rule.option.learning_rate=3e-4".
bool ReadSpec(std::string_view text, const std::vector<std::string>& overrides,
              v1::ExperimentSpec* spec, Violations* violations,
              const std::optional<std::filesystem::path>& file = std::nullopt);
// The same for a spec that is parsed already. `read` finds its bases.
bool CompleteSpec(const std::vector<std::string>& overrides, v1::ExperimentSpec* spec,
                  Violations* violations,
                  const std::optional<std::filesystem::path>& file = std::nullopt,
                  const spec::FileReader& read = spec::ReadLocalFile);
// ReadSpec, then CheckSpec.
v1::ExperimentSpec ParseSpec(std::string_view text, const std::vector<std::string>& overrides,
                             Violations* violations, const PartsCheck& check_parts = nullptr,
                             const std::optional<std::filesystem::path>& file = std::nullopt);
// The same with a status.
absl::StatusOr<v1::ExperimentSpec> LoadSpec(
    std::string_view text, const std::vector<std::string>& overrides = {},
    const PartsCheck& check_parts = nullptr,
    const std::optional<std::filesystem::path>& file = std::nullopt);
// Reads the file and loads it.
absl::StatusOr<v1::ExperimentSpec> LoadSpecFile(const std::filesystem::path& file,
                                                const std::vector<std::string>& overrides = {},
                                                const PartsCheck& check_parts = nullptr);

// Checks the ranges in spec.proto, the rules between fields, and then the parts. The parts see
// defaults in place of invalid fields, so that one answer reports everything. Also for specs from
// the network.
void CheckSpec(const v1::ExperimentSpec& spec, Violations* violations,
               const PartsCheck& check_parts = nullptr);

// Returns the spec with every default written out.
v1::ExperimentSpec WithDefaults(const v1::ExperimentSpec& spec);

// Index of the only training set in benchmark.task_set; nullopt if there are none or several.
std::optional<int> OnlyTrainingSet(const v1::ExperimentSpec& spec);

// Returns text format that LoadSpec reads. `notes` returns lines to add as comments at the end of
// the spec's benchmark, its wrappers and task sets, signal and rule.
using SpecNotes = std::function<std::vector<std::string>(const google::protobuf::Message& part)>;
std::string PrintSpec(const v1::ExperimentSpec& spec, const SpecNotes& notes = nullptr);

// SHA-256, in hexadecimal, of everything that the result depends on: the merged spec without
// display_name and checkpoint.
std::string SpecHash(const v1::ExperimentSpec& spec);

}  // namespace mentor
