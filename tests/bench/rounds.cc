#include "tests/bench/rounds.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/check.h"
#include "common/child_process.h"
#include "tests/bench/workload.h"
#include "mentor/report/statistics.h"

namespace mentor::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPrintedBytesMax = 4 << 20;
constexpr size_t kQuotedBytesMax = 400;
constexpr auto kLastWords = std::chrono::seconds(2);

// Returns the end of what a program printed, in one line.
std::string End(std::string_view printed) {
  std::string end;
  for (const auto line : absl::StrSplit(absl::string_view(printed.data(), printed.size()), '\n',
                                        absl::SkipWhitespace()))
    absl::StrAppend(&end, end.empty() ? "" : " | ", line);
  if (end.empty()) return "it printed nothing";
  if (end.size() > kQuotedBytesMax) end = "..." + end.substr(end.size() - kQuotedBytesMax);
  return "the end of what it printed: " + end;
}

absl::Status Malformed(std::string_view what, std::string_view printed) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(what),
                   "; a program prints a line {\"figures\": {NAME: {\"value\": "
                   "NUMBER, \"unit\": TEXT}}}; ",
                   End(printed)));
}

double Load() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

double ClockMhz() {
  std::ifstream file("/proc/cpuinfo");
  double sum = 0, count = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("cpu MHz")) continue;
    sum += std::strtod(line.substr(line.find(':') + 1).c_str(), nullptr);
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

double QuantileOf(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return report::Quantile(values, q);
}

// Returns how many times better ours is. A greater rate is better; all else is better when less.
double Ahead(double ours, double theirs, std::string_view unit) {
  return unit.ends_with("/s") ? ours / theirs : theirs / ours;
}

// Returns the time left for this and all later rounds. Each program counts with its last time; a
// program that has not run yet counts with the mean of the others. Empty while nothing is known.
std::string TimeLeft(const std::vector<double>& taken, size_t at, int rounds_left) {
  double sum = 0, known = 0;
  for (const double seconds : taken) {
    if (seconds < 0) continue;
    sum += seconds;
    ++known;
  }
  if (known == 0) return "";
  double left = 0;
  for (size_t i = 0; i < taken.size(); ++i) {
    const double seconds = taken[i] < 0 ? sum / known : taken[i];
    left += seconds * (rounds_left - (i < at ? 1 : 0));
  }
  return absl::StrFormat(", about %d:%02d left", static_cast<int>(left) / 60,
                         static_cast<int>(left) % 60);
}

}  // namespace

std::string ToJson(const absl::StatusOr<RoundReport>& round) {
  nlohmann::ordered_json json;
  if (!round.ok()) {
    json["none"] = std::string(round.status().message());
    return json.dump();
  }
  json["figures"] = nlohmann::ordered_json::object();
  for (const auto& [name, figure] : round->figures) {
    json["figures"][name] = {{"value", figure.value}, {"unit", figure.unit}};
    if (!figure.goal.empty()) json["figures"][name]["goal"] = figure.goal;
  }
  for (const auto& [name, version] : round->versions) json["versions"][name] = version;
  return json.dump();
}

absl::StatusOr<RoundReport> ParseRound(std::string_view printed) {
  nlohmann::json json;
  const std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(printed.data(), printed.size()), '\n');
  for (auto line = lines.rbegin(); line != lines.rend() && !json.is_object(); ++line)
    json = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Malformed("no line of it is a JSON object", printed);
  if (json.contains("none") && json["none"].is_string())
    return absl::UnimplementedError(json["none"].get<std::string>());

  RoundReport round;
  if (!json.contains("figures") || !json["figures"].is_object() || json["figures"].empty())
    return Malformed("figures: is not there, or no object with members", printed);
  for (const auto& [name, figure] : json["figures"].items()) {
    const auto text = [&figure = figure](const char* key) {
      return figure.contains(key) && figure[key].is_string() ? figure[key].get<std::string>() : "";
    };
    if (!figure.is_object() || !figure.contains("value") || !figure["value"].is_number() ||
        !figure.contains("unit") || !figure["unit"].is_string()) {
      return Malformed(
          absl::StrCat("figures.", name, ": needs a number as value and a text as unit"), printed);
    }
    round.figures[name] = {figure["value"].get<double>(), text("unit"), text("goal")};
  }
  if (json.contains("versions") && json["versions"].is_object()) {
    for (const auto& [name, version] : json["versions"].items())
      round.versions[name] = version.is_string() ? version.get<std::string>() : version.dump();
  }
  return round;
}

absl::StatusOr<RoundReport> RunCommand(const std::vector<std::string>& command,
                                       std::chrono::duration<double> deadline) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError("no pipe to a program");
  auto child = ChildProcess::Start({.command = command, .output = ends[1], .group = true});
  close(ends[1]);
  const absl::Cleanup close_pipe = [&] { close(ends[0]); };
  MENTOR_RETURN_IF_ERROR(child.status());
  // Every program of ours blocks these signals (common/lifecycle.h), so only this loop sees them.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  const int signals = signalfd(-1, &stop, SFD_CLOEXEC);
  const absl::Cleanup close_signals = [&] { close(signals); };

  const auto start = Clock::now();
  std::string printed;
  while (true) {
    int wait_ms = -1;
    if (deadline.count() > 0) {
      const double left = deadline.count() - SecondsSince(start);
      if (left <= 0) {
        return absl::DeadlineExceededError(
            absl::StrFormat("gave no answer in %g s; give it longer (--peer_deadline) or leave it "
                            "out; %s",
                            deadline.count(), End(printed)));
      }
      wait_ms = static_cast<int>(std::min(left * 1e3 + 1, 1e9));
    }
    pollfd waits[2] = {{ends[0], POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(waits, 2, wait_ms) < 0 && errno != EINTR)
      return absl::InternalError("cannot wait for a program");
    if (waits[1].revents != 0) return absl::CancelledError("stopped by a signal");
    if (waits[0].revents == 0) continue;
    char buffer[65536];
    const ssize_t size = read(ends[0], buffer, sizeof(buffer));
    if (size <= 0) break;
    printed.append(buffer, static_cast<size_t>(size));
    if (printed.size() > kPrintedBytesMax) {
      return Malformed(absl::StrCat("printed more than ", kPrintedBytesMax, " bytes"), printed);
    }
  }
  // A program that has closed its output has nothing more to say; many close it just before their
  // end.
  MENTOR_ASSIGN_OR_RETURN(const int status, (*child)->Wait(kLastWords));
  if (status != 0) {
    return absl::AbortedError(absl::StrCat("ended with exit status ", status, "; ", End(printed)));
  }
  return ParseRound(printed);
}

double Samples::Median() const {
  return QuantileOf(values, 0.5);
}
double Samples::Low() const {
  return QuantileOf(values, 0.25);
}
double Samples::High() const {
  return QuantileOf(values, 0.75);
}

bool Results::ok() const {
  return !stopped && std::all_of(left_out.begin(), left_out.end(), [](const auto& program) {
    return absl::IsUnimplemented(program.second);
  });
}

Results RunRounds(const std::vector<Program>& programs, int rounds,
                  const std::function<void(const std::string&)>& say) {
  Results results;
  const auto add = [&results](const std::string& name, double value, const std::string& unit,
                              const std::string& goal) {
    Samples& samples = results.figures[name];
    samples.unit = unit;
    samples.goal = goal;
    samples.values.push_back(value);
  };
  std::vector<double> taken(programs.size(), -1);  // Seconds; negative: unknown.
  for (int round = 0; round < rounds; ++round) {
    RoundFacts facts{.load_before = Load(), .clock_mhz = ClockMhz()};
    const auto round_start = Clock::now();
    Figures ours;  // The figures of the current measurement.
    for (size_t i = 0; i < programs.size(); ++i) {
      const Program& program = programs[i];
      if (program.peer.empty()) ours.clear();
      if (results.left_out.contains(program.name())) continue;
      say(absl::StrCat("round ", round + 1, " of ", rounds, ": ", program.name(),
                       TimeLeft(taken, i, rounds - round)));
      const auto start = Clock::now();
      absl::StatusOr<RoundReport> said = program.run();
      taken[i] = SecondsSince(start);
      if (absl::IsCancelled(said.status())) {
        results.stopped = true;
        return results;
      }
      for (const auto& [name, figure] : said.ok() ? said->figures : Figures()) {
        const auto own = ours.find(name);
        if (program.peer.empty() || own == ours.end() || own->second.unit == figure.unit) continue;
        said = absl::InvalidArgumentError(absl::StrCat("figures.", name, ": is in '", figure.unit,
                                                       "', ours is in '", own->second.unit,
                                                       "'; say it in that unit"));
        break;
      }
      if (!said.ok()) {
        say(absl::StrCat(program.name(), " is left out: ", std::string(said.status().message())));
        results.left_out[program.name()] = said.status();
        taken[i] = 0;
        continue;
      }
      if (program.peer.empty()) ours = said->figures;
      if (!said->versions.empty()) results.versions[program.name()] = said->versions;
      for (const auto& [figure_name, figure] : said->figures) {
        const std::string name = program.measurement + "/" + figure_name;
        if (program.peer.empty()) {
          add(name, figure.value, figure.unit, figure.goal);
          continue;
        }
        add(name + " " + program.peer, figure.value, figure.unit, figure.goal);
        const auto own = ours.find(figure_name);
        if (own == ours.end() || figure.unit == "ratio") continue;
        const double ahead = Ahead(own->second.value, figure.value, figure.unit);
        if (std::isfinite(ahead)) add(name + " ahead of " + program.peer, ahead, "ratio", "");
      }
    }
    facts.seconds = SecondsSince(round_start);
    facts.load_after = Load();
    results.rounds.push_back(facts);
  }
  return results;
}

}  // namespace mentor::bench
