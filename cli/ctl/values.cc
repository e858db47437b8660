#include "cli/ctl/values.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <google/protobuf/util/time_util.h>

#include "common/edit_distance.h"
#include "common/progress_bar.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/uuid.h"

namespace mentor::ctl {
namespace {

using google::protobuf::util::TimeUtil;

absl::string_view Absl(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status Bad(std::string_view flag, std::string_view value, std::string_view remedy) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s '%s': %s", Absl(flag), Absl(value), Absl(remedy)));
}

}  // namespace

std::string FullName(std::string_view name) {
  return name.starts_with(kExperimentsPrefix) ? std::string(name) : ExperimentName(name);
}

std::string ShortName(std::string_view name) {
  return std::string(name.starts_with(kExperimentsPrefix) ? name.substr(kExperimentsPrefix.size())
                                                          : name);
}

std::string LastPart(std::string_view name) {
  const size_t slash = name.rfind('/');
  return std::string(slash == name.npos ? name : name.substr(slash + 1));
}

std::string ShortPeer(std::string_view name) {
  const std::string id = LastPart(name);
  return std::string(name.substr(0, name.size() - (IsUuid(id) ? id.size() - 8 : 0)));
}

bool IsLearner(const v1::Peer& peer) {
  return peer.name().starts_with(kLearnersPrefix);
}

bool HasActors(const std::vector<v1::Peer>& peers, const v1::Peer& learner) {
  return std::ranges::find(peers, learner.name(), &v1::Peer::learner) != peers.end();
}

std::string ThreadsText(const v1::Peer& peer) {
  return IsLearner(peer) ? "-" : absl::StrCat(peer.threads());
}

std::string WorkText(const v1::Peer& peer) {
  return IsLearner(peer) ? absl::StrFormat("%d/%d shards", peer.work(), peer.shard_slots())
                         : absl::StrFormat("%d units", peer.work());
}

std::string RoundTripText(const v1::Peer& peer) {
  if (!peer.has_round_trip()) return "-";
  return absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(FromProto(peer.round_trip())));
}

absl::StatusOr<std::string> FullCheckpointName(std::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(ShortName(name), '/');
  if (parts.size() != 3 || parts[0].empty() || parts[1] != kCheckpoints || parts[2].empty()) {
    return Bad("checkpoint", name, "give EXPERIMENT/checkpoints/NUMBER, as 'checkpoints' shows it");
  }
  std::string number = parts[2];
  const bool digits = number.find_first_not_of("0123456789") == number.npos;
  if (digits && number.size() < 8) number.insert(0, 8 - number.size(), '0');
  return absl::StrCat(ExperimentName(parts[0]), "/checkpoints/", number);
}

std::string StateNames(std::string_view separator) {
  const auto name = [](std::string* out, ExperimentState state) { out->append(StateText(state)); };
  return absl::StrJoin(AllStates(), Absl(separator), name);
}

absl::StatusOr<v1::Experiment::State> ParseState(std::string_view flag, std::string_view text) {
  if (const auto state = mentor::ParseState(text)) return *state;
  const std::string all = StateNames(", ");
  const std::vector<std::string> names = absl::StrSplit(all, ", ");
  return Bad(flag, text,
             "give one of " + all +
                 (NearestNames(text, names).empty() ? "" : "; " + NameHint(text, names)));
}

absl::StatusOr<v1::Priority> ParsePriority(std::string_view flag, std::string_view text) {
  if (const auto priority = mentor::ParsePriority(text)) return *priority;
  const std::vector<std::string> names = {"low", "normal", "high"};
  return Bad(flag, text,
             std::string("give low, normal or high") +
                 (NearestNames(text, names).empty() ? "" : "; " + NameHint(text, names)));
}

std::string Trouble(const v1::Experiment& experiment) {
  if (!experiment.error().message().empty()) return experiment.error().message();
  if (experiment.pause_reason() == v1::Experiment::PAUSE_REASON_DISK_FULL) {
    return "the disk of the meta-learner is full; it resumes when there is room";
  }
  return "";
}

std::string EventText(const v1::WatchLogsResponse& line) {
  const auto field = [&](const char* key) {
    const auto found = line.fields().find(key);
    return found == line.fields().end() ? std::string() : found->second;
  };
  const std::string event = field("event");
  const bool trouble = line.severity() == "warning" || line.severity() == "error";
  if (event.empty() && !trouble) return "";
  if (event == "changed") {
    // The field is a method name such as "PauseExperiment".
    return absl::StrCat(absl::StripSuffix(field("method"), "Experiment"), " by ", field("who"));
  }
  std::string text = line.message();
  std::vector<std::string> details;
  if (event == "updates") {
    text = absl::StrCat("outer updates: ", field("done"), " of ", field("of"));
    details.push_back("meta_return " + field("meta_return"));
    if (field("checkpoint") != "0") details.push_back("checkpoint " + field("checkpoint"));
  }
  if (!field("learner").empty()) details.push_back(ShortPeer(field("learner")));
  for (const char* key : {"detail", "outer_step", "lifetimes", "state", "why"}) {
    if (field(key).empty()) continue;
    const bool named =
        std::string_view(key) == "outer_step" || std::string_view(key) == "lifetimes";
    details.push_back(named ? absl::StrCat(key, " ", field(key)) : field(key));
  }
  return details.empty() ? text : absl::StrCat(text, ": ", absl::StrJoin(details, ", "));
}

std::string WaitedFor(std::string_view activity) {
  constexpr std::string_view kWaiting = "waiting for ";
  const size_t begin = activity.find(kWaiting);
  return begin == activity.npos ? "" : std::string(activity.substr(begin + kWaiting.size()));
}

absl::StatusOr<absl::Duration> ParseSpan(std::string_view flag, std::string_view text) {
  constexpr std::string_view kRemedy = "give a span such as 90s, 30m, 2h, 1h30m or 7d";
  absl::Duration days;
  std::string_view rest = text;
  // Abseil has no unit for days.
  if (const size_t letter = rest.find('d'); letter != rest.npos) {
    double number = 0;
    if (!absl::SimpleAtod(Absl(rest.substr(0, letter)), &number)) return Bad(flag, text, kRemedy);
    days = absl::Hours(24) * number;
    rest.remove_prefix(letter + 1);
  }
  absl::Duration span;
  if (!rest.empty() || rest.size() == text.size()) {
    if (!absl::ParseDuration(Absl(rest), &span)) return Bad(flag, text, kRemedy);
  }
  span += days;
  if (span <= absl::ZeroDuration() || span > absl::Hours(24 * 36500)) {
    return Bad(flag, text, kRemedy);
  }
  return span;
}

absl::StatusOr<absl::Time> ParseWhen(std::string_view flag, std::string_view text, absl::Time now) {
  absl::Time time;
  std::string ignored;
  if (absl::ParseTime(absl::RFC3339_full, Absl(text), &time, &ignored)) return time;
  const auto span = ParseSpan(flag, text);
  if (span.ok()) return now + *span;
  return Bad(flag, text,
             "give a span from now such as 2h or 7d, or a time such as "
             "2026-03-01T08:00:00Z");
}

absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(std::string_view flag,
                                                               std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) return Bad(flag, text, "give KEY=VALUE");
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  return TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

google::protobuf::Duration ToProto(absl::Duration span) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(span));
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& span) {
  return absl::Seconds(span.seconds()) + absl::Nanoseconds(span.nanos());
}

std::string Ago(absl::Time time, absl::Time now) {
  const bool future = time > now + absl::Seconds(1);
  const int64_t seconds =
      std::max<int64_t>(0, absl::ToInt64Seconds(future ? time - now : now - time));
  std::string text;
  if (seconds < 120) {
    text = absl::StrFormat("%ds", seconds);
  } else if (seconds < 7200) {
    text = absl::StrFormat("%dm", seconds / 60);
  } else if (seconds < 172800) {
    text = absl::StrFormat("%dh", seconds / 3600);
  } else {
    text = absl::StrFormat("%dd", seconds / 86400);
  }
  return future ? "in " + text : text + " ago";
}

std::string Span(double seconds) {
  return seconds >= 0 && std::isfinite(seconds) ? ShortSpan(seconds) : "-";
}

std::string Count(double value) {
  return ShortCount(value);
}

std::string Bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return absl::StrFormat("%d B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Number(double value) {
  char text[32];
  for (const int digits : {6, 9, 15, 17}) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

std::string LocalTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

}  // namespace mentor::ctl
