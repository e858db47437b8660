#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/commands.h"
#include "cli/env_subject.h"
#include "cli/templates/embedded.h"
#include "cli/templates/fill.h"
#include "cli/templates/own_model.h"
#include "cli/templates/sizes.h"
#include "common/check.h"
#include "common/hosts.h"
#include "common/lifecycle.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/status.h"
#include "envs/host/host_facts.h"
#include "envs/promises.h"

namespace mentor {
namespace {

using templates::Files;
using templates::Fill;
using templates::Places;

constexpr size_t kNameBytesMax = 40;
constexpr int kEpisodeSteps = 10;  // In the templates' own tasks.

struct NewFlags {
  std::string folder, name;
  std::string model, site;  // robot
  std::string id;           // gym
  SimulatorFlags hosts;
};

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && absl::ascii_islower(name[0]) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

// The name of the new files: --name, or the folder's with '_' for what a name cannot have.
absl::StatusOr<std::string> NameOf(const NewFlags& flags) {
  std::string name = flags.name;
  if (name.empty()) {
    std::error_code error;
    std::filesystem::path folder =
        std::filesystem::absolute(flags.folder, error).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    name = absl::AsciiStrToLower(folder.filename().string());
    for (char& c : name) {
      if (c == '-' || c == ' ' || c == '.') c = '_';
    }
  }
  if (IsName(name)) return name;
  const std::string rule = absl::StrFormat(
      "give a lower-case letter, then letters, digits and '_', %d in all at most", kNameBytesMax);
  if (!flags.name.empty()) return BadFlag("--name", name, rule);
  return BadFlag(
      "--name", "",
      absl::StrCat("is missing, and the folder's name, ", name, ", is none for files: ", rule));
}

void AddLearning(const templates::TaskFacts& facts, Places* places) {
  for (const auto& [name, value] : templates::SizesFor(facts)) (*places)[name] = value;
  std::string learning(templates::kLearning);
  while (learning.ends_with('\n')) learning.pop_back();
  (*places)["learning"] = Fill(learning, *places);
}

absl::StatusOr<Files> RobotFiles(const NewFlags& flags, const std::string& name) {
  if (flags.model.empty() && !flags.site.empty())
    return BadFlag("--site", flags.site, "names a part of --model; give a model too");
  Places places = {{"name", name}};
  if (flags.model.empty()) {
    AddLearning({.episode_steps = kEpisodeSteps}, &places);
    return Files{{absl::StrCat("bundle/", name, ".xml"), Fill(templates::kRobotModel, places)},
                 {"bundle/task.txtpb", Fill(templates::kRobotTask, places)},
                 {name + ".txtpb", Fill(templates::kRobotSpec, places)},
                 {"README.md", Fill(templates::kRobotReadme, places)}};
  }
  MENTOR_ASSIGN_OR_RETURN(templates::OwnModel own,
                          templates::ReadOwnModel(flags.model, flags.site));
  places.merge(own.places);
  AddLearning({.episode_steps = own.episode_steps}, &places);
  Files files;
  for (auto& [path, text] : own.files) files[absl::StrCat("bundle/", path)] = std::move(text);
  files["bundle/task.txtpb"] = Fill(templates::kOwnModelTask, places);
  files[name + ".txtpb"] = Fill(templates::kRobotSpec, places);
  files["README.md"] = Fill(templates::kOwnModelReadme, places);
  return files;
}

std::string OptionLine(const std::string& name, const std::string& value) {
  return absl::StrFormat("  %s: \"%s\"\n", name, value);
}

// The word of a shell for this text.
std::string Quoted(const std::string& text) {
  return absl::StrFormat("\"%s\"", text);
}

// Simulators rarely know whether a step may ever report success. So random actions look, for some
// episodes. Returns the steps if none succeeds, else 0.
absl::StatusOr<int> StepsWithoutSuccess(const v1::EnvironmentFacts& facts,
                                        const std::string& environment,
                                        const EnvironmentOptions& options) {
  constexpr int kStepsMin = 1000, kStepsMax = 10'000;
  if (!facts.has_success()) return 0;
  const int steps = std::clamp(2 * static_cast<int>(facts.episode_steps()), kStepsMin, kStepsMax);
  const auto random = envs::CheckManySteps(
      envs::SubjectOf(*envs::FindEnvironment(environment), options, {}), steps);
  if (!random.complaints.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the environment breaks in random steps: ", random.complaints[0],
                     "; 'mentor env check' says more"));
  }
  return random.successes > 0 ? 0 : random.steps;
}

// A spec for an environment that exists, from the facts that its simulator states.
absl::StatusOr<Files> KnownGymFiles(const NewFlags& flags, const std::string& name) {
  const auto legal = [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("_-.:/", static_cast<char>(c));
  };
  if (!std::all_of(flags.id.begin(), flags.id.end(), legal) || flags.id.size() > 200)
    return BadFlag("--id", flags.id, "give what gymnasium.make takes, for instance FetchReach-v4");
  SimulatorFlags hosts = flags.hosts;
  if (hosts.hosts.empty()) hosts.hosts = {"gym=python3 -m mentor_env"};
  if (hosts.hosts.size() > 1)
    return BadFlag("--simulator", hosts.hosts[1], "is the second one; give one");
  if (hosts.hosts[0].find_first_of("\"$`\\!\n") != std::string::npos) {
    return BadFlag("--simulator", hosts.hosts[0],
                   "has characters that the README could not quote; put the command into a script");
  }
  EnvironmentOptions options;
  v1::Option* id = options.Add();
  id->set_name("id");
  id->set_value(flags.id);
  std::string environment;
  if (const absl::Status status = TakeSimulators(hosts, &environment, &options); !status.ok()) {
    return WithSuffix(status,
                      "; --simulator names a command that serves it, with the package mentor_env "
                      "(docs/own_environments.md)");
  }
  std::string text;
  for (const v1::Option& option : options) {
    if (option.name() == kFactsOption) text = option.value();
  }
  MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentFacts facts, envs::ParseFacts(text));
  MENTOR_ASSIGN_OR_RETURN(const int silent, StepsWithoutSuccess(facts, environment, options));
  const std::string host = hosts.hosts[0].substr(0, hosts.hosts[0].find('='));
  Places places = {{"name", name},
                   {"id", flags.id},
                   {"title", flags.id},
                   {"simulator", absl::StrCat("--simulator ", Quoted(hosts.hosts[0]))},
                   {"options", OptionLine("host", host) + OptionLine("id", flags.id)}};
  AddLearning({.episode_steps = static_cast<int>(facts.episode_steps()),
               .draws_tasks = facts.parameters_size() > 0,
               .has_success = facts.has_success(),
               .steps_without_success = silent},
              &places);
  return Files{{name + ".txtpb", Fill(templates::kGymSpec, places)},
               {"README.md", Fill(templates::kKnownGymReadme, places)}};
}

absl::StatusOr<Files> GymFiles(const NewFlags& flags, const std::string& name) {
  if (!flags.id.empty()) return KnownGymFiles(flags, name);
  if (!flags.hosts.hosts.empty()) {
    return BadFlag("--simulator", flags.hosts.hosts[0],
                   "serves an environment that exists; give its --id too");
  }
  // The module's name is no keyword of Python and no package's.
  Places places = {{"name", name},
                   {"module", name + "_world"},
                   {"id", name + "-v0"},
                   {"title", "the environment of " + name + "_world.py"},
                   {"options", OptionLine("host", "gym") + OptionLine("id", name + "-v0") +
                                   "  # All episodes have the same length and depend on their "
                                   "seed alone.\n  independent_episodes: true\n"}};
  AddLearning({.episode_steps = kEpisodeSteps, .draws_tasks = false}, &places);
  return Files{{name + "_world.py", Fill(templates::kGymModule, places)},
               {name + ".txtpb", Fill(templates::kGymSpec, places)},
               {"README.md", Fill(templates::kGymReadme, places)}};
}

absl::StatusOr<Files> BenchmarkFiles(const NewFlags&, const std::string& name) {
  Places places = {
      {"name", name},
      {"environment",
       absl::StrFormat("dt: 0.12\n    episode_steps: %d\n    view: visible", kEpisodeSteps)}};
  AddLearning({.episode_steps = kEpisodeSteps, .goals = 130}, &places);
  return Files{{name + ".txtpb", Fill(templates::kBenchmarkSpec, places)},
               {"README.md", Fill(templates::kBenchmarkReadme, places)}};
}

using MakeFiles = absl::StatusOr<Files> (*)(const NewFlags& flags, const std::string& name);

int RunNew(const NewFlags& flags, MakeFiles make) {
  ExitOnStopSignal();  // A simulator ends with this process, and nothing is written before.
  const auto files = [&]() -> absl::StatusOr<Files> {
    MENTOR_RETURN_IF_ERROR(templates::CheckNewFolder(flags.folder));
    MENTOR_ASSIGN_OR_RETURN(const std::string name, NameOf(flags));
    return make(flags, name);
  }();
  if (!files.ok()) return Fail(files.status());
  if (const absl::Status status = templates::WriteNewFolder(flags.folder, *files); !status.ok())
    return Fail(status);
  std::printf("%s:\n", flags.folder.c_str());
  constexpr size_t kShown = 8;
  size_t shown = 0;
  for (const auto& [path, text] : *files) {
    if (shown++ < kShown) std::printf("  %s\n", path.c_str());
  }
  if (shown > kShown) std::printf("  and %zu more files\n", shown - kShown);
  std::printf("Next         README.md has five commands, and what to change first\n");
  return kExitOk;
}

std::pair<CLI::App*, NewFlags*> AddKind(CLI::App* parent, Action* action, const std::string& kind,
                                        const std::string& summary, MakeFiles make) {
  const auto added = AddCommand<NewFlags>(
      parent, action, kind, summary, [make](const NewFlags& flags) { return RunNew(flags, make); });
  const auto [command, flags] = added;
  command->add_option("DIR", flags->folder, "Folder to write; it must not exist, or be empty")
      ->type_name("DIR")
      ->required();
  command->add_option("--name", flags->name,
                      "Name of the new files: lower-case letters, digits and '_'; default: the "
                      "folder's name");
  return added;
}

}  // namespace

void AddNewCommand(CLI::App* app, Action* action) {
  CLI::App* command = app->add_subcommand(
      "new", "Write a folder with a task, a spec and a README that work at once");
  command->require_subcommand(1);
  const auto [robot, own] =
      AddKind(command, action, "robot", "A robot in MuJoCo with a task of your own", RobotFiles);
  robot
      ->add_option("--model", own->model,
                   "A model of your own in MJCF; what its actuators, joints and sites suggest is "
                   "filled into the task")
      ->type_name("FILE");
  robot->add_option(
      "--site", own->site,
      "Site, body, geom, hinge or slide of the model that is to reach a place; default: "
      "one that looks like the robot's end and moves");
  robot->footer(
      "Examples:\n"
      "  mentor new robot my_robot\n"
      "  mentor new robot my_arm --model arm.xml --site gripper\n"
      "docs/own_tasks.md explains the task's file.");
  const auto [gym, flags] =
      AddKind(command, action, "gym", "An environment of Gymnasium in Python", GymFiles);
  gym->add_option("--id", flags->id,
                  "An environment that exists, as gymnasium.make takes it: the spec is made from "
                  "its facts");
  AddSimulatorFlags(gym, &flags->hosts);
  gym->footer(
      "Examples:\n"
      "  mentor new gym my_world\n"
      "  mentor new gym reach --id FetchReach-v4\n"
      "  mentor new gym boat --id Boat-v0 --simulator 'gym=python3 -m mentor_env --import boat'\n"
      "docs/own_environments.md explains simulators.");
  AddKind(command, action, "benchmark", "A benchmark with training and test tasks of your own",
          BenchmarkFiles)
      .first->footer(
          "Example:\n"
          "  mentor new benchmark my_tasks\n"
          "docs/benchmarks.md explains the fields.");
  command->footer(
      "Examples:\n"
      "  mentor new robot my_robot; cd my_robot; mentor env check bundle\n"
      "  mentor new gym my_world\n"
      "  mentor new benchmark my_tasks");
}

}  // namespace mentor
