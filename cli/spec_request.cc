#include "cli/spec_request.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

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

// Returns the --set flag that names another part, such as a rule, than that of the spec whose
// option `field` is; null where there is none.
const std::string* OtherPart(const std::vector<std::string>& overrides,
                             const Violation& violation) {
  const size_t end = violation.field.find(".option.");
  if (end == std::string::npos || !violation.description.starts_with("unknown option"))
    return nullptr;
  return OverrideOf(overrides, violation.field.substr(0, end) + ".name");
}

// One line for all options that the spec has for another part: no --set removes them.
std::string OfOtherPart(const std::string& spec, const std::string& override_text,
                        const std::vector<std::string>& options) {
  const std::vector<std::string> part = absl::StrSplit(override_text, absl::MaxSplits('=', 1));
  const std::string group = part[0].substr(0, part[0].rfind('.'));
  return absl::StrCat("  --set ", override_text, ": keeps the options of ", spec,
                      "'s own, which this one lacks (", absl::StrJoin(options, ", "),
                      "); write a file that begins without them: base: \"", spec, "\" ", group,
                      " { name: \"", part.back(), "\" }\n");
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
  std::map<std::string, std::vector<std::string>> of_other;  // By the --set flag.
  for (const Violation& violation : violations.list()) {
    const std::string* part = flags.from.empty() ? OtherPart(flags.overrides, violation) : nullptr;
    if (part != nullptr && OverrideOf(flags.overrides, violation.field) == nullptr) {
      of_other[*part].push_back(violation.field.substr(violation.field.rfind('.') + 1));
      continue;
    }
    const std::string* override_text = OverrideOf(flags.overrides, violation.field);
    const std::string field =
        override_text == nullptr ? violation.field : "--set " + *override_text;
    flags_alone &= field.starts_with("--set");
    absl::StrAppend(&lines, "  ", field, ": ", violation.description, "\n");
  }
  for (const auto& [override_text, options] : of_other)
    lines += OfOtherPart(flags.spec, override_text, options);
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
