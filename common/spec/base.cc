#include "common/spec/base.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
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
  Resolver(FileReader read, Violations* violations)
      : read_(std::move(read)), violations_(violations) {}

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
  struct Base {
    Path path;
    std::string text;
  };

  bool ReadBase(const std::string& name, v1::ExperimentSpec* base) {
    const absl::StatusOr<Base> found = FindBase(name);
    if (!found.ok()) return Refuse("base", std::string(found.status().message()));
    const auto& [path, text] = *found;
    const auto is_it = [&path = path](const Path& file) {
      return file.lexically_normal() == path.lexically_normal();
    };
    if (std::any_of(files_.begin(), files_.end(), is_it)) {
      return Refuse("base", absl::StrCat("is ", Quote(name), ", which leads back to ",
                                         path.filename().string(), "; name another base"));
    }
    if (files_.size() > kBasesMax) {
      return Refuse("base",
                    absl::StrCat("is ", Quote(name), ", base number ", files_.size(),
                                 "; a spec may rest on at most ", kBasesMax, " bases in a row"));
    }
    Violations wrong;
    ParseFile(path, text, base, &wrong);
    for (const Violation& violation : wrong.list()) {
      violations_->Add(
          "base", absl::StrCat(path.string(), ", ", violation.field, ": ", violation.description));
    }
    return wrong.empty() && Resolve(path, base);
  }

  absl::StatusOr<Base> FindBase(const std::string& name) {
    if (name.empty()) return absl::InvalidArgumentError("is empty; name a spec, or leave base out");
    const Path asked = files_.back().parent_path() / name;
    for (const Path& beside : {asked, Path(asked.string() + kSpecEnding)}) {
      MENTOR_ASSIGN_OR_RETURN(std::optional<std::string> text, read_(beside));
      if (text) return Base{beside, *std::move(text)};
    }
    MENTOR_ASSIGN_OR_RETURN(const Path ready, FindReadySpec(name));
    read_ = ReadLocalFile;  // Its own base is beside it, or another ready one.
    MENTOR_ASSIGN_OR_RETURN(std::string text, ReadFile(ready, kSpecBytesMax));
    return Base{ready, std::move(text)};
  }

  // Always false.
  bool Refuse(const char* field, const std::string& what) {
    violations_->Add(
        field, files_.size() == 1 ? what : absl::StrCat("in ", files_.back().string(), ": ", what));
    return false;
  }

  FileReader read_;
  std::vector<Path> files_;
  Violations* const violations_;
};

}  // namespace

absl::StatusOr<std::optional<std::string>> ReadLocalFile(const Path& file) {
  std::error_code error;
  if (std::filesystem::is_regular_file(file, error)) return ReadFile(file, kSpecBytesMax);
  // Without an ending, a folder may share its name with a ready spec.
  if (file.has_extension() && std::filesystem::exists(file, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("leads to ", file.string(), ", a folder or a device; name a file"));
  }
  return std::nullopt;
}

bool ResolveBase(const Path& file, v1::ExperimentSpec* spec, Violations* violations,
                 const FileReader& read) {
  return Resolver(read, violations).Resolve(file, spec);
}

void MergeChanges(const Message& changes, Message* merged) {
  MakeRoom(changes, merged);
  merged->MergeFrom(changes);
}

}  // namespace mentor::spec
