// Checks of a task without its model.
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/spec/parse_text.h"
#include "common/spec/ranges.h"
#include "envs/mjcf/plan.h"

namespace mentor::envs::mjcf {
namespace {

using Numbers = google::protobuf::RepeatedField<double>;

constexpr int kSizeMax = 100;

std::string Entry(const char* list, int index, const char* field = "") {
  return absl::StrCat(list, "[", index, "]", *field == '\0' ? "" : ".", field);
}

bool IsWord(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  constexpr std::string_view kAll =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  return !name.empty() && kLetters.find(name[0]) != kLetters.npos &&
         name.find_first_not_of(kAll) == name.npos;
}

// Names that a task gives: words, each once.
class GivenNames {
 public:
  explicit GivenNames(Violations* violations) : violations_(violations) {}

  void Add(const std::string& field, const std::string& name) {
    static const std::set<std::string> taken = {"action", "time", "step", "dt", "pi"};
    if (name.empty()) return;  // Another check reports its absence.
    if (!IsWord(name)) {
      violations_->Add(field, "is '" + name + "'; give a word of letters, digits and '_'");
    } else if (taken.contains(name)) {
      violations_->Add(field, "is '" + name + "', which has a meaning already; give another name");
    } else if (!names_.insert(name).second) {
      violations_->Add(field, "is '" + name + "', which is there already; give another name");
    }
  }

 private:
  Violations* const violations_;
  std::set<std::string> names_;
};

// Checks that exactly one, or at most one, of the message's fields is set.
void CheckChoice(const std::string& field, const google::protobuf::Message& message,
                 const std::vector<std::string>& choices, bool required, Violations* violations) {
  std::vector<std::string> set;
  for (const std::string& name : choices) {
    const auto* choice = message.GetDescriptor()->FindFieldByName(name);
    if (message.GetReflection()->HasField(message, choice)) set.push_back(name);
  }
  if (set.size() > 1) {
    violations->Add(field, absl::StrCat("has ", absl::StrJoin(set, " and "), "; give one of them"));
  } else if (required && set.empty()) {
    violations->Add(field,
                    absl::StrCat("says nothing; give one of ", absl::StrJoin(choices, ", ")));
  }
}

// Checks that low and high have the same length, in order. least, most: legal lengths.
void CheckBounds(const std::string& field, const Numbers& low, const Numbers& high, int least,
                 int most, bool ordered, Violations* violations) {
  if (low.size() != high.size()) {
    violations->Add(field + ".high", absl::StrCat("has ", high.size(), " numbers, low has ",
                                                  low.size(), "; give as many"));
    return;
  }
  if (low.size() < least || low.size() > most) {
    violations->Add(field + ".low", absl::StrCat("has ", low.size(), " numbers; give ", least,
                                                 most > least ? absl::StrCat(" to ", most) : "",
                                                 ", and as many of high"));
    return;
  }
  for (int i = 0; ordered && i < low.size(); ++i) {
    if (!std::isfinite(low[i]) || !std::isfinite(high[i])) continue;
    if (!std::isfinite(high[i] - low[i])) {
      violations->Add(absl::StrCat(field, ".low[", i, "]"),
                      absl::StrCat("is ", low[i], ", too far below high[", i, "], ", high[i],
                                   "; give a narrower range"));
    }
    if (low[i] <= high[i]) continue;
    violations->Add(absl::StrCat(field, ".low[", i, "]"),
                    absl::StrCat("is ", low[i], ", greater than high[", i, "], ", high[i],
                                 "; give low <= high"));
  }
}

void CheckLength(const std::string& field, const Numbers& numbers, std::initializer_list<int> legal,
                 Violations* violations) {
  if (std::find(legal.begin(), legal.end(), numbers.size()) != legal.end()) return;
  std::vector<std::string> lengths;
  for (const int length : legal) lengths.push_back(length == 0 ? "none" : absl::StrCat(length));
  violations->Add(field, absl::StrCat("has ", numbers.size(), " numbers; give ",
                                      absl::StrJoin(lengths, " or ")));
}

void CheckParameter(const std::string& field, const v1::MjcfParameter& p, Violations* violations) {
  CheckChoice(field, p, {"body", "site", "mocap", "joint", "mass", "friction", "size", "damping"},
              /*required=*/false, violations);
  const bool point = p.has_body() || p.has_site() || p.has_mocap();
  const bool field_of_model = p.has_mass() || p.has_friction() || p.has_size() || p.has_damping();
  const int most = point ? 3 : p.has_joint() ? 7 : field_of_model ? 1 : kSizeMax;
  CheckBounds(field, p.low(), p.high(), point ? 2 : 1, most, /*ordered=*/true, violations);
  for (int k = 0; field_of_model && k < p.low_size(); ++k) {
    if (p.low(k) > 0) continue;
    violations->Add(field + ".low", absl::StrCat("is ", p.low(k), "; give numbers above 0"));
  }
  if (p.after_settling() && !p.has_joint() && !p.has_mocap()) {
    violations->Add(field + ".after_settling",
                    "is for a joint or a mocap body; leave it out, or write one of these");
  }
}

void CheckAction(const v1::MjcfAction& action, Violations* violations) {
  constexpr double kActionMax = 1e30;
  if (!(action.low() < action.high())) {
    violations->Add("action.low", absl::StrCat("is ", action.low(), ", high is ", action.high(),
                                               "; give low < high"));
  }
  for (const auto& [name, bound] : {std::pair{"low", action.low()}, {"high", action.high()}}) {
    if (std::abs(bound) > kActionMax) {
      violations->Add(absl::StrCat("action.", name),
                      absl::StrCat("is ", bound, "; give a number within ", kActionMax,
                                   ": agents act with 32 bits"));
    }
  }
  if (action.has_mocap()) {
    const v1::MjcfMocap& mocap = action.mocap();
    CheckLength("action.mocap.scale", mocap.scale(), {1, 3}, violations);
    CheckLength("action.mocap.low", mocap.low(), {0, 3}, violations);
    CheckLength("action.mocap.high", mocap.high(), {0, 3}, violations);
    CheckLength("action.mocap.start", mocap.start(), {0, 3}, violations);
    CheckLength("action.mocap.orientation", mocap.orientation(), {0, 4}, violations);
  }
  for (int i = 0; i < action.actuator_size(); ++i) {
    const v1::MjcfActuator& actuator = action.actuator(i);
    CheckChoice(Entry("action.actuator", i), actuator, {"name", "index"}, /*required=*/true,
                violations);
    if (actuator.has_gain() && !(std::abs(actuator.gain()) <= kActionMax)) {
      violations->Add(Entry("action.actuator", i, "gain"),
                      absl::StrCat("is ", actuator.gain(), "; give a number within ", kActionMax));
    }
  }
  if (!action.has_mocap() && action.actuator_size() == 0)
    violations->Add("action", "moves nothing; give a mocap body or actuators");
}

void CheckNoise(const std::string& field, const v1::MjcfNoise& noise, Violations* violations) {
  CheckChoice(field, noise, {"qpos", "qvel", "body"}, /*required=*/true, violations);
  CheckBounds(field, noise.low(), noise.high(), 1, kSizeMax, /*ordered=*/!noise.normal(),
              violations);
  for (int k = 0; noise.normal() && k < noise.high_size(); ++k) {
    if (!(noise.high(k) < 0)) continue;
    violations->Add(
        absl::StrCat(field, ".high[", k, "]"),
        absl::StrCat("is ", noise.high(k), ", a standard deviation; give a number of at least 0"));
  }
  if (noise.has_body() && noise.after_settling()) {
    violations->Add(field + ".after_settling",
                    "is for joints; leave it out: a body has its place before anything settles");
  }
}

void CheckParts(const v1::MjcfTask& task, Violations* violations) {
  for (int i = 0; i < task.quantity_size(); ++i) {
    CheckChoice(Entry("quantity", i), task.quantity(i),
                {"body", "site", "geom", "joint", "sensor", "actuator"}, /*required=*/true,
                violations);
  }
  for (int i = 0; i < task.observation_size(); ++i) {
    const v1::MjcfObservation& o = task.observation(i);
    const std::string field = Entry("observation", i);
    CheckChoice(
        field, o,
        {"sensor", "qpos", "qvel", "position", "orientation", "expression", "parameter", "zeros"},
        /*required=*/true, violations);
    if (o.low_size() + o.high_size() > 0)
      CheckBounds(field, o.low(), o.high(), 1, kSizeMax, /*ordered=*/true, violations);
  }
  for (int i = 0; i < task.parameter_size(); ++i)
    CheckParameter(Entry("parameter", i), task.parameter(i), violations);
  if (task.has_action()) {
    CheckAction(task.action(), violations);
  } else {
    violations->Add("action", "is missing; give action { actuator { name: \"...\" } }");
  }
  for (int i = 0; i < task.reset().noise_size(); ++i)
    CheckNoise(Entry("reset.noise", i), task.reset().noise(i), violations);
  if (task.observation_size() == 0)
    violations->Add("observation", "is missing; say what the agent sees");
  if (task.reward_size() == 0)
    violations->Add("reward", "is missing; give reward { name: \"...\" expression: \"...\" }");
}

}  // namespace

v1::MjcfTask ReadTask(std::string_view text, Violations* violations) {
  v1::MjcfTask task;
  // The rest was not read, so its absence proves nothing.
  if (!spec::ParseText(text, &task, violations, kTaskFile)) return {};
  spec::CheckRanges(task, violations);
  GivenNames names(violations);
  const auto add = [&](const char* list, const auto& entries) {
    for (int i = 0; i < entries.size(); ++i) names.Add(Entry(list, i, "name"), entries[i].name());
  };
  add("quantity", task.quantity());
  add("parameter", task.parameter());
  add("value", task.value());
  add("reward", task.reward());
  CheckParts(task, violations);
  return task;
}

}  // namespace mentor::envs::mjcf
