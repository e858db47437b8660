#include "tests/bench/bench.h"

#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "common/check.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/registry.h"
#include "envs/fingerprint.h"
#include "kernels/flags/device_flags.h"
#include "kernels/isa.h"
#include "tests/bench/rounds.h"
#include "mentor/local/processor.h"

namespace mentor::bench {
namespace {

using nlohmann::ordered_json;

// The flags that all measurements share, and the flags of single commands.
struct Flags {
  std::vector<const BenchEntry*> entries;
  // The flags that add_flags gave to each command, by the entry's name.
  std::map<std::string, std::vector<const CLI::Option*>> own;

  int rounds = 5;
  int threads = 1;
  learner::DeviceFlags device;
  bool json = false;
  bool one_round = false;
  std::vector<std::string> only;
  std::vector<std::string> peers;
  std::string peer_folder;
  double peer_deadline_s = 900;
};

// --- Programs ---

absl::StatusOr<const BenchEntry*> FindMeasurement(std::string_view flag, const std::string& name) {
  const auto& all = Registry<BenchEntry>::Instance();
  if (const BenchEntry* entry = all.Find(name)) return entry;
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(flag), ": ", all.Unknown("measurement", name)));
}

// Each measurement runs in its own process, so that it does not share memory and threads with
// others.
Program OurProgram(const Flags& flags, const BenchEntry& entry) {
  std::vector<std::string> command = {"/proc/self/exe", "bench",
                                      entry.name,       "--one_round",
                                      "--threads",      absl::StrCat(flags.threads),
                                      "--device",       flags.device.device};
  if (flags.device.memory_gb) {
    command.insert(command.end(), {"--device_memory_gb", absl::StrCat(*flags.device.memory_gb)});
  }
  command.insert(command.end(), {"--device_timeout_s", absl::StrCat(flags.device.timeout_s)});
  for (const CLI::Option* option : flags.own.at(entry.name)) {
    for (const std::string& value : option->results()) {
      command.push_back(option->get_name());
      command.push_back(value);
    }
  }
  return {.measurement = entry.name,
          .run = [command] { return RunCommand(command, std::chrono::seconds(0)); }};
}

Program PeerProgram(const Flags& flags, const std::string& measurement, const std::string& peer,
                    const std::string& shell) {
  return {
      .measurement = measurement, .peer = peer, .run = [shell, deadline = flags.peer_deadline_s] {
        return RunCommand({"/bin/sh", "-c", "exec " + shell},
                          std::chrono::duration<double>(deadline));
      }};
}

// Returns the executable files FOLDER/MEASUREMENT/NAME_peer.*, as commands by "MEASUREMENT/NAME".
absl::StatusOr<std::map<std::string, std::string>> PeersIn(const std::filesystem::path& folder) {
  std::map<std::string, std::string> commands;
  std::error_code error;
  for (const BenchEntry* entry : Registry<BenchEntry>::Instance().All()) {
    std::filesystem::directory_iterator files(folder / entry->name, error);
    for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
      const std::filesystem::path file = std::filesystem::absolute(files->path());
      std::string name = file.stem().string();
      if (!absl::EndsWith(name, "_peer") || !files->is_regular_file() ||
          access(file.c_str(), X_OK) != 0)
        continue;
      std::string quoted = "'";
      for (const char c : file.string())
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
      name.resize(name.size() - 5);
      commands[entry->name + "/" + name] = quoted + "'";
    }
  }
  if (commands.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--peers ", folder.string(),
        ": has no executable file MEASUREMENT/NAME_peer.*; deploy/bench of the sources has"));
  }
  return commands;
}

// Returns the measurements in the order of their names, each followed by its peers.
absl::StatusOr<std::vector<Program>> Programs(const Flags& flags) {
  std::vector<const BenchEntry*> chosen = flags.entries;
  if (!flags.only.empty()) {
    chosen.clear();
    for (const std::string& name : flags.only) {
      MENTOR_ASSIGN_OR_RETURN(const BenchEntry* entry, FindMeasurement("--only", name));
      if (std::find(chosen.begin(), chosen.end(), entry) == chosen.end()) chosen.push_back(entry);
    }
  }
  std::map<std::string, std::string> commands;
  if (!flags.peer_folder.empty()) {
    MENTOR_ASSIGN_OR_RETURN(commands, PeersIn(flags.peer_folder));
  }
  for (const std::string& peer : flags.peers) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(peer, absl::MaxSplits('=', 1));
    const std::pair<std::string, std::string> names =
        absl::StrSplit(parts.first, absl::MaxSplits('/', 1));
    if (names.first.empty() || names.second.empty() || parts.second.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--peer ", peer,
                       ": give MEASUREMENT/NAME=COMMAND, such as 'ppo/jax=python3 "
                       "deploy/bench/ppo/jax_peer.py'"));
    }
    MENTOR_ASSIGN_OR_RETURN(const BenchEntry* entry, FindMeasurement("--peer", names.first));
    if (std::find(chosen.begin(), chosen.end(), entry) == chosen.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--peer ", peer, ": ", entry->name, " is not measured here"));
    }
    commands[parts.first] = parts.second;
  }
  std::vector<Program> programs;
  for (const BenchEntry* entry : chosen) {
    programs.push_back(OurProgram(flags, *entry));
    for (const auto& [name, command] : commands) {
      const std::pair<std::string, std::string> names =
          absl::StrSplit(name, absl::MaxSplits('/', 1));
      if (names.first == entry->name)
        programs.push_back(PeerProgram(flags, names.first, names.second, command));
    }
  }
  return programs;
}

// --- Output ---

const char* IsaName() {
  return learner::CurrentIsa() == learner::Isa::kAvx512 ? "avx512" : "avx2";
}

// Describes the machine, the build and the settings of this run.
ordered_json Head(const learner::Device& device) {
#ifdef __clang__
  const char* compiler = "clang " __VERSION__;
#else
  const char* compiler = "g++ " __VERSION__;
#endif
  return {{"time", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone())},
          {"cpu", ProcessorName()},
          {"cores", std::thread::hardware_concurrency()},
          {"isa", IsaName()},
          {"device", device.name},
          {"versions",
           {{"mentor", std::string(kBuildVersion)},
            {"mujoco", envs::MujocoVersion()},
            {"libtorch", TORCH_VERSION},
            {"compiler", compiler}}}};
}

void PrintJson(ordered_json json, const Results& results) {
  for (const auto& [program, versions] : results.versions) {
    for (const auto& [name, version] : versions) json["versions"][program][name] = version;
  }
  json["rounds"] = ordered_json::array();
  for (const RoundFacts& round : results.rounds) {
    json["rounds"].push_back({{"seconds", round.seconds},
                              {"load_before", round.load_before},
                              {"load_after", round.load_after},
                              {"clock_mhz", round.clock_mhz}});
  }
  json["stopped"] = results.stopped;
  json["left_out"] = ordered_json::object();
  for (const auto& [program, why] : results.left_out)
    json["left_out"][program] = std::string(why.message());
  json["figures"] = ordered_json::object();
  for (const auto& [name, samples] : results.figures) {
    ordered_json& figure = json["figures"][name];
    figure = {{"median", samples.Median()},
              {"low", samples.Low()},
              {"high", samples.High()},
              {"unit", samples.unit}};
    if (!samples.goal.empty()) figure["goal"] = samples.goal;
    figure["values"] = samples.values;
  }
  std::printf("%s\n", json.dump(2).c_str());
}

void PrintTable(const ordered_json& head, const Results& results) {
  std::printf("%s, %d cores, %s, device %s\n", head["cpu"].get<std::string>().c_str(),
              head["cores"].get<int>(), head["isa"].get<std::string>().c_str(),
              head["device"].get<std::string>().c_str());
  for (const auto& [name, version] : head["versions"].items())
    std::printf("%s %s  ", name.c_str(), version.get<std::string>().c_str());
  for (const auto& [program, versions] : results.versions) {
    for (const auto& [name, version] : versions)
      std::printf("%s: %s %s  ", program.c_str(), name.c_str(), version.c_str());
  }
  std::printf("\n");
  for (const RoundFacts& round : results.rounds) {
    std::printf("round of %.0f s: load %.2f before, %.2f after; %.0f MHz\n", round.seconds,
                round.load_before, round.load_after, round.clock_mhz);
  }
  std::printf("%-58s %10s  %10s .. %-10s %-8s %s\n", "", "median", "quartiles", "", "", "");
  for (const auto& [name, samples] : results.figures) {
    std::printf("%-58s %10.4g  %10.4g .. %-10.4g %-8s %s\n", name.c_str(), samples.Median(),
                samples.Low(), samples.High(), samples.unit.c_str(), samples.goal.c_str());
  }
  for (const auto& [program, why] : results.left_out)
    std::printf("left out: %s: %s\n", program.c_str(), std::string(why.message()).c_str());
}

// --- Commands ---

int OneRound(const BenchEntry& entry, const Settings& settings) {
  absl::StatusOr<RoundReport> round = RoundReport();
  if (auto figures = entry.run(settings); figures.ok()) {
    round->figures = *std::move(figures);
  } else {
    round = figures.status();
  }
  if (!round.ok() && !absl::IsUnimplemented(round.status())) return Fail(round.status());
  std::printf("%s\n", ToJson(round).c_str());
  return kExitOk;
}

int Run(const Flags& flags) {
  Settings settings{.threads = flags.threads};
  if (settings.threads == 0)
    settings.threads = static_cast<int>(std::thread::hardware_concurrency());
  const absl::StatusOr<learner::Device> device = learner::OpenDevice(flags.device);
  if (!device.ok()) return Fail(device.status());
  settings.device = *device;
  if (flags.one_round) return OneRound(*flags.entries[0], settings);

  // For peers.
  setenv("MENTOR_BENCH_DEVICE", flags.device.device.c_str(), 1);
  const absl::StatusOr<std::vector<Program>> programs = Programs(flags);
  if (!programs.ok()) return Fail(programs.status());
  const ordered_json head = Head(settings.device);
  const Results results = RunRounds(*programs, flags.rounds, [](const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
  });
  if (flags.json) {
    PrintJson(head, results);
  } else {
    PrintTable(head, results);
  }
  return results.ok() ? kExitOk : kExitFailed;
}

void AddFlags(CLI::App* command, Flags* flags) {
  command->add_flag("--json", flags->json, "Print JSON, with every round's value");
  command
      ->add_option("--rounds", flags->rounds,
                   "Rounds: each measures everything once, so that what changes meanwhile concerns "
                   "all alike. Shown are medians and quartiles")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--threads", flags->threads,
                   "Threads, for measurements that can use several; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  learner::AddDeviceFlags(command, &flags->device);
  command->add_option(
      "--peer", flags->peers,
      "MEASUREMENT/NAME=COMMAND: another implementation, which measures one round and prints it "
      "(docs/performance.md#peers); several times for several");
  command->add_option("--peers", flags->peer_folder,
                      "A folder of peers, MEASUREMENT/NAME_peer.*, such as deploy/bench");
  command
      ->add_option("--peer_deadline", flags->peer_deadline_s,
                   "Seconds that a peer may take for a round; it is left out after that")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  for (const BenchEntry* entry : flags->entries) {
    const auto before = command->get_options();
    entry->add_flags(command);
    std::vector<const CLI::Option*>& own = flags->own[entry->name];
    for (const CLI::Option* option : command->get_options()) {
      if (std::find(before.begin(), before.end(), option) == before.end()) own.push_back(option);
    }
  }
}

void SetAction(CLI::App* command, const std::shared_ptr<Flags>& flags,
               std::function<int()>* action) {
  command->callback([flags, action] { *action = [flags] { return Run(*flags); }; });
}

}  // namespace

RegisterBench::RegisterBench(BenchEntry entry) {
  Registry<BenchEntry>::Instance().Add(std::move(entry));
}

void AddMeasurement(CLI::App* parent, const std::string& name, const BenchEntry* entry,
                    std::function<int()>* action) {
  CLI::App* command = parent->add_subcommand(name, entry->summary);
  const auto flags = std::make_shared<Flags>();
  flags->entries = {entry};
  AddFlags(command, flags.get());
  command->add_flag("--one_round", flags->one_round,
                    "Measure one round in this process and print it as a peer does");
  command->footer("Examples:\n  mentor " + parent->get_name() + " " + name + " --rounds 5 --json");
  SetAction(command, flags, action);
}

void AddCommand(CLI::App* app, std::function<int()>* action) {
  CLI::App* bench = app->add_subcommand("bench", "Measure speed, side by side with a reference");
  bench->require_subcommand(1);
  bench->footer(
      "Examples:\n  mentor bench lifetime\n  mentor bench rollout --threads 2 --json\n"
      "  mentor bench all --peers deploy/bench --json");

  CLI::App* all = bench->add_subcommand("all", "Everything, in interleaved rounds");
  const auto flags = std::make_shared<Flags>();
  flags->entries = Registry<BenchEntry>::Instance().All();
  AddFlags(all, flags.get());
  all->add_option("--only", flags->only, "Only these measurements, with commas between them")
      ->delimiter(',');
  all->footer(
      "Examples:\n  mentor bench all --only ppo,signal --rounds 9\n"
      "  PYTHONPATH=.deps/peers mentor bench all --peers deploy/bench --json");
  SetAction(all, flags, action);

  for (const BenchEntry* entry : Registry<BenchEntry>::Instance().All())
    AddMeasurement(bench, entry->name, entry, action);
}

}  // namespace mentor::bench
