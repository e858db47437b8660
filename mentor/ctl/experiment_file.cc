#include "mentor/ctl/experiment_file.h"

#include <cstdio>
#include <filesystem>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/file.h"
#include "common/resources/states.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "common/spec/yaml.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {
namespace {

using google::protobuf::util::MessageDifferencer;

class Silence : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
};

// Refuses fields that only the server sets.
void RefuseOutputOnly(const v1::Experiment& experiment, Violations* violations) {
  static constexpr std::string_view kSettable[] = {"name",      "spec",     "display_name",
                                                   "labels",    "priority", "weight",
                                                   "retention", "deadline", "retries_max"};
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  experiment.GetReflection()->ListFields(experiment, &fields);
  for (const auto* field : fields) {
    if (std::find(std::begin(kSettable), std::end(kSettable), field->name()) ==
        std::end(kSettable)) {
      violations->Add(field->name(), "is set by the server; leave it out");
    }
  }
}

}  // namespace

bool LooksLikeExperiment(const std::filesystem::path& file, std::string_view text) {
  if (text.size() > kSpecBytesMax || text.find('\0') != text.npos) return false;
  if (spec::IsYaml(file)) {
    Violations ignored;
    const auto written = spec::TextOfYaml(text, *v1::Experiment::descriptor(), &ignored);
    return written && LooksLikeExperiment({}, *written);
  }
  Silence silence;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&silence);
  parser.AllowUnknownField(true);
  parser.AllowPartialMessage(true);
  parser.SetRecursionLimit(kSpecDepthMax);
  v1::Experiment experiment;
  parser.ParseFromString(std::string(text), &experiment);
  return experiment.has_spec();
}

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  if (path != "-") {
    const auto file = FindSpec(path);
    auto text = file.ok() ? ReadFile(*file, kSpecBytesMax + 1) : file.status();
    // An unreadable file is a usage error, whatever the cause.
    if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
    return text;
  }
  // One byte above the limit, so that an oversized input is noticed.
  std::string text(kSpecBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), stdin));
  return text;
}

ExperimentFile ParseExperimentFile(const std::string& path, std::string_view text,
                                   const std::vector<std::string>& overrides) {
  ExperimentFile file = {.path = path};
  if (path != "-") file.id = std::filesystem::path(path).stem().string();
  std::filesystem::path source = path;
  if (path != "-") source = FindSpec(path).value_or(path);
  v1::ExperimentSpec* spec = file.experiment.mutable_spec();
  if (!LooksLikeExperiment(source, text)) {
    file.is_spec = true;
    *spec = ParseSpec(text, overrides, &file.violations, nullptr, source);
    if (spec->has_base()) file.readable = false;
    for (const Violation& violation : file.violations.list()) {
      if (violation.field.starts_with("line ") || violation.field == "spec") file.readable = false;
    }
    return file;
  }
  if (!spec::ParseFile(source, text, &file.experiment, &file.violations, "experiment") ||
      !file.violations.empty()) {
    file.readable = false;
    return file;
  }
  RefuseOutputOnly(file.experiment, &file.violations);
  if (!file.experiment.name().empty()) file.id = ShortName(file.experiment.name());
  file.experiment.clear_name();
  spec = file.experiment.mutable_spec();
  if (CompleteSpec(overrides, spec, &file.violations, source)) CheckSpec(*spec, &file.violations);
  if (spec->has_base()) file.readable = false;
  return file;
}

std::vector<std::string> ChangedFields(const ExperimentFile& file,
                                       const v1::Experiment& experiment) {
  std::vector<std::string> changed;
  if (file.is_spec) return changed;
  const v1::Experiment& wanted = file.experiment;
  const auto check = [&](const char* field, bool set, bool equal) {
    if (set && !equal) changed.push_back(field);
  };
  check("display_name", !wanted.display_name().empty(),
        wanted.display_name() == experiment.display_name());
  const auto equal_labels = [&] {
    if (wanted.labels_size() != experiment.labels_size()) return false;
    for (const auto& [key, value] : wanted.labels()) {
      const auto found = experiment.labels().find(key);
      if (found == experiment.labels().end() || found->second != value) return false;
    }
    return true;
  };
  check("labels", wanted.labels_size() > 0, equal_labels());
  check("priority", wanted.priority() != v1::PRIORITY_UNSPECIFIED,
        PriorityText(wanted.priority()) == PriorityText(experiment.priority()));
  check("weight", wanted.weight() > 0, wanted.weight() == std::max(experiment.weight(), 1u));
  check("retention", wanted.has_retention(),
        MessageDifferencer::Equivalent(wanted.retention(), experiment.retention()));
  check("deadline", wanted.has_deadline(),
        MessageDifferencer::Equals(wanted.deadline(), experiment.deadline()));
  check("retries_max", wanted.retries_max() > 0, wanted.retries_max() == experiment.retries_max());
  return changed;
}

}  // namespace mentor::ctl
