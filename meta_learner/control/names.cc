#include "meta_learner/control/names.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/util/time_util.h>

namespace mentor::meta_learner {
namespace {

constexpr size_t kLabelsMax = 64, kLabelKeyMax = 63, kLabelValueMax = 255, kTitleMax = 255;
constexpr uint32_t kWeightMax = 100, kRetriesMax = 100;

bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// "experiments/{e}/KIND/rest" -> {"experiments/{e}", rest}.
std::optional<std::pair<std::string, std::string>> Split(std::string_view name,
                                                         std::string_view kind) {
  constexpr std::string_view kExperiments = "experiments/";
  if (!name.starts_with(kExperiments)) return std::nullopt;
  const size_t end = name.find('/', kExperiments.size());
  if (end == name.npos) return std::nullopt;
  const std::string_view rest = name.substr(end + 1);
  if (!rest.starts_with(kind)) return std::nullopt;
  return std::pair(std::string(name.substr(0, end)), std::string(rest.substr(kind.size())));
}

void CheckLabels(const v1::Experiment& experiment, const std::string& prefix,
                 Violations* violations) {
  if (static_cast<size_t>(experiment.labels_size()) > kLabelsMax) {
    violations->Add(prefix + "labels", absl::StrFormat("are %d, at most %d are allowed",
                                                       experiment.labels_size(), kLabelsMax));
    return;
  }
  for (const auto& [key, value] : experiment.labels()) {
    const std::string field = prefix + "labels." + key.substr(0, kLabelKeyMax);
    bool legal = !key.empty() && key.size() <= kLabelKeyMax && IsLower(key[0]);
    for (const char c : key)
      legal = legal && (IsLower(c) || IsDigit(c) ||
                        std::string_view("-_./").find(c) != std::string_view::npos);
    if (!legal) {
      violations->Add(field, absl::StrFormat("is no key: a letter, then letters, digits, - _ . "
                                             "and /, all lower case, at most %d",
                                             kLabelKeyMax));
    }
    if (value.size() > kLabelValueMax) {
      violations->Add(field, absl::StrFormat("has %d bytes, at most %d are allowed", value.size(),
                                             kLabelValueMax));
    }
  }
}

}  // namespace

bool IsExperimentId(std::string_view id) {
  if (id.empty() || id.size() > 63 || !IsLower(id.front()) || id.back() == '-') return false;
  for (const char c : id) {
    if (!IsLower(c) && !IsDigit(c) && c != '-') return false;
  }
  return true;
}

std::optional<std::pair<std::string, uint32_t>> ParseCheckpointName(std::string_view name) {
  const auto parts = Split(name, "checkpoints/");
  if (!parts || parts->second.size() != 8) return std::nullopt;
  uint32_t step = 0;
  for (const char c : parts->second) {
    if (!IsDigit(c)) return std::nullopt;
    step = step * 10 + static_cast<uint32_t>(c - '0');
  }
  return std::pair(parts->first, step);
}

std::string CheckpointName(std::string_view experiment, uint32_t outer_step) {
  return absl::StrFormat("%s/checkpoints/%08d", experiment, outer_step);
}

std::optional<std::pair<std::string, std::string>> ParseArtifactName(std::string_view name) {
  const auto parts = Split(name, "artifacts/");
  if (!parts || parts->second.empty() || parts->second.size() > 1000) return std::nullopt;
  for (const absl::string_view part : absl::StrSplit(parts->second, '/')) {
    if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos)
      return std::nullopt;
  }
  return parts;
}

void CheckSettings(const v1::Experiment& experiment, std::string_view begin,
                   Violations* violations) {
  using google::protobuf::util::TimeUtil;
  const std::string prefix(begin);
  CheckLabels(experiment, prefix, violations);
  if (experiment.display_name().size() > kTitleMax) {
    violations->Add(prefix + "display_name",
                    absl::StrFormat("has %d bytes, at most %d are allowed",
                                    experiment.display_name().size(), kTitleMax));
  }
  if (!v1::Priority_IsValid(experiment.priority())) {
    violations->Add(prefix + "priority",
                    absl::StrFormat("is %d; give LOW, NORMAL or HIGH", experiment.priority()));
  }
  if (experiment.weight() > kWeightMax) {
    violations->Add(prefix + "weight", absl::StrFormat("is %d; give 1 to %d, or 0 for 1",
                                                       experiment.weight(), kWeightMax));
  }
  if (experiment.retries_max() > kRetriesMax) {
    violations->Add(prefix + "retries_max", absl::StrFormat("is %d; give at most %d",
                                                            experiment.retries_max(), kRetriesMax));
  }
  if (experiment.has_deadline()) {
    // A legal Timestamp; whether it has passed already is for its owner to see.
    const auto& time = experiment.deadline();
    if (time.seconds() <= 0 || time.seconds() > TimeUtil::kTimestampMaxSeconds ||
        time.nanos() < 0 || time.nanos() > 999'999'999)
      violations->Add(prefix + "deadline", "is no time after 1970");
  }
  if (experiment.retention().has_ttl()) {
    const auto& ttl = experiment.retention().ttl();
    if (ttl.seconds() < 0 || ttl.nanos() < 0 || ttl.nanos() > 999'999'999 ||
        ttl.seconds() > int64_t{3650} * 24 * 3600)
      violations->Add(prefix + "retention.ttl", "is no time between 0 and 3650 days");
  }
}

}  // namespace mentor::meta_learner
