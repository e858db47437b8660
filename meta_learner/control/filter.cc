#include "meta_learner/control/filter.h"

#include <cctype>
#include <cmath>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

constexpr size_t kBytesMax = 4096;
constexpr size_t kTermsMax = 32;

// Value of a field in comparisons. Times are nanoseconds; 0: not set yet.
using Value = std::variant<std::string, double, int64_t>;
enum class Kind { kText, kState, kPriority, kNumber, kTime };
struct Field {
  Kind kind;
  std::function<Value(const S&)> of;
};

Value Time(bool has, const google::protobuf::Timestamp& time) {
  return has ? TimeUtil::TimestampToNanoseconds(time) : int64_t{0};
}

const std::map<std::string, Field, std::less<>>& Fields() {
  static const std::map<std::string, Field, std::less<>> fields = {
      {"name", {Kind::kText, [](const S& e) { return ExperimentIdOf(e.name()).value_or(""); }}},
      {"state", {Kind::kState, [](const S& e) { return StateText(e.state()); }}},
      {"owner", {Kind::kText, [](const S& e) { return e.owner(); }}},
      {"priority", {Kind::kPriority, [](const S& e) { return PriorityText(e.priority()); }}},
      {"display_name", {Kind::kText, [](const S& e) { return e.display_name(); }}},
      {"rule", {Kind::kText, [](const S& e) { return e.spec().rule().name(); }}},
      {"benchmark", {Kind::kText, [](const S& e) { return e.spec().benchmark().name(); }}},
      {"environment", {Kind::kText, [](const S& e) { return e.spec().benchmark().environment(); }}},
      {"signal", {Kind::kText, [](const S& e) { return e.spec().signal().name(); }}},
      {"seed", {Kind::kNumber, [](const S& e) { return static_cast<double>(e.spec().seed()); }}},
      {"weight", {Kind::kNumber, [](const S& e) { return static_cast<double>(e.weight()); }}},
      {"create_time",
       {Kind::kTime, [](const S& e) { return Time(e.has_create_time(), e.create_time()); }}},
      {"update_time",
       {Kind::kTime, [](const S& e) { return Time(e.has_update_time(), e.update_time()); }}},
      {"start_time",
       {Kind::kTime, [](const S& e) { return Time(e.has_start_time(), e.start_time()); }}},
      {"end_time", {Kind::kTime, [](const S& e) { return Time(e.has_end_time(), e.end_time()); }}},
  };
  return fields;
}

struct Term {
  Field field;
  std::string op;  // Empty: `value` is plain text, and any field of texts may have it.
  Value value;
};

bool Contains(const std::string& text, const Value& part) {
  return absl::StrContains(absl::AsciiStrToLower(text),
                           absl::AsciiStrToLower(std::get<std::string>(part)));
}

bool AnyContains(const S& experiment, const Value& part) {
  for (const auto& [name, field] : Fields()) {
    if (field.kind == Kind::kText && Contains(std::get<std::string>(field.of(experiment)), part))
      return true;
  }
  for (const auto& [key, label] : experiment.labels()) {
    if (Contains(label, part)) return true;
  }
  return false;
}

bool Holds(const Term& term, const S& experiment) {
  if (term.op.empty()) return AnyContains(experiment, term.value);
  const Value found = term.field.of(experiment);
  if (term.op == ":") return Contains(std::get<std::string>(found), term.value);
  // A time that is not set yet is neither before nor after any time.
  if (term.field.kind == Kind::kTime && std::get<int64_t>(found) == 0) return term.op == "!=";
  if (term.op == "=") return found == term.value;
  if (term.op == "!=") return found != term.value;
  if (term.op == "<") return found < term.value;
  if (term.op == "<=") return found <= term.value;
  if (term.op == ">") return found > term.value;
  return found >= term.value;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Term>> Parse() {
    std::vector<Term> terms;
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(Term term, ParseTerm());
      terms.push_back(std::move(term));
      if (terms.size() > kTermsMax)
        return Error(absl::StrFormat("has more than %d conditions", kTermsMax));
      SkipSpace();
      if (at_ == text_.size()) return terms;
      const size_t word_at = at_;
      if (Word() == "AND") continue;
      at_ = word_at;
      // Between two words of plain text nothing needs to stand.
      if (!terms.back().op.empty() || !IsText())
        return Error("expected AND between two conditions");
    }
  }

 private:
  absl::Status Error(const std::string& what) const {
    return BadField("filter", absl::StrFormat("%s, at character %d", what, at_ + 1));
  }

  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  std::string Word() {
    const size_t begin = at_;
    while (at_ < text_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(text_[at_])) ||
            std::string_view("_-./").find(text_[at_]) != std::string_view::npos))
      ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  // Reads a quoted value, or up to the next space.
  absl::StatusOr<std::string> ValueText() {
    std::string value;
    if (at_ < text_.size() && text_[at_] == '"') {
      for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        value += text_[at_];
      }
      if (at_ == text_.size()) return Error("a quoted value has no end");
      ++at_;
      return value;
    }
    while (at_ < text_.size() && !absl::ascii_isspace(static_cast<unsigned char>(text_[at_])))
      value += text_[at_++];
    if (value.empty()) return Error("a value is missing; give \"\" for an empty one");
    return value;
  }

  absl::StatusOr<Field> ParseField() {
    const size_t begin = at_;
    const std::string name = Word();
    if (name.starts_with("labels.") && name.size() > std::string_view("labels.").size()) {
      return Field{Kind::kText,
                   [key = name.substr(std::string_view("labels.").size())](const S& e) -> Value {
                     const auto label = e.labels().find(key);
                     return label == e.labels().end() ? std::string() : label->second;
                   }};
    }
    const auto field = Fields().find(name);
    if (field != Fields().end()) return field->second;
    at_ = begin;
    const std::string fields = absl::StrJoin(
        Fields(), ", ", [](std::string* out, const auto& entry) { out->append(entry.first); });
    return Error(absl::StrFormat("'%s' is not a field; there are %s and labels.KEY",
                                 name.substr(0, 60), fields));
  }

  std::string_view Operator() {
    SkipSpace();
    for (const char* op : {"!=", "<=", ">=", "=", "<", ">", ":"}) {
      if (text_.substr(at_).starts_with(op)) return op;
    }
    return "";
  }

  // True if plain text stands here: neither a field nor something that is compared.
  bool IsText() {
    const size_t begin = at_;
    const std::string word = Word();
    const bool compares = !Operator().empty();
    const bool ends = at_ == text_.size();
    at_ = begin;
    if (word.empty()) return !compares && !ends;
    return !compares && word != "AND" && word != "OR" && word != "NOT" &&
           !Fields().contains(word) && !word.starts_with("labels.");
  }

  absl::StatusOr<Term> ParseTerm() {
    SkipSpace();
    Term term;
    if (IsText()) {
      MENTOR_ASSIGN_OR_RETURN(term.value, ValueText());
      return term;
    }
    MENTOR_ASSIGN_OR_RETURN(term.field, ParseField());
    term.op = std::string(Operator());
    if (term.op.empty()) {
      return Error(
          "expected one of = != < <= > >= and :; quotes around the word look for it as "
          "text");
    }
    if (term.op == ":" && term.field.kind != Kind::kText)
      return Error("':' looks into texts only; compare with = here");
    at_ += term.op.size();
    SkipSpace();
    const size_t value_at = at_;
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ValueText());
    const absl::StatusOr<Value> value = ToValue(term.field.kind, text);
    if (!value.ok()) {
      at_ = value_at;
      return Error(std::string(value.status().message()));
    }
    term.value = *value;
    return term;
  }

  static absl::StatusOr<Value> ToValue(Kind kind, const std::string& text) {
    switch (kind) {
      case Kind::kText:
        return text;
      // Enum values are given by name, with or without their prefix.
      case Kind::kState: {
        if (const auto state = ParseState(text)) return StateText(*state);
        std::vector<std::string> states;
        for (const ExperimentState state : AllStates()) states.push_back(StateText(state));
        return absl::InvalidArgumentError(absl::StrFormat("'%s' is not a state; give one of %s",
                                                          text.substr(0, 60),
                                                          absl::StrJoin(states, ", ")));
      }
      case Kind::kPriority:
        if (const auto priority = ParsePriority(text)) return PriorityText(*priority);
        return absl::InvalidArgumentError(absl::StrFormat(
            "'%s' is not a priority; give LOW, NORMAL or HIGH", text.substr(0, 60)));
      case Kind::kNumber: {
        double number = 0;
        if (absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
        return absl::InvalidArgumentError(
            absl::StrFormat("'%s' is not a number", text.substr(0, 60)));
      }
      case Kind::kTime: {
        google::protobuf::Timestamp time;
        if (TimeUtil::FromString(text, &time)) return TimeUtil::TimestampToNanoseconds(time);
        return absl::InvalidArgumentError(absl::StrFormat(
            "'%s' is not a time; give one such as 2026-01-31T12:00:00Z", text.substr(0, 60)));
      }
    }
    return absl::InternalError("no such kind");
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<ExperimentFilter> ParseFilter(std::string_view text) {
  if (absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())).empty())
    return ExperimentFilter();
  if (text.size() > kBytesMax) {
    return BadField(
        "filter", absl::StrFormat("has %d bytes, at most %d are allowed", text.size(), kBytesMax));
  }
  MENTOR_ASSIGN_OR_RETURN(std::vector<Term> terms, Parser(text).Parse());
  return [terms = std::move(terms)](const v1::Experiment& experiment) {
    for (const Term& term : terms) {
      if (!Holds(term, experiment)) return false;
    }
    return true;
  };
}

}  // namespace mentor::meta_learner
