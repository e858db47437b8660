#include "common/spec/wording.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/edit_distance.h"
#include "common/printable.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using CppType = FieldDescriptor::CppType;

constexpr size_t kQuoteBytesMax = 60;  // Maximum length of a quotation of user text in a message.

}  // namespace

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

std::string FieldHint(const Descriptor& type, std::string_view wrong) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return NameHint(wrong, names);
}

std::string EnumChoices(const google::protobuf::EnumDescriptor& type, std::string_view wrong) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) names.push_back(type.value(i)->name());
  }
  const std::string all = absl::StrJoin(names, ", ");
  return NearestNames(wrong, names).empty() ? all : all + " (" + NameHint(wrong, names) + ")";
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
  if (integer && bounds.empty()) {
    const bool wide = field.cpp_type() == CppType::CPPTYPE_UINT64;
    bounds.push_back(absl::StrFormat("from 0 to %d", wide ? UINT64_MAX : uint64_t{UINT32_MAX}));
  }
  return std::string(integer ? "an integer" : "a finite number") + (bounds.empty() ? "" : " ") +
         absl::StrJoin(bounds, ", ");
}

std::string ExpectedText(const FieldDescriptor& field, std::string_view given) {
  switch (field.cpp_type()) {
    case CppType::CPPTYPE_BOOL:
      return "true or false";
    case CppType::CPPTYPE_ENUM:
      return "one of " + EnumChoices(*field.enum_type(), given);
    case CppType::CPPTYPE_STRING:
      return "a text in quotes";
    default:
      return BoundsText(field, field.options().GetExtension(v1::range));
  }
}

const FieldDescriptor* OptionList(const Descriptor& type) {
  const FieldDescriptor* field = type.FindFieldByName("option");
  return field != nullptr && field->message_type() == v1::Option::descriptor() ? field : nullptr;
}

}  // namespace mentor::spec
