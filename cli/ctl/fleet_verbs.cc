// The verbs `peers`, `drain`, `shards`, `tasks` and `catalogue`.
#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_file.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/process/command_line.h"
#include "common/resources/names.h"
#include "common/spec/spec.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

// Returns the peer's estimated memory need and its limit.
std::string MemoryOf(const v1::Peer& peer) {
  const auto gigabytes = [](uint64_t bytes) {
    return absl::StrFormat("%.1f", static_cast<double>(bytes) / 1e9);
  };
  const auto used = [&](uint64_t needed, uint64_t most) {
    return absl::StrCat(gigabytes(needed), "/", gigabytes(most), " GB");
  };
  std::string text =
      peer.memory_bytes() == 0 ? "no limit" : used(peer.memory_needed_bytes(), peer.memory_bytes());
  if (peer.device_memory_bytes() > 0) {
    absl::StrAppend(&text, ", device ",
                    used(peer.device_memory_needed_bytes(), peer.device_memory_bytes()));
  }
  return text;
}

// Returns the device and the beginning of its fingerprint: "cpu 0b5c2f1a".
std::string KindOf(const v1::Peer& peer) {
  constexpr size_t kShown = 8;
  const size_t space = peer.arithmetic().rfind(' ');
  return space == std::string::npos ? peer.arithmetic()
                                    : peer.arithmetic().substr(0, space + 1 + kShown);
}

// Returns the share of the peer's time for each experiment: "exp-a 61 %, exp-b 30 %".
std::string TimeOf(const v1::Peer& peer) {
  return absl::StrJoin(peer.time(), ", ", [](std::string* out, const v1::ExperimentTime& time) {
    absl::StrAppend(out, LastPart(time.experiment()),
                    absl::StrFormat(" %.0f %%", 100 * time.share()));
  });
}

absl::StatusOr<int> Peers(Session& session) {
  MENTOR_ASSIGN_OR_RETURN(const auto answer,
                          session.client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest()));
  const absl::Time now = absl::Now();
  Listing listing(&session.output,
                  {"PEER", "HOST", "BUILD", "THREADS", "WORK", "STEPS/S", "ROUND TRIP", "CONNECTED",
                   "LEARNER", "MEMORY", "KIND", "NOTE"});
  for (const v1::Peer& peer : answer.peers()) {
    const bool learner = IsLearner(peer);
    listing.Add(peer, peer.name(),
                {ShortPeer(peer.name()), peer.host(), peer.build(), ThreadsText(peer),
                 WorkText(peer), Count(peer.env_steps_per_second()), RoundTripText(peer),
                 Ago(FromProto(peer.connect_time()), now),
                 peer.learner().empty() ? "-" : LastPart(ShortPeer(peer.learner())),
                 learner ? MemoryOf(peer) : "-", learner ? KindOf(peer) : "-",
                 peer.quarantined()        ? Cell("kept away", Style::kWarning)
                 : peer.draining()         ? Cell("draining", Style::kWarning)
                 : !peer.refusal().empty() ? Cell("refused " + peer.refusal(), Style::kWarning)
                                           : Cell(TimeOf(peer))});
  }
  return listing.End();
}

// Returns the full name of the only peer that begins with `given`: people type what the table
// shows.
absl::StatusOr<std::string> PeerOf(Client* client, const std::string& given) {
  if (!given.starts_with(kActorsPrefix) && !given.starts_with(kLearnersPrefix)) {
    return absl::InvalidArgumentError(
        "peer '" + given + "': give actors/NAME or learners/NAME, as 'peers' shows them");
  }
  if (given == kActorsPrefix || given == kLearnersPrefix) {
    // An empty prefix would match whichever peer happens to be alone.
    return absl::InvalidArgumentError("peer '" + given +
                                      "': give at least one character of its name");
  }
  MENTOR_ASSIGN_OR_RETURN(const auto answer,
                          client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest()));
  Names found;
  for (const v1::Peer& peer : answer.peers()) {
    if (peer.name() == given) return given;
    if (absl::StartsWith(peer.name(), given)) found.push_back(peer.name());
  }
  return OnlyOne(found, "peer", given, "its name");
}

absl::StatusOr<int> Drain(Session& session, const Names& names) {
  const auto drain = [&](const std::string& given) -> absl::Status {
    MENTOR_ASSIGN_OR_RETURN(const std::string name, PeerOf(session.client, given));
    v1::DrainPeerRequest request;
    request.set_name(name);
    MENTOR_RETURN_IF_ERROR(session.client->Call(&Stub::DrainPeer, request).status());
    v1::Peer peer;
    peer.set_name(name);
    peer.set_draining(true);
    session.output.Done(peer, name, name + " finishes its work and takes no more");
    return absl::OkStatus();
  };
  return ForEach(session, names, [&](const std::string& given) {
    return WithHint(drain(given), "'mentorctl peers' shows them");
  });
}

absl::StatusOr<int> Shards(Session& session, const std::string& name) {
  v1::ListShardsRequest request;
  if (!name.empty()) request.set_parent(FullName(name));
  MENTOR_ASSIGN_OR_RETURN(const auto answer,
                          session.client->CallForAll(&Stub::ListShards, request));
  Listing listing(&session.output,
                  {"SHARD", "STATE", "LEARNER", "LIFETIMES", "ITERATIONS", "STEPS"});
  for (const v1::ShardInfo& shard : answer.shards()) {
    const std::string state = shard.state() == v1::ShardInfo::STATE_RUNNING ? "RUNNING" : "WAITING";
    listing.Add(shard, shard.name(),
                {ShortName(shard.name()), Cell(state, StyleOfState(state)),
                 shard.learner().empty() ? "-" : LastPart(ShortPeer(shard.learner())),
                 absl::StrCat(shard.lifetimes()),
                 absl::StrFormat("%d/%d", shard.iterations_done(), shard.iterations_total()),
                 absl::StrFormat("%s/%s", Count(static_cast<double>(shard.env_steps())),
                                 Count(static_cast<double>(shard.env_steps_total())))});
  }
  return listing.End();
}

// ---- tasks

struct TaskFlags {
  std::string benchmark, environment, file;
  uint32_t limit = 0;
};

absl::StatusOr<v1::BenchmarkSpec> BenchmarkOf(const TaskFlags& flags) {
  v1::BenchmarkSpec benchmark;
  if (flags.file.empty()) {
    if (flags.benchmark.empty()) {
      return absl::InvalidArgumentError("give the name of a benchmark, or a spec with -f");
    }
    benchmark.set_name(flags.benchmark);
    if (!flags.environment.empty()) benchmark.set_environment(flags.environment);
    return benchmark;
  }
  if (!flags.benchmark.empty() || !flags.environment.empty()) {
    return absl::InvalidArgumentError(
        "-f has the whole benchmark: leave out its name and "
        "--environment");
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.file));
  const ExperimentFile file = ParseExperimentFile(flags.file, text, {});
  if (!file.violations.empty()) return ToStatus(file.violations);
  return file.experiment.spec().benchmark();
}

absl::StatusOr<int> Tasks(Session& session, const TaskFlags& flags) {
  v1::ListTasksRequest request;
  MENTOR_ASSIGN_OR_RETURN(*request.mutable_benchmark(), BenchmarkOf(flags));
  MENTOR_ASSIGN_OR_RETURN(const auto answer, session.client->CallForAll(&Stub::ListTasks, request));
  Listing listing(&session.output, {"TASK", "SPLIT", "ENVIRONMENT", "PARAMETERS"});
  const int all = answer.tasks_size();
  const int shown = flags.limit > 0 ? std::min(static_cast<int>(flags.limit), all) : all;
  for (int i = 0; i < shown; ++i) {
    const v1::TaskInfo& task = answer.tasks(i);
    const std::string parameters = absl::StrJoin(
        task.parameters(), " ",
        [](std::string* out, double value) { absl::StrAppendFormat(out, "%.4g", value); });
    listing.Add(task, task.name(),
                {LastPart(task.name()), task.split(), task.environment(),
                 parameters.empty() ? "drawn by each lifetime" : parameters});
  }
  listing.End();
  if (shown < all)
    session.output.Note(absl::StrFormat("%d of %d tasks; --limit shows more", shown, all));
  return kOk;
}

// ---- catalogue

struct CatalogueFlags {
  std::string kind, entry;
};

absl::StatusOr<int> Catalogue(Session& session, const CatalogueFlags& flags) {
  v1::ListCatalogueRequest request;
  request.set_kind(flags.kind);
  MENTOR_ASSIGN_OR_RETURN(const auto answer, session.client->Call(&Stub::ListCatalogue, request));
  Listing listing(&session.output, {"KIND", "NAME", "WHAT"});
  const bool one = !flags.entry.empty();
  bool found = false;
  for (const v1::CatalogueEntry& entry : answer.entries()) {
    if (one && entry.name() != flags.entry) continue;
    found = true;
    if (!one || !session.output.table()) {
      listing.Add(entry, entry.name(), {entry.kind(), entry.name(), entry.help()});
      continue;
    }
    std::printf("%s %s: %s\n", Printable(entry.kind()).c_str(), Printable(entry.name()).c_str(),
                Printable(entry.help()).c_str());
    if (entry.settings().empty()) continue;
    std::vector<Row> rows = {{"SETTING", "DEFAULT", "WHAT"}};
    for (const auto& setting : entry.settings())
      rows.push_back({setting.name(), setting.default_value(), setting.help()});
    session.output.Table(rows);
  }
  if (one && !found) {
    return WithHint(absl::NotFoundError("there is no " + flags.kind + " '" + flags.entry + "'"),
                    "'mentorctl catalogue " + flags.kind + "' lists them");
  }
  return one && session.output.table() ? kOk : listing.End();
}

}  // namespace

void AddFleetVerbs(Commands* commands) {
  commands->Add(kFleetGroup, "peers", "List the connected learners and actors",
                "mentorctl peers\nmentorctl peers --output json", Peers);

  const auto [drain, drain_names] = commands->Add<Names>(
      kFleetGroup, "drain", "Let actors or learners finish their work and give them no more",
      "mentorctl drain actors/a1b2c3\nmentorctl drain learners/d4e5f6", Drain);
  AddOption(drain, "names", drain_names, "PEER",
            "actors/NAME or learners/NAME; the beginning of a name is enough")
      ->required();

  const auto [shards, shards_name] =
      commands->Add<std::string>(kFleetGroup, "shards", "List running and waiting shards",
                                 "mentorctl shards\nmentorctl shards first", Shards);
  AddOption(shards, "name", shards_name, "EXPERIMENT", "Only the shards of this experiment");

  const auto [tasks, tasks_flags] = commands->Add<TaskFlags>(
      kFleetGroup, "tasks", "List the tasks of a benchmark and their split",
      "mentorctl tasks point_reach\n"
      "mentorctl tasks ml1 --environment door-close-v3 --limit 10\n"
      "mentorctl tasks -f push_near_far",
      Tasks);
  AddOption(tasks, "benchmark", &tasks_flags->benchmark, "BENCHMARK", "Name of the benchmark");
  AddOption(tasks, "--environment", &tasks_flags->environment, "NAME",
            "Environment, for a benchmark that offers several");
  AddOption(tasks, "-f,--file", &tasks_flags->file, "SPEC:FILE", "Take the benchmark of this spec");
  AddOption(tasks, "--limit", &tasks_flags->limit, "NUMBER", "Show at most this many");

  const auto [catalogue, catalogue_flags] = commands->Add<CatalogueFlags>(
      kFleetGroup, "catalogue",
      "List what a spec can name: environments, benchmarks, signal networks, rules",
      "mentorctl catalogue\nmentorctl catalogue rule\nmentorctl catalogue rule black_box",
      Catalogue);
  AddOption(catalogue, "kind", &catalogue_flags->kind, "KIND",
            "environment, benchmark, signal, rule, wrapper or curriculum")
      ->check(OneOf({"environment", "benchmark", "signal", "rule", "wrapper", "curriculum"}));
  AddOption(catalogue, "entry", &catalogue_flags->entry, "NAME",
            "Show this entry with its settings");
}

}  // namespace mentor::ctl
