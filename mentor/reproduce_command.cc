#include "mentor/reproduce_command.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/printable.h"
#include "common/process/flags.h"
#include "learner/flags/device_flags.h"
#include "mentor/local/claims.h"
#include "mentor/local/local_run.h"

namespace mentor {
namespace {

constexpr int kStopped = 130;  // As `mentor run`.

struct ReproduceFlags {
  std::vector<std::string> names;
  std::string claims;
  std::string out = "reproduced";
  std::string from;
  double within = 0;
  bool list = false, record = false, strict = false, quiet = false;
  int actors = 1;
  int threads = 1;
  learner::DeviceFlags device;
};

std::filesystem::path FileOf(const ReproduceFlags& flags) {
  return flags.claims.empty() ? ClaimsFile() : std::filesystem::path(flags.claims);
}

// "1.4 h", "12 min", "3 s"
std::string Cost(const ClaimRow& row) {
  double seconds = 0;
  if (!absl::SimpleAtod(row.cpu_seconds, &seconds)) return row.recorded() ? "" : "not run yet";
  if (seconds >= 3600) return absl::StrFormat("%.1f CPU hours", seconds / 3600);
  if (seconds >= 60) return absl::StrFormat("%.0f CPU minutes", seconds / 60);
  return absl::StrFormat("%.0f CPU seconds", seconds);
}

int List(const std::vector<ClaimRow>& rows, const std::vector<size_t>& chosen) {
  size_t width = 0;
  for (const size_t i : chosen) width = std::max(width, rows[i].name().size());
  for (const size_t i : chosen) {
    const ClaimRow& row = rows[i];
    std::printf("%-*s  %-16s  %-15s  %s\n", static_cast<int>(width), row.name().c_str(),
                row.hash.empty() ? "-" : row.hash.substr(0, 16).c_str(),
                row.is_pooled() ? "" : Cost(row).c_str(),
                row.is_pooled() ? "all its runs" : row.command.c_str());
  }
  return kExitOk;
}

absl::StatusOr<std::vector<size_t>> Choose(const ReproduceFlags& flags,
                                           const std::vector<ClaimRow>& rows) {
  std::vector<size_t> chosen;
  const auto add = [&](size_t i) {
    if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.push_back(i);
  };
  for (const std::string& name : flags.names) {
    MENTOR_ASSIGN_OR_RETURN(const std::vector<size_t> found, FindClaim(rows, name));
    for (const size_t i : found) add(i);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    double seconds = 0;
    const bool in_time = flags.within > 0 && !rows[i].is_pooled() && rows[i].recorded() &&
                         absl::SimpleAtod(rows[i].cpu_seconds, &seconds) && seconds <= flags.within;
    if (in_time || (flags.list && flags.names.empty() && flags.within == 0)) add(i);
  }
  if (!chosen.empty()) return chosen;
  return absl::InvalidArgumentError(
      flags.within > 0
          ? absl::StrFormat("no recorded claim took at most %g CPU seconds; raise --within",
                            flags.within)
          : "name a claim, or give --within SECONDS; 'mentor reproduce --list' shows all");
}

// The folder of a run: where it runs here, or the one that somebody has.
std::filesystem::path FolderOf(const ReproduceFlags& flags, const ClaimRow& row) {
  if (flags.from.empty()) return std::filesystem::path(flags.out) / row.name();
  const std::filesystem::path inside = std::filesystem::path(flags.from) / row.name();
  std::error_code error;
  return std::filesystem::exists(inside, error) ? inside : std::filesystem::path(flags.from);
}

void Say(const std::string& name, const ClaimVerdict& verdict) {
  for (size_t i = 0; i < verdict.sentences.size(); ++i) {
    std::printf("%s%s\n", i == 0 ? (name + ": ").c_str() : "  ",
                PrintableLines(verdict.sentences[i]).c_str());
  }
}

// The file is written anew after each run: what has been recorded stays, whatever comes.
absl::Status Save(const ReproduceFlags& flags, const std::vector<ClaimRow>& rows) {
  return WriteFileAtomically(FileOf(flags), PrintClaims(rows));
}

// One claim or run. kExitOk: it holds.
absl::StatusOr<int> Reproduce(const ReproduceFlags& flags, const learner::Device& device,
                              std::vector<ClaimRow>* rows, size_t index) {
  const ClaimRow row = (*rows)[index];
  ClaimRow made;
  if (row.is_pooled()) {
    std::vector<ClaimRow> runs;
    std::vector<std::filesystem::path> folders;
    for (const ClaimRow& run : *rows) {
      if (run.claim != row.claim || run.is_pooled()) continue;
      runs.push_back(run);
      folders.push_back(FolderOf(flags, run));
    }
    MENTOR_ASSIGN_OR_RETURN(made, RecordAll(row, runs, folders));
  } else {
    const std::filesystem::path folder = FolderOf(flags, row);
    if (flags.from.empty()) {
      MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, SpecOfCommand(row.command));
      if (!flags.quiet) std::printf("%s: %s\n", row.name().c_str(), row.command.c_str());
      MENTOR_ASSIGN_OR_RETURN(const int code, RunLocally({.spec = spec,
                                                          .out = folder,
                                                          .actors = flags.actors,
                                                          .threads_per_actor = flags.threads,
                                                          .learner_threads = flags.threads,
                                                          .device = device,
                                                          .quiet = flags.quiet}));
      if (code != 0) return code;
    }
    MENTOR_ASSIGN_OR_RETURN(made, RecordRun(row, folder));
  }
  if (flags.record) {
    (*rows)[index] = made;
    MENTOR_RETURN_IF_ERROR(Save(flags, *rows));
  }
  if (!row.recorded()) {
    std::printf("%s: hash %s%s\n", row.name().c_str(), made.hash.c_str(),
                flags.record ? ", recorded" : "; nothing is recorded yet: --record writes it down");
    return flags.record ? kExitOk : kExitFailed;
  }
  const ClaimVerdict verdict = CompareClaims(row, made);
  Say(row.name(), verdict);
  const bool holds = verdict.same_bits
                         ? verdict.numbers_agree
                         : !flags.strict && verdict.may_differ && verdict.numbers_agree;
  return holds || flags.record ? kExitOk : kExitFailed;
}

int RunReproduce(const ReproduceFlags& flags) {
  log::Init({.format = log::Format::kText, .least = log::Severity::kWarning, .logger = "mentor"});
  auto rows = ReadClaims(FileOf(flags));
  if (!rows.ok()) return Fail(rows.status(), kExitUsage);
  const auto chosen = Choose(flags, *rows);
  if (!chosen.ok()) return Fail(chosen.status(), kExitUsage);
  if (flags.list) return List(*rows, *chosen);
  const auto device = learner::OpenDevice(flags.device);
  if (!device.ok()) return Fail(device.status());
  int held = 0, failed = 0;
  std::vector<size_t> order(chosen->begin(), chosen->end());
  // A claim as a whole comes after its runs.
  std::stable_partition(order.begin(), order.end(),
                        [&](size_t i) { return !(*rows)[i].is_pooled(); });
  for (const size_t i : order) {
    const auto code = Reproduce(flags, *device, &*rows, i);
    if (code.ok() && *code == kStopped) return kStopped;
    if (!code.ok())
      std::fprintf(stderr, "%s: %s\n", (*rows)[i].name().c_str(),
                   PrintableLines(std::string(code.status().message())).c_str());
    ++(code.ok() && *code == kExitOk ? held : failed);
  }
  std::printf("%d passed, %d failed\n", held, failed);
  return failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace

void AddReproduceCommand(CLI::App* app, std::function<int()>* action) {
  const auto shared = std::make_shared<ReproduceFlags>();
  ReproduceFlags& flags = *shared;
  flags.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  CLI::App* command = app->add_subcommand(
      "reproduce",
      "Run published claims again and compare hashes and numbers; after Ctrl-C, the same command "
      "continues");
  command->add_option("CLAIM", flags.names,
                      "Names of --list: a claim with all its runs, or one run (CLAIM-2)");
  command->add_flag("--list", flags.list, "List the claims, their hashes, costs and commands");
  command
      ->add_option("--within", flags.within,
                   "All runs whose meta-training took at most so many CPU seconds")
      ->check(CLI::Range(0.0, 1e9))
      ->type_name("SECONDS");
  command
      ->add_option("--claims", flags.claims,
                   "File of claims; default: the one that comes with Mentor")
      ->type_name("FILE");
  command->add_option("--out", flags.out, "Where the runs get their folders")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--from", flags.from,
                   "Run nothing: compare run folders that are there, DIR/CLAIM-N, for instance of "
                   "'mentor fetch'")
      ->type_name("DIR");
  command->add_flag("--record", flags.record, "Write what comes out into the file of claims");
  command->add_flag("--strict", flags.strict,
                    "Another hash fails, also where another version or processor explains it");
  command->add_option("--actors", flags.actors, "Number of actors")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--threads", flags.threads,
                   "Threads of each actor, and of learner and meta-learner")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  learner::AddDeviceFlags(command, &flags.device);
  command->add_flag("--quiet", flags.quiet, "Show no progress bar");
  command->footer(
      "Examples:\n"
      "  mentor reproduce --list\n"
      "  mentor reproduce point-reach-advantage-3       one run: a minute\n"
      "  mentor reproduce door-close-reward             three runs of an hour, then all together\n"
      "  mentor reproduce --within 60                   every claim of a minute\n"
      "  mentor reproduce door-close-reward --from runs --record\n"
      "Exit status 0: every hash is the recorded one; or another version or processor made the\n"
      "record, and the numbers agree by their intervals.");
  command->callback([action, shared] { *action = [shared] { return RunReproduce(*shared); }; });
}

}  // namespace mentor
