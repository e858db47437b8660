#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/env_subject.h"
#include "common/check.h"
#include "common/child_process.h"
#include "common/lifecycle.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "envs/promises.h"

namespace mentor {
namespace {

constexpr std::chrono::seconds kOtherProcess(300);

struct CheckFlags {
  std::string name;
  std::vector<std::string> options, wrappers;
  SimulatorFlags hosts;
  bool json = false;
  bool digest = false;
};

// Returns the digest of an episode as computed by another process of this program.
absl::StatusOr<std::string> AskAnotherProcess(const CheckFlags& flags) {
  // It ends with this process.
  std::vector<std::string> command = {"setpriv",
                                      "--pdeathsig",
                                      "KILL",
                                      "--",
                                      std::filesystem::read_symlink("/proc/self/exe").string(),
                                      "env",
                                      "check",
                                      "--digest"};
  if (!flags.name.empty()) command.push_back(flags.name);
  for (const std::string& host : flags.hosts.hosts)
    command.insert(command.end(), {"--simulator", host});
  command.insert(command.end(), {"--host_timeout_s", absl::StrCat(flags.hosts.timeout_s)});
  for (const std::string& option : flags.options)
    command.insert(command.end(), {"--option", option});
  for (const std::string& wrapper : flags.wrappers)
    command.insert(command.end(), {"--wrapper", wrapper});
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError("no pipe to a process");
  auto child = ChildProcess::Start({.command = command, .output = ends[1], .group = true});
  close(ends[1]);
  const absl::Cleanup close_pipe = [&] { close(ends[0]); };
  MENTOR_RETURN_IF_ERROR(child.status());
  std::string printed;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof(buffer))) > 0;)
    printed.append(buffer, static_cast<size_t>(count));
  MENTOR_ASSIGN_OR_RETURN(const int status, (*child)->Wait(kOtherProcess));
  while (printed.ends_with('\n')) printed.pop_back();
  if (status != 0) return absl::AbortedError(absl::StrCat("ended with ", status, ": ", printed));
  return printed;
}

std::string ReportJson(const std::string& name, const envs::CheckReport& report) {
  nlohmann::ordered_json json = {{"environment", name}, {"kept", report.kept()}};
  for (const envs::Promise& promise : report.promises) {
    json["promises"].push_back({{"promise", promise.what},
                                {"state", promise.left_out             ? "not promised"
                                          : promise.complaints.empty() ? "kept"
                                                                       : "broken"},
                                {"complaints", promise.complaints}});
  }
  json["may_succeed"] = report.may_succeed;
  json["random_steps"] = report.random.steps;
  json["random_steps_with_success"] = report.random.successes;
  json["random_episodes"] = report.random.ended;
  json["random_episodes_cut_early"] = report.random.cut_early;
  json["steps_per_second"] = report.steps_per_second;
  return json.dump(2) + "\n";
}

absl::StatusOr<int> Check(const CheckFlags& flags) {
  ExitOnStopSignal();  // Simulators and the other process end with this process.
  std::string name = flags.name;
  MENTOR_ASSIGN_OR_RETURN(EnvironmentOptions options, TakeEnvironment(&name, flags.options));
  MENTOR_RETURN_IF_ERROR(TakeSimulators(flags.hosts, &name, &options));
  if (name.empty()) return BadFlag("NAME", "", "name an environment, or one --simulator");
  google::protobuf::RepeatedPtrField<v1::WrapperSpec> wrappers;
  for (const std::string& wrapper : flags.wrappers) {
    MENTOR_ASSIGN_OR_RETURN(*wrappers.Add(), ParseWrapper(wrapper));
  }
  // Refuses unknown names and options, and invalid bundles, with the usual messages.
  MENTOR_ASSIGN_OR_RETURN(const auto made, envs::MakeEnvironment(name, options));
  const envs::Subject subject = envs::SubjectOf(*envs::FindEnvironment(name), options, wrappers);
  MENTOR_RETURN_IF_ERROR(subject.make().status());
  if (flags.digest) {
    std::printf("%s\n", envs::EpisodeDigest(subject).c_str());
    return static_cast<int>(kExitOk);
  }
  const envs::EnvironmentInfo& info = made->info();
  if (!flags.json) {
    std::printf("%s\nobservation %d, action %d numbers from %g to %g, episode %d steps\n",
                subject.name.c_str(), info.observation_size, info.action_size, info.action_low,
                info.action_high, info.episode_steps);
    std::fflush(stdout);
  }
  const envs::CheckReport report =
      envs::CheckEnvironment(subject, [&flags] { return AskAnotherProcess(flags); });
  std::printf("%s", (flags.json ? ReportJson(subject.name, report) : report.text).c_str());
  return static_cast<int>(report.kept() ? kExitOk : kExitFailed);
}

int RunCheck(const CheckFlags& flags) {
  const absl::StatusOr<int> code = Check(flags);
  return code.ok() ? *code : Fail(code.status(), kExitUsage);
}

}  // namespace

void AddEnvCheck(CLI::App* env, Action* action) {
  const auto [check, flags] = AddCommand<CheckFlags>(
      env, action, "check",
      "Check what an environment promises: the same bits everywhere, save points, numbers",
      RunCheck);
  check->footer(
      "Examples:\n"
      "  mentor env check my_robot/                 a task of your own: a folder with task.txtpb\n"
      "  mentor env check Hopper-v5 --wrapper time_feature\n"
      "  mentor env check --simulator gym='python3 -m mentor_env' --option id=FetchReach-v4");
  check->add_option("NAME", flags->name,
                    "Environment, or the folder of a bundle; not needed with --simulator");
  check->add_option("--option", flags->options, "NAME=VALUE: a setting of the environment")
      ->allow_extra_args(false);
  check
      ->add_option("--wrapper", flags->wrappers,
                   "NAME or NAME:OPTION=VALUE,...: a change to the environment, innermost first")
      ->allow_extra_args(false);
  AddSimulatorFlags(check, &flags->hosts);
  check->add_flag("--json", flags->json, "Print JSON");
  check->add_flag("--digest", flags->digest, "Print the digest of one episode alone");
}

}  // namespace mentor
