#include "common/spec/differences.h"

#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/text_format.h>

#include "common/spec/spec.h"

namespace mentor {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string ValueText(const Message& message, const FieldDescriptor& field, int index) {
  // PrintFieldValueToString would add quotes.
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    std::string scratch;
    return index < 0 ? message.GetReflection()->GetStringReference(message, &field, &scratch)
                     : message.GetReflection()->GetRepeatedStringReference(message, &field, index,
                                                                           &scratch);
  }
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, index, &text);
  return text;
}

void Flatten(const Message& message, const std::string& prefix,
             std::map<std::string, std::string>* flat) {
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name();
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!field->is_repeated()) {
      if (is_message) {
        Flatten(reflection->GetMessage(message, field), path + ".", flat);
      } else {
        (*flat)[path] = ValueText(message, *field, -1);
      }
      continue;
    }
    std::vector<std::string> values;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (!is_message) {
        values.push_back(ValueText(message, *field, i));
        continue;
      }
      const Message& entry = reflection->GetRepeatedMessage(message, field, i);
      if (entry.GetDescriptor() == v1::Option::descriptor()) {
        const auto& option = static_cast<const v1::Option&>(entry);
        (*flat)[prefix + option.name()] = option.value();
      } else {
        Flatten(entry, absl::StrCat(path, "[", i, "]."), flat);
      }
    }
    if (!is_message) (*flat)[path] = absl::StrJoin(values, ",");
  }
}

// Settings that the result depends on.
std::map<std::string, std::string> FlatSettings(v1::ExperimentSpec spec) {
  spec = WithDefaults(spec);
  spec.clear_display_name();
  spec.clear_checkpoint();
  return FlatSpec(spec);
}

}  // namespace

std::map<std::string, std::string> FlatSpec(const v1::ExperimentSpec& spec) {
  std::map<std::string, std::string> flat;
  Flatten(spec, "", &flat);
  return flat;
}

std::vector<std::string> SpecDifferences(const v1::ExperimentSpec& from,
                                         const v1::ExperimentSpec& to, size_t lines_max) {
  const std::map<std::string, std::string> before = FlatSettings(from), after = FlatSettings(to);
  std::set<std::string> paths;
  for (const auto& [path, value] : before) paths.insert(path);
  for (const auto& [path, value] : after) paths.insert(path);
  const auto value = [](const std::map<std::string, std::string>& spec, const std::string& path) {
    const auto found = spec.find(path);
    return found == spec.end() ? "default" : found->second;
  };
  std::vector<std::string> lines;
  size_t rest = 0;
  for (const std::string& path : paths) {
    const std::string old = value(before, path), now = value(after, path);
    if (old == now) continue;
    if (lines.size() < lines_max) {
      lines.push_back(absl::StrCat(path, ": ", old, " -> ", now));
    } else {
      ++rest;
    }
  }
  if (rest > 0) lines.push_back(absl::StrFormat("and %d more", rest));
  return lines;
}

}  // namespace mentor
