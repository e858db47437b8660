// Tasks of bundles against the same tasks in C++ (docs/performance.md, `mjcf`): the cost of the
// expressions of task.txtpb.
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/child_process.h"
#include "common/temporary_folder.h"
#include "tests/bench/bench.h"
#include "tests/bench/environment_rounds.h"

namespace mentor::bench {
namespace {

constexpr std::pair<const char*, const char*> kBundlesOf[] = {
    {"Reacher-v5", "reacher"},
    {"InvertedPendulum-v5", "inverted_pendulum"},
    {"reach-v3", "reach"},
};
constexpr std::chrono::seconds kAssembly(60);

std::string bundles = MENTOR_SOURCE_BUNDLES;

// Assembles an example in a folder, and returns the name under which it is found from then on.
absl::StatusOr<std::string> TakeExample(const std::string& name,
                                        const std::filesystem::path& folder) {
  const std::filesystem::path script = std::filesystem::path(bundles) / "assemble.py";
  if (!std::filesystem::exists(script)) {
    return absl::UnimplementedError(absl::StrCat(script.string(),
                                                 " is not there: the examples are "
                                                 "in Mentor's sources; give --bundles"));
  }
  const std::string out = folder / name;
  MENTOR_ASSIGN_OR_RETURN(
      const auto child, ChildProcess::Start({.command = {"python3", script.string(), name, out}}));
  MENTOR_ASSIGN_OR_RETURN(const int status, child->Wait(kAssembly));
  if (status != 0) {
    return absl::UnimplementedError(absl::StrCat("'", script.string(), " ", name, "' ended with ",
                                                 status, ": run it to see why"));
  }
  MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(out));
  return BundleName(manifest.digest);
}

absl::StatusOr<Figures> RunMjcf(const Settings&) {
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder,
                          TemporaryFolder::Create("mentor-bench-mjcf"));
  Figures figures;
  for (const auto& [native, name] : kBundlesOf) {
    MENTOR_ASSIGN_OR_RETURN(const std::string bundle, TakeExample(name, folder.path()));
    Contestant own{.environment = "mjcf"};
    v1::Option* option = own.options.Add();
    option->set_name("bundle");
    option->set_value(bundle);
    MENTOR_ASSIGN_OR_RETURN(const PairBench pair, BenchPair({.environment = native}, own));
    figures[absl::StrCat("speed/", native)] = {pair.first_us / pair.second_us, "ratio",
                                               "must 0.80, goal 0.90"};
    figures[absl::StrCat("native_us/", native)] = {pair.first_us, "us"};
    figures[absl::StrCat("bundle_us/", native)] = {pair.second_us, "us"};
  }
  return figures;
}

const RegisterBench register_mjcf({.name = "mjcf",
                                   .summary = "Tasks of bundles against the same tasks in C++",
                                   .run = RunMjcf,
                                   .add_flags = [](CLI::App* command) {
                                     command
                                         ->add_option("--bundles", bundles,
                                                      "Where the examples and assemble.py are")
                                         ->capture_default_str();
                                   }});

}  // namespace
}  // namespace mentor::bench
