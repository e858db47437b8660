#include "common/spec/base.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/file.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "common/spec/wording.h"
#include "common/spec/yaml.h"

namespace mentor::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Path = std::filesystem::path;

std::string TextOf(const Message& message, const char* field_name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(field_name);
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

// Removes the options that `changes` overrides; all of them, if they were for another part.
void RemoveOptions(const Message& changes, const FieldDescriptor& list, Message* merged) {
  const auto names_another = [&](const char* field_name) {
    const FieldDescriptor* field = changes.GetDescriptor()->FindFieldByName(field_name);
    return field != nullptr && changes.GetReflection()->HasField(changes, field) &&
           TextOf(changes, field_name) != TextOf(*merged, field_name);
  };
  const auto options_of = [&](const Message& message) {
    std::vector<v1::Option> options;
    const Reflection& reflection = *message.GetReflection();
    for (int i = 0; i < reflection.FieldSize(message, &list); ++i)
      options.push_back(
          static_cast<const v1::Option&>(reflection.GetRepeatedMessage(message, &list, i)));
    return options;
  };
  std::set<std::string> overridden;
  for (const v1::Option& option : options_of(changes)) overridden.insert(option.name());
  const std::vector<v1::Option> options = options_of(*merged);
  const bool for_another = names_another("name") || names_another("environment");
  const Reflection& reflection = *merged->GetReflection();
  reflection.ClearField(merged, &list);
  for (const v1::Option& option : options) {
    if (!for_another && !overridden.contains(option.name()))
      reflection.AddMessage(merged, &list)->CopyFrom(option);
  }
}

// Clears in *merged what `changes` replaces and a merge of protobuf would add to.
void MakeRoom(const Message& changes, Message* merged) {
  const Reflection& reflection = *merged->GetReflection();
  if (const FieldDescriptor* options = OptionList(*changes.GetDescriptor()))
    RemoveOptions(changes, *options, merged);
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(changes, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      if (field->message_type() != v1::Option::descriptor()) reflection.ClearField(merged, field);
    } else if (field->message_type() != nullptr && reflection.HasField(*merged, field)) {
      MakeRoom(reflection.GetMessage(changes, field), reflection.MutableMessage(merged, field));
    }
  }
}

// Clears a field of the base. Returns what is wrong with the path, or "".
std::string ClearField(const std::string& path, Message* message) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (const std::string& name : names) {
    const auto& type = *message->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(name);
    if (field == nullptr)
      return absl::StrCat(type.name(), " has no field ", Quote(name), "; ", FieldHint(type, name));
    const Reflection& reflection = *message->GetReflection();
    const bool is_last = &name == &names.back();
    if (!is_last && (field->is_repeated() || field->message_type() == nullptr))
      return absl::StrCat(Quote(name), " has no parts; end the path there");
    const bool is_set = field->is_repeated() ? reflection.FieldSize(*message, field) > 0
                                             : reflection.HasField(*message, field);
    if (!is_set) return "the base does not set it; remove it from clear";
    if (is_last) {
      reflection.ClearField(message, field);
    } else {
      message = reflection.MutableMessage(message, field);
    }
  }
  return "";
}

// Resolves the bases of one file; files_ is the way from that file to the one at hand.
class Resolver {
 public:
  explicit Resolver(Violations* violations) : violations_(violations) {}

  bool Resolve(const Path& file, v1::ExperimentSpec* spec) {
    if (!spec->has_base()) return true;
    files_.push_back(file);
    v1::ExperimentSpec merged;
    if (!ReadBase(spec->base(), &merged)) return false;
    for (const std::string& path : spec->clear()) {
      if (const std::string wrong = ClearField(path, &merged); !wrong.empty())
        return Refuse("clear", absl::StrCat("has ", Quote(path), ": ", wrong));
    }
    spec->clear_base();
    spec->clear_clear();
    MergeChanges(*spec, &merged);
    *spec = std::move(merged);
    return true;
  }

 private:
  bool ReadBase(const std::string& name, v1::ExperimentSpec* base) {
    const absl::StatusOr<Path> path = FindBase(name);
    if (!path.ok()) return Refuse("base", std::string(path.status().message()));
    const auto is_it = [&](const Path& file) {
      std::error_code error;
      return std::filesystem::equivalent(file, *path, error);
    };
    if (std::any_of(files_.begin(), files_.end(), is_it)) {
      return Refuse("base", absl::StrCat("is ", Quote(name), ", which leads back to ",
                                         path->filename().string(), "; name another base"));
    }
    if (files_.size() > kBasesMax) {
      return Refuse("base",
                    absl::StrCat("is ", Quote(name), ", base number ", files_.size(),
                                 "; a spec may rest on at most ", kBasesMax, " bases in a row"));
    }
    const absl::StatusOr<std::string> text = ReadFile(*path, kSpecBytesMax);
    if (!text.ok()) return Refuse("base", std::string(text.status().message()));
    Violations wrong;
    ParseFile(*path, *text, base, &wrong);
    for (const Violation& violation : wrong.list()) {
      violations_->Add(
          "base", absl::StrCat(path->string(), ", ", violation.field, ": ", violation.description));
    }
    return wrong.empty() && Resolve(*path, base);
  }

  absl::StatusOr<Path> FindBase(const std::string& name) const {
    if (name.empty()) return absl::InvalidArgumentError("is empty; name a spec, or leave base out");
    const Path asked = files_.back().parent_path() / name;
    for (const Path& beside : {asked, Path(asked.string() + kSpecEnding)}) {
      std::error_code error;
      if (std::filesystem::is_regular_file(beside, error)) return beside;
      // Without an ending, a folder may share its name with a ready spec.
      if (Path(name).has_extension() && std::filesystem::exists(beside, error))
        return absl::InvalidArgumentError(
            absl::StrCat("is ", Quote(name), ", which is a folder or a device; name a file"));
    }
    return FindReadySpec(name);
  }

  // Always false.
  bool Refuse(const char* field, const std::string& what) {
    violations_->Add(
        field, files_.size() == 1 ? what : absl::StrCat("in ", files_.back().string(), ": ", what));
    return false;
  }

  std::vector<Path> files_;
  Violations* const violations_;
};

}  // namespace

bool ResolveBase(const Path& file, v1::ExperimentSpec* spec, Violations* violations) {
  return Resolver(violations).Resolve(file, spec);
}

void MergeChanges(const Message& changes, Message* merged) {
  MakeRoom(changes, merged);
  merged->MergeFrom(changes);
}

}  // namespace mentor::spec
