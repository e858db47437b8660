#include "common/resources/names.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/bundle.h"

namespace mentor {
namespace {

constexpr size_t kIdBytesMax = 63;
constexpr size_t kPathBytesMax = 1000;

absl::string_view Absl(std::string_view text) {
  return {text.data(), text.size()};
}

// Returns the end of the experiment's name within the name of a resource below it; npos if there is
// none.
size_t EndOfExperiment(std::string_view name) {
  if (!name.starts_with(kExperimentsPrefix)) return name.npos;
  const size_t end = name.find('/', kExperimentsPrefix.size());
  return end == kExperimentsPrefix.size() ? name.npos : end;
}

// "experiments/{e}/COLLECTION/rest" -> {"experiments/{e}", rest}.
std::optional<std::pair<std::string, std::string>> Split(std::string_view name,
                                                         std::string_view collection) {
  if (CollectionOf(name) != collection) return std::nullopt;
  const size_t end = EndOfExperiment(name);
  return std::pair(std::string(name.substr(0, end)),
                   std::string(name.substr(end + collection.size() + 2)));
}

}  // namespace

bool IsExperimentId(std::string_view id) {
  return !id.empty() && id.size() <= kIdBytesMax && absl::ascii_islower(id.front()) &&
         id.back() != '-' && std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

std::string ExperimentName(std::string_view id) {
  return absl::StrCat(Absl(kExperimentsPrefix), Absl(id));
}

std::optional<std::string> ExperimentIdOf(std::string_view name) {
  if (!name.starts_with(kExperimentsPrefix)) return std::nullopt;
  name.remove_prefix(kExperimentsPrefix.size());
  if (name.empty() || name.size() > kIdBytesMax || name.find('/') != name.npos) return std::nullopt;
  return std::string(name);
}

std::string CheckpointName(std::string_view experiment, uint32_t outer_step) {
  return absl::StrFormat("%s/%s/%08d", Absl(experiment), Absl(kCheckpoints), outer_step);
}

std::optional<std::pair<std::string, uint32_t>> ParseCheckpointName(std::string_view name) {
  const auto parts = Split(name, kCheckpoints);
  uint32_t step = 0;
  if (!parts || parts->second.size() != 8 ||
      !std::all_of(parts->second.begin(), parts->second.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(parts->second, &step))
    return std::nullopt;
  return std::pair(parts->first, step);
}

std::string ArtifactName(std::string_view experiment, std::string_view path) {
  return absl::StrCat(Absl(experiment), "/", Absl(kArtifacts), "/", Absl(path));
}

std::optional<std::pair<std::string, std::string>> ParseArtifactName(std::string_view name) {
  const auto parts = Split(name, kArtifacts);
  if (!parts || parts->second.empty() || parts->second.size() > kPathBytesMax) return std::nullopt;
  for (const absl::string_view part : absl::StrSplit(parts->second, '/')) {
    if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos)
      return std::nullopt;
  }
  return parts;
}

std::string ShardName(std::string_view experiment, uint64_t number) {
  return absl::StrCat(Absl(experiment), "/shards/", number);
}

std::string ActorName(std::string_view uid) {
  return absl::StrCat(Absl(kActorsPrefix), Absl(uid));
}

std::string LearnerName(std::string_view uid) {
  return absl::StrCat(Absl(kLearnersPrefix), Absl(uid));
}

std::string BundleResource(std::string_view digest) {
  return absl::StrCat(Absl(kBundlesPrefix), Absl(digest));
}

std::optional<std::string> BundleDigestOf(std::string_view name) {
  if (!name.starts_with(kBundlesPrefix)) return std::nullopt;
  name.remove_prefix(kBundlesPrefix.size());
  if (!IsBundleDigest(name)) return std::nullopt;
  return std::string(name);
}

std::string_view CollectionOf(std::string_view name) {
  const size_t begin = EndOfExperiment(name);
  if (begin == name.npos) return {};
  const size_t end = name.find('/', begin + 1);
  return end == name.npos ? std::string_view() : name.substr(begin + 1, end - begin - 1);
}

}  // namespace mentor
