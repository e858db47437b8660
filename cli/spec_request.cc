#include "cli/spec_request.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "cli/local/local_run.h"
#include "cli/local/run_bundles.h"
#include "common/check.h"
#include "common/file.h"
#include "common/spec/experiment_text.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "envs/host/host_environment.h"
#include "envs/host/host_list.h"

namespace mentor {
namespace {

// Returns the --set flag that caused a violation of `field`; null when the spec's own text did.
const std::string* OverrideOf(const std::vector<std::string>& overrides, const std::string& field) {
  // "rule.option.k" and "rule.k" name the same field.
  const auto path_of = [](const std::string& text) {
    return absl::StrReplaceAll(text.substr(0, text.find('=')), {{".option.", "."}});
  };
  const auto found =
      std::find_if(overrides.rbegin(), overrides.rend(),
                   // The last --set wins.
                   [&](const std::string& one) { return path_of(one) == path_of(field); });
  return found == overrides.rend() ? nullptr : &*found;
}

}  // namespace

void AddSpecFlags(CLI::App* command, SpecFlags* flags) {
  command
      ->add_option("SPEC", flags->spec,
                   "The experiment: a file in protobuf's text format or in YAML (.yaml, .yml), or "
                   "the name of a spec that comes with Mentor (--list)")
      ->type_name("SPEC:FILE");
  command
      ->add_option("--set", flags->overrides,
                   "Change a setting of the spec, for instance --set rule.outer_updates=10")
      ->allow_extra_args(false);
  command
      ->add_option("--bundle", flags->bundles,
                   "Folder of a model and its task, for a spec whose environment takes a bundle. "
                   "Its name, sha256:HEX, goes into the spec, and a copy into the run folder")
      ->type_name("DIR")
      ->allow_extra_args(false);
  AddSimulatorFlags(command, &flags->simulators);
}

int Refuse(const SpecFlags& flags, const Violations& violations) {
  std::string lines;
  bool flags_alone = true;
  for (const Violation& violation : violations.list()) {
    const std::string* override_text = OverrideOf(flags.overrides, violation.field);
    const std::string field =
        override_text == nullptr ? violation.field : "--set " + *override_text;
    flags_alone &= field.starts_with("--set");
    absl::StrAppend(&lines, "  ", field, ": ", violation.description, "\n");
  }
  const std::string& origin = flags.from.empty() ? flags.spec : flags.from;
  std::fprintf(stderr,
               flags_alone ? "error: --set does not fit %s:\n%s" : "error: %s cannot be run:\n%s",
               origin.c_str(), lines.c_str());
  return kExitUsage;
}

std::filesystem::path FolderOf(const SpecFlags& flags, const SpecRequest& request,
                               const v1::ExperimentSpec& spec) {
  return flags.out.empty() ? DefaultRunFolder(request.origin, spec)
                           : std::filesystem::path(flags.out);
}

absl::Status ReadRequest(const SpecFlags& flags, SpecRequest* request, Violations* violations) {
  MENTOR_RETURN_IF_ERROR(envs::AllowSimulators(flags.simulators.hosts, flags.simulators.timeout_s));
  v1::ExperimentSpec given;
  bool is_read = false;
  if (flags.from.empty()) {
    MENTOR_ASSIGN_OR_RETURN(request->origin, FindSpec(flags.spec));
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(request->origin, kSpecBytesMax));
    if (LooksLikeExperiment(request->origin, text)) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags.spec, " is an experiment for 'mentorctl apply -f ", flags.spec,
                       "'; 'mentor run' takes a spec alone: the text inside spec { }"));
    }
    is_read = ReadSpec(text, flags.overrides, &given, violations, request->origin);
  } else {
    MENTOR_ASSIGN_OR_RETURN(request->branch, ReadBranch(flags.from));
    request->origin = request->branch->run;
    if (!request->origin.has_filename()) request->origin = request->origin.parent_path();
    given = request->branch->spec;
    is_read = CompleteSpec(flags.overrides, &given, violations);
  }
  if (!is_read) return absl::OkStatus();
  // Resolve bundles and simulators first, because the parts' requirements depend on them.
  Violations early = *violations;
  CheckSpec(given, &early);
  if (early.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const bool named, NameBundles(flags.bundles, request->origin, &given));
    // Use the run's own copies of bundles, when it continues without their folders.
    if (named) OfferRunBundles(FolderOf(flags, *request, given));
    MENTOR_RETURN_IF_ERROR(envs::LearnFacts(given.mutable_benchmark()).status());
  }
  auto checked = meta_learner::Check(given, violations);
  if (!checked) return absl::OkStatus();
  request->checked = *std::move(checked);
  if (request->branch) CheckBranch(*request->branch, request->checked.spec, violations);
  return absl::OkStatus();
}

std::string ShellWord(const std::string& word) {
  const bool plain = std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_-./=:,+@%").find(c) != std::string_view::npos;
  });
  if (plain && !word.empty()) return word;
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

std::string ShellFlags(const std::string& flag, const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) absl::StrAppend(&text, " ", flag, " ", ShellWord(value));
  return text;
}

}  // namespace mentor
