#include <algorithm>
#include <cstdint>
#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "meta_learner/control/request_checks.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kLabelsMax = 64, kLabelKeyMax = 63, kLabelValueMax = 255, kTitleMax = 255;
constexpr uint32_t kWeightMax = 100, kRetriesMax = 100;
// The store keeps times as 64-bit nanoseconds since 1970, which end on 2262-04-11 at 23:47:16.
constexpr int64_t kTimeSecondsMax = INT64_MAX / 1'000'000'000 - 1;

void CheckLabels(const v1::Experiment& experiment, const std::string& prefix,
                 Violations* violations) {
  if (static_cast<size_t>(experiment.labels_size()) > kLabelsMax) {
    violations->Add(prefix + "labels", absl::StrFormat("are %d, at most %d are allowed",
                                                       experiment.labels_size(), kLabelsMax));
    return;
  }
  for (const auto& [key, value] : experiment.labels()) {
    const std::string field = prefix + "labels." + key.substr(0, kLabelKeyMax);
    const bool legal = !key.empty() && key.size() <= kLabelKeyMax && absl::ascii_islower(key[0]) &&
                       std::all_of(key.begin(), key.end(), [](unsigned char c) {
                         return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                                absl::StrContains("-_./", static_cast<char>(c));
                       });
    if (!legal) {
      violations->Add(field,
                      absl::StrFormat("is not a key: give a letter, then letters, digits, - _ . "
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

void CheckSettings(const v1::Experiment& experiment, std::string_view begin,
                   Violations* violations) {
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
    const auto& time = experiment.deadline();
    if (time.seconds() <= 0 || time.nanos() < 0 || time.nanos() > 999'999'999) {
      violations->Add(prefix + "deadline", "is not a time after 1970");
    } else if (time.seconds() > kTimeSecondsMax) {
      violations->Add(prefix + "deadline",
                      "is after 2262-04-11, the last day that can be kept; give an earlier one, or "
                      "none");
    } else if (absl::FromUnixSeconds(time.seconds()) < absl::Now()) {
      violations->Add(prefix + "deadline", "is in the past; give a time to come, or none");
    }
  }
  if (experiment.retention().has_ttl()) {
    const auto& ttl = experiment.retention().ttl();
    if (ttl.seconds() < 0 || ttl.nanos() < 0 || ttl.nanos() > 999'999'999 ||
        ttl.seconds() > int64_t{3650} * 24 * 3600)
      violations->Add(prefix + "retention.ttl", "is not a span of 0 to 3650 days");
  }
}

}  // namespace mentor::meta_learner
