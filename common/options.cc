#include "common/options.h"

#include <charconv>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/descriptor.h>

#include "common/bundle.h"
#include "common/edit_distance.h"
#include "common/printable.h"

namespace mentor {
namespace {

// Parses the whole text as a number: no blanks, no trailing characters, no infinity.
template <typename T>
bool ParseOption(const std::string& text, T* value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stopped == end && std::isfinite(static_cast<double>(*value));
}

const OptionInfo* Find(const OptionTable& table, const std::string& name) {
  for (const OptionInfo& info : table) {
    if (info.name == name && info.kind != OptionInfo::Kind::kOthers) return &info;
  }
  return nullptr;
}

std::string Bounds(const OptionInfo& info) {
  const bool has_min = info.min > -1e300, has_max = info.max < 1e300;
  if (has_min && has_max) return absl::StrFormat(" from %.12g to %.12g", info.min, info.max);
  if (has_min) return absl::StrFormat(" of at least %.12g", info.min);
  if (has_max) return absl::StrFormat(" of at most %.12g", info.max);
  return "";
}

constexpr size_t kOtherNameBytesMax = 64;
constexpr int kOtherValueBytesMax = 1000;
constexpr size_t kOthersMax = 64;

std::string TextComplaint(const OptionInfo& info, const std::string& text) {
  if (static_cast<double>(text.size()) > info.max)
    return absl::StrFormat("has %d bytes; give at most %.0f", text.size(), info.max);
  if (Printable(text) != text)
    return "has characters that cannot be shown; give one line of plain text";
  return info.complaint ? info.complaint(text) : "";
}

bool IsOtherName(std::string_view name) {
  return !name.empty() && name.size() <= kOtherNameBytesMax &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == name.npos;
}

// Returns value, bound and remedy; empty if the value is legal.
std::string Complaint(const OptionInfo& info, const std::string& text) {
  const std::string remedy =
      info.required ? "" : absl::StrCat("; the default is ", info.default_value);
  switch (info.kind) {
    case OptionInfo::Kind::kNumber:
    case OptionInfo::Kind::kInteger: {
      const bool whole = info.kind == OptionInfo::Kind::kInteger;
      int64_t integer = 0;
      double number = 0;
      const bool parsed = whole ? ParseOption(text, &integer) : ParseOption(text, &number);
      if (whole) number = static_cast<double>(integer);
      if (parsed && number >= info.min && number <= info.max) return "";
      return absl::StrCat("is '", text, whole ? "'; give an integer" : "'; give a number",
                          Bounds(info), remedy);
    }
    case OptionInfo::Kind::kFlag:
      if (text == "true" || text == "false") return "";
      return absl::StrCat("is '", text, "'; give true or false", remedy);
    case OptionInfo::Kind::kChoice:
      for (const std::string& choice : info.choices) {
        if (text == choice) return "";
      }
      return absl::StrCat("is '", text, "'; give one of ", absl::StrJoin(info.choices, ", "),
                          remedy);
    case OptionInfo::Kind::kText:
    case OptionInfo::Kind::kOthers:
      return TextComplaint(info, text);
  }
  MENTOR_CHECK(false);
}

// Returns the fields of the message at `path` in a spec: "rule", "benchmark.wrapper[0]". Empty if
// there is no such message. Lists of options are left out.
std::vector<std::string> FieldsAt(std::string_view path) {
  const google::protobuf::Descriptor* type = v1::ExperimentSpec::descriptor();
  for (const absl::string_view name :
       absl::StrSplit(absl::string_view(path.data(), path.size()), '.')) {
    const google::protobuf::FieldDescriptor* field =
        type->FindFieldByName(std::string(name.substr(0, name.find('['))));
    if (field == nullptr || field->message_type() == nullptr) return {};
    type = field->message_type();
  }
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->message_type() != v1::Option::descriptor()) {
      names.push_back(type->field(i)->name());
    }
  }
  return names;
}

// `list_path`: "rule.option". Also suggests fields beside the options, since "--set
// rule.outer_update=3" reads like an option and means a field.
std::string UnknownOption(const OptionTable& table, std::string_view list_path,
                          const std::string& name) {
  constexpr char kRemoval[] = "remove it";
  const std::string_view parent = list_path.substr(0, list_path.rfind('.'));
  std::vector<std::string> fields;
  for (const std::string& field : NearestNames(name, FieldsAt(parent))) {
    fields.push_back(std::string(parent) + "." + field);
  }
  std::vector<std::string> names;
  for (const OptionInfo& info : table) {
    if (info.kind != OptionInfo::Kind::kOthers) names.push_back(info.name);
  }
  if (!fields.empty() && NearestNames(name, names).empty()) {
    return absl::StrCat("unknown option; did you mean the field '", absl::StrJoin(fields, "' or '"),
                        "'? Correct its name, or ", kRemoval);
  }
  if (names.empty()) return absl::StrCat("unknown option; there are none here: ", kRemoval);
  const std::string hint = NameHint(name, names);
  return absl::StrCat("unknown option; ", hint, hint.ends_with('?') ? " C" : "; c",
                      "orrect its name, or ", kRemoval);
}

}  // namespace

OptionInfo TextOption(std::string name, std::string value, int bytes_max, std::string help,
                      std::function<std::string(const std::string&)> complaint) {
  return {.name = std::move(name),
          .kind = OptionInfo::Kind::kText,
          .default_value = std::move(value),
          .min = 0,
          .max = static_cast<double>(bytes_max),
          .help = std::move(help),
          .complaint = std::move(complaint)};
}

OptionInfo RequiredTextOption(std::string name, int bytes_max, std::string help,
                              std::function<std::string(const std::string&)> complaint) {
  OptionInfo info =
      TextOption(std::move(name), "", bytes_max, std::move(help), std::move(complaint));
  info.required = true;
  return info;
}

OptionInfo BundleOption(std::string name, std::string help) {
  return RequiredTextOption(std::move(name), 71, std::move(help), [](const std::string& value) {
    const absl::Status parsed = ParseBundleName(value).status();
    return std::string(parsed.message());
  });
}

OptionInfo OptionalBundleOption(std::string name, std::string help) {
  OptionInfo info = BundleOption(std::move(name), std::move(help));
  info.required = false;
  info.complaint = [named = std::move(info.complaint)](const std::string& value) {
    return value.empty() ? value : named(value);
  };
  return info;
}

OptionInfo OtherOptions(std::string help) {
  return {.name = "*",
          .kind = OptionInfo::Kind::kOthers,
          .default_value = "",
          .min = 0,
          .max = kOtherValueBytesMax,
          .help = std::move(help)};
}

OptionValues OptionValues::Parse(const OptionTable& table,
                                 const google::protobuf::RepeatedPtrField<v1::Option>& options,
                                 std::string_view field_path, Violations* violations) {
  OptionValues values;
  const OptionInfo* others = nullptr;
  for (const OptionInfo& info : table) {
    if (info.kind == OptionInfo::Kind::kOthers) {
      others = &info;
      continue;
    }
    MENTOR_CHECK(info.required || Complaint(info, info.default_value).empty());
    MENTOR_CHECK(values.values_.emplace(info.name, info.default_value).second);
  }
  std::set<std::string> seen;
  for (const v1::Option& option : options) {
    const std::string field = std::string(field_path) + "." + option.name();
    const OptionInfo* info = Find(table, option.name());
    if (info == nullptr && IsOtherName(option.name())) info = others;
    if (info == nullptr) {
      violations->Add(
          field, others == nullptr
                     ? UnknownOption(table, field_path, option.name())
                     : absl::StrFormat("is no name of an option; give at most %d letters, digits, "
                                       "'.', '_' and '-'",
                                       kOtherNameBytesMax));
      continue;
    }
    if (!seen.insert(option.name()).second) {
      violations->Add(field, absl::StrCat("is set twice, the second time to '", option.value(),
                                          "'; remove one"));
      continue;
    }
    if (std::string complaint = Complaint(*info, option.value()); !complaint.empty()) {
      violations->Add(field, std::move(complaint));
      continue;
    }
    if (info == others) {
      if (values.others_.size() == kOthersMax) {
        violations->Add(field, absl::StrFormat("is one of more than %d; remove some", kOthersMax));
        return values;
      }
      values.others_[option.name()] = option.value();
    } else {
      values.values_[info->name] = option.value();
    }
  }
  for (const OptionInfo& info : table) {
    if (!info.required || seen.contains(info.name)) continue;
    violations->Add(std::string(field_path) + "." + info.name,
                    absl::StrCat("is missing; set it: ", info.help));
  }
  return values;
}

const std::string& OptionValues::text(std::string_view name) const {
  const auto found = values_.find(name);
  MENTOR_CHECK(found != values_.end());
  return found->second;
}

double OptionNumber(const std::string& text) {
  double number = 0;
  MENTOR_CHECK(ParseOption(text, &number));
  return number;
}

int64_t OptionInteger(const std::string& text) {
  int64_t number = 0;
  MENTOR_CHECK(ParseOption(text, &number));
  return number;
}

}  // namespace mentor
