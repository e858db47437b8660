// mentor-bench: one round of one measurement, as one line of JSON. tests/bench/run.py starts it.
#include <torch/version.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "agents/numerics.h"
#include "common/log.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "envs/fingerprint.h"
#include "kernels/flags/device_flags.h"
#include "kernels/isa.h"
#include "tests/bench/bench.h"

namespace mentor::bench {
namespace {

using Measure = std::function<absl::StatusOr<Figures>(const Settings&)>;
const std::map<std::string, Measure> kMeasurements = {
    {"env", MeasureEnv},   {"host", MeasureHost},     {"lifetime", MeasureLifetime},
    {"loop", MeasureLoop}, {"memory", MeasureMemory}, {"meta_gradient", MeasureMetaGradient},
    {"ppo", MeasurePpo},   {"signal", MeasureSignal}};

nlohmann::ordered_json Versions(const kernels::Device& device) {
#ifdef __clang__
  const char* compiler = "clang " __VERSION__;
#else
  const char* compiler = "g++ " __VERSION__;
#endif
  return {{"mentor", std::string(kBuildVersion)},
          {"mujoco", envs::MujocoVersion()},
          {"libtorch", TORCH_VERSION},
          {"compiler", compiler},
          {"isa", kernels::CurrentIsa() == kernels::Isa::kAvx512 ? "avx512" : "avx2"},
          {"device", device.name}};
}

int Main(int argc, char** argv) {
  CLI::App app("Measures one round of one thing, and prints it as one line of JSON.");
  std::vector<std::string> names;
  for (const auto& [name, measure] : kMeasurements) names.push_back(name);
  std::string name;
  app.add_option("measurement", name, "What to measure")->required()->check(OneOf(names));
  Settings settings;
  app.add_option(
         "--environments", settings.environments,
         "For env, host and loop: only these, with commas between them; a folder is a bundle")
      ->delimiter(',');
  kernels::DeviceFlags device;
  kernels::AddDeviceFlags(&app, &device);
  app.footer(
      "Example:\n  mentor-bench env --environments Hopper-v5\n"
      "  tests/bench/run.py ppo signal --rounds 9");
  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  if (const absl::Status status = agents::FixNumerics(); !status.ok()) return Fail(status);
  log::Init({.format = log::Format::kText, .least = log::Severity::kWarning, .logger = "bench"});
  if (auto opened = kernels::OpenDevice(device); opened.ok()) {
    settings.device = *opened;
  } else {
    return Fail(opened.status());
  }

  const absl::StatusOr<Figures> figures = kMeasurements.at(name)(settings);
  nlohmann::ordered_json json;
  if (figures.ok()) {
    for (const auto& [figure_name, figure] : *figures)
      json["figures"][figure_name] = {{"value", figure.value}, {"unit", figure.unit}};
    json["versions"] = Versions(settings.device);
  } else if (absl::IsUnimplemented(figures.status())) {
    json["none"] = std::string(figures.status().message());
  } else {
    return Fail(figures.status());
  }
  std::printf("%s\n", json.dump().c_str());
  return kExitOk;
}

}  // namespace
}  // namespace mentor::bench

int main(int argc, char** argv) {
  return mentor::bench::Main(argc, argv);
}
