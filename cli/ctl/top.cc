// The verb `top`.
#include "cli/ctl/top.h"

#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/screen.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/process/command_line.h"
#include "common/resources/names.h"
#include "common/resources/states.h"

namespace mentor::ctl {
namespace {

using S = v1::Experiment;

// Sort order: running experiments first, then those that stop, then the next in line.
int Rank(const v1::Experiment& experiment) {
  constexpr S::State kOrder[] = {S::STATE_RUNNING, S::STATE_PAUSING, S::STATE_CANCELLING,
                                 S::STATE_QUEUED, S::STATE_PAUSED};
  const auto found = std::find(std::begin(kOrder), std::end(kOrder), experiment.state());
  const auto rank = static_cast<int>(found - std::begin(kOrder));
  return rank > 1 ? rank - 1 : rank;  // Pausing and cancelling are one.
}

int PriorityRank(const v1::Experiment& experiment) {
  const v1::Priority priority = experiment.priority();
  return priority == v1::PRIORITY_UNSPECIFIED ? v1::PRIORITY_NORMAL : priority;
}

std::string Bar(const v1::Progress& progress, int width) {
  const bool evaluating = progress.evaluation_lifetimes_total() > 0 &&
                          progress.outer_updates() >= progress.outer_updates_total();
  const uint64_t done = evaluating ? progress.evaluation_lifetimes() : progress.outer_updates();
  const uint64_t total =
      evaluating ? progress.evaluation_lifetimes_total() : progress.outer_updates_total();
  const size_t filled = total == 0 ? 0 : std::min<uint64_t>(done * width / total, width);
  return absl::StrCat("[", std::string(filled, '#'), std::string(width - filled, '-'), "] ", done,
                      "/", total, evaluating ? " eval" : "");
}

struct Fleet {
  int learners = 0;
  int actors = 0;
  uint64_t threads = 0;
};

Fleet Sum(const FleetPicture& picture) {
  Fleet fleet;
  for (const v1::Peer& peer : picture.peers) {
    if (IsLearner(peer)) {
      ++fleet.learners;
    } else {
      ++fleet.actors;
      fleet.threads += peer.threads();
    }
  }
  return fleet;
}

// Says what a peer waits for, or does besides its work.
std::string NoteOf(const v1::Peer& peer, const FleetPicture& picture) {
  if (peer.quarantined()) return "kept away";
  if (peer.draining()) return "draining";
  if (IsLearner(peer) && !HasActors(picture.peers, peer)) return "waits for actors";
  return peer.work() == 0 ? "waits for work" : "";
}

// True if the rates of an experiment, with what it waits for, are those of now.
bool IsBusy(const v1::Experiment& experiment, const std::string& waits) {
  return experiment.state() == S::STATE_RUNNING &&
         (waits.empty() || absl::StartsWith(waits, "a slot"));
}

// Running ones come first, then higher classes, then older ones.
std::vector<v1::Experiment> Sorted(std::vector<v1::Experiment> experiments) {
  std::stable_sort(experiments.begin(), experiments.end(),
                   [](const v1::Experiment& a, const v1::Experiment& b) {
                     if (Rank(a) != Rank(b)) return Rank(a) < Rank(b);
                     if (PriorityRank(a) != PriorityRank(b))
                       return PriorityRank(a) > PriorityRank(b);
                     return FromProto(a.create_time()) < FromProto(b.create_time());
                   });
  return experiments;
}

// `waits`: what each experiment waits for.
std::vector<Row> TableOfExperiments(const std::vector<v1::Experiment>& experiments,
                                    const std::vector<std::string>& waits, int bar_width) {
  std::vector<Row> table = {
      {"EXPERIMENT", "STATE", "PRIORITY", "PROGRESS", "STEPS/S", "LEFT", "WAITS FOR"}};
  for (size_t i = 0; i < experiments.size(); ++i) {
    const v1::Experiment& experiment = experiments[i];
    const std::string state = StateText(experiment.state());
    const v1::Progress& progress = experiment.progress();
    const bool busy = IsBusy(experiment, waits[i]);
    table.push_back({ShortName(experiment.name()), Cell(state, StyleOfState(state)),
                     PriorityText(experiment.priority()), Bar(progress, bar_width),
                     busy ? Count(progress.env_steps_per_second()) : "-",
                     busy && progress.seconds_left() > 0 ? Span(progress.seconds_left()) : "-",
                     waits[i]});
  }
  return table;
}

std::vector<Row> TableOfPeers(const FleetPicture& picture) {
  std::vector<Row> table = {
      {"PEER", "HOST", "THREADS", "WORK", "STEPS/S", "ROUND TRIP", "UP", "NOTE"}};
  for (const v1::Peer& peer : picture.peers) {
    table.push_back({(IsLearner(peer) ? "" : "  ") + ShortPeer(peer.name()), peer.host(),
                     ThreadsText(peer), WorkText(peer),
                     peer.work() == 0 ? "-" : Count(peer.env_steps_per_second()),
                     RoundTripText(peer),
                     Span(absl::ToDoubleSeconds(picture.now - FromProto(peer.connect_time()))),
                     NoteOf(peer, picture)});
  }
  return table;
}

// Queries everything once. On an error, `picture` stays unchanged.
absl::Status Look(Client* client, FleetPicture* picture) {
  MENTOR_ASSIGN_OR_RETURN(auto experiments, OpenExperiments(client));
  MENTOR_ASSIGN_OR_RETURN(const auto peers,
                          client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest()));
  MENTOR_ASSIGN_OR_RETURN(const auto shards,
                          client->CallForAll(&Stub::ListShards, v1::ListShardsRequest()));
  picture->experiments = std::move(experiments);
  picture->peers.assign(peers.peers().begin(), peers.peers().end());
  picture->shards.assign(shards.shards().begin(), shards.shards().end());
  return absl::OkStatus();
}

int Once(const Output& output, const FleetPicture& picture) {
  if (output.table()) {
    for (const std::string& line :
         DrawFleet(picture, output.options().columns, 0, output.options().color)) {
      std::printf("%s\n", line.c_str());
    }
    return kOk;
  }
  Listing listing(&output, {});
  for (const auto& experiment : picture.experiments) listing.Add(experiment, experiment.name(), {});
  for (const auto& peer : picture.peers) listing.Add(peer, peer.name(), {});
  for (const auto& shard : picture.shards) listing.Add(shard, shard.name(), {});
  return listing.End();
}

struct TopFlags {
  bool once = false;
  double seconds = 1;
};

absl::StatusOr<int> Top(Session& session, const TopFlags& flags) {
  FleetPicture picture = {.server = session.client->server(), .now = absl::Now()};
  // An error at the first query ends the command.
  MENTOR_RETURN_IF_ERROR(Look(session.client, &picture));
  if (flags.once || !session.output.table() || !Screen::Possible())
    return Once(session.output, picture);
  Screen screen;
  for (;;) {
    picture.now = absl::Now();
    screen.Show(
        DrawFleet(picture, screen.columns(), screen.rows(), session.output.options().color));
    // Wait in small steps, so that `q` takes effect quickly.
    const absl::Time next = picture.now + absl::Seconds(flags.seconds);
    while (absl::Now() < next) {
      if (screen.QuitTyped()) return kOk;
      if (!session.client->Wait(std::chrono::milliseconds(100))) return kInterrupted;
    }
    const absl::Status status = Look(session.client, &picture);
    if (session.client->interrupted()) return kInterrupted;
    if (!status.ok() && ExitCodeOf(status) != kUnavailable) return status;
    picture.trouble =
        status.ok() ? "" : absl::StrCat("lost the server (", status.message(), "); trying again");
  }
}

}  // namespace

std::string WaitsFor(const v1::Experiment& experiment, const FleetPicture& picture) {
  switch (experiment.state()) {
    case S::STATE_QUEUED: {
      const auto running =
          std::count_if(picture.experiments.begin(), picture.experiments.end(),
                        [](const v1::Experiment& one) { return one.state() == S::STATE_RUNNING; });
      return running > 0 ? absl::StrFormat("a place (%d running)", running) : "the scheduler";
    }
    case S::STATE_PAUSED:
      if (experiment.pause_reason() == S::PAUSE_REASON_STORAGE_QUOTA)
        return "room in the owner's quota";
      return experiment.pause_reason() == S::PAUSE_REASON_DISK_FULL ? "room on the disk"
                                                                    : "mentorctl resume";
    case S::STATE_RUNNING: {
      if (std::string told = WaitedFor(experiment.activity()); !told.empty()) return told;
      const Fleet fleet = Sum(picture);
      if (fleet.learners == 0) return "learners";
      if (fleet.actors == 0) return "actors";
      const std::string prefix = experiment.name() + "/";
      int waiting = 0;
      for (const v1::ShardInfo& shard : picture.shards) {
        waiting +=
            absl::StartsWith(shard.name(), prefix) && shard.state() == v1::ShardInfo::STATE_WAITING;
      }
      return waiting > 0
                 ? absl::StrFormat("a slot for %d shard%s", waiting, waiting == 1 ? "" : "s")
                 : "";
    }
    default:
      return "";
  }
}

std::vector<std::string> DrawFleet(const FleetPicture& picture, int columns, int rows, bool color) {
  const std::vector<v1::Experiment> experiments = Sorted(picture.experiments);
  int running = 0, queued = 0, paused = 0;
  for (const v1::Experiment& experiment : experiments) {
    running += Rank(experiment) <= 1;
    queued += experiment.state() == S::STATE_QUEUED;
    paused += experiment.state() == S::STATE_PAUSED;
  }
  const Fleet fleet = Sum(picture);
  const auto clip = [&](const std::string& line) {
    const std::string printable = Printable(line);
    return columns > 0 ? Clip(printable, static_cast<size_t>(columns)) : printable;
  };

  std::vector<std::string> lines;
  lines.push_back(Styled(
      clip(absl::StrCat("mentor  ", picture.server, "  ",
                        absl::FormatTime("%H:%M:%S", picture.now, absl::LocalTimeZone()), "  ",
                        running, " running, ", queued, " queued, ", paused, " paused")),
      Style::kBold, color));
  std::vector<std::string> waits;
  double steps_per_second = 0;
  for (const v1::Experiment& experiment : experiments) {
    waits.push_back(WaitsFor(experiment, picture));
    if (IsBusy(experiment, waits.back()))
      steps_per_second += experiment.progress().env_steps_per_second();
  }
  lines.push_back(
      clip(absl::StrCat(fleet.learners, fleet.learners == 1 ? " learner, " : " learners, ",
                        fleet.actors, fleet.actors == 1 ? " actor, " : " actors, ", fleet.threads,
                        " threads, ", Count(steps_per_second), " steps/s")));
  lines.push_back(Styled(clip(picture.trouble), Style::kWarning, color));

  const int bar_width = columns > 0 && columns < 100 ? 8 : 20;
  const std::vector<Row> table = TableOfExperiments(experiments, waits, bar_width);
  const std::vector<Row> peers = TableOfPeers(picture);
  // Experiments take the rows that the fleet leaves, but at least half of them.
  const auto add = [&](std::vector<Row> part, size_t room, const char* what,
                       const std::vector<std::string>& expendable) {
    part = WithRoom(std::move(part), columns, expendable);
    const size_t all = part.size();
    const bool cut = rows > 0 && all > room;
    if (cut) part.resize(std::max<size_t>(room, 2) - 1);
    for (std::string& line : TableLines(part, columns, color)) lines.push_back(std::move(line));
    if (cut) lines.push_back(clip(absl::StrFormat("  and %d more %s", all - part.size(), what)));
  };
  const size_t room = rows > static_cast<int>(lines.size()) + 1 ? rows - lines.size() - 1 : 0;
  const size_t for_peers =
      std::min(peers.size(), std::max(room / 2, room - std::min(room, table.size())));
  add(table, room - for_peers, "experiments", {"PRIORITY", "STEPS/S", "LEFT"});
  lines.push_back("");
  add(peers, for_peers, "peers", {"UP", "HOST", "THREADS", "ROUND TRIP", "WORK"});
  if (rows > 0 && lines.size() > static_cast<size_t>(rows)) lines.resize(rows);
  return lines;
}

void AddTopVerb(Commands* commands) {
  const auto [command, flags] = commands->Add<TopFlags>(
      kFleetGroup, "top", "Watch the fleet and its experiments live; q quits",
      "mentorctl top\nmentorctl top --once\nmentorctl top --once --output json", Top);
  command->add_flag("--once", flags->once, "Print once and exit; the default without a terminal");
  AddOption(command, "--every", &flags->seconds, "SECONDS", "Seconds between updates")
      ->check(NumberIn(0.2, 3600))
      ->capture_default_str();
}

}  // namespace mentor::ctl
