#include "cli/ctl/experiment_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/ctl/values.h"
#include "common/file.h"
#include "common/resources/states.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "common/spec/yaml.h"

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
  // The server leaves defaults out.
  v1::Experiment there = experiment;
  if (there.priority() == v1::PRIORITY_UNSPECIFIED) there.set_priority(v1::PRIORITY_NORMAL);
  there.set_weight(std::max(there.weight(), 1u));
  MessageDifferencer differencer;
  differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  file.experiment.GetReflection()->ListFields(file.experiment, &fields);
  for (const auto* field : fields) {
    if (field->name() == "spec") continue;
    if (!differencer.CompareWithFields(file.experiment, there, {field}, {field}))
      changed.push_back(field->name());
  }
  return changed;
}

}  // namespace mentor::ctl
