#include "cli/env_subject.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/hosts.h"
#include "common/printable.h"
#include "common/spec/named_bundles.h"
#include "envs/environment.h"
#include "envs/host/host_environment.h"
#include "envs/host/host_list.h"

namespace mentor {
namespace {

constexpr char kBundleEnvironment[] = "mjcf";

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

// True if `name` is a path, or names an existing file.
bool IsPath(const std::string& name) {
  std::error_code error;
  return name.find('/') != name.npos || std::filesystem::exists(name, error);
}

}  // namespace

absl::Status BadFlag(const std::string& flag, const std::string& value, const std::string& remedy) {
  return absl::InvalidArgumentError(absl::StrCat(flag, " ", value, ": ", remedy));
}

absl::StatusOr<v1::Option> ParseOption(const std::string& flag, const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.first.empty() || parts.second.empty()) return BadFlag(flag, text, "give NAME=VALUE");
  v1::Option option;
  option.set_name(parts.first);
  option.set_value(parts.second);
  return option;
}

absl::StatusOr<v1::WrapperSpec> ParseWrapper(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  v1::WrapperSpec wrapper;
  wrapper.set_name(parts.first);
  for (const auto part : absl::StrSplit(parts.second, ',', absl::SkipEmpty())) {
    MENTOR_ASSIGN_OR_RETURN(*wrapper.add_option(), ParseOption("--wrapper", std::string(part)));
  }
  return wrapper;
}

absl::StatusOr<EnvironmentOptions> TakeEnvironment(std::string* name,
                                                   const std::vector<std::string>& options) {
  EnvironmentOptions taken;
  for (const std::string& option : options) {
    MENTOR_ASSIGN_OR_RETURN(*taken.Add(), ParseOption("--option", option));
  }
  if (envs::FindEnvironment(*name) == nullptr && IsFolder(*name)) {
    v1::Option* bundle = taken.Add();
    bundle->set_name(kBundleOption);
    bundle->set_value(*name);
    *name = kBundleEnvironment;
  } else if (envs::FindEnvironment(*name) == nullptr && IsPath(*name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", Printable(*name), "' is no folder; give the one with task.txtpb of a bundle"));
  }
  if (*name != kBundleEnvironment) return taken;
  for (v1::Option& option : taken) {
    if (option.name() != kBundleOption || !IsFolder(option.value())) continue;
    MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(option.value()));
    option.set_value(BundleName(manifest.digest));
  }
  return taken;
}

absl::Status TakeSimulators(const SimulatorFlags& flags, std::string* name,
                            EnvironmentOptions* options) {
  MENTOR_RETURN_IF_ERROR(envs::AllowSimulators(flags.hosts, flags.timeout_s));
  const std::vector<std::string> names = envs::SimulatorNames();
  if (name->empty() && names.size() == 1) {
    *name = std::string(kHostEnvironment);
    v1::Option* host = options->Add();
    host->set_name(std::string(kHostOption));
    host->set_value(names.front());
  }
  v1::BenchmarkSpec benchmark;
  benchmark.set_environment(*name);
  *benchmark.mutable_option() = *options;
  MENTOR_RETURN_IF_ERROR(envs::LearnFacts(&benchmark).status());
  *options = benchmark.option();
  return absl::OkStatus();
}

}  // namespace mentor
