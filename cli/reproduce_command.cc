#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "cli/commands.h"
#include "cli/ctl/commands.h"
#include "cli/ctl/settings.h"
#include "cli/local/claim_results.h"
#include "cli/local/claim_verdict.h"
#include "cli/local/claims.h"
#include "cli/local/local_run.h"
#include "cli/machine.h"
#include "cli/service_runs.h"
#include "common/check.h"
#include "common/file.h"
#include "common/printable.h"
#include "common/process/flags.h"

namespace mentor {
namespace {

constexpr int kReadable = 0644;
constexpr int kStopped = 130;  // The same code as `mentor run` and ctl::kInterrupted.

struct ReproduceFlags {
  std::vector<std::string> names;
  std::string claims;
  std::string out = "reproduced";
  bool list = false, quiet = false;
  bool on_service = false;
  ctl::GlobalFlags connection;
  MachineFlags machine;

  bool service() const { return on_service || connection.server || connection.context; }
};

std::filesystem::path FileOf(const ReproduceFlags& flags) {
  return flags.claims.empty() ? ClaimsFile() : std::filesystem::path(flags.claims);
}

// "1.4 CPU hours", "12 CPU minutes", "3 CPU seconds"
std::string Cost(double seconds) {
  if (seconds >= 3600) return absl::StrFormat("%.1f CPU hours", seconds / 3600);
  if (seconds >= 60) return absl::StrFormat("%.0f CPU minutes", seconds / 60);
  return absl::StrFormat("%.0f CPU seconds", seconds);
}

// The CPU seconds that meta-training took, where there was any and they are known.
std::optional<double> TrainingSeconds(const ClaimRow& row) {
  double seconds = 0;
  if (row.evaluation_only() || !absl::SimpleAtod(row.cpu_seconds, &seconds)) return std::nullopt;
  return seconds;
}

std::string Cost(const ClaimRow& row) {
  if (row.evaluation_only()) return "evaluation only";
  if (const auto seconds = TrainingSeconds(row)) return Cost(*seconds);
  return row.recorded() ? "" : "not run yet";
}

int ListClaims(const std::vector<ClaimRow>& rows, const std::vector<size_t>& chosen) {
  size_t width = 0;
  for (const size_t i : chosen) width = std::max(width, rows[i].name().size());
  for (const size_t i : chosen) {
    const ClaimRow& row = rows[i];
    std::printf("%-*s  %-16s  %-15s  %s%s\n", static_cast<int>(width), row.name().c_str(),
                row.recorded() ? row.result().substr(0, 16).c_str() : "-",
                row.is_pooled() ? "" : Cost(row).c_str(),
                row.is_pooled() ? "all its runs" : Printable(row.command).c_str(),
                HasOldArithmetic(row) ? "  (old arithmetic)" : "");
  }
  return kExitOk;
}

absl::StatusOr<std::vector<size_t>> Choose(const ReproduceFlags& flags,
                                           const std::vector<ClaimRow>& rows) {
  std::vector<size_t> chosen;
  std::vector<bool> known(rows.size());
  const auto add = [&](size_t i) {
    if (!known[i]) chosen.push_back(i);
    known[i] = true;
  };
  for (const std::string& name : flags.names) {
    MENTOR_ASSIGN_OR_RETURN(const std::vector<size_t> found, FindClaim(rows, name));
    for (const size_t i : found) add(i);
  }
  for (size_t i = 0; flags.list && flags.names.empty() && i < rows.size(); ++i) add(i);
  if (!chosen.empty()) return chosen;
  return absl::InvalidArgumentError("name a claim; 'mentor reproduce --list' shows all");
}

std::filesystem::path FolderOf(const ReproduceFlags& flags, const ClaimRow& row) {
  return std::filesystem::path(flags.out) / row.name();
}

void Say(const std::string& name, const ClaimVerdict& verdict) {
  for (size_t i = 0; i < verdict.sentences.size(); ++i) {
    std::printf("%s%s\n", i == 0 ? (name + ": ").c_str() : "  ",
                PrintableLines(verdict.sentences[i]).c_str());
  }
}

// Runs the claim on this machine; an interrupted run resumes.
absl::StatusOr<int> RunHere(const ReproduceFlags& flags, const kernels::Device& device,
                            const ClaimRow& row, const meta_learner::CheckedSpec& checked) {
  if (!flags.quiet) {
    std::printf("%s (%s): %s\n", row.name().c_str(), Cost(row).c_str(),
                Printable(row.command).c_str());
    for (const std::string& sentence : WhatDiffersHere(row))
      std::printf("  %s\n", Printable(sentence).c_str());
    std::fflush(stdout);
  }
  return RunLocally({.checked = checked,
                     .out = FolderOf(flags, row),
                     .actors = flags.machine.actors,
                     .threads = flags.machine.threads,
                     .device = device,
                     .quiet = flags.quiet,
                     .summary = false});
}

// Writes what came out as OUT/NAME.csv, for results/record.py.
absl::Status Keep(const ReproduceFlags& flags, const ClaimRow& made) {
  return WriteFileAtomically(std::filesystem::path(flags.out) / (made.name() + ".csv"),
                             PrintClaims({made}), kReadable);
}

// Returns the results of a run, or of all runs of a claim together.
absl::StatusOr<ClaimRow> Measured(const ReproduceFlags& flags, const ClaimRow& row,
                                  const std::vector<ClaimRow>& runs) {
  if (!row.is_pooled()) return MeasureRun(row, FolderOf(flags, row));
  std::vector<std::filesystem::path> folders;
  for (const ClaimRow& run : runs) folders.push_back(FolderOf(flags, run));
  return MeasureAll(row, runs, folders);
}

// Compares the folders of a claim or run with its record. Returns nothing where there is none.
using Judged = absl::StatusOr<std::optional<Outcome>>;
Judged Judge(const ReproduceFlags& flags, const std::vector<ClaimRow>& rows, size_t index) {
  const ClaimRow& row = rows[index];
  std::vector<ClaimRow> runs;
  for (const ClaimRow& run : rows) {
    if (run.claim == row.claim && !run.is_pooled()) runs.push_back(run);
  }
  MENTOR_ASSIGN_OR_RETURN(ClaimRow made, Measured(flags, row, runs));
  if (!row.recorded()) {
    MENTOR_RETURN_IF_ERROR(Keep(flags, made));
    std::printf("%s: hash %s; nothing is recorded that it could be compared with\n",
                row.name().c_str(), made.result().c_str());
    return std::nullopt;
  }
  const ClaimVerdict verdict =
      CompareClaims(row, made, row.is_pooled() ? std::vector<ClaimRow>() : runs);
  // The first cost of the same bits stays.
  if (verdict.same_bits) made.cpu_seconds = row.cpu_seconds;
  MENTOR_RETURN_IF_ERROR(Keep(flags, made));
  Say(row.name(), verdict);
  return verdict.outcome();
}

// The results so far.
struct Score {
  const ReproduceFlags& flags;
  const std::vector<ClaimRow>& rows;
  std::set<size_t> runs, claims;  // Rows that are not judged yet.
  std::map<std::optional<Outcome>, std::vector<std::string>> names = {};  // Judged rows.

  int Count(std::optional<Outcome> outcome) const {
    const auto found = names.find(outcome);
    return found == names.end() ? 0 : static_cast<int>(found->second.size());
  }

  void Add(size_t index, const Judged& judged) {
    runs.erase(index);
    claims.erase(index);
    const ClaimRow& row = rows[index];
    if (!judged.ok()) {
      std::fprintf(stderr, "%s: %s\n", row.name().c_str(),
                   PrintableLines(std::string(judged.status().message())).c_str());
    }
    names[judged.ok() ? *judged : Outcome::kFailed].push_back(row.name());
    std::fflush(stdout);
    // Judge a claim as a whole after its last run.
    const auto same = [&](size_t i) { return rows[i].claim == row.claim; };
    const auto whole = std::find_if(claims.begin(), claims.end(), same);
    if (whole != claims.end() && std::none_of(runs.begin(), runs.end(), same))
      Add(*whole, Judge(flags, rows, *whole));
  }
};

// Says how many records came out, and how. Names those of an old arithmetic.
int Sum(const Score& score) {
  const int failed = score.Count(Outcome::kFailed), none = score.Count(std::nullopt);
  std::printf("%d bit for bit, %d the numbers only, %d old arithmetic, %d failed%s\n",
              score.Count(Outcome::kBitForBit), score.Count(Outcome::kNumbersOnly),
              score.Count(Outcome::kOldArithmetic), failed,
              none == 0 ? "" : absl::StrCat(", ", none, " without a record").c_str());
  if (const auto old = score.names.find(Outcome::kOldArithmetic); old != score.names.end()) {
    std::printf("old arithmetic, to be recorded again: %s\n",
                absl::StrJoin(old->second, " ").c_str());
  }
  return failed == 0 ? kExitOk : kExitFailed;
}

// Judges each run of the score as soon as its folder is complete. Returns the exit code.
int RunAll(const ReproduceFlags& flags, const std::vector<ClaimRow>& rows, Score* score) {
  std::vector<size_t> chosen;
  std::vector<meta_learner::CheckedSpec> specs;
  // A mistake in the last command is not found after days of others, nor does it hold them up.
  for (const size_t i : std::vector<size_t>(score->runs.begin(), score->runs.end())) {
    auto spec = SpecOfRun(rows[i]);
    if (!spec.ok()) {
      score->Add(i, spec.status());
      continue;
    }
    chosen.push_back(i);
    specs.push_back(*std::move(spec));
  }
  if (flags.service()) {
    std::vector<ServiceRun> runs;
    for (size_t k = 0; k < chosen.size(); ++k) {
      const ClaimRow& row = rows[chosen[k]];
      runs.push_back({.id = row.name(), .spec = specs[k].given, .out = FolderOf(flags, row)});
    }
    return RunOnService(
        flags.connection, runs,
        [&](size_t run) { score->Add(chosen[run], Judge(flags, rows, chosen[run])); },
        [&](size_t run, const std::string& why) {
          score->Add(chosen[run], absl::FailedPreconditionError(why));
        });
  }
  const auto device = OpenProved(flags.machine);
  if (!device.ok()) return Fail(device.status(), kExitUsage);
  for (size_t k = 0; k < chosen.size(); ++k) {
    const size_t i = chosen[k];
    // A whole run is compared and not run again.
    if (!MeasureRun(rows[i], FolderOf(flags, rows[i])).ok()) {
      const auto code = RunHere(flags, *device, rows[i], specs[k]);
      if (code.ok() && *code == kStopped) {
        std::fprintf(stderr,
                     "interrupted, %zu of %zu runs are compared; the same command continues\n",
                     chosen.size() - score->runs.size(), chosen.size());
        return kStopped;
      }
      if (!code.ok() || *code != kExitOk) {
        score->Add(i, code.ok() ? absl::FailedPreconditionError("the run failed") : code.status());
        continue;
      }
    }
    score->Add(i, Judge(flags, rows, i));
  }
  return kExitOk;
}

// Says what comes, before hours of it.
void Announce(const std::vector<ClaimRow>& rows, const std::set<size_t>& runs) {
  double all = 0;
  int unknown = 0;
  for (const size_t i : runs) {
    all += TrainingSeconds(rows[i]).value_or(0);
    unknown += rows[i].recorded() ? 0 : 1;
  }
  if (runs.empty()) return;
  std::printf("%zu run%s: %s of meta-training when recorded, and the evaluations%s\n", runs.size(),
              runs.size() == 1 ? "" : "s", Cost(all).c_str(),
              unknown == 0 ? "" : absl::StrCat("; ", unknown, " not run yet").c_str());
  std::fflush(stdout);
}

int RunReproduce(const ReproduceFlags& flags) {
  const auto rows = ReadClaims(FileOf(flags));
  if (!rows.ok()) return Fail(rows.status(), kExitUsage);
  const auto chosen = Choose(flags, *rows);
  if (!chosen.ok()) return Fail(chosen.status(), kExitUsage);
  if (flags.list) return ListClaims(*rows, *chosen);
  Score score{.flags = flags, .rows = *rows, .runs = {}, .claims = {}};
  for (const size_t i : *chosen) ((*rows)[i].is_pooled() ? score.claims : score.runs).insert(i);
  if (!flags.quiet) Announce(*rows, score.runs);
  if (const int code = RunAll(flags, *rows, &score); code != kExitOk) return code;
  while (!score.claims.empty()) {
    const size_t i = *score.claims.begin();
    score.Add(i, Judge(flags, *rows, i));
  }
  return Sum(score);
}

void AddPathFlags(CLI::App* command, ReproduceFlags* flags) {
  // An unset variable of a shell is no default.
  const auto named = [](const std::string& path) {
    return path.empty() ? "is empty; name a path, or leave it out" : std::string();
  };
  command
      ->add_option("--claims", flags->claims,
                   "File of claims; default: MENTOR_CLAIMS, or the one that comes with Mentor")
      ->type_name("FILE")
      ->check(named);
  command->add_option("--out", flags->out, "Folder for the runs")
      ->type_name("DIR")
      ->check(named)
      ->capture_default_str();
}

}  // namespace

void AddReproduceCommand(CLI::App* app, Action* action) {
  const auto [command, flags] = AddCommand<ReproduceFlags>(
      app, action, "reproduce",
      "Run published claims again and compare hashes and numbers; after Ctrl-C, the same command "
      "continues",
      RunReproduce);
  command->add_option("CLAIM", flags->names,
                      "Names of --list: a claim with all its runs, one run (CLAIM-2), or its runs "
                      "together (CLAIM-all)");
  command->add_flag("--list", flags->list, "List the claims, their hashes, costs and commands");
  AddPathFlags(command, flags);
  AddMachineFlags(command, &flags->machine);
  command->add_flag("--service", flags->on_service,
                    "Run on a service, which --server, --context or mentorctl's settings name: "
                    "submit the missing runs, fetch and compare each as it ends");
  ctl::AddConnectionFlags(command, &flags->connection);
  command->add_flag("--quiet", flags->quiet, "Show no progress bar");
  command->footer(
      "Examples:\n"
      "  mentor reproduce --list\n"
      "  mentor reproduce point-reach-advantage-3       one run: a minute\n"
      "  mentor reproduce door-close-reward             three runs of 75 CPU minutes, then all\n"
      "  mentor reproduce point-reach-reward --service  on a service\n"
      "What came out is written to OUT/NAME.csv, from which results/record.py records it.\n"
      "The last lines count records that came out bit for bit, by their numbers only, and of an\n"
      "old arithmetic, which no processor has now. Exit status 0: none failed. Without equal\n"
      "hashes another version or processor must have made the record, and the interval of each\n"
      "number meet the recorded one. Or both lie where one more meta-seed of the other runs may\n"
      "lie: few runs exclude little, so see CLAIM-all, too.");
}

}  // namespace mentor
