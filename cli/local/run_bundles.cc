#include "cli/local/run_bundles.h"

#include <algorithm>
#include <cstdio>
#include <system_error>

#include <absl/strings/str_cat.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/registry.h"
#include "common/spec/named_bundles.h"
#include "envs/environment.h"
#include "envs/wrapper.h"
#include "meta_learner/store/store.h"
#include "methods/base/outer_rule.h"

namespace mentor {
namespace {

// Sets the bundle of a benchmark, a set of tasks, a wrapper or a rule. Returns false when what this
// entry registers takes no bundle.
template <typename Entry, typename Part>
bool FillIn(const Entry* entry, const std::string& name, Part* part) {
  const bool takes = entry != nullptr && std::any_of(entry->options.begin(), entry->options.end(),
                                                     [](const OptionInfo& option) {
                                                       return option.name == kBundleOption;
                                                     });
  if (!takes) return false;
  for (const v1::Option& option : part->option()) {
    if (option.name() == kBundleOption) return true;
  }
  v1::Option& option = *part->add_option();
  option.set_name(kBundleOption);
  option.set_value(name);
  return true;
}

// Fills in the name of the only bundle. Wrappers take it if no environment does, and the rule takes
// it if no wrapper does.
bool FillInBenchmark(const std::string& name, v1::BenchmarkSpec* benchmark) {
  bool taken =
      FillIn(envs::FindEnvironment(benchmark->environment().empty() ? benchmark->name()
                                                                    : benchmark->environment()),
             name, benchmark);
  for (v1::TaskSetSpec& set : *benchmark->mutable_task_set())
    taken |= FillIn(envs::FindEnvironment(set.environment()), name, &set);
  if (taken) return true;
  const auto fill_in = [&](google::protobuf::RepeatedPtrField<v1::WrapperSpec>* wrappers) {
    for (v1::WrapperSpec& wrapper : *wrappers) {
      taken |=
          FillIn(Registry<envs::WrapperEntry>::Instance().Find(wrapper.name()), name, &wrapper);
    }
  };
  fill_in(benchmark->mutable_wrapper());
  for (v1::TaskSetSpec& set : *benchmark->mutable_task_set()) fill_in(set.mutable_wrapper());
  return taken;
}

std::filesystem::path PathOf(const std::string& value, const std::filesystem::path& spec_file) {
  std::error_code ignored;
  const std::filesystem::path beside = spec_file.parent_path() / value;
  return std::filesystem::is_directory(beside, ignored) ? beside : std::filesystem::path(value);
}

absl::StatusOr<BundleManifest> Offer(const std::filesystem::path& folder) {
  std::vector<std::string> left_out;
  auto manifest = OfferFolder(folder, &left_out);
  if (manifest.ok() && !left_out.empty())
    std::fprintf(stderr, "note: %s\n", LeftOutText(folder, left_out).c_str());
  return manifest;
}

absl::Status Prefixed(const std::string& field, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", status.message()));
}

}  // namespace

absl::StatusOr<bool> NameBundles(const std::vector<std::string>& folders,
                                 const std::filesystem::path& spec_file, v1::ExperimentSpec* spec) {
  std::vector<std::string> names;
  for (const std::string& folder : folders) {
    const auto manifest = Offer(folder);
    if (!manifest.ok()) return Prefixed("--bundle " + folder, manifest.status());
    names.push_back(BundleName(manifest->digest));
  }
  MENTOR_RETURN_IF_ERROR(EditBundles(spec, [&](std::string* value) -> absl::Status {
    const std::filesystem::path path = PathOf(*value, spec_file);
    std::error_code ignored;
    // Empty: this part takes a bundle, but brings none.
    if (value->empty() || !std::filesystem::is_directory(path, ignored)) return absl::OkStatus();
    const auto manifest = Offer(path);
    if (!manifest.ok()) return Prefixed("bundle " + path.string(), manifest.status());
    *value = BundleName(manifest->digest);
    return absl::OkStatus();
  }));
  if (names.size() > 1) {
    // With several bundles, the spec must say which environment takes which.
    const auto named = BundlesOf(*spec);
    for (size_t i = 0; i < names.size(); ++i) {
      if (named.contains(*ParseBundleName(names[i]))) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("--bundle ", folders[i], ": the spec does not name ", names[i],
                       "; of several bundles each stands in the option `bundle` of its "
                       "environment, wrapper or rule"));
    }
  } else if (names.size() == 1) {
    if (!FillInBenchmark(names[0], spec->mutable_benchmark()) &&
        !FillIn(Registry<methods::RuleEntry>::Instance().Find(spec->rule().name()), names[0],
                spec->mutable_rule())) {
      return absl::InvalidArgumentError(
          absl::StrCat("--bundle ", folders[0],
                       ": no environment, no wrapper and no rule of the spec takes a bundle; name "
                       "one that does, "
                       "for instance benchmark { name: \"single\" environment: \"mjcf\" }"));
    }
  }
  return !BundlesOf(*spec).empty();
}

void OfferRunBundles(const std::filesystem::path& state) {
  std::error_code ignored;
  const std::filesystem::path folder = state / meta_learner::kBundlesFolder;
  if (std::filesystem::is_directory(folder, ignored)) OfferBundlesIn(folder);
}

absl::StatusOr<std::shared_ptr<meta_learner::BundleShelf>> KeepRunBundles(
    const v1::ExperimentSpec& spec, const std::filesystem::path& state) {
  const auto digests = BundlesOf(spec);
  if (digests.empty()) return nullptr;
  MENTOR_ASSIGN_OR_RETURN(
      const std::shared_ptr<meta_learner::BundleShelf> shelf,
      meta_learner::BundleShelf::Open({.folder = state / meta_learner::kBundlesFolder}));
  for (const std::string& digest : digests) {
    if (shelf->Find(digest).ok()) continue;
    MENTOR_ASSIGN_OR_RETURN(const auto found, FindBundle(BundleName(digest)));
    MENTOR_RETURN_IF_ERROR(shelf->AddAll(found->manifest(),
                                         FolderSource(found->folder(), found->manifest()),
                                         std::string(meta_learner::kLocalOwner)));
  }
  // `mentor reproduce` makes several runs, each with its own shelf.
  AddBundleFinder([shelf](const std::string& digest) { return shelf->Find(digest); });
  return shelf;
}

}  // namespace mentor
