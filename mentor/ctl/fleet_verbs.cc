// The verbs `peers`, `drain`, `shards`, `tasks` and `catalogue`.
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/empty.pb.h>

#include "common/process/command_line.h"
#include "common/resources/names.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_file.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/values.h"

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

int Peers(Session& session) {
  const auto answer = session.client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest());
  if (!answer.ok()) return session.output.Fail(answer.status());
  const absl::Time now = absl::Now();
  Listing listing(&session.output,
                  {"PEER", "HOST", "BUILD", "THREADS", "WORK", "STEPS/S", "ROUND TRIP", "CONNECTED",
                   "LEARNER", "MEMORY", "KIND", "NOTE"});
  for (const v1::Peer& peer : answer->peers()) {
    const bool learner = IsLearner(peer);
    listing.Add(
        peer, peer.name(),
        {ShortPeer(peer.name()), peer.host(), peer.build(),
         learner ? "-" : absl::StrCat(peer.threads()),
         learner ? absl::StrFormat("%d/%d shards", peer.work(), peer.shard_slots())
                 : absl::StrFormat("%d units", peer.work()),
         Count(peer.env_steps_per_second()),
         peer.has_round_trip()
             ? absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(FromProto(peer.round_trip())))
             : "-",
         Ago(FromProto(peer.connect_time()), now),
         peer.learner().empty() ? "-" : LastPart(ShortPeer(peer.learner())),
         learner ? MemoryOf(peer) : "-", learner ? KindOf(peer) : "-",
         peer.quarantined()        ? Cell("kept away", Style::kWarning)
         : peer.draining()         ? Cell("draining", Style::kWarning)
         : !peer.refusal().empty() ? Cell("refused " + peer.refusal(), Style::kWarning)
                                   : Cell(TimeOf(peer))});
  }
  listing.End();
  return kOk;
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
  const auto answer = client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest());
  if (!answer.ok()) return answer.status();
  std::vector<std::string> found;
  for (const v1::Peer& peer : answer->peers()) {
    if (peer.name() == given) return given;
    if (absl::StartsWith(peer.name(), given)) found.push_back(peer.name());
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound, "there is no peer " + given);
  }
  return absl::InvalidArgumentError("peer '" + given + "' could be " +
                                    absl::StrJoin(found, " or ") + ": give more of its name");
}

int Drain(Session& session, const std::vector<std::string>& names) {
  return ForEach(session, names, [&](const std::string& given) -> int {
    const auto name = PeerOf(session.client, given);
    if (!name.ok()) return session.output.Fail(name.status(), "'mentorctl peers' shows them");
    v1::DrainPeerRequest request;
    request.set_name(*name);
    const auto empty = session.client->Call(&Stub::DrainPeer, request);
    if (!empty.ok()) return session.output.Fail(empty.status(), "'mentorctl peers' shows them");
    v1::Peer peer;
    peer.set_name(*name);
    peer.set_draining(true);
    session.output.Done(peer, *name, *name + " finishes its work and takes no more");
    return kOk;
  });
}

int Shards(Session& session, const std::string& name) {
  v1::ListShardsRequest request;
  if (!name.empty()) request.set_parent(FullName(name));
  const auto answer = session.client->CallForAll(&Stub::ListShards, request);
  if (!answer.ok()) return session.output.Fail(answer.status());
  Listing listing(&session.output,
                  {"SHARD", "STATE", "LEARNER", "LIFETIMES", "ITERATIONS", "STEPS"});
  for (const v1::ShardInfo& shard : answer->shards()) {
    const std::string state = shard.state() == v1::ShardInfo::STATE_RUNNING ? "RUNNING" : "WAITING";
    listing.Add(shard, shard.name(),
                {ShortName(shard.name()), Cell(state, StyleOfState(state)),
                 shard.learner().empty() ? "-" : LastPart(ShortPeer(shard.learner())),
                 absl::StrCat(shard.lifetimes()),
                 absl::StrFormat("%d/%d", shard.iterations_done(), shard.iterations_total()),
                 absl::StrFormat("%s/%s", Count(static_cast<double>(shard.env_steps())),
                                 Count(static_cast<double>(shard.env_steps_total())))});
  }
  listing.End();
  return kOk;
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
  const auto text = ReadInput(flags.file);
  if (!text.ok()) return text.status();
  const ExperimentFile file = ParseExperimentFile(flags.file, *text, {});
  if (!file.violations.empty()) return ToStatus(file.violations);
  return file.experiment.spec().benchmark();
}

int Tasks(Session& session, const TaskFlags& flags) {
  const auto benchmark = BenchmarkOf(flags);
  if (!benchmark.ok()) return session.output.Fail(benchmark.status());
  v1::ListTasksRequest request;
  *request.mutable_benchmark() = *benchmark;
  Listing listing(&session.output, {"TASK", "SPLIT", "ENVIRONMENT", "PARAMETERS"});
  uint32_t shown = 0;
  bool all = false;
  do {
    request.set_page_size(
        static_cast<int>(flags.limit > 0 ? std::min<uint32_t>(flags.limit - shown, 1000) : 1000));
    const auto page = session.client->Call(&Stub::ListTasks, request);
    if (!page.ok()) return session.output.Fail(page.status());
    for (const v1::TaskInfo& task : page->tasks()) {
      const std::string parameters = absl::StrJoin(
          task.parameters(), " ",
          [](std::string* out, double value) { absl::StrAppendFormat(out, "%.4g", value); });
      listing.Add(task, task.name(),
                  {LastPart(task.name()), task.split(), task.environment(),
                   parameters.empty() ? "drawn by each lifetime" : parameters});
      ++shown;
    }
    request.set_page_token(page->next_page_token());
    all = page->next_page_token().empty();
    if (flags.limit > 0 && shown >= flags.limit && !all) {
      listing.End();
      session.output.Note(
          absl::StrFormat("%d of %d tasks; --limit shows more", shown, page->total_size()));
      return kOk;
    }
  } while (!all);
  listing.End();
  return kOk;
}

// ---- catalogue

int Catalogue(Session& session, const std::string& kind, const std::string& name) {
  v1::ListCatalogueRequest request;
  request.set_kind(kind);
  const auto answer = session.client->Call(&Stub::ListCatalogue, request);
  if (!answer.ok()) return session.output.Fail(answer.status());
  Listing listing(&session.output, {"KIND", "NAME", "WHAT"});
  bool found = false;
  for (const v1::CatalogueEntry& entry : answer->entries()) {
    if (!name.empty() && entry.name() != name) continue;
    found = true;
    if (name.empty() || !session.output.table()) {
      listing.Add(entry, entry.name(), {entry.kind(), entry.name(), entry.help()});
      continue;
    }
    std::printf("%s %s: %s\n", Printable(entry.kind()).c_str(), Printable(entry.name()).c_str(),
                Printable(entry.help()).c_str());
    if (entry.settings().empty()) continue;
    std::vector<Row> rows = {{"SETTING", "DEFAULT", "WHAT"}};
    for (const auto& setting : entry.settings()) {
      rows.push_back({setting.name(), setting.default_value(), setting.help()});
    }
    session.output.Table(rows);
  }
  if (!name.empty() && !found) {
    return session.output.Fail(absl::NotFoundError("there is no " + kind + " '" + name + "'"),
                               "'mentorctl catalogue " + kind + "' lists them");
  }
  if (name.empty() || !session.output.table()) listing.End();
  return kOk;
}

}  // namespace

void AddFleetVerbs(Commands* commands) {
  commands->Add(kFleetGroup, "peers", "List the connected learners and actors",
                "mentorctl peers\nmentorctl peers --output json",
                [](Session& session) { return Peers(session); });
  {
    const auto names = std::make_shared<std::vector<std::string>>();
    CLI::App* command = commands->Add(
        kFleetGroup, "drain", "Let actors or learners finish their work and give them no more",
        "mentorctl drain actors/a1b2c3\nmentorctl drain learners/d4e5f6",
        [=](Session& session) { return Drain(session, *names); });
    command
        ->add_option("names", *names,
                     "actors/NAME or learners/NAME; the beginning of a name is enough")
        ->type_name("PEER")
        ->required();
  }
  {
    const auto name = std::make_shared<std::string>();
    CLI::App* command = commands->Add(kFleetGroup, "shards", "List running and waiting shards",
                                      "mentorctl shards\nmentorctl shards first",
                                      [=](Session& session) { return Shards(session, *name); });
    command->add_option("name", *name, "Only the shards of this experiment")
        ->type_name("EXPERIMENT");
  }
  {
    const auto flags = std::make_shared<TaskFlags>();
    CLI::App* command =
        commands->Add(kFleetGroup, "tasks", "List the tasks of a benchmark and their split",
                      "mentorctl tasks point_reach\n"
                      "mentorctl tasks ml1 --environment door-close-v3 --limit 10\n"
                      "mentorctl tasks -f push_near_far",
                      [=](Session& session) { return Tasks(session, *flags); });
    command->add_option("benchmark", flags->benchmark, "Name of the benchmark")
        ->type_name("BENCHMARK");
    command
        ->add_option("--environment", flags->environment,
                     "Environment, for a benchmark that offers several")
        ->type_name("NAME");
    command->add_option("-f,--file", flags->file, "Take the benchmark of this spec")
        ->type_name("SPEC:FILE");
    command->add_option("--limit", flags->limit, "Show at most this many")->type_name("NUMBER");
  }
  {
    const auto kind = std::make_shared<std::string>();
    const auto name = std::make_shared<std::string>();
    CLI::App* command = commands->Add(
        kFleetGroup, "catalogue",
        "List what a spec can name: environments, benchmarks, signal networks, rules",
        "mentorctl catalogue\nmentorctl catalogue rule\nmentorctl catalogue rule black_box",
        [=](Session& session) { return Catalogue(session, *kind, *name); });
    command
        ->add_option("kind", *kind, "environment, benchmark, signal, rule, wrapper or curriculum")
        ->type_name("KIND")
        ->check(OneOf({"environment", "benchmark", "signal", "rule", "wrapper", "curriculum"}));
    command->add_option("entry", *name, "Show this entry with its settings")->type_name("NAME");
  }
}

}  // namespace mentor::ctl
