#include "cli/ctl/experiment_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <google/protobuf/util/message_differencer.h>

#include "cli/ctl/values.h"
#include "common/file.h"
#include "common/resources/states.h"
#include "common/spec/experiment_text.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"

namespace mentor::ctl {

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
  const bool whole = ReadExperiment(source, text, overrides, &file.experiment, &file.violations);
  const auto has_place = [](const Violation& one) { return one.field.starts_with("line "); };
  file.readable = whole && std::ranges::none_of(file.violations.list(), has_place);
  if (whole) CheckSpec(file.experiment.spec(), &file.violations);
  if (!file.experiment.name().empty()) file.id = ShortName(file.experiment.name());
  file.experiment.clear_name();
  return file;
}

std::vector<std::string> ChangedFields(const ExperimentFile& file,
                                       const v1::Experiment& experiment) {
  std::vector<std::string> changed;
  // The server leaves defaults out.
  v1::Experiment there = experiment;
  if (there.priority() == v1::PRIORITY_UNSPECIFIED) there.set_priority(v1::PRIORITY_NORMAL);
  there.set_weight(std::max(there.weight(), 1u));
  using google::protobuf::util::MessageDifferencer;
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
