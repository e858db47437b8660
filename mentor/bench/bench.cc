#include "mentor/bench/bench.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/registry.h"

namespace mentor::bench {
namespace {

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

void PrintJson(const std::string& name, const Figures& figures) {
  nlohmann::ordered_json json = {{"bench", name},
                                 {"build", kBuildVersion},
                                 {"cpu", CpuModel()},
                                 {"cores", std::thread::hardware_concurrency()}};
  for (const auto& [key, figure] : figures) {
    json["figures"][key] = {{"value", figure.value}, {"unit", figure.unit}};
    if (!figure.goal.empty()) json["figures"][key]["goal"] = figure.goal;
  }
  std::printf("%s\n", json.dump(2).c_str());
}

void PrintTable(const std::string& name, const Figures& figures) {
  std::printf("%s on %s, %u cores\n", name.c_str(), CpuModel().c_str(),
              std::thread::hardware_concurrency());
  for (const auto& [key, figure] : figures) {
    std::printf("  %-44s %12.4g %-10s %s\n", key.c_str(), figure.value, figure.unit.c_str(),
                figure.goal.c_str());
  }
}

}  // namespace

RegisterBench::RegisterBench(BenchEntry entry) {
  Registry<BenchEntry>::Instance().Add(std::move(entry));
}

void AddMeasurement(CLI::App* parent, const std::string& name, const BenchEntry* entry,
                    std::function<int()>* action) {
  static Settings settings;
  static bool json = false;
  CLI::App* command = parent->add_subcommand(name, entry->summary);
  command->add_flag("--json", json, "Print JSON");
  command->add_option("--rounds", settings.rounds, "Rounds, interleaved; medians are shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--threads", settings.threads,
                   "Threads, for measurements that can use several; 0: all cores")
      ->check(CLI::Range(0, 1024));
  entry->add_flags(command);
  command->footer("Examples:\n  mentor " + parent->get_name() + " " + name + " --rounds 5 --json");
  command->callback([entry, action] {
    *action = [entry] {
      if (settings.threads == 0)
        settings.threads = static_cast<int>(std::thread::hardware_concurrency());
      const auto figures = entry->run(settings);
      if (!figures.ok()) return Fail(figures.status());
      if (json) {
        PrintJson(entry->name, *figures);
      } else {
        PrintTable(entry->name, *figures);
      }
      return static_cast<int>(kExitOk);
    };
  });
}

void AddCommand(CLI::App* app, std::function<int()>* action) {
  CLI::App* bench = app->add_subcommand("bench", "Measure speed, side by side with a reference");
  bench->require_subcommand(1);
  bench->footer("Examples:\n  mentor bench lifetime\n  mentor bench rollout --threads 2 --json");
  for (const BenchEntry* entry : Registry<BenchEntry>::Instance().All())
    AddMeasurement(bench, entry->name, entry, action);
}

}  // namespace mentor::bench
