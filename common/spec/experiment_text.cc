#include "common/spec/experiment_text.h"

#include <algorithm>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "common/printable.h"
#include "common/spec/spec.h"
#include "common/spec/yaml.h"

namespace mentor {
namespace {

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

bool ReadExperiment(const std::filesystem::path& file, std::string_view text,
                    const std::vector<std::string>& overrides, v1::Experiment* experiment,
                    Violations* violations, const spec::FileReader& read) {
  const bool is_spec = !LooksLikeExperiment(file, text);
  const bool whole = is_spec ? spec::ParseFile(file, text, experiment->mutable_spec(), violations)
                             : spec::ParseFile(file, text, experiment, violations, "experiment");
  for (const auto& [key, value] : experiment->labels()) {
    if (!IsUtf8(key) || !IsUtf8(value)) violations->Add("labels", "is not UTF-8; write it as text");
  }
  RefuseOutputOnly(*experiment, violations);
  return whole && CompleteSpec(overrides, experiment->mutable_spec(), violations, file, read);
}

}  // namespace mentor
