#include "common/spec/ranges.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/printable.h"
#include "common/spec/wording.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using CppType = FieldDescriptor::CppType;

constexpr size_t kTitleBytesMax = 200;  // display_name
constexpr size_t kNameBytesMax = 100;   // Names and values of registered parts.
constexpr int kOptionsMax = 100;        // Options in one list, and wrappers.
constexpr int kListMax = 10000;         // Entries of other lists, for instance tasks.

bool InRange(double value, const v1::Range& range) {
  return std::isfinite(value) && (!range.has_min() || value >= range.min()) &&
         (!range.has_max() || value <= range.max()) &&
         (!range.has_above() || value > range.above()) &&
         (!range.has_below() || value < range.below());
}

void CheckText(const FieldDescriptor& field, const std::string& value, const std::string& path,
               Violations* violations) {
  const bool title = field.full_name() == "mentor.v1.ExperimentSpec.display_name";
  const v1::Range& range = field.options().GetExtension(v1::range);
  const size_t bytes_max = title                   ? kTitleBytesMax
                           : range.has_bytes_max() ? range.bytes_max()
                                                   : kNameBytesMax;
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
      MENTOR_CHECK(false);  // spec.proto has no fields of other types.
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
  const bool short_list = field.message_type() == v1::Option::descriptor() ||
                          field.message_type() == v1::WrapperSpec::descriptor();
  const int size_max = short_list ? kOptionsMax : kListMax;
  if (size > size_max) {
    violations->Add(path, absl::StrFormat("has %d entries; give at most %d", size, size_max));
    return;
  }
  for (int i = 0; i < size && violations->list().size() < kRangeViolationsMax; ++i) {
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
    } else if (field.cpp_type() == CppType::CPPTYPE_STRING) {
      CheckText(field, reflection.GetRepeatedString(message, &field, i), element, violations);
    } else {
      // spec.proto has no lists of other types.
      MENTOR_CHECK(field.cpp_type() == CppType::CPPTYPE_DOUBLE);
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

}  // namespace

void CheckRanges(const Message& message, Violations* violations) {
  CheckMessage(message, "", violations);
}

}  // namespace mentor::spec
