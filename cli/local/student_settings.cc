#include "cli/local/student_settings.h"

#include <algorithm>
#include <string_view>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "common/spec/spec.h"
#include "common/violations.h"
#include "meta_learner/experiment/checked_spec.h"
#include "methods/base/inner_loop.h"

namespace mentor {
namespace {

constexpr std::string_view kAgent = "agent.";

std::string SettingOf(const std::string& setting) {
  return setting.substr(0, setting.find('='));
}

absl::Status Refused(const Violations& violations) {
  const absl::Status plain = violations.ToStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--set does not fit these agents:\n  ",
                   absl::StrReplaceAll(plain.message(), {{"\n", "\n  "}})));
}

}  // namespace

absl::StatusOr<v1::AgentSpec> StudentsOf(const TrainedRun& run,
                                         const std::vector<std::string>& settings) {
  const auto* loop = methods::FindInnerLoop(methods::InnerLoopOf(run.spec.rule()).name());
  // A rule's own network teaches, too, where its loop says what its agents read.
  if (!run.state_hash.empty() && !run.parts.rule->needs().signal_network() &&
      loop->unread == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--set: rule '%s' has learned agents, and no signal that teaches others; "
                        "leave --set out",
                        run.spec.rule().name()));
  }
  v1::ExperimentSpec changed = run.spec;
  Violations violations;
  std::vector<std::string> own;
  for (const std::string& setting : settings) {
    if (setting.starts_with(kAgent)) {
      own.push_back(setting);
      continue;
    }
    violations.Add(SettingOf(setting),
                   "is no setting of an agent (agent.KEY), and what was learned depends on it; set "
                   "it in meta-training: mentor run --set");
  }
  if (CompleteSpec(own, &changed, &violations)) {
    CheckSpec(changed, &violations, [](const v1::ExperimentSpec& whole, Violations* found) {
      meta_learner::CheckParts(whole, found);
    });
  }
  if (!violations.empty()) return Refused(violations);
  return changed.agent();
}

absl::Status CheckRead(const v1::Shard& shard, const std::vector<std::string>& settings) {
  const std::vector<std::string> unread = methods::UnreadSettings(shard);
  const v1::ExperimentSpec& spec = shard.spec();
  const std::string why =
      absl::StrCat("is not read by these agents (rule '", spec.rule().name(), "', role ",
                   v1::SignalRole_Name(spec.signal().role()),
                   spec.agent().surrogate() == v1::DPO ? ", surrogate DPO" : "",
                   spec.agent().optimizer() == v1::SGD ? ", optimizer SGD" : "", "); leave it out");
  Violations violations;
  for (const std::string& setting : settings) {
    const std::string path = SettingOf(setting);
    if (std::ranges::find(unread, path.substr(kAgent.size())) != unread.end())
      violations.Add(path, why);
  }
  return violations.empty() ? absl::OkStatus() : Refused(violations);
}

}  // namespace mentor
