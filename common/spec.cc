#include "common/spec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/status.h"

namespace mentor {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using CppType = FieldDescriptor::CppType;

constexpr size_t kTitleBytesMax = 200;  // display_name
constexpr size_t kNameBytesMax = 100;   // Names and values of registered parts.
constexpr int kOptionsMax = 100;        // In one list.
constexpr int kListMax = 10000;         // Entries of another list, tasks for instance.
constexpr size_t kViolationsMax = 100;  // A report that somebody reads.
constexpr size_t kQuoteBytesMax = 60;   // Of a user's text in a message.
constexpr size_t kMessageBytesMax = 500;

// ---- Text for messages.

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char lead = text[i];
    const int length = lead < 0x80                   ? 1
                       : lead >= 0xc2 && lead < 0xe0 ? 2
                       : (lead & 0xf0) == 0xe0       ? 3
                       : lead >= 0xf0 && lead < 0xf5 ? 4
                                                     : 0;
    if (length == 0 || i + length > text.size()) return false;
    uint32_t code = length == 1 ? lead : lead & (0xff >> (length + 1));
    for (int k = 1; k < length; ++k) {
      const unsigned char next = text[i + k];
      if ((next & 0xc0) != 0x80) return false;
      code = (code << 6) | (next & 0x3f);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return false;
    i += length;
  }
  return true;
}

// The user's text, shortened and printable, whatever bytes it has.
std::string Printable(std::string_view text, size_t bytes_max) {
  std::string printable(text.substr(0, bytes_max));
  const bool utf8 = IsUtf8(printable);
  for (char& c : printable) {
    const unsigned char byte = c;
    if (byte < 0x20 || byte == 0x7f || (!utf8 && byte > 0x7f)) c = '?';
  }
  return printable + (text.size() > bytes_max ? "..." : "");
}

std::string Quote(std::string_view text) {
  return "'" + Printable(text, kQuoteBytesMax) + "'";
}

std::string Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.12g", value);
}

std::string Join(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : std::string(path) + "." + std::string(name);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "did you mean 'x'?" or the list of everything there is.
std::string FieldHint(const Descriptor& type, std::string_view wrong) {
  std::vector<std::string> names;
  std::string best;
  size_t best_distance = 3;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
    if (wrong.size() > 2 * kNameBytesMax) continue;
    const size_t distance = EditDistance(wrong, names.back());
    if (distance < best_distance) {
      best_distance = distance;
      best = names.back();
    }
  }
  if (!best.empty()) return "did you mean '" + best + "'?";
  return "known: " + absl::StrJoin(names, ", ");
}

// Values that may be written: all but the one that stands for "never set".
std::string EnumChoices(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) names.push_back(type.value(i)->name());
  }
  return absl::StrJoin(names, ", ");
}

std::string DefaultText(const FieldDescriptor& field) {
  if (!field.has_default_value()) return "";
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_DOUBLE:
      return "; the default is " + Number(field.default_value_double());
    case CppType::CPPTYPE_UINT32:
      return absl::StrFormat("; the default is %d", field.default_value_uint32());
    case CppType::CPPTYPE_UINT64:
      return absl::StrFormat("; the default is %d", field.default_value_uint64());
    case CppType::CPPTYPE_BOOL:
      return field.default_value_bool() ? "; the default is true" : "; the default is false";
    case CppType::CPPTYPE_STRING:
      return "; the default is " + field.default_value_string();
    case CppType::CPPTYPE_ENUM:
      return "; the default is " + field.default_value_enum()->name();
    default:
      return "";
  }
}

// "a number of at least 1 and below 2"
std::string BoundsText(const FieldDescriptor& field, const v1::Range& range) {
  const bool integer =
      field.cpp_type() == CppType::CPPTYPE_UINT32 || field.cpp_type() == CppType::CPPTYPE_UINT64;
  std::vector<std::string> bounds;
  if (range.has_min() && range.has_max()) {
    bounds.push_back("from " + Number(range.min()) + " to " + Number(range.max()));
  } else {
    if (range.has_above()) bounds.push_back("above " + Number(range.above()));
    if (range.has_min()) bounds.push_back("of at least " + Number(range.min()));
    if (range.has_max()) bounds.push_back("of at most " + Number(range.max()));
  }
  if (range.has_below()) bounds.push_back("below " + Number(range.below()));
  return std::string(integer ? "an integer" : "a finite number") + (bounds.empty() ? "" : " ") +
         absl::StrJoin(bounds, ", ");
}

bool InRange(double value, const v1::Range& range) {
  return std::isfinite(value) && (!range.has_min() || value >= range.min()) &&
         (!range.has_max() || value <= range.max()) &&
         (!range.has_above() || value > range.above()) &&
         (!range.has_below() || value < range.below());
}

// ---- Ranges, by reflection.

void CheckText(const FieldDescriptor& field, const std::string& value, const std::string& path,
               Violations* violations) {
  const bool title = field.full_name() == "mentor.v1.ExperimentSpec.display_name";
  const size_t bytes_max = title ? kTitleBytesMax : kNameBytesMax;
  if (value.size() > bytes_max) {
    violations->Add(path,
                    absl::StrFormat("is %d bytes long; give at most %d", value.size(), bytes_max));
    return;
  }
  const bool clean = std::all_of(value.begin(), value.end(), [&](char c) {
    const unsigned char byte = c;
    return byte >= 0x20 && byte != 0x7f && (title || byte < 0x7f);
  });
  if (!clean || !IsUtf8(value)) {
    violations->Add(
        path, "is " + Quote(value) + "; give " +
                  (title ? "UTF-8 text without control characters" : "printable ASCII characters"));
  }
}

void CheckMessage(const Message& message, const std::string& path, Violations* violations);

void CheckEnum(const FieldDescriptor& field, int number, const std::string& path,
               Violations* violations) {
  const auto* value = field.enum_type()->FindValueByNumber(number);
  if (number != 0 && value != nullptr) return;
  violations->Add(path, absl::StrFormat("is %s; give one of %s%s",
                                        value ? value->name() : std::to_string(number),
                                        EnumChoices(*field.enum_type()), DefaultText(field)));
}

void CheckSingular(const Message& message, const FieldDescriptor& field, const std::string& path,
                   Violations* violations) {
  const Reflection& reflection = *message.GetReflection();
  const v1::Range& range = field.options().GetExtension(v1::range);
  const bool set = reflection.HasField(message, &field);
  if (range.required()) {
    const bool empty = field.cpp_type() == CppType::CPPTYPE_STRING
                           ? reflection.GetString(message, &field).empty()
                           : !set;
    if (empty) {
      violations->Add(path, "is missing; set it" + DefaultText(field));
      return;
    }
  }
  if (!set) return;
  std::optional<double> number;
  std::string text;
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_MESSAGE:
      CheckMessage(reflection.GetMessage(message, &field), path, violations);
      return;
    case CppType::CPPTYPE_STRING:
      CheckText(field, reflection.GetString(message, &field), path, violations);
      return;
    case CppType::CPPTYPE_ENUM:
      CheckEnum(field, reflection.GetEnumValue(message, &field), path, violations);
      return;
    case CppType::CPPTYPE_BOOL:
      return;
    case CppType::CPPTYPE_DOUBLE:
      number = reflection.GetDouble(message, &field);
      text = Number(*number);
      break;
    case CppType::CPPTYPE_UINT32:
      number = reflection.GetUInt32(message, &field);
      text = std::to_string(reflection.GetUInt32(message, &field));
      break;
    case CppType::CPPTYPE_UINT64:
      number = static_cast<double>(reflection.GetUInt64(message, &field));
      text = std::to_string(reflection.GetUInt64(message, &field));
      break;
    default:
      MENTOR_CHECK(false);  // spec.proto has no field of another type.
  }
  if (!InRange(*number, range)) {
    violations->Add(path, absl::StrFormat("is %s; give %s%s", text, BoundsText(field, range),
                                          DefaultText(field)));
  }
}

void CheckRepeated(const Message& message, const FieldDescriptor& field, const std::string& path,
                   Violations* violations) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  const int size_max = field.message_type() == v1::Option::descriptor() ? kOptionsMax : kListMax;
  if (size > size_max) {
    violations->Add(path, absl::StrFormat("has %d entries; give at most %d", size, size_max));
    return;
  }
  for (int i = 0; i < size; ++i) {
    const std::string element = absl::StrFormat("%s[%d]", path, i);
    if (field.cpp_type() == CppType::CPPTYPE_MESSAGE) {
      CheckMessage(reflection.GetRepeatedMessage(message, &field, i), element, violations);
    } else if (field.cpp_type() == CppType::CPPTYPE_ENUM) {
      const int number = reflection.GetRepeatedEnumValue(message, &field, i);
      CheckEnum(field, number, element, violations);
      for (int j = 0; j < i; ++j) {
        if (reflection.GetRepeatedEnumValue(message, &field, j) != number) continue;
        const auto* value = field.enum_type()->FindValueByNumber(number);
        violations->Add(element, absl::StrFormat("is %s, which is there already; remove one",
                                                 value ? value->name() : std::to_string(number)));
        break;
      }
    } else {
      MENTOR_CHECK(field.cpp_type() == CppType::CPPTYPE_DOUBLE);  // spec.proto has no other type.
      const double number = reflection.GetRepeatedDouble(message, &field, i);
      if (!std::isfinite(number))
        violations->Add(element, "is " + Number(number) + "; give a finite number");
    }
  }
}

void CheckMessage(const Message& message, const std::string& path, Violations* violations) {
  const Descriptor& type = *message.GetDescriptor();
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count() && i < kOptionsMax; ++i) {
    violations->Add(Join(path, std::to_string(unknown.field(i).number())),
                    "is a field, or a value of one, that this program does not know; use programs "
                    "of one version");
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) {
      CheckRepeated(message, field, Join(path, field.name()), violations);
    } else {
      CheckSingular(message, field, Join(path, field.name()), violations);
    }
  }
}

// ---- Rules between fields.

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
  }
  const v1::RuleSpec& rule = spec.rule();
  if (rule.shard_lifetimes() > 0 && rule.lifetimes_per_update() % rule.shard_lifetimes() != 0) {
    violations->Add(
        "rule.shard_lifetimes",
        absl::StrFormat(
            "is %d, which does not divide rule.lifetimes_per_update = %d; give a divisor of it",
            rule.shard_lifetimes(), rule.lifetimes_per_update()));
  }
  // Lifetimes are numbered with 32 bits; the number keys their randomness.
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

// True for "a.b" within "a.b" and for "a.b.c" and "a.b[1]" within "a.b".
bool IsPathWithin(std::string_view path, std::string_view whole) {
  return path.starts_with(whole) &&
         (path.size() == whole.size() || path[whole.size()] == '.' || path[whole.size()] == '[');
}

// Clears the field that a violation names; of a list the whole list.
void ClearPath(const std::string& path, Message* message) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (const std::string& name : names) {
    const FieldDescriptor* field =
        message->GetDescriptor()->FindFieldByName(name.substr(0, name.find('[')));
    if (field == nullptr) return;  // An unknown field: nothing that anybody reads.
    const bool last = &name == &names.back();
    if (last || field->is_repeated()) return message->GetReflection()->ClearField(message, field);
    message = message->GetReflection()->MutableMessage(message, field);
  }
}

// ---- Text format.

// The legal values of an enum field anywhere in a spec.
std::string ChoicesOfField(const std::string& name) {
  const auto* file = v1::ExperimentSpec::descriptor()->file();
  for (int i = 0; i < file->message_type_count(); ++i) {
    const FieldDescriptor* field = file->message_type(i)->FindFieldByName(name);
    if (field != nullptr && field->enum_type() != nullptr)
      return "one of " + EnumChoices(*field->enum_type());
  }
  return "a value of the field's enumeration";
}

// Collects errors with line and column; unknown fields come as warnings and are errors to us.
class Collector : public google::protobuf::io::ErrorCollector {
 public:
  explicit Collector(Violations* violations) : violations_(violations) {}

  // True when the rest of the text was not read.
  bool stopped() const { return stopped_; }

  void AddError(int line, int column, const std::string& message) override {
    stopped_ = true;
    // Unknown enumeration value of "PUNISHMENT" for field "role".
    const std::vector<std::string> parts = absl::StrSplit(message, '"');
    const bool enumeration = parts.size() == 5 && parts[0] == "Unknown enumeration value of ";
    Add(line, column, enumeration ? message + " Give " + ChoicesOfField(parts[3]) : message);
  }
  void AddWarning(int line, int column, const std::string& message) override {
    // Message type "mentor.v1.RuleSpec" has no field named "outer_update".
    const std::vector<std::string> parts = absl::StrSplit(message, '"');
    const Descriptor* type =
        parts.size() >= 4
            ? google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(parts[1])
            : nullptr;
    if (type == nullptr) return Add(line, column, message);
    Add(line, column,
        absl::StrFormat("%s has no field %s; %s", type->name(), Quote(parts[3]),
                        FieldHint(*type, parts[3])));
  }

 private:
  void Add(int line, int column, const std::string& message) {
    if (violations_->list().size() >= kViolationsMax) return;
    const std::string place =
        line < 0 ? "spec" : absl::StrFormat("line %d, column %d", line + 1, column + 1);
    violations_->Add(place, Printable(message, kMessageBytesMax));  // Messages quote the input.
  }

  Violations* const violations_;
  bool stopped_ = false;
};

// False when part of the text is unread. Unknown fields leave the others whole.
bool ParseText(std::string_view text, v1::ExperimentSpec* spec, Violations* violations) {
  if (text.size() > kSpecBytesMax) {
    violations->Add("spec",
                    absl::StrFormat("has %d bytes; give at most %d", text.size(), kSpecBytesMax));
    return false;
  }
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    violations->Add("spec",
                    absl::StrFormat("has a zero byte at offset %d; give a text file", zero));
    return false;
  }
  Collector collector(violations);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.SetRecursionLimit(kSpecDepthMax);
  parser.AllowUnknownField(true);  // So that all of them are reported; see Collector.
  google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  return parser.Parse(&stream, spec) && !collector.stopped();
}

// ---- Overrides.

// Where a path leads: a field of *parent, or an option of its list.
struct Target {
  Message* parent = nullptr;
  const FieldDescriptor* field = nullptr;  // Null: the option `option_name`.
  std::string option_name;
};

const FieldDescriptor* OptionList(const Descriptor& type) {
  const FieldDescriptor* field = type.FindFieldByName("option");
  return field != nullptr && field->message_type() == v1::Option::descriptor() ? field : nullptr;
}

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
    // An entry of a list that the text has, for instance wrapper[0].
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

// True when the text is a legal value of the field's type; ranges are checked later.
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

std::string ExpectedText(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_BOOL:
      return "true or false";
    case CppType::CPPTYPE_ENUM:
      return "one of " + EnumChoices(*field.enum_type());
    default:
      return BoundsText(field, field.options().GetExtension(v1::range));
  }
}

// "A,B" replaces a list of enumeration values or numbers.
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
      violations->Add(
          path, "is " + Quote(name) + "; give " + ExpectedText(field) + ", separated by commas");
      return;
    }
    is_enum ? reflection.AddEnum(parent, &field, choice)
            : reflection.AddDouble(parent, &field, number);
  }
}

void ApplyOverride(const std::string& text, v1::ExperimentSpec* spec, Violations* violations) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    violations->Add("--set " + Quote(text), "is not of the form path.to.field=value");
    return;
  }
  const std::string path = text.substr(0, equals), value = text.substr(equals + 1);
  const std::optional<Target> target = Resolve(spec, path, violations);
  if (!target) return;
  if (target->field == nullptr) {
    SetOption(target->parent, target->option_name, value);
  } else if (target->field->is_repeated()) {
    SetList(target->parent, *target->field, value, path, violations);
  } else if (!SetScalar(target->parent, *target->field, value)) {
    violations->Add(path, "is " + Quote(value) + "; give " + ExpectedText(*target->field) +
                              DefaultText(*target->field));
  }
}

// ---- Defaults and the canonical form.

void FillDefaults(Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const bool is_message = field->cpp_type() == CppType::CPPTYPE_MESSAGE;
    if (field->is_repeated()) {
      for (int k = 0; is_message && k < reflection.FieldSize(*message, field); ++k)
        FillDefaults(reflection.MutableRepeatedMessage(message, field, k));
      continue;
    }
    if (is_message) {
      FillDefaults(reflection.MutableMessage(message, field));
      continue;
    }
    if (!field->has_default_value() || reflection.HasField(*message, field)) continue;
    switch (field->cpp_type()) {
      case CppType::CPPTYPE_DOUBLE:
        reflection.SetDouble(message, field, field->default_value_double());
        break;
      case CppType::CPPTYPE_UINT32:
        reflection.SetUInt32(message, field, field->default_value_uint32());
        break;
      case CppType::CPPTYPE_UINT64:
        reflection.SetUInt64(message, field, field->default_value_uint64());
        break;
      case CppType::CPPTYPE_BOOL:
        reflection.SetBool(message, field, field->default_value_bool());
        break;
      case CppType::CPPTYPE_STRING:
        reflection.SetString(message, field, field->default_value_string());
        break;
      case CppType::CPPTYPE_ENUM:
        reflection.SetEnum(message, field, field->default_value_enum());
        break;
      default:
        MENTOR_CHECK(false);
    }
  }
}

// message = "{" {number "=" value ";"} "}", fields by number, elements of a list one after another.
// value   = message | integer | double as "%a" | length ":" bytes
void WriteCanonical(const Message& message, std::string* out);

void WriteValue(const Message& message, const FieldDescriptor& field, int index, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  const auto get = [&](auto singular, auto repeated) {
    return index < 0 ? (reflection.*singular)(message, &field)
                     : (reflection.*repeated)(message, &field, index);
  };
  absl::StrAppendFormat(out, "%d=", field.number());
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_INT32:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
      break;
    case CppType::CPPTYPE_INT64:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
      break;
    case CppType::CPPTYPE_UINT32:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
      break;
    case CppType::CPPTYPE_UINT64:
      absl::StrAppendFormat(out, "%d", get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
      break;
    case CppType::CPPTYPE_BOOL:
      absl::StrAppendFormat(out, "%d",
                            int{get(&Reflection::GetBool, &Reflection::GetRepeatedBool)});
      break;
    case CppType::CPPTYPE_ENUM:
      absl::StrAppendFormat(out, "%d",
                            get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue));
      break;
    case CppType::CPPTYPE_DOUBLE:  // Minus zero means the same as zero everywhere in a spec.
      absl::StrAppendFormat(out, "%a",
                            get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble) + 0.0);
      break;
    case CppType::CPPTYPE_FLOAT:
      absl::StrAppendFormat(out, "%a",
                            get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat) + 0.0);
      break;
    case CppType::CPPTYPE_STRING: {
      const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
      absl::StrAppendFormat(out, "%d:", text.size());
      out->append(text);
      break;
    }
    case CppType::CPPTYPE_MESSAGE:
      if (index < 0) {
        WriteCanonical(reflection.GetMessage(message, &field), out);
      } else {
        WriteCanonical(reflection.GetRepeatedMessage(message, &field, index), out);
      }
      break;
  }
  *out += ';';
}

void WriteCanonical(const Message& message, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);  // By number.
  *out += '{';
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      WriteValue(message, *field, -1, out);
      continue;
    }
    std::vector<std::string> elements(reflection.FieldSize(message, field));
    for (size_t i = 0; i < elements.size(); ++i)
      WriteValue(message, *field, static_cast<int>(i), &elements[i]);
    // Options are a set; the order of other lists has a meaning.
    if (field->message_type() == v1::Option::descriptor())
      std::sort(elements.begin(), elements.end());
    for (const std::string& element : elements) *out += element;
  }
  *out += '}';
}

}  // namespace

v1::ExperimentSpec ParseSpec(std::string_view text, const std::vector<std::string>& overrides,
                             Violations* violations, const PartsCheck& check_parts) {
  v1::ExperimentSpec spec;
  // What an unread rest leaves out cannot be judged.
  if (!ParseText(text, &spec, violations)) return spec;
  for (const std::string& override_text : overrides)
    ApplyOverride(override_text, &spec, violations);
  CheckSpec(spec, violations, check_parts);
  return spec;
}

absl::StatusOr<v1::ExperimentSpec> LoadSpec(std::string_view text,
                                            const std::vector<std::string>& overrides,
                                            const PartsCheck& check_parts) {
  Violations violations;
  v1::ExperimentSpec spec = ParseSpec(text, overrides, &violations, check_parts);
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  return spec;
}

void CheckSpec(const v1::ExperimentSpec& spec, Violations* violations,
               const PartsCheck& check_parts) {
  Violations own;
  CheckMessage(spec, "", &own);
  CheckTogether(spec, &own);
  for (const Violation& violation : own.list())
    violations->Add(violation.field, violation.description);
  if (!check_parts) return;

  v1::ExperimentSpec legal = spec;
  for (const Violation& violation : own.list()) ClearPath(violation.field, &legal);
  // Defaults may clash with what is left; then nobody can say what the parts would find.
  Violations left;
  CheckTogether(legal, &left);
  if (!left.empty()) return;
  Violations of_parts;
  check_parts(WithDefaults(legal), &of_parts);
  for (const Violation& violation : of_parts.list()) {
    const bool said =
        std::any_of(own.list().begin(), own.list().end(), [&](const Violation& earlier) {
          return IsPathWithin(violation.field, earlier.field) ||
                 IsPathWithin(earlier.field, violation.field);
        });
    if (!said) violations->Add(violation.field, violation.description);
  }
}

v1::ExperimentSpec WithDefaults(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec merged = spec;
  FillDefaults(&merged);
  return merged;
}

std::string PrintSpec(const v1::ExperimentSpec& spec) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  MENTOR_CHECK(printer.PrintToString(spec, &text));
  return text;
}

std::string SpecHash(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec merged = WithDefaults(spec);
  merged.clear_display_name();
  merged.clear_checkpoint();
  return Sha256Hex("mentor spec 1\n" + CanonicalText(merged));
}

std::string CanonicalText(const Message& message) {
  std::string text;
  WriteCanonical(message, &text);
  return text;
}

}  // namespace mentor
