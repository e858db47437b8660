#include "common/spec/spec.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/spec/base.h"
#include "common/spec/canonical.h"
#include "common/spec/defaults.h"
#include "common/spec/overrides.h"
#include "common/spec/parse_text.h"
#include "common/spec/ranges.h"
#include "common/spec/wording.h"
#include "common/spec/yaml.h"
#include "common/status.h"

namespace mentor {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// ---- Rules between fields.

void CheckSurrogate(const v1::AgentSpec& agent, Violations* violations) {
  if (agent.surrogate() == v1::DPO) return;
  const char* what =
      "is set, but the drift that it belongs to is not; set agent.surrogate to DPO, or leave it "
      "out";
  if (agent.has_dpo_alpha()) violations->Add("agent.dpo_alpha", what);
  if (agent.has_dpo_beta()) violations->Add("agent.dpo_beta", what);
}

void CheckTogether(const v1::ExperimentSpec& spec, Violations* violations) {
  const uint32_t steps = spec.lifetime().steps_per_iteration();
  const uint32_t minibatches = spec.agent().minibatches();
  if (minibatches > 0 && steps >= 2 && steps / minibatches < 2) {
    violations->Add(
        "agent.minibatches",
        absl::StrFormat(
            "is %d, which leaves %d of lifetime.steps_per_iteration = %d steps in a minibatch; "
            "give at most %d, so that a minibatch has 2 steps or more",
            minibatches, steps / minibatches, steps, std::max(1u, steps / 2)));
  } else if (minibatches > 0 && steps >= 2 && steps % (steps / minibatches) == 1 &&
             spec.agent().normalize_advantage() && spec.lifetime().iterations() > 1) {
    violations->Add(
        "agent.minibatches",
        absl::StrFormat(
            "is %d, which cuts lifetime.steps_per_iteration = %d steps into minibatches of %d and "
            "one of a single step, whose advantage cannot be standardised; change one of the two, "
            "or set agent.normalize_advantage to false",
            minibatches, steps, steps / minibatches));
  }
  CheckSurrogate(spec.agent(), violations);
  const v1::RuleSpec& rule = spec.rule();
  if (rule.shard_lifetimes() > 0 && rule.lifetimes_per_update() % rule.shard_lifetimes() != 0) {
    violations->Add(
        "rule.shard_lifetimes",
        absl::StrFormat(
            "is %d, which does not divide rule.lifetimes_per_update = %d; give a divisor of it",
            rule.shard_lifetimes(), rule.lifetimes_per_update()));
  }
  const uint32_t every = std::max(1u, spec.checkpoint().every());
  const uint32_t checkpoints = (rule.outer_updates() + every - 1) / every;
  if (const uint32_t wanted = spec.evaluation().averaged_checkpoints();
      wanted > checkpoints && rule.outer_updates() > 0) {
    violations->Add("evaluation.averaged_checkpoints",
                    absl::StrFormat("is %d, more than the run makes (rule.outer_updates = %d, "
                                    "checkpoint.every = %d); give at most %d",
                                    wanted, rule.outer_updates(), every, checkpoints));
  }
  // Lifetime numbers have 32 bits; the number is the key of their randomness.
  const uint64_t lifetimes = uint64_t{rule.outer_updates()} * rule.lifetimes_per_update();
  if (lifetimes > std::numeric_limits<uint32_t>::max()) {
    violations->Add(
        "rule.outer_updates",
        absl::StrFormat(
            "is %d, which makes %d lifetimes with rule.lifetimes_per_update = %d; give at most "
            "%d, so that there are fewer than 2^32",
            rule.outer_updates(), lifetimes, rule.lifetimes_per_update(),
            std::numeric_limits<uint32_t>::max() / rule.lifetimes_per_update()));
  }
}

// Replaces the fields that CheckTogether names by values that are compatible with all others.
void SettleTogether(const Violations& clashes, v1::ExperimentSpec* spec) {
  v1::RuleSpec* rule = spec->mutable_rule();
  for (const Violation& clash : clashes.list()) {
    if (clash.field == "agent.minibatches") spec->mutable_agent()->set_minibatches(1);
    if (clash.field == "agent.dpo_alpha") spec->mutable_agent()->clear_dpo_alpha();
    if (clash.field == "agent.dpo_beta") spec->mutable_agent()->clear_dpo_beta();
    if (clash.field == "rule.shard_lifetimes")
      rule->set_shard_lifetimes(rule->lifetimes_per_update());
    if (clash.field == "rule.outer_updates") rule->set_outer_updates(1);
  }
}

// True for "a.b", "a.b.c" and "a.b[1]" within "a.b".
bool IsPathWithin(std::string_view path, std::string_view whole) {
  return path.starts_with(whole) &&
         (path.size() == whole.size() || path[whole.size()] == '.' || path[whole.size()] == '[');
}

// Returns the path that ClearPath clears: the whole list if the path names a part of it.
std::string_view Cleared(std::string_view path) {
  return path.substr(0, path.find('['));
}

// Clears the field that a violation names; for an entry of a list, the whole list.
void ClearPath(const std::string& path, Message* message) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (const std::string& name : names) {
    const FieldDescriptor* field =
        message->GetDescriptor()->FindFieldByName(name.substr(0, name.find('[')));
    if (field == nullptr) return;  // An unknown field has no effect.
    const bool last = &name == &names.back();
    if (last || field->is_repeated()) return message->GetReflection()->ClearField(message, field);
    message = message->GetReflection()->MutableMessage(message, field);
  }
}

// ---- Notes in a printed spec.

// Prints notes before the closing bracket of a message.
class NotePrinter : public google::protobuf::TextFormat::FastFieldValuePrinter {
 public:
  explicit NotePrinter(SpecNotes notes) : notes_(std::move(notes)) {}

  void PrintMessageEnd(const Message& message, int index, int count, bool single_line,
                       google::protobuf::TextFormat::BaseTextGenerator* out) const override {
    if (!single_line) {
      for (const std::string& note : notes_(message)) out->PrintString("  # " + note + "\n");
    }
    FastFieldValuePrinter::PrintMessageEnd(message, index, count, single_line, out);
  }

 private:
  const SpecNotes notes_;
};

std::vector<const FieldDescriptor*> NotedFields() {
  const auto* spec = v1::ExperimentSpec::descriptor();
  const auto* benchmark = v1::BenchmarkSpec::descriptor();
  return {spec->FindFieldByName("benchmark"),
          spec->FindFieldByName("signal"),
          spec->FindFieldByName("rule"),
          spec->FindFieldByName("curriculum"),
          benchmark->FindFieldByName("wrapper"),
          benchmark->FindFieldByName("task_set"),
          v1::TaskSetSpec::descriptor()->FindFieldByName("wrapper")};
}

}  // namespace

v1::ExperimentSpec ParseSpec(std::string_view text, const std::vector<std::string>& overrides,
                             Violations* violations, const PartsCheck& check_parts,
                             const std::optional<std::filesystem::path>& file) {
  v1::ExperimentSpec spec;
  if (ReadSpec(text, overrides, &spec, violations, file)) CheckSpec(spec, violations, check_parts);
  return spec;
}

bool ReadSpec(std::string_view text, const std::vector<std::string>& overrides,
              v1::ExperimentSpec* spec, Violations* violations,
              const std::optional<std::filesystem::path>& file) {
  return (file ? spec::ParseFile(*file, text, spec, violations)
               : spec::ParseText(text, spec, violations)) &&
         CompleteSpec(overrides, spec, violations, file);
}

bool CompleteSpec(const std::vector<std::string>& overrides, v1::ExperimentSpec* spec,
                  Violations* violations, const std::optional<std::filesystem::path>& file,
                  const spec::FileReader& read) {
  if (file && !spec::ResolveBase(*file, spec, violations, read)) return false;
  if (overrides.size() > kOverridesMax) {
    violations->Add("--set",
                    absl::StrFormat("is given %d times; give it at most %d times, or write "
                                    "the fields in the file",
                                    overrides.size(), kOverridesMax));
    return false;
  }
  for (const std::string& override_text : overrides)
    spec::ApplyOverride(override_text, spec, violations);
  return true;
}

absl::StatusOr<v1::ExperimentSpec> LoadSpec(std::string_view text,
                                            const std::vector<std::string>& overrides,
                                            const PartsCheck& check_parts,
                                            const std::optional<std::filesystem::path>& file) {
  Violations violations;
  v1::ExperimentSpec spec = ParseSpec(text, overrides, &violations, check_parts, file);
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  return spec;
}

absl::StatusOr<v1::ExperimentSpec> LoadSpecFile(const std::filesystem::path& file,
                                                const std::vector<std::string>& overrides,
                                                const PartsCheck& check_parts) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kSpecBytesMax));
  return LoadSpec(text, overrides, check_parts, file);
}

void CheckSpec(const v1::ExperimentSpec& spec, Violations* violations,
               const PartsCheck& check_parts) {
  // The base may have what else the check would find.
  if (spec.has_base()) {
    return violations->Add(
        "base", absl::StrCat("is ", spec::Quote(spec.base()),
                             ", which only a file can name; give the whole spec, as 'mentor run "
                             "SPEC --check' prints it"));
  }
  Violations own;
  if (spec.clear_size() > 0)
    own.Add("clear", "is set without a base, so there is nothing to clear; remove it");
  spec::CheckRanges(spec, &own);
  CheckTogether(spec, &own);
  violations->AddAll(own);
  if (!check_parts) return;
  // The range check stopped early, so the rest may be invalid.
  if (own.list().size() >= spec::kRangeViolationsMax) return;

  v1::ExperimentSpec legal = spec;
  for (const Violation& violation : own.list()) ClearPath(violation.field, &legal);
  // Defaults may conflict with the remaining fields.
  Violations left;
  CheckTogether(legal, &left);
  SettleTogether(left, &legal);
  Violations of_parts;
  check_parts(WithDefaults(legal), &of_parts);
  for (const Violation& violation : of_parts.list()) {
    const auto says = [&](const Violation& earlier) {
      return IsPathWithin(violation.field, Cleared(earlier.field)) ||
             IsPathWithin(earlier.field, violation.field);
    };
    const bool said = std::any_of(own.list().begin(), own.list().end(), says) ||
                      std::any_of(left.list().begin(), left.list().end(), says);
    if (!said) violations->Add(violation.field, violation.description);
  }
}

v1::ExperimentSpec WithDefaults(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec merged = spec;
  spec::FillDefaults(&merged);
  return merged;
}

std::optional<int> OnlyTrainingSet(const v1::ExperimentSpec& spec) {
  std::optional<int> only;
  for (int i = 0; i < spec.benchmark().task_set_size(); ++i) {
    if (spec.benchmark().task_set(i).split() != v1::TRAIN) continue;
    if (only) return std::nullopt;
    only = i;
  }
  return only;
}

std::string PrintSpec(const v1::ExperimentSpec& spec, const SpecNotes& notes) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  if (notes) {
    for (const FieldDescriptor* field : NotedFields()) {
      auto noted = std::make_unique<NotePrinter>(notes);
      // On success the printer owns the object.
      if (printer.RegisterFieldValuePrinter(field, noted.get())) noted.release();
    }
  }
  MENTOR_CHECK(printer.PrintToString(spec, &text));
  return text;
}

std::string SpecHash(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec merged = WithDefaults(spec);
  merged.clear_display_name();
  // Specs of versions without these fields keep their hash.
  if (merged.rule().patience() == 0) merged.mutable_rule()->clear_patience();
  if (merged.evaluation().averaged_checkpoints() == 0) {
    merged.mutable_evaluation()->clear_averaged_checkpoints();
    merged.clear_checkpoint();
  }
  // Which checkpoints there are decides their mean; how many stay does not.
  if (merged.has_checkpoint()) merged.mutable_checkpoint()->clear_keep_last();
  return Sha256Hex("mentor spec 1\n" + CanonicalText(merged));
}

}  // namespace mentor
