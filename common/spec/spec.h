// Reads, checks, completes, prints and hashes experiment specs (proto/mentor/v1/spec.proto). What
// registered parts declare (names, options) is checked by their registries, not here. Pure
// functions; threads may share.
//
//   auto spec = LoadSpec(text, {"rule.outer_updates=3"}, CheckParts);
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

inline constexpr size_t kSpecBytesMax = 1 << 20;
inline constexpr int kSpecDepthMax = 32;
inline constexpr size_t kOverridesMax = 1000;

// Adds violations of what registered parts demand. It is only given specs with legal ranges and
// every default.
using PartsCheck = std::function<void(const v1::ExperimentSpec& spec, Violations* violations)>;

// Protobuf text format, then overrides, then CheckSpec. Every violation is added; the spec is as
// far as it could be read, without defaults written out.
//
// An override is "path.to.field=value". Enums go by name; a list of enums or numbers takes "A,B"
// and is replaced; entries of other lists go by number: "benchmark.wrapper[0].name=...". Options of
// registered parts go by their own name: "rule.learning_rate=3e-4" or
// "rule.option.learning_rate=3e-4".
v1::ExperimentSpec ParseSpec(std::string_view text, const std::vector<std::string>& overrides,
                             Violations* violations, const PartsCheck& check_parts = nullptr);
// The same as one answer.
absl::StatusOr<v1::ExperimentSpec> LoadSpec(std::string_view text,
                                            const std::vector<std::string>& overrides = {},
                                            const PartsCheck& check_parts = nullptr);

// Ranges declared in spec.proto, rules between fields, and then the parts: where fields are in
// violation the parts see their defaults, so that one answer names everything. Also for specs that
// came over the wire.
void CheckSpec(const v1::ExperimentSpec& spec, Violations* violations,
               const PartsCheck& check_parts = nullptr);

// The merged spec: every field that has a default holds it, or what was set.
v1::ExperimentSpec WithDefaults(const v1::ExperimentSpec& spec);

// Place of the one task set for training among benchmark.task_set; nothing where there are none or
// several.
std::optional<int> OnlyTrainingSet(const v1::ExperimentSpec& spec);

// Text format, as a file that LoadSpec reads. `notes` gives lines to put as comments at the end of
// the spec's benchmark, its wrappers and task sets, signal and rule.
using SpecNotes = std::function<std::vector<std::string>(const google::protobuf::Message& part)>;
std::string PrintSpec(const v1::ExperimentSpec& spec, const SpecNotes& notes = nullptr);

// SHA-256, in hexadecimal, of what the result depends on: the merged spec without display_name and
// checkpoint.
std::string SpecHash(const v1::ExperimentSpec& spec);

}  // namespace mentor
