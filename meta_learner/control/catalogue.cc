#include <algorithm>
#include <set>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/options.h"
#include "common/spec/ranges.h"
#include "common/status.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/wrapper.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/store/paging.h"
#include "methods/base/outer_rule.h"
#include "signals/signal_network.h"

namespace mentor::meta_learner {
namespace {

std::string HelpOf(const OptionInfo& option) {
  std::string help = option.help;
  if (!option.choices.empty()) {
    help += " (one of " + absl::StrJoin(option.choices, ", ") + ")";
  } else if (option.kind == OptionInfo::Kind::kText) {
    help += absl::StrFormat(" (%stext of at most %g bytes)", option.required ? "required, a " : "",
                            option.max);
  } else if (option.kind == OptionInfo::Kind::kNumber ||
             option.kind == OptionInfo::Kind::kInteger) {
    if (option.min > -1e299 && option.max < 1e299) {
      help += absl::StrFormat(" (%g to %g)", option.min, option.max);
    } else if (option.min > -1e299) {
      help += absl::StrFormat(" (at least %g)", option.min);
    } else if (option.max < 1e299) {
      help += absl::StrFormat(" (at most %g)", option.max);
    }
  }
  return help;
}

template <typename Entry>
const OptionTable& OptionsOf(const Entry& entry) {
  return entry.options;
}
OptionTable OptionsOf(const methods::RuleEntry& entry) {
  return methods::AllOptions(entry);
}

template <typename Entry>
void AddEntry(const std::string& kind, const Entry& of, v1::ListCatalogueResponse* response) {
  v1::CatalogueEntry& entry = *response->add_entries();
  entry.set_kind(kind);
  entry.set_name(of.name);
  entry.set_help(of.summary);
  for (const OptionInfo& option : OptionsOf(of)) {
    v1::CatalogueEntry::Setting& setting = *entry.add_settings();
    setting.set_name(option.name);
    setting.set_default_value(option.default_value);
    setting.set_help(HelpOf(option));
  }
}

}  // namespace

absl::StatusOr<v1::ListCatalogueResponse> ListCatalogue(const v1::ListCatalogueRequest& request) {
  static const std::set<std::string> kinds = {"benchmark", "curriculum", "environment",
                                              "rule",      "signal",     "wrapper"};
  if (!request.kind().empty() && !kinds.contains(request.kind())) {
    return BadField("kind",
                    absl::StrFormat("is '%s'; give one of %s, or leave it out",
                                    request.kind().substr(0, 60), absl::StrJoin(kinds, ", ")));
  }
  v1::ListCatalogueResponse response;
  const auto add = [&](const std::string& kind, const auto& entries) {
    if (!request.kind().empty() && request.kind() != kind) return;
    for (const auto* entry : entries) AddEntry(kind, *entry, &response);
  };
  add("benchmark", envs::Benchmarks());
  add("curriculum", Curricula());
  add("environment", envs::Catalogue());
  add("rule", methods::OuterRules());
  add("signal", signals::SignalNetworks());
  add("wrapper", envs::Wrappers());
  return response;
}

absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request) {
  Violations violations;
  const int page_size = PageSize(request.page_size(), &violations);
  uint32_t first = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &first))
    violations.Add("page_token", "is not one of this server's");
  // Check the ranges first: they bound the work below.
  Violations of_ranges;
  spec::CheckRanges(request.benchmark(), &of_ranges);
  violations.AddAll(of_ranges, "benchmark.");
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  const auto benchmark = envs::MakeBenchmark(request.benchmark(), &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  v1::ListTasksResponse response;
  size_t before = 0;  // Tasks of the sets before this one.
  size_t end = first + static_cast<size_t>(page_size);
  PageRoom room(page_size);
  for (const envs::Split split : {envs::Split::kTrain, envs::Split::kTest}) {
    for (const envs::TaskSet& set : benchmark->Tasks(split)) {
      // A set whose tasks are drawn anew each time takes one line.
      const size_t listed = std::max<size_t>(set.tasks.size(), 1);
      for (size_t at = std::max<size_t>(first, before); at < std::min(end, before + listed); ++at) {
        v1::TaskInfo task;
        task.set_name(absl::StrFormat("benchmarks/%s/tasks/%d", request.benchmark().name(), at));
        task.set_environment(set.name);
        task.set_split(split == envs::Split::kTrain ? "train" : "test");
        if (!set.tasks.empty()) {
          const v1::EnvironmentTask made = set.tasks[at - before];
          task.set_environment(made.environment());
          *task.mutable_parameters() = made.parameters();
        }
        if (!room.Take(task.ByteSizeLong())) end = at;
        if (at < end) *response.add_tasks() = std::move(task);
      }
      before += listed;
    }
  }
  response.set_total_size(static_cast<int>(before));
  if (end < before) response.set_next_page_token(absl::StrFormat("%d", end));
  return response;
}

}  // namespace mentor::meta_learner
