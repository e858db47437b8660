#include "common/spec/overrides.h"

#include <optional>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/spec/wording.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using CppType = FieldDescriptor::CppType;

// Target of a path: a field of *parent, or an option in its list.
struct Target {
  Message* parent = nullptr;
  const FieldDescriptor* field = nullptr;  // Null: the target is the option `option_name`.
  std::string option_name;
};

std::optional<Target> Resolve(Message* root, const std::string& path, Violations* violations) {
  Message* parent = root;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const Descriptor& type = *parent->GetDescriptor();
    const bool last = i + 1 == names.size();
    const FieldDescriptor* options = OptionList(type);
    const size_t bracket = names[i].find('[');
    const FieldDescriptor* field = type.FindFieldByName(names[i].substr(0, bracket));
    const bool is_list = field != nullptr && field->is_repeated() && field != options &&
                         field->cpp_type() == CppType::CPPTYPE_MESSAGE;
    if (bracket != std::string::npos && !is_list) field = nullptr;
    if (options != nullptr && field == options) {
      if (i + 2 == names.size() && !names.back().empty())
        return Target{parent, nullptr, names.back()};
      violations->Add("--set " + Quote(path),
                      "names a list of options; name one of them, for instance " + path +
                          ".learning_rate=3e-4");
      return std::nullopt;
    }
    if (field == nullptr && options != nullptr && last && !names[i].empty())
      return Target{parent, nullptr, names[i]};
    if (field == nullptr) {
      violations->Add("--set " + Quote(path),
                      absl::StrFormat("%s has no field %s; %s", type.name(), Quote(names[i]),
                                      FieldHint(type, names[i])));
      return std::nullopt;
    }
    if (last && field->cpp_type() != CppType::CPPTYPE_MESSAGE) return Target{parent, field, ""};
    if (last || field->cpp_type() != CppType::CPPTYPE_MESSAGE) {
      violations->Add("--set " + Quote(path),
                      last ? "is a group of fields; name one of them, for instance " + path + "." +
                                 field->message_type()->field(0)->name()
                           : Quote(names[i]) + " has no parts; end the path there");
      return std::nullopt;
    }
    if (!is_list) {
      parent = parent->GetReflection()->MutableMessage(parent, field);
      continue;
    }
    // An existing entry of a list, for instance wrapper[0].
    const int size = parent->GetReflection()->FieldSize(*parent, field);
    int index = -1;
    if (bracket == std::string::npos || names[i].back() != ']' ||
        !absl::SimpleAtoi(names[i].substr(bracket + 1, names[i].size() - bracket - 2), &index) ||
        index < 0 || index >= size) {
      violations->Add("--set " + Quote(path),
                      absl::StrFormat("'%s' is a list of %d in the spec; name one of them from [0] "
                                      "on, or write it in the file",
                                      field->name(), size));
      return std::nullopt;
    }
    parent = parent->GetReflection()->MutableRepeatedMessage(parent, field, index);
  }
  return std::nullopt;
}

void SetOption(Message* parent, const std::string& name, const std::string& value) {
  const FieldDescriptor* list = OptionList(*parent->GetDescriptor());
  const Reflection& reflection = *parent->GetReflection();
  for (int i = 0; i < reflection.FieldSize(*parent, list); ++i) {
    auto* option = static_cast<v1::Option*>(reflection.MutableRepeatedMessage(parent, list, i));
    if (option->name() != name) continue;
    option->set_value(value);
    return;
  }
  auto* added = static_cast<v1::Option*>(reflection.AddMessage(parent, list));
  added->set_name(name);
  added->set_value(value);
}

// Returns true if the text is a legal value of the field's type; ranges are checked later.
bool SetScalar(Message* parent, const FieldDescriptor& field, const std::string& value) {
  const Reflection& reflection = *parent->GetReflection();
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_DOUBLE: {
      double number;
      if (!absl::SimpleAtod(value, &number)) return false;
      reflection.SetDouble(parent, &field, number);
      return true;
    }
    case CppType::CPPTYPE_UINT32: {
      uint32_t number;
      if (!absl::SimpleAtoi(value, &number)) return false;
      reflection.SetUInt32(parent, &field, number);
      return true;
    }
    case CppType::CPPTYPE_UINT64: {
      uint64_t number;
      if (!absl::SimpleAtoi(value, &number)) return false;
      reflection.SetUInt64(parent, &field, number);
      return true;
    }
    case CppType::CPPTYPE_BOOL:
      if (value != "true" && value != "false") return false;
      reflection.SetBool(parent, &field, value == "true");
      return true;
    case CppType::CPPTYPE_STRING:
      reflection.SetString(parent, &field, value);
      return true;
    case CppType::CPPTYPE_ENUM: {
      const auto* number = field.enum_type()->FindValueByName(value);
      if (number == nullptr) return false;
      reflection.SetEnum(parent, &field, number);
      return true;
    }
    default:
      return false;
  }
}

// "A,B" replaces a list of enum values or numbers.
void SetList(Message* parent, const FieldDescriptor& field, const std::string& value,
             const std::string& path, Violations* violations) {
  const Reflection& reflection = *parent->GetReflection();
  const bool is_enum = field.cpp_type() == CppType::CPPTYPE_ENUM;
  reflection.ClearField(parent, &field);
  if (value.empty()) return;
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(value, ','))) {
    double number = 0;
    const auto* choice = is_enum ? field.enum_type()->FindValueByName(name) : nullptr;
    if (is_enum ? choice == nullptr : !absl::SimpleAtod(name, &number)) {
      violations->Add(path, "is " + Quote(name) + "; give " + ExpectedText(field, name) +
                                ", separated by commas");
      return;
    }
    is_enum ? reflection.AddEnum(parent, &field, choice)
            : reflection.AddDouble(parent, &field, number);
  }
}

}  // namespace

void ApplyOverride(const std::string& text, v1::ExperimentSpec* spec, Violations* violations) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    violations->Add("--set " + Quote(text), "is not of the form path.to.field=value");
    return;
  }
  const std::string path = text.substr(0, equals), value = text.substr(equals + 1);
  if (path == "base" || path == "clear") {
    violations->Add("--set " + Quote(text),
                    "sets " + Quote(path) + ", which only a spec's file can do; write it there");
    return;
  }
  const std::optional<Target> target = Resolve(spec, path, violations);
  if (!target) return;
  if (target->field == nullptr) {
    SetOption(target->parent, target->option_name, value);
  } else if (target->field->is_repeated()) {
    SetList(target->parent, *target->field, value, path, violations);
  } else if (!SetScalar(target->parent, *target->field, value)) {
    violations->Add(path, "is " + Quote(value) + "; give " + ExpectedText(*target->field, value) +
                              DefaultText(*target->field));
  }
}

}  // namespace mentor::spec
